"""Expressions in SQL."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from forebay.telemetry.kql.binding import bound
from forebay.telemetry.kql.binding.calls import placed
from forebay.telemetry.kql.errors import Diagnostic, KqlError
from forebay.telemetry.kql.functions.argument import NOT_CONSTANT, Argument, in_brackets
from forebay.telemetry.kql.functions.function import Function
from forebay.telemetry.kql.sql.literals import literal
from forebay.telemetry.kql.sql.select import Slot
from forebay.telemetry.kql.types import DUCKDB_TYPES

if TYPE_CHECKING:
    from forebay.telemetry.kql.sql.generator import Generator

_COMPARISONS = frozenset({"==", "!=", "<", "<=", ">", ">=", "between", "!between", "in", "!in"})
_PYTHON_NAME = re.compile(r"\bkql_\w+")
_ORDER = re.compile(r"('(?:[^']|'')*')|\{order\}")
_LITERAL = re.compile(r"\(?(?:'(?:[^']|'')*'|-?[0-9][0-9.e+-]*|true|false|NULL)\)?")
_INTEGER = re.compile(r"[0-9]+|\(-[0-9]+\)")
# what a value is for a function in Python
_PYTHON_TYPES = {"decimal": "VARCHAR", "guid": "VARCHAR", "dynamic": "VARCHAR"}


class ExpressionWriter:
    """Writes expressions over the columns that `slots` names.

    What has to be computed below, because it is used in several places, is put into `hoisted` (SQL -> name).
    """

    def __init__(
        self, generator: Generator, slots: Mapping[int, Slot], hoisted: dict[str, str], *, order: str = "", group: str = ""
    ) -> None:
        self._generator = generator
        self._slots = slots
        self._hoisted = hoisted
        self._order = order  # of the rows, for aggregates that depend on it: ` ORDER BY ...`
        self._group = group  # what windows have to be partitioned by as well: `, ...`

    def value(self, expression: bound.Expr) -> str:
        """An operand; a string is never NULL."""
        return self.argument(expression).sql

    def raw(self, expression: bound.Expr) -> str:
        """An operand; a string may be NULL for ''."""
        return self.argument(expression).raw

    def conditions(self, expression: bound.Expr) -> list[str]:
        """Operands of AND for where NULL counts as false."""
        if isinstance(expression, bound.Call) and expression.function.kind == "operator":
            function = expression.function
            if function.name == "and":
                return [text for each in expression.arguments if each is not None for text in self.conditions(each)]
            if function.name != "or":
                template = function.sql if function.condition is None else function.condition
                return [self._generator.measured(self._placed(expression, template))]
        return [self.condition(expression)]

    def condition(self, expression: bound.Expr) -> str:
        """An operand for where NULL counts as false."""
        if isinstance(expression, bound.InQuery) and not expression.is_negated:
            return self._generator.measured(self._found_in(expression))
        if isinstance(expression, bound.Call):
            function = expression.function
            if function.name in ("and", "or") and function.kind == "operator":
                parts = [self.condition(each) for each in expression.arguments if each is not None]
                return f"({f' {function.name.upper()} '.join(parts)})"
            if function.condition is not None:
                return in_brackets(self._generator.measured(self._placed(expression, function.condition)))
        return self.value(expression)

    def key(self, expression: bound.Expr) -> str:
        """What an expression may be grouped by instead of its value, which is computed from it; '' where there is no such thing."""
        if isinstance(expression, bound.Call) and expression.function.key is not None:
            return self._placed(expression, expression.function.key)
        return ""

    def slot(self, expression: bound.Expr) -> Slot:
        """An output."""
        if isinstance(expression, bound.ColumnRef):
            return self._slots[expression.column.id]
        argument = self.argument(expression)
        sql = argument.bare
        if expression.type in ("long", "timespan") and _INTEGER.fullmatch(sql):  # DuckDB takes a small one for an INTEGER, which overflows
            sql = f"{sql}::BIGINT"
        return Slot(sql, argument.is_nullable, is_name=False)

    def argument(self, expression: bound.Expr) -> Argument:
        """An expression as the argument of a function."""
        return _WRITERS[type(expression)](self, expression)

    def order_by(self, keys: Sequence[bound.SortKey]) -> list[str]:
        """What rows are ordered by. NaN stands between null and the numbers, where DuckDB has it above all numbers.

        Source: https://learn.microsoft.com/kusto/query/sort-operator#using-special-floating-point-values
        """
        found = []
        for key in keys:
            value = self.value(key.expression)
            if _LITERAL.fullmatch(value):  # which would be the place of an output
                continue
            is_descending = key.is_descending
            if is_descending is not key.is_nulls_first and _has_nan(key.expression):
                value, is_descending = f"-{value}", not is_descending  # the same order but for NaN, which is its own opposite
            found.append(f"{value} {'DESC' if is_descending else 'ASC'} NULLS {'FIRST' if key.is_nulls_first else 'LAST'}")
        return found

    def _made(
        self,
        raw: str,
        expression: bound.Expr,
        *,
        is_nullable: bool,
        value: Any = NOT_CONSTANT,
        condition: Callable[[], str] | None = None,
    ) -> Argument:
        text = self._generator.measured(raw)
        return Argument(text, expression.type, is_nullable=is_nullable, hoist=self._hoist, value=value, condition=condition)

    def _hoist(self, sql: str) -> str:
        if sql not in self._hoisted:
            self._hoisted[sql] = self._generator.hoisted_name()
        return self._hoisted[sql]

    def _constant(self, expression: bound.Constant) -> Argument:
        raw = literal(expression.type, expression.value)
        return self._made(raw, expression, is_nullable=expression.value is None and expression.type != "string", value=expression.value)

    def _slot(self, column: bound.Column) -> Slot:
        if column.id not in self._slots:  # an argument of a function, read by a table in it
            raise KqlError(
                Diagnostic(
                    "unsupported",
                    f"a table inside of a function cannot read {column.name[:100]!r}, a column of the row that calls it",
                    0,
                    0,
                    hint="join the tables",
                )
            )
        return self._slots[column.id]

    def _column(self, expression: bound.ColumnRef) -> Argument:
        slot = self._slot(expression.column)
        return self._made(slot.sql, expression, is_nullable=slot.is_nullable)

    def _widen(self, expression: bound.Widen) -> Argument:
        operand = self.argument(expression.operand)
        return self._made(f"{operand.raw}::{DUCKDB_TYPES[expression.type]}", expression, is_nullable=operand.is_nullable)

    def _parameter(self, expression: bound.Parameter) -> Argument:
        name = self._generator.parameter(expression)
        return self._made(f"${name}::{DUCKDB_TYPES[expression.type]}", expression, is_nullable=expression.name != "now")

    def _scalar_query(self, expression: bound.ScalarQuery) -> Argument:
        return self._made(f"({self._generator.scalar(expression.relation)})", expression, is_nullable=True)

    def _in_query(self, expression: bound.InQuery) -> Argument:
        found = self._found_in(expression)
        if expression.operand.type != "string" and self._may_be_null(expression.operand):
            found = f"coalesce({found}, false)"
        return self._made(f"(NOT {found})" if expression.is_negated else found, expression, is_nullable=False)

    def _found_in(self, expression: bound.InQuery) -> str:
        """NULL only where the operand is; as it is, DuckDB joins by it."""
        operand = self.value(expression.operand)
        (column, select) = self._generator.first_column(expression.relation, is_caseless=expression.is_caseless)
        if expression.is_caseless:
            operand = f"lower({operand})"
        return f"({operand} IN (SELECT {column} FROM {select} WHERE {column} IS NOT NULL))"

    def _call(self, expression: bound.Call | bound.AggregateCall | bound.WindowCall) -> Argument:
        function = expression.function
        raw = self._placed(expression, function.sql)
        if function.nulls == "never":
            is_nullable = False
        elif function.nulls == "propagate":
            is_nullable = any(each is not None and self._may_be_null(each) for each in expression.arguments)
        else:
            is_nullable = True
        condition = (lambda: self.condition(expression)) if expression.type == "bool" else None
        return self._made(raw, expression, is_nullable=is_nullable, condition=condition)

    def _placed(self, expression: bound.Call | bound.AggregateCall | bound.WindowCall, sql: str | Callable[..., str]) -> str:
        """The SQL of a call; what is wrong with it is at its place in the query."""
        try:
            return self._written(expression.function, sql, expression.arguments)
        except ValueError as wrong:  # a constant that cannot be right
            raise KqlError(Diagnostic("type", str(wrong), expression.start, expression.end)) from None
        except KqlError as wrong:
            raise placed(wrong, expression.start, expression.end) from None

    def _may_be_null(self, expression: bound.Expr) -> bool:
        if isinstance(expression, bound.Constant):
            return expression.value is None
        if isinstance(expression, bound.ColumnRef):
            return self._slot(expression.column).is_nullable
        if isinstance(expression, (bound.Call, bound.AggregateCall, bound.WindowCall)):
            nulls = expression.function.nulls
            return nulls == "some" or (
                nulls == "propagate" and any(each is not None and self._may_be_null(each) for each in expression.arguments)
            )
        return True

    def _written(self, function: Function, sql: str | Callable[..., str], given: Sequence[bound.Expr | None]) -> str:
        if function.name in _COMPARISONS and function.kind == "operator":
            given = [each.operand if isinstance(each, bound.Widen) and each.type == "long" else each for each in given]
        arguments = [None if each is None else self.argument(each) for each in given]
        if all(isinstance(each, (bound.Constant, type(None))) for each in given):
            self._type_constants(arguments)
        if function.python is not None:
            return self._python_call(function, arguments)
        text = self._filled(function, sql, arguments)
        if "TRY(" in text and "(SELECT" in text:  # which DuckDB does not take together
            for argument in arguments:
                if argument is not None and "(SELECT" in argument.raw:
                    argument.raw = argument.bare = self._hoist(argument.raw)
            text = self._filled(function, sql, arguments)
        for name in _PYTHON_NAME.findall(text) if "kql_" in text else ():
            self._generator.use_python(name)
        return text

    def _filled(self, function: Function, sql: str | Callable[..., str], arguments: Sequence[Argument | None]) -> str:
        if not callable(sql):
            return sql.format_map(self._names(function, arguments))
        text = sql(*arguments)
        if function.kind == "aggregate":  # a text of the query may say `{order}`, too
            text = _ORDER.sub(lambda found: found[1] or self._order, text)
        return text

    def _type_constants(self, arguments: Sequence[Argument | None]) -> None:
        for argument in arguments:
            if argument is not None and argument.type in ("int", "long", "timespan") and argument.value is not None:
                argument.raw = literal(argument.type, argument.value, is_typed=True)

    def _names(self, function: Function, arguments: Sequence[Argument | None]) -> dict[str, Any]:
        names: dict[str, Any] = {"order": self._order, "group": self._group}
        rest = list(arguments)
        for index, parameter in enumerate(function.parameters):
            after = len(function.parameters) - index - 1
            if parameter.is_repeated:
                taken, rest = (rest[: len(rest) - after], rest[len(rest) - after :]) if after else (rest, [])
                names[parameter.name] = ", ".join(str(each) for each in taken)
            else:
                names[parameter.name] = rest.pop(0) if rest else None
        return names

    def _python_call(self, function: Function, arguments: Sequence[Argument | None]) -> str:
        self._generator.use_python(function.python_name)
        written: list[str] = []
        rest = list(arguments)
        for index, parameter in enumerate(function.parameters):
            if parameter.is_repeated:
                end = len(rest) - (len(function.parameters) - index - 1)
                written.append(f"to_json([{', '.join(f'to_json({each})' for each in rest[:end])}])::VARCHAR")
                rest = rest[end:]
            else:
                argument = rest.pop(0) if rest else None
                written.append("NULL" if argument is None else _for_python(argument))
        answer = f"{function.python_name}({', '.join(written)})"
        returns = function.returns if isinstance(function.returns, str) else ""
        return f"{answer}::{DUCKDB_TYPES[returns]}" if returns in _PYTHON_TYPES else answer  # type: ignore[index]


def _has_nan(expression: bound.Expr) -> bool:
    """Whether NaN may be among the values."""
    return expression.type == "real" and not (isinstance(expression, bound.ColumnRef) and not expression.column.has_nan)


def _for_python(argument: Argument) -> str:
    kind = _PYTHON_TYPES.get(argument.type)
    if argument.is_constant and argument.type in ("int", "long", "timespan") and argument.value is not None:
        return literal(argument.type, argument.value, is_typed=True)
    return f"{argument}::{kind}" if kind is not None else str(argument)


_WRITERS: dict[type[Any], Callable[[ExpressionWriter, Any], Argument]] = {
    bound.Constant: ExpressionWriter._constant,
    bound.ColumnRef: ExpressionWriter._column,
    bound.Widen: ExpressionWriter._widen,
    bound.Parameter: ExpressionWriter._parameter,
    bound.ScalarQuery: ExpressionWriter._scalar_query,
    bound.InQuery: ExpressionWriter._in_query,
    bound.Call: ExpressionWriter._call,
    bound.AggregateCall: ExpressionWriter._call,
    bound.WindowCall: ExpressionWriter._call,
}


def too_long() -> KqlError:
    """The refusal of a query whose SQL is too long."""
    return KqlError(
        Diagnostic(
            "too_complex",
            "the query is too complex: its SQL is too long",
            0,
            0,
            hint="compute intermediate values with extend, one step at a time",
        )
    )
