"""Operators that search in texts: `has`, `contains`, `startswith`, `=~`, `in~`, `has_any`, ...; without `_cs`, case does not count.

A term is a run of Unicode letters and digits: every other character parts terms, `_` too. What is searched for by `has` may have any
characters; only where its own first or last one is a letter or digit must a term begin or end there.
Source: https://learn.microsoft.com/kusto/query/datatypes-string-operators
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from unicodedata import category

from forebay.telemetry.kql.functions.argument import Argument
from forebay.telemetry.kql.functions.registry import operator, scalar
from forebay.telemetry.kql.functions.terms_python import first_with_term, has_all_terms, has_any_term, has_term
from forebay.telemetry.kql.functions.text_values import short_text, text_of
from forebay.telemetry.kql.sql.literals import json_text, quoted_text

_Search = Callable[[str, Argument], str]  # of the SQL of a text, and what is searched for

_MOST_PREFILTERS = 4  # terms that are looked for one by one before they are by a regular expression of all
_LONGEST_PATTERN = 10_000  # characters of a regular expression: RE2 refuses those that need much memory

# substrings


def _is_caseless(text: str) -> bool:
    return text.lower() == text.upper()


def _lower(sql: str, needle: Argument) -> str:
    """The text without its case, unless that makes no difference."""
    return sql if needle.is_constant and _is_caseless(needle.value) else f"lower({sql})"


def _lower_needle(needle: Argument) -> str:
    if needle.is_constant and needle.value.isascii():
        return quoted_text(needle.value.lower())
    return f"lower({needle})"


def _can_be_like(needle: Argument) -> bool:
    """Whether ILIKE, which DuckDB has to half the cost of `lower`, means the same: case counts elsewhere, and there are no wildcards."""
    if not needle.is_constant or not needle.value or _is_caseless(needle.value):
        return False
    return needle.value.isascii() and not _WILDCARDS.intersection(needle.value)


_WILDCARDS = frozenset("%_\0")  # a text with the character 0 is no literal


def _like(text: str, pattern: str) -> str:
    return f"{text} ILIKE {quoted_text(pattern)}"


def _equals(text: str, needle: Argument) -> str:
    return _like(text, needle.value) if _can_be_like(needle) else f"{_lower(text, needle)} = {_lower_needle(needle)}"


def _contains(text: str, needle: Argument) -> str:
    return _like(text, f"%{needle.value}%") if _can_be_like(needle) else f"contains({_lower(text, needle)}, {_lower_needle(needle)})"


def _contains_cs(text: str, needle: Argument) -> str:
    return f"contains({text}, {needle})"


def _starts(text: str, needle: Argument) -> str:
    return _like(text, f"{needle.value}%") if _can_be_like(needle) else f"starts_with({_lower(text, needle)}, {_lower_needle(needle)})"


def _starts_cs(text: str, needle: Argument) -> str:
    return f"starts_with({text}, {needle})"


def _ends(text: str, needle: Argument) -> str:
    return _like(text, f"%{needle.value}") if _can_be_like(needle) else f"ends_with({_lower(text, needle)}, {_lower_needle(needle)})"


def _ends_cs(text: str, needle: Argument) -> str:
    return f"ends_with({text}, {needle})"


# terms

_HAS_TERM = operator(
    "has_term(text: string, term: string, starts: bool, ends: bool, cased: bool) -> bool",
    "",
    "Whether a text has what begins (`starts`) and ends (`ends`) as its terms do.",
    python=has_term,
)
_HAS_ANY = operator("has_any_term(text: string, terms: dynamic) -> bool", "", "Whether a text has one of the terms.", python=has_any_term)
_HAS_ALL = operator("has_all_terms(text: string, terms: dynamic) -> bool", "", "Whether a text has all of the terms.", python=has_all_terms)
_FIRST = operator(
    "first_with_term(text: string, terms: dynamic) -> long",
    "",
    "The place of the first of the terms that a text has.",
    python=first_with_term,
)


def _is_in_term(character: str) -> bool:
    return category(character)[0] in "LN"


_NO_TERM = "[^\\pL\\pN]"
# the same of ASCII alone: in the time that it takes to compile those classes of Unicode (4 ms), 100,000 rows are searched
_SURELY_NO_TERM = "[\\x00-/:-@\\[-`{-\\x7f]"
_PERHAPS_NO_TERM = "[^0-9A-Za-z]"


def _bounded(pattern: str, term: str, no_term: str, *, starts: bool = True, ends: bool = True) -> str:
    """A regular expression of the pattern where it begins and ends as terms do; `term` is one that it matches."""
    before = f"(?:^|{no_term})" if starts and _is_in_term(term[0]) else ""
    after = f"(?:$|{no_term})" if ends and _is_in_term(term[-1]) else ""
    return before + pattern + after


def _escaped(text: str) -> str:
    """A regular expression of this very text."""
    return "".join(
        "\\x00" if each == "\x00" else each if each.isalnum() or not each.isascii() or each == "_" else "\\" + each for each in text
    )


def _matches(text: str, pattern: str) -> str:
    return f"regexp_matches({text}, {quoted_text(pattern)})"


def _is_bounded(text: str, bounded: Callable[[str], str], is_ascii: bool, in_python: str) -> str:
    """Whether a text matches. Only where ASCII leaves it open, which is beside other letters, python looks closely."""
    if not is_ascii:
        return _matches(text, bounded(_NO_TERM))
    return f"({_matches(text, bounded(_SURELY_NO_TERM))} OR ({_matches(text, bounded(_PERHAPS_NO_TERM))} AND {in_python}))"


def _term_search(*, starts: bool = True, ends: bool = True, is_cased: bool = False) -> _Search:
    contains = _contains_cs if is_cased else _contains
    flags = ", ".join("true" if each else "false" for each in (starts, ends, is_cased))

    def search(text: str, needle: Argument) -> str:
        in_python = f"{_HAS_TERM.python_name}({text}, {needle}, {flags})"
        if not needle.is_constant:
            # a pattern that is not constant is compiled for each row, which is slower than python
            return f"({contains(text, needle)} AND {in_python})"
        term = needle.value
        if not term:
            return "true"
        is_caseless = is_cased or _is_caseless(term)
        pattern = _escaped(term) if is_caseless else f"(?i:{_escaped(term)})"

        def bounded(no_term: str) -> str:
            return _bounded(pattern, term, no_term, starts=starts, ends=ends)

        if bounded("") == pattern:
            return contains(text, needle)
        # wildcards in the term let more pass, which is looked at again
        found = _like(text, f"%{term}%") if term.isascii() and not is_caseless and "\0" not in term else contains(text, needle)
        return f"({found} AND {_is_bounded(text, bounded, term.isascii(), in_python)})"

    return search


def _declare(name: str, search: _Search, summary: str) -> None:
    """An operator and its contrary. A NULL text is '', which has nothing but ''."""

    def value(text: Argument, needle: Argument) -> str:
        return search(text.once, needle)

    def condition(text: Argument, needle: Argument) -> str:
        # NULL does as '' does, which has nothing in it
        return search(short_text(text), needle) if needle.is_constant and needle.value else value(text, needle)

    def contrary(text: Argument, needle: Argument) -> str:
        return f"NOT {value(text, needle)}"

    def contrary_condition(text: Argument, needle: Argument) -> str:
        found = condition(text, needle)
        return f"({found}) IS NOT TRUE" if text.is_nullable else f"NOT ({found})"

    negated = "!~" if name == "=~" else f"!{name}"
    operator(f"{name}(text: string, search: string) -> bool", value, summary, nulls="never", condition=condition)
    operator(f"{negated}(text: string, search: string) -> bool", contrary, f"Not {name}.", nulls="never", condition=contrary_condition)


_declare("=~", _equals, "Whether two texts are equal but for case.")
_declare("contains", _contains, "Whether a text has another in it.")
_declare("contains_cs", _contains_cs, "Whether a text has another in it; case counts.")
_declare("startswith", _starts, "Whether a text begins with another.")
_declare("startswith_cs", _starts_cs, "Whether a text begins with another; case counts.")
_declare("endswith", _ends, "Whether a text ends with another.")
_declare("endswith_cs", _ends_cs, "Whether a text ends with another; case counts.")
_declare("has", _term_search(), "Whether a text has this term.")
_declare("has_cs", _term_search(is_cased=True), "Whether a text has this term; case counts.")
_declare("hasprefix", _term_search(ends=False), "Whether a text has a term that begins so.")
_declare("hasprefix_cs", _term_search(ends=False, is_cased=True), "Whether a text has a term that begins so; case counts.")
_declare("hassuffix", _term_search(starts=False), "Whether a text has a term that ends so.")
_declare("hassuffix_cs", _term_search(starts=False, is_cased=True), "Whether a text has a term that ends so; case counts.")

# lists


def _constants(items: Sequence[Argument]) -> list[str | None] | None:
    """All that is searched for, arrays flattened; None where something is known by the rows only."""
    found: list[str | None] = []
    for item in items:
        if not item.is_constant:
            return None
        if not _collect(item.value, found):
            return None
    return found


def _collect(value: Any, into: list[str | None]) -> bool:
    if isinstance(value, list):
        return all(_collect(each, into) for each in value)
    if value is None or isinstance(value, str):
        into.append(value)
    elif isinstance(value, bool):
        into.append("true" if value else "false")
    elif isinstance(value, int):
        into.append(str(value))
    else:  # as the rows' own values are written
        return False
    return True


def _json_list(items: Sequence[Argument]) -> str:
    return items[0].sql if len(items) == 1 and items[0].type == "dynamic" else f"json_array({', '.join(item.sql for item in items)})"


def _one_term(text: str, term: str) -> str:
    return _term_search()(text, Argument(quoted_text(term), "string", is_nullable=False, hoist=str, value=term))


def _any_term(text: str, terms: Sequence[str]) -> str:
    if len(terms) == 1 or len({_bounded("", term, "-") for term in terms}) > 1:
        return "(" + " OR ".join(_one_term(text, term) for term in terms) + ")"
    pattern = f"(?i:{'|'.join(map(_escaped, terms))})"
    in_python = f"{_HAS_ANY.python_name}({text}, {quoted_text(json_text(terms))})"
    is_ascii = all(map(str.isascii, terms))
    found = _is_bounded(text, partial(_bounded, pattern, terms[0]), is_ascii, in_python)
    if not is_ascii or len(terms) > _MOST_PREFILTERS:
        return found
    return f"(({' OR '.join(_like(text, f'%{term}%') for term in terms)}) AND {found})"


def _has_any_of(text: str, items: Sequence[Argument]) -> str:
    terms = _constants(items)
    if terms is None or sum(len(term or "") for term in terms) > _LONGEST_PATTERN:
        return f"{_HAS_ANY.python_name}({text}, {_json_list(items)}::VARCHAR)"
    if not terms:
        return "false"
    return "true" if not all(terms) else _any_term(text, list(dict.fromkeys(filter(None, terms))))


def _has_all_of(text: str, items: Sequence[Argument]) -> str:
    terms = _constants(items)
    if terms is None:
        return f"{_HAS_ALL.python_name}({text}, {_json_list(items)}::VARCHAR)"
    return "(" + " AND ".join(_one_term(text, term) for term in dict.fromkeys(filter(None, terms))) + ")" if any(terms) else "true"


def _first_of(text: Argument, terms: Argument) -> str:
    constants = _constants([terms]) if terms.is_constant and isinstance(terms.value, list) else None
    if constants is None or len(constants) > _MOST_BRANCHES:
        return f"{_FIRST.python_name}({text}, {terms}::VARCHAR)"
    branches = " ".join(f"WHEN {_one_term(text.once, term or '')} THEN {place}" for place, term in enumerate(constants))
    return f"CASE {branches} ELSE -1 END" if branches else "-1"


def _equals_any_of(text: str, items: Sequence[Argument]) -> str:
    values = _constants(items)
    if values is not None:
        texts = list(dict.fromkeys(value or "" for value in values))
        lower = text if all(map(_is_caseless, texts)) else f"lower({text})"
        listed = ", ".join(quoted_text(each.lower()) if each.isascii() else f"lower({quoted_text(each)})" for each in texts)
        return f"{lower} IN ({listed})" if texts else "false"
    return "(" + " OR ".join(_equals_any_in(text, item) for item in items) + ")"


def _equals_any_in(text: str, item: Argument) -> str:
    if item.type == "string":
        return f"lower({text}) = lower({item})"
    array = f"list_contains(list_transform(({item.once} ->> '$[*]')::VARCHAR[], lambda each: lower(coalesce(each, ''))), lower({text}))"
    return f"CASE WHEN json_type({item.once}) = 'ARRAY' THEN {array} ELSE lower({text}) = lower({text_of(item)}) END"


_MOST_BRANCHES = 100
operator(
    "has_any(text: string, search: string|dynamic...) -> bool",
    lambda text, *items: _has_any_of(text.once, items),
    "Whether a text has one of these terms.",
    nulls="never",
    condition=lambda text, *items: _has_any_of(short_text(text), items),
)
operator(
    "has_all(text: string, search: string|dynamic...) -> bool",
    lambda text, *items: _has_all_of(text.once, items),
    "Whether a text has all of these terms.",
    nulls="never",
)
operator(
    "in~(text: string, values: string|dynamic...) -> bool",
    lambda text, *items: _equals_any_of(text.once, items),
    "Whether a text is one of these, but for case.",
    nulls="never",
    condition=lambda text, *items: _equals_any_of(short_text(text) if all(_constants(items) or [""]) else text.once, items),
)
operator(
    "!in~(text: string, values: string|dynamic...) -> bool",
    lambda text, *items: f"NOT ({_equals_any_of(text.once, items)})",
    "Whether a text is none of these, not even but for case.",
    nulls="never",
)
scalar(
    "has_any_index(text: string, terms: dynamic) -> long",
    _first_of,
    "The place of the first term that a text has, from 0; -1 if none.",
    nulls="never",
)
