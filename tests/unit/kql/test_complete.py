from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from forebay.telemetry.kql.binding.expressions import SPECIAL
from forebay.telemetry.kql.binding.operators.evaluate import PLUGINS
from forebay.telemetry.kql.complete import Completion, complete
from forebay.telemetry.kql.completion import vocabulary
from forebay.telemetry.kql.functions import registry
from forebay.telemetry.kql.syntax.parser import OPERATOR_NAMES
from forebay.telemetry.kql.types import schema_of

SCHEMA = schema_of(
    {
        "requests": [
            ("timestamp", "datetime"),
            ("name", "string"),
            ("duration", "real"),
            ("success", "bool"),
            ("customDimensions", "dynamic"),
        ],
        "traces": [("timestamp", "datetime"), ("message", "string"), ("severityLevel", "int"), ("odd name", "long"), ("title", "string")],
    }
)
REQUESTS = ["timestamp", "name", "duration", "success", "customDimensions"]


def at(marked: str) -> Completion:
    """The completion at the place that § marks."""
    cursor = marked.index("§")
    return complete(marked.replace("§", ""), cursor, SCHEMA)


def labels(marked: str, *kinds: str) -> list[str]:
    return [item.label for item in at(marked).items if not kinds or item.kind in kinds]


# places


def test_after_a_bar_there_are_operators() -> None:
    found = at("requests | §")
    assert {item.kind for item in found.items} == {"operator"}
    assert {"where", "summarize", "project-away", "mv-expand"} <= {item.label for item in found.items}
    assert next(item.detail for item in found.items if item.label == "join") == "join kind=inner (table) on column"


@pytest.mark.parametrize(
    ("marked", "start"), [("requests | su§", 11), ("requests | su§mmarize x", 11), ("requests | project-a§", 11), ("requests | §", 11)]
)
def test_what_is_replaced_is_the_word_at_the_cursor(marked: str, start: int) -> None:
    found = at(marked)
    text = marked.replace("§", "")
    assert found.start == start
    assert text[found.start : found.end] == text[11:].split(" ")[0]


def test_items_begin_with_what_was_written_or_have_it_within() -> None:
    assert labels("requests | PROJECT-R§") == ["project-rename", "project-reorder"]
    assert labels("requests | where na§", "column") == ["name"]
    assert labels("requests | where mension§", "column") == ["customDimensions"]
    assert labels("requests | expand§") == ["mv-expand"]


def test_a_query_begins_with_a_table_or_a_source_or_a_statement() -> None:
    for marked in ("§", "let x = 1; §", "print 1;\n§", "requ§"):
        assert "requests" in labels(marked, "table")
    assert {"print", "union", "let", "range"} <= set(labels("§", "keyword"))


@pytest.mark.parametrize(
    "marked",
    [
        "requests | join (§",
        "requests | join kind=inner (§",
        "requests | join §",
        "requests | union §",
        "requests | union traces, §",
        "union §",
        "requests | union (§",
        "requests | lookup (tr§",
        "print toscalar(§",
        "let x = §",
        "let x = materialize(§",
        "requests | join kind=inner tr§",
        "(§",
    ],
)
def test_where_a_table_stands_there_are_tables(marked: str) -> None:
    assert "traces" in labels(marked, "table")


@pytest.mark.parametrize(
    "marked",
    [
        "requests | where §",
        "requests | extend a = §",
        "requests | where name == 'x' and §",
        "requests | summarize count() by §",
        "requests | order by §",
        "requests | project §",
        "requests | project a = tolower(§",
        "requests | where strlen(§",
        "requests | where duration > 5 | where §",
        "requests | where (§",
        "requests | top 5 by §",
        "requests | where not(name == 'x' or §",
        "requests | summarize avg(§",
        "requests | extend x = name, y = §",
        "requests | join (traces) on §",
        "requests | project-away §",
        "requests | distinct §",
        "requests | mv-expand §",
        "requests | where a in (§",
        "let t = requests | where §",
        "traces; requests | where §",
        "traces | join (requests | where §",
        "let f = () { requests | where §",
        "requests | sample-distinct 5 of §",
        "requests | parse §",
        "requests | summarize count() by name, §",
        "requests | project name, §",
        "requests | sort by §",
        "requests | join kind=inner (traces) on $left.§",
        "traces | join kind=inner (requests) on $right.§",
        "traces | join requests on $left.a == $right.§",
        "requests | render timechart with (xcolumn=§",
        "requests | make-series count() on §",
        "requests | extend x = duration -§",
        "requests | summarize by §",
        "union requests | where §",
        "requests | as r | where §",
        "requests | where name has 'x' // comment\n| where §",
        "(requests) | where §",
        "requests | partition by name (where §",
        "requests | where x ==§",
        "requests | top-nested 3 of §",
    ],
)
def test_where_a_value_stands_there_are_the_columns(marked: str) -> None:
    assert labels(marked, "column")[:5] == REQUESTS


def test_columns_are_those_that_the_operators_before_make() -> None:
    assert labels("requests | project name, d = duration * 2 | where §", "column") == ["name", "d"]
    assert labels("requests | summarize n = count() by name | order by §", "column") == ["name", "n"]
    assert labels("requests | extend a = 1 | project-away name, duration, success, customDimensions | where §", "column") == [
        "timestamp",
        "a",
    ]
    assert labels("traces | join (requests | summarize c = count() by name | §", "column") == []
    assert labels("datatable(a: long, b: string)[1, 'x'] | where §", "column") == ["a", "b"]
    assert labels("range n from 1 to 3 step 1 | extend §", "column") == ["n"]


def test_operators_that_are_wrong_are_stepped_over() -> None:
    assert labels("requests | where nothing == 1 | sumarize x | where name = 1 | project name | where §", "column") == ["name"]


def test_what_comes_after_the_cursor_does_not_matter() -> None:
    assert labels("requests | where § | summarize count() by name | where count_ > 1; traces", "column")[:5] == REQUESTS


def test_columns_have_their_types_and_odd_names_are_in_brackets() -> None:
    found = {item.label: item.detail for item in at("traces | where §").items if item.kind == "column"}
    assert found == {"timestamp": "datetime", "message": "string", "severityLevel": "int", "['odd name']": "long", "['title']": "string"}


def test_what_let_has_named_is_offered() -> None:
    assert labels("let limit_ms = 5; let slow = requests | where duration > 1; requests | where duration > lim§", "column") == ["limit_ms"]
    assert "slow" in labels("let slow = requests | project name; §", "table")
    assert labels("let slow = requests | project name; slow | where §", "column")[:1] == ["name"]
    assert "twice" in labels("let twice = (x: long) { x * 2 }; requests | extend a = tw§", "function")
    assert next(item.detail for item in at("let twice = (x: long) { x * 2 }; print tw§").items) == "twice(x: long)"


def test_a_function_sees_its_parameters() -> None:
    assert "least" in labels("let f = (least: real) { requests | where duration > §", "column")
    assert labels("let f = (T: (a: long, b: string)) { T | where §", "column")[:2] == ["a", "b"]


def test_mv_apply_sees_what_it_expands() -> None:
    assert "x" in labels("requests | mv-apply x = customDimensions to typeof(long) on (where §", "column")
    assert set(labels("requests | mv-apply customDimensions on (§")) > {"where", "summarize"}


def test_functions_have_their_signatures() -> None:
    found = {item.label: item for item in at("requests | where strl§").items}
    assert found["strlen"].kind == "function"
    assert found["strlen"].detail.startswith("strlen(")
    assert "ago" in labels("requests | where timestamp > §", "function")


def test_aggregates_stand_where_summarize_has_them() -> None:
    assert {"count", "dcount", "make_list"} <= set(labels("requests | summarize §", "aggregate"))
    assert labels("requests | summarize §")[0] in labels("requests | summarize §", "aggregate")
    assert "avg" in labels("requests | summarize round(§", "aggregate")
    assert "count" in labels("requests | make-series §", "aggregate")
    for marked in ("requests | where §", "requests | summarize count() by §", "requests | extend x = §"):
        assert labels(marked, "aggregate") == []


@pytest.mark.parametrize(
    ("marked", "some"),
    [
        ("requests | join kind=§", {"inner", "leftanti", "fullouter"}),
        ("requests | lookup kind=§", {"inner", "leftouter"}),
        ("union kind=§", {"outer", "inner"}),
        ("requests | render §", {"timechart", "barchart"}),
        ("requests | render timechart with (§", {"title=", "ycolumns="}),
        ("requests | render timechart with (title='x', §", {"kind="}),
        ("requests | render timechart with (kind=§", {"stacked"}),
        ("requests | summarize count() §", {"by"}),
        ("requests | order by name §", {"asc", "desc"}),
        ("requests | join (traces) §", {"on"}),
        ("requests | where name §", {"has", "contains", "and", "in"}),
        ("requests | where (name == 'x') §", {"and", "or"}),
        ("requests | order §", {"by"}),
        ("requests | join §", {"kind="}),
        ("requests | render timechart §", {"with"}),
        ("requests | where name !§", {"!has", "!in"}),
        ("requests | top 5 §", {"by"}),
        ("requests | count §", {"as"}),
        ("range x §", {"from"}),
        ("requests | parse name §", {"with"}),
    ],
)
def test_the_words_of_an_operator_stand_in_their_places(marked: str, some: set[str]) -> None:
    assert some <= set(labels(marked, "keyword"))


@pytest.mark.parametrize(
    "marked",
    ["print typeof(§", "requests | mv-expand a to typeof(§", "datatable(a:§", "let f = (x: §", "requests | parse name with 'x' y:§"],
)
def test_types_stand_where_a_type_is_wanted(marked: str) -> None:
    assert {"long", "string", "datetime"} <= set(labels(marked, "type"))


def test_plugins_stand_after_evaluate() -> None:
    assert {"pivot", "bag_unpack"} <= set(labels("requests | evaluate §", "plugin"))


@pytest.mark.parametrize(
    "marked",
    [
        "requests | where name == 'a§",
        "requests // whe§",
        "requests | where customDimensions.§",
        "requests | as §",
        "requests | take 1§",
        'print "a\\"§"',
    ],
)
def test_nothing_is_offered_where_nothing_is_known(marked: str) -> None:
    assert at(marked).items == ()


# vocabulary


def test_what_is_offered_is_what_is_supported() -> None:
    at("requests | evaluate nothing()§")  # plugins are declared when one is first asked for
    assert set(vocabulary.PLUGINS) == set(PLUGINS)
    assert set(vocabulary.OPERATORS) <= set(OPERATOR_NAMES)
    offered = set(vocabulary.SPECIAL) | set(registry.names())
    assert {name for name in SPECIAL if not name.startswith("_")} - offered <= {"columnifexists"}


# diagnostics


def test_what_is_wrong_is_told_too() -> None:
    assert [found.code for found in at("requests | sumarize x§").diagnostics] == ["syntax"]
    assert [found.code for found in at("requests | where nothing == 1§").diagnostics] == ["unknown_column"]
    assert at("requests | where name == 'x'§").diagnostics == ()


_PIECES = [
    *"requests traces | ( ) [ ] { } , ; = == . : by on with in join kind union where summarize count() extend let f x 1 'a'".split(),
    *"'b render mv-apply partition evaluate toscalar( typeof( datatable( $left - // ! ¦ search find print range to project-away \n".split(
        " "
    ),
]


def test_a_query_whose_columns_depend_on_its_rows_is_not_judged() -> None:
    assert at("requests | project name | evaluate pivot(name) | where somebody > 1§").diagnostics == ()


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.sampled_from(_PIECES),
        max_size=30,
    ).map(" ".join),
    st.integers(-1, 300),
)
@example("let f = (", 9)
@example("", 0)
def test_any_text_is_answered(text: str, cursor: int) -> None:
    found = complete(text, cursor, SCHEMA)
    assert 0 <= found.start <= found.end <= len(text)
    assert len({item.label for item in found.items}) == len(found.items)
