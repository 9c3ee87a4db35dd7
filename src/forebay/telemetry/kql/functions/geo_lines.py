"""Functions of lines: lengths, places on them, what they cross.

Source: https://learn.microsoft.com/kusto/query/geo-line-length-function and the pages of the others
"""

from __future__ import annotations

from typing import Any

from forebay.telemetry.kql.functions.geo_shapes import Edge, edges_of, geojson_point, lines_of, near_pairs
from forebay.telemetry.kql.functions.geo_sphere import (
    EARTH_RADIUS_METERS,
    Point,
    angle,
    closest_on_edge,
    crossing,
    dot,
    interpolate,
    is_valid,
    plus,
    point_at,
    times,
    unit,
)


def line_length(line: Any) -> float | None:
    """Meters of a line; of several, without what a later one has in common with those before."""
    lines = lines_of(line)
    return None if lines is None else EARTH_RADIUS_METERS * sum(angle(a, b) for a, b in _union(lines))


def line_centroid(line: Any) -> dict[str, Any] | None:
    """The center of mass of lines, on the sphere."""
    lines = lines_of(line)
    if lines is None:
        return None
    center: Point = (0.0, 0.0, 0.0)
    for a, b in _union(lines):
        chord, middle = plus(a, (-b[0], -b[1], -b[2])), plus(a, b)
        squared = dot(middle, middle)
        if squared:  # the integral over an edge is its chord long, toward its middle
            center = plus(center, times(middle, (dot(chord, chord) / squared) ** 0.5))
    return geojson_point(unit(center))


def line_interpolate_point(line: Any, fraction: float | None) -> dict[str, Any] | None:
    """The point at a fraction (0 to 1) of one line."""
    lines = lines_of(line)
    if lines is None or len(lines) > 1 or fraction is None or not 0 <= fraction <= 1:
        return None
    lengths = [angle(a, b) for a, b in edges_of(lines[0])]
    rest = fraction * sum(lengths)
    for (a, b), length in zip(edges_of(lines[0]), lengths, strict=True):
        if rest < length:
            return geojson_point(interpolate(a, b, rest / length))
        rest -= length
    return geojson_point(lines[0][-1])


def line_locate_point(line: Any, longitude: float | None, latitude: float | None) -> float | None:
    """At what fraction of one line the point is that is closest to a place."""
    lines = lines_of(line)
    if lines is None or len(lines) > 1 or not is_valid(longitude, latitude):
        return None
    assert longitude is not None and latitude is not None, "is_valid() has seen to it"
    point = point_at(longitude, latitude)
    total = 0.0
    closest, passed = float("inf"), 0.0
    for a, b in edges_of(lines[0]):
        distance, foot = closest_on_edge(point, a, b)
        if distance < closest:
            closest, passed = distance, total + angle(a, foot)
        total += angle(a, b)
    return min(1.0, passed / total)


def closest_point_on_line(longitude: float | None, latitude: float | None, line: Any) -> dict[str, Any] | None:
    """The point of lines that is closest to a place."""
    lines = lines_of(line)
    if lines is None or not is_valid(longitude, latitude):
        return None
    assert longitude is not None and latitude is not None, "is_valid() has seen to it"
    return geojson_point(closest_of((edge for each in lines for edge in edges_of(each)), point_at(longitude, latitude))[1])


def distance_point_to_line(longitude: float | None, latitude: float | None, line: Any) -> float | None:
    """Meters from a place to the closest point of lines."""
    lines = lines_of(line)
    if lines is None or not is_valid(longitude, latitude):
        return None
    assert longitude is not None and latitude is not None, "is_valid() has seen to it"
    found = closest_of((edge for each in lines for edge in edges_of(each)), point_at(longitude, latitude))
    return EARTH_RADIUS_METERS * found[0]


def intersects_2lines(line1: Any, line2: Any) -> bool | None:
    """Whether lines have a point in common."""
    pair = lines_of(line1), lines_of(line2)
    if pair[0] is None or pair[1] is None:
        return None
    owned = [(edge, place) for place, lines in enumerate(pair) for each in lines or () for edge in edges_of(each)]
    try:
        return any(one != other and crossing(a, b, c, d) >= 0 for ((a, b), one), ((c, d), other) in near_pairs(owned))
    except OverflowError:
        return None


def closest_of(edges: Any, point: Point) -> tuple[float, Point]:
    """Radians to the closest point of edges, and that point."""
    found: tuple[float, Point] = min((closest_on_edge(point, a, b) for a, b in edges), key=lambda each: each[0])
    return found


def _union(lines: list[list[Point]]) -> list[Edge]:
    """The edges of lines, without those that an earlier line has, in either direction."""
    edges: list[Edge] = []
    known: set[frozenset[Point]] = set()
    for line in lines:
        own = [edge for edge in edges_of(line) if frozenset(edge) not in known]
        edges += own
        known.update(frozenset(edge) for edge in own)
    return edges
