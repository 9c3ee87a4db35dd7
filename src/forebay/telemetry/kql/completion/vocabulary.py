"""The words that may stand at a place, with a hint of what comes after them.

Source: https://learn.microsoft.com/kusto/query/ (one page an operator).
"""

from __future__ import annotations

# operators, and how they go on
OPERATORS = {
    "as": "as name",
    "assert-schema": "assert-schema (column: type, ...)",
    "consume": "consume",
    "count": "count",
    "distinct": "distinct column, ...",
    "evaluate": "evaluate plugin(...)",
    "extend": "extend name = value, ...",
    "getschema": "getschema",
    "invoke": "invoke function(...)",
    "join": "join kind=inner (table) on column",
    "limit": "limit number",
    "lookup": "lookup (table) on column",
    "make-series": "make-series aggregate on time from start to end step size by column",
    "mv-apply": "mv-apply array on (operators)",
    "mv-expand": "mv-expand array to typeof(type)",
    "order": "order by column desc",
    "parse": "parse text with 'before' column: type 'after' *",
    "parse-kv": "parse-kv text as (key: type, ...) with (pair_delimiter=' ', kv_delimiter='=')",
    "parse-where": "parse-where text with 'before' column: type 'after' *",
    "partition": "partition by column (operators)",
    "project": "project column, name = value, ...",
    "project-away": "project-away column, pattern*, ...",
    "project-by-names": "project-by-names 'column', ...",
    "project-keep": "project-keep column, pattern*, ...",
    "project-rename": "project-rename new = old, ...",
    "project-reorder": "project-reorder column, ...",
    "render": "render chart",
    "sample": "sample number",
    "sample-distinct": "sample-distinct number of column",
    "scan": "scan declare (name: type = value) with (step name: condition => name = value;)",
    "search": "search 'text'",
    "serialize": "serialize name = row_number()",
    "sort": "sort by column desc",
    "summarize": "summarize aggregate, ... by column, ...",
    "take": "take number",
    "top": "top number by column desc",
    "top-hitters": "top-hitters number of column",
    "top-nested": "top-nested number of column by aggregate",
    "union": "union table, ...",
    "where": "where condition",
}
# what else a query may begin with
SOURCES = {
    "datatable": "datatable (column: type, ...) [values]",
    "evaluate": "evaluate plugin(...)",
    "find": "find in (table, ...) where condition",
    "print": "print name = value, ...",
    "range": "range name from start to end step size",
    "search": "search 'text'",
    "union": "union table, ...",
}
STATEMENTS = {"let": "let name = value", "set": "set option = value", "declare": "declare query_parameters(name: type = value, ...)"}

TEXT_OPERATORS = (
    "has", "!has", "has_any", "has_all", "has_cs", "contains", "!contains", "contains_cs", "startswith", "!startswith", "endswith",
    "!endswith", "hasprefix", "hassuffix", "matches regex", "in", "!in", "in~", "!in~", "between", "!between",
)  # fmt: skip
LOGIC = ("and", "or")
# words inside an operator, in the order in which they come
KEYWORDS: dict[str, tuple[str, ...]] = {
    "count": ("as",),
    "evaluate": (),
    "find": ("in", "where", "project"),
    "join": ("on",),
    "lookup": ("on",),
    "make-series": ("default", "on", "from", "to", "step", "in range", "by"),
    "mv-apply": ("to typeof", "limit", "on"),
    "mv-expand": ("to typeof", "limit"),
    "parse": ("with",),
    "parse-kv": ("as", "with"),
    "parse-where": ("with",),
    "partition": ("by",),
    "project-reorder": ("asc", "desc"),
    "range": ("from", "to", "step"),
    "render": ("with",),
    "sample-distinct": ("of",),
    "scan": ("declare", "with", "step"),
    "search": ("in",),
    "sort": ("by", "asc", "desc", "nulls first", "nulls last"),
    "summarize": ("by",),
    "top": ("by", "asc", "desc", "nulls first", "nulls last"),
    "top-hitters": ("of", "by"),
    "top-nested": ("of", "with others", "by", "asc", "desc"),
}
PARAMETERS: dict[str, dict[str, tuple[str, ...]]] = {
    "join": {"kind": ("innerunique", "inner", "leftouter", "rightouter", "fullouter", "leftsemi", "rightsemi", "leftanti", "rightanti")},
    "lookup": {"kind": ("leftouter", "inner")},
    "make-series": {"kind": ("nonempty",)},
    "mv-apply": {"kind": ("bag", "array"), "with_itemindex": ()},
    "mv-expand": {"kind": ("bag", "array"), "with_itemindex": ()},
    "parse": {"kind": ("simple", "regex", "relaxed"), "flags": ()},
    "parse-where": {"kind": ("simple", "regex", "relaxed"), "flags": ()},
    "search": {"kind": ("default", "case_insensitive", "case_sensitive")},
    "union": {"kind": ("outer", "inner"), "withsource": (), "isfuzzy": ("true", "false")},
}
CHART_VALUES: dict[str, tuple[str, ...]] = {
    "kind": ("default", "unstacked", "stacked", "stacked100", "map"),
    "legend": ("visible", "hidden"),
    "xaxis": ("linear", "log"),
    "yaxis": ("linear", "log"),
    "ysplit": ("none", "axes", "panels"),
    "accumulate": ("true", "false"),
}
# functions that the binder knows by itself
SPECIAL = {
    "ago": "ago(span: timespan) -> datetime",
    "bag_pack_columns": "bag_pack_columns(column: any...) -> dynamic",
    "bin_auto": "bin_auto(value: any) -> any",
    "column_ifexists": "column_ifexists(name: string, default: any) -> any",
    "column_names_of": "column_names_of(table)",
    "datetime": "datetime(2024-01-31)",
    "dynamic": "dynamic({...})",
    "materialize": "materialize(table)",
    "now": "now(offset: timespan?) -> datetime",
    "pack_all": "pack_all(ignore_empty: bool?) -> dynamic",
    "timespan": "timespan(1.00:00:00)",
    "toscalar": "toscalar(table)",
    "typeof": "typeof(type)",
}
SPECIAL_AGGREGATES = {
    "percentiles": "percentiles(value: number, percentage: number, ...)",
    "percentilesw": "percentilesw(value: number, weight: number, percentage: number, ...)",
}
PLUGINS = {
    "active_users_count": "active_users_count(id, time, start, end, lookback, period, periods, window, dimension, ...)",
    "activity_counts_metrics": "activity_counts_metrics(id, time, start, end, window, dimension, ...)",
    "activity_metrics": "activity_metrics(id, time, start, end, window, dimension, ...)",
    "bag_unpack": "bag_unpack(column, prefix)",
    "dcount_intersect": "dcount_intersect(hll, ...)",
    "ipv4_lookup": "ipv4_lookup(table, ip, network)",
    "ipv6_lookup": "ipv6_lookup(table, ip, network)",
    "narrow": "narrow()",
    "pivot": "pivot(column, aggregate, column, ...)",
    "rolling_percentile": "rolling_percentile(value, percentage, index, bin_size, bins_per_window, dimension, ...)",
    "rows_near": "rows_near(condition, rows, rows_after)",
    "schema_merge": "schema_merge(preserve_order)",
    "sliding_window_counts": "sliding_window_counts(id, time, start, end, lookback, bin, dimension, ...)",
}
