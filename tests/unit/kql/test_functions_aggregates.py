"""Aggregates: what one answers of the rows of a group."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any

import pytest
from running import Tables, run

from forebay.telemetry.kql.types import KqlType

DAYS = [datetime(2023, 12, 31) + timedelta(days=each) for each in range(4)]  # noqa: DTZ001 - DuckDB's are naive
NUMBERS = Tables(
    [
        ("place", "long"),
        ("n", "long"),
        ("r", "real"),
        ("s", "string"),
        ("b", "bool"),
        ("t", "datetime"),
        ("span", "timespan"),
        ("d", "dynamic"),
    ],
    [
        [1, 3, 1.5, "b", True, DAYS[1], 10_000_000, '{"k": 1}'],
        [2, None, None, None, False, None, None, None],
        [3, 7, -2.0, "a", None, DAYS[3], 30_000_000, '{"k": 2, "m": null}'],
        [4, 3, 0.25, "", True, DAYS[2], 20_000_001, "[1, 2]"],
    ],
)
EMPTY = Tables(NUMBERS.columns)


def of(aggregates: str, table: Tables = NUMBERS) -> dict[str, Any]:
    answer = run(f"T | sort by place asc | summarize {aggregates}", {"T": table})
    return dict(zip(answer.columns, answer.rows[0], strict=True))


def one(aggregate: str, table: Tables = NUMBERS) -> Any:
    return of(f"x = {aggregate}", table)["x"]


@pytest.mark.parametrize(
    ("aggregate", "expected"),
    [
        ("count()", 4),
        ("count(n)", 4),
        ("countif(b)", 2),
        ("countif(n > 3)", 1),
        ("dcount(n)", 2),
        ("dcount(s)", 3),
        ("dcount(s, 4)", 3),
        ("dcountif(s, n == 3)", 2),
        ("count_distinct(s)", 3),
        ("count_distinctif(n, n > 3)", 1),
        ("sum(n)", 13),
        ("sum(r)", -0.25),
        ("sum(span)", timedelta(seconds=6)),
        ("sumif(n, s == 'b')", 3),
        ("sumif(n, s == 'nothing')", 0),
        ("avg(n)", 13 / 3),
        ("avg(t)", DAYS[2]),
        ("avg(span)", timedelta(seconds=2)),
        ("avgif(r, n == 3)", 0.875),
        ("min(n)", 3),
        ("min(r)", -2.0),
        ("min(s)", ""),
        ("min(t)", DAYS[1]),
        ("max(s)", "b"),
        ("max(span)", timedelta(seconds=3)),
        ("maxif(n, s == 'b')", 3),
        ("minif(n, s == 'nothing')", None),
        ("stdevp(n)", 1.8856180831641267),
        ("variance(n)", 5.3333333333),
        ("variancep(n)", 3.5555555556),
        ("varianceif(n, n == 3)", 0.0),
        ("covariance(n, r)", -3.8333333333),
        ("covariancepif(n, r, b)", 0.0),
        ("binary_all_or(n)", 7),
        ("binary_all_and(n)", 3),
        ("binary_all_xor(n)", 7),
        ("percentile(n, 50)", 3),
        ("percentile(n, 67)", 7),
        ("percentile(n, 0)", 3),
        ("percentile(n, 1000)", 7),
        ("percentile(t, 100)", DAYS[3]),
        ("percentile(span, 50)", timedelta(microseconds=2_000_000)),
        ("percentilew(r, n, 60)", 0.25),
        ("percentiles_array(r, 25, 100)", [-2.0, 1.5]),
        ("percentiles_array(r, dynamic([25, 100]))", [-2.0, 1.5]),
        ("percentilesw_array(n, n, 30, 60)", [3, 7]),
        ("take_any(n)", 3),
        ("take_anyif(s, n == 7)", "a"),
        ("any(s)", "b"),
    ],
)
def test_an_aggregate_leaves_out_nulls(aggregate: str, expected: Any) -> None:
    assert one(aggregate) == (pytest.approx(expected) if isinstance(expected, float) else expected)


@pytest.mark.parametrize(
    ("aggregate", "expected"),
    [
        ("make_list(n)", [3, 7, 3]),
        ("make_list(s)", ["b", "", "a", ""]),
        ("make_list(t, 1)", ["2024-01-01T00:00:00.0000000Z"]),
        ("make_list(span)", ["00:00:01", "00:00:03", "00:00:02.0000001"]),
        ("make_list(d)", [{"k": 1}, {"k": 2, "m": None}, 1, 2]),
        ("make_list_if(n, b)", [3, 3]),
        ("make_list_with_nulls(n)", [3, None, 7, 3]),
        ("make_list_with_nulls(r)", [1.5, None, -2.0, 0.25]),
        ("make_set(n)", [3, 7]),
        ("make_set(n, 1)", [3]),
        ("make_set(s)", ["", "a", "b"]),
        ("make_set_if(n, s == 'a')", [7]),
        ("make_set(d)", [1, 2, {"k": 1}, {"k": 2, "m": None}]),
        ("make_bag(d)", {"k": 1, "m": None}),
        ("make_bag(d, 1)", {"k": 1}),
        ("make_bag_if(d, n == 7)", {"k": 2, "m": None}),
        ("make_dictionary(d)", {"k": 1, "m": None}),
        ("buildschema(d)", {"k": "long", "m": "null", "`indexer`": "long"}),
    ],
)
def test_an_aggregate_makes_arrays_and_bags(aggregate: str, expected: Any) -> None:
    assert one(aggregate) == expected


@pytest.mark.parametrize("percent", [1, 7, 14, 28, 29, 55, 56, 57, 58, 99, 99.9])
def test_a_percentile_is_the_value_of_the_exact_rank(percent: float) -> None:
    rows = run(f"range x from 1 to 1000 step 1 | summarize percentiles_array(x, dynamic([{percent}])), percentile(x, {percent})").rows
    assert rows == [([int(percent * 10 + 0.5)], int(percent * 10 + 0.5))]


@pytest.mark.parametrize(
    ("aggregate", "expected"),
    [
        *(
            (name, 0)
            for name in ("count()", "countif(b)", "dcount(n)", "sum(n)", "sumif(r, b)", "stdev(n)", "variance(n)", "count_distinct(s)")
        ),
        *((name, []) for name in ("make_list(n)", "make_set(s)", "make_list_with_nulls(r)")),
        ("make_bag(d)", {}),
        *((name, None) for name in ("min(n)", "max(t)", "percentile(n, 5)", "hll(n)", "tdigest(n)", "buildschema(d)", "take_any(n)")),
        *(
            (name, None)
            for name in ("arg_max(n, r)", "percentiles_array(n, 5, 6)", "percentilesw_array(n, n, 5)", "avg(t)", "covariance(n, r)")
        ),
        *((name, "") for name in ("min(s)", "take_any(s)")),
    ],
)
def test_of_no_rows_there_is_a_default(aggregate: str, expected: Any) -> None:
    assert one(aggregate, EMPTY) == expected


def test_the_mean_of_nothing_is_no_number() -> None:
    assert math.isnan(one("avg(n)", EMPTY))
    assert math.isnan(one("avgif(r, n > 100)"))


def test_one_value_does_not_deviate() -> None:
    assert of("stdev(n), stdevp(n), variance(n), stdevif(n, true)", Tables([("place", "long"), ("n", "long")], [[1, 5]])) == {
        "stdev_n": 0.0,
        "stdevp_n": 0.0,
        "variance_n": 0.0,
        "stdevif_n": 0.0,
    }


def test_sums_beyond_64_bits_are_null() -> None:
    table = Tables([("place", "long"), ("n", "long")], [[1, 2**63 - 1], [2, 2**63 - 1]])
    assert one("sum(n)", table) is None
    assert one("avg(n)", table) == pytest.approx(2.0**63)


def test_reals_that_are_not_finite_do_not_fail() -> None:
    table = Tables([("place", "long"), ("r", "real")], [[1, math.inf], [2, math.nan], [3, 1e308]])
    answer = of("sum(r), stdev(r), variance(r), make_list(r), make_set(r), percentile(r, 50)", table)
    assert answer["list_r"] == ["Infinity", "NaN", 1e308]
    assert math.isnan(answer["sum_r"])
    assert answer["percentile_r_50"] == math.inf


@pytest.mark.parametrize(
    ("aggregate", "kind"),
    [
        ("sum(i)", "long"),
        ("min(i)", "int"),
        ("percentile(i, 50)", "long"),
        ("percentile(d, 50)", "real"),
        ("avg(i)", "real"),
        ("avg(d)", "decimal"),
        ("binary_all_or(i)", "int"),
        ("max(s)", "string"),
        ("make_list(i)", "dynamic"),
    ],
)
def test_the_answer_has_kustos_type(aggregate: str, kind: KqlType) -> None:
    assert run(f"datatable(i: int, d: decimal, s: string) [1, decimal(1.5), 'a'] | summarize {aggregate}").types == [kind]


FRUIT = "datatable(kind: string, colour: string, size: int) "
FRUIT += "['fig', 'green', 2, 'fig', 'blue', int(null), 'nut', 'red', int(null), 'nut', 'grey', int(null)]"


def test_arg_max_takes_all_columns_from_one_row() -> None:
    assert run(f"{FRUIT} | summarize arg_max(size, *) by kind | sort by kind asc").rows == [("fig", 2, "green"), ("nut", None, "red")]
    assert (
        run("range x from 1 to 100000 step 1 | extend y = x % 10, z = -x | summarize (m, a, b) = arg_max(y, x, z) | where a == -b").rows
        != []
    )


def test_take_any_of_several_columns_takes_one_row() -> None:
    ((size, colour),) = run(f"{FRUIT} | summarize take_any(size, colour)").rows
    assert (size, colour) in [(2, "green"), (None, "blue"), (None, "red"), (None, "grey")]
    assert run(f"{FRUIT} | where kind == 'fig' | summarize take_any(size)").rows == [(2,)]


def test_legacy_lists_are_cut_at_128() -> None:
    ((short, full, distinct),) = run(
        "range x from 1 to 200 step 1 | summarize a = makelist(x), b = make_list(x), c = makeset(x)"
        " | project array_length(a), array_length(b), array_length(c)"
    ).rows
    assert (short, full, distinct) == (128, 200, 128)


def test_make_list_goes_by_the_order_of_the_rows() -> None:
    assert run("range x from 1 to 5 step 1 | sort by x desc | summarize make_list(x)").rows == [([5, 4, 3, 2, 1],)]
    large = run("range x from 1 to 300000 step 1 | sort by x desc | summarize l = make_list(x) | project l[0], l[299999]").rows
    assert large == [(300000, 1)]


def test_a_schema_tells_every_type() -> None:
    rows = """dynamic({"a": 1, "b": [1.5, "x"]}), dynamic({"a": "y", "b": [{"c": true}]}), dynamic({"a": 2}), dynamic(null)"""
    assert run(f"datatable(d: dynamic) [{rows}] | summarize buildschema(d)").rows == [
        ({"a": ["long", "string"], "b": {"`indexer`": ["double", "string", {"c": "bool"}]}},)
    ]


def test_small_counts_of_hll_are_exact_and_large_ones_near() -> None:
    rows = run(
        "range x from 1 to 60000 step 1 | summarize h = hll(x), i = hll_if(x, x <= 500), d = hll(x % 7)"
        " | project dcount_hll(h), dcount_hll(i), dcount_hll(d)"
    ).rows
    ((large, small, tiny),) = rows
    assert (small, tiny) == (500, 7)
    assert large == pytest.approx(60000, rel=0.03)


def test_states_of_hll_merge() -> None:
    by_group = "range x from 1 to 3000 step 1 | summarize h = hll(x) by k = x % 3"
    assert run(f"{by_group} | summarize dcount_hll(hll_merge(h))").rows == [(3000,)]
    assert run(
        "range x from 1 to 9 step 1 | summarize a = hll(x), b = hll(x + 5) | project dcount_hll(hll_merge(a, b)), hll_isvalid(a)"
    ).rows == [(14, True)]


def test_a_tdigest_answers_the_nearest_rank() -> None:
    digest = "range x from 1 to 1000 step 1 | summarize t = tdigest(x), w = tdigest(x, 1001 - x)"
    assert run(
        f"{digest} | project percentile_tdigest(t, 50), percentiles_array_tdigest(t, 0, 99.9, 100), rank_tdigest(t, 250),"
        " percentrank_tdigest(t, 250.5)"
    ).rows == [(500, [1, 999, 1000], 250.0, 25.0)]
    assert run(f"{digest} | project percentile_tdigest(w, 50), percentile_tdigest(t, 10, typeof(long)), tdigest_isvalid(t)").rows == [
        (294, 100, True)
    ]


def test_states_of_tdigest_merge_and_stay_small() -> None:
    by_group = "range x from 1 to 30000 step 1 | summarize t = tdigest(x) by k = x % 3"
    ((half, size),) = run(f"{by_group} | summarize t = tdigest_merge(t) | project percentile_tdigest(t, 50), array_length(t[1])").rows
    assert half == pytest.approx(15000, rel=0.01)
    assert size < 1100
    assert run(
        "range x from 1 to 5 step 1 | summarize a = tdigest(x), b = tdigest(x + 5) | project percentile_tdigest(merge_tdigest(a, b), 100)"
    ).rows == [(10,)]


@pytest.mark.parametrize(
    "state", ["1", "'x'", "null", "[]", "[[7],[1],[0]]", "[[7],[1,2],[1]]", '[[7],["a",1],[1,1]]', "[[1024,14],[1.5],[]]"]
)
def test_what_is_no_state_answers_null(state: str) -> None:
    ((percentile, rank, merged, count),) = run(
        f"print d = dynamic({state}) | project percentile_tdigest(d, 50), rank_tdigest(d, 1), merge_tdigest(d, d), dcount_hll(dynamic('x'))"
    ).rows
    assert (percentile, rank, merged, count) == (None, None, None, None)
