"""Functions of IP addresses: of IPv4, of IPv6 (which take IPv4, too), and of texts with addresses of IPv4."""

from __future__ import annotations

from collections.abc import Sequence

from forebay.telemetry.kql.functions import addresses_python as python
from forebay.telemetry.kql.functions.argument import Argument
from forebay.telemetry.kql.functions.registry import REFUSED, scalar

for _signature, _summary in (
    ("parse_ipv4(ip: string) -> long", "The number of an address of IPv4, such as '10.1.2.3' or '10.1.2.3/24'; null where there is none."),
    ("parse_ipv4_mask(ip: string, prefix: long) -> long", "The number of the network of an address of IPv4."),
    (
        "ipv4_compare(ip1: string, ip2: string, prefix: long = 32) -> long",
        "-1, 0 or 1: how networks of IPv4 compare, under the shortest prefix.",
    ),
    ("ipv4_is_match(ip1: string, ip2: string, prefix: long = 32) -> bool", "Whether two addresses of IPv4 are of one network."),
    ("ipv4_is_in_range(ip: string, ip_range: string) -> bool", "Whether an address of IPv4 is of a network."),
    ("ipv4_is_private(ip: string) -> bool", "Whether an address of IPv4 is of a private network."),
    ("ipv4_netmask_suffix(ip: string) -> long", "The prefix of an address of IPv4; 32 where none is written."),
    ("ipv4_range_to_cidr_list(start_ip: string, end_ip: string) -> dynamic", "The networks that have all addresses from one to another."),
    ("format_ipv4(ip: string, prefix: long = 32) -> string", "The text of the network of an address of IPv4."),
    ("format_ipv4(ip: long, prefix: long = 32) -> string", "The text of the network of an address of IPv4."),
    ("format_ipv4_mask(ip: string, prefix: long = 32) -> string", "The text of the network of an address of IPv4, with its prefix."),
    ("format_ipv4_mask(ip: long, prefix: long = 32) -> string", "The text of the network of an address of IPv4, with its prefix."),
    ("parse_ipv6(ip: string) -> string", "The full text of an address of IPv6 or IPv4; '' where there is none."),
    ("parse_ipv6_mask(ip: string, prefix: long) -> string", "The full text of the network of an address of IPv6 or IPv4."),
    ("ipv6_compare(ip1: string, ip2: string, prefix: long = 128) -> long", "-1, 0 or 1: how networks of IPv6 or IPv4 compare."),
    ("ipv6_is_match(ip1: string, ip2: string, prefix: long = 128) -> bool", "Whether two addresses of IPv6 or IPv4 are of one network."),
    ("ipv6_is_in_range(ip: string, ip_range: string) -> bool", "Whether an address of IPv6 or IPv4 is of a network."),
):
    scalar(_signature, None, _summary, python=getattr(python, _signature.partition("(")[0]))

for _version in (4, 6):
    for _ranges in ("ip_ranges: dynamic", "ip_ranges: string..."):
        scalar(
            f"ipv{_version}_is_in_any_range(ip: string, {_ranges}) -> bool",
            None,
            "Whether an address is of one of some networks.",
            python=getattr(python, f"ipv{_version}_is_in_any_range"),
        )


def _declare_search(name: str, parameter: str, *, are_prefixes: bool) -> None:
    summary = (
        f"Whether a text has an address of IPv4{' that starts so' if are_prefixes else ''}, set off by what is no letter and no digit."
    )

    def search(text: str, addresses: Sequence[Argument]) -> str:
        if not all(each.is_constant for each in addresses):  # a parameter of the query
            wanted = ", ".join(str(each) for each in addresses)
            return f"{by_row.python_name}({text}, {f'to_json([{wanted}])' if parameter.endswith('...') else wanted}::VARCHAR)"
        flat = [value for each in addresses for value in (each.value if isinstance(each.value, list) else [each.value])]
        found = python.valid_in_text(flat, are_prefixes=are_prefixes)
        if not found:
            return "false"
        matches = f"regexp_matches({text}, '{python.pattern_in_text(found)}')"
        return matches if len(found) > 1 else f"contains({text}, '{found[0]}') AND {matches}"  # five times as fast

    scalar(
        f"{name}(source: string, const {parameter}) -> bool",
        lambda text, *addresses: search(text.sql, addresses),
        summary,
        nulls="never",
        condition=lambda text, *addresses: search(text.raw, addresses),
    )
    by_row = scalar(
        f"{name}(source: string, {parameter}) -> bool",
        None,
        summary,
        nulls="never",
        python=python.has_any_prefix if are_prefixes else python.has_any_address,
    )


for _end, _are_prefixes in (("", False), ("_prefix", True)):
    _declare_search(f"has_ipv4{_end}", f"ip{_end}: string", are_prefixes=_are_prefixes)
    _declare_search(f"has_any_ipv4{_end}", f"ips{_end}: dynamic", are_prefixes=_are_prefixes)
    _declare_search(f"has_any_ipv4{_end}", f"ips{_end}: string...", are_prefixes=_are_prefixes)

REFUSED["geo_info_from_ip_address"] = (
    "where an address is needs a database that is not here; join with a table of your own, by ipv4_is_in_range()"
)
