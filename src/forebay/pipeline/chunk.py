"""Text to chunks: on syntax for code, on headings for Markdown, on sentences for the rest, or plain slices."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal

from forebay.pipeline.formats import Format
from forebay.pipeline.headings import heading_paths
from forebay.pipeline.parts import Part, part_at
from forebay.pipeline.symbols import Outline, names_at, outline_of
from forebay.values.chunk import Chunk, ChunkLocation

ChunkerSetting = Literal["auto", "fixed"]

# The splitters' time grows with the square of the text in the worst cases (10 MB on one line: minutes), so that a long
# text is split in segments: at most half a second a megabyte.
_SEGMENT_CHARACTERS = 64 * 1024
_SEPARATORS = ("\n\n\n", "\n\n", "\n", " ")


def chunk_text(
    text: str,
    format: Format,
    *,
    chunk_size: int,
    chunker: ChunkerSetting,
    parts: Sequence[Part] = (),
    outline: Outline | None = None,
) -> list[Chunk]:
    r"""Cut `text` into chunks of at most `chunk_size` code points, none of which spans two of the `parts`.

    The `outline` of code is made here when it is not given.

    A line ends with `\n`, so that `\r\n` counts once; in a text without any `\n` a line ends with `\r`.

    *Guarantees*: deterministic; each chunk's text is `text[start:end]`; chunks are in order and do not overlap; every
    character that is not whitespace is in one; none is blank; ordinals count from 0.
    """
    regions = list(_regions(text, parts))
    pieces = _slices(text, regions, chunk_size) if chunker == "fixed" else _split(text, regions, format, chunk_size)
    pieces = [(start, piece) for start, piece in pieces if not piece.isspace()]
    # where a chunk stands is told by its first character that is not blank
    firsts = [start + len(piece) - len(piece.lstrip()) for start, piece in pieces]
    outline = outline or outline_of(text, format.name)
    symbols = names_at(outline, firsts) if outline else [None] * len(pieces)
    headings = heading_paths(text, firsts) if format.chunker == "markdown" else [None] * len(pieces)
    line_end = "\n" if "\n" in text else "\r"
    chunks: list[Chunk] = []
    line, counted_to = 1, 0
    for ordinal, (start, piece) in enumerate(pieces):
        line += text.count(line_end, counted_to, start)
        last_line = line + piece.count(line_end, 0, -1)  # a line's end belongs to the line
        end = start + len(piece)
        chunks.append(
            Chunk(
                ordinal=ordinal,
                text=piece,
                start=start,
                end=end,
                first_line=line,
                last_line=last_line,
                symbol=symbols[ordinal],
                location=_location(parts, firsts[ordinal], start + len(piece.rstrip()) - 1, headings[ordinal]),
            )
        )
        counted_to = start
    return chunks


def _location(parts: Sequence[Part], first: int, last: int, headings: tuple[str, ...] | None) -> ChunkLocation | None:
    part = part_at(parts, first)
    if part is None:
        return ChunkLocation(headings=headings) if headings else None
    return replace(part.location_of(first, last), headings=headings)


def _regions(text: str, parts: Sequence[Part]) -> Iterator[tuple[int, int]]:
    """The text cut where a part starts."""
    starts = [0, *(part.start for part in parts if part.start > 0), len(text)]
    yield from itertools.pairwise(starts)


def _slices(text: str, regions: list[tuple[int, int]], chunk_size: int) -> list[tuple[int, str]]:
    return [(start, text[start : min(start + chunk_size, end)]) for begin, end in regions for start in range(begin, end, chunk_size)]


def _split(text: str, regions: list[tuple[int, int]], format: Format, chunk_size: int) -> list[tuple[int, str]]:
    splitter = _splitter(format, chunk_size)
    pieces: list[tuple[int, str]] = []
    for begin, stop in regions:
        for start, end in _segments(text, begin, stop, format):
            found: list[tuple[int, str]] = splitter.chunk_indices(text[start:end])
            pieces.extend((start + offset, piece) for offset, piece in found)
    return pieces


def _segments(text: str, start: int, stop: int, format: Format) -> list[tuple[int, int]]:
    """Cut a long text at headings, blank lines, lines or spaces, whichever comes first in this order."""
    separators = ("\n#", *_SEPARATORS) if format.chunker == "markdown" else _SEPARATORS
    segments: list[tuple[int, int]] = []
    while stop - start > _SEGMENT_CHARACTERS:
        latest = start + _SEGMENT_CHARACTERS
        found = (text.rfind(separator, start + _SEGMENT_CHARACTERS // 2, latest) for separator in separators)
        # one past the newline or space, so that a heading begins the next segment
        end = next((at + 1 for at in found if at >= 0), latest)
        segments.append((start, end))
        start = end
    segments.append((start, stop))
    return segments


def _splitter(format: Format, chunk_size: int) -> Any:
    import semantic_text_splitter

    if format.grammar is not None:
        module, _, function = format.grammar.partition(":")
        language = getattr(importlib.import_module(module), function or "language")()
        return semantic_text_splitter.CodeSplitter(language, chunk_size)
    if format.chunker == "markdown":
        return semantic_text_splitter.MarkdownSplitter(chunk_size)
    return semantic_text_splitter.TextSplitter(chunk_size)
