"""Functions of texts. Characters are Unicode's, counted from 0.

Source: https://learn.microsoft.com/kusto/query/scalar-functions#string-functions
"""

from __future__ import annotations

from forebay.telemetry.kql.errors import Diagnostic, KqlError
from forebay.telemetry.kql.functions.argument import Argument
from forebay.telemetry.kql.functions.regex import count_matches
from forebay.telemetry.kql.functions.registry import operator, scalar
from forebay.telemetry.kql.functions.strings_python import countof, indexof, replace_strings
from forebay.telemetry.kql.functions.text_values import dynamic_kind, dynamic_text, text_of, text_or_null

_MOST_REPETITIONS = 1024
_FARTHEST = 2**31 - 2  # DuckDB's places are of 32 bits


def _fail(message: str) -> KqlError:
    return KqlError(Diagnostic("type", message, 0, 0))


# empty or not


def _is_empty(value: Argument) -> str:
    return f"({text_of(value)} = '')" if value.type in ("string", "dynamic") else f"({value} IS NULL)"


def _is_not_empty(value: Argument) -> str:
    return f"({text_of(value)} <> '')" if value.type in ("string", "dynamic") else f"({value} IS NOT NULL)"


def _is_not_empty_condition(value: Argument) -> str:
    return f"({text_or_null(value)} <> '')" if value.type in ("string", "dynamic") else f"({value} IS NOT NULL)"


scalar("isempty(value: any) -> bool", _is_empty, "Whether a value is '' or null.", nulls="never")
scalar(
    "isnotempty(value: any) -> bool",
    _is_not_empty,
    "Whether a value is neither '' nor null.",
    nulls="never",
    condition=_is_not_empty_condition,
    aliases=("notempty",),
)

# of one text

scalar("strlen(text: string) -> long", "length({text})", "The characters of a text.", nulls="never")
scalar("string_size(text: string) -> long", "strlen({text})", "The bytes of a text in UTF-8.", nulls="never")
scalar("tolower(text: any) -> string", lambda text: f"lower({text_or_null(text)})", "In lower case.")
scalar("toupper(text: any) -> string", lambda text: f"upper({text_or_null(text)})", "In upper case.")
scalar("reverse(text: any) -> string", lambda text: f"reverse({text_or_null(text)})", "The other way round.")
scalar(
    "strcmp(left: string, right: string) -> long",
    "CASE WHEN {left} < {right} THEN -1 WHEN {left} > {right} THEN 1 ELSE 0 END",
    "-1, 0 or 1.",
    nulls="never",
)


def _substring(source: Argument, start: Argument, length: Argument | None) -> str:
    if start.is_constant and start.value is not None and start.value >= 0:
        text, first = text_or_null(source), str(min(start.value, _FARTHEST) + 1)
        return f"substring({text}, {first})" if length is None else f"substring({text}, {first}, {_length(length)})"
    text = source.once if source.type == "string" else text_of(source)
    first = f"CASE WHEN {start.once} < 0 THEN length({text}) + {start.once} ELSE least({start.once}, {_FARTHEST}) END"
    taken = f"substring({text}, {first} + 1)" if length is None else f"substring({text}, {first} + 1, {_length(length)})"
    return f"CASE WHEN {start.once} < 0 AND {start.once} + length({text}) < 0 THEN '' ELSE {taken} END"


def _length(length: Argument) -> str:
    if length.is_constant and length.value is not None:
        return str(min(max(length.value, 0), _FARTHEST))
    return f"CASE WHEN {length.once} < 0 THEN 0 WHEN {length.once} > {_FARTHEST} THEN {_FARTHEST} ELSE {length.once} END"


scalar(
    "substring(source: any, start: int|long, length: int|long?) -> string",
    _substring,
    "A part of a text, from a place, or from the end where that is negative.",
)


def _repeat(value: Argument, times: Argument, delimiter: Argument | None) -> str:
    if times.is_constant and times.value is not None:
        count = str(min(max(times.value, 0), _MOST_REPETITIONS))
    else:
        count = f"least(greatest({times}, 0), {_MOST_REPETITIONS})"
    if delimiter is None:
        return f"repeat({text_or_null(value)}, {count})"
    return f"concat_ws({text_of(delimiter)}, list_resize([]::VARCHAR[], {count}, {text_of(value)}))"


scalar("strrep(value: any, times: int|long, delimiter: any?) -> string", _repeat, f"A text several times, at most {_MOST_REPETITIONS:,}.")

# of several


def _concat(*values: Argument) -> str:
    if not 1 <= len(values) <= 64:
        raise _fail(f"strcat() takes 1 to 64 values, got {len(values)}")
    return f"concat({', '.join(text_or_null(each) for each in values)})"


def _concat_with(delimiter: Argument, *values: Argument) -> str:
    if not 2 <= len(values) <= 64:
        raise _fail(f"strcat_delim() takes a delimiter and 2 to 64 values, got {len(values)}")
    return f"concat_ws({text_of(delimiter)}, {', '.join(text_of(each) for each in values)})"


def _concat_array(array: Argument, delimiter: Argument) -> str:
    elements = f"list_transform(({array.once} ->> '$[*]')::VARCHAR[], lambda each: coalesce(each, ''))"
    joined = f"concat_ws({text_of(delimiter)}, {elements})"
    return f"CASE WHEN {dynamic_kind(array)} = 'ARRAY' THEN {joined} ELSE {dynamic_text(array)} END"


scalar("strcat(values: any...) -> string", _concat, "Values of any type as texts, one after the other.", nulls="never")
scalar("strcat_delim(delimiter: any, values: any...) -> string", _concat_with, "The same, with a text between them.", nulls="never")
scalar(
    "strcat_array(array: dynamic, delimiter: any) -> string",
    _concat_array,
    "The elements of an array as texts, with a text between them.",
    aliases=("array_strcat",),
)


def _split(source: Argument, delimiter: Argument, index: Argument | None) -> str:
    text = text_of(source)
    if delimiter.is_constant:
        parts = f"string_split({text}, {delimiter})" if delimiter.value else f"[{text}]"
    else:
        parts = f"CASE WHEN {delimiter.once} = '' THEN [{text}] ELSE string_split({text}, {delimiter.once}) END"
    if index is None:
        return f"to_json({parts})"
    if index.is_constant and index.value is not None:
        place = str(index.value + 1 if 0 <= index.value <= _FARTHEST else 0)
    else:
        place = f"CASE WHEN {index.once} BETWEEN 0 AND {_FARTHEST} THEN {index.once} + 1 ELSE 0 END"
    return f"to_json(list_slice({parts}, {place}, {place}))"


scalar(
    "split(source: any, delimiter: string, index: int|long?) -> dynamic",
    _split,
    "The parts of a text between delimiters; one of them.",
    nulls="never",
)

# search and replacement

_COUNT = operator("count_overlapping(text: string, search: string) -> long", "", "How often a text is in another.", python=countof)
_INDEX = operator(
    "index_of_occurrence(text: string, search: string, start: long, length: long, occurrence: long) -> long",
    "",
    "Where a text is in another.",
    python=indexof,
)


def _count(source: Argument, search: Argument, kind: Argument | None) -> str:
    if kind is not None and kind.value == "regex":
        return count_matches(source, search)
    if kind is not None and kind.value != "normal":
        raise _fail("countof() counts 'normal' or 'regex'")
    if search.is_constant and not _overlaps_itself(search.value):
        text = source.once
        return f"((length({text}) - length(replace({text}, {search}, ''))) // {len(search.value)})" if search.value else "0::BIGINT"
    return f"{_COUNT.python_name}({source}, {search})"


def _overlaps_itself(text: str) -> bool:
    return any(text.endswith(text[:size]) for size in range(1, len(text)))


scalar(
    "countof(source: string, search: string, const kind: string?) -> long",
    _count,
    "How often a text, or a match of a regex, is in another.",
    nulls="never",
)


def _index_of(text: Argument, search: Argument, *place: Argument | None) -> str:
    if all(each is None for each in place):
        return f"(strpos({text_of(text)}, {text_of(search)}) - 1)"
    start, length, occurrence = (
        default if each is None else f"CAST({each} AS BIGINT)"
        for each, default in zip(place, ("0::BIGINT", "-1::BIGINT", "1::BIGINT"), strict=True)
    )
    return f"{_INDEX.python_name}({text_of(text)}, {text_of(search)}, {start}, {length}, {occurrence})"


scalar(
    "indexof(text: any, search: any, start: int|long?, length: int|long?, occurrence: int|long?) -> long",
    _index_of,
    "Where a text is in another, from 0, and -1 if it is not; a negative start counts from the end.",
)
scalar(
    "replace_string(text: string, search: string, rewrite: string) -> string",
    "replace({text.raw}, {search}, {rewrite})",
    "A text with another one in place of each of a third.",
    nulls="propagate",
)
scalar(
    "replace_strings(text: string, search: dynamic, rewrites: dynamic) -> string",
    None,
    "The same, for several at once: the first that fits counts.",
    python=replace_strings,
)


def _translate(search: Argument, replacement: Argument, source: Argument) -> str:
    last = f"right({replacement.once}, 1)"
    filled = f"CASE WHEN {replacement.once} <> '' THEN rpad({replacement.once}, length({search.once})::INTEGER, {last}) ELSE '' END"
    return f"translate({source.raw}, {search.once}, {filled})"


scalar(
    "translate(search: string, replacement: string, source: string) -> string",
    _translate,
    "Each of some characters replaced by that at the same place of another text, whose last one stands for all after it.",
)
