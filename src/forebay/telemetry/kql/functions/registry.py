"""All functions by name. Each file of this folder declares some; `registry.find` looks them up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from forebay.telemetry.kql.functions.function import Function, Kind, Nulls, parse_signature
from forebay.telemetry.kql.types import KqlType

_FUNCTIONS: dict[str, list[Function]] = {}
_PYTHON: dict[str, Function] = {}

# functions that answer one array which becomes several columns: suffix and type of each
SPREAD: dict[str, tuple[tuple[str, KqlType], ...]] = {}

# functions of Kusto that are refused by name: why, and what to do instead
REFUSED: dict[str, str] = {}


def declare(
    kind: Kind,
    signature: str,
    sql: str | Callable[..., str] | None,
    summary: str,
    *,
    returns: Callable[..., KqlType] | None = None,
    aliases: tuple[str, ...] = (),
    nulls: Nulls = "some",
    condition: str | Callable[..., str] | None = None,
    key: Callable[..., str] | None = None,
    approximate: str = "",
    python: Callable[..., Any] | None = None,
) -> Function:
    """Declare a function; `function.py` says how. Answers it."""
    name, parameters, answer = parse_signature(signature)
    python_name = ""
    if python is not None:
        python_name = f"kql_{name}_{len(_FUNCTIONS.get(name, ()))}"
    function = Function(
        name,
        kind,
        signature,
        parameters,
        returns or answer,  # type: ignore[arg-type]
        sql or "",
        summary,
        aliases,
        nulls,
        condition,
        key,
        approximate,
        python,
        python_name,
    )
    for each in (name, *aliases):
        _FUNCTIONS.setdefault(each, []).append(function)
    if python is not None:
        _PYTHON[python_name] = function
    return function


def scalar(signature: str, sql: str | Callable[..., str] | None, summary: str, **more: Any) -> Function:
    """Declare a function of values."""
    return declare("scalar", signature, sql, summary, **more)


def operator(signature: str, sql: str | Callable[..., str], summary: str, **more: Any) -> Function:
    """Declare an operator, written between or before its operands: `+(left: N, right: N) -> N`."""
    return declare("operator", signature, sql, summary, **more)


def aggregate(signature: str, sql: str | Callable[..., str], summary: str, **more: Any) -> Function:
    """Declare an aggregate of the rows of a group."""
    return declare("aggregate", signature, sql, summary, **more)


def window(signature: str, sql: str | Callable[..., str], summary: str, **more: Any) -> Function:
    """Declare a function of a row and its neighbours: SQL over rows that come in their order, `lag({value}) OVER ()`."""
    return declare("window", signature, sql, summary, **more)


def find(name: str) -> tuple[Function, ...]:
    """All ways to call a function of that name, in the order of their declaration; () if there is none."""
    return tuple(_FUNCTIONS.get(name, ()))


def python_function(python_name: str) -> Function:
    """The function that SQL calls by this name."""
    return _PYTHON[python_name]


# what the binder calls, and no query may; so are names that begin with `_`
_INTERNAL = frozenset({"bag_pack_without_empty", "element", "member", "take_any_of_row", "to_dynamic"})


def is_internal(name: str) -> bool:
    """Whether only the compiler itself calls the function."""
    return name in _INTERNAL or name.startswith("_")


def python_names() -> tuple[str, ...]:
    """The names in SQL of all functions in Python."""
    return tuple(_PYTHON)


def names() -> dict[str, list[Function]]:
    """Every name with the ways to call it."""
    return dict(_FUNCTIONS)
