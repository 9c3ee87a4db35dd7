from __future__ import annotations

import math
from decimal import Decimal

import pytest
from shapes import expression, literal, operator, query, shape

from forebay.telemetry.kql.syntax import nodes
from forebay.telemetry.kql.syntax.nodes import DynamicValue
from forebay.telemetry.kql.syntax.parser import parse, parse_expression

SECOND = 10_000_000
DAY = 86_400 * SECOND
YEAR_2024 = 738_885 * DAY  # 2024-01-01


# constants


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("'a'", "a"),
        (r"'it\'s'", "it's"),
        (r'"a\tb\\c\n"', "a\tb\\c\n"),
        (r"@'c:\x'", r"c:\x"),
        ('@"say ""hi"""', 'say "hi"'),
        ("@'it''s'", "it's"),
        ("h'secret'", "secret"),
        (r'H@"\d"', r"\d"),
        ("```a\n'b' \\d```", "a\n'b' \\d"),
        ("~~~a```b~~~", "a```b"),
        ("'a' 'b' \"c\"", "abc"),
        (r"'\u00e9\x41\101\0'", "éAA\0"),
        (r"'\U0001F600'", "😀"),
        (r"'\ud83d\ude00'", "😀"),
        ("''", ""),
    ],
)
def test_a_text_says_what_is_in_its_quotes(text: str, value: str) -> None:
    assert literal(text) == ("string", value)


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("42", "long", 42),
        ("0x1F", "long", 31),
        ("-1", "long", -1),
        ("+1", "long", 1),
        ("-9223372036854775808", "long", -(2**63)),
        ("1.", "real", 1.0),
        ("1e3", "real", 1000.0),
        ("-2.5E-1", "real", -0.25),
        ("true", "bool", True),
        ("False", "bool", False),
        ("int(0x1F)", "int", 31),
        ("int(-5)", "int", -5),
        ("long(42)", "long", 42),
        ("int64(7)", "long", 7),
        ("real(1)", "real", 1.0),
        ("double(-1.5)", "real", -1.5),
        ("real(+inf)", "real", math.inf),
        ("real(-inf)", "real", -math.inf),
        ("decimal(0.10)", "decimal", Decimal("0.10")),
        ("bool(true)", "bool", True),
        ("bool( FALSE )", "bool", False),
        ("guid(74BE27DE-1e4e-49d9-b579-fe0b331d3642)", "guid", "74be27de-1e4e-49d9-b579-fe0b331d3642"),
        ("long(null)", "long", None),
        ("datetime(null)", "datetime", None),
        ("guid(null)", "guid", None),
        ("dynamic(null)", "dynamic", None),
    ],
)
def test_a_constant_has_its_type_and_value(text: str, kind: str, value: object) -> None:
    assert literal(text) == (kind, value)


def test_what_is_not_a_number_is_a_real() -> None:
    kind, value = literal("real(nan)")
    assert kind == "real" and math.isnan(value)


@pytest.mark.parametrize(
    ("text", "ticks"),
    [
        ("2024-01-01", 0),
        ("2024-01-01T10:00:00Z", 36_000 * SECOND),
        ("2024-01-01 10:00", 36_000 * SECOND),
        ("2024-01-01T00:00:03.1234567Z", 31_234_567),
        ("2024-01-01T02:00:00+02:00", 0),
        ("2023-12-31T22:30:00-0130", 0),
        ("2024-01-01 00:00:01 GMT", SECOND),
        ("2024-1-2", DAY),
        ("2024-01", 0),
        ("2024", 0),
        ("2024.01.02", DAY),
        ("2024, 1, 2", DAY),
        ("01-02-2024", DAY),
        ("1/2/2024 00:00:01", DAY + SECOND),
        ("Tue, 2 Jan 24 00:00:01 GMT", DAY + SECOND),
        ("2 Jan 2024 00:01", DAY + 60 * SECOND),
        ("Tuesday, 02-Jan-24 00:00:01", DAY + SECOND),
        ("02-Jan-24 00:00 GMT", DAY),
        ("'2024-01-02'", DAY),
        ('"2024-01-02"', DAY),
        (" 2024-01-02 ", DAY),
    ],
)
def test_a_date_is_read_in_all_its_forms(text: str, ticks: int) -> None:
    assert literal(f"datetime({text})") == ("datetime", YEAR_2024 + ticks)


def test_dates_span_from_year_1_to_9999() -> None:
    assert literal("datetime(0001-01-01)") == ("datetime", 0)
    assert literal("date(9999-12-31 23:59:59.9999999)") == ("datetime", 3_652_059 * DAY - 1)


@pytest.mark.parametrize(
    ("text", "ticks"),
    [
        ("1d", DAY),
        ("1.5h", 54_000_000_000),
        ("10ms", 100_000),
        ("1tick", 1),
        ("2microseconds", 20),
        ("100nanoseconds", 1),
        ("3min", 1_800_000_000),
        ("-2h", -72_000_000_000),
        ("time(1d)", DAY),
        ("time(2)", 2 * DAY),
        ("timespan(1.02:03:04)", DAY + 7_384 * SECOND),
        ("time(15 seconds)", 15 * SECOND),
        ("time(0.12:34:56.7)", 452_967_000_000),
        ("time('1.00:00:00')", DAY),
        ("time(-1.00:00:01)", -DAY - SECOND),
        ("time(00:01)", 60 * SECOND),
        ("time(01:02:03)", 3_723 * SECOND),
        ("time(0)", 0),
        ("time(-10675199.02:48:05.4775808)", -(2**63)),
        ("time(10675199.02:48:05.4775807)", 2**63 - 1),
    ],
)
def test_a_duration_is_ticks_of_100_ns(text: str, ticks: int) -> None:
    assert literal(text) == ("timespan", ticks)


def test_dynamic_constants_are_json_and_constants_of_other_types() -> None:
    kind, value = literal(
        """dynamic({"a": 1, 'b': [1.5, "x" 'y', true, null, -2], "c": {}, "d": datetime(2024-01-01), "e": 1d, "f": long(5)})"""
    )
    assert kind == "dynamic"
    assert value == {
        "a": 1,
        "b": [1.5, "xy", True, None, -2],
        "c": {},
        "d": DynamicValue("datetime", YEAR_2024),
        "e": DynamicValue("timespan", DAY),
        "f": 5,
    }
    assert literal("dynamic(dynamic([dynamic({})]))") == ("dynamic", [{}])
    assert literal("dynamic('x')") == ("dynamic", "x")


def test_typeof_names_a_type_or_columns() -> None:
    assert shape(parse_expression("typeof(int64)")) == "TypeOf(type=long)"
    assert shape(parse_expression("typeof(*, a: long, b: string)")) == "TypeOf(columns=[[*, ], [a, long], [b, string]])"


# expressions


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a + b * c", "(a + (b * c))"),
        ("a - b - c", "((a - b) - c)"),
        ("a * b % c / d", "(((a * b) % c) / d)"),
        ("(a + b) * c", "((a + b) * c)"),
        ("a or b and c", "(a or (b and c))"),
        ("a and b or c and d", "((a and b) or (c and d))"),
        ("a == b and c < d", "((a == b) and (c < d))"),
        ("a == b < c", "(a == (b < c))"),
        ("a < b + 1", "(a < (b + 1))"),
        ("a <> b", "(a != b)"),
        ("-a + b", "((- a) + b)"),
        ("-a.b", "(- a.b)"),
        ("a-1", "(a - 1)"),
        ("a -1", "(a - 1)"),
        ("a + b has 'x'", "(a + (b has 'x'))"),
        ("a has 'x' == true", "((a has 'x') == True)"),
        ("a matches regex 'x'", "(a matches regex 'x')"),
        ("a !startswith_cs 'x' or b =~ 'y'", "((a !startswith_cs 'x') or (b =~ 'y'))"),
        ("a in (1, 2)", "(a in [1, 2])"),
        ("a !in~ ('x')", "(a !in~ ['x'])"),
        ("a has_any ('x', y)", "(a has_any ['x', y])"),
        ("a has_all (b)", "(a has_all [b])"),
        ("a in (T | project x)", "(a in [T | Project(outputs=[x])])"),
        ("a between (1 .. 2)", "(a between 1..2)"),
        ("a !between (ago(1d)..now()) and b", "((a !between ago(timespan(864000000000))..now()) and b)"),
        ("not(a) and isnull(b)", "(not(a) and isnull(b))"),
        ("f(a, b=1, *)", "f(a, b=1, *)"),
        ("f()", "f()"),
        ("a.b.c[0]['d e'].f", "a.b.c[0]['d e'].f"),
        ("a.['b']", "a['b']"),
        ("f(a).b", "f(a).b"),
        ("cluster('c').database('d').T", "cluster('c').database('d').T"),
        ("['a b'] + [\"c\"]", "(a b + c)"),
        ("['a ' 'b']", "a b"),
        ("$left.a == $right.b", "($left.a == $right.b)"),
        ("toscalar(T | count)", "toscalar(T | Count())"),
        ("(T | count)", "T | Count()"),
        ("((a))", "a"),
        ("* has 'x'", "(* has 'x')"),
        ("count() > 1", "(count() > 1)"),
        ("1 - -1", "(1 - -1)"),
        ("a[-1]", "a[-1]"),
        ("a[b + 1]", "a[(b + 1)]"),
        ("-(1)", "(- 1)"),
    ],
)
def test_operators_bind_as_in_kusto(text: str, wanted: str) -> None:
    assert expression(text) == wanted


@pytest.mark.parametrize(
    "name",
    ["kind", "type", "source", "id", "count", "let", "step", "on", "with", "list", "table", "column", "value", "range", "bin", "2xx"],
)
def test_most_words_of_the_language_are_names_too(name: str) -> None:
    assert expression(f"{name} == 1") == f"({name} == 1)"
    assert operator(f"extend {name} = {name}") == f"Extend(outputs=[{name}={name}])"


def test_a_name_may_be_what_a_reference_may_not() -> None:
    assert operator("extend where = 1, ['by'] = ['by']") == "Extend(outputs=[where=1, by=by])"


def test_many_terms_of_and_and_or_make_no_deep_tree() -> None:
    def height(node: nodes.Expression) -> int:
        return 1 + max(height(node.left), height(node.right)) if isinstance(node, nodes.Binary) else 0

    def terms(node: nodes.Expression) -> list[str]:
        return terms(node.left) + terms(node.right) if isinstance(node, nodes.Binary) else [shape(node)]

    names = [f"a{number}" for number in range(1000)]
    node = parse_expression(" or ".join(names))
    assert height(node) == 10
    assert terms(node) == names


# statements


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("let a = 1 + 2", "Let(name=a, value=(1 + 2))"),
        ("let a = T | count", "Let(name=a, value=T | Count())"),
        ("let a = (1)", "Let(name=a, value=1)"),
        ("let f = () { 1 }", "Let(name=f, value=Lambda(body=1))"),
        ("let f = view () { T }", "Let(name=f, value=Lambda(body=T, is_view=True))"),
        (
            "let f = (a: long, b: string = 'x') { let c = a; let d = 2; T | where c == b; }",
            (
                "Let(name=f, value=Lambda(parameters=[a: long, b: string = 'x'], "
                "lets=[Let(name=c, value=a), Let(name=d, value=2)], body=T | Where(predicate=(c == b))))"
            ),
        ),
        (
            "let f = (T: (a: long, b: string), U: (*), c: real = -1.5) { T }",
            (
                "Let(name=f, value=Lambda(parameters=[LambdaParameter(name=T, columns=[[a, long], [b, string]]), "
                "LambdaParameter(name=U, is_open=True), c: real = -1.5], body=T))"
            ),
        ),
        (
            "let f = () { let g = (x: long) { x }; g(1) }",
            "Let(name=f, value=Lambda(lets=[Let(name=g, value=Lambda(parameters=[x: long], body=x))], body=g(1)))",
        ),
        ("let ['a b'] = materialize(T | count)", "Let(name=a b, value=materialize(T | Count()))"),
        ("set a = 1", "SetOption(name=a, value=1)"),
        ("set notruncation", "SetOption(name=notruncation)"),
        ("set a = b", "SetOption(name=a, value=b)"),
        ("set a = true", "SetOption(name=a, value=True)"),
        (
            "declare query_parameters(a: long = 1, b: string)",
            "DeclareParameters(parameters=[a: long = 1, b: string])",
        ),
        ("alias database x = cluster('c').database('d')", "UnsupportedStatement(name=alias database)"),
        ("restrict access to (T, ['x'])", "RestrictAccess(tables=[T, x])"),
        ("declare pattern p = (a: string) { ('x') = { T; }; }", "DeclarePattern(name=p, entries=[PatternEntry(arguments=[x], body=T)])"),
    ],
)
def test_a_statement_is_read(text: str, wanted: str) -> None:
    assert query(text) == wanted


def test_an_open_table_parameter_has_columns_that_are_none_in_number() -> None:
    (statement,) = parse("let f = (T: (*), x: long) { T }").statements
    assert isinstance(statement, nodes.Let) and isinstance(statement.value, nodes.Lambda)
    table, scalar = statement.value.parameters
    assert (table.columns, table.is_open, scalar.columns) == ((), True, None)


def test_statements_end_with_semicolons_and_not_with_blank_lines() -> None:
    program = parse("let a = 1;\n\nT\n\n| count\n\n\n| take 1;")
    assert [shape(statement) for statement in program.statements] == [
        "Let(name=a, value=1)",
        "QueryStatement(expression=T | Count() | Take(count=1))",
    ]


# positions


def test_a_node_knows_where_it_stands() -> None:
    text = "T | where (a + b) * c > 'x' // why\n| extend d = f(e) , ['g h']"
    program = parse(text)
    (statement,) = program.statements
    assert isinstance(statement, nodes.QueryStatement) and isinstance(statement.expression, nodes.Pipeline)
    where, extend = statement.expression.operators

    def written(node: nodes.Node) -> str:
        return text[node.start : node.end]

    assert written(program) == text
    assert written(where) == "where (a + b) * c > 'x'"
    assert isinstance(where, nodes.Where) and isinstance(where.predicate, nodes.Binary) and isinstance(where.predicate.left, nodes.Binary)
    assert written(where.predicate.left) == "(a + b) * c"
    assert written(where.predicate.left.left) == "a + b"
    assert isinstance(extend, nodes.Extend)
    assert [written(output) for output in extend.outputs] == ["d = f(e)", "['g h']"]
