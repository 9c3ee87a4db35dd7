"""Cells of S2: faces of a cube around the sphere, each divided into four again and again along a Hilbert curve.

A cell's id has 64 bits: 3 of its face, 2 for each level, a 1, and zeros; its token is that in hexadecimal without zeros at the end.
Source: https://s2geometry.io/devguide/s2cell_hierarchy; what Kusto takes: https://learn.microsoft.com/kusto/query/geo-point-to-s2cell-function
"""

from __future__ import annotations

from math import sqrt
from typing import Any

from forebay.telemetry.kql.functions.geo_sphere import Point, degrees_of, is_valid, point_at, unit

_DEEPEST = 30
_SIZE = 1 << _DEEPEST  # leaf cells along an edge of a face
_FACES = 6
_BEYOND = 1 + 2**-52  # just outside of a face that ends at 1
_LONGEST_TOKEN = 16

# of each orientation (1: axes swapped, 2: axes reversed): the place (2 * i + j) of each part of the curve, and how its orientation changes
_PLACES = ((0, 1, 3, 2), (0, 2, 3, 1), (3, 2, 0, 1), (3, 1, 0, 2))
_PARTS = tuple(tuple(places.index(place) for place in range(4)) for places in _PLACES)
_TURNS = (1, 0, 0, 3)


def point_to_s2cell(longitude: float | None, latitude: float | None, level: int | None) -> str:
    """The token of the cell of a level (0 to 30) that a place is in; '' where there is none."""
    if level is None or not 0 <= level <= _DEEPEST or not is_valid(longitude, latitude):
        return ""
    assert longitude is not None and latitude is not None, "is_valid() has seen to it"
    face, u, v = _face_of(point_at(longitude, latitude))
    return token(_cell(face, _along(u), _along(v), level))


def s2cell_to_central_point(s2cell: str | None) -> dict[str, Any] | None:
    """The middle of a cell as GeoJSON; None for what is no token."""
    cell = parse(s2cell or "")
    if cell is None:
        return None
    face, i, j, size = _square(cell)
    return {"type": "Point", "coordinates": degrees_of(_at(face, 2 * i + size, 2 * j + size))}


def s2cell_to_polygon(s2cell: str | None) -> dict[str, Any] | None:
    """The four vertices of a cell as GeoJSON, counterclockwise; None for what is no token."""
    cell = parse(s2cell or "")
    if cell is None:
        return None
    ring = [degrees_of(corner) for corner in corners(cell)]
    return {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}


def face_cells() -> list[int]:
    """The six cells of level 0."""
    return [(2 * face + 1) << (2 * _DEEPEST) for face in range(_FACES)]


def children(cell: int) -> list[int]:
    """The four cells of the next level in a cell, along the curve."""
    last = cell & -cell
    return [cell - last + (2 * place + 1) * (last >> 2) for place in range(4)]


def descendants(cell: int, levels: int) -> range:
    """The cells of so many levels more in a cell, along the curve."""
    last = cell & -cell
    step = last >> (2 * levels)
    return range(cell - last + step, cell + last, 2 * step)


def corners(cell: int) -> list[Point]:
    """The vertices of a cell, counterclockwise."""
    face, i, j, size = _square(cell)
    return [unit(_at(face, 2 * (i + right * size), 2 * (j + up * size))) for right, up in ((0, 0), (1, 0), (1, 1), (0, 1))]


def cells_around(cell: int) -> list[int]:
    """Eight cells of the same level that share a side or a corner with a cell; at a corner of the cube, one of them comes twice."""
    face, i, j, size = _square(cell)
    level = _DEEPEST - size.bit_length() + 1
    steps = ((-1, -1), (1, -1), (0, -1), (0, 1), (-1, 0), (1, 0), (-1, 1), (1, 1))
    return [_cell(*_wrapped(face, i + right * size, j + up * size), level) for right, up in steps]


def _wrapped(face: int, i: int, j: int) -> tuple[int, int, int]:
    """The face and place of a leaf cell that may be beyond the edge of its face."""
    if 0 <= i < _SIZE and 0 <= j < _SIZE:
        return face, i, j
    u, v = (max(-_BEYOND, min(_BEYOND, (2 * each + 1 - _SIZE) / _SIZE)) for each in (i, j))
    face, u, v = _face_of(_direction(face, u, v))
    return face, *(max(0, min(_SIZE - 1, int(_SIZE * 0.5 * (each + 1)))) for each in (u, v))  # type: ignore[return-value]


def token(cell: int) -> str:
    """The text of a cell's id."""
    return f"{cell:016x}".rstrip("0")


def _face_of(point: Point) -> tuple[int, float, float]:
    x, y, z = point
    axis = max(range(3), key=lambda each: (abs(point[each]), each))
    face = axis if point[axis] >= 0 else axis + 3
    right, up = ((y, z), (-x, z), (-x, -y), (z, y), (z, -x), (-y, -x))[face]
    return face, right / point[axis], up / point[axis]


def _direction(face: int, u: float, v: float) -> Point:
    return ((1.0, u, v), (-u, 1.0, v), (-u, -v, 1.0), (-1.0, -v, -u), (v, -1.0, -u), (v, u, -1.0))[face]


def _along(u: float) -> int:
    """The leaf cell along an axis of a face: cells are made more equal by a quadratic transform."""
    s = 0.5 * sqrt(1 + 3 * u) if u >= 0 else 1 - 0.5 * sqrt(1 - 3 * u)
    return max(0, min(_SIZE - 1, int(_SIZE * s)))


def _at(face: int, twice_i: int, twice_j: int) -> Point:
    def transformed(twice: int) -> float:
        s = twice / (2 * _SIZE)
        return (1 / 3) * (4 * s * s - 1) if s >= 0.5 else (1 / 3) * (1 - 4 * (1 - s) * (1 - s))  # rounds as S2 does

    return _direction(face, transformed(twice_i), transformed(twice_j))


def _cell(face: int, i: int, j: int, level: int) -> int:
    cell = face
    orientation = face & 1
    for depth in range(_DEEPEST - 1, _DEEPEST - 1 - level, -1):
        part = _PARTS[orientation][2 * (i >> depth & 1) + (j >> depth & 1)]
        cell = cell << 2 | part
        orientation ^= _TURNS[part]
    return (cell << 1 | 1) << (2 * (_DEEPEST - level))


def _square(cell: int) -> tuple[int, int, int, int]:
    """The face of a cell, the leaf cell (i, j) at its corner, and how many leaf cells long its edge is."""
    unused = ((cell & -cell).bit_length() - 1) // 2
    level = _DEEPEST - unused
    face = cell >> 61
    orientation = face & 1
    i = j = 0
    for depth in range(level):
        part = cell >> (2 * (_DEEPEST - depth) - 1) & 3
        place = _PLACES[orientation][part]
        i, j = i << 1 | place >> 1, j << 1 | place & 1
        orientation ^= _TURNS[part]
    return face, i << unused, j << unused, 1 << unused


def parse(text: str) -> int | None:
    """The id of a cell; None for what is no token."""
    if not 1 <= len(text) <= _LONGEST_TOKEN or not set(text) <= set("0123456789abcdefABCDEF"):
        return None
    cell = int(text.ljust(_LONGEST_TOKEN, "0"), 16)
    is_cell = cell >> 61 < _FACES and bool((cell & -cell) & 0x1555555555555555)
    return cell if is_cell else None
