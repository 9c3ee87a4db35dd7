"""From what a user typed to a full-text expression."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

TERM_COUNT_LIMIT = 64
PREFIX_LENGTH_LEAST = 3  # characters; shorter beginnings match too much

# Lucene's default English stop words (org.apache.lucene.analysis.en.EnglishAnalyzer). Each of them makes the index score most of
# its rows: without them a question took 25 ms instead of 87 at 100,000 chunks, and its mean reciprocal rank rose by a tenth.
_STOP_WORDS = frozenset(
    "a an and are as at be but by for if in into is it no not of on or such "
    "that the their then there these they this to was will with".split()
)
# A quotation stands between white space; inch marks (5" by 6"), code and JSON are no quotations.
_QUOTATION = re.compile(r'(?<!\S)"([^"]+)"(?=[.,;:!?]*(?:\s|$))')
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


@dataclass(frozen=True, slots=True, kw_only=True)
class TextQuery:
    """FTS5 MATCH expressions for what a user typed."""

    expression: str  # rows with any of the words and all of the quotations; more and nearer words rank higher
    term_count: int  # how many different words it asks for
    required: str | None = None  # rows with all of the quotations; None without one
    fallback: str | None = None  # for when there are none: rows with words that begin like the last one, or spell camel case apart


def text_query(text: str) -> TextQuery | None:
    """What to ask the full text for; None when there is no word in `text`.

    The words of a quotation ("exact phrase") have to occur side by side, in any inflection. Neighbouring words are also asked for as
    a phrase and as one word, so that `json decoder` and `json_decoder` find `JSONDecoder`.

    *Guarantees*: apart from quotations every character of `text` is data: operators, column filters, `NEAR`, `*` and NUL mean nothing.
    """
    phrases = [phrase for quoted in _QUOTATION.findall(text) if (phrase := " ".join(_words(quoted)))][:TERM_COUNT_LIMIT]
    required = " AND ".join(f'"{phrase}"' for phrase in phrases) or None
    words = _words(_QUOTATION.sub(" ", text) if phrases else text)
    terms = {word.lower(): word for word in words}  # folding proper is left to FTS5, so that both sides agree
    telling = [word for lower, word in terms.items() if lower not in _STOP_WORDS]
    asked = (telling or list(terms.values()))[:TERM_COUNT_LIMIT]
    if required is None and not asked:
        return None
    alternatives = " OR ".join(f'"{term}"' for term in dict.fromkeys([*asked, *_spellings(words, telling)]))
    term_count = len(asked) + sum(phrase.count(" ") + 1 for phrase in phrases)
    if required is None:
        return TextQuery(expression=alternatives, term_count=term_count, fallback=_fallback(words[-1], telling))
    # the first phrase again: FTS5 has no optional words, and beside an alternative that always holds the others only add to the rank
    ranked = f"{required} AND ({required.split(' AND ')[0]} OR {alternatives})" if asked else required
    return TextQuery(expression=ranked, term_count=term_count, required=required)


def _fallback(last: str, telling: Sequence[str]) -> str | None:
    forms = [f'"{apart}"' for word in telling[:TERM_COUNT_LIMIT] if " " in (apart := _HUMP.sub(" ", word))]
    if len(last) >= PREFIX_LENGTH_LEAST and last in telling:
        forms.append(f'"{last}"*')
    return " OR ".join(forms) or None


def _spellings(words: Sequence[str], telling: Sequence[str]) -> list[str]:
    """Neighbouring words as a phrase, and as one word.

    Neighbours that are stop words are left alone, since their rows are most of the index.
    """
    known = {word.lower() for word in telling[:TERM_COUNT_LIMIT]}
    pairs = {
        (first.lower(), second.lower()): (first, second)
        for first, second in pairwise(words)
        if {first.lower(), second.lower()} <= known and first.lower() != second.lower()
    }
    return [form for first, second in list(pairs.values())[:TERM_COUNT_LIMIT] for form in (f"{first} {second}", f"{first}{second}")]


def _words(text: str) -> list[str]:
    """Runs of letters and digits with their marks, which is how FTS5's `unicode61` sees words.

    Marks stay inside, since many scripts write vowels with them. Nothing that could end a quoted string is left.
    """
    composed = unicodedata.normalize("NFC", text)
    spaced = "".join(character if unicodedata.category(character)[0] in "LNM" else " " for character in composed)
    return [word for word in spaced.split() if any(character.isalnum() for character in word)]
