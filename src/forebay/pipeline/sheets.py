"""Sheets of cells as text: a sheet's name, then its rows by line, cells by tab."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable
from dataclasses import dataclass

from forebay.pipeline.archives import INFLATED_LIMIT_BYTES
from forebay.pipeline.cells import LAST_COLUMN
from forebay.pipeline.decode import DecodedText
from forebay.pipeline.parts import Part
from forebay.pipeline.refused import Refused
from forebay.values.chunk import ChunkLocation

_GAP_LIMIT_COLUMNS = 16  # what is farther apart stays in order, but gets no tab for each column between
_SPACES = re.compile(r"[\t\r\n\v\f]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row with something in it."""

    number: int  # from 1
    text: str
    cells: list[tuple[int, int]]  # (offset in the text, column from 1) of each cell that holds something


def row_of(number: int, cells: Iterable[tuple[int, str]]) -> Row | None:
    """The row of these (column, content), columns ascending; None when all are blank."""
    line: list[str] = []
    places: list[tuple[int, int]] = []
    length = reached = tabs = 0
    for column, content in cells:
        tabs += min(max(column - reached, 1), _GAP_LIMIT_COLUMNS) if reached else 0
        reached = column
        if shown := on_one_line(content).strip():
            gap = tabs if line else 0
            line.append("\t" * gap + shown)
            places.append((length + gap, column))
            length += gap + len(shown)
            tabs = 0
    return Row(number=number, text="".join(line), cells=places) if places else None


def on_one_line(text: str) -> str:
    """The text with spaces for tabs and line ends, which separate cells and rows here."""
    return _SPACES.sub(" ", text)


def sheets_to_text(sheets: Iterable[tuple[str, Iterable[Row]]]) -> DecodedText:
    """The (name, rows) of all sheets, each a part of its own; sheets without a row are left out.

    Raises `Refused` `archive_bomb` when repeated contents make an enormous text.
    """
    pieces: list[str] = []
    parts: list[Part] = []
    position = 0
    for name, rows in sheets:
        offsets, numbers = array("Q"), array("Q")
        cell_offsets, cell_columns = array("Q"), array("H")
        start = position
        for row in rows:
            offsets.append(position)
            numbers.append(row.number)
            if position == start:
                pieces.append(f"{name}\n")
                position += len(name) + 1
            cell_offsets.extend(position + offset for offset, _ in row.cells)
            cell_columns.extend(min(column, LAST_COLUMN) for _, column in row.cells)
            pieces.append(f"{row.text}\n")
            position += len(row.text) + 1
            if position > INFLATED_LIMIT_BYTES:
                raise Refused("archive_bomb", f"expected at most {INFLATED_LIMIT_BYTES:,} characters of text, got more")
        if offsets:
            parts.append(
                Part(
                    start=start,
                    location=ChunkLocation(sheet=name),
                    unit="rows",
                    offsets=offsets,
                    numbers=numbers,
                    cell_offsets=cell_offsets,
                    cell_columns=cell_columns,
                )
            )
            pieces.append("\n")
            position += 1
    return DecodedText(text="".join(pieces).rstrip("\n"), encoding=None, parts=tuple(parts))
