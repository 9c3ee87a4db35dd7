"""What there is of the language, in words for people: all that the declarations of functions do not say.

What exists is decided elsewhere (`syntax`, `binding`, `functions`), and a test holds this to it; `completion/vocabulary.py` has how each is
written.
Source: https://learn.microsoft.com/kusto/query/
"""

from __future__ import annotations

from msgspec import Struct

from forebay.telemetry.kql.syntax import nodes
from forebay.telemetry.kql.types import KqlType


class Construct(Struct, frozen=True):
    """A part of the language that is supported."""

    name: str
    summary: str
    node: type[nodes.Node] | None = None  # what it is in the syntax tree
    limits: str = ""  # what of it is refused
    aliases: tuple[str, ...] = ()


STATEMENTS = (
    Construct("let", "Names a value, a table or a function, for the statements after it.", nodes.Let),
    Construct(
        "set",
        "Sets an option. `query_now` is the time that `now()` answers; `query_bin_auto_size`, `query_bin_auto_at` are for `bin_auto()`; "
        "others change nothing.",
        nodes.SetOption,
    ),
    Construct(
        "declare query_parameters", "Names values that are given with the query, with their types and defaults.", nodes.DeclareParameters
    ),
    Construct("declare pattern", "Names tables, one for each combination of texts: `p('a').b`.", nodes.DeclarePattern),
    Construct("restrict access", "Hides all tables but these from the statements after it.", nodes.RestrictAccess, limits="`database()`"),
)

SOURCES = (
    Construct("a table", "All rows of a table, by its name, `['its name']` or `table('its name')`.", nodes.Name),
    Construct("a function", "What a function of the query's own answers, and `materialize(...)`, which reads once.", nodes.Call),
    Construct("datatable", "The rows that are written after it.", nodes.Datatable),
    Construct(
        "find",
        "The rows of several tables for which a condition is true, with the columns of `project`.",
        nodes.Find,
        limits="without `project`, whose columns depend on the data",
    ),
    Construct("print", "One row of values.", nodes.Print),
    Construct("range", "A column of values in equal steps, at most a million.", nodes.Range),
    Construct("search", "The rows of all tables, or those named, in which a text is or a condition is true.", nodes.SearchSource),
    Construct("union", "The rows of several tables; a name may end in `*`.", nodes.UnionSource, limits="`*` for what `let` has named"),
)

OPERATORS = (
    Construct("as", "Names the rows for what follows (`search`, `union withsource`).", nodes.As),
    Construct("assert-schema", "Refuses the query where the columns are others than these.", nodes.AssertSchema),
    Construct("consume", "Answers nothing.", nodes.Consume),
    Construct("count", "The number of rows.", nodes.Count),
    Construct("distinct", "The rows, or combinations of columns, that differ.", nodes.Distinct),
    Construct("evaluate", "Calls a plugin.", nodes.Evaluate),
    Construct("extend", "Adds computed columns, or replaces those of the same name.", nodes.Extend),
    Construct("getschema", "The names and types of the columns.", nodes.GetSchema),
    Construct("invoke", "Calls a function of the query's own with the rows as its first argument.", nodes.Invoke),
    Construct(
        "join",
        "The rows of two tables that have the same keys; every kind. Keys are `column` or `$left.a == $right.b`, of one type, "
        "a dynamic one becomes the other's; a null has no match.",
        nodes.Join,
        limits="conditions other than equality",
    ),
    Construct("lookup", "Adds the columns of a table that has the same keys.", nodes.Lookup),
    Construct(
        "make-series", "Aggregates in equal steps of time or numbers, with a default where there is nothing, as arrays.", nodes.MakeSeries
    ),
    Construct(
        "mv-apply",
        "Applies operators to the elements of arrays, for each row by itself.",
        nodes.MvApply,
        limits="within it: `join`, `union` and others that do not go row by row",
        aliases=("mvapply",),
    ),
    Construct("mv-expand", "A row for each element of arrays or bags.", nodes.MvExpand, aliases=("mvexpand",)),
    Construct("parse", "Columns out of a text, by the texts between them or by regular expressions.", nodes.Parse),
    Construct("parse-kv", "Columns out of a text of keys and values.", nodes.ParseKv),
    Construct("parse-where", "As `parse`, and only the rows of which all of it fits.", nodes.Parse),
    Construct(
        "partition",
        "Applies operators to the rows of each key by itself.",
        nodes.Partition,
        limits="within it: `join`, `union` and others that do not go row by row; within `{ ... }` also aggregates and `row_number()`, ...",
    ),
    Construct("project", "These columns, named and computed.", nodes.Project),
    Construct("project-away", "All columns but these.", nodes.ProjectAway),
    Construct("project-by-names", "These columns, in this order, by names and patterns in texts and arrays.", nodes.ProjectByNames),
    Construct("project-keep", "These columns, in the order that they have.", nodes.ProjectKeep),
    Construct("project-rename", "New names for columns.", nodes.ProjectRename),
    Construct("project-reorder", "These columns first.", nodes.ProjectReorder),
    Construct("render", "How the answer is to be drawn; the rows are the same.", nodes.Render),
    Construct("sample", "Some rows, at random.", nodes.Sample),
    Construct("sample-distinct", "Some distinct values of a column.", nodes.SampleDistinct),
    Construct(
        "scan",
        "Steps through rows in order, each step with the state of those before.",
        nodes.Scan,
        limits="steps with `output=last` or `optional`, an order or partitions of its own",
    ),
    Construct("search", "The rows in which a text is, in any column, or a condition is true.", nodes.Search),
    Construct("serialize", "Says that the order of the rows counts from here on, and adds columns.", nodes.Serialize),
    Construct("sort", "The rows in order; without `asc` the greatest first, nulls last when descending.", nodes.Sort, aliases=("order",)),
    Construct("summarize", "Aggregates of the rows of each group.", nodes.Summarize),
    Construct("take", "So many rows, any of them.", nodes.Take, aliases=("limit",)),
    Construct("top", "The first so many rows in order.", nodes.Top),
    Construct("top-hitters", "The most frequent values; exact, where Kusto estimates.", nodes.TopHitters),
    Construct("top-nested", "The first so many values of columns, each within those before.", nodes.TopNested),
    Construct("union", "The rows together with those of other tables.", nodes.Union),
    Construct("where", "The rows for which a condition is true; a null is not.", nodes.Where, aliases=("filter",)),
)

PLUGINS = (
    Construct("active_users_count", "Values that were there in a number of periods before, in each window of time."),
    Construct("activity_counts_metrics", "Rows, and distinct and new values, in each window of time."),
    Construct("activity_metrics", "Values that came back or were new, in each window of time."),
    Construct("bag_unpack", "A column for each key of bags: at most 1,000."),
    Construct("dcount_intersect", "How many values are in several sets that `hll()` has made."),
    Construct("ipv4_lookup", "Adds the row of a table of networks in which an address of IPv4 is."),
    Construct("ipv6_lookup", "The same for IPv6."),
    Construct("narrow", "A row for each value: the row, the column, the value as text."),
    Construct("pivot", "A column for each value of a column, with an aggregate: at most 1,000."),
    Construct("rolling_percentile", "A percentile over a number of bins that moves."),
    Construct("rows_near", "The rows around those for which a condition is true."),
    Construct("schema_merge", "One schema of several that `getschema` has answered."),
    Construct("sliding_window_counts", "Rows and distinct values over a window that slides."),
)

# functions that the binder knows by itself: how they are called, and what they answer
FUNCTIONS: dict[str, tuple[str, str]] = {
    "ago": ("ago(span: timespan) -> datetime", "The time of the query, less a timespan."),
    "bag_pack_columns": ("bag_pack_columns(column...) -> dynamic", "A bag of columns by their names."),
    "bin_auto": ("bin_auto(value: any) -> any", "`bin()` with the size that `set query_bin_auto_size` says."),
    "column_ifexists": ("column_ifexists(name: string, default: any) -> any", "A column, or a value where there is none of this name."),
    "column_names_of": ("column_names_of(table) -> dynamic", "The names of the columns of a table."),
    "materialize": ("materialize(table) -> table", "Rows that are read once however often they are named."),
    "now": ("now(offset: timespan?) -> datetime", "The time of the query, the same everywhere in it."),
    "pack_all": ("pack_all(ignore_empty: bool?) -> dynamic", "A bag of all columns by their names."),
    "toscalar": ("toscalar(table) -> any", "The first value of a table."),
}
FUNCTION_ALIASES = {"columnifexists": "column_ifexists"}
AGGREGATES: dict[str, tuple[str, str]] = {
    "percentiles": ("percentiles(value: real|long|datetime|timespan|decimal, percentile...)", "A column for each percentile."),
    "percentilesw": (
        "percentilesw(value: real|long|datetime|timespan|decimal, weight: long, percentile...)",
        "A column for each percentile of values that stand for many.",
    ),
}
# functions that have more arguments or columns than their declarations say
MORE: dict[str, str] = {
    "arg_max": "Several values, or `*` for all columns, come from one row.",
    "arg_min": "Several values, or `*` for all columns, come from one row.",
    "take_any": "Several values, or `*` for all columns, come from one row.",
    "array_sort_asc": "Several arrays become a column each.",
    "array_sort_desc": "Several arrays become a column each.",
}

# what stands between or before values; names in one row mean the same but for case or `not`
VALUE_OPERATORS: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        ("+", "-", "*", "/", "%"),
        "Of integers long, and `/` cuts; null for a division by zero. Beyond 64 bits it starts again at the other end.",
    ),
    (("==", "!="), "Case counts. Null is equal to nothing, and different from what is not null."),
    (("=~", "!~"), "Texts are equal (not equal), but for case."),
    (("<", "<=", ">", ">="), "Of numbers, datetimes and timespans; texts have `strcmp()`."),
    (("and", "or"), "Both; one of the two. `not()` is a function."),
    (("between", "!between"), "Within `(low .. high)`, both included; of datetimes `high` may be a timespan."),
    (("in", "!in", "in~", "!in~"), "One of a list, a dynamic array or the first column of a table; with `~` but for case."),
    (("has", "!has", "has_cs", "!has_cs"), "A text has a term: letters and digits with none of them beside it; `_cs`: case counts."),
    (("hasprefix", "!hasprefix", "hasprefix_cs", "!hasprefix_cs"), "A text has a term that begins so."),
    (("hassuffix", "!hassuffix", "hassuffix_cs", "!hassuffix_cs"), "A text has a term that ends so."),
    (("has_any", "has_all"), "A text has one, all, of a list of terms."),
    (("contains", "!contains", "contains_cs", "!contains_cs"), "A text has another one in it."),
    (("startswith", "!startswith", "startswith_cs", "!startswith_cs"), "A text begins with another one."),
    (("endswith", "!endswith", "endswith_cs", "!endswith_cs"), "A text ends with another one."),
    (("matches regex",), "A regular expression of RE2, a constant, matches somewhere; its `\\b` knows ASCII only."),
)

TYPES: dict[KqlType, str] = {
    "bool": "`true`, `false`, null.",
    "int": "32 bits. Arithmetic of ints answers long.",
    "long": "64 bits.",
    "real": "64 bits of floating point; `real(nan)`, `real(+inf)`.",
    "decimal": "**Approximate**: 17 digits after the point and 21 before it, and null beyond; Kusto has 34 digits and a floating point.",
    "datetime": "**Approximate**: UTC in microseconds, so the digit of 100 ns is cut; years 1 to 9999, and null beyond.",
    "timespan": "Ticks of 100 ns, exactly; an answer shows whole microseconds.",
    "string": "Unicode; never null: what is missing is `''`.",
    "guid": "128 bits.",
    "dynamic": "JSON: arrays, bags and values. Not compared with another dynamic value, nor grouped by: `tostring()`, ... make it so.",
}

_NO_CATALOG = "a query reads the tables of its own project"
_NO_GRAPH = "there are no graphs; `join`, or `make-series`, may do"
REFUSED_OPERATORS: dict[str, str] = {
    "execute-and-cache": "nothing is cached between queries; `materialize()` reads once within one",
    "facet": "an answer has one table: ask a query for each column",
    "fork": "an answer has one table: ask a query for each branch",
    "macro-expand": _NO_CATALOG,
    "reduce": "its patterns are not published; `extract()` or `parse`, and `summarize`",
    **dict.fromkeys(
        (
            "graph-mark-components",
            "graph-match",
            "graph-shortest-paths",
            "graph-to-table",
            "graph-where-edges",
            "graph-where-nodes",
            "make-graph",
        ),
        _NO_GRAPH,
    ),
}
REFUSED_SOURCES: dict[str, str] = {
    **dict.fromkeys(("app()", "cluster()", "database()", "resource()", "workspace()"), _NO_CATALOG),
    "external_data, externaldata": "a query reads no files and no network; write the rows with `datatable`",
}
REFUSED_STATEMENTS: dict[str, str] = {
    "alias database": _NO_CATALOG,
    "control commands (`.show`, `.create`, ...)": "only queries are answered",
    "several queries at once": "send them one at a time",
}
REFUSED_PLUGINS: dict[str, str] = {
    "autocluster, basket, diffpatterns": "which patterns they find is not published; `summarize count() by` the columns",
    "activity_engagement, new_activity_metrics, session_count": (
        "which periods without activity they show is not published; `dcount()` by `bin(timestamp, ...)`, and `join`"
    ),
    "funnel_sequence, funnel_sequence_completion, sequence_detect": "`scan`, or `join` by the key of a sequence",
    "infer_storage_schema, http_request, sql_request, cosmosdb_sql_request, python, r, ai_embeddings": (
        "a query reads no files and no network, and runs no programs"
    ),
    "geo_line_lookup, geo_polygon_lookup": "`join` by cells, such as `geo_point_to_s2cell()`, and filter by `geo_point_in_polygon()`",
    "preview": "`take` shows rows, `count` their number",
}
