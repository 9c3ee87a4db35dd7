"""E-mail messages (EML): headers that people read, then the text of the message."""

from __future__ import annotations

import re
from collections.abc import Iterator
from email import policy
from email.message import Message
from email.parser import BytesParser

from forebay.pipeline.decode import DecodedText, decode_text, known_charset
from forebay.pipeline.extract import html_to_markdown

_HEADERS = ("Subject", "From", "To", "Cc", "Date")
_NESTING_LIMIT_COUNT = 10
_UNDECODABLE = re.compile("[\ud800-\udbff\udd00-\udfff]")  # surrogates that do not stand for a byte


def read_mail(data: bytes) -> DecodedText:
    """The message as plain text; of alternatives the plain one, else HTML as Markdown.

    Raises `Refused`: `undecodable`, or `corrupt` for HTML that cannot be parsed.
    """
    message: Message = BytesParser(policy=policy.default).parsebytes(data)
    reader = _Reader()
    text = "\n\n".join(piece for piece in reader.message(message, 0) if piece.strip())
    return DecodedText(text=text, encoding=None, guessed=reader.guessed, replaced_count=reader.replaced_count)


class _Reader:
    def __init__(self) -> None:
        self.guessed = False
        self.replaced_count = 0

    def message(self, message: Message, depth: int) -> Iterator[str]:
        yield "\n".join(f"{name}: {value}" for name in _HEADERS if (value := _header(message, name)))
        yield from self._part(message, depth)

    def _part(self, part: Message, depth: int) -> Iterator[str]:
        kind = part.get_content_type()
        if depth > _NESTING_LIMIT_COUNT:
            return
        if kind == "message/rfc822":
            for inner in _parts_of(part):
                yield from self.message(inner, depth + 1)
        elif kind == "multipart/alternative":
            yield from self._best(part, depth)
        elif part.is_multipart():
            for inner in _parts_of(part):
                yield from self._part(inner, depth + 1)
        elif part.get_content_maintype() == "text" and part.get_content_disposition() != "attachment":
            yield self._text(part, is_html=kind == "text/html")
        elif name := _file_name(part):
            yield f"Attachment: {name}"

    def _best(self, part: Message, depth: int) -> Iterator[str]:
        """The plain one of alternatives, else the last that has text: the richest."""
        inner = list(_parts_of(part))
        inner.sort(key=lambda each: each.get_content_type() != "text/plain")
        for each in (*inner[:1], *reversed(inner[1:])):
            found = [piece for piece in self._part(each, depth + 1) if piece.strip()]
            if found:
                yield from found
                return

    def _text(self, part: Message, *, is_html: bool) -> str:
        content = part.get_payload(decode=True)
        if not isinstance(content, bytes) or not content:
            return ""
        decoded = decode_text(content, declared=known_charset(part.get_content_charset()))
        self.guessed = self.guessed or decoded.guessed
        self.replaced_count += decoded.replaced_count
        text = decoded.text.replace("\r\n", "\n").replace("\r", "\n")
        return (html_to_markdown(text) if is_html else text).strip("\n")


def _parts_of(part: Message) -> Iterator[Message]:
    inner = part.get_payload()
    if isinstance(inner, list):
        yield from (each for each in inner if isinstance(each, Message))


def _header(message: Message, name: str) -> str:
    try:
        value = str(message[name] or "")
    except Exception:  # the standard parser fails in many ways on headers that break the rules
        value = next((str(raw) for key, raw in message.raw_items() if key.lower() == name.lower()), "")
    return " ".join(_without_surrogates(value).split())


def _file_name(part: Message) -> str:
    try:
        name = part.get_filename()
    except Exception:
        name = None
    return " ".join(_without_surrogates(name or "").split())


def _without_surrogates(value: str) -> str:
    """What the parser keeps of bytes outside of ASCII as surrogates, decoded."""
    return _UNDECODABLE.sub("\ufffd", value).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
