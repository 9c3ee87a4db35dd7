"""Directions from places on a sphere, as angles clockwise.

Source: https://learn.microsoft.com/kusto/query/geo-azimuth-function and https://learn.microsoft.com/kusto/query/geo-angle-function
"""

from __future__ import annotations

from math import atan2, cos, pi, radians, sin

from forebay.telemetry.kql.functions.geo_sphere import angle, dot, is_valid, point_at

_SAME = 1e-15  # radians


def azimuth(longitude1: float | None, latitude1: float | None, longitude2: float | None, latitude2: float | None) -> float | None:
    """Radians in [0, 2 pi) from north to another place; None for one that is the same or opposite."""
    if not is_valid(longitude1, latitude1) or not is_valid(longitude2, latitude2):
        return None
    assert longitude1 is not None and latitude1 is not None, "is_valid() has seen to it"
    assert longitude2 is not None and latitude2 is not None, "is_valid() has seen to it"
    toward = point_at(longitude2, latitude2)
    if not _SAME < angle(point_at(longitude1, latitude1), toward) < pi - _SAME:
        return None
    theta, phi = radians(longitude1), radians(latitude1)
    east = (-sin(theta), cos(theta), 0.0)
    north = (-sin(phi) * cos(theta), -sin(phi) * sin(theta), cos(phi))
    return _turn(atan2(dot(toward, east), dot(toward, north)))


def angle_of(
    longitude1: float | None,
    latitude1: float | None,
    longitude2: float | None,
    latitude2: float | None,
    longitude3: float | None,
    latitude3: float | None,
) -> float | None:
    """Radians in [0, 2 pi) from the first of three places to the third, around the second."""
    first = azimuth(longitude2, latitude2, longitude1, latitude1)
    last = azimuth(longitude2, latitude2, longitude3, latitude3)
    return None if first is None or last is None else _turn(last - first)


def _turn(value: float) -> float:
    found = value % (2 * pi)
    return 0.0 if found == 2 * pi else found  # of a tiny negative value
