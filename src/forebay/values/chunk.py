"""Chunks: the pieces of a document that are embedded, searched and cited."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkLocation:
    """Where a person finds a chunk in the program that opens the file; what does not apply is None. Numbers are from 1."""

    page: int | None = None
    slide: int | None = None
    sheet: str | None = None
    rows: tuple[int, int] | None = None  # of the sheet, first and last
    cell_range: str | None = None  # of the sheet: the rectangle that holds the chunk, such as `A3:F17`
    cells: tuple[int, int] | None = None  # of a notebook, first and last
    headings: tuple[str, ...] | None = None  # that the chunk begins under, outermost first

    def to_json(self) -> dict[str, Any]:
        """Only what applies, lists for tuples."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items() if value is not None}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ChunkLocation:
        """The inverse of `to_json`; unknown names raise `TypeError`."""
        values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in data.items()}
        return cls(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A slice of the decoded text: `text == decoded[start:end]` exactly."""

    ordinal: int  # from 0
    text: str
    start: int  # code points, half open
    end: int
    first_line: int  # from 1, inclusive
    last_line: int
    symbol: str | None = None  # for code: the dotted name of the innermost enclosing definition
    location: ChunkLocation | None = None

    @property
    def text_sha256(self) -> bytes:
        """The key under which the text and its vector are stored."""
        return text_sha256(self.text)


def text_sha256(text: str) -> bytes:
    """SHA-256 of the UTF-8 form."""
    return hashlib.sha256(text.encode()).digest()
