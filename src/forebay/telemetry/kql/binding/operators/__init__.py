"""What binds each operator and source."""

from functools import cache
from importlib import import_module

MODULES = (
    "sources",
    "rows",
    "columns",
    "summarize",
    "join",
    "union",
    "search",
    "parse",
    "top_values",
    "expand",
    "make_series",
    "evaluate",
    "parse_kv",
    "partition",
    "scan",
    "patterns",
)


@cache
def load() -> None:
    """Declare all operators. Done once, when the compiler is first used."""
    for module in MODULES:
        import_module(f"{__name__}.{module}")
