"""Operators, statements and plugins as their pages say."""

from __future__ import annotations

from typing import Any

import pytest
from running import Tables, run

from forebay.telemetry.kql.errors import KqlError

TABLES = {
    "Cats": Tables([("name", "string"), ("age", "long")], [("Mia", 3), ("Leo", 7)]),
    "Dogs": Tables([("name", "string"), ("size", "real")], [("Rex", 1.5)]),
}
WIDE = "print a = 1, b = 2, bc = 3, d = 4"
PATTERN = """declare pattern pet = (kind: string)[part: string] {
    ("cat").["all"] = { Cats }; ("cat").["old ones"] = { Cats | where age > 5 }; ("dog").["all"] = { Dogs };
};"""


@pytest.mark.parametrize(
    ("names", "columns"),
    [
        ("'d', 'a'", ["d", "a"]),
        ("'b*', 'a'", ["b", "bc", "a"]),
        ("'bc', 'b*'", ["bc", "b"]),
        ("dynamic(['d', 'none', 'b']), 'none'", ["d", "b"]),
        ("column_names_of(print d = 1, a = 2)", ["d", "a"]),
    ],
)
def test_columns_are_projected_by_texts(names: str, columns: list[str]) -> None:
    assert run(f"{WIDE} | project-by-names {names}").columns == columns


@pytest.mark.parametrize("names", ["a", "1", "dynamic(['b*'])", "dynamic([1])", "strcat('a', tostring(a))", "'none'"])
def test_columns_are_projected_by_constant_names_only(names: str) -> None:
    with pytest.raises(KqlError):
        run(f"{WIDE} | project-by-names {names}")


def test_the_names_of_the_columns_of_a_table_are_an_array() -> None:
    query = "let f = (n: long) { print x = n, y = 'a' }; print c = column_names_of(Cats), d = column_names_of(f(1))"
    assert run(query, TABLES).rows == [(["name", "age"], ["x", "y"])]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("Cats | as mine | union withsource=s (Dogs | as yours)", ["mine", "mine", "yours"]),
        ("union withsource=s (Cats | as mine), (Dogs | where size > 0)", ["mine", "mine", "union_arg1"]),
        ("let mine = Cats; mine | union withsource=s Dogs", ["Dogs", "union_arg0", "union_arg0"]),
    ],
)
def test_rows_of_a_union_tell_the_name_that_as_has_given_them(query: str, names: list[str]) -> None:
    assert [row[0] for row in run(f"{query} | project s | sort by s asc", TABLES).rows] == names


def test_a_column_of_two_types_gets_no_name_that_another_one_has() -> None:
    answer = run("union (print v = 1), (print v = 2.5), (print v_long = 3, v_long1 = 4)")
    assert answer.columns == ["v_long2", "v_real", "v_long", "v_long1"]
    assert sorted(map(str, answer.rows)) == ["(1, None, None, None)", "(None, 2.5, None, None)", "(None, None, 3, 4)"]


@pytest.mark.parametrize(
    ("predicate", "count"),
    [("* startswith 'le'", 1), ("* == 'Rex'", 1), ("* has 'mia' or * == '7'", 2), ("*", 3), ("* and 'Rex'", 1)],
)
def test_search_compares_all_columns(predicate: str, count: int) -> None:
    assert run(f"search {predicate} | count", TABLES).rows == [(count,)]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("pet('cat').all", ["Leo", "Mia"]),
        ("pet('cat').['old ones']", ["Leo"]),
        ("let k = 'dog'; pet(k).all", ["Rex"]),
        ("union pet('cat').['old ones'], pet('dog').all", ["Leo", "Rex"]),
        ("let some = pet('dog').['all']; some | where name in (pet('dog').all | project name)", ["Rex"]),
    ],
)
def test_a_pattern_stands_for_tables_by_texts(query: str, names: list[str]) -> None:
    assert sorted(row[0] for row in run(f"{PATTERN} {query} | project name", TABLES).rows) == names


def test_a_pattern_without_a_path_takes_texts_alone() -> None:
    declared = "declare pattern place = (a: string, b: string) { ('x', 'y') = { print n = 1 }; ('y', 'x') = { print n = 2 } };"
    assert run(f"{declared} place('y', 'x')").rows == [(2,)]


@pytest.mark.parametrize(
    "query",
    [
        "pet('bird').all",
        "pet('cat')",
        "pet('cat').old",
        "pet(1).all",
        "print pet('cat').all",
        "declare pattern empty; empty('a')",
        "declare pattern p = (a: string, b: string) { ('x') = { Cats } }; p('x')",
    ],
)
def test_a_pattern_that_says_nothing_about_texts_is_refused(query: str) -> None:
    with pytest.raises(KqlError):
        run(f"{PATTERN} {query}", TABLES)


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("restrict access to (Cats); Cats", 2),
        ("restrict access to (Cats); union *", 2),
        ("restrict access to (Dogs); search '*e*'", 1),
        ("let Old = view () { Cats | where age > 5 }; restrict access to (Old); Old", 1),
        ("let Old = view () { Cats | where age > 5 }; restrict access to (O*); union *", 1),
        ("let least = 5; restrict access to (Cats); Cats | where age > least", 1),
    ],
)
def test_a_query_reads_what_it_is_restricted_to(query: str, count: int) -> None:
    assert run(f"{query} | count", TABLES).rows == [(count,)]


@pytest.mark.parametrize(
    "query",
    [
        "restrict access to (Cats); Dogs",
        "restrict access to (Cats); table('Dogs')",
        "restrict access to (Cats); union D*",
        "let Old = view () { Cats | where age > 5 }; restrict access to (Old); Cats",
        "let Old = Cats | where age > 5; restrict access to (Cats); Old",
        "restrict access to (*); Cats",
        "restrict access to (Birds); Cats",
    ],
)
def test_a_query_does_not_read_what_it_is_not_restricted_to(query: str) -> None:
    with pytest.raises(KqlError):
        run(query, TABLES)


def test_a_value_with_the_name_of_a_function_is_not_called() -> None:
    query = "let count = 3; let sum = 1; Cats | union Cats, Dogs | summarize n = count() by name | where n < count and n > sum"
    assert sorted(run(query, TABLES).rows) == [("Leo", 2), ("Mia", 2)]


@pytest.mark.parametrize(
    ("arguments", "near"),
    [
        ("x in (1, 8), 1", [1, 2, 7, 8, 9]),
        ("x in (1, 8), 1, 3", [1, 2, 3, 4, 7, 8, 9, 10, 11]),
        ("x == 12, 2, 0", [10, 11, 12]),
        ("x == 5, 0", [5]),
        ("iff(x == 3, bool(null), x == 6), 1", [5, 6, 7]),
        ("x > 99, 5", []),
        ("x == 6, 100", list(range(1, 13))),
    ],
)
def test_rows_near_those_of_a_condition_are_found(arguments: str, near: list[int]) -> None:
    answer = run(f"range x from 1 to 12 step 1 | extend row = -x | evaluate rows_near({arguments}) | sort by x asc")
    assert (answer.columns, [row[0] for row in answer.rows]) == (["x", "row"], near)


@pytest.mark.parametrize("arguments", ["'x', 1", "true, -1", "true", "true, x"])
def test_rows_near_takes_a_condition_and_numbers_of_rows(arguments: str) -> None:
    with pytest.raises(KqlError):
        run(f"range x from 1 to 12 step 1 | evaluate rows_near({arguments})")
    with pytest.raises(KqlError):  # rows without an order have none near
        run("Cats | evaluate rows_near(true, 1)", TABLES)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("at(5), at(20), 5d, 1d, 2, 5d", [(10, 1), (15, 1)]),
        ("at(5), at(20), 5d, 1d, 1, 5d", [(5, 1), (10, 1), (15, 2)]),
        ("at(5), at(20), 6d, 1d, 2, 5d", [(5, 1), (10, 1), (15, 1)]),
        ("at(5), at(20), 5d, 1d, 1, 5d, k", [(5, 1, 1), (10, 1, 1), (15, 1, 1), (15, 2, 1)]),
    ],
)
def test_users_are_active_who_came_often_enough_before(arguments: str, expected: list[tuple[Any, ...]]) -> None:
    query = f"""let at = (day: long) {{ datetime(2024-01-01) + day * 1d }};
    datatable(who: string, day: long, k: long)['a', 4, 1, 'a', 9, 1, 'a', 11, 1, 'a', 11, 1, 'a', 14, 1, 'b', 18, 2, 'a', 16, 1]
    | extend day = at(day) | evaluate active_users_count(who, day, {arguments})"""
    answer = run(query)
    assert answer.columns[-1] == "dcount"
    assert sorted((row[0].day - 1, *row[1:]) for row in answer.rows) == expected


@pytest.mark.parametrize(
    ("body", "rows"),
    [
        ("Cats | where age > least | project name", [("Leo",), ("Leo",), ("Mia",)]),
        ("Cats | where toscalar(least) == 5 | project name, least", [("Leo", 5), ("Mia", 5)]),
        ("Cats | extend more = age + least | top 1 by more | project more", [(9,), (12,)]),
        ("Dogs", [("Rex", 1.5), ("Rex", 1.5)]),
    ],
)
def test_a_partition_reads_a_table_of_its_own_for_each_key(body: str, rows: list[tuple[Any, ...]]) -> None:
    keys = "datatable(least: long)[2, 5, 5]"
    assert sorted(run(f"{keys} | partition by least {{ {body} }}", TABLES).rows) == rows


@pytest.mark.parametrize(
    "body",
    [
        "Cats | count",
        "Cats | sort by age | extend n = row_number()",
        "Cats | join Dogs on name",
        "print least = 1",
        "range y from 1 to least step 1",
    ],
)
def test_a_partition_with_a_table_of_its_own_goes_row_by_row(body: str) -> None:
    with pytest.raises(KqlError):
        run(f"datatable(least: long)[2, 5] | partition by least {{ {body} }}", TABLES)
