"""From the bound tree to the SQL of DuckDB."""

from functools import cache
from importlib import import_module

MODULES = (
    "relations",
    "groups",
    "joins",
    "parse",
    "compute_each",
    "expand",
    "make_series",
    "scan",
)


@cache
def load() -> None:
    """Declare what writes each relation. Done once, when the compiler is first used."""
    for module in MODULES:
        import_module(f"{__name__}.{module}")
