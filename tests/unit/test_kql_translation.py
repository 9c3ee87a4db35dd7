from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

import duckdb
import pytest

from forebay.errors import ForebayError
from forebay.telemetry.kql import library, translation
from forebay.telemetry.kql.guard import time_limit
from forebay.telemetry.kql.result import RowConverter
from forebay.telemetry.kql.translation import Translation, TranslationCache

SCHEMA = {"requests": ("timestamp", "name", "duration"), "traces": ("timestamp", "message")}


def made(text: str, size: int = 10) -> Translation:
    return Translation(
        sql="x" * size,
        tables=frozenset(),
        now_parameter=None,
        fixed_now=None,
        declared=(),
        slots=frozenset(),
        ranges=(),
        columns=None,
        chart=None,
    )


def test_a_translation_is_made_once_and_the_least_used_one_goes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(translation, "CACHE_ENTRIES", 2)
    asked: list[str] = []
    cache = TranslationCache(lambda text: (asked.append(text), made(text))[1])
    for text in ("a", "b", "a", "c", "a", "b"):
        cache.translate(text)
    assert asked == ["a", "b", "c", "b"]
    assert cache.find("c") is None
    assert cache.find("a") is not None


def test_the_cache_is_bounded_by_its_size(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(translation, "CACHE_CHARACTERS", 100)
    cache = TranslationCache(lambda text: made(text, 60))
    cache.translate("a")
    cache.translate("b")
    assert (cache.find("a"), cache.find("b") is not None) == (None, True)


def test_a_refusal_is_not_kept():
    calls: list[str] = []

    def refuse(text: str) -> Translation:
        calls.append(text)
        raise ForebayError("query_syntax", "no")

    cache = TranslationCache(refuse)
    for _ in range(2):
        with pytest.raises(ForebayError):
            cache.translate("x")
    assert len(calls) == 2


def translated(text: str) -> Translation:
    with duckdb.connect() as parser:
        return library.translate(text, SCHEMA, parser)


def test_a_defect_of_the_translator_is_a_refusal():
    with duckdb.connect() as parser, pytest.raises(ForebayError) as raised:
        library.translate("let slow = (t: (duration: real)) { t | where duration > 15 }; slow(requests) | count", SCHEMA, parser)
    assert raised.value.code == "query_unsupported"
    assert "AssertionError" in raised.value.message


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("requests\n| wher name == 'x'", "there is no operator 'wher'; did you mean where?"),
        ("requests | zzz", "there is no operator 'zzz'"),
        ("requests | where", "something in this where is not as the parser knows it"),
        ("requests where", ""),
    ],
)
def test_a_misspelt_operator_is_named(text: str, hint: str):
    with duckdb.connect() as parser, pytest.raises(ForebayError) as raised:
        library.translate(text, SCHEMA, parser)
    assert (raised.value.code, raised.value.hint) == ("query_syntax", hint)


def test_an_operator_that_is_not_supported_is_called_by_its_own_name():
    with duckdb.connect() as parser, pytest.raises(ForebayError) as raised:
        library.translate("requests | project-keep name", SCHEMA, parser)
    assert raised.value.message == "line 1, column 12: project-keep is not supported"


def test_a_translation_names_its_tables_and_whether_it_asks_for_the_time():
    with duckdb.connect() as parser:
        timed = library.translate("requests | where timestamp > ago(1h) | join traces on timestamp | count", SCHEMA, parser)
        timeless = library.translate("requests | count", SCHEMA, parser)
        fixed = library.translate("set query_now = datetime(2020-01-01); print now()", SCHEMA, parser)
    assert timed.tables == {"requests", "traces"}
    assert (timed.now_parameter is None, timeless.now_parameter) == (False, None)
    assert (timed.fixed_now, fixed.fixed_now is not None) == (None, True)


def test_what_takes_too_long_is_stopped():
    began = time.monotonic()

    def work() -> None:
        with time_limit(0.1):
            while time.monotonic() - began < 30:
                pass

    with pytest.raises(ForebayError, match=r"longer than 0\.1 seconds"):
        work()
    assert time.monotonic() - began < 10


def test_what_is_done_in_time_is_left_alone_afterwards():
    for _ in range(20):
        with time_limit(0.02):
            pass
    deadline = time.monotonic() + 0.1
    while time.monotonic() < deadline:  # a limit that fired late would raise here
        pass


@pytest.mark.parametrize(
    ("kind", "value", "expected_type", "expected"),
    [
        ("HUGEINT", 5, "long", 5),
        ("HUGEINT", 2**63, "real", 2.0**63),
        ("UBIGINT", 2**64 - 1, "real", float(2**64 - 1)),
        ("DECIMAL(10,2)", Decimal("1.25"), "real", 1.25),
        ("JSON", '{"a": [1]}', "dynamic", {"a": [1]}),
        ("JSON", "not json", "dynamic", "not json"),
        ("STRUCT(a DECIMAL(2,1))", {"a": Decimal("1.5")}, "dynamic", {"a": 1.5}),
        ("INTEGER[]", [1, None], "dynamic", [1, None]),
        ("VARCHAR", "x", "string", "x"),
        ("BIGINT", None, "long", None),
    ],
)
def test_values_of_duckdb_become_values_of_kql(kind: str, value: Any, expected_type: str, expected: Any):
    converter = RowConverter([("x", kind)])
    assert converter.finish(converter.convert([(value,)])) == [(expected,)]
    assert converter.columns == (("x", expected_type),)


def test_a_wide_column_is_real_in_all_its_rows_once_one_value_does_not_fit():
    converter = RowConverter([("x", "HUGEINT"), ("y", "VARCHAR")])
    rows = [*converter.convert([(1, "a")]), *converter.convert([(2**70, "b"), (None, "c")])]
    assert converter.finish(rows) == [(1.0, "a"), (2.0**70, "b"), (None, "c")]
    assert converter.columns == (("x", "real"), ("y", "string"))


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
    "requests | extend a = strrep(name, 1025)": False,
    "requests | extend a = strrep(name, tolong(duration))": False,
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
    with duckdb.connect() as parser:
        if GROWTHS[text]:
            library.translate(text, SCHEMA, parser)
            return
        with pytest.raises(ForebayError) as caught:
            library.translate(text, SCHEMA, parser)
    assert caught.value.code in {"query_too_complex", "query_unsupported"}


@pytest.mark.parametrize("size", ["7d", "5h", "7m", "1.1h", "3d"])
def test_bins_that_would_lie_elsewhere_than_in_kusto_are_refused(size: str) -> None:
    with pytest.raises(ForebayError, match="would not lie where Kusto puts them") as refused:
        translated(f"requests | summarize count() by bin(timestamp, {size})")
    assert refused.value.code == "query_unsupported"


@pytest.mark.parametrize("size", ["1d", "2d", "12h", "1h", "5m", "90s", "1s", "250ms", "10"])
def test_bins_that_divide_the_days_since_the_year_1_are_translated(size: str) -> None:
    assert translated(f"requests | summarize count() by bin(timestamp, {size})").sql
