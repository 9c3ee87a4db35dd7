"""All scalar functions and operators that the model has, by name: `SCALARS`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.kql import conversions, dynamics, logic, numerics, texts, times  # noqa: F401 - each declares its functions
from tests.kql.conversions import in_json, kind_of, to_string
from tests.kql.declarations import SCALARS, Kinds, Values, scalar, typed

__all__ = ["SCALARS"]

# conversions

for _name, _convert in conversions.CONVERSIONS.items():
    typed(_name)(lambda kinds, values, convert=_convert: None if values[0] is None else convert(kinds[0], values[0]))
typed("tostring")(lambda kinds, values: to_string(kinds[0], values[0]))
typed("todynamic")(lambda kinds, values: conversions.to_dynamic(kinds[0], values[0]))
typed("to_dynamic")(lambda kinds, values: in_json(kinds[0], values[0]))


def _element_as(kind: str) -> Callable[[Kinds, Values], Any]:
    """An element that `mv-expand to typeof()` makes one of a type: null if it is none."""

    def convert(kinds: Kinds, values: Values) -> Any:
        value = values[0]
        if isinstance(value, str) and kind == "real" and value in ("NaN", "Infinity", "-Infinity"):
            return float(value)
        if value is None or kind_of(value) not in ("long", "real"):
            return None
        return float(value) if kind == "real" else conversions.to_long(kind_of(value), value)

    return convert


typed("_element_as_long")(_element_as("long"))
typed("_element_as_real")(_element_as("real"))


@typed("gettype")
def _gettype(kinds: Kinds, values: Values) -> str:
    if kinds[0] != "dynamic":
        return kinds[0]
    value = values[0]
    if value is None:
        return "null"
    names = {"bool": "bool", "long": "long", "real": "double", "string": "string"}
    return names.get(kind_of(value)) or ("array" if isinstance(value, list) else "dictionary")


# times

for _name, _of_time in times.FUNCTIONS.items():
    scalar(_name)(_of_time)
