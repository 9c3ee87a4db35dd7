"""The parsing of one file, from bytes to chunks and fields, and the port behind which it runs."""

from __future__ import annotations

from typing import Protocol

import msgspec

from forebay.pipeline.chunk import ChunkerSetting, chunk_text
from forebay.pipeline.content_scan import scan_content
from forebay.pipeline.extract_fields import extract_fields
from forebay.pipeline.read_text import read_text
from forebay.pipeline.refused import Refused
from forebay.pipeline.symbols import outline_of
from forebay.pipeline.validate import accept, check_content
from forebay.values.chunk import Chunk
from forebay.values.field import Field
from forebay.values.finding import Finding


class ParseRequest(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A file and how it is to be read. The settings travel along, so that a worker needs none."""

    name: str
    content_type: str | None
    data: bytes
    max_blob_bytes: int
    accept_unknown_text: bool
    chunk_size: int  # code points
    chunker: ChunkerSetting
    max_text_characters: int  # what a document may hold once it is text


class Parsed(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What became of the file."""

    format: str  # a name of `formats.FORMATS`, or `unknown_text`
    language: str | None  # of the code, else the detected natural one
    encoding: str | None  # None where the bytes are not text themselves
    encoding_guessed: bool
    replaced_count: int
    chunks: list[Chunk]
    fields: list[Field]
    findings: list[Finding]  # what the content scan has found; what that means is decided by others


class Parser(Protocol):
    """Parses files, somewhere."""

    async def parse(self, request: ParseRequest) -> Parsed:
        """As the function `parse`; may also raise `ParserFailed`. Safe to cancel."""
        ...

    async def close(self) -> None:
        """Stop; what still runs is given up."""
        ...


def parse(request: ParseRequest) -> Parsed:
    """Check, read and chunk a file, extract its fields and look for secrets.

    Raises `Refused` when it cannot become chunks. *Guarantees*: the same request gives the same answer; no I/O but the
    loading of libraries.
    """
    format = accept(
        request.name,
        request.content_type,
        len(request.data),
        max_blob_bytes=request.max_blob_bytes,
        accept_unknown_text=request.accept_unknown_text,
    )
    check_content(format, request.data)
    try:
        decoded = read_text(format, request.data, request.content_type)
    except RecursionError as error:
        raise Refused(
            "corrupt", "expected parts that are nested as a person would nest them, got some that are nested far deeper"
        ) from error
    if len(decoded.text) > request.max_text_characters:
        raise Refused("too_large", f"expected at most {request.max_text_characters:,} characters of text, got {len(decoded.text):,}")
    outline = outline_of(decoded.text, format.name)
    chunks = chunk_text(decoded.text, format, chunk_size=request.chunk_size, chunker=request.chunker, parts=decoded.parts, outline=outline)
    if not chunks:
        came = "none (a scan without a text layer?)" if format.name == "pdf" else "none" if format.is_binary else "only whitespace"
        raise Refused("empty", f"expected some text, got {came}")
    fields = extract_fields(decoded.text, format, request.name, outline)
    return Parsed(
        format=format.name,
        language=next((field.value for field in fields if field.name == "language"), None),
        encoding=decoded.encoding,
        encoding_guessed=decoded.guessed,
        replaced_count=decoded.replaced_count,
        chunks=chunks,
        fields=fields,
        findings=scan_content(decoded.text),
    )
