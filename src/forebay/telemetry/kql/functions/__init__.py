"""The functions and operators of KQL over values, each declared in one place."""

from functools import cache
from importlib import import_module

MODULES = (
    "conversions",
    "text_search",
    "regex",
    "strings",
    "parsing",
    "encodings",
    "bags",
    "arrays",
    "access",
    "windows",
    "datetimes",
    "date_arithmetic",
    "time_zones",
    "formats",
    "addresses",
    "hashes",
    "environment",
    "aggregates",
    "aggregates_lists",
    "aggregates_sketches",
    "series",
    "comparison",
    "membership",
    "arithmetic",
    "logic",
    "bins",
    "mathematics",
    "decimals",
    "bits",
    "distributions",
    "units",
    "series_axis",
    "intersections",
    "parse_kv",
    "geography",
)


@cache
def load() -> None:
    """Declare all functions. Done once, when the compiler is first used."""
    for module in MODULES:
        import_module(f"{__name__}.{module}")
