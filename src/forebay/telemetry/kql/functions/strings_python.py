"""Functions of texts that DuckDB does not have, row by row."""

from __future__ import annotations

from typing import Any


def countof(text: str | None, search: str | None) -> int:
    """How often the one is in the other; occurrences may overlap."""
    if not text or not search:
        return 0
    count, place = 0, text.find(search)
    while place >= 0:
        count += 1
        place = text.find(search, place + 1)
    return count


def indexof(text: str | None, search: str | None, start: int | None, length: int | None, occurrence: int | None) -> int | None:
    """Where an occurrence of the one begins in the other.

    It begins at one of `length` characters (-1: all) from `start` (below 0: from the end), and may end after them.
    """
    if start is None or length is None or occurrence is None or length < -1 or occurrence < 0:
        return None
    text, search = text or "", search or ""
    first = max(start + len(text), 0) if start < 0 else start
    end = len(text) if length < 0 else min(first + max(length + len(search) - 1, 0), len(text))
    place = text.find(search, first, end)
    for _ in range(min(occurrence, len(text) + 2) - 1):
        if place < 0:
            break
        place = text.find(search, place + 1, end)
    return place


def replace_strings(text: str | None, search: Any, rewrites: Any) -> str:
    """Each of the texts in `search`, one after the other, replaced by that at the same place of `rewrites`; one without a text there stays.

    What was found is not searched again.
    """
    if not text or not isinstance(search, list) or not isinstance(rewrites, list):
        return text or ""
    pieces: list[tuple[str, bool]] = [(text, False)]  # with whether it was found before
    for place, each in enumerate(search):
        if isinstance(each, str) and each and each in text:
            rewrite = rewrites[place] if place < len(rewrites) else None
            found = (rewrite if isinstance(rewrite, str) else each, True)
            pieces = [new for piece in pieces for new in ([piece] if piece[1] else _parted(piece[0], each, found))]
    return "".join(piece for piece, _ in pieces)


def _parted(text: str, search: str, found: tuple[str, bool]) -> list[tuple[str, bool]]:
    first, *rest = text.split(search)
    return [(first, False), *(piece for part in rest for piece in (found, (part, False)))]
