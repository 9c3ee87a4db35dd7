"""Data that made queries fail or answer wrongly with other compilers of KQL: telemetry is full of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from running import Tables, run

LOGS = Tables(
    [("id", "long"), ("success", "string"), ("message", "string"), ("details", "dynamic")],
    [
        (1, "True", '["not", "a list"]', '"a"'),
        (2, "False", "[1, 2", "1"),
        (3, "", "{}", "[1]"),
        (4, None, None, None),
        (5, "false", "null", "null"),
        (6, "maybe", "a,b", '"1"'),
    ],
)


def date(year: int, month: int, day: int) -> datetime:
    return datetime(year, month, day)  # noqa: DTZ001 - UTC, as all are


def rows(query: str, **tables: Tables) -> list[tuple[Any, ...]]:
    return run(query, {"Logs": LOGS, **tables}).rows


@pytest.mark.parametrize(
    ("condition", "ids"),
    [
        ("success == false", [2, 5]),
        ("success == 'False'", [2]),
        ("success =~ 'false'", [2, 5]),
        ("success == true", [1]),
        ("success != true", [2, 3, 4, 5, 6]),
        ("success != 'True'", [2, 3, 4, 5, 6]),
        ("tobool(success) == false", [2, 5]),
        ("not(success == false)", [1, 3, 4, 6]),
        ("success == ''", [3, 4]),
        ("isempty(success)", [3, 4]),
    ],
)
def test_a_text_column_of_bools_may_have_empty_values(condition: str, ids: list[int]) -> None:
    assert rows(f"Logs | where {condition} | sort by id asc | project id") == [(each,) for each in ids]
    assert rows(f"Logs | summarize n = countif({condition})") == [(len(ids),)]
    assert rows(f"Logs | extend is_so = iff({condition}, 1, 0) | summarize sum(is_so)") == [(len(ids),)]


def test_texts_that_look_like_json_stay_texts_in_lists_and_sets() -> None:
    texts = ['["not", "a list"]', "[1, 2", "{}", "", "null", "a,b"]
    assert rows("Logs | sort by id asc | summarize make_list(message)") == [(texts,)]
    [(found,)] = rows("Logs | summarize make_set(message)")
    assert sorted(found) == sorted(texts)
    assert rows("Logs | where id == 1 | summarize m = make_set(message) | project m[0]") == [(texts[0],)]
    assert rows("Logs | where id == 1 | project bag_pack('m', message), pack_array(message)") == [({"m": texts[0]}, [texts[0]])]


def test_sums_beyond_their_type_neither_fail_nor_lie() -> None:
    numbers = Tables([("i", "int"), ("l", "long")], [(2**31 - 1, 2**63 - 1), (2**31 - 1, 2**63 - 1)])
    answer = run("N | summarize of_int = sum(i), of_long = sum(l), mean = avg(l)", {"N": numbers})
    assert answer.types == ["long", "long", "real"]
    assert answer.rows == [(2**32 - 2, None, float(2**63))]


def test_dynamic_values_join_by_what_they_say() -> None:
    names = Tables([("key", "string"), ("name", "string")], [("a", "first"), ("1", "second"), ("", "empty")])
    query = "Logs | join kind=inner Names on $left.details == $right.key | sort by id asc, name asc | project id, name"
    assert rows(query, Names=names) == [(1, "first"), (2, "second"), (4, "empty"), (5, "empty"), (6, "second")]
    numbers = Tables([("key", "long"), ("name", "string")], [(1, "one")])
    query = "Logs | join kind=inner Names on $left.details == $right.key | sort by id asc | project id"
    assert rows(query, Names=numbers) == [(2,), (6,)]


def test_weeks_begin_on_mondays() -> None:
    times = Tables([("t", "datetime")], [(date(2024, 1, day),) for day in (1, 7, 8)] + [(date(1969, 12, 31),), (date(1, 1, 7),)])
    found = [row[0] for row in run("T | sort by t asc | project bin(t, 7d)", {"T": times}).rows]
    assert found == [date(1, 1, 1), date(1969, 12, 29), date(2024, 1, 1), date(2024, 1, 1), date(2024, 1, 8)]
    of_a_value = run("T | extend size = 7d | sort by t asc | project bin(t, size)", {"T": times}).rows
    assert [row[0] for row in of_a_value] == found


def test_a_member_that_is_missing_or_of_another_kind_compares_to_nothing() -> None:
    assert rows("Logs | where details.a == 'x' or details[0] == 1 or tostring(details.a.b) == 'y' | project id") == [(3,)]
    assert rows("Logs | where isnull(details) | sort by id asc | project id") == [(4,), (5,)]
