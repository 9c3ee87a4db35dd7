"""Arrays, bags, sets, and what is within them: what an expression answers."""

from __future__ import annotations

from functools import cache
from typing import Any

import duckdb
import pytest
from running import Tables, answer, database, run

from forebay.telemetry.kql.compiler import compile_query
from forebay.telemetry.kql.errors import KqlError
from forebay.telemetry.kql.functions.access import split_path
from forebay.telemetry.kql.functions.arrays_python import array_sum
from forebay.telemetry.kql.types import KqlType, schema_of


@cache
def connection() -> duckdb.DuckDBPyConnection:
    return database({})[0]


def value(expression: str) -> Any:
    return answer(connection(), {}, f"print x = {expression}").rows[0][0]


def of_dynamic(expression: str, *texts: str | None) -> list[Any]:
    """The expression of the column `d` for each row of JSON."""
    tables = {"T": Tables([("d", "dynamic")], [[text] for text in texts])}
    return [row[0] for row in run(f"T | project x = {expression}", tables).rows]


BAG = (
    """dynamic({"a": {"b": [10, 20, {"c": "deep"}]}, "two words": 2, "q'uote": 3, "x\\"y": 4, "*": 5, "s*": 6,"""
    """ "": 7, "back\\\\slash": 8, "$.a": 9})"""
)


@pytest.mark.parametrize(
    ("access", "expected"),
    [
        ("d.a.b[0]", 10),
        ("d['a']['b'][1]", 20),
        ("d.a.b[-1].c", "deep"),
        ("d.a.b[-4]", None),
        ("d.a.b[3]", None),
        ("d.a.b[99999999999]", None),
        ("d.a.b.c", None),
        ("d.A", None),
        ("d[0]", None),
        ("d['two words']", 2),
        ('d["q\'uote"]', 3),
        ("d['x\"y']", 4),
        ("d['*']", 5),
        ("d['s*']", 6),
        ("d['']", 7),
        ("d['back\\\\slash']", 8),
        ("d['$.a']", 9),
        ("d.a.b['0']", None),
    ],
)
def test_members_and_elements_are_found_by_their_exact_keys(access: str, expected: Any) -> None:
    assert answer(connection(), {}, f"print d = {BAG} | project x = {access}").rows == [(expected,)]


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        ("i", [20, None]),
        ("-i", [30, None]),
        ("i + 5", [None, None]),
        ("k", [None, 5]),
        ("tostring(1)", [None, 6]),
        ("dynamic(2)", [30, None]),
        ("dynamic(-2)", [20, None]),
        ("dynamic('/~k')", [None, 5]),
        ("dynamic(null)", [None, None]),
        ("long(null)", [None, None]),
    ],
)
def test_computed_indices_count_in_arrays_and_name_members_of_bags(index: str, expected: list[Any]) -> None:
    tables = {"T": Tables([("d", "dynamic")], [["[10, 20, 30]"], ['{"/~k": 5, "1": 6}']])}
    found = [row[0] for row in run(f"T | extend i = 1, k = '/~k' | project x = d[{index}]", tables).rows]
    assert found == expected


def test_a_chain_of_constant_keys_is_one_path() -> None:
    sql = compile_query("T | project x = d.a[0]['b c'].e", schema_of({"T": [("d", "dynamic")]})).statement.sql
    assert """("d" -> '$.a[0]."b c".e')""" in sql
    assert split_path("""("d" -> '$.a[0]."it''s"')""") == ('"d"', """'$.a[0]."it''s"'""")
    assert split_path("""(a = ("d" -> '$.a'))""") is None


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("pack_array(1, 2.0, 'a', true, dynamic([1]), '')", [1, 2.0, "a", True, [1], ""]),
        ("pack_array(long(null), dynamic(null))", [None, None]),
        ("pack_array(real(nan), real(+inf), real(-inf), real(null))", ["NaN", "Infinity", "-Infinity", None]),
        ("pack_array(datetime(2024-02-29 01:02:03.4567891))", ["2024-02-29T01:02:03.4567890Z"]),
        ("pack_array(0s, -90m, 1.5d, 1tick)", ["00:00:00", "-01:30:00", "1.12:00:00", "00:00:00.0000001"]),
        ("pack_array(decimal(2.50), guid(0d2f5d0a-3f7b-4d0e-8f5e-000000000001))", ["2.5", "0d2f5d0a-3f7b-4d0e-8f5e-000000000001"]),
        ("pack_array(9223372036854775807)", [9223372036854775807]),
        ("repeat('x', 3)", ["x", "x", "x"]),
        ("repeat(2h, 2)", ["02:00:00", "02:00:00"]),
        ("repeat(1, 0)", []),
        ("repeat(1, -1)", None),
        ("repeat(real(null), 2)", [None, None]),
        ("array_length(repeat(1, 5000000))", 1_048_576),
        ("range(3, 11, 4)", [3, 7, 11]),
        ("range(3, 5)", [3, 4, 5]),
        ("range(5, 1, -2)", [5, 3, 1]),
        ("range(5, 1)", []),
        ("range(1, 5, 0)", None),
        ("range(9223372036854775800, 9223372036854775807, 5)", [9223372036854775800, 9223372036854775805]),
        ("array_length(range(-9223372036854775807, 9223372036854775807))", 1_048_576),
        ("range(0.5, 2, 0.5)", [0.5, 1.0, 1.5, 2.0]),
        ("range(real(nan), 2.0, 1.0)", None),
        ("range(long(null), 2, 1)", None),
        ("range(1m, 3m, 1m)", ["00:01:00", "00:02:00", "00:03:00"]),
        ("range(1h, 3h)", ["01:00:00", "02:00:00", "03:00:00"]),
        ("range(datetime(2024-12-31), datetime(2025-01-01 05:00), 12h)[2]", "2025-01-01T00:00:00.0000000Z"),
        ("array_length(range(datetime(2024-01-01), datetime(2024-01-01 05:30)))", 6),
        ("range(datetime(2024-01-02), datetime(2024-01-01), -1d)", ["2024-01-02T00:00:00.0000000Z", "2024-01-01T00:00:00.0000000Z"]),
        ("zip(dynamic([1, 2]), dynamic(['a']), dynamic([[]]))", [[1, "a", []], [2, None, None]]),
        ("zip(dynamic([1]), dynamic({}))", None),
    ],
)
def test_arrays_are_made(expression: str, expected: Any) -> None:
    assert value(expression) == expected


def test_values_enter_dynamic_from_columns_as_from_constants() -> None:
    columns: list[tuple[str, KqlType]] = [("r", "real"), ("t", "timespan"), ("s", "string"), ("n", "datetime")]
    rows: list[list[Any]] = [[float("nan"), -1, None, None], [1.0, 864_000_000_000 * 2 + 5, "é", "2020-01-01 00:00:00.5"]]
    answer = run("T | project pack_array(r, t, s, n)", {"T": Tables(columns, rows)})
    assert [row[0] for row in answer.rows] == [
        ["NaN", "-00:00:00.0000001", "", None],
        [1.0, "2.00:00:00.0000005", "é", "2020-01-01T00:00:00.5000000Z"],
    ]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("array_length(dynamic([1, null]))", 2),
        ("array_length(dynamic([]))", 0),
        ("array_length(dynamic({'a': 1}))", None),
        ("array_concat(dynamic([1]), dynamic([]), dynamic(['a', null]))", [1, "a", None]),
        ("array_concat(dynamic([1]), dynamic(null))", None),
        ("array_concat(dynamic([1]))", [1]),
        ("array_reverse(dynamic([1, null, 'a']))", ["a", None, 1]),
        ("array_reverse(dynamic('abc'))", None),
        ("array_slice(dynamic([0, 1, 2, 3]), 1, 2)", [1, 2]),
        ("array_slice(dynamic([0, 1, 2, 3]), -2, -1)", [2, 3]),
        ("array_slice(dynamic([0, 1, 2, 3]), -9, 0)", [0]),
        ("array_slice(dynamic([0, 1, 2, 3]), 2, 99)", [2, 3]),
        ("array_slice(dynamic([0, 1, 2, 3]), 3, 1)", []),
        ("array_slice(dynamic(5), 0, 1)", None),
        ("array_split(dynamic([1, 2, 3]), 1)", [[1], [2, 3]]),
        ("array_split(dynamic([1, 2, 3]), -1)", [[1, 2], [3]]),
        ("array_split(dynamic([1, 2, 3, 4]), dynamic([1, 1, 3]))", [[1], [], [2, 3], [4]]),
        ("array_split(dynamic([1]), dynamic(['a']))", None),
        ("array_sum(dynamic([1, 2.5, -1]))", 2.5),
        ("array_sum(dynamic([]))", 0.0),
        ("array_sum(dynamic([1, 'a']))", None),
        ("array_rotate_left(dynamic([1, 2, 3, 4]), 1)", [2, 3, 4, 1]),
        ("array_rotate_left(dynamic([1, 2, 3, 4]), 9)", [2, 3, 4, 1]),
        ("array_rotate_right(dynamic([1, 2, 3, 4]), 1)", [4, 1, 2, 3]),
        ("array_rotate_right(dynamic([]), 1)", []),
        ("array_shift_left(dynamic([1, 2, 3]), 1)", [2, 3, None]),
        ("array_shift_left(dynamic([1, 2, 3]), 7, 0)", [0, 0, 0]),
        ("array_shift_left(dynamic([1, 2, 3]), -1, 'x')", ["x", 1, 2]),
        ("array_shift_right(dynamic([1, 2, 3]), 2, 1h)", ["01:00:00", "01:00:00", 1]),
        ("array_shift_right(dynamic(['a', 'b']), 1)", ["", "a"]),
        ("array_iff(dynamic([true, 0, 'x', null, 2]), 'yes', 'no')", ["yes", "no", None, None, "yes"]),
        ("array_iif(dynamic([true, false]), dynamic([1]), dynamic([3, 4]))", [1, 4]),
        ("array_iff(dynamic([1, 1]), dynamic([1]), 0)", [1, None]),
        ("array_iff(dynamic(true), 1, 0)", None),
    ],
)
def test_arrays_are_taken_apart(expression: str, expected: Any) -> None:
    assert value(expression) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("array_index_of(d, 'b')", [1, -1, None, None]),
        ("array_index_of(d, 'B')", [-1, -1, None, None]),
        ("array_index_of(d, 1)", [-1, 1, None, None]),
        ("array_index_of(d, 2.0)", [-1, 2, None, None]),
        ("array_index_of(d, 'b', 2)", [3, -1, None, None]),
        ("array_index_of(d, 'b', 2, 1)", [-1, -1, None, None]),
        ("array_index_of(d, 'b', -1)", [3, -1, None, None]),
        ("array_index_of(d, 'b', 0, -1, 2)", [3, -1, None, None]),
        ("array_index_of(d, 'b', 0, -2)", [None, None, None, None]),
        ("set_has_element(d, 'b')", [True, False, None, None]),
        ("set_has_element(d, true)", [False, True, None, None]),
        ("set_has_element(d, decimal(2))", [False, True, None, None]),
        ("set_has_element(d, 3)", [False, False, None, None]),
    ],
)
def test_values_are_searched_for_in_arrays_only(expression: str, expected: list[Any]) -> None:
    assert of_dynamic(expression, '["a", "b", "c", "b"]', "[true, 1, 2]", '{"b": 1}', None) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("set_union(dynamic([3, 1, 3]), dynamic([2, 1]), dynamic(['1']))", [3, 1, 2, "1"]),
        ("set_union(dynamic([1, true]), dynamic([1.0, [1], [1], {'a': 1}]))", [1, True, [1], {"a": 1}]),
        ("set_union(dynamic([1]), dynamic(null))", None),
        ("set_intersect(dynamic([1, 2, 2, 3]), dynamic([3, 2]), dynamic([2, 3, 4]))", [2, 3]),
        ("set_intersect(dynamic([1]), dynamic(['1']))", []),
        ("set_difference(dynamic([1, 2, 2, 3]), dynamic([1]), dynamic([3]))", [2]),
        ("set_difference(dynamic(1), dynamic([1]))", None),
        ("jaccard_index(dynamic([1, 1, 2]), dynamic([2, 3]))", 1 / 3),
        ("jaccard_index(dynamic([1]), dynamic('a'))", None),
    ],
)
def test_sets_are_arrays_without_repetition(expression: str, expected: Any) -> None:
    assert value(expression) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("array_sort_asc(dynamic([3, 1.5, 2]))", [1.5, 2, 3]),
        ("array_sort_desc(dynamic([3, 1.5, 2]))", [3, 2, 1.5]),
        ("array_sort_asc(dynamic(['b', null, 'B', 'a']))", ["B", "a", "b", None]),
        ("array_sort_desc(dynamic(['b', null, 'a']), false)", [None, "b", "a"]),
        ("array_sort_asc(dynamic(['x', 5, true, null, 1]))", [1, 5, "x", True, None]),
        ("array_sort_asc(dynamic([time(1.00:00:00), time(02:00:00), time(-00:01:00)]))", ["-00:01:00", "02:00:00", "1.00:00:00"]),
        ("array_sort_asc(dynamic({}))", None),
        ("array_sort_asc(dynamic([3, 1, 2]), dynamic(['c', 'a', 'b']))[1]", ["a", "b", "c"]),
        ("array_sort_desc(dynamic([1, null]), dynamic(['a', 'b']), false)[1]", ["b", "a"]),
        ("array_sort_asc(dynamic([2, 1]), dynamic(['short']))[1]", None),
    ],
)
def test_arrays_are_sorted_numbers_before_texts_and_nulls_last(expression: str, expected: Any) -> None:
    assert value(expression) == expected


def test_arrays_sorted_together_become_columns() -> None:
    answer = run("print a = dynamic([2, 1]), b = dynamic(['x', 'y']) | project array_sort_desc(a, b)")
    assert answer.columns == ["a_sorted", "b_sorted"]
    assert answer.rows == [([2, 1], ["x", "y"])]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("bag_pack('a', 1, 'b', 'x', 'c', bag_pack('d', 1h))", {"a": 1, "b": "x", "c": {"d": "01:00:00"}}),
        ("pack('a', int(null), 'n', real(nan))", {"a": None, "n": "NaN"}),
        ("pack_dictionary(strcat('a', 'b'), 1)", {"ab": 1}),
        ("bag_pack('a', 1, 'a', 2)", {"a": 2}),
        ("bag_zip(dynamic(['a', 1, 'b', 'c']), dynamic([1, 2, 3]))", {"a": 1, "b": 3, "c": None}),
        ("bag_zip(dynamic(['a']), dynamic('x'))", {"a": None}),
        ("bag_zip(dynamic('a'), dynamic([1]))", None),
        ("bag_keys(dynamic({'b': 1, 'a': {'c': 2}}))", ["b", "a"]),
        ("bag_keys(dynamic([1]))", None),
        ("bag_has_key(dynamic({'a': null}), 'a')", True),
        ("bag_has_key(dynamic({'a': {'b': 1}}), 'b')", False),
        ('bag_has_key(dynamic({"it\'s": 1}), "it\'s")', True),
        ("bag_has_key(dynamic({'*': 1}), '*')", True),
        ("bag_has_key(dynamic({'a': 1}), '*')", False),
        ("bag_has_key(dynamic(['a']), 'a')", None),
        ("bag_has_key(dynamic({'a': {'b c': 1}}), \"$.a['b c']\")", True),
        ("bag_has_key(dynamic({'a': {'b': 1}}), '$.a.b.c')", False),
        ("bag_merge(dynamic({'a': 1}), dynamic({'a': 2, 'b': 3}), dynamic({'b': 4, 'c': 5}))", {"a": 1, "b": 3, "c": 5}),
        ("bag_remove_keys(dynamic({'a': 1, 'b': 2, 'c': 3}), dynamic(['a', 'z', 5]))", {"b": 2, "c": 3}),
        ("bag_remove_keys(dynamic({'a': {'b': 1, 'c': {'d': 2, 'e': 3}}}), dynamic(['$.a.c.d', '$.a.q']))", {"a": {"b": 1, "c": {"e": 3}}}),
        ("bag_remove_keys(dynamic({'$.a': 1, 'a': 2}), dynamic(['$.a']))", {"$.a": 1}),
        ("bag_remove_keys(dynamic([1]), dynamic(['a']))", None),
        ("bag_set_key(dynamic({'a': 1}), 'b', datetime(2024-01-01))", {"a": 1, "b": "2024-01-01T00:00:00.0000000Z"}),
        ("bag_set_key(dynamic({'a': 1}), 'a', dynamic([2]))", {"a": [2]}),
        ("bag_set_key(dynamic({'a': {'x': 1}}), '$.a.b.c', 2)", {"a": {"x": 1, "b": {"c": 2}}}),
        ("bag_set_key(dynamic(null), 'a', 1)", None),
        ("treepath(dynamic({'a': 1, 'b': [{'c': 1}, {'d': 2}]}))", ["['a']", "['b']", "['b'][0]", "['b'][0]['c']", "['b'][0]['d']"]),
        ("treepath(dynamic('x'))", None),
        ("dynamic_to_json(dynamic({'b': [2, 1], 'a': {'d': 'é', 'c': 1.0}}))", '{"a":{"c":1.0,"d":"é"},"b":[2,1]}'),
        ("dynamic_to_json(dynamic(null))", ""),
    ],
)
def test_bags_are_made_and_changed(expression: str, expected: Any) -> None:
    assert value(expression) == expected


def test_all_columns_are_packed_and_empty_ones_left_out_on_demand() -> None:
    columns: list[tuple[str, KqlType]] = [("s", "string"), ("n", "long"), ("d", "dynamic"), ("it's", "real")]
    tables = {"T": Tables(columns, [["", None, "null", 1.5], ["x", 0, '{"a": 1}', None]])}
    answer = run("T | project pack_all(), pack_all(true), bag_pack_columns(n, s)", tables)
    assert answer.rows == [
        ({"s": "", "n": None, "d": None, "it's": 1.5}, {"it's": 1.5}, {"n": None, "s": ""}),
        ({"s": "x", "n": 0, "d": {"a": 1}, "it's": None}, {"s": "x", "n": 0, "d": {"a": 1}}, {"n": 0, "s": "x"}),
    ]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("bag_pack('a')", "bag_pack"),
        ("bag_pack('a', 1, 'b')", "pairs"),
        ("bag_pack(1, 2)", "bag_pack"),
        ("pack_array()", "pack_array"),
        ("set_union(dynamic([1]))", "set_union"),
        ("array_length('a')", "array_length"),
        ("array_slice(dynamic([1]), 1)", "array_slice"),
    ],
)
def test_wrong_arguments_are_refused(expression: str, expected: str) -> None:
    with pytest.raises(KqlError, match=expected):
        value(expression)


def test_json_of_any_kind_fails_no_function() -> None:
    texts = ["1", "1.5", "true", '"x"', "null", "[]", "{}", '[null,[{"a":1}]]', '{"a":{"b":null},"":1}', None, "[" * 300 + "]" * 300]
    expressions = [
        "array_length(d)",
        "array_concat(d, d)",
        "array_slice(d, -1, 5)",
        "array_iff(d, d, d)",
        "array_sum(d)",
        "array_split(d, d)",
        "set_union(d, d)",
        "zip(d, d)",
        "array_sort_asc(d)",
        "array_index_of(d, d)",
        "array_rotate_left(d, 3)",
        "array_shift_left(d, 3, d)",
        "bag_keys(d)",
        "bag_merge(d, d)",
        "bag_remove_keys(d, d)",
        "bag_set_key(d, 'a', d)",
        "bag_zip(d, d)",
        "bag_has_key(d, '$.a.b')",
        "treepath(d)",
        "dynamic_to_json(d)",
        "jaccard_index(d, d)",
        "pack_array(d)",
        "bag_pack('k', d)",
        "d.a.b",
        "d[0]",
        "d[d]",
    ]
    for expression in expressions:
        assert len(of_dynamic(expression, *texts)) == len(texts), expression


def test_a_sum_beyond_all_numbers_is_null() -> None:
    assert array_sum([10**400]) is None
