"""The cells of S2, of one level, that lines or polygons are in.

From each face down, a cell is kept where an edge meets it, or where it is inside. Source of what is answered:
https://learn.microsoft.com/kusto/query/geo-polygon-to-s2cells-function and https://learn.microsoft.com/kusto/query/geo-line-to-s2cells-function
"""

from __future__ import annotations

from typing import Any

from forebay.telemetry.kql.functions.geo_s2 import children, corners, descendants, face_cells, token
from forebay.telemetry.kql.functions.geo_shapes import Edge, Polygon, edges_of, lines_of, polygons_of
from forebay.telemetry.kql.functions.geo_sphere import Point, dot, interpolate, normal, plus, unit

_DEEPEST = 30
_MOST_CELLS = 65_536
_NEARLY_NONE = 1e-15


def line_to_s2cells(line: Any, level: int | None) -> list[str] | None:
    """The cells of a level that lines go through, along the curve of cells; None for more than 65536."""
    lines = lines_of(line)
    return None if lines is None else _covering([edge for each in lines for edge in edges_of(each)], [], level)


def polygon_to_s2cells(polygon: Any, level: int | None) -> list[str] | None:
    """The cells of a level that have a point of polygons, along the curve of cells; None for more than 65536."""
    polygons = polygons_of(polygon)
    return None if polygons is None else _covering([edge for each in polygons for edge in each.edges()], polygons, level)


def _covering(edges: list[Edge], polygons: list[Polygon], level: int | None) -> list[str] | None:
    if level is None or not 0 <= level <= _DEEPEST:
        return None
    short = [half for edge in edges for half in _halves(edge)]
    found: list[int] = []
    on_border = [(cell, [(a, b, normal(a, b)) for a, b in short]) for cell in face_cells()]
    for depth in range(level + 1):
        met = []
        for cell, edges_near in on_border:
            ring = corners(cell)
            near = _meeting(ring, edges_near)
            if near:
                met.append((cell, near))
            elif any(polygon.has(unit(plus(ring[0], ring[2]))) for polygon in polygons):
                inside = descendants(cell, level - depth)
                if len(found) + len(inside) > _MOST_CELLS:
                    return None
                found += inside
        if len(found) + len(met) > _MOST_CELLS:
            return None
        on_border = [(child, near) for cell, near in met for child in children(cell)] if depth < level else met
    return [token(cell) for cell in sorted([*found, *(cell for cell, _ in on_border)])]


def _halves(edge: Edge) -> list[Edge]:
    """Edges short enough to be straight lines on a map of any face that they may meet."""
    a, b = edge
    if dot(a, b) > 0.7:
        return [edge]
    middle = interpolate(a, b, 0.5)
    return [*_halves((a, middle)), *_halves((middle, b))]


def _meeting(ring: list[Point], edges: list[tuple[Point, Point, Point]]) -> list[tuple[Point, Point, Point]]:
    """The edges that have a point in common with a convex ring: nothing separates the two, neither a side nor the edge itself."""
    sides = [normal(a, b) for a, b in edges_of(ring, is_closed=True)]
    middle = plus(ring[0], ring[2])
    kept = []
    for edge in edges:
        a, b, across = edge
        if dot(a, middle) < 0 and dot(b, middle) < 0:
            continue
        if any(dot(a, side) < -_NEARLY_NONE and dot(b, side) < -_NEARLY_NONE for side in sides):
            continue
        heights = [dot(corner, across) for corner in ring]
        if min(heights) <= _NEARLY_NONE and max(heights) >= -_NEARLY_NONE:
            kept.append(edge)
    return kept
