"""Patterns of `parse`, as texts to look for one after the other, or as a regular expression."""

from __future__ import annotations

import re
from collections.abc import Sequence

from forebay.telemetry.kql.binding.bound import Before, TextSplit
from forebay.telemetry.kql.binding.expressions import error
from forebay.telemetry.kql.functions.regex_syntax import Regex, RegexError
from forebay.telemetry.kql.syntax.nodes import ParsePart
from forebay.telemetry.kql.types import KqlType

_INTEGER = r"\s*[-+]?\d+"
_GUID_DIGITS = "-?".join(f"[0-9a-fA-F]{{{count}}}" for count in (8, 4, 4, 4, 12))
_GUID = rf"\s*(?:\{{{_GUID_DIGITS}\}}|{_GUID_DIGITS})"

# what a typed column takes before a `*`, where nothing else says where it ends
_SHAPES: dict[KqlType, str] = {
    "int": _INTEGER,
    "long": _INTEGER,
    "real": r"\s*[-+]?(?:\d+\.?\d*|\.\d+)",
    "decimal": r"\s*[-+]?(?:\d+\.?\d*|\.\d+)",
    "bool": r"\s*(?:[tT][rR][uU][eE]|[fF][aA][lL][sS][eE]|[-+]?\d+)",
    "guid": _GUID,
}

# what it takes in kind=regex, wherever it stands
_REGEX_SHAPES: dict[KqlType, str] = {
    "string": ".*",
    "dynamic": ".*",
    "int": _INTEGER,
    "long": _INTEGER,
    "real": r"\s*[-+]?\d+(?:\.\d+)?",
    "decimal": r"\s*[-+]?\d+(?:\.\d+)?",
    "bool": r"\s*(?i:true|false)",
    "guid": _GUID,
    "datetime": (
        r"\s*(?:\d{4}-\d{1,2}-\d{1,2}|\d{1,2}/\d{1,2}/\d{1,4})"
        r"(?:[Tt ]\s*\d{1,2}:\d{1,2}(?::\d{1,2}(?:\.\d*)?)?)?(?:[Zz]|[-+]\d{1,2}(?::\d{1,2})?)?"
    ),
    "timespan": r"\s*-?(?:\d+\.\d{1,2}:\d{1,2}:\d{1,2}|\d{1,2}:\d{1,2}(?::\d{1,2})?)(?:\.\d*)?",
}
_MOMENTS = ("datetime", "timespan")


def splits_of(parts: Sequence[ParsePart]) -> tuple[tuple[TextSplit, ...], Before] | None:
    """The texts to look for, and what becomes of the rest; None where a typed column before a `*` needs a regular expression."""
    splits: list[TextSplit] = []
    before: Before = ""
    for index, part in enumerate(parts):
        if part.literal is not None:
            if before or not splits:
                splits.append(TextSplit(before, part.literal))
            else:
                splits[-1] = TextSplit(splits[-1].before, splits[-1].text + part.literal)
            before = ""
        elif part.name is not None:
            if index + 1 < len(parts) and parts[index + 1].literal is None:
                return None
            before = "capture"
        else:
            before = "skip"
    return tuple(splits), before


def regex_of(parts: Sequence[ParsePart], is_regex: bool, flags: str) -> str:
    """The regular expression of a pattern: with `is_regex`, its texts are such. Raises `KqlError`."""
    made = [f"(?{''.join(sorted(set(flags)))})" if flags else ""] if is_regex else ["(?s)^"]
    for index, part in enumerate(parts):
        following = parts[index + 1] if index + 1 < len(parts) else None
        if part.literal is not None:
            made.append(_without_groups(part) if is_regex else re.escape(part.literal))
        elif part.name is None:
            made.append(".*?")
        elif is_regex:
            made.append(f"({_regex_shape(part, following, flags)})")
        elif following is not None and following.literal is None:
            made.append(f"({_shape(part, is_last=index + 2 == len(parts))})")
        else:
            made.append("(.*?)")
    return "".join(made) if is_regex else "".join(made) + "$"


def _shape(part: ParsePart, *, is_last: bool) -> str:
    shape = _SHAPES.get(part.type)
    if shape is None:
        hint = "a text after the column tells where it ends"
        raise error(part, "unsupported", f"parse: a {part.type} before * is not supported", hint=hint, construct="parse")
    return f"(?:{shape})?" if is_last else shape


def _regex_shape(part: ParsePart, following: ParsePart | None, flags: str) -> str:
    if part.type in _MOMENTS and (following is None or "U" in flags):
        where = "with flags=U" if "U" in flags else "at the end"
        hint = f"capture a string, then use to{part.type}()"
        raise error(
            part, "unsupported", f"parse kind=regex: a {part.type} {where} is not supported", hint=hint, construct="parse kind=regex"
        )
    return _REGEX_SHAPES[part.type]


def _without_groups(part: ParsePart) -> str:
    """A regular expression of the query, whose groups capture nothing."""
    try:
        return Regex(part.literal or "", captures=0).sql_pattern
    except RegexError as wrong:
        raise error(part, "type", str(wrong)) from None
