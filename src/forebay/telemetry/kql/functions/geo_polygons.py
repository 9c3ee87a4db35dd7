"""Functions of polygons: what they enclose, how large they are, what they cross.

Several polygons count as their union: of each only what of its border is outside of all others, which is enough for areas and centers,
as these are integrals along borders. Source: https://learn.microsoft.com/kusto/query/geo-polygon-area-function and the pages of the others
"""

from __future__ import annotations

from math import pi
from typing import Any

from forebay.telemetry.kql.functions.geo_lines import closest_of
from forebay.telemetry.kql.functions.geo_shapes import edges_of, geojson_point, lines_of, near_pairs, polygons_of
from forebay.telemetry.kql.functions.geo_sphere import (
    EARTH_RADIUS_METERS,
    Point,
    angle,
    crossing,
    is_valid,
    normal,
    plus,
    point_at,
    times,
    triangle_area,
    unit,
)
from forebay.telemetry.kql.functions.geo_union import union_of


def point_in_polygon(longitude: float | None, latitude: float | None, polygon: Any) -> bool | None:
    """Whether a place is in one of some polygons; of polygons side by side, in just one."""
    polygons = polygons_of(polygon)
    if polygons is None or not is_valid(longitude, latitude):
        return None
    assert longitude is not None and latitude is not None, "is_valid() has seen to it"
    point = point_at(longitude, latitude)
    return any(each.has(point) for each in polygons)


def distance_point_to_polygon(longitude: float | None, latitude: float | None, polygon: Any) -> float | None:
    """Meters from a place to the closest point of polygons; 0 inside."""
    found = _closest(longitude, latitude, polygon)
    return None if found is None else EARTH_RADIUS_METERS * found[0]


def closest_point_on_polygon(longitude: float | None, latitude: float | None, polygon: Any) -> dict[str, Any] | None:
    """The point of polygons that is closest to a place; the place itself inside."""
    found = _closest(longitude, latitude, polygon)
    return None if found is None else geojson_point(found[1])


def polygon_area(polygon: Any) -> float | None:
    """Square meters of polygons together."""
    clusters = union_of(polygons_of(polygon) or [])
    if not clusters:
        return None
    area = 0.0
    for edges in clusters:
        origin = edges[0][0] if edges else (0.0, 0.0, 1.0)
        area += sum(triangle_area(origin, a, b) for a, b in edges) % (4 * pi)
    return area * EARTH_RADIUS_METERS**2


def polygon_perimeter(polygon: Any) -> float | None:
    """Meters of the border of polygons together, holes included."""
    clusters = union_of(polygons_of(polygon) or [])
    return EARTH_RADIUS_METERS * sum(angle(a, b) for edges in clusters for a, b in edges) if clusters else None


def polygon_centroid(polygon: Any) -> dict[str, Any] | None:
    """The center of mass of polygons together, on the sphere."""
    clusters = union_of(polygons_of(polygon) or [])
    if not clusters:
        return None
    center: Point = (0.0, 0.0, 0.0)
    for edges in clusters:
        for a, b in edges:
            center = plus(center, times(unit(normal(a, b)), angle(a, b)))
    return geojson_point(unit(center))


def intersects_2polygons(polygon1: Any, polygon2: Any) -> bool | None:
    """Whether polygons, with their borders, have a point in common."""
    pair = polygons_of(polygon1), polygons_of(polygon2)
    if pair[0] is None or pair[1] is None:
        return None
    owned = [(edge, place) for place, polygons in enumerate(pair) for each in polygons or () for edge in each.edges()]
    try:
        if any(one != other and crossing(a, b, c, d) >= 0 for ((a, b), one), ((c, d), other) in near_pairs(owned)):
            return True
    except OverflowError:
        return None
    return any(
        other.has(border[0])
        for one_side, other_side in (pair, pair[::-1])
        for each in one_side or ()
        for border in each.borders()
        for other in other_side or ()
    )


def intersects_line_with_polygon(line: Any, polygon: Any) -> bool | None:
    """Whether lines have a point in common with the inside of polygons."""
    lines, polygons = lines_of(line), polygons_of(polygon)
    if lines is None or polygons is None:
        return None
    if any(each.has(point) for each in polygons for points in lines for point in points):
        return True
    owned = [(edge, 0) for points in lines for edge in edges_of(points)] + [(edge, 1) for each in polygons for edge in each.edges()]
    try:
        return any(one != other and (crossing(a, b, c, d) > 0 or (a, b) == (c, d)) for ((a, b), one), ((c, d), other) in near_pairs(owned))
    except OverflowError:
        return None


def _closest(longitude: float | None, latitude: float | None, polygon: Any) -> tuple[float, Point] | None:
    polygons = polygons_of(polygon)
    if polygons is None or not is_valid(longitude, latitude):
        return None
    assert longitude is not None and latitude is not None, "is_valid() has seen to it"
    point = point_at(longitude, latitude)
    if any(each.has(point) for each in polygons):
        return 0.0, point
    return closest_of((edge for each in polygons for edge in each.edges()), point)
