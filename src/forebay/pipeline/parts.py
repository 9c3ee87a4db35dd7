"""Where pages, slides, sheets and cells lie in the text of a document."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from forebay.values.chunk import ChunkLocation


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of a text that no chunk leaves; it ends where the next one starts.

    With a `unit`, the text from `offsets[i]` on is row or cell `numbers[i]`; both increase.
    """

    start: int  # code points
    location: ChunkLocation
    unit: Literal["rows", "cells"] | None = None
    offsets: tuple[int, ...] = ()
    numbers: tuple[int, ...] = ()

    def location_of(self, first: int, last: int) -> ChunkLocation:
        """Where the characters from `first` to `last` (inclusive) are."""
        if self.unit is None:
            return self.location
        reached = (self._number_at(first), self._number_at(last))
        return replace(self.location, rows=reached) if self.unit == "rows" else replace(self.location, cells=reached)

    def _number_at(self, position: int) -> int:
        return self.numbers[max(0, bisect_right(self.offsets, position) - 1)]


def part_at(parts: Sequence[Part], position: int) -> Part | None:
    """The part that `position` lies in; None before the first."""
    number = bisect_right(parts, position, key=lambda part: part.start) - 1
    return parts[number] if number >= 0 else None


def joined(pieces: Iterable[tuple[ChunkLocation, str]]) -> tuple[str, tuple[Part, ...]]:
    """Texts of pages or slides with a blank line between them, and the parts that they are; blank ones are left out."""
    texts: list[str] = []
    parts: list[Part] = []
    position = 0
    for location, text in pieces:
        if text.strip():
            parts.append(Part(start=position, location=location))
            texts.append(text)
            position += len(text) + 2
    return "\n\n".join(texts), tuple(parts)
