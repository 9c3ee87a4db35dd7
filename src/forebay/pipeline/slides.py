"""Presentations (PPTX) as text, slide by slide with the notes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from xml.etree.ElementTree import Element

from forebay.pipeline.archives import INFLATED_LIMIT_BYTES
from forebay.pipeline.decode import DecodedText
from forebay.pipeline.ooxml import Package, attribute, local, relationship_of
from forebay.pipeline.parts import joined
from forebay.pipeline.refused import Refused
from forebay.values.chunk import ChunkLocation

_PRESENTATION = "ppt/presentation.xml"
_REPEATED_PLACEHOLDERS = frozenset({"sldNum", "dt", "ftr", "hdr", "sldImg"})  # on every slide, and no part of its text


def read_slides(data: bytes) -> DecodedText:
    """The slides in the order of the show: paragraphs by line, table cells by tab, notes last.

    Raises `Refused`: `corrupt`, or `archive_bomb` when repeated slides make an enormous text.
    """
    package = Package(data)
    targets = package.related(_PRESENTATION)
    members = [
        targets.get(relationship_of(element), ("", ""))[1] for element in package.root(_PRESENTATION).iter() if local(element) == "sldId"
    ]
    if "" in members:
        raise Refused("corrupt", "expected every slide of the presentation to have a member, got one without")
    text, parts = joined(_slides(package, members))
    return DecodedText(text=text, encoding=None, parts=parts)


def _slides(package: Package, members: Sequence[str]) -> Iterator[tuple[ChunkLocation, str]]:
    """A small file can list one slide thousands of times."""
    inflated = 0
    for number, member in enumerate(members, 1):
        text = _slide(package, member)
        inflated += len(text)
        if inflated > INFLATED_LIMIT_BYTES:
            raise Refused("archive_bomb", f"expected at most {INFLATED_LIMIT_BYTES:,} characters of text, got more")
        yield ChunkLocation(slide=number), text


def _slide(package: Package, member: str) -> str:
    blocks = ["\n".join(_lines(shape)) for shape in _shapes(package.root(member))]
    for kind, target in package.related(member).values():
        if kind == "notesSlide":
            notes = "\n".join(line for shape in _shapes(package.root(target)) for line in _lines(shape))
            blocks.append(f"Notes:\n{notes}" if notes.strip() else "")
    return "\n\n".join(block for block in blocks if block.strip())


def _shapes(element: Element) -> Iterator[Element]:
    """Shapes and tables in document order, groups opened."""
    for child in element:
        name = local(child)
        if name in ("sp", "graphicFrame"):
            if not any(local(each) == "ph" and attribute(each, "type") in _REPEATED_PLACEHOLDERS for each in child.iter()):
                yield child
        elif name != "Fallback":  # repeats its Choice for older programs
            yield from _shapes(child)


def _lines(element: Element) -> Iterator[str]:
    for child in element:
        name = local(child)
        if name == "tr":
            yield "\t".join(" ".join(_lines(cell)) for cell in child if local(cell) == "tc")
        elif name == "p":
            yield "".join(_run(part) for part in child.iter()).strip()
        elif name != "Fallback":
            yield from _lines(child)


def _run(part: Element) -> str:
    if local(part) == "br":
        return "\n"
    return part.text or "" if local(part) == "t" else ""
