"""Text out of documents, by kreuzberg: no OCR, no cache, no network."""

from __future__ import annotations

import html
import re

from forebay.pipeline.formats import Format
from forebay.pipeline.refused import Refused

_HEAD_WITHIN_CHARACTERS = 64 * 1024
_TITLE = re.compile(r"<title\b[^>]{0,500}>([^<]{0,2000})</title\s*>", re.IGNORECASE)
# The converter renders these as front matter with a broken end, which reads as a heading.
_HEAD_ELEMENTS = re.compile(r"<title\b[^>]{0,500}>[^<]{0,2000}</title\s*>|<(?:meta|link|base)\b[^>]{0,4000}>", re.IGNORECASE)
_DATA_URL = re.compile(r"\(data:[^()\s]*+\)")


def html_to_markdown(text: str) -> str:
    """The readable text of a page as Markdown, under its title as a heading.

    Raises `Refused` with `corrupt` when the page cannot be parsed.
    """
    head = text[:_HEAD_WITHIN_CHARACTERS]
    title = _TITLE.search(head)
    cleaned = _HEAD_ELEMENTS.sub("", head) + text[_HEAD_WITHIN_CHARACTERS:]
    body = _DATA_URL.sub("()", _extract(cleaned.encode("utf-8"), "text/html", "markdown"))
    words = " ".join(html.unescape(title[1]).split()) if title else ""
    return f"# {words}\n\n{body}" if words else body


def extract_text(format: Format, data: bytes) -> str:
    r"""The text of a PDF (plain) or a DOCX (Markdown), lines ended by `\n`.

    Raises `Refused`: `corrupt` or `encrypted`.
    """
    output = "markdown" if format.chunker == "markdown" else "plain"
    return _extract(data, format.content_types[0], output).replace("\r\n", "\n").replace("\r", "\n")


def _extract(data: bytes, media_type: str, output: str) -> str:
    import kreuzberg

    config = kreuzberg.ExtractionConfig(
        use_cache=False,
        enable_quality_processing=False,
        output_format=output,
    )
    try:
        return kreuzberg.extract_bytes_sync(data, media_type, config=config).content
    except kreuzberg.KreuzbergError as error:
        message = _once(str(error.args[0] if error.args else error))[:300]
        if "password" in message.lower() or "encrypted" in message.lower():
            raise Refused("encrypted", "expected a document that opens without a password, got an encrypted one") from error
        raise Refused("corrupt", f"expected a readable {media_type}: {message}") from error


def _once(message: str) -> str:
    """Kreuzberg wraps an error in another with the same text: `A: A`."""
    half = (len(message) - 2) // 2
    return message[:half] if message[:half] == message[half + 2 :] else message
