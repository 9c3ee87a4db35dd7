"""The names of cells, as spreadsheet programs write them: `BC12`, `A3:F17`."""

from __future__ import annotations

LAST_COLUMN = 16_384  # XFD, the last one of those programs


def column_number(reference: str) -> int:
    """The number of a column from 1, from a reference such as `BC12`; 0 for none."""
    number = 0
    for letter in reference:
        if not "A" <= letter <= "Z" or number > 1_000_000:
            break
        number = number * 26 + ord(letter) - ord("A") + 1
    return number


def column_letters(number: int) -> str:
    """The inverse of `column_number`: 1 is `A`, 28 is `AB`."""
    letters = ""
    while number > 0:
        number, letter = divmod(number - 1, 26)
        letters = chr(ord("A") + letter) + letters
    return letters


def cell_range(rows: tuple[int, int], columns: tuple[int, int]) -> str:
    """The rectangle from the first to the last row and column: `A3:F17`, or `A3` for a single cell."""
    first, last = (f"{column_letters(column)}{row}" for row, column in zip(rows, columns, strict=True))
    return first if first == last else f"{first}:{last}"
