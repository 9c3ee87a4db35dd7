"""What a DuckDB connection needs before it can run compiled SQL: functions in Python, and values for parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any

from forebay.telemetry.kql.functions import registry
from forebay.telemetry.kql.functions.function import Function
from forebay.telemetry.kql.types import DUCKDB_TYPES, TICKS_PER_MICROSECOND, KqlType

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from forebay.telemetry.kql.sql.generator import Statement

_DEFINING = Lock()  # two at once would be a conflict in DuckDB's catalogue

_PASSED_AS: dict[KqlType, str] = {**DUCKDB_TYPES, "decimal": "VARCHAR", "guid": "VARCHAR", "dynamic": "VARCHAR"}


def define_python(connection: DuckDBPyConnection, names: Sequence[str]) -> None:
    """Make functions known to the connection's database, which other connections then know as well.

    Not within a transaction: they would be gone with it, and unknown to others until then.
    """
    if not names:
        return
    import duckdb

    for name in names:
        function = registry.python_function(name)
        parameters = ["VARCHAR" if parameter.is_repeated else _PASSED_AS[_type_of(parameter.types)] for parameter in function.parameters]
        answer = _PASSED_AS[function.returns] if isinstance(function.returns, str) else "VARCHAR"  # type: ignore[index]
        try:
            with _DEFINING:
                connection.create_function(name, _adapted(function), parameters, answer, null_handling="special")  # type: ignore[call-overload]
        except (duckdb.CatalogException, duckdb.NotImplementedException):
            continue  # it is known: to another connection, or to this one


def _type_of(types: frozenset[KqlType]) -> KqlType:
    (kind,) = types
    return kind


# DuckDB keeps no reference of its own beyond the connection that made it known: functions live as long as the program
@cache
def _adapted(function: Function) -> Callable[..., Any]:
    """The function over values as SQL passes them: JSON as text."""
    import msgspec

    assert function.python is not None, "only functions in Python are adapted"
    call = function.python
    decoded = [
        index for index, parameter in enumerate(function.parameters) if parameter.is_repeated or parameter.types == frozenset({"dynamic"})
    ]
    repeated = {index for index, parameter in enumerate(function.parameters) if parameter.is_repeated}
    is_json = function.returns == "dynamic"

    def adapted(*values: Any) -> Any:
        arguments = list(values)
        for index in decoded:
            text = arguments[index]
            if text is not None:
                try:
                    arguments[index] = msgspec.json.decode(text)
                except (msgspec.DecodeError, RecursionError):
                    arguments[index] = [] if index in repeated else text
        found = call(*arguments)
        if found is None or not is_json:
            return found
        try:
            return msgspec.json.encode(found).decode()
        except RecursionError:  # one level more than what was read
            return None

    # DuckDB asks for the number of parameters
    names = ", ".join(f"a{index}" for index in range(len(function.parameters)))
    made: Callable[..., Any] = eval(f"lambda {names}: adapted({names})", {"adapted": adapted})  # noqa: S307 - of our own numbers alone
    return made


def parameter_values(statement: Statement, now: datetime, given: Mapping[str, Any]) -> dict[str, Any]:
    """What to execute the SQL with: the time of the query, and values that it declares, in the form of `bound.Constant`.

    A missing one is its default; `check_parameters` refuses what has none.
    """
    values: dict[str, Any] = {}
    for name, parameter in statement.parameters.items():
        if name == "now":
            values[name] = now.astimezone(UTC).replace(tzinfo=None) if now.tzinfo else now
        else:
            default = parameter.default.value if parameter.default is not None else None
            values[name] = _sql_value(parameter.type, given.get(parameter.name, default))
    return values


def _sql_value(kind: KqlType, value: Any) -> Any:
    if kind == "datetime" and isinstance(value, int):
        from datetime import timedelta

        return datetime(1, 1, 1) + timedelta(microseconds=value // TICKS_PER_MICROSECOND)  # noqa: DTZ001 - DuckDB's have no zone
    if kind == "dynamic" and not isinstance(value, str):
        from forebay.telemetry.kql.sql.literals import json_text

        return json_text(value)
    return value
