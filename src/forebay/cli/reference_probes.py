"""What docs/kql.md asks of the query language: a small query for each operator, form and function, and what Kusto answers.

Source of the answers: https://learn.microsoft.com/kusto/query/. Which to ask for: the most frequent ones in public monitoring queries.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Probe:
    """One query. Rows of `answer` are separated by `; `, their values by `, `; null is `null`."""

    name: str
    query: str
    answer: str


def _request(minute: int, name: str, duration: float, code: str, tenant: str, identity: str) -> dict[str, Any]:
    return {
        "timestamp": f"2026-11-22T05:{minute:02}:00.000000",
        "name": name,
        "duration": duration,
        "success": "True" if code < "400" else "False",
        "resultCode": code,
        "operation_Id": identity,
        "customDimensions": {"tenant": tenant, "tags": ["x", "y"]},
    }


ROWS: dict[str, list[dict[str, Any]]] = {
    "requests": [
        _request(0, "GET /a", 10.0, "200", "red", "o1"),
        _request(5, "GET /b", 30.0, "500", "blue", "o2"),
        _request(10, "GET /a", 20.0, "200", "red", "o3"),
    ],
    "traces": [
        {"timestamp": "2026-11-22T05:05:01.000000", "message": "user=7 action=login", "severityLevel": 3, "operation_Id": "o2"},
        {"timestamp": "2026-11-22T05:06:00.000000", "message": "unrelated", "severityLevel": 1, "operation_Id": "o9"},
    ],
}

OPERATORS: tuple[Probe, ...] = (
    Probe("where", "requests | where duration > 15 and name == 'GET /a' | project duration", "20"),
    Probe("project, project-away", "requests | project name, ms = duration | project-away name | take 1", "10"),
    Probe("project-rename", "requests | project-rename ms = duration | where ms > 25 | project ms", "30"),
    Probe("project-keep", "requests | project-keep name | take 1", "GET /a"),
    Probe("project-reorder", "requests | project name, duration | project-reorder duration | take 1", "10, GET /a"),
    Probe("extend", "requests | extend seconds = duration / 1000 | project seconds | take 1", "0.01"),
    Probe("summarize", "requests | summarize n = count(), avg(duration) by name | order by name asc", "GET /a, 2, 15; GET /b, 1, 30"),
    Probe("summarize by bin", "requests | summarize n = count() by bin(timestamp, 10m) | project n | order by n asc", "1; 2"),
    Probe("count", "requests | count", "3"),
    Probe("distinct", "requests | distinct name | order by name asc", "GET /a; GET /b"),
    Probe("distinct *", "requests | project name | distinct * | count", "2"),
    Probe("take, limit", "requests | limit 2 | count", "2"),
    Probe("sort, order", "requests | sort by duration desc | project duration", "30; 20; 10"),
    Probe("top", "requests | top 1 by duration | project duration", "30"),
    Probe("top-nested", "requests | top-nested 1 of name by count()", "GET /a, 2"),
    Probe("join kind=inner", "requests | join kind=inner traces on operation_Id | project name, message", "GET /b, user=7 action=login"),
    Probe("join (innerunique)", "requests | join traces on operation_Id | project name", "GET /b"),
    Probe("join kind=leftouter", "requests | join kind=leftouter traces on operation_Id | where isempty(message) | count", "2"),
    Probe("join kind=fullouter", "requests | join kind=fullouter traces on operation_Id | count", "4"),
    Probe("join kind=leftanti", "requests | join kind=leftanti traces on operation_Id | count", "2"),
    Probe("join kind=leftsemi", "requests | join kind=leftsemi traces on operation_Id | project name", "GET /b"),
    Probe(
        "join on $left, $right", "requests | join kind=inner traces on $left.operation_Id == $right.operation_Id | project name", "GET /b"
    ),
    Probe("lookup", "requests | lookup kind=inner traces on operation_Id | project name", "GET /b"),
    Probe("union", "union requests, traces | count", "5"),
    Probe(
        "union withsource", "union withsource=t requests, traces | summarize n = count() by t | order by t asc", "requests, 3; traces, 2"
    ),
    Probe("let: value", "let limit_ms = 25; requests | where duration > limit_ms | count", "1"),
    Probe("let: table", "let slow = requests | where duration > 15; slow | count", "2"),
    Probe("let: function", "let twice = (x: real) { x * 2 }; print twice(1.5)", "3"),
    Probe("let: function of a table", "let slow = (t: (duration: real)) { t | where duration > 15 }; slow(requests) | count", "2"),
    Probe("materialize", "let slow = materialize(requests | where duration > 15); slow | count", "2"),
    Probe("datatable", "datatable(a: string, n: long) ['x', 1, 'y', 2] | summarize sum(n)", "3"),
    Probe("print", "print 1 + 2", "3"),
    Probe("range", "range x from 1 to 3 step 1", "1; 2; 3"),
    Probe("mv-expand", "requests | take 1 | mv-expand tag = customDimensions.tags | project tostring(tag) | order by tag asc", "x; y"),
    Probe("mv-apply", "print a = dynamic([3, 1, 2]) | mv-apply x = a to typeof(long) on (top 1 by x) | project x", "3"),
    Probe("parse", "traces | parse message with 'user=' user: long ' action=' action | where user == 7 | project action", "login"),
    Probe("parse-where", "traces | parse-where message with 'user=' user: long ' action=' action | project user, action", "7, login"),
    Probe("parse-kv", "traces | take 1 | parse-kv message as (user: long) with (pair_delimiter=' ', kv_delimiter='=') | project user", "7"),
    Probe(
        "make-series",
        "requests | make-series n = count() default = 0 on timestamp"
        " from datetime(2026-11-22T05:00) to datetime(2026-11-22T05:15) step 5m | project n",
        "[1,1,1]",
    ),
    Probe("serialize", "requests | order by duration asc | serialize n = row_number() | project n", "1; 2; 3"),
    Probe("as", "requests | as all | count", "3"),
    Probe(
        "evaluate pivot",
        "requests | project name, resultCode | evaluate pivot(resultCode) | order by name asc",
        "GET /a, 2, 0; GET /b, 0, 1",
    ),
    Probe("evaluate bag_unpack", "print b = dynamic({'n': 1}) | evaluate bag_unpack(b)", "1"),
    Probe("getschema", "requests | project name | getschema | project ColumnName", "name"),
    Probe("sample", "requests | sample 2 | count", "2"),
    Probe("sample-distinct", "requests | sample-distinct 5 of name | count", "2"),
    Probe("search", "search 'login' | count", "1"),
    Probe("where * has", "traces | where * has 'login' | count", "1"),
    Probe("find", "find in (requests, traces) where operation_Id == 'o2' | count", "2"),
    Probe("partition", "requests | partition by name (top 1 by duration) | count", "2"),
    Probe("scan", "requests | order by timestamp asc | scan declare (n: long = 0) with (step s: true => n = s.n + 1;) | count", "3"),
    Probe("query in brackets", "(requests | where duration > 15) | count", "2"),
    Probe("render", "requests | summarize n = count() by name | order by n desc | render barchart", "GET /a, 2; GET /b, 1"),
    Probe("declare query_parameters", "declare query_parameters(least: real = 15.0); requests | where duration > least | count", "2"),
)

AGGREGATES: tuple[Probe, ...] = (
    Probe("count", "requests | summarize count()", "3"),
    Probe("countif", "requests | summarize countif(success == 'False')", "1"),
    Probe("dcount", "requests | summarize dcount(name)", "2"),
    Probe("dcountif", "requests | summarize dcountif(name, duration < 25)", "1"),
    Probe("count_distinct", "requests | summarize count_distinct(name)", "2"),
    Probe("sum, sumif", "requests | summarize sum(duration), sumif(duration, name == 'GET /a')", "60, 30"),
    Probe("avg, avgif", "requests | summarize avg(duration), avgif(duration, name == 'GET /a')", "20, 15"),
    Probe("min, max", "requests | summarize min(duration), max(duration)", "10, 30"),
    Probe("minif, maxif", "requests | summarize minif(duration, name == 'GET /a'), maxif(duration, name == 'GET /a')", "10, 20"),
    Probe("percentile", "requests | summarize percentile(duration, 50)", "20"),
    Probe("percentiles", "requests | summarize percentiles(duration, 50, 99)", "20, 30"),
    Probe("percentilew", "requests | summarize percentilew(duration, toint(duration), 60)", "30"),
    Probe("stdev", "requests | summarize stdev(duration)", "10"),
    Probe("variance", "requests | summarize variance(duration)", "100"),
    Probe("arg_max", "requests | summarize arg_max(duration, name)", "30, GET /b"),
    Probe(
        "arg_max(x, *)",
        "traces | summarize arg_max(timestamp, *) by operation_Id | where operation_Id == 'o2' | project severityLevel",
        "3",
    ),
    Probe("arg_min", "requests | summarize arg_min(duration, name)", "10, GET /a"),
    Probe("make_list", "requests | order by duration asc | summarize make_list(duration)", "[10.0,20.0,30.0]"),
    Probe("make_set", "requests | summarize s = make_set(name) | project array_length(s)", "2"),
    Probe("make_list(x, n)", "requests | summarize l = make_list(name, 2) | project array_length(l)", "2"),
    Probe("make_bag", "requests | summarize b = make_bag(bag_pack(name, 1)) | project array_length(bag_keys(b))", "2"),
    Probe("take_any", "requests | where name == 'GET /b' | summarize take_any(duration)", "30"),
    Probe("any", "requests | where name == 'GET /b' | summarize any(duration)", "30"),
    Probe("makeset, makelist", "requests | summarize s = makeset(name) | project arraylength(s)", "2"),
    Probe("binary_all_or", "print x = 5 | summarize binary_all_or(x)", "5"),
    Probe("hll, dcount_hll", "requests | summarize h = hll(name) | project dcount_hll(h)", "2"),
)

TEXT: tuple[Probe, ...] = (
    Probe("==, =~, !~", "print 'a' == 'A', 'a' =~ 'A', 'a' !~ 'b'", "false, true, true"),
    Probe("has, !has", "print 'GET /a' has 'get', 'GETS' has 'get'", "true, false"),
    Probe("contains, contains_cs", "print 'GETS' contains 'get', 'GETS' contains_cs 'get'", "true, false"),
    Probe("startswith, endswith", "print 'GET /a' startswith 'get', 'GET /a' endswith '/A'", "true, true"),
    Probe("has_any, has_all", "print 'a b' has_any ('b', 'c'), 'a b' has_all ('b', 'c')", "true, false"),
    Probe("in, in~, !in", "print 'a' in ('a', 'b'), 'A' in~ ('a'), 'c' !in ('a')", "true, true, true"),
    Probe("matches regex", r"print 'GET /a' matches regex '^GET /[a-z]$'", "true"),
    Probe("strcat", "print strcat('a', 1)", "a1"),
    Probe("strcat_delim", "print strcat_delim('-', 'a', 'b')", "a-b"),
    Probe("strcat_array", "print strcat_array(dynamic(['a', 'b']), '-')", "a-b"),
    Probe("strlen", "print strlen('wörd')", "4"),
    Probe("substring", "print substring('forebay', 4, 3)", "bay"),
    Probe("split", "print split('a/b/c', '/')", '["a","b","c"]'),
    Probe("split(s, d, i)", "print split('a/b/c', '/', 1)", '["b"]'),
    Probe("indexof", "print indexof('forebay', 'bay')", "4"),
    Probe("indexof_regex", "print indexof_regex('ab12', '[0-9]+')", "2"),
    Probe("countof", "print countof('banana', 'an')", "2"),
    Probe("tolower, toupper", "print tolower('Ab'), toupper('Ab')", "ab, AB"),
    Probe("trim, trim_start, trim_end", "print trim('-', '-a-'), trim_start('-', '-a-'), trim_end('-', '-a-')", "a, a-, -a"),
    Probe("replace_string", "print replace_string('a.b', '.', '-')", "a-b"),
    Probe("replace_regex", r"print replace_regex('a1b2', @'\d', '#')", "a#b#"),
    Probe("extract", r"print extract(@'user=(\d+)', 1, 'user=7')", "7"),
    Probe("extract to a type", r"print extract(@'user=(\d+)', 1, 'user=7', typeof(long)) + 1", "8"),
    Probe("extract_all", r"print extract_all(@'(\d)', 'a1b2')", '["1","2"]'),
    Probe("isempty, isnotempty", "print isempty(''), isnotempty('a')", "true, true"),
    Probe("notempty", "print notempty('a')", "true"),
    Probe("isnull, isnotnull", "print isnull(int(null)), isnotnull(1)", "true, true"),
    Probe("reverse", "print reverse('abc')", "cba"),
    Probe("strrep", "print strrep('ab', 2)", "abab"),
    Probe("parse_url", "print tostring(parse_url('http://h:80/p?q=1').Host)", "h"),
    Probe("parse_csv", "print parse_csv('a,b')", '["a","b"]'),
    Probe("url_encode, url_decode", "print url_encode('a b'), url_decode('a%20b')", "a%20b, a b"),
    Probe("base64_encode_tostring", "print base64_encode_tostring('a'), base64_decode_tostring('YQ==')", "YQ==, a"),
    Probe("hash_sha256, hash_md5", "print substring(hash_sha256('a'), 0, 8), substring(hash_md5('a'), 0, 8)", "ca978112, 0cc175b9"),
    Probe("format_bytes", "print format_bytes(2048)", "2 KB"),
    Probe("parse_version", "print parse_version('1.2') < parse_version('1.10')", "true"),
)

NUMBERS: tuple[Probe, ...] = (
    Probe("+ - * / %", "print 7 / 2, 7 % 2, 7.0 / 2", "3, 1, 3.5"),
    Probe("between", "print 5 between (1 .. 5), 6 !between (1 .. 5)", "true, true"),
    Probe("bin, floor", "print bin(7, 5), floor(7.5, 1)", "5, 7"),
    Probe("bin_at", "print bin_at(7, 5, 1)", "6"),
    Probe("ceiling", "print ceiling(1.2)", "2"),
    Probe("round", "print round(2.345, 1), round(2.5)", "2.3, 3"),
    Probe("abs, sign", "print abs(-2), sign(-2)", "2, -1"),
    Probe("sqrt, pow, exp, log", "print sqrt(9.0), pow(2, 3), exp(0), log(1)", "3, 8, 1, 0"),
    Probe("log2, log10", "print log2(8), log10(1000)", "3, 3"),
    Probe("min_of, max_of", "print min_of(2, 1, 3), max_of(2, 1, 3)", "1, 3"),
    Probe("isnan, isfinite", "print isnan(real(nan)), isfinite(1.0)", "true, true"),
    Probe("toint, tolong", "print toint('7'), tolong('x')", "7, null"),
    Probe("todouble, toreal", "print todouble('1.5'), toreal('x')", "1.5, null"),
    Probe("tobool", "print tobool('true'), tobool('x')", "true, null"),
    Probe("tostring", "print tostring(1), tostring(1.5)", "1, 1.5"),
    Probe("todecimal", "print todecimal('1.5')", "1.5"),
    Probe("toguid", "print toguid('74be27de-1e4e-49d9-b579-fe0b331d3642')", "74be27de-1e4e-49d9-b579-fe0b331d3642"),
    Probe("iff, iif", "print iff(1 > 2, 'a', 'b'), iif(true, 1, 2)", "b, 1"),
    Probe("case", "print case(false, 'a', true, 'b', 'c')", "b"),
    Probe("coalesce", "print coalesce(int(null), 2)", "2"),
    Probe("gettype", "print gettype(1), gettype('a')", "long, string"),
    Probe("binary_and, binary_or", "print binary_and(6, 3), binary_or(6, 3)", "2, 7"),
    Probe("column_ifexists", "requests | project column_ifexists('nothing', 'none') | take 1", "none"),
)

TIMES: tuple[Probe, ...] = (
    Probe("now, ago", "print now() - ago(1h)", "01:00:00"),
    Probe("datetime, timespan", "print datetime(2026-11-22) + 90m", "2026-11-22T01:30:00Z"),
    Probe("todatetime, totimespan", "print todatetime('2026-11-22') + totimespan('01:00:00')", "2026-11-22T01:00:00Z"),
    Probe("startofday, endofday", "print startofday(datetime(2026-11-22 05:00))", "2026-11-22T00:00:00Z"),
    Probe("startofweek", "print startofweek(datetime(2026-11-25))", "2026-11-22T00:00:00Z"),
    Probe(
        "startofmonth, startofyear",
        "print startofmonth(datetime(2026-11-22)), startofyear(datetime(2026-11-22))",
        "2026-11-01T00:00:00Z, 2026-01-01T00:00:00Z",
    ),
    Probe("datetime_diff", "print datetime_diff('hour', datetime(2026-11-22 05:00), datetime(2026-11-22 03:30))", "2"),
    Probe("datetime_add", "print datetime_add('month', 1, datetime(2026-11-22))", "2026-12-22T00:00:00Z"),
    Probe("datetime_part", "print datetime_part('hour', datetime(2026-11-22 05:00))", "5"),
    Probe("format_datetime", "print format_datetime(datetime(2026-11-22 05:00), 'yyyy-MM-dd HH:mm')", "2026-11-22 05:00"),
    Probe("format_timespan", "print format_timespan(90m, 'hh:mm')", "01:30"),
    Probe("hourofday, dayofweek", "print hourofday(datetime(2026-11-22 05:00)), dayofweek(datetime(2026-11-23))", "5, 1.00:00:00"),
    Probe("dayofmonth, dayofyear", "print dayofmonth(datetime(2026-11-22)), dayofyear(datetime(2026-11-22))", "22, 326"),
    Probe("monthofyear, getyear", "print monthofyear(datetime(2026-11-22)), getyear(datetime(2026-11-22))", "11, 2026"),
    Probe("make_datetime", "print make_datetime(2026, 11, 22)", "2026-11-22T00:00:00Z"),
    Probe("unixtime_seconds_todatetime", "print unixtime_seconds_todatetime(0)", "1970-01-01T00:00:00Z"),
    Probe("timespan / timespan", "print 90m / 1h", "1.5"),
    Probe("bin(datetime, 7d)", "print bin(datetime(2024-01-01), 7d)", "2024-01-01T00:00:00Z"),
    Probe("bin(timespan)", "print bin(95m, 1h)", "01:00:00"),
    Probe("between (datetimes)", "requests | where timestamp between (datetime(2026-11-22T05:00) .. 6m) | count", "2"),
    Probe("ingestion_time", "requests | where isnotnull(ingestion_time()) | count", "3"),
)

DYNAMIC: tuple[Probe, ...] = (
    Probe(
        "d.name, d['name']",
        "requests | take 1 | project tostring(customDimensions.tenant), tostring(customDimensions['tenant'])",
        "red, red",
    ),
    Probe("d[0], d[-1]", "print a = dynamic([1, 2, 3]) | project toint(a[0]), toint(a[-1])", "1, 3"),
    Probe("dynamic", "print dynamic({'a': [1, 2]})", '{"a":[1,2]}'),
    Probe("parse_json, todynamic", "print toint(parse_json('{\"a\": 1}').a), toint(todynamic('[7]')[0])", "1, 7"),
    Probe("parse_json of a column", "requests | extend d = parse_json(customDimensions) | take 1 | project tostring(d.tenant)", "red"),
    Probe("extractjson", "print extractjson('$.a', '{\"a\": \"b\"}')", "b"),
    Probe("extract_json", "print extract_json('$.a', '{\"a\": \"b\"}')", "b"),
    Probe("bag_keys", "print bag_keys(dynamic({'a': 1, 'b': 2}))", '["a","b"]'),
    Probe("bag_pack, pack", "print bag_pack('a', 1), pack('b', 2)", '{"a":1}, {"b":2}'),
    Probe("pack_all", "requests | project name | take 1 | project pack_all()", '{"name":"GET /a"}'),
    Probe("bag_merge", "print bag_merge(dynamic({'a': 1}), dynamic({'b': 2}))", '{"a":1,"b":2}'),
    Probe("bag_has_key", "print bag_has_key(dynamic({'a': 1}), 'a')", "true"),
    Probe("bag_remove_keys", "print bag_remove_keys(dynamic({'a': 1, 'b': 2}), dynamic(['a']))", '{"b":2}'),
    Probe("pack_array", "print pack_array(1, 2)", "[1,2]"),
    Probe("array_length", "print array_length(dynamic([1, 2]))", "2"),
    Probe("array_concat", "print array_concat(dynamic([1]), dynamic([2]))", "[1,2]"),
    Probe("array_slice", "print array_slice(dynamic([1, 2, 3]), 1, 2)", "[2,3]"),
    Probe("array_index_of", "print array_index_of(dynamic(['a', 'b']), 'b')", "1"),
    Probe("array_sort_asc", "print array_sort_asc(dynamic([3, 1, 2]))", "[1,2,3]"),
    Probe("array_sum", "print array_sum(dynamic([1, 2, 3]))", "6"),
    Probe("array_split", "print array_split(dynamic([1, 2, 3]), 1)", "[[1],[2,3]]"),
    Probe("set_union", "print array_length(set_union(dynamic([1, 2]), dynamic([2, 3])))", "3"),
    Probe(
        "set_intersect, set_difference",
        "print set_intersect(dynamic([1, 2]), dynamic([2])), set_difference(dynamic([1, 2]), dynamic([2]))",
        "[2], [1]",
    ),
    Probe("set_has_element", "print set_has_element(dynamic([1, 2]), 2)", "true"),
    Probe("zip", "print zip(dynamic([1]), dynamic([2]))", "[[1,2]]"),
    Probe("range()", "print range(1, 5, 2)", "[1,3,5]"),
    Probe("treepath", "print array_length(treepath(dynamic({'a': {'b': 1}})))", "2"),
)

WINDOWS: tuple[Probe, ...] = (
    Probe("row_number", "requests | order by duration asc | extend n = row_number() | project n", "1; 2; 3"),
    Probe("prev", "requests | order by duration asc | extend p = prev(duration) | project p", "null; 10; 20"),
    Probe("next", "requests | order by duration asc | extend n = next(duration) | project n", "20; 30; null"),
    Probe("row_cumsum", "requests | order by duration asc | extend s = row_cumsum(duration) | project s", "10; 30; 60"),
    Probe("row_rank_dense", "requests | order by name asc | extend r = row_rank_dense(name) | project r", "1; 1; 2"),
    Probe("series_stats", "print todouble(series_stats_dynamic(dynamic([1, 2, 3])).avg)", "2"),
    Probe("series_fit_line", "print f = series_fit_line_dynamic(dynamic([1, 2, 3])) | project round(todouble(f.slope), 1)", "1"),
    Probe("series_fill_const", "print series_fill_const(dynamic([1, null, 3]), 0)", "[1,0,3]"),
    Probe("ipv4_is_private", "print ipv4_is_private('10.0.0.1')", "true"),
    Probe("ipv4_is_in_range", "print ipv4_is_in_range('10.0.0.1', '10.0.0.0/8')", "true"),
    Probe("toscalar", "print toscalar(requests | count)", "3"),
)

SECTIONS: tuple[tuple[str, tuple[Probe, ...]], ...] = (
    ("Operators", OPERATORS),
    ("Aggregates", AGGREGATES),
    ("Strings", TEXT),
    ("Numbers, types and conditions", NUMBERS),
    ("Times", TIMES),
    ("Dynamic values", DYNAMIC),
    ("Rows in order, series and others", WINDOWS),
)
