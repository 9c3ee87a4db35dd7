"""What `parse-kv` is made of."""

from __future__ import annotations

import re

from forebay.telemetry.kql.functions import parse_kv_python
from forebay.telemetry.kql.functions.argument import Argument
from forebay.telemetry.kql.functions.regex_syntax import Regex
from forebay.telemetry.kql.functions.registry import operator
from forebay.telemetry.kql.sql.literals import quoted_text

_BLANKS = "' ' || chr(9) || chr(10) || chr(11) || chr(12) || chr(13)"

operator(
    "parse_kv_pairs(text: string, settings: dynamic) -> dynamic",
    "",
    "Internal: the values of the keys in a text, by key.",
    python=parse_kv_python.pairs_of,
)
operator(
    "parse_kv_words(text: string, settings: dynamic) -> dynamic",
    "",
    "Internal: the same, of a text in which nothing says what separates them.",
    python=parse_kv_python.tokens_of,
)


def _value_of_pair(text: Argument, pair: Argument, kv: Argument, key: Argument) -> str:
    """What stands between the key, which begins the text or a pair, and the next pair."""
    begin, separator, name = (re.escape(each.value) for each in (pair, kv, key))
    blank = "[\\t\\n\\f\\r\\v]*" if pair.value == " " else "\\s*"
    pattern = f"(?s)(?:^|{begin})\\s*{name}{blank}{separator}(.*?)(?:{begin}|$)"
    return f"trim(regexp_extract({text}, {quoted_text(pattern)}, 1), {_BLANKS})"


operator(
    "parse_kv_value(text: string, const pair: string, const kv: string, const key: string) -> string",
    _value_of_pair,
    "Internal: the value of a key, where no quotes are to be heeded.",
)


def _value_of_regex(text: Argument, pattern: Argument, key: Argument) -> str:
    """The second group of the first match whose first group is the key."""
    keys, values = (quoted_text(Regex(pattern.value, captures=group).sql_pattern) for group in (1, 2))
    place = f"list_position(list_transform(regexp_extract_all({text}, {keys}, 1), lambda each: trim(each, {_BLANKS})), {key})"
    return f"trim(regexp_extract_all({text}, {values}, 1)[{place}], {_BLANKS})"


operator(
    "parse_kv_regex(text: string, const pattern: string, const key: string) -> string",
    _value_of_regex,
    "Internal: the value of a key by a regular expression of two groups.",
)
