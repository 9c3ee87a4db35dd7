"""Spreadsheets of Office Open XML (XLSX) as text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from xml.etree.ElementTree import Element

from forebay.pipeline.cells import column_number
from forebay.pipeline.decode import DecodedText
from forebay.pipeline.ooxml import Package, local, relationship_of
from forebay.pipeline.refused import Refused
from forebay.pipeline.sheets import Row, on_one_line, row_of, sheets_to_text

_WORKBOOK = "xl/workbook.xml"
_DATE_FORMATS = frozenset((*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)))  # ECMA-376 part 1, 18.8.30
_NO_FIELDS = re.compile(r'"[^"]*"|\\.|_.|\*.|\[(?!h+\]|m+\]|s+\])[^\]]*\]|General', re.IGNORECASE)


def read_spreadsheet(data: bytes) -> DecodedText:
    """The sheets in order, also hidden ones; of formulas the values that were last computed.

    Raises `Refused`: `corrupt`, or `archive_bomb` when repeated strings make an enormous text.
    """
    workbook = _Workbook(Package(data))
    return sheets_to_text((name, workbook.rows(member)) for name, member in workbook.sheets)


class _Workbook:
    """What the cells of all sheets refer to."""

    def __init__(self, package: Package) -> None:
        self._package = package
        root = package.root(_WORKBOOK)
        related = package.related(_WORKBOOK)
        self.sheets: list[tuple[str, str]] = []  # name, member
        for element in root.iter():
            if local(element) == "sheet":
                kind, member = related.get(relationship_of(element), ("", ""))
                if kind == "worksheet":  # not a sheet that is one chart
                    self.sheets.append((on_one_line(element.get("name", "")), member))
        self._epoch = datetime(1899, 12, 30)  # noqa: DTZ001 - times of day somewhere, as they were written
        if any(local(element) == "workbookPr" and element.get("date1904") in ("1", "true") for element in root.iter()):
            self._epoch = datetime(1904, 1, 1)  # noqa: DTZ001
        members = dict(related.values())
        self._strings = list(self._shared_strings(members["sharedStrings"])) if "sharedStrings" in members else []
        self._date_formats = self._styles(members["styles"]) if "styles" in members else []

    def rows(self, member: str) -> Iterator[Row]:
        """The rows of a sheet that have some text."""
        number = 0
        for element in self._package.elements(member):
            if local(element) == "row":
                written = element.get("r", "")
                number = int(written) if written.isdecimal() and len(written) < 9 and int(written) > number else number + 1
                row = row_of(number, self._cells(element))
                if row is not None:
                    yield row
                element.clear()

    def _cells(self, row: Element) -> Iterator[tuple[int, str]]:
        reached = 0  # column, from 1
        for cell in row:
            reached = max(column_number(cell.get("r", "")) or reached + 1, reached + 1)
            yield reached, self._shown(cell)

    def _shown(self, cell: Element) -> str:
        kind = cell.get("t", "n")
        if kind == "inlineStr":
            return _string(cell)
        value = next((child.text or "" for child in cell if local(child) == "v"), "")
        if kind == "s":
            index = _index(value.strip())
            if index is None or index >= len(self._strings):
                raise Refused("corrupt", f"expected one of {len(self._strings):,} strings in a cell, got number {value[:20]!r}")
            return self._strings[index]
        if kind == "b":
            return {"0": "FALSE", "1": "TRUE"}.get(value, value)
        return self._number(value, cell.get("s", "")) if kind == "n" else value

    def _number(self, value: str, style: str) -> str:
        try:
            number = float(value)
        except ValueError:
            return value
        index = _index(style)
        form = self._date_formats[index] if index is not None and index < len(self._date_formats) else ""
        return (_moment(self._epoch, number, form) if form else None) or f"{number:.15g}"

    def _shared_strings(self, member: str) -> Iterator[str]:
        for element in self._package.elements(member):
            if local(element) == "si":
                yield _string(element)
                element.clear()

    def _styles(self, member: str) -> list[str]:
        """For each style the fields of its date format among `ymdhs`; empty for other formats."""
        root = self._package.root(member)
        own = {element.get("numFmtId", ""): element.get("formatCode", "") for element in root.iter() if local(element) == "numFmt"}
        formats = next((element for element in root if local(element) == "cellXfs"), None)
        return [] if formats is None else [_date_fields(each.get("numFmtId", ""), own) for each in formats]


def _date_fields(number: str, own: dict[str, str]) -> str:
    if number in own:
        return "".join(sorted(set(_NO_FIELDS.sub("", own[number].partition(";")[0]).lower()) & set("ymdhs")))
    index = _index(number)
    if index not in _DATE_FORMATS:
        return ""
    return "hms" if index in (18, 19, 20, 21, 45, 46, 47) else "ymd"


def _index(digits: str) -> int | None:
    """A number that counts things of the file; None for what cannot be one. Python refuses to read thousands of digits."""
    return int(digits) if digits.isdecimal() and len(digits) < 10 else None


def _moment(epoch: datetime, days: float, fields: str) -> str | None:
    """A date and time of day, or a duration, in ISO form; None for what no date is."""
    try:
        seconds = round(days * 86400)
        if not set(fields) & set("yd") and "h" in fields:
            return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}" if seconds >= 0 else None
        # that program counts a 29 February 1900
        moment = epoch + timedelta(seconds=seconds, days=1 if epoch.year < 1900 and 0 <= days < 60 else 0)
    except (OverflowError, ValueError):
        return None
    return moment.date().isoformat() if seconds % 86400 == 0 else moment.isoformat(" ")


def _string(element: Element) -> str:
    """The text of runs, without the reading aids (`rPh`) of Japanese."""
    if local(element) == "rPh":
        return ""
    if local(element) == "t":
        return element.text or ""
    return "".join(_string(child) for child in element)
