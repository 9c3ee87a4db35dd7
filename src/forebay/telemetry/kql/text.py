"""What is known of a query's text before any grammar: its bounds, and which chart it asks for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from forebay.errors import ForebayError

TEXT_LIMIT_BYTES = 64 << 10
NESTING_LIMIT = 40  # of brackets: more overflows the translator's stack

# the string forms of https://learn.microsoft.com/kusto/query/scalar-data-types/string
_TOKEN = re.compile(
    r"""
    (?P<space>\s+|//[^\n]*)
  | (?P<string>[hH]?(?:@"(?:[^"]|"")*"|@'(?:[^']|'')*'|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|```.*?```|~~~.*?~~~))
  | (?P<word>[A-Za-z_$][\w$-]*)
  | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartHint:
    """What `render` asks for; the rows are the same with and without it."""

    kind: str  # timechart, piechart, table, ...
    properties: dict[str, str] = field(default_factory=dict)  # title, xcolumn, ...


def check_text(text: str) -> None:
    """Refuse a text that is too long or too deeply nested. Raises `ForebayError` (`query_too_complex`, `query_syntax`)."""
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > TEXT_LIMIT_BYTES:
        raise ForebayError("query_too_complex", f"expected a query of at most {TEXT_LIMIT_BYTES} bytes, got {size}")
    if not text.strip():
        raise ForebayError("query_syntax", "expected a query, got an empty text", hint="for example: requests | take 10")
    depth = 0
    for kind, token, position in _tokens(text):
        if kind != "other":
            continue
        if token in "([{":
            depth += 1
            if depth > NESTING_LIMIT:
                where = position_text(text, position)
                raise ForebayError("query_too_complex", f"expected at most {NESTING_LIMIT} brackets within each other, got more at {where}")
        elif token in ")]}":
            depth -= 1


def read_chart(text: str) -> ChartHint | None:
    """The last `render` of the query."""
    tokens = [(kind, token) for kind, token, _ in _tokens(text) if kind != "space"]
    found: ChartHint | None = None
    for index in range(len(tokens) - 2):
        if tokens[index] == ("other", "|") and tokens[index + 1] == ("word", "render") and tokens[index + 2][0] == "word":
            found = ChartHint(kind=tokens[index + 2][1], properties=_properties(tokens[index + 3 :]))
    return found


def position_text(text: str, position: int) -> str:
    """A position for people: line and column, both from 1."""
    line = text.count("\n", 0, position) + 1
    return f"line {line}, column {position - (text.rfind(chr(10), 0, position) + 1) + 1}"


def _properties(tokens: list[tuple[str, str]]) -> dict[str, str]:
    """`with (title="x", ycolumns=a, b)`: a value runs until the next `name =`."""
    if tokens[:2] != [("word", "with"), ("other", "(")]:
        return {}
    found: dict[str, str] = {}
    name = ""
    for index, (kind, token) in enumerate(tokens[2:], 2):
        if kind == "other" and token == ")":
            break
        is_name = kind == "word" and tokens[index + 1 : index + 2] == [("other", "=")]
        if is_name:
            name = token
            found[name] = ""
        elif name and token != "=":
            found[name] += token.strip("\"'") if kind == "string" else token
    return {key: value.rstrip(",") for key, value in found.items()}


def _tokens(text: str) -> Iterator[tuple[str, str, int]]:
    for match in _TOKEN.finditer(text):
        yield str(match.lastgroup), match.group(), match.start()
