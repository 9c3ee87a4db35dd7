"""Tables of values that have broken something before: nulls, empty texts, texts that look like something else, the ends of all types."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime
from typing import Any

from tests.kql.values import TICKS_PER_DAY, TICKS_PER_SECOND, is_nan, parse_json, ticks_of

from forebay.telemetry.kql.types import KqlType

COLUMNS: dict[str, dict[str, KqlType]] = {
    "T": {
        "id": "long",
        "b": "bool",
        "i": "int",
        "l": "long",
        "r": "real",
        "t": "datetime",
        "n": "timespan",
        "s": "string",
        "u": "string",
        "g": "guid",
        "d": "dynamic",
        "e": "dynamic",
    },
    "U": {"id": "long", "b": "bool", "l": "long", "r": "real", "t": "datetime", "s": "string", "d": "dynamic"},
}

# fmt: off
_TEXTS = (
    "", None, "a", "A", "b", "abc", "Abc def", "true", "False", "1", "-7", "2.5", "[1,2]", '["a","b"]', '{"a":1}', '{"a":{"b":"x"}}',
    "null", "2024-02-29", "2024-01-31T12:34:56.789Z", "01:02:03", "1.00:00:00.5000000", "foo bar", "foo-bar", "foo.Bar baz", "x,y,,z",
    " a ", "é", "É", "日本語", "a\tb", "a\nb", "\x01", "'", '"', "\\", "%", "_", "a%b", "a_b", "😀", "NaN", "a;b|c",
    "6f9619ff-8b86-d011-b42d-00cf4fc964ff", "[", "{", "9223372036854775807", "kql_has_term_0",
)
_JSON = (
    None, "null", "1", "0", "-3", "2.5", "1.0", "9007199254740993", "9223372036854775807", '"a"', '"A"', '""', '"1"', '"true"', '"[1,2]"',
    "true", "false", "[]", "[1,2,3]", '["a","b"]', '[1,"a",null,true,2.5,[1],{"a":1}]', "[[1,2],[3]]", "{}", '{"a":1}',
    '{"a":"x","b":[1,2]}', '{"a":{"b":{"c":"deep"}}}', '{"a":null}', '{"a b":1,"c.d":"é"}', '"2024-01-31T00:00:00.0000000Z"', '"01:00:00"',
    '{"b":true,"a":[]}',
)
# fmt: on
_MOMENTS = tuple(
    datetime.fromisoformat(each)
    for each in (
        "2024-01-01",
        "2024-01-31T12:34:56.789012",
        "2024-02-29T23:59:59.999999",
        "2024-03-01",
        "2023-12-31T23:00:00",
        "1969-12-31T23:59:59.999999",
        "1970-01-01",
        "1900-02-28T01:02:03",
        "0001-01-01",
        "0001-01-02T03:04:05.000006",
        "9999-12-31T23:59:59.999999",
        "2024-06-15T12:00:00",
    )
)
_MORE_SPANS = (7 * TICKS_PER_DAY, 90 * 60 * TICKS_PER_SECOND + 5_000_000, -TICKS_PER_DAY - 15, 2**63 - 1, -(2**63))
CELLS: dict[KqlType, tuple[Any, ...]] = {
    "bool": (None, True, False),
    "int": (None, 0, 1, -1, 2, 3, 7, -7, 100, 2**31 - 1, -(2**31)),
    "long": (None, 0, 1, 1, 2, 3, -1, -7, 10, 64, 1000, 2**31, 2**53 + 1, 2**63 - 1, -(2**63), -(2**63) + 1),
    "real": (None, 0.0, -0.0, 1.0, 1.5, -2.5, 0.1, 3.0, 100.25, math.nan, math.inf, -math.inf, 1e308, -1e308, 5e-324, 2.0**53 + 2, 1e18),
    "datetime": (None, *_MOMENTS),
    "timespan": (None, 0, 1, -1, TICKS_PER_SECOND, -TICKS_PER_SECOND, 3600 * TICKS_PER_SECOND, TICKS_PER_DAY, *_MORE_SPANS),
    "string": _TEXTS,
    "guid": (None, "6f9619ff-8b86-d011-b42d-00cf4fc964ff", "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"),
    "dynamic": _JSON,
}
# few values, so that groups and joins meet; most tables have them
_TAME: dict[KqlType, int] = {"int": 6, "long": 7, "real": 5, "datetime": 5, "timespan": 6, "string": 7, "dynamic": 9}

Table = list[tuple[Any, ...]]  # as DuckDB takes them
Choose = Callable[[int], int]


def rows_of_tables(choose: Choose) -> dict[str, Table]:
    """Rows of each table; `id` is a key. `choose(n)` answers a number below n."""
    found: dict[str, Table] = {}
    for name, columns in COLUMNS.items():
        count, is_tame = choose(7), choose(2) == 0
        cells = [CELLS[kind][: _TAME.get(kind, 3)] if is_tame else CELLS[kind] for column, kind in columns.items() if column != "id"]
        found[name] = [(number, *(each[choose(len(each))] for each in cells)) for number in range(count)]
    return found


def modelled(name: str, rows: Table) -> list[tuple[Any, ...]]:
    """The same as the model has them."""
    kinds = list(COLUMNS[name].values())
    return [tuple(_value(kind, cell) for kind, cell in zip(kinds, row, strict=True)) for row in rows]


def _value(kind: KqlType, cell: Any) -> Any:
    if cell is None:
        return "" if kind == "string" else None
    if kind == "dynamic":
        return parse_json(cell)
    return ticks_of(cell) if kind == "datetime" else cell


def literal(kind: KqlType, cell: Any) -> str:
    """A value as KQL writes it."""
    if kind == "string":
        return quoted(cell or "")
    if cell is None:
        return f"{kind}(null)"
    match kind:
        case "bool":
            return "true" if cell else "false"
        case "int":
            return f"int({cell})"
        case "long":
            return f"long({cell})"
        case "real":
            return f"real({'+inf' if cell == math.inf else '-inf' if cell == -math.inf else 'nan' if is_nan(cell) else repr(cell)})"
        case "datetime":
            return f"datetime({cell.isoformat()})"
        case "timespan":
            return f"timespan({cell} ticks)" if abs(cell) < 2**63 - 1 else "timespan(null)"
        case "guid":
            return f"guid({cell})"
        case _:
            return f"dynamic({cell})"


def quoted(text: str) -> str:
    """A text as KQL writes it."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\t", "\\t").replace("\x01", "\\u0001")
    return f"'{escaped}'"


def described(found: dict[str, Table]) -> str:
    """The tables, for who has to find out what is wrong."""
    return "\n".join(f"{name} {list(COLUMNS[name])}\n" + "\n".join(f"  {row}" for row in rows) for name, rows in found.items())
