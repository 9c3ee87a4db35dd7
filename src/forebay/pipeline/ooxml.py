"""Office Open XML packages: members, their relationships, and XML without document types."""

from __future__ import annotations

import io
import posixpath
import zipfile
import zlib
from collections.abc import Iterator
from xml.etree.ElementTree import Element, ParseError, iterparse

from forebay.pipeline.refused import Refused

_PROLOG_BYTES = 4096


class Package:
    """A package whose archive has been checked. Its methods raise `Refused` with `corrupt` for what cannot be read."""

    def __init__(self, data: bytes) -> None:
        self._archive = zipfile.ZipFile(io.BytesIO(data))

    def member(self, name: str) -> bytes:
        """The bytes of a member."""
        try:
            return self._archive.read(name)
        except (KeyError, zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, RuntimeError) as error:
            raise Refused("corrupt", f"expected a readable member {name[:100]!r}: {error}"[:300]) from error

    def __contains__(self, name: str) -> bool:
        return name in self._archive.NameToInfo

    def elements(self, name: str) -> Iterator[Element]:
        """The elements of a member as they end; the caller may clear what it is done with."""
        content = self.member(name)
        # these formats have no use for document types, and entities could expand without end
        if b"<!DOCTYPE" in content[:_PROLOG_BYTES] or b"<!ENTITY" in content:
            raise Refused("corrupt", f"expected XML without a document type in {name[:100]!r}")
        try:
            for _, element in iterparse(io.BytesIO(content)):  # noqa: S314 - entities are refused above
                yield element
        except (ParseError, ValueError, LookupError) as error:
            raise Refused("corrupt", f"expected XML in {name[:100]!r}: {error}"[:300]) from error

    def root(self, name: str) -> Element:
        """A member as a tree."""
        last = None
        for last in self.elements(name):  # noqa: B007 - the root ends last
            pass
        assert last is not None  # XML without an element is a ParseError
        return last

    def related(self, name: str) -> dict[str, tuple[str, str]]:
        """What a member refers to: kind (`worksheet`, `notesSlide`...) and member name, by relationship id."""
        folder, base = posixpath.split(name)
        listing = posixpath.join(folder, "_rels", f"{base}.rels")
        if listing not in self:
            return {}
        found: dict[str, tuple[str, str]] = {}
        for element in self.elements(listing):
            target = element.get("Target", "")
            if local(element) == "Relationship" and element.get("TargetMode") != "External":
                path = posixpath.normpath(posixpath.join(folder, target)).lstrip("/")
                found[element.get("Id", "")] = (element.get("Type", "").rpartition("/")[2], path)
        return found


def local(element: Element) -> str:
    """An element's name without its namespace; strict and transitional files differ only in that."""
    return element.tag.rpartition("}")[2]


def attribute(element: Element, name: str) -> str:
    """An attribute whatever its namespace; empty when it is missing."""
    return next((value for key, value in element.items() if key.rpartition("}")[2] == name), "")


def relationship_of(element: Element) -> str:
    """The `r:id` of an element that may have an `id` of its own as well."""
    return next((value for key, value in element.items() if key.startswith("{") and key.endswith("}id")), "")
