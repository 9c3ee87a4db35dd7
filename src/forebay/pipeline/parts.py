"""Where pages, slides, sheets and cells lie in the text of a document."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from forebay.pipeline.cells import cell_range
from forebay.values.chunk import ChunkLocation


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of a text that no chunk leaves; it ends where the next one starts.

    With a `unit`, the text from `offsets[i]` on is row or cell `numbers[i]`; both increase. In a table, the text from
    `cell_offsets[i]` on is in column `cell_columns[i]`; what is before the first of them is a title and in no cell.
    """

    start: int  # code points
    location: ChunkLocation
    unit: Literal["rows", "cells"] | None = None
    offsets: Sequence[int] = ()
    numbers: Sequence[int] = ()
    cell_offsets: Sequence[int] = ()
    cell_columns: Sequence[int] = ()  # from 1

    def location_of(self, first: int, last: int) -> ChunkLocation:
        """Where the characters from `first` to `last` (inclusive) are."""
        if self.unit is None:
            return self.location
        reached = (self._number_at(first), self._number_at(last))
        if self.unit == "cells":
            return replace(self.location, cells=reached)
        return replace(self.location, rows=reached, cell_range=self._cell_range(first, last, reached))

    def _cell_range(self, first: int, last: int, rows: tuple[int, int]) -> str | None:
        begin = max(0, bisect_right(self.cell_offsets, first) - 1)
        columns = self.cell_columns[begin : bisect_right(self.cell_offsets, last)]
        return cell_range(rows, (min(columns), max(columns))) if columns else None

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
