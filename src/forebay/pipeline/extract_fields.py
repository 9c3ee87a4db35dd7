"""The default field extraction: patterns and counts, without a model or a key.

How sure each method is:

| field | method | confidence |
|---|---|---|
| title | first Markdown heading, a mail's subject, first line of the module docstring, else the file's name | 0.9, 0.95, 0.85, 0.3 |
| language | a code file's format; else frequent words or the script of the beginning | 1.0; 0.7 to 0.99 |
| date | ISO, month by name, `5.1.2024`, `13/1/2024` | 0.9 to 0.95, 0.9, 0.85, 0.8 |
| email, url | pattern | 0.95 |
| money | currency code, sign, `$` or `¥` (which several countries use), `$` and one digit | 0.95, 0.9, 0.7, 0.5 |
| heading | a scan of the lines; the value is without markup, the span that of the line | 0.95 |
| symbol | scan of the source; the value is the dotted name, the span that of the bare name | 0.9 |
| import | statement at the beginning of a line | 0.95 in Python, 0.9 in JavaScript |
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import PurePosixPath

from forebay.pipeline.field_patterns import Match, dates, emails, money, urls
from forebay.pipeline.formats import Format
from forebay.pipeline.headings import markdown_headings
from forebay.pipeline.natural_language import SAMPLE_CHARACTERS, detect_language
from forebay.pipeline.symbols import Outline
from forebay.values.field import Field, FieldName

SCAN_LIMIT_CHARACTERS = 256 * 1024  # what stands further back is not looked at
LIMIT_BY_NAME: dict[FieldName, int] = {"date": 50, "email": 50, "url": 50, "money": 50, "heading": 100, "symbol": 100, "import": 100}
_VALUE_LIMIT_CHARACTERS = 500
_CANDIDATE_LIMIT = 1000


def extract_fields(text: str, format: Format, name: str, outline: Outline | None = None) -> list[Field]:
    """The fields of a decoded text; `name` is the file's, `outline` that of source code.

    *Guarantees*: deterministic; at most `LIMIT_BY_NAME` fields of each name, the first ones, and each value of a name once;
    time linear in the text, and bounded since only its first `SCAN_LIMIT_CHARACTERS` are looked at; every span lies in
    the text and holds what the value was made of, or is empty where the value is not from the text.
    """
    text = text[:SCAN_LIMIT_CHARACTERS]
    headings = list(_first("heading", _headings(text))) if format.chunker == "markdown" else []
    found: list[Iterable[Field]] = [[_title(text, format, name, headings)], _language(text, format), headings]
    if outline is not None:
        found.append(_first("symbol", _symbols(text, outline)))
        found.append(_first("import", _imports(text, format, outline)))
    if format.language is None:  # in code, `$` is no currency
        found.append(_first("money", money(text)))
    found += [_first("date", dates(text)), _first("email", emails(text)), _first("url", urls(text))]
    return list(chain.from_iterable(found))


def _first(name: FieldName, matches: Iterable[Match]) -> Iterator[Field]:
    """The first fields of a name in the order of the text, each value once."""
    by_value: dict[str, Match] = {}
    for match in sorted(matches, key=lambda match: match[1]):
        if match[0] not in by_value and len(match[0]) <= _VALUE_LIMIT_CHARACTERS:
            by_value[match[0]] = match
            if len(by_value) == LIMIT_BY_NAME[name]:
                break
    for value, start, end, confidence in by_value.values():
        yield Field(name=name, value=value, start=start, end=end, confidence=confidence)


_SUBJECT = re.compile(r"Subject: (\S[^\n]{0,500}(?<!\s))")
_DOCSTRING = re.compile(r"\A(?:[ \t\f]*+(?:#[^\n]*+)?\r?\n)*+[rRuU]?(?P<quote>\"\"\"|'''|\"|')\s*+(?P<line>[^\r\n]{1,2000})")
_QUOTE_END = re.compile(r"(?<!\\)(?:\"\"\"|''')")


def _title(text: str, format: Format, name: str, headings: list[Field]) -> Field:
    if headings:
        first = headings[0]
        return Field(name="title", value=first.value, start=first.start, end=first.end, confidence=0.9)
    if format.reader == "mail" and (subject := _SUBJECT.match(text)):
        return Field(name="title", value=subject[1], start=subject.start(1), end=subject.end(1), confidence=0.95)
    if format.language == "python" and (found := _DOCSTRING.match(text)):
        line = found["line"]
        line = _QUOTE_END.split(line, maxsplit=1)[0] if len(found["quote"]) == 3 else line.partition(found["quote"])[0]
        line = line[:_VALUE_LIMIT_CHARACTERS].rstrip()
        if line:
            start = found.start("line")
            return Field(name="title", value=line, start=start, end=start + len(line), confidence=0.85)
    return Field(name="title", value=PurePosixPath(name).name or name, start=0, end=0, confidence=0.3)


def _language(text: str, format: Format) -> Iterator[Field]:
    if format.language is not None:
        yield Field(name="language", value=format.language, start=0, end=0, confidence=1.0)
    elif detected := detect_language(text):
        language, confidence = detected
        yield Field(name="language", value=language, start=0, end=min(len(text), SAMPLE_CHARACTERS), confidence=confidence)


def _headings(text: str) -> Iterator[Match]:
    """The headings of Markdown, without marks for links and emphasis; the span is that of the line."""
    for start, _, title in islice(markdown_headings(text), _CANDIDATE_LIMIT):
        end = text.find("\n", start)
        line = text[start : end if end >= 0 else len(text)].rstrip()
        if title:
            yield title, start, start + len(line), 0.95


def _symbols(text: str, outline: Outline) -> Iterator[Match]:
    for start, end, name in sorted(outline.names):
        if end <= len(text) and name.endswith(text[start:end]):  # the name of what is nested too deep is that of the outer one
            yield name, start, end, 0.9


_PYTHON_IMPORT = re.compile(r"from[ \t]++(?P<module>[\w.]++)[ \t]++import\b|import[ \t]++(?P<names>[^\n;#]{1,1000})")


def _imports(text: str, format: Format, outline: Outline) -> Iterator[Match]:
    if format.language != "python":
        yield from _javascript_imports(text)
        return
    for position in islice(outline.imports, _CANDIDATE_LIMIT):
        found = _PYTHON_IMPORT.match(text, position)
        if found is None:
            continue
        if found["module"]:
            yield found["module"], found.start("module"), found.end("module"), 0.95
            continue
        start = found.start("names")
        for part in found["names"].split(","):
            module = part.split(None, 1)[0] if part.strip() else ""
            if module and module.replace(".", "").replace("_", "").isalnum():
                at = start + part.index(module)
                yield module, at, at + len(module), 0.95
            start += len(part) + 1


_JAVASCRIPT_IMPORT = re.compile(
    r"""import(?<![^\s;]import)(?:[ ]*(?=["'])|[\s{*][\w$*{},\s]{0,1000}?[\s}]from[ ]*)["'](?P<module>[^"'\n]{1,300})["']"""
)
_JAVASCRIPT_REQUIRE = re.compile(r"""require\((?<![\w$.]require\()[ ]*["'](?P<module>[^"'\n]{1,300})["'][ ]*\)""")


def _javascript_imports(text: str) -> Iterator[Match]:
    for pattern in (_JAVASCRIPT_IMPORT, _JAVASCRIPT_REQUIRE):
        for found in islice(pattern.finditer(text), _CANDIDATE_LIMIT):
            yield found["module"], found.start("module"), found.end("module"), 0.9
