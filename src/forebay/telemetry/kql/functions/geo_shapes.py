"""GeoJSON of lines and polygons as points on a sphere; what is not valid is None.

What is valid: https://learn.microsoft.com/kusto/query/geo-polygon-area-function and https://learn.microsoft.com/kusto/query/geo-line-length-function
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from math import pi
from typing import Any, NamedTuple, TypeVar

from forebay.telemetry.kql.functions.geo_sphere import (
    Point,
    crossing,
    degrees_of,
    dot,
    is_inside,
    is_valid,
    minus,
    origin_is_inside,
    plus,
    point_at,
    triangle_area,
    unit,
)

_MOST_POINTS = 100_000  # of one shape
_MOST_PAIRS = 10_000_000  # of edges that are looked at together
_NEARLY_NONE = 1e-15

Edge = tuple[Point, Point]
T = TypeVar("T")


class Ring(NamedTuple):
    """A closed line: what it encloses is on its left, and at most half of the sphere."""

    points: list[Point]
    with_origin: bool  # see `geo_sphere.is_inside`
    center: Point
    least_cosine: float  # of what is enclosed, to the center; below 0 where that is not known

    def has(self, point: Point) -> bool:
        return dot(point, self.center) >= self.least_cosine and is_inside(point, self.points, with_origin=self.with_origin)


class Polygon(NamedTuple):
    """Rings that neither cross nor share an edge, and how deep in others each is: one at an odd depth is a hole."""

    rings: list[Ring]
    depths: list[int]

    def has(self, point: Point) -> bool:
        return sum(ring.has(point) for ring in self.rings) % 2 == 1

    def borders(self) -> Iterator[list[Point]]:
        """The points of each ring with the polygon on their left."""
        for ring, depth in zip(self.rings, self.depths, strict=True):
            yield ring.points[::-1] if depth % 2 else ring.points

    def edges(self) -> Iterator[Edge]:
        for points in self.borders():
            yield from edges_of(points, is_closed=True)


def lines_of(shape: Any) -> list[list[Point]] | None:
    """The lines of a LineString or MultiLineString; None for what is neither, or not valid."""
    return _remembered(shape, _lines)


def polygons_of(shape: Any) -> list[Polygon] | None:
    """The polygons of a Polygon or MultiPolygon; None for what is neither, or not valid."""
    return _remembered(shape, _polygons)


def _remembered(shape: Any, read: Callable[[bytes], T | None]) -> T | None:
    import msgspec

    return read(msgspec.json.encode(shape)) if isinstance(shape, dict) else None


def geojson(kind: str, coordinates: Any) -> dict[str, Any]:
    """A shape as GeoJSON."""
    return {"type": kind, "coordinates": coordinates}


def geojson_point(point: Point) -> dict[str, Any]:
    """A point as GeoJSON, in degrees."""
    return geojson("Point", degrees_of(point))


def edges_of(points: list[Point], *, is_closed: bool = False) -> Iterator[Edge]:
    """Each point of a line, or of a ring, with the next one."""
    yield from zip(points, points[1:] + points[:1] if is_closed else points[1:], strict=False)


def near_pairs(edges: Iterable[tuple[Edge, int]]) -> Iterator[tuple[tuple[Edge, int], tuple[Edge, int]]]:
    """Pairs of (an edge, what it belongs to) whose boxes overlap. Raises `OverflowError` when that becomes too much."""
    boxes: list[tuple[list[float], list[float], tuple[Edge, int]]] = []
    for owned in edges:
        a, b = owned[0]
        step = minus(b, a)
        bulge = dot(step, step) / 4 + _NEARLY_NONE  # of the arc over its chord, at most
        low = [min(pair) - bulge for pair in zip(a, b, strict=True)]
        boxes.append((low, [max(pair) + bulge for pair in zip(a, b, strict=True)], owned))
    # a line sweeps along the axis on which boxes are shortest, past those that are active
    axis = min(range(3), key=lambda each: sum(high[each] - low[each] for low, high, _ in boxes))
    second, third = {0, 1, 2} - {axis}
    boxes.sort(key=lambda box: box[0][axis])
    active: list[tuple[list[float], list[float], tuple[Edge, int]]] = []
    count = 0
    for box in boxes:
        low, high, owned = box
        active = [each for each in active if each[1][axis] >= low[axis]]
        count += len(active)
        if count > _MOST_PAIRS:
            raise OverflowError
        for other_low, other_high, other in active:
            if (
                other_low[second] <= high[second]
                and low[second] <= other_high[second]
                and other_low[third] <= high[third]
                and low[third] <= other_high[third]
            ):
                yield other, owned
        active.append(box)


def _members(text: bytes, single: str, several: str) -> list[Any] | None:
    """The coordinates of one shape, or of each of several."""
    import msgspec

    shape = msgspec.json.decode(text)
    kind, coordinates = shape.get("type"), shape.get("coordinates")
    if not isinstance(coordinates, list) or not coordinates or kind not in (single, several):
        return None
    return [coordinates] if kind == single else coordinates


def _points(places: Any, least: int) -> list[Point] | None:
    """Points of which no two in a row are the same or opposite."""
    if not isinstance(places, list) or not least <= len(places) <= _MOST_POINTS:
        return None
    points: list[Point] = []
    for place in places:
        if not isinstance(place, list) or len(place) < 2 or not is_valid(place[0], place[1]):
            return None
        point = point_at(place[0], place[1])
        if points and (point == points[-1] or point == minus((0.0, 0.0, 0.0), points[-1])):
            return None
        points.append(point)
    return points


@lru_cache(16)
def _lines(text: bytes) -> list[list[Point]] | None:
    found = [_points(each, 2) for each in _members(text, "LineString", "MultiLineString") or ()]
    lines = [each for each in found if each is not None]
    return lines if lines and len(lines) == len(found) else None


@lru_cache(16)
def _polygons(text: bytes) -> list[Polygon] | None:
    polygons = []
    for member in _members(text, "Polygon", "MultiPolygon") or ():
        polygon = _polygon(member)
        if polygon is None:
            return None
        polygons.append(polygon)
    return polygons or None


def _polygon(coordinates: Any) -> Polygon | None:
    if not isinstance(coordinates, list) or not coordinates:
        return None
    rings = []
    for places in coordinates:
        points = _points(places, 4)
        if points is None or points[0] != points.pop() or len(set(points)) < len(points):
            return None
        rings.append(points)
    owned = [(edge, place) for place, points in enumerate(rings) for edge in edges_of(points, is_closed=True)]
    try:
        for ((a, b), _), ((c, d), _) in near_pairs(owned):
            if crossing(a, b, c, d) > 0 or {a, b} == {c, d}:
                return None
    except OverflowError:
        return None
    made = [_ring(points) for points in rings]
    return Polygon(made, [sum(other is not ring and _is_within(ring, other) for other in made) for ring in made])


def _ring(points: list[Point]) -> Ring:
    """The ring of these points, which are put in order."""
    area = sum(triangle_area(points[0], a, b) for a, b in edges_of(points)) % (4 * pi)
    if area > 2 * pi:
        points.reverse()
    center = (0.0, 0.0, 0.0)
    for point in points:
        center = plus(center, point)
    center = unit(center)
    cosine = min(dot(point, center) for point in points) - _NEARLY_NONE
    # what is within a cap of less than half of the sphere stays there, and so does what it encloses
    return Ring(points, origin_is_inside(points), center, cosine if cosine > 0.01 else -2.0)


def _is_within(ring: Ring, other: Ring) -> bool:
    """Whether a ring, which does not cross another, is inside of it."""
    vertices = set(other.points)
    own = [point for point in ring.points if point not in vertices]
    return other.has(own[0] if own else unit(plus(ring.points[0], ring.points[1])))
