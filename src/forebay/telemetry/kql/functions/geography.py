"""Functions of places, lines, polygons and cells on Earth, which is a sphere here, as in Kusto.

Each is in Python, but for what is asked of many rows. Source: https://learn.microsoft.com/kusto/query/geospatial-grid-systems and the pages
of the functions
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from forebay.telemetry.kql.errors import Diagnostic, KqlError
from forebay.telemetry.kql.functions.argument import Argument
from forebay.telemetry.kql.functions.geo_sphere import EARTH_RADIUS_METERS
from forebay.telemetry.kql.functions.registry import REFUSED, scalar


def _loaded_at_call(path: str) -> Callable[..., Any]:
    """A function, as file.name, whose file is loaded when it is called: few queries are about geography."""
    module, name = path.split(".")

    def call(*values: Any) -> Any:
        return getattr(import_module(f"forebay.telemetry.kql.functions.{module}"), name)(*values)

    return call


def _distance(longitude1: Argument, latitude1: Argument, longitude2: Argument, latitude2: Argument) -> str:
    """SQL of meters between two places, by the haversine formula; NULL for what is no place."""
    x1, y1, x2, y2 = longitude1.once, latitude1.once, longitude2.once, latitude2.once
    half = f"sin(radians({y2} - {y1}) / 2) ** 2 + cos(radians({y1})) * cos(radians({y2})) * sin(radians({x2} - {x1}) / 2) ** 2"
    are_places = f"{x1} BETWEEN -180 AND 180 AND {y1} BETWEEN -90 AND 90 AND {x2} BETWEEN -180 AND 180 AND {y2} BETWEEN -90 AND 90"
    return f"CASE WHEN {are_places} THEN {2 * EARTH_RADIUS_METERS} * asin(sqrt(least(1, {half}))) END"


def _distance_2points(
    longitude1: Argument, latitude1: Argument, longitude2: Argument, latitude2: Argument, use_spheroid: Argument | None = None
) -> str:
    if use_spheroid is not None and use_spheroid.value:
        raise KqlError(Diagnostic("unsupported", "the Earth is a sphere here, not a spheroid", 0, 0, hint="leave `use_spheroid` out"))
    return _distance(longitude1, latitude1, longitude2, latitude2)


def _in_circle(longitude: Argument, latitude: Argument, center_longitude: Argument, center_latitude: Argument, radius: Argument) -> str:
    distance = _distance(longitude, latitude, center_longitude, center_latitude)
    return f"CASE WHEN {radius.once} > 0 AND NOT isnan({radius.once}) THEN {distance} <= {radius.once} END"


_TWO_PLACES = "p1_longitude: real, p1_latitude: real, p2_longitude: real, p2_latitude: real"
scalar(f"geo_distance_2points({_TWO_PLACES}, const use_spheroid: bool = false) -> real", _distance_2points, "Meters between two places.")
scalar(
    "geo_point_in_circle(p_longitude: real, p_latitude: real, pc_longitude: real, pc_latitude: real, c_radius: real) -> bool",
    _in_circle,
    "Whether a place is within a distance, in meters, of another.",
)

_PLACE = "longitude: real, latitude: real"
_DECLARATIONS: tuple[tuple[str, str, str], ...] = (
    (
        f"geo_azimuth({_TWO_PLACES}) -> real",
        "geo_directions.azimuth",
        "The direction from a place to another: radians clockwise from north.",
    ),
    (
        f"geo_angle({_TWO_PLACES}, p3_longitude: real, p3_latitude: real) -> real",
        "geo_directions.angle_of",
        "Radians clockwise from the first place to the third, seen from the second.",
    ),
    (f"geo_point_to_geohash({_PLACE}, accuracy: long = 5) -> string", "geo_hash.point_to_geohash", "The geohash of a place."),
    (
        "geo_geohash_to_central_point(geohash: string) -> dynamic",
        "geo_hash.geohash_to_central_point",
        "The middle of a geohash, as GeoJSON.",
    ),
    ("geo_geohash_to_polygon(geohash: string) -> dynamic", "geo_hash.geohash_to_polygon", "The rectangle of a geohash, as GeoJSON."),
    (
        f"geo_point_to_s2cell({_PLACE}, level: long = 11) -> string",
        "geo_s2.point_to_s2cell",
        "The token of the cell of S2 that a place is in.",
    ),
    ("geo_s2cell_to_central_point(s2cell: string) -> dynamic", "geo_s2.s2cell_to_central_point", "The middle of a cell of S2, as GeoJSON."),
    ("geo_geohash_neighbors(geohash: string) -> dynamic", "geo_neighbors.geohash_neighbors", "The geohashes around one."),
    ("geo_s2cell_neighbors(s2cell: string) -> dynamic", "geo_neighbors.s2cell_neighbors", "The cells of S2 around one."),
    ("geo_s2cell_to_polygon(s2cell: string) -> dynamic", "geo_s2.s2cell_to_polygon", "The border of a cell of S2, as GeoJSON."),
    (
        "geo_line_to_s2cells(lineString: dynamic, level: long = 11) -> dynamic",
        "geo_covering.line_to_s2cells",
        "The tokens of the cells of S2 that a line goes through.",
    ),
    (
        "geo_polygon_to_s2cells(polygon: dynamic, level: long = 11) -> dynamic",
        "geo_covering.polygon_to_s2cells",
        "The tokens of the cells of S2 that cover a polygon.",
    ),
    ("geo_from_wkt(wkt: string) -> dynamic", "geo_wkt.from_wkt", "Well-known text of a shape as GeoJSON."),
    ("geo_line_length(lineString: dynamic) -> real", "geo_lines.line_length", "Meters of a line."),
    ("geo_line_centroid(lineString: dynamic) -> dynamic", "geo_lines.line_centroid", "The center of mass of a line, as GeoJSON."),
    (
        "geo_line_interpolate_point(lineString: dynamic, fraction: real) -> dynamic",
        "geo_lines.line_interpolate_point",
        "The point at a fraction, 0 to 1, of a line, as GeoJSON.",
    ),
    (
        "geo_line_densify(lineString: dynamic, tolerance: real = 10) -> dynamic",
        "geo_densify.line_densify",
        "A line that is straight on a map, with points added so that it is within some meters of that on Earth.",
    ),
    (
        f"geo_closest_point_on_line({_PLACE}, lineString: dynamic) -> dynamic",
        "geo_lines.closest_point_on_line",
        "The point of a line that is closest to a place, as GeoJSON.",
    ),
    (
        f"geo_distance_point_to_line({_PLACE}, lineString: dynamic) -> real",
        "geo_lines.distance_point_to_line",
        "Meters from a place to a line.",
    ),
    (
        "geo_line_locate_point(lineString: dynamic, longitude: real, latitude: real) -> real",
        "geo_lines.line_locate_point",
        "At what fraction of a line its point is that is closest to a place.",
    ),
    (
        "geo_intersects_2lines(lineString1: dynamic, lineString2: dynamic) -> bool",
        "geo_lines.intersects_2lines",
        "Whether lines have a point in common.",
    ),
    (
        "geo_intersects_line_with_polygon(lineString: dynamic, polygon: dynamic) -> bool",
        "geo_polygons.intersects_line_with_polygon",
        "Whether a line has a point in a polygon.",
    ),
    (
        "geo_intersects_2polygons(polygon1: dynamic, polygon2: dynamic) -> bool",
        "geo_polygons.intersects_2polygons",
        "Whether polygons have a point in common.",
    ),
    (f"geo_point_in_polygon({_PLACE}, polygon: dynamic) -> bool", "geo_polygons.point_in_polygon", "Whether a place is in a polygon."),
    (
        f"geo_distance_point_to_polygon({_PLACE}, polygon: dynamic) -> real",
        "geo_polygons.distance_point_to_polygon",
        "Meters from a place to a polygon; 0 inside.",
    ),
    (
        f"geo_closest_point_on_polygon({_PLACE}, polygon: dynamic) -> dynamic",
        "geo_polygons.closest_point_on_polygon",
        "The point of a polygon that is closest to a place, as GeoJSON.",
    ),
    ("geo_polygon_area(polygon: dynamic) -> real", "geo_polygons.polygon_area", "Square meters of a polygon."),
    ("geo_polygon_perimeter(polygon: dynamic) -> real", "geo_polygons.polygon_perimeter", "Meters of the border of a polygon."),
    ("geo_polygon_centroid(polygon: dynamic) -> dynamic", "geo_polygons.polygon_centroid", "The center of mass of a polygon, as GeoJSON."),
    (
        "geo_polygon_densify(polygon: dynamic, tolerance: real = 10) -> dynamic",
        "geo_densify.polygon_densify",
        "A polygon that is straight on a map, with points added so that it is within some meters of that on Earth.",
    ),
    (
        f"geo_point_to_h3cell({_PLACE}, resolution: long = 6) -> string",
        "geo_h3.point_to_h3cell",
        "The token of the cell of H3 that a place is in.",
    ),
    ("geo_h3cell_to_central_point(h3cell: string) -> dynamic", "geo_h3.h3cell_to_central_point", "The middle of a cell of H3, as GeoJSON."),
    ("geo_h3cell_to_polygon(h3cell: string) -> dynamic", "geo_h3.h3cell_to_polygon", "The border of a cell of H3, as GeoJSON."),
    ("geo_h3cell_level(h3cell: string) -> int", "geo_h3.h3cell_level", "The resolution of a cell of H3."),
    ("geo_h3cell_parent(h3cell: string) -> string", "geo_h3.h3cell_parent", "The cell of H3 of one level less that a cell is in."),
    (
        "geo_h3cell_parent(h3cell: string, resolution: long) -> string",
        "geo_h3.h3cell_parent_at",
        "The coarser cell of H3 that a cell is in.",
    ),
    ("geo_h3cell_children(h3cell: string) -> dynamic", "geo_h3.h3cell_children", "The cells of H3 of one level more in a cell."),
    ("geo_h3cell_children(h3cell: string, resolution: long) -> dynamic", "geo_h3.h3cell_children_at", "The finer cells of H3 in a cell."),
    ("geo_h3cell_neighbors(h3cell: string) -> dynamic", "geo_h3.h3cell_neighbors", "The cells of H3 around a cell."),
    (
        "geo_h3cell_rings(h3cell: string, distance: long) -> dynamic",
        "geo_h3.h3cell_rings",
        "A cell of H3, and the rings of cells around it.",
    ),
)
for _signature, _path, _summary in _DECLARATIONS:
    scalar(_signature, None, _summary, python=_loaded_at_call(_path))

for _names, _why in (
    (
        "polygon_to_h3cells",
        "Kusto gives the cells in no order that is documented; put what you need into a column when data comes in",
    ),
    (
        """intersection_2lines intersection_2polygons intersection_line_with_polygon line_buffer line_simplify point_buffer polygon_buffer
        polygon_simplify simplify_polygons_array union_lines_array union_polygons_array""",
        "shapes that are computed from shapes are not supported; put what you need into a column when data comes in",
    ),
):
    REFUSED.update({f"geo_{name}": _why for name in _names.split()})
