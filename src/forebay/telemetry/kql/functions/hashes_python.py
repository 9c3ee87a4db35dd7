"""The hash function XXH64 with seed 0, of the bytes that Kusto hashes for a value.

Source: https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md. That a datetime is hashed as its ticks in 8 bytes, and a text as
UTF-8, follows from the results in https://learn.microsoft.com/kusto/query/hash-function.
"""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from struct import Struct

_MASK = (1 << 64) - 1
_PRIME_1 = 0x9E3779B185EBCA87
_PRIME_2 = 0xC2B2AE3D27D4EB4F
_PRIME_3 = 0x165667B19E3779F9
_PRIME_4 = 0x85EBCA77C2B2AE63
_PRIME_5 = 0x27D4EB2F165667C5
_STRIPE = Struct("<4Q")
_LANE = Struct("<Q")
_HALF_LANE = Struct("<I")
_LONG = Struct("<q")
_DOUBLE = Struct("<d")
_YEAR_1 = datetime(1, 1, 1)  # noqa: DTZ001 - as all datetimes here, UTC without saying so


def _round(accumulator: int, lane: int) -> int:
    mixed = (accumulator + lane * _PRIME_2) & _MASK
    return (mixed << 31 | mixed >> 33) * _PRIME_1 & _MASK


def xxh64(data: bytes) -> int:
    """The hash of bytes, as a signed number of 64 bits."""
    length = len(data)
    at = 0
    if length >= 32:
        one, two, three, four = (_PRIME_1 + _PRIME_2) & _MASK, _PRIME_2, 0, -_PRIME_1 & _MASK
        for at in range(0, length - 31, 32):
            first, second, third, fourth = _STRIPE.unpack_from(data, at)
            one, two, three, four = _round(one, first), _round(two, second), _round(three, third), _round(four, fourth)
        at += 32
        result = ((one << 1 | one >> 63) + (two << 7 | two >> 57) + (three << 12 | three >> 52) + (four << 18 | four >> 46)) & _MASK
        for accumulator in (one, two, three, four):
            result = ((result ^ _round(0, accumulator)) * _PRIME_1 + _PRIME_4) & _MASK
    else:
        result = _PRIME_5
    result = (result + length) & _MASK
    while at + 8 <= length:
        result ^= _round(0, _LANE.unpack_from(data, at)[0])
        result = ((result << 27 | result >> 37) * _PRIME_1 + _PRIME_4) & _MASK
        at += 8
    if at + 4 <= length:
        result ^= _HALF_LANE.unpack_from(data, at)[0] * _PRIME_1 & _MASK
        result = ((result << 23 | result >> 41) * _PRIME_2 + _PRIME_3) & _MASK
        at += 4
    for byte in data[at:]:
        result ^= byte * _PRIME_5 & _MASK
        result = (result << 11 | result >> 53) * _PRIME_1 & _MASK
    result = (result ^ result >> 33) * _PRIME_2 & _MASK
    result = (result ^ result >> 29) * _PRIME_3 & _MASK
    result ^= result >> 32
    return result - (1 << 64) if result >> 63 else result


@lru_cache(maxsize=65536)
def _of_short_text(text: str) -> int:
    return xxh64(text.encode("utf-8", "surrogatepass"))


def hash_text(text: str | None, modulus: int | None) -> int | None:
    """The hash of a text, or what remains of it."""
    text = text or ""
    return _remainder(_of_short_text(text) if len(text) <= 64 else xxh64(text.encode("utf-8", "surrogatepass")), modulus)


def hash_datetime(moment: datetime | None, modulus: int | None) -> int | None:
    """The hash of a datetime: of its ticks of 100 ns since year 1."""
    if moment is None:
        return None
    since = moment - _YEAR_1
    return _remainder(xxh64(_LONG.pack(((since.days * 86400 + since.seconds) * 1_000_000 + since.microseconds) * 10)), modulus)


def hash_integer(number: int | None, modulus: int | None) -> int | None:
    """The hash of a number, or of a timespan, in 8 bytes."""
    return None if number is None else _remainder(xxh64(_LONG.pack(number)), modulus)


def hash_real(number: float | None, modulus: int | None) -> int | None:
    """The hash of the 8 bytes of a real number."""
    return None if number is None else _remainder(xxh64(_DOUBLE.pack(number)), modulus)


def _remainder(result: int, modulus: int | None) -> int | None:
    if modulus is None:
        return result
    return (result & _MASK) % modulus if modulus > 0 else None
