"""Regular expressions: `matches regex`, `extract`, `extract_all`, `replace_regex`, `trim`, `indexof_regex`, ...

They have to be constant, as Kusto wants them.
Source: https://learn.microsoft.com/kusto/query/regex
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from forebay.telemetry.kql.errors import Diagnostic, KqlError
from forebay.telemetry.kql.functions.argument import Argument
from forebay.telemetry.kql.functions.registry import operator, scalar
from forebay.telemetry.kql.functions.text_values import text_of
from forebay.telemetry.kql.sql.literals import quoted_text

if TYPE_CHECKING:
    from forebay.telemetry.kql.functions.regex_syntax import Regex

_MOST_GROUPS = 16
_MARK, _END = "\U0010fffe", "\U0010ffff"  # no characters: stand before and after each match, to find it
_APPROXIMATE = r"`\b` takes only letters, digits and `_` of ASCII for parts of words, so it differs beside letters of other scripts"


def _fail(message: str) -> KqlError:
    return KqlError(Diagnostic("type", message, 0, 0))


def _regex(pattern: Argument, *, captures: int | None = None) -> Regex:
    if not pattern.is_constant:
        raise _fail("a regular expression has to be a constant text")
    from forebay.telemetry.kql.functions.regex_syntax import Regex, RegexError

    try:
        return Regex(pattern.value or "", captures=captures)
    except RegexError as error:
        raise _fail(str(error)) from None


def _constant(value: Argument, what: str) -> int:
    if not value.is_constant or value.value is None:
        raise _fail(f"{what} has to be a constant")
    return int(value.value)


# whether and what matches


def _matches(text: Argument, regex: Argument) -> str:
    return f"regexp_matches({text}, {quoted_text(_regex(regex).sql_pattern)})"


def _matches_condition(text: Argument, regex: Argument) -> str:
    found = _regex(regex)
    return f"regexp_matches({text.sql if found.matches_nothing else text.raw}, {quoted_text(found.sql_pattern)})"


def _extract(regex: Argument, group: Argument, source: Argument) -> str:
    number = _constant(group, "the number of the group")
    found = _regex(regex, captures=number)
    if not 0 <= number <= found.group_count:
        return "''"
    return f"regexp_extract({source.raw}, {quoted_text(found.sql_pattern)}, {min(number, 1)})"


def _groups(found: Regex, wanted: Argument | None) -> list[int]:
    """The numbers of the groups that are asked for; those that there are not do not count, and none is all."""
    everything = list(range(1, found.group_count + 1))
    if wanted is None:
        return everything
    if not wanted.is_constant or not isinstance(wanted.value, list):
        raise _fail("the groups have to be a constant array such as dynamic([1, 2])")
    numbers = [found.group_numbers.get(each, 0) if isinstance(each, str) else each for each in wanted.value]
    return [each for each in numbers if isinstance(each, int) and 1 <= each <= found.group_count] or everything


def _extract_all(regex: Argument, source: Argument, wanted: Argument | None = None) -> str:
    found = _regex(regex)
    if not 1 <= found.group_count <= _MOST_GROUPS:
        raise _fail(f"extract_all() takes a regular expression with 1 to {_MOST_GROUPS} groups, got {found.group_count}")
    text = source.once
    groups = _groups(found, wanted)
    lists = [_all_matches(text, found, _regex(regex, captures=group)) for group in groups]
    if len(lists) == 1:
        matches = lists[0]
    else:
        members = ", ".join(f"each[{place}]" for place in range(1, len(lists) + 1))
        matches = f"list_transform(list_zip({', '.join(lists)}), lambda each: [{members}])"
    return f"to_json(nullif({matches}, []))"


def _all_matches(text: str, whole: Regex, capturing: Regex) -> str:
    """The SQL of what the one group that captures is in each match."""
    pattern = quoted_text(capturing.sql_pattern)
    if not whole.matches_nothing:
        return f"regexp_extract_all({text}, {pattern}, 1)"
    # regexp_extract_all also finds '' where a match ends; regexp_replace does not, as Kusto
    marked = f"regexp_replace({text}, {pattern}, '{_MARK}\\1{_END}', 'g')"
    return f"regexp_extract_all({marked}, '{_MARK}([^{_END}]*){_END}', 1)"


scalar(
    "extract(const regex: string, const group: int|long, source: string) -> string",
    _extract,
    "What a group of the first match is.",
    nulls="propagate",
    approximate=_APPROXIMATE,
)
for _name in ("extract_all", "extractall"):
    scalar(
        f"{_name}(const regex: string, source: string) -> dynamic",
        _extract_all,
        "What the groups of all matches are.",
        approximate=_APPROXIMATE,
    )
    scalar(
        f"{_name}(const regex: string, const groups: dynamic, source: string) -> dynamic",
        lambda regex, groups, source: _extract_all(regex, source, groups),
        "What these groups of all matches are.",
        approximate=_APPROXIMATE,
    )
operator(
    "matches regex(text: string, const regex: string) -> bool",
    _matches,
    "Whether a regular expression matches somewhere.",
    nulls="never",
    condition=_matches_condition,
    approximate=_APPROXIMATE,
)

# replacement


def _rewrite(text: str, group_count: int) -> str:
    """What RE2 puts for a match: groups that there are not are '', and a backslash before anything else is itself."""
    return re.sub(
        r"\\(\\|\d)?",
        lambda found: "\\\\" if found[1] in (None, "\\") else found[0] if int(found[1]) <= group_count else "",
        text,
    )


def _replace(source: Argument, regex: Argument, rewrite: Argument) -> str:
    found = _regex(regex)
    if not rewrite.is_constant:
        raise _fail("what a match is replaced by has to be a constant text")
    written = quoted_text(_rewrite(rewrite.value or "", found.group_count))
    text = source.sql if found.matches_nothing else source.raw  # null is '', in which nothing may match
    return f"regexp_replace({text}, {quoted_text(found.sql_pattern)}, {written}, 'g')"


def _trim(wrapper: str) -> Callable[[Argument, Argument], str]:
    def trim(regex: Argument, source: Argument) -> str:
        if not regex.is_constant or not regex.value:
            raise _fail("what is trimmed has to be a constant regular expression, not an empty one")
        wrapped = Argument("", "string", is_nullable=False, hoist=str, value=wrapper.format(regex.value))
        return f"regexp_replace({source.raw}, {quoted_text(_regex(wrapped).sql_pattern)}, '', 'g')"

    return trim


scalar(
    "replace_regex(source: string, const regex: string, const rewrite: string) -> string",
    _replace,
    "All matches replaced; \\0 is the match, \\1 its first group.",
    nulls="propagate",
    approximate=_APPROXIMATE,
)
scalar(
    "replace(const regex: string, const rewrite: string, source: string) -> string",
    lambda regex, rewrite, source: _replace(source, regex, rewrite),
    "The old form of replace_regex().",
    nulls="propagate",
    approximate=_APPROXIMATE,
)
for _name, _wrapper, _summary in (
    ("trim", "^({0})|({0})$", "Without one match at each end."),
    ("trim_start", "^({0})", "Without one match at the start."),
    ("trim_end", "({0})$", "Without one match at the end."),
):
    scalar(
        f"{_name}(const regex: string, source: string) -> string",
        _trim(_wrapper),
        _summary,
        nulls="propagate",
        approximate=_APPROXIMATE,
    )
scalar(
    "regex_quote(text: any) -> string",
    lambda text: rf"regexp_replace({text_of(text)}, '([\\.+*?()|\[\]{{}}^$#&\-~])', '\\\1', 'g')",
    "A regular expression of this very text.",
    nulls="never",
)

# places


def _index(
    text: Argument, regex: Argument, start: Argument | None = None, length: Argument | None = None, occurrence: Argument | None = None
) -> str:
    nth = 1 if occurrence is None else _constant(occurrence, "the occurrence")
    if nth < 0:
        return "NULL::BIGINT"
    source, before, wrong, beyond = text_of(text), "", [], ""
    if start is not None:
        source = f"substring({source}, least({start.once}, 2147483646) + 1)"
        before = f"{start.once} + "
        wrong.append(f"{start.once} IS NULL OR {start.once} < 0")
    marked = f"regexp_replace({source}, {quoted_text(_regex(regex).sql_pattern)}, '{_MARK}\\0', 'g')"
    parts = f"string_split({marked}, '{_MARK}')"
    place = f"length(array_to_string({parts}[1:{max(nth, 1)}], ''))"
    if length is not None:
        wrong.append(f"{length.once} IS NULL OR {length.once} < -1")
        beyond = f" AND ({length.once} = -1 OR {place} < {length.once})"
    found = f"CASE WHEN len({parts}) > {max(nth, 1)}{beyond} THEN {before}{place} ELSE -1 END"
    return f"CASE WHEN {' OR '.join(wrong)} THEN NULL ELSE {found} END" if wrong else found


scalar(
    "indexof_regex(text: any, const regex: string, start: int|long?, length: int|long?, const occurrence: int|long?) -> long",
    _index,
    "Where a match begins, from 0; -1 if there is none, null for a negative start.",
    approximate=_APPROXIMATE,
)


def count_matches(text: Argument, regex: Argument) -> str:
    """The SQL of how often a regular expression matches."""
    found = _regex(regex)
    if found.matches_nothing:
        return f"(len(string_split(regexp_replace({text}, {quoted_text(found.sql_pattern)}, '{_MARK}', 'g'), '{_MARK}')) - 1)"
    return f"len(regexp_extract_all({text}, {quoted_text(found.sql_pattern)}))"
