"""From KQL to SQL over what one project may see of the tables, kept for the next time."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from forebay.errors import ForebayError
from forebay.telemetry.kql.binding.binder import Explore
from forebay.telemetry.kql.binding.bound import Parameter, Relation
from forebay.telemetry.kql.binding.growth import check_growth
from forebay.telemetry.kql.binding.program import bind
from forebay.telemetry.kql.compiler import generate
from forebay.telemetry.kql.connection import parameter_values
from forebay.telemetry.kql.errors import Code, KqlError, line_and_column
from forebay.telemetry.kql.sql.generator import Statement
from forebay.telemetry.kql.syntax.literals import text_value
from forebay.telemetry.kql.syntax.nodes import Render
from forebay.telemetry.kql.syntax.parser import parse
from forebay.telemetry.kql.types import KqlType, Schema, TableColumn, TableSchema
from forebay.telemetry.store.schema import SCHEMA, quoted
from forebay.telemetry.tables import DERIVED, queryable

CACHE_ENTRIES = 512
CACHE_CHARACTERS = 16 << 20  # of SQL and texts

_CODES: dict[Code, str] = {
    "syntax": "query_syntax",
    "unknown_table": "query_table_unknown",
    "unknown_column": "query_column_unknown",
    "unknown_function": "query_function_unknown",
    "type": "query_type",
    "unsupported": "query_unsupported",
    "too_complex": "query_too_complex",
    "parameter": "query_parameter_invalid",
}
# what reaches beyond the tables of a project, by the construct that is refused
_FORBIDDEN = frozenset({"cluster", "database", "workspace", "app", "resource", "externaldata", "control command"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartHint:
    """What `render` asks for; the rows are the same with and without it."""

    kind: str  # timechart, piechart, table, ...
    properties: dict[str, str] = field(default_factory=dict)  # title, xcolumn, ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Translation:
    """A query in SQL. It reads tables of one project only, `$project`, and where `is_bounded`, rows from `$start` to before `$end`."""

    statement: Statement
    declared: tuple[Parameter, ...]  # parameters that the text declares
    fixed_now: datetime | None  # when the text itself says which time it is
    chart: ChartHint | None
    is_bounded: bool
    is_lasting: bool  # whether it may be kept: its columns do not depend on data


def schema_of_project(*, is_bounded: bool) -> Schema:
    """What a query may read: the rows of the tables that are the project's and, where `is_bounded`, in its timespan."""
    condition = "_project = $project" + (" AND timestamp >= $start AND timestamp < $end" if is_bounded else "")
    return {
        name: TableSchema(
            name,
            # what is stored came as JSON, whose numbers are never NaN
            tuple(TableColumn(column.name, column.type, has_nan=name in _DERIVED_NAMES) for column in columns),
            f"{SCHEMA}.{quoted(name)}",
            condition,
            name not in _DERIVED_NAMES,
        )
        for name, columns in queryable().items()
    }


_DERIVED_NAMES = frozenset(table.name for table in DERIVED)


class NeedsData(Exception):
    """The query's columns depend on data, which has to be read while it is translated."""


def translate(text: str, schema: Schema, *, is_bounded: bool = False, explore: Explore | None = None) -> Translation:
    """Translate one query over the tables of `schema`.

    Raises `ForebayError`: `query_syntax`, `query_unsupported`, `query_table_unknown`, `query_column_unknown`, `query_function_unknown`,
    `query_type`, `query_forbidden`, `query_too_complex`, each with its place; and `NeedsData` where `explore` is needed and missing.
    """
    try:
        query = bind(parse(text), schema, explore=explore or _refuse_to_explore)
        check_growth(query.relation)
        statement = generate(query)
    except KqlError as error:
        raise refusal(error, text) from error
    fixed = query.fixed_now
    return Translation(
        statement=statement,
        declared=query.parameters,
        fixed_now=None if fixed is None or fixed.type != "datetime" else _moment(fixed.value),
        chart=None if query.chart is None else _chart(query.chart),
        is_bounded=is_bounded,
        is_lasting=not query.explored,
    )


def _refuse_to_explore(relation: Relation) -> list[tuple[Any, ...]]:
    raise NeedsData


def _moment(ticks: int) -> datetime:
    from datetime import UTC, timedelta

    return datetime(1, 1, 1, tzinfo=UTC) + timedelta(microseconds=ticks // 10)


def _chart(render: Render) -> ChartHint:
    return ChartHint(kind=render.chart, properties=dict(render.properties))


def values_of(translation: Translation, now: datetime, given: Mapping[str, Any]) -> dict[str, Any]:
    """What to execute the SQL with, besides the project and its timespan. Raises `ForebayError` (`query_parameter_invalid`)."""
    declared = {parameter.name: parameter for parameter in translation.declared}
    unknown = sorted(set(given) - set(declared))
    if unknown:
        known = f"it declares {', '.join(sorted(declared))}" if declared else "it declares none"
        raise _invalid(f"the query has no parameter {unknown[0][:100]!r}", f"{known}; declare query_parameters(name: type) does so")
    missing = [name for name, parameter in declared.items() if name not in given and parameter.default is None]
    if missing:
        raise _invalid(
            f"expected values for the query's parameters, got none for {', '.join(missing)}", "give each a value in `parameters`"
        )
    values = {name: _parameter_value(declared[name], value) for name, value in given.items()}
    return parameter_values(translation.statement, translation.fixed_now or now, values)


def _parameter_value(parameter: Parameter, value: Any) -> Any:
    """A value as it came, in the type that the query declares."""
    kind: KqlType = parameter.type
    if value is None and kind != "string":
        return None
    if kind == "dynamic":
        return value
    if kind == "bool" and isinstance(value, bool):
        return value
    if kind in ("int", "long") and isinstance(value, int) and not isinstance(value, bool):
        low, high = (-(2**31), 2**31) if kind == "int" else (-(2**63), 2**63)
        if low <= value < high:
            return value
    if kind == "real" and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str):
        if kind == "string":
            return value
        read = text_value(kind, value)
        if read is not None:
            return read
    came = type(value).__name__ if not isinstance(value, str) else f"{value[:50]!r}"
    raise _invalid(f"expected {kind} for the parameter {parameter.name}, got {came}", "")


def _invalid(message: str, hint: str) -> ForebayError:
    return ForebayError("query_parameter_invalid", message, hint=hint)


def refusal(error: KqlError, text: str) -> ForebayError:
    """What is wrong with a query, for who asked: the first finding with its place, and how many more there are."""
    first = error.diagnostics[0]
    code = _CODES[first.code]
    message = first.message
    if first.end or first.start:
        line, column = line_and_column(text, first.start)
        message = f"line {line}, column {column}: {message}"
    for diagnostic in error.diagnostics[1:3]:
        line, column = line_and_column(text, diagnostic.start)
        message += f"; also line {line}, column {column}: {diagnostic.message}"
    if len(error.diagnostics) > 3:
        message += f"; and {len(error.diagnostics) - 3} more"
    if first.construct in _FORBIDDEN:
        hint = "a query reads the tables of its own project, and computes with their values"
        return ForebayError("query_forbidden", message, hint=hint, status=403)
    return ForebayError(code, message, hint=first.hint)


class TranslationCache:
    """The most recently used translations. Safe to use from several threads."""

    def __init__(self, translate: Callable[[str, bool], Translation]) -> None:
        """`translate` takes the text and whether it is asked with a timespan."""
        self._translate = translate
        self._known: OrderedDict[tuple[str, bool], Translation] = OrderedDict()
        self._characters = 0
        self._lock = threading.Lock()
        self._turn = threading.Lock()  # to translate: several at a time would hold the interpreter's lock for long

    def find(self, text: str, *, is_bounded: bool) -> Translation | None:
        """The translation, if it is known."""
        with self._lock:
            known = self._known.get((text, is_bounded))
            if known is not None:
                self._known.move_to_end((text, is_bounded))
            return known

    @property
    def is_busy(self) -> bool:
        """Whether whoever translates now has to wait."""
        return self._turn.locked()

    def translate(self, text: str, *, is_bounded: bool) -> Translation:
        """The translation. Raises as `translate` does."""
        with self._turn:
            known = self.find(text, is_bounded=is_bounded)
            if known is not None:
                return known
            made = self._translate(text, is_bounded)
            with self._lock:
                self._known[text, is_bounded] = made
                self._characters += len(text) + len(made.statement.sql)
                while len(self._known) > CACHE_ENTRIES or self._characters > CACHE_CHARACTERS:
                    (old_text, _), old = self._known.popitem(last=False)
                    self._characters -= len(old_text) + len(old.statement.sql)
            return made
