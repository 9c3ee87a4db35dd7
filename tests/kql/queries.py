"""Queries as text: pipelines over the tables, of expressions that have the right types."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from tests.kql.tables import CELLS, COLUMNS, Choose, literal, quoted

from forebay.telemetry.kql.types import KqlType

KINDS: tuple[KqlType, ...] = ("bool", "int", "long", "real", "datetime", "timespan", "string", "guid", "dynamic")
_ORDERED = ("int", "long", "real", "datetime", "timespan", "bool")
_KEYS = ("bool", "int", "long", "real", "datetime", "timespan", "string", "guid")
_HOLE = re.compile(r"\{(\w+)\}")

_SEARCHES = (
    "contains !contains contains_cs startswith !startswith startswith_cs endswith endswith_cs has !has has_cs hasprefix hasprefix_cs"
    " hassuffix hassuffix_cs =~ !~"
).split()
_PERIODS = ("year", "month", "week", "day", "hour", "minute", "second")

# what an expression of each type may be; {long} is a hole for one of that type, {text} one for a constant text, {number} for a small number
TEMPLATES: dict[str, list[str]] = {
    "bool": [
        *(f"({{{kind}}} {sign} {{{kind}}})" for kind in KINDS[:-1] for sign in ("==", "!=")),
        *(f"({{{kind}}} {sign} {{{kind}}})" for kind in _ORDERED for sign in ("<", "<=", ">", ">=")),
        *(f"({left} {sign} {right})" for left, right in (("{int}", "{long}"), ("{long}", "{real}")) for sign in ("==", "!=", "<", ">=")),
        *(f"({{string}} {name} {{{operand}}})" for name in _SEARCHES for operand in ("text", "text", "string")),
        *(f"({{dynamic}} {sign} {{{kind}}})" for sign in ("==", "!=") for kind in ("text", "number", "long", "bool")),
        *(f"({{{kind}}} between ({{{kind}}} .. {{{kind}}}))" for kind in ("int", "long", "real", "datetime", "timespan")),
        *(f"({{{kind}}} {name} ({{{kind}}}, {{{kind}}}))" for kind in ("long", "string", "datetime", "guid") for name in ("in", "!in")),
        *(f"({{{kind}}} {name} (U | project {column}))" for name in ("in", "!in") for kind, column in (("long", "l"), ("string", "s"))),
        "({string} in~ ({text}, {text}))",
        "({string} !in~ ({text}, {string}))",
        "({string} has_any ({text}, {text}))",
        "({string} has_all ({text}, {text}))",
        "({long} in (dynamic([1, 2, -7])))",
        "({string} in (dynamic(['a', 'abc', ''])))",
        "({string} == {constantbool})",
        "({string} != {constantbool})",
        "({bool} and {bool})",
        "({bool} or {bool})",
        "({bool} and {bool} and {bool})",
        "not({bool})",
        *(f"{name}({{{kind}}})" for kind in KINDS for name in ("isnull", "isnotnull", "isempty", "isnotempty")),
        *(f"tobool({{{kind}}})" for kind in ("string", "long", "dynamic", "bool", "real")),
        *(f"({{{kind}}} in ({{dynamic}}))" for kind in ("string", "long", "real")),
        *(f"({{datetime}} between ({{datetime}} .. {span}))" for span in ("1d", "-1h")),
        "set_has_element({dynamic}, {text})",
        "set_has_element({dynamic}, {number})",
        "isnan({real})",
        "isinf({real})",
        "isfinite({real})",
        "({string} matches regex {regex})",
        "bag_has_key({dynamic}, {text})",
        "iff({bool}, {bool}, {bool})",
    ],
    "int": ["toint({string})", "toint({long})", "toint({real})", "toint({dynamic})", "toint({bool})", "iff({bool}, {int}, {int})"],
    "long": [
        *(f"({{{left}}} {sign} {{{right}}})" for sign in "+-*/%" for left, right in (("long", "long"), ("int", "long"), ("int", "int"))),
        *(f"({{long}} {sign} {{number}})" for sign in "+-*/%"),
        "-({long})",
        *(f"tolong({{{kind}}})" for kind in ("string", "int", "real", "dynamic", "bool", "datetime", "timespan")),
        "bin({long}, {number})",
        "bin({int}, {number})",
        "bin({long}, {long})",
        "abs({long})",
        "abs({int})",
        "strlen({string})",
        "array_length({dynamic})",
        "indexof({string}, {text})",
        "countof({string}, {text})",
        "strcmp({string}, {string})",
        "array_index_of({dynamic}, {text})",
        "array_index_of({dynamic}, {number})",
        "binary_and({long}, {long})",
        "binary_or({long}, {long})",
        "binary_xor({long}, {long})",
        *(f"{name}({{datetime}})" for name in "getyear monthofyear dayofmonth dayofyear hourofday week_of_year".split()),
        *(f"datetime_part('{part}', {{datetime}})" for part in (*_PERIODS[:2], "quarter", "dayofyear", "millisecond", "microsecond")),
        *(f"datetime_diff('{period}', {{datetime}}, {{datetime}})" for period in _PERIODS),
        "iff({bool}, {long}, {long})",
        "iff({bool}, {int}, {long})",
        "case({bool}, {long}, {bool}, {number}, {long})",
        "coalesce({long}, {long}, {number})",
        "coalesce({int}, {long})",
        "max_of({long}, {long}, {number})",
        "min_of({long}, {int})",
        "tolong(extract('([0-9]+)', 1, {string}))",
        "({long} / toscalar(U | count))",
        "(toscalar(U | summarize max(l)) % {long})",
        "toscalar(U | summarize max(l))",
        "toscalar(U | where b | count)",
    ],
    "real": [
        *(f"({{{left}}} {sign} {{{right}}})" for sign in "+-*/" for left, right in (("real", "real"), ("long", "real"), ("real", "int"))),
        "({real} % {number})",
        "-({real})",
        *(f"toreal({{{kind}}})" for kind in ("string", "long", "dynamic", "bool", "timespan")),
        "todouble({string})",
        "bin({real}, {number})",
        "bin({real}, 0.5)",
        "floor({real}, 2)",
        "abs({real})",
        "sign({real})",
        "ceiling({real})",
        "round({real})",
        "sqrt({real})",
        "log({real})",
        "log10({real})",
        "({timespan} / {timespan})",
        "({timespan} / 1h)",
        "iff({bool}, {real}, {real})",
        "iff({bool}, {long}, {real})",
        "coalesce({real}, {long})",
        "max_of({real}, {real})",
        "min_of({long}, {real})",
    ],
    "datetime": [
        "({datetime} + {timespan})",
        "({datetime} + {span})",
        "({datetime} - {span})",
        "({span} + {datetime})",
        "bin({datetime}, {span})",
        "bin({datetime}, 7d)",
        "bin({datetime}, {timespan})",
        "bin_at({datetime}, {span}, datetime(2024-01-03T01:00:00))",
        "todatetime({string})",
        "todatetime({dynamic})",
        "todatetime({text})",
        *(f"{name}of{period}({{datetime}})" for name in ("start", "end") for period in ("day", "week", "month", "year")),
        *(f"startof{period}({{datetime}}, {offset})" for period in ("day", "week", "month", "year") for offset in (-1, 3)),
        *(f"datetime_add('{period}', {amount}, {{datetime}})" for period in (*_PERIODS, "quarter") for amount in (1, -13)),
        "make_datetime(2024, 2, {number})",
        "unixtime_seconds_todatetime(toint({int}))",
        "iff({bool}, {datetime}, {datetime})",
        "coalesce({datetime}, {datetime})",
        "max_of({datetime}, {datetime})",
    ],
    "timespan": [
        "({timespan} + {timespan})",
        "({timespan} - {span})",
        "({datetime} - {datetime})",
        "({timespan} * {number})",
        "({int} * 1s)",
        "({timespan} / {number})",
        "({timespan} % {span})",
        "bin({timespan}, {span})",
        "totimespan({string})",
        "totimespan({long})",
        "totimespan({dynamic})",
        "dayofweek({datetime})",
        "abs({timespan})",
        "-({timespan})",
        "iff({bool}, {timespan}, {timespan})",
        "coalesce({timespan}, {span})",
    ],
    "string": [
        *(f"tostring({{{kind}}})" for kind in KINDS),
        *(f"strcat({{string}}, {{{kind}}})" for kind in KINDS),
        "strcat_delim({text}, {string}, {long})",
        "tolower({string})",
        "toupper({string})",
        "reverse({string})",
        "substring({string}, {number})",
        "substring({string}, {number}, {number})",
        "substring({string}, -2, 1)",
        "replace_string({string}, {text}, {text})",
        "trim('a', {string})",
        "trim(' ', {string})",
        "extract({regex}, 0, {string})",
        "extract('(.)b(.?)', 1, {string})",
        "replace_regex({string}, {regex}, 'x')",
        "trim_start('a', {string})",
        "trim_end('[0-9]+', {string})",
        "strrep({string}, 2)",
        "strrep({string}, 3, {text})",
        "strcat_array({dynamic}, {text})",
        "gettype({dynamic})",
        "gettype({long})",
        "iff({bool}, {string}, {text})",
        "case({bool}, {string}, {bool}, {text}, {string})",
        "coalesce({string}, {text})",
        "tostring(split({string}, {text})[0])",
        "tostring({dynamic}.a)",
        "max_of({string}, {string})",
        "toscalar(U | top 1 by id asc | project s)",
    ],
    "guid": ["toguid({string})", "toguid({dynamic})", "iff({bool}, {guid}, {guid})"],
    "dynamic": [
        *(f"pack_array({{{kind}}}, {{{other}}})" for kind, other in zip(KINDS, (*KINDS[3:], *KINDS[:3]), strict=True)),
        *(f"bag_pack({{text}}, {{{kind}}})" for kind in KINDS),
        "bag_pack('a', {long}, 'b', {string})",
        "todynamic({string})",
        "parse_json({text})",
        "todynamic({long})",
        "{dynamic}.a",
        "{dynamic}.a.b",
        "{dynamic}['a b']",
        "{dynamic}[{text}]",
        "{dynamic}[0]",
        "{dynamic}[-1]",
        "{dynamic}[{long}]",
        "{dynamic}[{string}]",
        "split({string}, {text})",
        "split({string}, {text}, 1)",
        "array_slice({dynamic}, {number}, 2)",
        "array_slice({dynamic}, -2, -1)",
        "array_reverse({dynamic})",
        "array_concat({dynamic}, {dynamic})",
        "array_concat(split({string}, ','), {dynamic})",
        "set_union({dynamic}, {dynamic})",
        "set_union(split({string}, ','), {dynamic})",
        "set_intersect({dynamic}, {dynamic})",
        "set_difference({dynamic}, {dynamic})",
        "bag_merge({dynamic}, bag_pack('a', {long}))",
        "bag_remove_keys({dynamic}, dynamic(['a']))",
        "array_iff(dynamic([true, false]), {dynamic}, {dynamic})",
        "range({number}, {number}, 1)",
        "repeat({text}, 2)",
        "array_sort_asc({dynamic})",
        "bag_keys({dynamic})",
        "iff({bool}, {dynamic}, {dynamic})",
        "coalesce({dynamic}, {dynamic})",
    ],
}
AGGREGATES: list[tuple[str, str]] = [
    ("count()", "long"),
    ("countif({bool})", "long"),
    *((f"{name}({{{kind}}})", kind if kind != "int" else "long") for name in ("sum",) for kind in ("int", "long", "real", "timespan")),
    *((f"sumif({{{kind}}}, {{bool}})", "long" if kind == "int" else kind) for kind in ("int", "long", "real")),
    *((f"avg({{{kind}}})", "real") for kind in ("int", "long", "real")),
    ("avgif({long}, {bool})", "real"),
    *((f"{name}({{{kind}}})", kind) for name in ("min", "max") for kind in _ORDERED[:5]),
    *((f"{name}if({{{kind}}}, {{bool}})", kind) for name in ("min", "max") for kind in ("long", "datetime")),
    *((f"dcount({{{kind}}})", "long") for kind in ("long", "string", "datetime", "guid")),
    ("dcountif({string}, {bool})", "long"),
    *((f"make_list({{{kind}}})", "dynamic") for kind in KINDS),
    *((f"make_set({{{kind}}})", "dynamic") for kind in KINDS),
    ("make_list({string}, 2)", "dynamic"),
    ("make_bag({dynamic})", "dynamic"),
    ("make_bag(bag_pack(tostring({long}), 1))", "dynamic"),
    ("binary_all_or({long})", "long"),
    ("strcat('n=', count())", "string"),
    ("iff(count() > 2, max({long}), min({long}))", "long"),
    ("round(avg({int}))", "real"),
    ("make_list_if({long}, {bool})", "dynamic"),
    ("make_set_if({string}, {bool})", "dynamic"),
    ("make_list_with_nulls({long})", "dynamic"),
    ("array_length(make_set({string}))", "long"),
    ("array_sort_asc(make_list({long}))", "dynamic"),
    *((f"percentile({{{kind}}}, {part})", kind) for kind in ("long", "real", "datetime", "timespan") for part in (0, 50, 95, 100)),
    *((f"{name}({{{kind}}})", "real") for name in ("stdev", "variance", "stdevp") for kind in ("int", "real")),
    *((f"take_any({{{kind}}})", kind) for kind in ("string", "long")),
    ("count() * 2 + sum({int})", "long"),
    ("max({long}) - min({int})", "long"),
]
_SPANS = ("1s", "1m", "5m", "1h", "1d", "7d", "30d", "10ms", "-1h", "36h", "1tick")
_NUMBERS = ("0", "1", "2", "3", "7", "10")
_REGEXES = (r"'a'", r"'^a'", r"'b$'", r"'[0-9]+'", r"'a.c'", r"'^$'", r"'(foo|x)'", r"@'\d'")
_NEEDLES = ("a", "A", "b", "bc", "abc", "foo", "bar", "def", "x", "1", ",", "-", " ", "é", "", "%", "_", "1,2", "日", "true", "foo bar")


class QueryWriter:
    """Writes one query; `choose(n)` answers a number below n. `columns` are those of the pipeline so far."""

    def __init__(self, choose: Choose) -> None:
        self.choose = choose
        self.columns: dict[str, KqlType] = {}
        self.count = 0
        self.is_sorted = False

    def pick(self, choices: Sequence[Any]) -> Any:
        return choices[self.choose(len(choices))]

    def chance(self, one_of: int) -> bool:
        return self.choose(one_of) == 1

    def name(self) -> str:
        self.count += 1
        return f"x{self.count}"

    # expressions

    def expression(self, kind: str, depth: int) -> str:
        match kind:
            case "text":
                return quoted(self.pick(_NEEDLES))
            case "number":
                return str(self.pick(_NUMBERS))
            case "span":
                return str(self.pick(_SPANS))
            case "regex":
                return str(self.pick(_REGEXES))
            case "constantbool":
                return str(self.pick(("true", "false")))
        of_kind = [name for name, each in self.columns.items() if each == kind]
        if depth > 0 and not self.chance(4):
            return self.filled(self.pick(TEMPLATES[kind]), depth - 1)
        if of_kind and not self.chance(8):
            return str(self.pick(of_kind))
        return literal(kind, self.pick(CELLS[kind]))  # type: ignore[arg-type]

    def filled(self, template: str, depth: int) -> str:
        return _HOLE.sub(lambda hole: self.expression(hole[1], depth), template)

    def any_kind(self) -> KqlType:
        kind: KqlType = self.pick(KINDS)
        return kind

    def by(self, kinds: Sequence[str]) -> list[str]:
        return [name for name, kind in self.columns.items() if kind in kinds]

    # operators: each answers its text, or "" where it has nothing to say

    def where(self) -> str:
        return f"where {self.expression('bool', 3)}"

    def extend(self) -> str:
        made = []
        for _ in range(self.pick((1, 1, 2, 3))):
            kind, name = self.any_kind(), self.name()
            made.append((name, kind, f"{name} = {self.expression(kind, 3)}"))
        self.columns |= {name: kind for name, kind, _ in made}
        return "extend " + ", ".join(text for *_, text in made)

    def project(self) -> str:
        kept = [name for name in self.columns if name == "id" or self.chance(2)] or list(self.columns)[:1]
        kind, name = self.any_kind(), self.name()
        value = self.expression(kind, 3)
        self.columns = {**{each: self.columns[each] for each in kept}, name: kind}
        return f"project {', '.join(kept)}, {name} = {value}"

    def summarize(self) -> str:
        keys = [(name, self.columns[name], name) for name in self.by(_KEYS) if self.chance(4)][:2]
        if self.chance(3):
            kind, name = self.pick(("long", "string", "bool", "datetime")), self.name()
            keys.append((name, kind, f"{name} = {self.expression(kind, 2)}"))
        made = []
        for _ in range(self.pick((1, 2, 3))):
            template, kind = self.pick(AGGREGATES)
            name = self.name()
            made.append((name, kind, f"{name} = {self.filled(template, 1)}"))
        self.columns = {name: kind for name, kind, _ in (*keys, *made)}
        self.is_sorted = False
        by = f" by {', '.join(text for *_, text in keys)}" if keys else ""
        return f"summarize {', '.join(text for *_, text in made)}{by}"

    def arg_max(self) -> str:
        by = self.by(("id", "long", "datetime"))
        kept = self.by(KINDS)
        if not by:
            return ""
        key, name = self.pick(by), self.name()
        value = self.pick(kept)
        keys = [each for each in self.by(("bool", "string")) if each not in (key, value)][:1]
        self.columns = {**{each: self.columns[each] for each in keys}, key: self.columns[key], name: self.columns[value]}
        self.is_sorted = False
        return f"summarize {self.pick(('arg_max', 'arg_min'))}({key}, {name} = {value})" + (f" by {keys[0]}" if keys else "")

    def distinct(self) -> str:
        kept = [name for name in self.by(_KEYS) if self.chance(2)][:3]
        if not kept:
            return ""
        self.columns = {name: self.columns[name] for name in kept}
        self.is_sorted = False
        return f"distinct {', '.join(kept)}"

    def keys(self) -> str:
        columns = [name for name in self.by(_KEYS) if self.chance(4)][:2]
        columns += ["id"] if "id" in self.columns and "id" not in columns else []
        columns = columns or self.by(_KEYS)[:1]
        return ", ".join(f"{each} {self.pick(('asc', 'desc', 'asc nulls last', 'desc nulls first'))}" for each in columns)

    def sort(self) -> str:
        keys = self.keys()
        self.is_sorted = bool(keys)
        return f"sort by {keys}" + (f"\n| take {self.pick((1, 2, 3))}" if self.chance(2) else "") if keys else ""

    def top(self) -> str:
        if "id" not in self.columns:
            return self.sort()
        self.is_sorted = True
        return f"top {self.pick((1, 2, 4))} by id {self.pick(('asc', 'desc'))}"

    def windows(self) -> str:
        if not self.is_sorted:
            return self.sort()
        name = self.name()
        numbers, any_column = self.by(("int", "real")), self.pick(list(self.columns))
        other = literal(self.columns[any_column], self.pick(CELLS[self.columns[any_column]]))
        choices: list[tuple[str, KqlType]] = [
            ("row_number()", "long"),
            (f"prev({any_column})", self.columns[any_column]),
            (f"next({any_column})", self.columns[any_column]),
            (f"prev({any_column}, 2)", self.columns[any_column]),
            (f"next({any_column}, 1, {other})", self.columns[any_column]),
            *((f"row_rank_dense({each})", "long") for each in self.by(("string", "long"))[:2]),
            *((f"row_rank_min({each})", "long") for each in self.by(("string", "long"))[:2]),
            *((f"row_cumsum({each})", self.columns[each]) for each in numbers),
        ]
        conditions = self.by(("bool",))
        choices += [(f"row_number(1, {each})", "long") for each in conditions]
        text, kind = self.pick(choices)
        if kind == "long" and self.chance(4):
            return f"where {text} % 2 == 1"
        self.columns[name] = kind
        return f"extend {name} = {text}"

    def join(self) -> str:
        kind = self.pick("innerunique inner leftouter rightouter fullouter leftsemi leftanti rightsemi rightanti default lookup".split())
        keys = [each for each in ("id", "l", "s", "t", "b") if self.columns.get(each) == COLUMNS["U"][each]]
        if not keys:
            return ""
        on = self.pick(keys)
        others = {self.name(): each for each in ("r", "d", "s", "l") if each != on}
        right = f"U | project {on}, {', '.join(f'{name} = {each}' for name, each in others.items())}"
        if self.chance(2):
            right += f" | where {on} != {literal(COLUMNS['U'][on], self.pick(CELLS[COLUMNS['U'][on]]))}"
        self.is_sorted = False
        right_columns: dict[str, KqlType] = {name: COLUMNS["U"][each] for name, each in others.items()}
        if kind in ("rightsemi", "rightanti"):
            self.columns = {on: COLUMNS["U"][on], **right_columns}
        elif kind not in ("leftsemi", "leftanti"):
            self.columns |= right_columns
        operator = "lookup" if kind == "lookup" else "join" if kind == "default" else f"join kind={kind}"
        return f"{operator} ({right}) on {on}"

    def union(self) -> str:
        self.is_sorted = False
        shared = {name: kind for name, kind in self.columns.items() if COLUMNS["U"].get(name) == kind}
        if not shared:
            return ""
        return f"union (U | project {', '.join(shared)})"

    def join_by_values(self) -> str:
        """Keys of different names, and of types that have to be brought together."""
        pairs = [(name, other) for name, kind in self.columns.items() for other, wanted in COLUMNS["U"].items() if _may_join(kind, wanted)]
        if not pairs:
            return ""
        left, right = self.pick(pairs)
        kind, name = self.pick(("inner", "leftouter", "leftsemi", "rightouter", "fullouter", "leftanti")), self.name()
        key = self.name()
        self.is_sorted = False
        if not kind.endswith(("semi", "anti")):
            self.columns |= {key: COLUMNS["U"][right], name: "long"}
        return f"join kind={kind} (U | project {key} = {right}, {name} = id) on $left.{left} == $right.{key}"

    def rename(self) -> str:
        old, name = self.pick(list(self.columns)), self.name()
        if self.chance(2) and len(self.columns) > 2:
            self.columns = {each: kind for each, kind in self.columns.items() if each != old}
            return f"project-away {old}"
        self.columns = {name if each == old else each: kind for each, kind in self.columns.items()}
        return f"project-rename {name} = {old}"

    def mv_apply(self) -> str:
        columns = self.by(("dynamic",))
        if not columns:
            return ""
        name, made = self.name(), self.name()
        body = self.pick(("where {0} > 1", "where {0} > 1 | summarize {1} = sum({0})", "summarize {1} = count()", "top 1 by {0} desc"))
        self.is_sorted = False
        text = f"mv-apply {name} = {self.pick(columns)} to typeof(long) on ({body.format(name, made)})"
        self.columns[made if "summarize" in body else name] = "long"
        return text

    def mv_expand(self) -> str:
        columns = self.by(("dynamic",))
        if not columns:
            return ""
        column = self.pick(columns)
        if self.chance(2):
            return f"mv-expand {column}"
        kind = self.pick(("string", "long", "real"))
        self.columns[column] = kind
        return f"mv-expand {column} to typeof({kind})"

    def operator(self) -> str:
        makers = (
            (self.where,) * 3
            + (self.extend,) * 4
            + (self.project, self.summarize, self.summarize, self.arg_max, self.distinct, self.sort, self.top, self.windows, self.windows)
            + (self.join, self.join, self.join_by_values, self.union, self.mv_expand, self.mv_apply, self.rename)
        )
        text: str = self.pick(makers)()
        return text

    def query(self) -> str:
        table = self.pick(("T", "T", "T", "U"))
        self.columns = dict(COLUMNS[table])
        lines = [each for each in (self.operator() for _ in range(self.pick((1, 2, 3, 4, 6)))) if each]
        if self.chance(10):
            lines.append("count")
        body = "\n| ".join([table, *lines])
        match self.choose(12):
            case 0:
                return f"let A = {body};\nA\n| union A"
            case 1:
                return f"let A = materialize({body});\nunion A, (A | where true)"
            case 3:
                condition = f"let a = {self.pick(_NUMBERS)}; let g = (y: long, z: string = 'a') {{ y > a or z == 'b' }};"
                return f"{condition}\nT\n| where g(l, s)\n| extend x = toscalar({body} | count), y = a * 1s"
            case 2:
                return f"let f = (x: long) {{ {body} }};\nf(1)"
        return body


def _may_join(kind: KqlType, wanted: KqlType) -> bool:
    numbers = ("int", "long", "real")
    return kind == wanted or (kind in numbers and wanted in numbers) or (kind != wanted and "dynamic" in (kind, wanted))
