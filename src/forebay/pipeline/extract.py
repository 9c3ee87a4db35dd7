"""Text out of PDF, HTML, DOCX and RTF, by kreuzberg: no OCR, no cache, no network."""

from __future__ import annotations

import html
import re
from typing import Any

from forebay.pipeline.decode import DecodedText
from forebay.pipeline.formats import Format
from forebay.pipeline.parts import joined
from forebay.pipeline.refused import Refused
from forebay.values.chunk import ChunkLocation

_HEAD_WITHIN_CHARACTERS = 64 * 1024
_TITLE = re.compile(r"<title\b[^>]{0,500}>([^<]{0,2000})</title\s*>", re.IGNORECASE)
# The converter renders these as front matter with a broken end, which reads as a heading.
_HEAD_ELEMENTS = re.compile(r"<title\b[^>]{0,500}>[^<]{0,2000}</title\s*>|<(?:meta|link|base)\b[^>]{0,4000}>", re.IGNORECASE)
_IMAGE = re.compile(r"!\[[^\]\n]*\]\(image_\d+\.\w+\)")  # a reference to what is not there
_LINE_HYPHEN = re.compile("[\x02\ufffe]")  # what PDFium makes of a hyphen and the line's end behind it
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


def read_document(format: Format, data: bytes) -> DecodedText:
    r"""A word processor's document as Markdown, lines ended by `\n`.

    Raises `Refused`: `corrupt` or `encrypted`.
    """
    text = _IMAGE.sub("", _with_line_feeds(_extract(data, format.content_types[0], "markdown")))
    return DecodedText(text=text, encoding=None)


def read_pdf(data: bytes) -> DecodedText:
    r"""The pages of a PDF as plain text with a blank line between them, lines ended by `\n`.

    Raises `Refused`: `corrupt` or `encrypted`.
    """
    import kreuzberg

    # not its whole text, in which long documents come twice
    pages = _result(data, "application/pdf", "plain", kreuzberg.PageConfig(extract_pages=True)).pages or []
    text, parts = joined((ChunkLocation(page=page["page_number"]), _page_text(page["content"])) for page in pages)
    return DecodedText(text=text, encoding=None, parts=parts)


def _page_text(text: str) -> str:
    return _with_line_feeds(_LINE_HYPHEN.sub("", text))


def _with_line_feeds(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _extract(data: bytes, media_type: str, output: str) -> str:
    content: str = _result(data, media_type, output, None).content
    return content


def _result(data: bytes, media_type: str, output: str, pages: Any) -> Any:
    import kreuzberg

    config = kreuzberg.ExtractionConfig(
        use_cache=False,
        enable_quality_processing=False,
        output_format=output,
        pages=pages,
    )
    try:
        return kreuzberg.extract_bytes_sync(data, media_type, config=config)
    except kreuzberg.KreuzbergError as error:
        message = _once(str(error.args[0] if error.args else error))[:300]
        if "password" in message.lower() or "encrypted" in message.lower():
            raise Refused("encrypted", "expected a document that opens without a password, got an encrypted one") from error
        raise Refused("corrupt", f"expected a readable {media_type}: {message}") from error


def _once(message: str) -> str:
    """Kreuzberg wraps an error in another with the same text: `A: A`."""
    half = (len(message) - 2) // 2
    return message[:half] if message[:half] == message[half + 2 :] else message
