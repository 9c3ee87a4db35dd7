"""Constants: numbers, texts, `datetime(...)`, `dynamic(...)`, `typeof(...)`."""

from __future__ import annotations

from typing import Any

from forebay.telemetry.kql.syntax.lexer import LONG, REAL, STRING, TIMESPAN, TYPED
from forebay.telemetry.kql.syntax.literals import LiteralError, long_value, real_value, typed_value, unit_timespan_value
from forebay.telemetry.kql.syntax.nodes import DynamicValue, Literal, TypeOf
from forebay.telemetry.kql.syntax.reader import Reader
from forebay.telemetry.kql.types import KqlType

_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}


class ConstantReader(Reader):
    """Reads constants."""

    def constant(self) -> Literal:
        """Read a constant, as `datatable` and defaults have them: with a sign, if it is a number."""
        start, sign = self.index, ""
        if self.symbols[start] in ("-", "+") and self.kinds[start + 1] in (LONG, REAL, TIMESPAN):
            sign = self.symbols[start]
            self.index += 1
        if self.kinds[self.index] in (LONG, REAL, TIMESPAN, STRING, TYPED):
            return self.scalar(start, sign)
        symbol = self.symbols[self.index]
        if symbol in _BOOLEANS:
            return self.boolean()
        if symbol == "dynamic" and self.symbols[self.index + 1] == "(":
            return self.dynamic()
        raise self.failure("a constant", "only constants may stand here, such as 1, 'text', 2h or datetime(2024-01-31)")

    def scalar(self, start: int, sign: str = "") -> Literal:
        """Read a token that is a constant; the sign was read before, and `start` is the index of the token that it begins with."""
        kind, value = self._scalar_value(sign)
        self.height = 0
        return Literal(self.starts[start], self.end(), kind, value)

    def boolean(self) -> Literal:
        """Read `true` or `false`."""
        self.index += 1
        self.height = 0
        return Literal(self.starts[self.index - 1], self.end(), "bool", _BOOLEANS[self.symbols[self.index - 1]])

    def dynamic(self) -> Literal:
        """Read `dynamic({...})`: what JSON says, and other constants inside."""
        start = self.start()
        self.index += 1
        peak = self.open("(")
        value = self._json()
        self.close(")", peak)
        return Literal(start, self.end(), "dynamic", value)

    def type_of(self) -> TypeOf:
        """Read `typeof(long)` or `typeof(a: long, b: string)`."""
        start = self.start()
        self.index += 1
        self.expect("(")
        if self.symbols[self.index + 1] == ")" and not self.at("*"):
            kind: KqlType | None = self.type_name()
            self.index += 1
            return TypeOf(start, self.end(), kind)
        columns = self.open_columns()
        return TypeOf(start, self.end(), None, columns)

    def open_columns(self) -> tuple[tuple[str, KqlType | str], ...]:
        """Read `*, a: long)`: the bracket that opens was read before."""
        columns: list[tuple[str, KqlType | str]] = []
        if self.accept("*"):
            columns.append(("*", ""))
            if not self.at(")"):
                self.expect(",")
        while not self.at(")"):
            name = self.new_name("a column")
            self.expect(":")
            columns.append((name, self.type_name()))
            if not self.accept(","):
                break
        self.expect(")")
        return tuple(columns)

    def _scalar_value(self, sign: str) -> tuple[KqlType, Any]:
        kind = self.kinds[self.index]
        if kind is STRING:
            value = self.string()
            if self.kinds[self.index] is STRING:
                parts = [value]
                while self.kinds[self.index] is STRING:
                    parts.append(self.string())
                value = "".join(parts)
            return "string", value
        token = self.token()
        try:
            if kind is LONG:
                result: tuple[KqlType, Any] = "long", long_value(sign + token)
            elif kind is REAL:
                result = "real", real_value(sign + token)
            elif kind is TIMESPAN:
                result = "timespan", unit_timespan_value(sign + token)
            else:
                name, _, content = token.partition("(")
                result = typed_value(name, content[:-1])
        except LiteralError as error:
            raise self.wrong_constant(error) from None
        self.index += 1
        return result

    def _json(self) -> Any:
        """A value of JSON; `DynamicValue` for constants that JSON lacks."""
        symbol = self.symbols[self.index]
        if symbol == "{":
            return self._json_object()
        if symbol == "[":
            peak = self.open("[")
            items: list[Any] = []
            while not self.at("]"):
                items.append(self._json())
                if not self.accept(","):
                    break
                if self.at("]"):
                    raise self.failure("a value")
            self.close("]", peak)
            return items
        if symbol == "null":
            self.index += 1
            return None
        if symbol == "dynamic" and self.symbols[self.index + 1] == "(":
            return self.dynamic().value
        if symbol not in _BOOLEANS and symbol != "-" and self.kinds[self.index] not in (LONG, REAL, TIMESPAN, STRING, TYPED):
            raise self.failure("a value of JSON: a number, a text in quotes, true, false, null, [...] or {...}")
        literal = self.constant()
        if literal.value is None:
            return None
        return literal.value if literal.type in ("bool", "long", "real", "string") else DynamicValue(literal.type, literal.value)

    def _json_object(self) -> dict[str, Any]:
        if self.is_placeholder():
            raise self.failure("an object of JSON")
        peak = self.open("{")
        members: dict[str, Any] = {}
        while not self.at("}"):
            start = self.start()
            key = self.string()
            if key in members:
                raise self.failed_since(start, f"the key '{key}' is there twice")
            self.expect(":")
            members[key] = self._json()
            if not self.accept(","):
                break
            if self.at("}"):
                raise self.failure("a key in quotes")
        self.close("}", peak)
        return members
