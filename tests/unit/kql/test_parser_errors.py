from __future__ import annotations

import sys

import pytest

from forebay.telemetry.kql.errors import Diagnostic, KqlError
from forebay.telemetry.kql.syntax import nodes
from forebay.telemetry.kql.syntax.parser import parse, parse_expression, parse_tolerant


def errors(text: str) -> tuple[Diagnostic, ...]:
    with pytest.raises(KqlError) as raised:
        parse(text)
    return raised.value.diagnostics


def error(text: str) -> Diagnostic:
    (only,) = errors(text)
    return only


@pytest.mark.parametrize(
    ("text", "message", "at"),
    [
        ("T | where f(a by)", "expected ')', found 'by'", "by"),
        ("T | take", "expected an expression, found the end", ""),
        ("T | order a", "expected 'by', found 'a'", "a"),
        ("T | summarize count() by", "expected an expression, found the end", ""),
        ("T where a", "expected '|', ';' or the end, found 'where'", "where"),
        ("T | where a b", "expected '|' or the end of the operator, found 'b'", "b"),
        ("T | where 'abc", "this text has no closing quote", "'abc"),
        ("T | where a == ```x", "this text has no end", "```x"),
        ("T | where a & b", "unexpected character '&'", "&"),
        ("T | | count", "expected an operator, such as where or summarize, found '|'", "|"),
        ("T |", "expected an operator, such as where or summarize, found the end", ""),
        ("", "expected a query, found the end", ""),
        (
            "print datetime(2024-13-01)",
            "expected a date such as 2024-01-31 or 2024-01-31T10:00:00Z, or null, found '2024-13-01'",
            "datetime(2024-13-01)",
        ),
        ("print long(abc)", "expected a whole number, found 'abc'", "long(abc)"),
        ("print int(3000000000)", "3000000000 is no int: it has more than 32 bits", "int(3000000000)"),
        ("print 9223372036854775808", "9223372036854775808 is no long: it has more than 64 bits", "9223372036854775808"),
        ("print time(25:00:00)", "expected a duration such as 1.5h, found '25:00:00'", "time(25:00:00)"),
        ("print time(99999999)", "expected a duration such as 1.5h, found '99999999'", "time(99999999)"),
        ("print bool(maybe)", "expected true, false or null, found 'maybe'", "bool(maybe)"),
        ("print guid(1234)", "expected a guid such as 74be27de-1e4e-49d9-b579-fe0b331d3642, found '1234'", "guid(1234)"),
        (r"print 'a\qb'", r"'\q' is no escape sequence; write '\\' for a backslash, or @ before the text", r"'a\qb'"),
        (r"print '\ud800'", "half of a surrogate pair is no character", r"'\ud800'"),
        ("print dynamic({a: 1})", "expected a text in quotes, found 'a'", "a"),
        ("print dynamic([1,])", "expected a value, found ']'", "]"),
        ("print dynamic({'a': 1, 'a': 2})", "the key 'a' is there twice", "'a'"),
        ("print a == b == c", "expected 'and', 'or' or an end, found '=='", "=="),
        ("T | where a in 1", "expected '(', found '1'", "1"),
        (
            "datatable(a: long, b: long)[1, 2, 3]",
            "expected values for 2 columns in each row, found 3 values",
            "datatable(a: long, b: long)[1, 2, 3]",
        ),
        ("datatable(a: long)[x]", "expected a constant, found 'x'", "x"),
        ("datatable(a: text)[1]", "expected a type, found 'text'", "text"),
        ("T | where by == 1", "expected an expression, found 'by'", "by"),
        ("T | extend and = 1", "expected a name, found 'and'", "and"),
        ("let f = (x) { x }; T", "expected '|', ';' or the end, found '{'", "{"),
        ("T | render timechart with (color=red)", "expected a property of charts, found 'color'", "color"),
        ("T | parse a with", "expected a pattern: texts in quotes, columns and *, found the end", ""),
        ("print .5", "expected an expression, found '.'", "."),
        ("T | join (U on a", "expected ')', found 'on'", "on"),
        ("T | where a)", "expected '|', ';' or the end, found ')'", ")"),
        ("T; ; U", "expected an expression, found ';'", ";"),
        ("print 1e400", "1e400 is no real: it is too large", "1e400"),
        ("print 0.5tick", "0.5tick is no whole number of ticks of 100 ns", "0.5tick"),
        (
            "print datetime(1 Jan 45 10:00)",
            "expected a date such as 2024-01-31 or 2024-01-31T10:00:00Z, or null, found '1 Jan 45 10:00'",
            "datetime(1 Jan 45 10:00)",
        ),
    ],
)
def test_an_error_says_what_was_expected_and_what_came(text: str, message: str, at: str) -> None:
    found = error(text)
    assert found.message == message
    assert found.code == "syntax"
    assert text[found.start : found.end] == at


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("T | sumarize count()", "did you mean summarize?"),
        ("T | PROJECT a", "did you mean project?"),
        ("T | mv_expand a", "did you mean mv-expand?"),
        ("T | where a = 1", "'=' gives a name; what compares is '=='"),
        ("T | where a take 1", "is a bar missing before 'take'?"),
        ("T | where not a", "not is a function: not(...)"),
        ("T | where a && b", "a logical and is written 'and'"),
        ("T | where a || b", "a logical or is written 'or'"),
        (
            "T | where a !has_any ('x')",
            "what is negated is written not(...), and a few operators have a form with '!', such as !has and !in",
        ),
        ("T | extend title = title", "'title' is a word of the language; as a name it is ['title']"),
    ],
)
def test_a_hint_says_what_may_be_meant(text: str, hint: str) -> None:
    assert errors(text)[0].hint == hint


@pytest.mark.parametrize(
    ("text", "placeholder", "at"),
    [
        ("T | where a in ({Servers})", "{Servers}", "{Servers}"),
        ("T | where timestamp {TimeRange:value}", "{TimeRange:value}", "{TimeRange:value}"),
        ("T\n{Filter}\n| count", "{Filter}", "{Filter}"),
        ("print dynamic([{Names}])", "{Names}", "{Names}"),
        ("print datetime({From})", "{From}", "datetime({From})"),
    ],
)
def test_a_parameter_of_a_workbook_is_named(text: str, placeholder: str, at: str) -> None:
    found = error(text)
    assert (found.message, found.hint) == (f"'{placeholder}' is a parameter of a workbook", "put its value there")
    assert text[found.start : found.end] == at


def test_a_misspelt_operator_is_named_with_the_nearest_one() -> None:
    assert error("T | sumarize count()").message == "there is no operator 'sumarize'; did you mean summarize?"
    assert error("T | zzz").message == "there is no operator 'zzz'"


@pytest.mark.parametrize(
    ("text", "construct"),
    [
        (".show tables", ".show"),
        (".create table T (a: long)", ".create"),
        ("#connect 'x'", "#connect"),
        ("macro-expand e as X (X.T)", "macro-expand"),
        ("T | invoke database('d').f()", "database()"),
    ],
)
def test_what_is_known_but_not_supported_is_refused_by_its_name(text: str, construct: str) -> None:
    found = error(text)
    assert (found.code, found.construct) == ("unsupported", construct)


def test_reading_goes_on_after_an_error_with_the_next_operator() -> None:
    text = "T | where a == | extend b = f( | sumarize x | take 1; U | where ; V | join (W | projct a | where b ==) on c | ordr by a"
    found = errors(text)
    assert [text[each.start : each.end] for each in found] == ["|", "|", "sumarize", ";", "projct", ")", "ordr"]


def test_what_could_be_read_is_in_the_tree() -> None:
    program, diagnostics = parse_tolerant("T | where a == | extend b = 1; U | foo | take 1")
    assert len(diagnostics) == 2
    first, second = (statement.expression for statement in program.statements if isinstance(statement, nodes.QueryStatement))
    assert isinstance(first, nodes.Pipeline) and isinstance(second, nodes.Pipeline)
    assert [type(operator) for operator in first.operators] == [nodes.Extend]
    assert [type(operator) for operator in second.operators] == [nodes.Take]


def test_one_error_is_told_once() -> None:
    assert len(errors("T | where f(g(h(a b)))")) == 1
    assert len(errors("T | join (U | where ((a b)) | count) on c")) == 1
    assert len(errors("let f = (x) { let y = 1; T | where x == y; }; f(1)")) == 1


def test_at_most_twenty_errors_are_told() -> None:
    assert len(errors("T" + " | foo" * 1000)) == 20


def test_a_query_without_errors_has_no_diagnostics() -> None:
    assert parse_tolerant("T | count")[1] == ()


def test_a_text_that_is_too_long_is_refused() -> None:
    assert parse("T //" + "x" * (65_536 - 4)).statements
    assert error("T //" + "x" * (65_536 - 3)).code == "too_complex"
    assert error("T // " + "é" * 32_768).code == "too_complex"


def test_half_a_surrogate_pair_is_refused_where_it_stands() -> None:
    found = error("print '\ud800'")
    assert (found.start, found.end) == (7, 8)


@pytest.mark.parametrize(
    ("lead", "opening", "closing"),
    [
        ("print ", "(", ")"),
        ("print ", "f(", ")"),
        ("T | where ", "not(", ")"),
        ("print ", "a[", "]"),
        ("print ", "-(", ")"),
        ("print ", "a + (", ")"),
        ("print ", "a and (", ")"),
        ("print ", "toscalar(T | where a == ", ")"),
        ("", "T | join (", ")"),
        ("", "union (", ")"),
        ("print dynamic(", "[", "]"),
        ("print dynamic(", '{"a": ', "}"),
        ("print ", "a in (", ")"),
        ("T | ", "mv-apply a on (", ")"),
        ("", "let f = () { ", " }"),
        ("print ", "a.f(", ")"),
        ("print ", "a between (1 .. ", ")"),
        ("search ", "not(", ")"),
        ("T | ", "partition by a (", ")"),
        ("print ", "dynamic(", ")"),
    ],
)
def test_deep_nesting_is_refused_before_the_stack_ends(lead: str, opening: str, closing: str) -> None:
    for times in (102, 1000, 60_000 // (len(opening) + len(closing))):
        assert any(each.code == "too_complex" for each in parse_tolerant(lead + opening * times)[1])
        assert any(each.code == "too_complex" for each in parse_tolerant(lead + opening * times + "x" + closing * times)[1])
    assert not any(each.code == "too_complex" for each in parse_tolerant(lead + opening * 30 + "x" + closing * 30)[1])


def test_long_chains_of_arithmetic_and_members_are_refused() -> None:
    for text in ("a" + " + a" * 10_000, "a" + ".b" * 10_000, "a" + "[0]" * 10_000):
        with pytest.raises(KqlError) as raised:
            parse_expression(text)
        assert raised.value.diagnostics[0].code == "too_complex"
    assert parse_expression("a" + " + a" * 99)


def test_brackets_and_chains_together_make_no_deep_tree() -> None:
    assert parse_expression("f(" * 40 + "a" + " + a" * 40 + ")" * 40)
    for text in ("f(" * 60 + "a" + " + a" * 60 + ")" * 60, "(" * 60 + "a" + " + a)" * 60 + " + a" * 60):
        with pytest.raises(KqlError) as raised:
            parse_expression(text)
        assert raised.value.diagnostics[0].code == "too_complex"


@pytest.mark.parametrize(
    "opening", ["(", "f(", "-(", "a + (", "a and (", "a in (", "a[", "toscalar(T | where a == ", "toscalar(union (", "dynamic("]
)
def test_the_deepest_query_needs_few_frames_of_the_stack(opening: str) -> None:
    depth = 0
    frame = sys._getframe()
    while frame.f_back is not None:
        frame, depth = frame.f_back, depth + 1
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(depth + 600)
    try:
        parse_tolerant("print " + opening * 100)
    finally:
        sys.setrecursionlimit(limit)


def test_a_hundred_brackets_are_read() -> None:
    assert parse_expression("(" * 100 + "1" + ")" * 100)
    with pytest.raises(KqlError):
        parse_expression("(" * 101 + "1" + ")" * 101)


def test_an_expression_alone_must_end_where_the_text_ends() -> None:
    with pytest.raises(KqlError):
        parse_expression("1 2")
