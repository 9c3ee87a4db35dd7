"""Spreadsheets (XLSX) as text: a sheet's name, then its rows by line, cells by tab."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from xml.etree.ElementTree import Element

from forebay.pipeline.archives import INFLATED_LIMIT_BYTES
from forebay.pipeline.decode import DecodedText
from forebay.pipeline.ooxml import Package, local, relationship_of
from forebay.pipeline.parts import Part
from forebay.pipeline.refused import Refused
from forebay.values.chunk import ChunkLocation

_WORKBOOK = "xl/workbook.xml"
_GAP_LIMIT_COLUMNS = 16  # what is farther apart stays in order, but gets no tab for each column between
_DATE_FORMATS = frozenset((*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)))  # ECMA-376 part 1, 18.8.30
_NO_FIELDS = re.compile(r'"[^"]*"|\\.|_.|\*.|\[(?!h+\]|m+\]|s+\])[^\]]*\]|General', re.IGNORECASE)
_SPACES = re.compile(r"[\t\r\n\v\f]+")


def read_spreadsheet(data: bytes) -> DecodedText:
    """The sheets in order, also hidden ones; of formulas the values that were last computed.

    Raises `Refused`: `corrupt`, or `archive_bomb` when repeated strings make an enormous text.
    """
    package = Package(data)
    workbook = _Workbook(package)
    pieces: list[str] = []
    parts: list[Part] = []
    position = 0
    for name, member in workbook.sheets:
        offsets: list[int] = []
        numbers: list[int] = []
        for number, line in workbook.rows(member):
            shown = line
            if not offsets:
                shown = f"{name}\n{line}"
                start = position
            offsets.append(position)
            numbers.append(number)
            pieces.append(shown + "\n")
            position += len(shown) + 1
            if position > INFLATED_LIMIT_BYTES:
                raise Refused("archive_bomb", f"expected at most {INFLATED_LIMIT_BYTES:,} characters of text, got more")
        if offsets:
            location = ChunkLocation(sheet=name)
            parts.append(Part(start=start, location=location, unit="rows", offsets=tuple(offsets), numbers=tuple(numbers)))
            pieces.append("\n")
            position += 1
    return DecodedText(text="".join(pieces).rstrip("\n"), encoding=None, parts=tuple(parts))


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
                    self.sheets.append((_SPACES.sub(" ", element.get("name", "")), member))
        self._epoch = datetime(1899, 12, 30)  # noqa: DTZ001 - times of day somewhere, as they were written
        if any(local(element) == "workbookPr" and element.get("date1904") in ("1", "true") for element in root.iter()):
            self._epoch = datetime(1904, 1, 1)  # noqa: DTZ001
        members = dict(related.values())
        self._strings = list(self._shared_strings(members["sharedStrings"])) if "sharedStrings" in members else []
        self._date_formats = self._styles(members["styles"]) if "styles" in members else []

    def rows(self, member: str) -> Iterator[tuple[int, str]]:
        """Number and text of each row that has some."""
        number = 0
        for element in self._package.elements(member):
            if local(element) == "row":
                written = element.get("r", "")
                number = int(written) if written.isdecimal() and len(written) < 9 and int(written) > number else number + 1
                line = self._line(element)
                if line.strip():
                    yield number, line
                element.clear()

    def _line(self, row: Element) -> str:
        line: list[str] = []
        reached = 0  # column, from 1
        tabs = 0
        for cell in row:
            column = _column(cell.get("r", "")) or reached + 1
            tabs += min(max(column - reached, 1), _GAP_LIMIT_COLUMNS) if reached else 0
            reached = max(column, reached + 1)
            if shown := _SPACES.sub(" ", self._shown(cell)).strip():
                line.append("\t" * tabs + shown if line else shown)
                tabs = 0
        return "".join(line)

    def _shown(self, cell: Element) -> str:
        kind = cell.get("t", "n")
        if kind == "inlineStr":
            return _string(cell)
        value = next((child.text or "" for child in cell if local(child) == "v"), "")
        if kind == "s":
            if not value.strip().isdecimal() or int(value) >= len(self._strings):
                raise Refused("corrupt", f"expected one of {len(self._strings):,} strings in a cell, got number {value[:20]!r}")
            return self._strings[int(value)]
        if kind == "b":
            return {"0": "FALSE", "1": "TRUE"}.get(value, value)
        return self._number(value, cell.get("s", "")) if kind == "n" else value

    def _number(self, value: str, style: str) -> str:
        try:
            number = float(value)
        except ValueError:
            return value
        form = self._date_formats[int(style)] if style.isdecimal() and int(style) < len(self._date_formats) else ""
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
    if not number.isdecimal() or int(number) not in _DATE_FORMATS:
        return ""
    return "hms" if int(number) in (18, 19, 20, 21, 45, 46, 47) else "ymd"


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


def _column(reference: str) -> int:
    """The number of a column from 1, from a reference such as `BC12`; 0 for none."""
    number = 0
    for letter in reference:
        if not "A" <= letter <= "Z" or number > 1_000_000:
            break
        number = number * 26 + ord(letter) - ord("A") + 1
    return number
