"""Well-known text of shapes, such as "LINESTRING (1 2, 3 4)", as GeoJSON.

Source: https://en.wikipedia.org/wiki/Well-known_text_representation_of_geometry; https://learn.microsoft.com/kusto/query/geo-from-wkt-function
"""

from __future__ import annotations

import re
from typing import Any

_LONGEST = 1_048_576  # characters
_DEEPEST = 32  # collections in collections

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_TOKEN = re.compile(rf"\s*([(),]|[A-Za-z]+|{_NUMBER}\s+{_NUMBER}(?![\w.+-]))")

# of each kind: its name in GeoJSON, and how many lists are around its places
_KINDS = {
    "POINT": ("Point", 0),
    "LINESTRING": ("LineString", 1),
    "POLYGON": ("Polygon", 2),
    "MULTIPOINT": ("MultiPoint", 1),
    "MULTILINESTRING": ("MultiLineString", 2),
    "MULTIPOLYGON": ("MultiPolygon", 3),
}


class _NotValid(Exception):
    """The text is not that of a shape in two dimensions."""


def from_wkt(wkt: str | None) -> dict[str, Any] | None:
    """The GeoJSON of a text; None for what is not valid, empty, or has more than longitude and latitude."""
    text = (wkt or "").rstrip()
    if not text or len(text) > _LONGEST:
        return None
    try:
        return _Reader(text).whole()
    except _NotValid:
        return None


class _Reader:
    """The tokens of a text, from the first to the last; two numbers are one token."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.token = ""
        self.step()

    def step(self) -> str:
        """The token that was next; then the one after it is."""
        before = self.token
        found = _TOKEN.match(self.text, self.at)
        if found is None and self.at < len(self.text):
            raise _NotValid
        self.token, self.at = (found[1], found.end()) if found else ("", self.at)
        return before

    def take(self, token: str) -> None:
        if self.step() != token:
            raise _NotValid

    def whole(self) -> dict[str, Any]:
        shape = self.shape(0)
        if self.token:
            raise _NotValid
        return shape

    def shape(self, depth: int) -> dict[str, Any]:
        name = self.step().upper()
        if name == "GEOMETRYCOLLECTION" and depth < _DEEPEST:
            return {"type": "GeometryCollection", "geometries": self.members(lambda: self.shape(depth + 1))}
        if name not in _KINDS:
            raise _NotValid
        kind, levels = _KINDS[name]
        if name == "POINT":
            (coordinates,) = self.members(self.place, most=1)
        elif name == "MULTIPOINT":
            coordinates = self.members(lambda: self.members(self.place, most=1)[0] if self.token == "(" else self.place())
        else:
            coordinates = self.nested(levels)
        return {"type": kind, "coordinates": coordinates}

    def nested(self, levels: int) -> list[Any]:
        return self.members(self.place if levels == 1 else lambda: self.nested(levels - 1))

    def members(self, member: Any, most: int = _LONGEST) -> list[Any]:
        self.take("(")
        found = [member()]
        while self.token == "," and len(found) < most:
            self.step()
            found.append(member())
        self.take(")")
        return found

    def place(self) -> list[float]:
        try:
            longitude, latitude = self.step().split()
            place = [float(longitude), float(latitude)]
        except ValueError as error:
            raise _NotValid from error
        if any(abs(each) == float("inf") for each in place):
            raise _NotValid
        return place
