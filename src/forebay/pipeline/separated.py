"""Comma-separated values: where the cells of the table lie in the text, which stays as it is.

A cell is quoted or not, as RFC 4180 has it; a quote that is never closed is an ordinary character.
"""

from __future__ import annotations

import re
from array import array

from forebay.pipeline.cells import LAST_COLUMN
from forebay.pipeline.parts import Part
from forebay.values.chunk import ChunkLocation

_DELIMITERS = ",;\t|"  # the first one wins a tie
_QUOTED = re.compile(r'"[^"]*+(?:""[^"]*+)*+"')


def part_of_table(text: str) -> Part | None:
    """The whole text as one table, rows and columns numbered as a spreadsheet program shows them; None when it is blank.

    The separator is the one that the first line has most of. Columns beyond the last one of those programs are that one.
    """
    if not text.strip():
        return None
    separator = _separator(text)
    cell = re.compile(rf'("[^"]*+(?:""[^"]*+)*+"[^{separator}\r\n]*+|[^{separator}\r\n]*+)({re.escape(separator)}|\r\n?|\n|\Z)')
    rows, offsets, columns = array("Q", [0]), array("Q"), array("H")
    column = 1
    for found in cell.finditer(text):
        # a row's first cell is kept even if it is empty: what follows it must not be taken for the row before
        if column == 1 or found.end(1) > found.start(1):
            offsets.append(found.start(1))
            columns.append(min(column, LAST_COLUMN))
        if found[2] == separator:
            column += 1
        elif found.end() < len(text):
            rows.append(found.end())
            column = 1
        else:
            break
    return Part(
        start=0,
        location=ChunkLocation(),
        unit="rows",
        offsets=rows,
        numbers=range(1, len(rows) + 1),
        cell_offsets=offsets,
        cell_columns=columns,
    )


def _separator(text: str) -> str:
    first_line = next(line for line in text.splitlines() if line.strip())
    unquoted = _QUOTED.sub("", first_line)
    return max(_DELIMITERS, key=unquoted.count)
