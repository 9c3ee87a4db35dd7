"""How the model declares what functions and operators answer.

`SCALARS[name]` takes the types of the arguments and their values. `@scalar` declares one that sees only values, and answers null where
one of them is null; `@typed` one that sees all. What they say is on their pages below https://learn.microsoft.com/kusto/query/.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

Kinds = Sequence[str]
Values = Sequence[Any]
SCALARS: dict[str, Callable[[Kinds, Values], Any]] = {}
INTEGERS = ("int", "long")


def typed(*names: str) -> Callable[[Callable[[Kinds, Values], Any]], Callable[[Kinds, Values], Any]]:
    def declare(function: Callable[[Kinds, Values], Any]) -> Callable[[Kinds, Values], Any]:
        for name in names:
            SCALARS[name] = function
        return function

    return declare


def scalar(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def declare(function: Callable[..., Any]) -> Callable[..., Any]:
        def strict(kinds: Kinds, values: Values) -> Any:
            return None if any(each is None for each in values) else function(*values)

        for name in names:
            SCALARS[name] = strict
        return function

    return declare
