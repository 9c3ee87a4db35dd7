"""Geohashes: rectangles of longitude and latitude, halved in turns.

Source: https://en.wikipedia.org/wiki/Geohash; what Kusto takes: https://learn.microsoft.com/kusto/query/geo-point-to-geohash-function
"""

from __future__ import annotations

from typing import Any

from forebay.telemetry.kql.functions.geo_sphere import is_valid

_DIGITS = "0123456789bcdefghjkmnpqrstuvwxyz"
_VALUES = {digit: value for value, digit in enumerate(_DIGITS)}
_LONGEST = 18

Rectangle = tuple[float, float, float, float]  # west, south, east, north


def point_to_geohash(longitude: float | None, latitude: float | None, accuracy: int | None) -> str:
    """The geohash of so many characters (1 to 18) that a place is in; '' where there is none."""
    if accuracy is None or not 1 <= accuracy <= _LONGEST or not is_valid(longitude, latitude):
        return ""
    assert longitude is not None and latitude is not None, "is_valid() has seen to it"
    low, high, place = [-180.0, -90.0], [180.0, 90.0], (longitude, latitude)
    digits = []
    axis = 0
    for _ in range(accuracy):
        value = 0
        for _ in range(5):
            middle = (low[axis] + high[axis]) / 2
            is_upper = place[axis] >= middle
            (low if is_upper else high)[axis] = middle
            value = value * 2 + is_upper
            axis = 1 - axis
        digits.append(_DIGITS[value])
    return "".join(digits)


def geohash_to_central_point(geohash: str | None) -> dict[str, Any] | None:
    """The middle of a geohash as GeoJSON; None for what is none."""
    found = rectangle(geohash or "")
    if found is None:
        return None
    west, south, east, north = found
    return {"type": "Point", "coordinates": [(west + east) / 2, (south + north) / 2]}


def geohash_to_polygon(geohash: str | None) -> dict[str, Any] | None:
    """The rectangle of a geohash as GeoJSON; None for what is none."""
    found = rectangle(geohash or "")
    if found is None:
        return None
    west, south, east, north = found
    return {"type": "Polygon", "coordinates": [[[west, south], [east, south], [east, north], [west, north], [west, south]]]}


def rectangle(geohash: str) -> Rectangle | None:
    """Where a geohash ends in each direction; None for what is none."""
    if not 1 <= len(geohash) <= _LONGEST or not set(geohash) <= _VALUES.keys():
        return None
    low, high = [-180.0, -90.0], [180.0, 90.0]
    axis = 0
    for digit in geohash:
        for bit in (16, 8, 4, 2, 1):
            (low if _VALUES[digit] & bit else high)[axis] = (low[axis] + high[axis]) / 2
            axis = 1 - axis
    return low[0], low[1], high[0], high[1]
