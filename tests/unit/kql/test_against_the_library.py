"""The same answers as the library duckdb-kql, an independent reading of the language, where both have one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import duckdb
import duckdb_kql
import pytest
from running import Tables, answer, database

from forebay.telemetry.kql.types import Schema

TABLES = {
    "Calls": Tables(
        [("at", "datetime"), ("name", "string"), ("ms", "real"), ("code", "long"), ("ok", "bool"), ("who", "string")],
        [
            ("2026-11-22 05:00:00", "GET /a", 10.5, 200, True, "ann"),
            ("2026-11-22 05:07:00", "GET /b", 30.0, 500, False, "bob"),
            ("2026-11-22 06:01:00", "GET /a", 20.25, 200, True, "cy"),
            ("2026-11-22 06:30:00", "POST /a", None, 404, False, "ann"),
            ("2026-11-23 07:59:00", "post /A", 0.0, 201, True, "dee"),
        ],
    ),
    "People": Tables([("who", "string"), ("team", "string")], [("ann", "red"), ("bob", "blue"), ("eve", "red")]),
}

QUERIES = (
    "Calls | where ms > 15 and code == 200 | project name, ms",
    "Calls | where name has 'a' | count",
    "Calls | where name contains 'post' | project code",
    "Calls | where name startswith 'get' and not(ok) | project who",
    "Calls | where name in~ ('get /a', 'post /a') | project who, code",
    "Calls | where who !in ('ann', 'bob') | project who",
    "Calls | where name matches regex '^[A-Z]+ /[ab]$' | project who",
    "Calls | where at between (datetime(2026-11-22 05:05) .. datetime(2026-11-22 06:10)) | project who",
    "Calls | extend slow = iff(ms >= 20.0, 'slow', 'fast') | project who, slow",
    "Calls | extend which = case(code < 300, 'fine', code < 500, 'theirs', 'ours') | summarize n = count() by which",
    "Calls | summarize n = count(), most = max(ms), least = min(code) by ok",
    "Calls | summarize right = countif(ok), dcount(who), sum(code)",
    "Calls | summarize mean = avg(code) by bin(at, 1h)",
    "Calls | distinct code",
    "Calls | top 2 by code desc | project code",
    "Calls | sort by code asc | project code | take 3",
    "Calls | join kind=inner (People) on who | project who, team, code",
    "Calls | join kind=leftouter (People) on who | summarize n = count() by team",
    "Calls | join kind=leftanti (People) on who | project who",
    "Calls | lookup kind=leftouter (People) on who | summarize total = sum(code) by team",
    "union (Calls | project who), (People | project who) | summarize n = count() by who",
    "Calls | extend method = tostring(split(name, ' ')[0]) | summarize n = count() by method",
    "Calls | extend day = startofday(at), hour = hourofday(at) | project who, day, hour",
    "Calls | project text = strcat(who, '-', code), length = strlen(name), upper = toupper(who)",
    "Calls | project half = code / 2, rest = code % 7, whole = bin(code, 100)",
    "let least = 201; let failed = Calls | where code > least; failed | summarize n = count() by who",
    "range x from 1 to 10 step 3 | extend square = x * x",
    "print abs(-3), pow(2, 10), tolong('77'), substring('forebay', 4, 3), datetime_diff('day', datetime(2026-11-22), datetime(2026-11-20))",
)


@pytest.fixture(scope="module")
def tables() -> Iterator[tuple[duckdb.DuckDBPyConnection, Schema]]:
    connection, schema = database(TABLES)
    with connection:
        yield connection, schema


@pytest.mark.parametrize("query", QUERIES)
def test_the_answer_is_that_of_the_library(tables: tuple[duckdb.DuckDBPyConnection, Schema], query: str) -> None:
    connection, schema = tables
    ours = answer(connection, schema, query)
    found = duckdb_kql.execute(connection, query)
    assert ours.columns == [column[0] for column in found.description]
    assert _comparable(ours.rows) == _comparable(found.fetchall())
    assert ours.rows


def _comparable(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Rows in one order, with what is empty in one form: the library leaves missing texts null."""
    return sorted([tuple(_value(value) for value in row) for row in rows], key=repr)


def _value(value: Any) -> Any:
    if value is None or value == "":
        return ""
    if isinstance(value, bool):
        return value
    if isinstance(value, datetime):
        return value.replace(tzinfo=None)
    return float(value) if isinstance(value, (int, float)) else value
