from __future__ import annotations

import csv
import io
from bisect import bisect_right

from hypothesis import given
from hypothesis import strategies as st
from openpyxl.utils import column_index_from_string, get_column_letter

from forebay.pipeline.cells import LAST_COLUMN, cell_range, column_letters, column_number
from forebay.pipeline.separated import part_of_table

CELLS = st.text(st.sampled_from('ab ,;"\n\té'), max_size=5)
NEVER_CLOSED = '"' + "a" * 1000


@given(st.lists(st.lists(CELLS, min_size=1, max_size=4), max_size=5), st.sampled_from(",;\t|"), st.sampled_from(["\n", "\r\n"]))
def test_every_cell_that_a_program_writes_is_found_at_its_row_and_column(rows: list[list[str]], separator: str, line_end: str) -> None:
    table = [["h1", "h2", "h3"], *rows]
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=separator, lineterminator=line_end).writerows(table)
    text = buffer.getvalue()
    part = part_of_table(text)
    assert part is not None
    found = {
        (part.numbers[bisect_right(part.offsets, offset) - 1], column): text[offset:]
        for offset, column in zip(part.cell_offsets, part.cell_columns, strict=True)
    }
    for number, row in enumerate(table, 1):
        for column, cell in enumerate(row, 1):
            if cell:
                rest = found.pop((number, column))
                assert next(csv.reader(io.StringIO(rest, newline=""), delimiter=separator))[0] == cell
    # what is left are rows that begin with an empty cell
    assert all(column == 1 for _, column in found)


@given(st.text(st.sampled_from('a",\n\r'), max_size=40))
def test_no_text_is_too_strange_for_a_table(text: str) -> None:
    part = part_of_table(text)
    assert (part is None) == (not text.strip())
    if part is not None:
        assert list(part.offsets) == sorted(set(part.offsets))
        assert list(part.cell_offsets) == sorted(set(part.cell_offsets))
        assert all(offset <= len(text) for offset in part.cell_offsets)


def test_a_quote_that_is_never_closed_swallows_no_other_cell() -> None:
    part = part_of_table(f"a,b\n{NEVER_CLOSED},c\nd,e\n")
    assert part is not None
    assert part.location_of(4, 10).cell_range == "A2"
    assert part.location_of(len(NEVER_CLOSED) + 7, len(NEVER_CLOSED) + 9).cell_range == "A3:B3"


@given(st.integers(1, LAST_COLUMN))
def test_columns_have_the_letters_of_spreadsheet_programs(number: int) -> None:
    assert column_letters(number) == get_column_letter(number)
    assert column_number(f"{column_letters(number)}7") == column_index_from_string(get_column_letter(number)) == number


def test_a_range_of_one_cell_is_that_cell() -> None:
    assert cell_range((3, 3), (2, 2)) == "B3"
    assert cell_range((3, 17), (1, 6)) == "A3:F17"
    assert cell_range((3, 3), (1, 6)) == "A3:F3"
