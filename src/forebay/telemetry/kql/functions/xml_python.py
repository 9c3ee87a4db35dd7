"""`parse_xml`: XML as nested dictionaries, row by row.

An element without attributes and children is its text, or null; else a dictionary of `@attribute`, `#text` and its children, those of one
name as an array. Numbers become numbers. Source: https://learn.microsoft.com/kusto/query/parse-xml-function
"""

from __future__ import annotations

import re
from typing import Any

_LONGEST = 1_048_576  # bytes
_DEEPEST = 100
_NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,17})(?:\.\d{1,17})?(?:[eE][-+]?\d{1,2})?", re.ASCII)


class _NotForUs(Exception):
    """Too deep, or with entities of its own."""


class _Reader:
    """Builds the value from what the parser meets."""

    def __init__(self) -> None:
        self.open: list[tuple[dict[str, Any], list[str]]] = [({}, [])]

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if len(self.open) > _DEEPEST:
            raise _NotForUs
        self.open.append(({f"@{key}": value for key, value in attributes.items()}, []))

    def text(self, text: str) -> None:
        self.open[-1][1].append(text)

    def end(self, name: str) -> None:
        members, texts = self.open.pop()
        text = "".join(texts).strip()
        value: Any = {**({"#text": _value(text)} if text else {}), **members} if members else _value(text) if text else None
        if members and text and any(key.startswith("@") for key in members):  # attributes come first
            value = {**{key: each for key, each in members.items() if key[0] == "@"}, **value}
        around = self.open[-1][0]
        if name not in around:
            around[name] = value
        elif isinstance(around[name], _Several):
            around[name].append(value)
        else:
            around[name] = _Several((around[name], value))

    def refuse(self, *_: object) -> None:
        raise _NotForUs


class _Several(list[Any]):
    """The values of elements of one name."""


def parse_xml(xml: str | None) -> dict[str, Any] | None:
    """The value of the root element under its name; None for what is no XML, has entities of its own, or is too long."""
    encoded = (xml or "").encode("utf-8", "replace")
    if not encoded or len(encoded) > _LONGEST:
        return None
    from xml.parsers import expat

    reader = _Reader()
    parser = expat.ParserCreate("utf-8")
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.EntityDeclHandler = reader.refuse
    try:
        parser.Parse(encoded, True)
    except (expat.ExpatError, _NotForUs):
        return None
    return reader.open[0][0]


def _value(text: str) -> str | int | float:
    if not _NUMBER.fullmatch(text):
        return text
    return int(text) if text.lstrip("-").isdigit() else float(text)
