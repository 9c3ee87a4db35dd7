"""Text to chunks: on syntax for code, on headings for Markdown, on sentences for the rest, or plain slices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from forebay.pipeline.formats import Format
from forebay.pipeline.symbols import javascript_symbols, python_symbols
from forebay.values.chunk import Chunk

ChunkerSetting = Literal["auto", "fixed"]

_SYMBOLS: dict[str, Callable[[str, Sequence[int]], list[str | None]]] = {
    "python": python_symbols,
    "javascript": javascript_symbols,
}
# The splitters' time grows with the square of the text in the worst cases (10 MB on one line: minutes), so that a long
# text is split in segments: at most half a second a megabyte.
_SEGMENT_CHARACTERS = 64 * 1024
_SEPARATORS = ("\n\n\n", "\n\n", "\n", " ")


def chunk_text(text: str, format: Format, *, chunk_size: int, chunker: ChunkerSetting) -> list[Chunk]:
    r"""Cut `text` into chunks of at most `chunk_size` code points.

    A line ends with `\n`, so that `\r\n` counts once; in a text without any `\n` a line ends with `\r`.

    *Guarantees*: deterministic; each chunk's text is `text[start:end]`; chunks are in order and do not overlap; every
    character that is not whitespace is in one; none is blank; ordinals count from 0.
    """
    pieces = _slices(text, chunk_size) if chunker == "fixed" else _split(text, format, chunk_size)
    pieces = [(start, piece) for start, piece in pieces if not piece.isspace()]
    symbols = _symbols(text, format, pieces)
    line_end = "\n" if "\n" in text else "\r"
    chunks: list[Chunk] = []
    line, counted_to = 1, 0
    for ordinal, (start, piece) in enumerate(pieces):
        line += text.count(line_end, counted_to, start)
        last_line = line + piece.count(line_end, 0, -1)  # a line's end belongs to the line
        end = start + len(piece)
        chunks.append(
            Chunk(ordinal=ordinal, text=piece, start=start, end=end, first_line=line, last_line=last_line, symbol=symbols[ordinal])
        )
        counted_to = start
    return chunks


def _slices(text: str, chunk_size: int) -> list[tuple[int, str]]:
    return [(start, text[start : start + chunk_size]) for start in range(0, len(text), chunk_size)]


def _split(text: str, format: Format, chunk_size: int) -> list[tuple[int, str]]:
    splitter = _splitter(format, chunk_size)
    pieces: list[tuple[int, str]] = []
    for start, end in _segments(text, format):
        found: list[tuple[int, str]] = splitter.chunk_indices(text[start:end])
        pieces.extend((start + offset, piece) for offset, piece in found)
    return pieces


def _segments(text: str, format: Format) -> list[tuple[int, int]]:
    """Cut a long text at headings, blank lines, lines or spaces, whichever comes first in this order."""
    separators = ("\n#", *_SEPARATORS) if format.chunker == "markdown" else _SEPARATORS
    segments: list[tuple[int, int]] = []
    start = 0
    while len(text) - start > _SEGMENT_CHARACTERS:
        latest = start + _SEGMENT_CHARACTERS
        found = (text.rfind(separator, start + _SEGMENT_CHARACTERS // 2, latest) for separator in separators)
        # one past the newline or space, so that a heading begins the next segment
        end = next((at + 1 for at in found if at >= 0), latest)
        segments.append((start, end))
        start = end
    segments.append((start, len(text)))
    return segments


def _splitter(format: Format, chunk_size: int) -> Any:
    import semantic_text_splitter

    if format.chunker == "python":
        import tree_sitter_python

        return semantic_text_splitter.CodeSplitter(tree_sitter_python.language(), chunk_size)
    if format.chunker == "javascript":
        import tree_sitter_javascript

        return semantic_text_splitter.CodeSplitter(tree_sitter_javascript.language(), chunk_size)
    if format.chunker == "markdown":
        return semantic_text_splitter.MarkdownSplitter(chunk_size)
    return semantic_text_splitter.TextSplitter(chunk_size)


def _symbols(text: str, format: Format, pieces: list[tuple[int, str]]) -> Sequence[str | None]:
    symbols_at = _SYMBOLS.get(format.chunker)
    if symbols_at is None:
        return [None] * len(pieces)
    return symbols_at(text, [start + len(piece) - len(piece.lstrip()) for start, piece in pieces])
