from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from forebay.errors import ForebayError
from forebay.telemetry.kql.binding.bound import Column
from forebay.telemetry.kql.sql.generator import Statement
from forebay.telemetry.kql.types import KqlType
from forebay.telemetry.query import translation
from forebay.telemetry.query.result import RowConverter
from forebay.telemetry.query.translation import NeedsData, Translation, TranslationCache, schema_of_project, translate, values_of

SCHEMA = schema_of_project(is_bounded=False)
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def made(text: str, size: int = 10) -> Translation:
    statement = Statement("x" * size, (), {}, ())
    return Translation(statement=statement, declared=(), fixed_now=None, chart=None, is_bounded=False, is_lasting=True)


def test_a_translation_is_made_once_and_the_least_used_one_goes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(translation, "CACHE_ENTRIES", 2)
    asked: list[str] = []
    cache = TranslationCache(lambda text, _: (asked.append(text), made(text))[1])
    for text in ("a", "b", "a", "c", "a", "b"):
        cache.translate(text, is_bounded=False)
    assert asked == ["a", "b", "c", "b"]
    assert cache.find("c", is_bounded=False) is None
    assert cache.find("a", is_bounded=False) is not None


def test_a_query_with_a_timespan_is_another_one():
    cache = TranslationCache(lambda text, is_bounded: translate(text, schema_of_project(is_bounded=is_bounded), is_bounded=is_bounded))
    sql = {is_bounded: cache.translate("requests | count", is_bounded=is_bounded).statement.sql for is_bounded in (False, True)}
    assert "$start" in sql[True]
    assert "$start" not in sql[False]


def test_the_cache_is_bounded_by_its_size(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(translation, "CACHE_CHARACTERS", 100)
    cache = TranslationCache(lambda text, _: made(text, 60))
    cache.translate("a", is_bounded=False)
    cache.translate("b", is_bounded=False)
    assert (cache.find("a", is_bounded=False), cache.find("b", is_bounded=False) is not None) == (None, True)


def test_threads_that_ask_for_the_same_translation_get_the_one_that_the_first_makes():
    asked: list[str] = []
    begun, others = threading.Event(), threading.Barrier(4)

    def make(text: str, _: bool) -> Translation:
        asked.append(text)
        begun.set()
        others.wait(60)
        return made(text)

    cache = TranslationCache(make)

    def ask() -> Translation:
        begun.wait(60)
        others.wait(60)
        return cache.translate("a", is_bounded=False)

    with ThreadPoolExecutor(4) as threads:
        first = threads.submit(cache.translate, "a", is_bounded=False)
        rest = [threads.submit(ask) for _ in range(3)]
    assert {id(each.result()) for each in (first, *rest)} == {id(first.result())}
    assert asked == ["a"]


def test_a_refusal_is_not_kept():
    calls: list[str] = []

    def refuse(text: str, is_bounded: bool) -> Translation:
        calls.append(text)
        raise ForebayError("query_syntax", "no")

    cache = TranslationCache(refuse)
    for _ in range(2):
        with pytest.raises(ForebayError):
            cache.translate("x", is_bounded=False)
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("text", "code", "hint"),
    [
        ("requests\n| wher name == 'x'", "query_syntax", "did you mean where?"),
        ("requests | where nam == 'x'", "query_column_unknown", "did you mean name?"),
        ("reqests | count", "query_table_unknown", "did you mean requests?"),
        ("requests | extend n = strlenn(name)", "query_function_unknown", "did you mean strlen()?"),
    ],
)
def test_a_misspelt_name_is_told_with_the_nearest(text: str, code: str, hint: str):
    with pytest.raises(ForebayError) as raised:
        translate(text, SCHEMA)
    assert raised.value.code == code
    assert hint in f"{raised.value.message} {raised.value.hint}"


def test_one_pass_tells_several_errors():
    with pytest.raises(ForebayError) as raised:
        translate("requests\n| wher name == 'x'\n| summarise count()\n| take 1", SCHEMA)
    assert "line 2" in raised.value.message
    assert "line 3" in raised.value.message


@pytest.mark.parametrize("text", ["database('x').requests", "cluster('c').database('d').requests | count", "externaldata(a: string) ['x']"])
def test_what_reaches_beyond_the_project_is_forbidden(text: str):
    with pytest.raises(ForebayError) as raised:
        translate(text, SCHEMA)
    assert (raised.value.code, raised.value.status) == ("query_forbidden", 403)


def test_every_table_is_read_with_the_condition_of_its_project():
    text = "union requests, traces | join kind=inner (dependencies) on operation_Id | where name in (exceptions | project message) | count"
    sql = translate(text, SCHEMA).statement.sql
    assert sql.count("_project = $project") == 4 == sql.count("store.")


def test_what_depends_on_data_is_translated_with_it_and_not_kept():
    text = "requests | project name, success | evaluate pivot(name)"
    with pytest.raises(NeedsData):
        translate(text, SCHEMA)
    found = translate(text, SCHEMA, explore=lambda relation: [("a",), ("b",)])
    assert not found.is_lasting
    assert {"a", "b"} <= {column.name for column in found.statement.columns}


def test_the_time_of_the_query_is_that_of_the_text_where_it_says_so():
    timed = translate("requests | where timestamp > ago(1h) | count", SCHEMA)
    fixed = translate("set query_now = datetime(2020-01-01); print now()", SCHEMA)
    assert values_of(timed, NOW, {}) == {"now": NOW.replace(tzinfo=None)}
    assert values_of(fixed, NOW, {}) == {"now": datetime(2020, 1, 1, tzinfo=UTC).replace(tzinfo=None)}


DECLARED = "declare query_parameters(n: long, t: datetime = datetime(2020-01-01), s: string = 'x'); print n, t, s"


def test_declared_parameters_take_values_of_their_types_or_their_defaults():
    found = translate(DECLARED, SCHEMA)
    values = set(map(str, values_of(found, NOW, {"n": 5, "t": "2021-01-01"}).values()))
    assert values == {"5", "2021-01-01 00:00:00", "x"}


@pytest.mark.parametrize("given", [{}, {"n": "five"}, {"n": 2**63}, {"n": 1.5}, {"n": 1, "t": "soon"}, {"n": 1, "other": 1}, {"n": True}])
def test_values_that_do_not_fit_their_declaration_are_refused(given: dict[str, Any]):
    with pytest.raises(ForebayError) as raised:
        values_of(translate(DECLARED, SCHEMA), NOW, given)
    assert raised.value.code == "query_parameter_invalid"


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("dynamic", '{"a": [1]}', {"a": [1]}),
        ("dynamic", "not json", "not json"),
        ("decimal", Decimal("1.25000"), "1.25"),
        ("timespan", 36_000_000_000, timedelta(hours=1)),
        ("datetime", datetime(2024, 1, 1, tzinfo=UTC).replace(tzinfo=None), datetime(2024, 1, 1, tzinfo=UTC)),
        ("datetime", "10000-01-01 00:00:00", None),
        ("guid", UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ("string", "x", "x"),
        ("string", None, ""),
        ("long", None, None),
    ],
)
def test_values_of_duckdb_become_values_of_kql(kind: KqlType, value: Any, expected: Any):
    converter = RowConverter([Column(1, "x", kind)])
    assert converter.convert([(value,)]) == [(expected,)]
    assert converter.columns == (("x", kind),)


GROWTHS = {
    "print x = strcat('a', 'b', 'c')": True,
    "requests | extend a = strcat(name, '-', name), b = strcat(name, name)": True,
    "requests | extend a = strcat(name, name) | extend b = strcat(a, a, a) | extend c = strcat(b, name)": True,
    "requests | extend a = replace_string(name, 'x', 'yy')": True,
    "requests | extend a = strrep(name, 1000)": True,
    "requests | extend a = strcat_delim(', ', name, name, name)": True,
    "requests | summarize l = make_list(name) | extend a = strcat_array(l, ', ')": True,
    "requests | summarize l = make_list(name) by name | extend a = strcat_array(l, name)": False,
    "requests | extend name = base64_encode_tostring(name) " + "| extend name = base64_encode_tostring(name) " * 12: False,
    "requests | extend name = tostring(pack_array(name)) " + "| extend name = tostring(pack_array(name)) " * 12: False,
    "requests | extend a = strrep(name, tolong(duration)) | extend b = strcat(a, a, a, a, a)": False,
    "requests | extend a = strrep(strrep(name, 1000), 1000)": False,
    "requests | extend a = strrep(name, 1000) | extend b = strrep(a, 1000)": False,
    "requests | extend a = replace_string(name, 'x', name)": False,
    "requests " + "| extend name = strcat(name, name) " * 13: False,
    "let t = requests | extend a = strrep(name, 1000); t | extend b = strrep(a, 1000)": False,
    "requests | join (requests | extend a = strrep(name, 1000)) on name | extend b = strrep(a, 1000)": False,
    "requests | extend a = pack_array(name, name) " + "| extend a = array_concat(a, a) " * 12: False,
}


@pytest.mark.parametrize("text", GROWTHS, ids=lambda text: text[-60:])
def test_values_may_grow_only_so_much(text: str):
    if GROWTHS[text]:
        translate(text, SCHEMA)
        return
    with pytest.raises(ForebayError) as caught:
        translate(text, SCHEMA)
    assert caught.value.code in {"query_too_complex", "query_unsupported", "query_type"}
