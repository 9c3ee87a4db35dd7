"""Chunks: the pieces of a document that are embedded, searched and cited."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


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

    @property
    def text_sha256(self) -> bytes:
        """The key under which the text and its vector are stored."""
        return text_sha256(self.text)


def text_sha256(text: str) -> bytes:
    """SHA-256 of the UTF-8 form."""
    return hashlib.sha256(text.encode()).digest()
