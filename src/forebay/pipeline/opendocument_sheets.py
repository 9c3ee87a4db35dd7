"""Spreadsheets of OpenDocument (ODS) as text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree.ElementTree import Element

from forebay.pipeline.cells import LAST_COLUMN
from forebay.pipeline.decode import DecodedText
from forebay.pipeline.ooxml import Package, attribute, local
from forebay.pipeline.opendocument import rows_of, text_of
from forebay.pipeline.refused import Refused
from forebay.pipeline.sheets import Row, on_one_line, row_of, sheets_to_text

_LAST_ROW = 1_048_576  # of spreadsheet programs
_DURATION = re.compile(r"PT(\d{1,6})H(\d{1,2})M(\d{1,2})(?:[.,]\d+)?S")


def read_opendocument_sheets(data: bytes) -> DecodedText:
    """The sheets in order, also hidden ones; of formulas the values that were last computed.

    Raises `Refused`: `corrupt`, or `archive_bomb` when repeated cells make an enormous text.
    """
    root = Package(data).root("content.xml")
    body = next((element for element in root.iter() if local(element) == "spreadsheet" and "office" in element.tag), None)
    if body is None:
        raise Refused("corrupt", "expected an OpenDocument spreadsheet with a body, got one without")
    tables = [table for table in body if local(table) == "table"]
    return sheets_to_text((on_one_line(attribute(table, "name")), _rows(table)) for table in tables)


def _rows(table: Element) -> Iterator[Row]:
    number = 0
    for element in rows_of(table):
        count = _repeated(element, "number-rows-repeated", _LAST_ROW - number)
        row = row_of(number + 1, _cells(element))
        if row is not None:
            yield from (Row(number=number + 1 + each, text=row.text, cells=row.cells) for each in range(count))
        number += count


def _cells(row: Element) -> Iterator[tuple[int, str]]:
    column = 0
    for cell in row:
        if local(cell) in ("table-cell", "covered-table-cell"):  # a merged cell covers others, which may hold something
            count = _repeated(cell, "number-columns-repeated", LAST_COLUMN - column)
            shown = _shown(cell)
            if shown.strip():
                yield from ((column + 1 + each, shown) for each in range(count))
            column += count


def _repeated(element: Element, name: str, limit: int) -> int:
    written = attribute(element, name)
    return max(0, min(int(written), limit)) if written.isdecimal() and len(written) < 9 else min(1, max(0, limit))


def _shown(cell: Element) -> str:
    """The value in the form that cells of other spreadsheets come in; the text that is displayed where there is no value."""
    kind = attribute(cell, "value-type")
    if kind in ("float", "percentage", "currency"):
        value = attribute(cell, "value")
        try:
            return f"{float(value):.15g}"
        except ValueError:
            return value
    if kind == "date":
        return attribute(cell, "date-value").replace("T", " ")
    if kind == "time":
        duration = _DURATION.fullmatch(attribute(cell, "time-value"))
        return ":".join(part.zfill(2) for part in duration.groups()) if duration else attribute(cell, "time-value")
    if kind == "boolean":
        return attribute(cell, "boolean-value").upper()
    return text_of(cell) or attribute(cell, "string-value")
