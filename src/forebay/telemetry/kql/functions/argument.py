"""An argument of a function, on its way into SQL."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from forebay.telemetry.kql.types import KqlType

NOT_CONSTANT: Any = object()

_MARKS = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|[()\[\]]|\s|->|[-+*/%<>=|~&^!]""")

_MOMENT = re.compile(r"TIMESTAMP '[^']*'")


def in_brackets(sql: str) -> str:
    """The SQL as an operand: in brackets unless it is a name, a literal, a call or in brackets."""
    depth = 0
    for mark in _MARKS.finditer(sql):
        text = mark[0]
        if text in "([":
            depth += 1
        elif text in ")]":
            depth -= 1
        elif not depth and text[0] not in "'\"":
            return sql if _MOMENT.fullmatch(sql) else f"({sql})"
    return sql


class Argument:
    """What a function's SQL is made of. In a template, `{name}` is its safe SQL, `{name.raw}` and `{name.once}` as `function.py` says."""

    __slots__ = ("_condition", "_hoist", "bare", "is_nullable", "raw", "type", "value")

    def __init__(
        self,
        raw: str,
        type: KqlType,
        *,
        is_nullable: bool,
        hoist: Callable[[str], str],
        value: Any = NOT_CONSTANT,
        condition: Callable[[], str] | None = None,
    ) -> None:
        self.bare = raw  # without the brackets that an operand needs
        self.raw = in_brackets(raw)
        self.type = type
        self.is_nullable = is_nullable  # whether `raw` may be NULL
        self.value = value  # of a constant, in the form of `Constant.value`; else NOT_CONSTANT
        self._hoist = hoist
        self._condition = condition

    @property
    def condition(self) -> str:
        """Of a bool, an operand for where NULL counts as false."""
        return self.sql if self._condition is None else self._condition()

    @property
    def is_constant(self) -> bool:
        """Whether `value` is known."""
        return self.value is not NOT_CONSTANT

    @property
    def sql(self) -> str:
        """An operand that stands in brackets where it needs them; a string is never NULL."""
        if self.type == "string" and self.is_nullable:
            return f"coalesce({self.raw}, '')"
        return self.raw

    @property
    def once(self) -> str:
        """The same, short enough to stand in the SQL several times."""
        sql = self.sql
        is_name = sql.startswith('"') and sql.endswith('"') and sql.count('"') == 2
        return sql if len(sql) <= 24 or is_name or self.is_constant else self._hoist(sql)

    def __str__(self) -> str:
        return self.sql

    def __format__(self, spec: str) -> str:
        return self.sql
