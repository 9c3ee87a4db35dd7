"""What queries ask about where they run, and about what only a cluster of Kusto has: refused by name, but for sizes."""

from __future__ import annotations

from forebay.telemetry.kql.functions.argument import Argument
from forebay.telemetry.kql.functions.registry import REFUSED, scalar
from forebay.telemetry.kql.functions.text_values import text_of

_SIZES = {"bool": 1, "int": 4, "long": 8, "real": 8, "datetime": 8, "timespan": 8, "decimal": 16, "guid": 16}


def _estimate_data_size(*columns: Argument) -> str:
    fixed = sum(_SIZES.get(column.type, 0) for column in columns)
    texts = [f"strlen({text_of(column)})" for column in columns if column.type not in _SIZES]
    return " + ".join([*texts, str(fixed)] if fixed or not texts else texts)


scalar(
    "estimate_data_size(columns: any...) -> long",
    _estimate_data_size,
    "The estimated size in bytes of values.",
    nulls="never",
    approximate="an estimate, as Kusto's: of dynamic values it is the length of their JSON",
)

_ONE_STORE = "there is one database here, and no cluster"
_NO_PRINCIPAL = "a query does not know who asks it"
_NO_EXTENTS = "data is not kept in extents here"
_NO_CURSORS = "there are no database cursors here; filter by timestamp"
REFUSED.update(
    {
        "current_cluster_endpoint": _ONE_STORE,
        "current_database": _ONE_STORE,
        "current_node_id": _ONE_STORE,
        "current_principal": _NO_PRINCIPAL,
        "current_principal_details": _NO_PRINCIPAL,
        "current_principal_is_member_of": _NO_PRINCIPAL,
        "cursor_after": _NO_CURSORS,
        "cursor_before_or_at": _NO_CURSORS,
        "cursor_current": _NO_CURSORS,
        "current_cursor": _NO_CURSORS,
        "extent_id": _NO_EXTENTS,
        "extentid": _NO_EXTENTS,
        "extent_tags": _NO_EXTENTS,
        "row_id": _NO_EXTENTS,
        "ingestion_time": "when a row came in is not a column here; use timestamp",
        "weekofyear": "it counts weeks from the first Wednesday of a year and is obsolete; use week_of_year(), which follows ISO 8601",
    }
)

_GEO = """
angle azimuth closest_point_on_line closest_point_on_polygon distance_2points distance_point_to_line distance_point_to_polygon from_wkt
geohash_neighbors geohash_to_central_point geohash_to_polygon h3cell_children h3cell_level h3cell_neighbors h3cell_parent h3cell_rings
h3cell_to_central_point h3cell_to_polygon intersection_2lines intersection_2polygons intersection_line_with_polygon intersects_2lines
intersects_2polygons intersects_line_with_polygon line_buffer line_centroid line_densify line_interpolate_point line_length
line_locate_point line_simplify line_to_s2cells point_buffer point_in_circle point_in_polygon point_to_geohash point_to_h3cell
point_to_s2cell polygon_area polygon_buffer polygon_centroid polygon_densify polygon_perimeter polygon_simplify polygon_to_h3cells
polygon_to_s2cells s2cell_neighbors s2cell_to_central_point s2cell_to_polygon simplify_polygons_array union_lines_array
union_polygons_array
"""
REFUSED.update({f"geo_{name}": "geography is not supported; put what you need into a column when data comes in" for name in _GEO.split()})
