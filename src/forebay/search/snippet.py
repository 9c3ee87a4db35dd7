"""The part of a hit to show: where most of the query's words are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

SNIPPET_LENGTH = 200  # characters, at most
_LEAD_LENGTH = 40  # characters shown before the first match, where there are so many

# Unicode noncharacters, which text does not hold; see `marked_spans` for when it does
OPENING, CLOSING = "\ufdd0", "\ufdd1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Snippet:
    """A slice of a hit's text, with the places in it that match: half-open, ascending, in characters of the slice."""

    text: str
    highlights: tuple[tuple[int, int], ...] = ()


def marked_spans(text: str, marked: str) -> list[tuple[int, int]]:
    """Where the marks of `marked` are in `text`; nothing when that is not `text` with marks in pairs."""
    spans: list[tuple[int, int]] = []
    place = 0
    pieces = marked.split(OPENING)
    for piece in pieces[1:]:
        place += len(pieces[0]) if not spans else 0
        inside, closing, after = piece.partition(CLOSING)
        if not closing:
            return []
        spans.append((place, place + len(inside)))
        place += len(inside) + len(after)
    return spans if marked.replace(OPENING, "").replace(CLOSING, "") == text else []


def best_snippet(text: str, spans: Sequence[tuple[int, int]]) -> Snippet:
    """The slice of at most 200 characters with the most different matches, then with the most; without one, the beginning.

    It begins and ends between words where it can. `spans` are half-open, ascending and do not overlap.
    """
    if len(text) <= SNIPPET_LENGTH:
        return Snippet(text=text, highlights=tuple(spans))
    starts = [_start(text, first) for first, _ in spans] or [0]

    def worth(start: int) -> tuple[int, int, int]:
        inside = [text[first:last].lower() for first, last in spans if start <= first and last <= start + SNIPPET_LENGTH]
        return len(set(inside)), len(inside), -start

    start = max(starts, key=worth)
    stop = _stop(text, start)
    inside = tuple((first - start, last - start) for first, last in spans if start <= first and last <= stop)
    return Snippet(text=text[start:stop], highlights=inside)


def _start(text: str, match: int) -> int:
    """A beginning before `match`: that of its line when it is near, else of a word, and never so late that the end is wasted."""
    earliest = max(0, min(match - _LEAD_LENGTH, len(text) - SNIPPET_LENGTH))
    if earliest == 0:
        return 0
    line = text.find("\n", earliest - 1, match)
    if line >= 0:
        return line + 1
    space = text.find(" ", earliest - 1, match)
    return space + 1 if space >= 0 else earliest


def _stop(text: str, start: int) -> int:
    """An end between two words, if there is one in the second half."""
    latest = start + SNIPPET_LENGTH
    if latest >= len(text) or text[latest].isspace():
        return min(latest, len(text))
    space = max(text.rfind(" ", start + SNIPPET_LENGTH // 2, latest), text.rfind("\n", start + SNIPPET_LENGTH // 2, latest))
    return space if space >= 0 else latest
