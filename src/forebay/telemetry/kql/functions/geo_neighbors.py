"""The cells around a geohash or a cell of S2.

Kusto gives them in the order of a set of texts: that of GNU's C++ library, of 11 buckets, by a hash of MurmurHash2's kind; geohashes come
into it along a ring, cells as the S2 library names them. Source of the hash: https://en.wikipedia.org/wiki/MurmurHash (MurmurHash64A)
"""

from __future__ import annotations

from forebay.telemetry.kql.functions.geo_hash import point_to_geohash, rectangle
from forebay.telemetry.kql.functions.geo_s2 import cells_around, parse, token

_BUCKETS = 11
_SEED, _FACTOR, _MASK = 0xC70F6907, 0xC6A4A7935BD1E995, (1 << 64) - 1

# steps east and north, from the north-west clockwise
_RING = ((-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0))


def geohash_neighbors(geohash: str | None) -> list[str] | None:
    """The geohashes around one, also across the antimeridian; fewer at the poles. None for what is no geohash."""
    text = geohash or ""
    found = rectangle(text)
    if found is None:
        return None
    west, south, east, north = found
    width, height = east - west, north - south
    around = []
    for right, up in _RING:
        longitude, latitude = (west + east) / 2 + right * width, (south + north) / 2 + up * height
        if -90 < latitude < 90:
            around.append(
                point_to_geohash(
                    longitude - 360 if longitude > 180 else longitude + 360 if longitude < -180 else longitude, latitude, len(text)
                )
            )
    return _as_a_set(around)


def s2cell_neighbors(s2cell: str | None) -> list[str] | None:
    """The cells of S2 of the same level around one; None for what is no token."""
    cell = parse(s2cell or "")
    return None if cell is None else _as_a_set([token(each) for each in cells_around(cell)])


def _as_a_set(texts: list[str]) -> list[str]:
    """Each text once; the bucket that was first used comes last, and so does in a bucket what came first."""
    buckets: dict[int, dict[str, None]] = {}
    for text in texts:
        buckets.setdefault(_hash(text.encode()) % _BUCKETS, {})[text] = None
    return [text for bucket in reversed(buckets.values()) for text in reversed(bucket)]


def _hash(data: bytes) -> int:
    value = _SEED ^ (len(data) * _FACTOR & _MASK)
    whole = len(data) & ~7
    for start in range(0, whole, 8):
        block = _mixed(int.from_bytes(data[start : start + 8], "little") * _FACTOR & _MASK) * _FACTOR & _MASK
        value = (value ^ block) * _FACTOR & _MASK
    if len(data) > whole:
        value = (value ^ int.from_bytes(data[whole:], "little")) * _FACTOR & _MASK
    return _mixed(_mixed(value) * _FACTOR & _MASK)


def _mixed(value: int) -> int:
    return value ^ value >> 47
