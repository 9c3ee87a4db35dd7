"""`search`, `find`, and conditions over all columns."""

from __future__ import annotations

from functools import cache
from typing import Any

import duckdb
import pytest
from running import Answer, Tables, answer, database

from forebay.telemetry.kql.errors import KqlError
from forebay.telemetry.kql.types import Schema

TABLES = {
    "Logs": Tables(
        [("id", "long"), ("text", "string"), ("d", "dynamic")],
        [[1, "disk full", '{"host": "web1"}'], [2, "Disk ok", "null"], [3, None, '["full"]'], [42, "diskless", None]],
    ),
    "Events": Tables([("id", "long"), ("kind", "string"), ("level", "long")], [[7, "disk", 3], [8, "", None], [9, "net", 1]]),
}


@cache
def tables() -> tuple[duckdb.DuckDBPyConnection, Schema]:
    return database(TABLES)


def ask(query: str) -> Answer:
    return answer(*tables(), query)


def ids(query: str) -> list[int]:
    found = ask(query)
    place = found.columns.index("id")
    return sorted(row[place] for row in found.rows)


@pytest.mark.parametrize(
    ("predicate", "expected"),
    [
        ("'disk'", [1, 2]),
        ("'DISK'", [1, 2]),
        ("'dis*'", [1, 2, 42]),
        ("'*less'", [42]),
        ("'*isk*'", [1, 2, 42]),
        ("'*'", [1, 2, 3, 42]),
        ("*", [1, 2, 3, 42]),
        ("'full'", [1, 3]),
        ("'web1'", [1]),
        ("'42'", [42]),
        ("'disk' and 'full'", [1]),
        ("'full' and not('web1')", [3]),
        ("'nothing' or 'ok'", [2]),
        ("text: 'full'", [1]),
        ("text == 'Disk ok'", [2]),
        ("'disk' and id > 1", [2]),
    ],
)
def test_search_finds_terms_in_any_column(predicate: str, expected: list[int]) -> None:
    assert ids(f"Logs | search {predicate}") == expected
    assert ids(f"search in (Logs) {predicate}") == expected


def test_search_may_mind_case() -> None:
    assert ids("Logs | search kind=case_sensitive 'Disk'") == [2]


def test_search_tells_the_table_of_each_row() -> None:
    assert ask("search in (Logs, Events) 'disk' | summarize count() by $table | sort by $table asc").rows == [("Events", 1), ("Logs", 2)]
    assert ask("search 'net'").columns == ["$table", "id", "text", "d", "kind", "level"]
    assert ask("Logs | where id < 3 | search 'disk'").columns == ["$table", "id", "text", "d"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("search 'disk'", [1, 2, 7]),
        ("search in (Ev*) 'disk'", [7]),
        ("search kind == 'disk'", [7]),  # other tables have null there
        ("search level > 1 or text has 'ok'", [2, 7]),
        ("search kind: 'disk'", [7]),
    ],
)
def test_search_looks_into_several_tables(query: str, expected: list[int]) -> None:
    assert ids(query) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("find in (Logs, Events) where text has 'disk' or kind == 'disk' project id", [1, 2, 7]),
        ("find where level > 0 project id, kind", [7, 9]),
        ("find in (Events) where isnull(level) project id", [8]),
        ("find in (Logs, Events) where isnull(level) project id", [8]),  # Logs has no level, so it is not searched
    ],
)
def test_find_filters_tables_that_have_the_columns(query: str, expected: list[int]) -> None:
    assert ids(query) == expected


def test_find_shows_the_table_and_the_columns_that_are_asked_for() -> None:
    found = ask("find withsource=From in (Events, Logs) where id in (1, 7) project text, id, kind")
    assert found.columns == ["From", "text", "id", "kind"]
    assert sorted(found.rows) == [("Events", "", 7, "disk"), ("Logs", "disk full", 1, "")]
    assert ask("find where id == 1 project text").columns == ["source_", "text"]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("* has 'disk'", [1, 2]),
        ("* has_cs 'Disk'", [2]),
        ("* contains 'ull'", [1, 3]),
        ("* == 'diskless'", [42]),
        ("* in ('Disk ok', '42')", [2, 42]),
        ("* has 'full' and id == 1", [1]),
        ("not(* has 'disk')", [3, 42]),
    ],
)
def test_where_may_look_into_all_columns(condition: str, expected: list[int]) -> None:
    assert ids(f"Logs | where {condition}") == expected


@pytest.mark.parametrize(
    ("query", "code", "place"),
    [
        ("Logs | search nope == 1", "unknown_column", "nope"),
        ("search nope: 'x'", "unknown_column", "nope: 'x'"),
        ("search in (Nowhere) 'x'", "unknown_table", "Nowhere"),
        ("Logs | search 'a*b'", "unsupported", "'a*b'"),
        ("print x = 'a' | search 'a'", "unsupported", "search 'a'"),
        ("find in (Logs) where id == 1", "unsupported", "find in (Logs) where id == 1"),
        ("find in (Logs) where id == 1 project nope", "unknown_column", "nope"),
        ("find in (Logs) where id == 1 project id: string", "unsupported", "id: string"),
        ("Logs | where * == 5", "type", "* == 5"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(query: str, code: str, place: str) -> None:
    with pytest.raises(KqlError) as wrong:
        ask(query)
    found: Any = wrong.value.diagnostics[0]
    assert (found.code, query[found.start : found.end]) == (code, place)
