"""Search for terms that are not constant, row by row; `text_search.py` says what a term is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unicodedata import category


def has_term(text: str | None, term: str | None, starts: bool, ends: bool, cased: bool) -> bool:
    """Whether the text has the term; `starts` and `ends` say whether a term must begin and end there."""
    text, term = text or "", term or ""
    return _has(text, term, starts, ends) if cased else _has(text.lower(), term.lower(), starts, ends)


def _has(text: str, term: str, starts: bool = True, ends: bool = True) -> bool:
    place = text.find(term)
    if place < 0 or not term:
        return place == 0
    starts = starts and _is_in_term(term[0])
    ends = ends and _is_in_term(term[-1])
    while place >= 0:
        after = place + len(term)
        if not (starts and place and _is_in_term(text[place - 1])) and not (ends and after < len(text) and _is_in_term(text[after])):
            return True
        place = text.find(term, place + 1)
    return False


def has_any_term(text: str | None, terms: Any) -> bool:
    """Whether the text has one of the terms; null is in every text."""
    lower = (text or "").lower()
    return any(_has(lower, term.lower()) for term in _texts(terms))


def has_all_terms(text: str | None, terms: Any) -> bool:
    """Whether the text has all of the terms."""
    lower = (text or "").lower()
    return all(_has(lower, term.lower()) for term in _texts(terms))


def first_with_term(text: str | None, terms: Any) -> int | None:
    """The place of the first of the terms that the text has; -1 if it has none."""
    if not isinstance(terms, list):
        return None
    lower = (text or "").lower()
    return next((place for place, term in enumerate(terms) if _has(lower, next(_texts(term), "").lower())), -1)


def _texts(value: Any) -> Iterator[str]:
    """The texts in a dynamic value, arrays flattened."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, list):
            waiting += reversed(each)
        elif isinstance(each, str):
            yield each
        elif each is None:
            yield ""
        else:
            from forebay.telemetry.kql.functions.dynamic_python import text_of_dynamic

            yield text_of_dynamic(each)


def _is_in_term(character: str) -> bool:
    return category(character)[0] in "LN"
