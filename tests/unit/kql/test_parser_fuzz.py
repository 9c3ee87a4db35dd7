"""Whatever the text: the parser answers with a tree or with errors, and its positions hold."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st
from shapes import children

from forebay.telemetry.kql.syntax import nodes
from forebay.telemetry.kql.syntax.lexer import Tokens
from forebay.telemetry.kql.syntax.parser import parse_tolerant

_QUERIES = """
let start = ago(1d); let f = (x: long, y: string = 'a') { let z = x; T | where a == z }; f(1) | summarize count() by bin(t, 1h), k

requests | where name has_any ('a', "b") and duration between (1 .. 2) or not(x !in~ (dynamic(['c'])))
| project a = b.c['d'], e | order by a asc nulls first, b desc | take 10

T | join kind=inner hint.strategy=shuffle (U | where x == 1) on a, $left.b == $right.c | as r | serialize n = row_number()

T | make-series n = count() default=0 on t from datetime(2024-01-01) to now() step 1h by k
| render timechart with (title='x', ycolumns=a, b)

T | mv-apply x = a to typeof(long) on (where x > 1 | top 2 by x) | mv-expand kind=array b to typeof(string) limit 5
| evaluate pivot(a, sum(b)) : (x: long) | parse kind=regex m with * 'user=' user: long ' ' rest
| parse-kv rest as (a: long) with (pair_delimiter=' ') | project-away a*, ['b c']

union withsource=S (A | count), B*, database('d').C | search 'x' and c: 'y' | top-nested 3 of a by count()
| scan with (step s: a == 1 => b = 2;)

datatable(a: string, b: dynamic) ['x', dynamic({'k': [1, null]}), @'y', dynamic(null)] | extend (p, q) = f(a) | distinct * | count

declare query_parameters(a: long = 1); set x = true; print -a + 2.5e3 * 1h / real(nan), "\\u00e9" 'b', ```c```

find in (A, B*) where x == toscalar(T | count) project a, b: string;
range x from 1 to 3 step 1 | partition by x (sample 1) | fork (count) (take 1)
""".strip().split("\n\n")
_PIECES = sorted(
    {text[start:end] for text in _QUERIES for found in [Tokens(text)] for start, end in zip(found.starts, found.ends, strict=True)}
)
_PIECES += [
    "'",
    '"',
    "```",
    "//",
    "\n",
    "{",
    "}",
    "\\",
    "#x",
    "é",
    "\0",
    "..",
    "!",
    "&",
    "datetime(",
    "dynamic(",
    "0x",
    "1e999",
    "\ud800",
    "['",
    "let",
    ";",
    "||",
]


@st.composite
def mutated_queries(draw: st.DrawFn) -> str:
    """A valid query with some of its tokens taken out, doubled, changed or swapped."""
    text = draw(st.sampled_from(_QUERIES))
    found = Tokens(text)
    pieces = [text[start:end] for start, end in zip(found.starts, found.ends, strict=True)]
    for _ in range(draw(st.integers(0, 4))):
        place, other = draw(st.integers(0, len(pieces) - 1)), draw(st.integers(0, len(pieces) - 1))
        match draw(st.sampled_from(("remove", "insert", "replace", "swap", "repeat"))):
            case "remove":
                pieces[place] = ""
            case "insert":
                pieces.insert(place, draw(st.sampled_from(_PIECES)))
            case "replace":
                pieces[place] = draw(st.sampled_from(_PIECES))
            case "swap":
                pieces[place], pieces[other] = pieces[other], pieces[place]
            case _:
                pieces[place] = f"{pieces[place]} " * draw(st.integers(2, 300))
    return " ".join(pieces)


def check(text: str) -> None:
    program, diagnostics = parse_tolerant(text)
    assert len(diagnostics) <= 20
    for found in diagnostics:
        assert 0 <= found.start <= found.end <= len(text)
        assert found.message
    assert (program.start, program.end) == (0, len(text))
    pending: list[nodes.Node] = [program]
    while pending:
        node = pending.pop()
        for child in children(node):
            assert node.start <= child.start <= child.end <= node.end, (node, child)
            pending.append(child)


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_answered(text: str) -> None:
    check(text)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(_PIECES), max_size=60).map(" ".join))
@example("T | fork (")
@example("let f = () { let")
def test_any_row_of_tokens_is_answered(text: str) -> None:
    check(text)


@settings(max_examples=400, deadline=None)
@given(mutated_queries())
def test_any_change_to_a_query_is_answered(text: str) -> None:
    check(text)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(_PIECES), st.sampled_from(_PIECES), st.integers(1, 8_000))
def test_any_repetition_is_answered(first: str, second: str, times: int) -> None:
    check(f"T | where {f'{first} {second} ' * times}"[:65_000])


def test_all_queries_that_are_changed_here_are_valid() -> None:
    for text in _QUERIES:
        assert parse_tolerant(text)[1] == (), text
        check(text)
