"""Bytes to text: decoding for text formats, extraction for documents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from forebay.pipeline.decode import DecodedText, declared_charset, decode_text
from forebay.pipeline.extract import html_to_markdown, read_document, read_pdf
from forebay.pipeline.formats import Format
from forebay.pipeline.mail import read_mail
from forebay.pipeline.notebook import notebook_to_markdown
from forebay.pipeline.opendocument import read_opendocument
from forebay.pipeline.opendocument_sheets import read_opendocument_sheets
from forebay.pipeline.separated import part_of_table
from forebay.pipeline.slides import read_slides
from forebay.pipeline.spreadsheet import read_spreadsheet

_BINARY: dict[str, Callable[[Format, bytes], DecodedText]] = {
    "document": read_document,
    "pdf": lambda _, data: read_pdf(data),
    "opendocument": lambda each, data: read_opendocument_sheets(data) if each.name == "ods" else read_opendocument(data),
    "spreadsheet": lambda _, data: read_spreadsheet(data),
    "slides": lambda _, data: read_slides(data),
    "mail": lambda _, data: read_mail(data),
}


def read_text(format: Format, data: bytes, content_type: str | None = None) -> DecodedText:
    """The text of a file whose content has been checked.

    Newlines of plain text are untouched; documents come out as their format's line in `formats` says.
    Raises `Refused`: `undecodable`, `corrupt`, `encrypted`, `content_mismatch` or `archive_bomb`.
    """
    if format.is_binary:
        return _BINARY[format.reader](format, data)
    decoded = decode_text(data, declared=declared_charset(format, data, content_type))
    if format.reader == "html":
        return replace(decoded, text=html_to_markdown(decoded.text))
    if format.reader == "notebook":
        text, parts = notebook_to_markdown(decoded.text)
        return replace(decoded, text=text, parts=parts)
    if format.name == "csv":
        table = part_of_table(decoded.text)
        return decoded if table is None else replace(decoded, parts=(table,))
    return decoded
