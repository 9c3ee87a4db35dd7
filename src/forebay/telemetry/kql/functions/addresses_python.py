"""Addresses of IPv4 and IPv6 as numbers with a prefix, and what the functions of `addresses.py` say of them.

An IPv4 address within IPv6 is `::ffff:a.b.c.d`; a prefix of IPv4 counts from there, 96 bits later.
Source: https://learn.microsoft.com/kusto/query/ipv4-compare-function, .../ipv6-compare-function.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

_LONGEST = 64  # characters of an address with its prefix, and more
_MAPPED = 0xFFFF << 32
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = re.compile(rf"({_OCTET})\.({_OCTET})\.({_OCTET})\.({_OCTET})(?:/([0-9]{{1,2}}))?")
_BEFORE_IPV4 = re.compile("^::(?:ffff:)?", re.IGNORECASE)
_IPV4_ALONE = re.compile(rf"{_OCTET}\.{_OCTET}\.{_OCTET}\.{_OCTET}")
_IPV4_PREFIX = re.compile(rf"{_IPV4_ALONE.pattern}|(?:{_OCTET}\.){{1,3}}")

Address = tuple[int, int]  # with the bits after the prefix still there, and the prefix


@lru_cache(maxsize=65536)
def _parse4(text: str) -> Address | None:
    match = _IPV4.fullmatch(text)
    if match is None:
        return None
    first, second, third, fourth, prefix = match.groups()
    bits = 32 if prefix is None else int(prefix)
    return (int(first) << 24 | int(second) << 16 | int(third) << 8 | int(fourth), bits) if bits <= 32 else None


@lru_cache(maxsize=65536)
def _parse6(text: str) -> Address | None:
    from ipaddress import AddressValueError, IPv6Address

    address, slash, prefix = text.partition("/")
    if slash and not (prefix.isdecimal() and prefix.isascii() and len(prefix) <= 3):
        return None
    four = _parse4(_BEFORE_IPV4.sub("", address))
    if four is not None:
        bits = int(prefix) if slash else 32
        return (_MAPPED | four[0], 96 + bits) if bits <= 32 else None
    if "%" in address:
        return None
    try:
        number = int(IPv6Address(address))
    except AddressValueError:
        return None
    bits = int(prefix) if slash else 128
    return (number, bits) if bits <= 128 else None


def _read(text: Any, width: int) -> Address | None:
    if not isinstance(text, str) or not 2 <= len(text) <= _LONGEST:
        return None
    return _parse4(text) if width == 32 else _parse6(text)


def _network(address: Address | None, prefix: int | None, width: int) -> int | None:
    """The number with all bits after the shorter prefix 0."""
    if address is None or prefix is None or not 0 <= prefix <= width:
        return None
    rest = width - min(address[1], prefix)
    return address[0] >> rest << rest


def _compare(left: str, right: str, prefix: int | None, width: int) -> int | None:
    first, second = _read(left, width), _read(right, width)
    if first is None or second is None or prefix is None or not 0 <= prefix <= width:
        return None
    rest = width - min(first[1], second[1], prefix)
    one, other = first[0] >> rest, second[0] >> rest
    return (one > other) - (one < other)


def _is_in(address: Address | None, range: str, width: int) -> bool | None:
    network = _read(range, width)
    if address is None or network is None:
        return None
    return _network(address, network[1], width) == _network(network, network[1], width)


def _is_in_any(text: str, ranges: Any, width: int) -> bool | None:
    address = _read(text, width)
    if address is None or not isinstance(ranges, list):
        return None
    return any(_is_in(address, range, width) for range in ranges)


def parse_ipv4(ip: str) -> int | None:
    """The number of an address, or of the network of an address with a prefix."""
    return _network(_read(ip, 32), 32, 32)


def parse_ipv4_mask(ip: str, prefix: int | None) -> int | None:
    """The number of the network of an address."""
    return _network(_read(ip, 32), prefix, 32)


def ipv4_compare(ip1: str, ip2: str, prefix: int | None) -> int | None:
    """-1, 0 or 1."""
    return _compare(ip1, ip2, prefix, 32)


def ipv4_is_match(ip1: str, ip2: str, prefix: int | None) -> bool | None:
    """Whether both are of one network."""
    found = _compare(ip1, ip2, prefix, 32)
    return None if found is None else found == 0


def ipv4_is_in_range(ip: str, range: str) -> bool | None:
    """Whether an address is of a network."""
    return _is_in(_read(ip, 32), range, 32)


def ipv4_is_in_any_range(ip: str, ranges: Any) -> bool | None:
    """Whether an address is of one of some networks."""
    return _is_in_any(ip, ranges, 32)


def ipv4_is_private(ip: str) -> bool | None:
    """Whether an address is of a network for private use: 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 (RFC 1918)."""
    number = parse_ipv4(ip)
    return None if number is None else number >> 24 == 10 or number >> 20 == 0xAC1 or number >> 16 == 0xC0A8


def ipv4_netmask_suffix(ip: str) -> int | None:
    """The prefix of an address; 32 where none is written."""
    address = _read(ip, 32)
    return None if address is None else address[1]


def format_ipv4(ip: str | int | None, prefix: int | None) -> str:
    """The text of the network of an address; '' where there is none."""
    network = _network(_number_or_text(ip), prefix, 32)
    return "" if network is None else _text4(network)


def format_ipv4_mask(ip: str | int | None, prefix: int | None) -> str:
    """The same, with the prefix."""
    address = _number_or_text(ip)
    network = _network(address, prefix, 32)
    return "" if network is None or address is None or prefix is None else f"{_text4(network)}/{min(address[1], prefix)}"


def ipv4_range_to_cidr_list(start_ip: str, end_ip: str) -> list[str] | None:
    """The fewest networks that have all addresses from one to another."""
    first, last = parse_ipv4(start_ip), parse_ipv4(end_ip)
    if first is None or last is None:
        return None
    networks = []
    while first <= last:
        size = min(first & -first or 1 << 32, 1 << (last - first + 1).bit_length() - 1)
        networks.append(f"{_text4(first)}/{33 - size.bit_length()}")
        first += size
    return networks


def parse_ipv6(ip: str) -> str:
    """The full text of an address of IPv6 or IPv4, or of the network of one with a prefix; '' where there is none."""
    return parse_ipv6_mask(ip, 128)


def parse_ipv6_mask(ip: str, prefix: int | None) -> str:
    """The full text of the network of an address."""
    network = _network(_read(ip, 128), prefix, 128)
    return "" if network is None else ":".join(f"{network >> shift & 0xFFFF:04x}" for shift in range(112, -1, -16))


def ipv6_compare(ip1: str, ip2: str, prefix: int | None) -> int | None:
    """-1, 0 or 1."""
    return _compare(ip1, ip2, prefix, 128)


def ipv6_is_match(ip1: str, ip2: str, prefix: int | None) -> bool | None:
    """Whether both are of one network."""
    found = _compare(ip1, ip2, prefix, 128)
    return None if found is None else found == 0


def ipv6_is_in_range(ip: str, range: str) -> bool | None:
    """Whether an address is of a network."""
    return _is_in(_read(ip, 128), range, 128)


def ipv6_is_in_any_range(ip: str, ranges: Any) -> bool | None:
    """Whether an address is of one of some networks."""
    return _is_in_any(ip, ranges, 128)


def _number_or_text(ip: str | int | None) -> Address | None:
    if isinstance(ip, int):
        return (ip, 32) if 0 <= ip < 1 << 32 else None
    return _read(ip, 32)


def _text4(number: int) -> str:
    return f"{number >> 24}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def valid_in_text(addresses: Iterable[Any], *, are_prefixes: bool) -> list[str]:
    """The addresses, or starts of addresses such as `10.1.`, among some values."""
    shape = _IPV4_PREFIX if are_prefixes else _IPV4_ALONE
    return [each for each in addresses if isinstance(each, str) and shape.fullmatch(each)]


def pattern_in_text(addresses: Iterable[str]) -> str:
    """A regular expression (of RE2) of texts with one of these addresses, or one that starts so.

    In the text, what is neither a letter nor a digit stands before and after an address.
    """
    return rf"(?:^|[^0-9A-Za-z])(?:{'|'.join(_completed(each) for each in addresses)})(?:[^0-9A-Za-z]|$)"


def _completed(prefix: str) -> str:
    missing = 4 - prefix.count(".") if prefix.endswith(".") else 0
    return re.escape(prefix) + r"\.".join([_OCTET] * missing)


@lru_cache(maxsize=256)
def _compiled(addresses: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(pattern_in_text(addresses).replace("$)", r"\Z)"))


def has_any_address(text: str, addresses: Any) -> bool:
    """Whether a text has an address, or one of some."""
    return _has_any(text, addresses, are_prefixes=False)


def has_any_prefix(text: str, prefixes: Any) -> bool:
    """Whether a text has an address that starts so, or with one of some starts."""
    return _has_any(text, prefixes, are_prefixes=True)


def _has_any(text: str, addresses: Any, *, are_prefixes: bool) -> bool:
    wanted = tuple(valid_in_text(addresses if isinstance(addresses, list) else [addresses], are_prefixes=are_prefixes))
    return bool(text and wanted) and _compiled(wanted).search(text) is not None
