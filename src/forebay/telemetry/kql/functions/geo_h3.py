"""Cells of H3: hexagons on a sphere, with the library `h3`.

What Kusto takes: https://learn.microsoft.com/kusto/query/geo-point-to-h3cell-function and the pages of the others
"""

from __future__ import annotations

from typing import Any

from forebay.telemetry.kql.functions.geo_sphere import is_valid

_FINEST = 15
_MOST_LEVELS = 5  # from a cell to its children
_FARTHEST = 142


def point_to_h3cell(longitude: float | None, latitude: float | None, resolution: int | None) -> str:
    """The cell of a resolution (0 to 15) that a place is in; '' where there is none."""
    import h3  # type: ignore[import-untyped]

    if resolution is None or not 0 <= resolution <= _FINEST or not is_valid(longitude, latitude):
        return ""
    return str(h3.latlng_to_cell(latitude, longitude, resolution))


def h3cell_to_central_point(cell: str | None) -> dict[str, Any] | None:
    """The middle of a cell as GeoJSON."""
    import h3

    if not _is_cell(cell):
        return None
    latitude, longitude = h3.cell_to_latlng(cell)
    return {"type": "Point", "coordinates": [longitude, latitude]}


def h3cell_to_polygon(cell: str | None) -> dict[str, Any] | None:
    """The border of a cell as GeoJSON."""
    import h3

    if not _is_cell(cell):
        return None
    ring = [[longitude, latitude] for latitude, longitude in h3.cell_to_boundary(cell)]
    return {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}


def h3cell_level(cell: str | None) -> int | None:
    """The resolution of a cell."""
    import h3

    return int(h3.get_resolution(cell)) if _is_cell(cell) else None


def h3cell_parent(cell: str | None) -> str:
    """The cell of one level less that a cell is in; '' where there is none."""
    level = h3cell_level(cell)
    return "" if level is None else h3cell_parent_at(cell, level - 1)


def h3cell_parent_at(cell: str | None, resolution: int | None) -> str:
    """The cell of a coarser resolution (0 to 14) that a cell is in; '' where there is none."""
    import h3

    level = h3cell_level(cell)
    if level is None or resolution is None or not 0 <= resolution <= min(level, _FINEST - 1):
        return ""
    return str(h3.cell_to_parent(cell, resolution))


def h3cell_children(cell: str | None) -> list[str] | None:
    """The cells of one level more in a cell."""
    level = h3cell_level(cell)
    return None if level is None else h3cell_children_at(cell, level + 1)


def h3cell_children_at(cell: str | None, resolution: int | None) -> list[str] | None:
    """The cells of a finer resolution (1 to 15, at most five levels more) in a cell."""
    import h3

    level = h3cell_level(cell)
    if level is None or resolution is None or not max(1, level) <= resolution <= min(_FINEST, level + _MOST_LEVELS):
        return None
    return list(h3.cell_to_children(cell, resolution))


def h3cell_neighbors(cell: str | None) -> list[str] | None:
    """The cells around a cell."""
    rings = h3cell_rings(cell, 1)
    return None if rings is None else rings[1]


def h3cell_rings(cell: str | None, distance: int | None) -> list[list[str]] | None:
    """A cell, the cells around it, the cells around those, and so on, to a distance of at most 142."""
    import h3

    if distance is None or not 0 <= distance <= _FARTHEST or not _is_cell(cell):
        return None
    disk = list(h3.grid_disk(cell, distance))
    if not any(h3.is_pentagon(each) for each in disk):  # they come ring by ring
        return [
            disk[3 * radius * (radius - 1) + 1 : 3 * radius * (radius + 1) + 1] if radius else disk[:1] for radius in range(distance + 1)
        ]
    rings: list[list[str]] = []
    known: set[str] = set()
    for radius in range(distance + 1):
        rings.append([each for each in h3.grid_disk(cell, radius) if each not in known])
        known.update(rings[-1])
    return rings


def _is_cell(cell: str | None) -> bool:
    import h3

    return bool(cell) and bool(h3.is_valid_cell(cell))
