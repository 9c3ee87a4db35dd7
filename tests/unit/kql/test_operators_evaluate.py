"""`evaluate`: plugins."""

from __future__ import annotations

from typing import Any

import pytest
from running import run

from forebay.telemetry.kql.compiler import compile_query
from forebay.telemetry.kql.errors import KqlError

BAGS = "datatable(n: string, d: dynamic)['a', dynamic({'n': 'x', 'i': 1}), 'b', dynamic({'i': 2, 'l': [1], 'v': 1}), 'c', dynamic(null)]"
SALES = "datatable(k: string, who: string, n: long)['p', 'ann', 1, 'p', 'bob', 2, 'q', 'ann', 3, 'p', 'ann', 10]"


def test_the_values_of_bags_become_columns_in_the_order_of_their_names() -> None:
    answer = run(f"{BAGS} | project-away n | evaluate bag_unpack(d)")
    assert answer.columns == ["i", "l", "n", "v"]
    assert answer.types == ["long", "dynamic", "string", "long"]
    assert answer.rows == [(1, None, "x", None), (2, [1], "", 1), (None, None, "", None)]


def test_a_value_of_several_types_is_dynamic() -> None:
    assert run("datatable(d: dynamic)[dynamic({'a': 1}), dynamic({'a': 'x'})] | evaluate bag_unpack(d)").types == ["dynamic"]


@pytest.mark.parametrize(
    ("arguments", "columns", "first"),
    [
        ("d, 'p_'", ["n", "p_i", "p_l", "p_n", "p_v"], ("a", 1, None, "x", None)),
        ("d, columnsConflict='replace_source', ignoredProperties=dynamic(['l', 'v'])", ["n", "i"], ("x", 1)),
        ("d, '', 'keep_source', dynamic(['l', 'v'])", ["n", "i"], ("a", 1)),
        ("d): (*, i: long", ["n", "i"], ("a", 1)),
        ("d): (i: real", ["i"], (1.0,)),
    ],
)
def test_how_bags_are_unpacked_may_be_said(arguments: str, columns: list[str], first: tuple[Any, ...]) -> None:
    answer = run(f"{BAGS} | evaluate bag_unpack({arguments})")
    assert (answer.columns, answer.rows[0]) == (columns, first)


@pytest.mark.parametrize(
    ("plugin", "columns", "rows"),
    [
        ("pivot(who, sum(n))", ["k", "ann", "bob"], [("p", 11, 2), ("q", 3, 0)]),
        ("pivot(who, max(n), k)", ["k", "ann", "bob"], [("p", 10, 2), ("q", 3, None)]),
        ("pivot(who, count(), k)", ["k", "ann", "bob"], [("p", 2, 1), ("q", 1, 0)]),
        ("pivot(who, sum(n)): (bob: long, k: string, zoe: long)", ["bob", "k", "zoe"], [(0, "q", 0), (2, "p", 0)]),
        ("narrow() | where Row == 1", ["Row", "Column", "Value"], [(1, "k", "p"), (1, "n", "2"), (1, "who", "bob")]),
    ],
)
def test_columns_become_rows_and_rows_columns(plugin: str, columns: list[str], rows: list[tuple[Any, ...]]) -> None:
    answer = run(f"{SALES} | evaluate {plugin}")
    assert (answer.columns, sorted(answer.rows)) == (columns, rows)


def test_sets_have_values_in_common() -> None:
    query = """range x from 1 to 100 step 1
    | summarize a = hll(x), b = hll(iff(x % 2 == 0, x, 0)), c = hll(iff(x > 90, x, long(null)))
    | evaluate dcount_intersect(a, b, c) | project s0, s1, s2"""
    assert run(query).rows == [(100, 50, 5)]


@pytest.mark.parametrize(
    "query",
    [
        f"{BAGS} | evaluate bag_unpack(d)",
        f"{BAGS} | evaluate bag_unpack(n)",
        f"{BAGS} | evaluate bag_unpack(d, 'p', 'other')",
        f"{BAGS} | evaluate bag_unpack(d, 'p', 'error', dynamic([]), 1)",
        f"{SALES} | evaluate pivot()",
        f"{SALES} | evaluate pivot(who, percentile(n, 5))",
        f"{SALES} | evaluate pivot(who, sum(n)): (ann: string)",
        f"{SALES} | evaluate dcount_intersect(n)",
        "print b = true | evaluate narrow()",
        "print 1 | evaluate autocluster()",
        "evaluate http_request('x')",
    ],
)
def test_what_a_plugin_cannot_do_is_refused(query: str) -> None:
    with pytest.raises(KqlError):
        run(query)


def test_columns_that_depend_on_rows_are_refused_where_rows_cannot_be_read() -> None:
    with pytest.raises(KqlError):
        compile_query(f"{SALES} | evaluate pivot(who)", {})
    assert compile_query(f"{SALES} | evaluate pivot(who): (ann: long)", {}).statement.columns[0].name == "ann"


NETWORKS = "let nets = datatable(net: string, of: string)['10.0.0.0/8', 'a', '10.1.0.0/16', 'b', '7.7.7.7', 'c', 'none', 'd'];"


@pytest.mark.parametrize(
    ("arguments", "rows"),
    [
        ("nets, ip, net", [("10.1.2.3", 1, "10.0.0.0/8", "a"), ("10.1.2.3", 1, "10.1.0.0/16", "b"), ("7.7.7.7", 2, "7.7.7.7", "c")]),
        ("nets, ip, net, return_unmatched = true | where n > 2", [("8.8.8.8", 3, "", ""), ("what", 4, "", "")]),
    ],
)
def test_addresses_are_looked_up_in_all_networks_that_they_are_in(arguments: str, rows: list[tuple[Any, ...]]) -> None:
    source = "datatable(ip: string, n: long)['10.1.2.3', 1, '7.7.7.7', 2, '8.8.8.8', 3, 'what', 4]"
    call, _, rest = arguments.partition("|")
    answer = run(f"{NETWORKS} {source} | evaluate ipv4_lookup({call}) {'|' if rest else ''} {rest}")
    assert (answer.columns, sorted(answer.rows)) == (["ip", "n", "net", "of"], rows)


def test_addresses_of_ipv6_are_looked_up_with_the_networks_first() -> None:
    nets = "let nets = datatable(net: string, k: long)['2001:db8::/32', 1, '10.0.0.0/8', 1, '::/0', 2];"
    source = "datatable(ip: string, k: long)['2001:db8:1::1', 1, '10.9.9.9', 1]"
    answer = run(f"{nets} {source} | evaluate ipv6_lookup(nets, ip, net, k)")
    assert (answer.columns, sorted(answer.rows)) == (
        ["net", "ip", "k"],
        [("10.0.0.0/8", "10.9.9.9", 1), ("2001:db8::/32", "2001:db8:1::1", 1)],
    )


VISITS = """let at = (day: long) { datetime(2024-01-01) + day * 1d };
datatable(who: string, day: long, k: long)['a', 0, 1, 'b', 0, 1, 'b', 0, 2, 'a', 1, 1, 'c', 1, 1, 'a', 3, 1, 'd', 9, 1]
| extend day = datetime(2024-01-01) + day * 1d"""


@pytest.mark.parametrize(
    ("plugin", "expected"),
    [
        ("activity_counts_metrics(who, day, at(0), at(3), 1d)", [(0, 3, 2, 2, 2), (1, 2, 2, 1, 3), (3, 1, 1, 0, 3)]),
        ("activity_counts_metrics(who, day, at(0), at(3), 2d, k)", [(0, 1, 4, 3, 3, 3), (0, 2, 1, 1, 1, 1), (2, 1, 1, 1, 0, 3)]),
        ("activity_metrics(who, day, at(0), at(3), 1d) | where isfinite(churn_rate)", [(1, 2, 1, 0.5, 0.5)]),
        ("sliding_window_counts(who, day, at(1), at(4), 2d, 1d)", [(1, 5, 3), (2, 2, 2), (3, 1, 1), (4, 1, 1)]),
        ("rolling_percentile(k, 100, day, 1d, 2)", [(0, 2.0), (1, 2.0), (3, 1.0), (9, 1.0)]),
    ],
)
def test_activities_are_counted_over_time(plugin: str, expected: list[tuple[Any, ...]]) -> None:
    found = run(f"{VISITS} | evaluate {plugin}").rows
    assert sorted((row[0].day - 1, *row[1:]) for row in found) == expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("", [("a", 0, "long"), ("c", 1, "string"), ("b", -1, "ERROR(columns are out of order)")]),
        ("PreserveOrder = false", [("a", 0, "long"), ("c", 1, "string"), ("b", 2, "int")]),
    ],
)
def test_schemas_are_merged(arguments: str, expected: list[tuple[Any, ...]]) -> None:
    schemas = "union (datatable(a: long, b: int)[] | getschema), (datatable(a: long, c: string, b: int)[] | getschema)"
    assert [(row[0], row[1], row[3]) for row in run(f"{schemas} | evaluate schema_merge({arguments})").rows] == expected


@pytest.mark.parametrize(
    "query",
    [
        f"{VISITS} | evaluate activity_metrics(who, day, 1d)",
        f"{VISITS} | evaluate activity_metrics(who, k, at(0), at(3), 1d)",
        f"{VISITS} | evaluate activity_metrics(who, day, at(0), at(3), 'week')",
        f"{VISITS} | evaluate activity_metrics(who, day, at(0), at(3), 0d)",
        f"{VISITS} | evaluate rolling_percentile(k, 5)",
        f"{VISITS} | evaluate schema_merge()",
        f"{NETWORKS} print ip = '' | evaluate ipv4_lookup(nets, ip)",
        f"{NETWORKS} print ip = '' | evaluate ipv4_lookup(nets, ip, other)",
        f"{NETWORKS} print ip = '' | evaluate ipv4_lookup(nets, ip, net, other = true)",
    ],
)
def test_arguments_that_a_plugin_does_not_take_are_refused(query: str) -> None:
    with pytest.raises(KqlError):
        run(query)
