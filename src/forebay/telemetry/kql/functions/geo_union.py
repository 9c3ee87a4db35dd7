"""The border of several polygons together: of each only what is outside of all others.

Edges are cut where they cross, and at vertices of other polygons that are on them; of what several have in common, one is kept where they
are on the same side of it, none where they are on different sides.
"""

from __future__ import annotations

from itertools import chain

from forebay.telemetry.kql.functions.geo_shapes import Edge, Polygon, edges_of, near_pairs
from forebay.telemetry.kql.functions.geo_sphere import Point, angle, closest_on_edge, cross, crossing, dot, minus, normal, plus, unit

_TOUCHING = 4e-15  # radians: what rounding makes of a point on an edge


def union_of(polygons: list[Polygon]) -> list[list[Edge]]:
    """Edges with the inside on their left, a list for polygons that touch each other; [] where there are too many to compare."""
    if len(polygons) == 1:
        return [list(polygons[0].edges())]
    owned = [(edge, place) for place, polygon in enumerate(polygons) for edge in polygon.edges()]
    groups = list(range(len(polygons)))
    cuts: dict[tuple[int, Edge], list[Point]] = {}
    try:
        for (one, first), (other, second) in near_pairs(owned):
            found = _contacts(one, other) if first != second else None
            if found is not None:
                groups = [groups[second] if each == groups[first] else each for each in groups]
                cuts.setdefault((first, one), []).extend(found[0])
                cuts.setdefault((second, other), []).extend(found[1])
    except OverflowError:
        return []
    borders = [
        [_pieces(border, {edge: cuts.get((place, edge), []) for edge in edges_of(border, is_closed=True)}) for border in polygon.borders()]
        for place, polygon in enumerate(polygons)
    ]
    touched = _touched(borders)
    owners: dict[Edge, list[int]] = {}
    for place, pieces in enumerate(borders):
        for piece in chain.from_iterable(pieces):
            owners.setdefault(piece, []).append(place)
    kept: dict[int, list[Edge]] = {}
    for place, pieces in enumerate(borders):
        edges = kept.setdefault(groups[place], [])
        for border in pieces:
            is_outside: bool | None = None
            for piece in border:
                start, end = piece
                own = owners[piece]
                if (end, start) in owners or own[0] != place:
                    is_outside = None
                    continue
                if is_outside is None or start in touched or len(own) > 1:
                    middle = unit(plus(start, end))
                    is_outside = not any(other not in own and each.has(middle) for other, each in enumerate(polygons))
                if is_outside:
                    edges.append(piece)
    return list(kept.values())


def _contacts(one: Edge, other: Edge) -> tuple[list[Point], list[Point]] | None:
    """Where two edges have to be cut; None for edges that have no point in common."""
    cuts = [point for point in other if _is_on(point, one)], [point for point in one if _is_on(point, other)]
    if cuts[0] or cuts[1]:
        return cuts
    if crossing(*one, *other) <= 0:
        return None
    found = unit(cross(normal(*one), normal(*other)))
    meeting = found if dot(found, plus(*one)) > 0 else minus((0.0, 0.0, 0.0), found)
    return [meeting], [meeting]


def _is_on(point: Point, edge: Edge) -> bool:
    across = normal(*edge)
    away = dot(point, across)
    return away * away <= _TOUCHING * _TOUCHING * dot(across, across) and closest_on_edge(point, *edge)[0] <= _TOUCHING


def _pieces(border: list[Point], cuts: dict[Edge, list[Point]]) -> list[Edge]:
    pieces: list[Edge] = []
    for edge in edges_of(border, is_closed=True):
        start, end = edge
        inner = sorted((angle(start, cut), cut) for cut in cuts[edge] if cut not in edge)
        pieces += [piece for piece in edges_of([start, *(cut for _, cut in inner), end]) if piece[0] != piece[1]]
    return pieces


def _touched(borders: list[list[list[Edge]]]) -> set[Point]:
    """Where pieces of several polygons begin."""
    owners: dict[Point, int] = {}
    touched = set()
    for place, pieces in enumerate(borders):
        for start, _ in chain.from_iterable(pieces):
            if owners.setdefault(start, place) != place:
                touched.add(start)
    return touched
