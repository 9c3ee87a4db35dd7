"""Lines that are straight on a map of longitude and latitude, as edges on the sphere that are close to them.

An edge is halved, on the map, until it is close enough, which is estimated at two points of it. Source of that and of its constants:
https://github.com/google/s2geometry/blob/master/src/s2/s2edge_tessellator.cc
"""

from __future__ import annotations

from itertools import pairwise
from math import sin
from typing import Any

from forebay.telemetry.kql.functions.geo_shapes import Polygon, geojson, lines_of, polygons_of
from forebay.telemetry.kql.functions.geo_sphere import EARTH_RADIUS_METERS, Point, degrees_of, dot, interpolate, minus, point_at

_LEAST, _MOST = 0.1, 10_000.0  # meters
_PROBE = 0.31215691082248312
_SCALE = 0.83829992569888509
_MOST_POINTS = 1_048_576

Place = tuple[float, float]


def line_densify(line: Any, tolerance: float | None) -> dict[str, Any] | None:
    """A line, or several, with points added until its edges are within `tolerance` meters (0.1 to 10000) of straight lines on a map.

    None for more than 1048576 points.
    """
    if lines_of(line) is None or tolerance is None or not _LEAST <= tolerance <= _MOST:
        return None
    is_one = line["type"] == "LineString"
    try:
        made = [_in_degrees(_densified(places, tolerance)) for places in ([line["coordinates"]] if is_one else line["coordinates"])]
    except OverflowError:
        return None
    return geojson("LineString", made[0]) if is_one else geojson("MultiLineString", made)


def polygon_densify(polygon: Any, tolerance: float | None) -> dict[str, Any] | None:
    """The same of the rings of a polygon, or of several, which come with the polygon on their left."""
    polygons = polygons_of(polygon)
    if polygons is None or tolerance is None or not _LEAST <= tolerance <= _MOST:
        return None
    is_one = polygon["type"] == "Polygon"
    coordinates = [polygon["coordinates"]] if is_one else polygon["coordinates"]
    try:
        made = [_rings(each, rings, tolerance) for each, rings in zip(polygons, coordinates, strict=True)]
    except OverflowError:
        return None
    return geojson("Polygon", made[0]) if is_one else geojson("MultiPolygon", made)


def _rings(polygon: Polygon, rings: list[Any], tolerance: float) -> list[list[list[float]]]:
    made = []
    for border, places in zip(polygon.borders(), rings, strict=True):
        points = _densified(places, tolerance)[:-1]
        if border[0] != points[0]:
            points.reverse()
        made.append(_in_degrees([*points, points[0]]))
    return made


def _in_degrees(points: list[Point]) -> list[list[float]]:
    return [degrees_of(point) for point in points]


def _densified(places: list[list[float]], tolerance: float) -> list[Point]:
    most = (2 * sin(_SCALE * tolerance / EARTH_RADIUS_METERS / 2)) ** 2
    points = [point_at(places[0][0], places[0][1])]
    for before, after in pairwise(places):
        open_edges = [((before[0], before[1]), (after[0], after[1]))]
        while open_edges:
            a, b = open_edges.pop()
            start, end = point_at(*a), point_at(*b)
            if _squared_error(a, start, b, end) <= most:
                points.append(end)
                if len(points) > _MOST_POINTS:
                    raise OverflowError
            else:
                middle = _between(a, b, 0.5)
                open_edges += [(middle, b), (a, middle)]
    return points


def _between(a: Place, b: Place, fraction: float) -> Place:
    return (1 - fraction) * a[0] + fraction * b[0], (1 - fraction) * a[1] + fraction * b[1]


def _squared_error(a: Place, start: Point, b: Place, end: Point) -> float:
    if dot(start, end) < -1e-14:
        return 4.0
    worst = 0.0
    for fraction in (_PROBE, 1 - _PROBE):
        apart = minus(interpolate(start, end, fraction), point_at(*_between(a, b, fraction)))
        worst = max(worst, dot(apart, apart))
    return worst
