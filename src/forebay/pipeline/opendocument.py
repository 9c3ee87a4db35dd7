"""OpenDocument texts (ODT) as Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree.ElementTree import Element

from forebay.pipeline.decode import DecodedText
from forebay.pipeline.ooxml import Package, attribute, local
from forebay.pipeline.refused import Refused

# Deleted text, remarks, reading aids, and declarations: no part of what a reader sees.
_UNSEEN = frozenset({"tracked-changes", "annotation", "ruby-text", "sequence-decls", "forms", "note-citation"})
_SPACES_LIMIT_COUNT = 100


def read_opendocument(data: bytes) -> DecodedText:
    """Headings, paragraphs, lists, tables and, at the end, the notes.

    Raises `Refused` with `corrupt`.
    """
    root = Package(data).root("content.xml")
    body = next((element for element in root.iter() if local(element) == "text" and "office" in element.tag), None)
    if body is None:
        raise Refused("corrupt", "expected an OpenDocument text with a body, got one without")
    reader = _Reader()
    blocks = [block for block in reader.blocks(body) if block.strip()]
    return DecodedText(text="\n\n".join([*blocks, *reader.notes]), encoding=None)


def text_of(element: Element) -> str:
    """The paragraphs of a cell, without remarks, divided by spaces."""
    return " ".join(block for block in _Reader().blocks(element) if block)


class _Reader:
    def __init__(self) -> None:
        self.notes: list[str] = []

    def blocks(self, element: Element) -> Iterator[str]:
        for child in element:
            name = local(child)
            if name == "h":
                level = attribute(child, "outline-level")
                depth = min(int(level), 6) if level.isdecimal() and len(level) < 3 else 1
                yield "#" * max(depth, 1) + " " + " ".join(self._inline(child).split())
            elif name == "p":
                yield self._inline(child).strip()
            elif name == "list":
                yield "\n".join(self._items(child))
            elif name == "table":
                yield self._table(child)
            elif name not in _UNSEEN:
                yield from self.blocks(child)

    def _items(self, element: Element) -> Iterator[str]:
        for item in element:
            lines = "\n".join(block for block in self.blocks(item) if block.strip())
            if lines:
                yield "- " + lines.replace("\n", "\n  ")

    def _table(self, table: Element) -> str:
        rows = []
        for row in rows_of(table):
            cells = [" ".join(" ".join(self.blocks(cell)).split()).replace("|", "\\|") for cell in row if local(cell) == "table-cell"]
            if any(cells):
                rows.append(f"| {' | '.join(cells)} |")
                if len(rows) == 1:
                    rows.append("|" + " --- |" * len(cells))
        return "\n".join(rows)

    def _inline(self, element: Element) -> str:
        pieces = [element.text or ""]
        for child in element:
            name = local(child)
            if name == "s":
                count = attribute(child, "c")
                pieces.append(" " * (min(int(count), _SPACES_LIMIT_COUNT) if count.isdecimal() and len(count) < 9 else 1))
            elif name == "tab":
                pieces.append("\t")
            elif name == "line-break":
                pieces.append("\n")
            elif name == "note":
                place = len(self.notes)
                self.notes.append("")
                self.notes[place] = f"[^{place + 1}]: " + " ".join(block for block in self.blocks(child) if block)
                pieces.append(f"[^{place + 1}]")
            elif name in ("p", "h"):  # of a frame that is anchored in a paragraph
                pieces.append(f" {self._inline(child)} ")
            elif name not in _UNSEEN:
                pieces.append(self._inline(child))
            pieces.append(child.tail or "")
        return "".join(pieces)


def rows_of(table: Element) -> Iterator[Element]:
    """The rows of a table, also of its header and of groups."""
    for child in table:
        if local(child) == "table-row":
            yield child
        elif local(child).startswith("table-"):
            yield from rows_of(child)
