from __future__ import annotations

from decimal import Decimal

import pytest

from forebay.telemetry.kql.binding.naming import result_name, result_names, unique, unnamed
from forebay.telemetry.kql.syntax import nodes


def name(text: str) -> nodes.Name:
    return nodes.Name(0, 0, text)


def value(of: object) -> nodes.Literal:
    types = {str: "string", int: "long", float: "real", Decimal: "decimal"}
    return nodes.Literal(0, 0, types[type(of)], of)  # type: ignore[arg-type]


def call(function: str, *arguments: nodes.Expression) -> nodes.Call:
    return nodes.Call(0, 0, function, arguments)


def member(of: nodes.Expression, field: str) -> nodes.Member:
    return nodes.Member(0, 0, of, field)


def index(of: nodes.Expression, at: nodes.Expression) -> nodes.Index:
    return nodes.Index(0, 0, of, at)


a, b, d, star = name("a"), name("b"), name("d"), nodes.Wildcard(0, 0, "*")
total = nodes.Binary(0, 0, "+", a, b)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (a, "a"),
        (nodes.Named(0, 0, ("x", "y"), a, is_list=True), "x"),
        (total, None),
        (value(1), None),
        (member(d, "x"), "d_x"),
        (member(name("$right"), "x"), "x"),
        (index(d, value("a b")), "d_a b"),
        (member(index(member(d, "x"), value(0)), "y"), "d_x_0_y"),
        (index(d, a), "d_"),
        (index(d, value(1.5)), "d_"),
        (member(call("strcat", a), "y"), "y"),
        (call("tostring", member(d, "x")), "d_x"),
        (call("tostring", total), None),
        (call("bin", a, value(5)), "a"),
        (call("strcat", a), None),
        (call("startofday", a), "a"),
        (call("startofweek", a), None),
        (call("make_datetime", a), "a"),
        (call("make_datetime", a, b), None),
        (call("strlen", a), "strlen_a"),
        (call("count"), "count_"),
        (call("countif", total), "countif_"),
        (call("sum", call("tolong", member(d, "x"))), "sum_d_x"),
        (call("make_list", a), "list_a"),
        (call("round", call("avg", a), value(2)), "avg_a"),
        (call("covariance", a, b), "covariance_a_b"),
        (call("percentiles_array", a, value(5)), "percentiles_a"),
        (call("any", a), "any_a"),
        (call("hll_merge", a), "hll_merge_a"),
        (call("hll_merge", a, b), "hll_merged_result"),
        (call("ingestion_time"), "$IngestionTime"),
        (call("round", call("percentile", a, value(5)), value(1)), None),
    ],
)
def test_a_column_without_a_name_is_called_after_its_expression(expression: nodes.Expression, expected: str | None) -> None:
    assert result_name(expression) == expected


def test_column_ifexists_is_called_as_the_column_that_exists() -> None:
    expression = call("column_ifexists", value("a"), value(0))
    assert result_name(expression, columns={"a"}) == "a"
    assert result_name(expression, columns={"b"}) is None


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (call("percentile", a, value(99.9)), "percentile_a_99_9"),
        (call("percentiles", a, value(5.0), value(95)), "percentile_a_5 percentile_a_95"),
        (call("percentiles", total, value(Decimal("2.5"))), "percentile__2_5"),
        (call("percentile", a, value(0.00001)), "percentile_a_1E_05"),
        (call("percentilesw", a, b, value(5), value(95)), "percentile_a_5 percentile_a_95"),
        (call("arg_max", a, b, star), "a b *"),
        (call("arg_max", a, total), "a max_a_arg1"),
        (call("arg_min", total, total, b), "min_ min__arg1 b"),
        (call("argmax", a, b, total, star), "max_a max_a_b max_a_arg2 max_a_*"),
        (call("argmin", total, b), "min_ min__b"),
        (call("take_any", a), "a"),
        (call("take_any", a, total, star), "a any_arg1 *"),
        (call("any", a, total), "any_a any_arg1"),
        (call("any", star), "any_*"),
        (call("series_fft", member(d, "x")), "series_fft_d_x_real series_fft_d_x_imag"),
        (call("series_fft", value("[]")), "series_fft__real series_fft__imag"),
    ],
)
def test_a_function_of_several_columns_names_each(expression: nodes.Call, expected: str) -> None:
    assert result_names(expression) == tuple(expected.split())


@pytest.mark.parametrize("expression", [call("sum", a), call("any", a), call("percentiles_array", a, value(5))])
def test_a_function_of_one_column_has_no_names_for_several(expression: nodes.Call) -> None:
    assert result_names(expression) is None


def test_a_constant_that_a_let_has_named_is_known_by_its_value() -> None:
    assert result_names(call("percentile", a, b), constant={b: 50}.get) == ("percentile_a_50",)
    assert result_name(call("column_ifexists", b), {"x"}, constant={b: "x"}.get) == "x"


def test_a_name_that_is_taken_gets_the_first_free_number() -> None:
    assert unique("x", {"y"}) == "x"
    assert unique("x", {"x", "x1", "x3"}) == "x2"


def test_columns_that_nothing_names_are_numbered() -> None:
    assert unnamed({"a"}) == "Column1"
    assert unnamed({"Column1", "Column"}) == "Column2"
