"""Writes a bound query in the SQL of DuckDB."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

from msgspec import Struct

from forebay.telemetry.kql.binding import bound
from forebay.telemetry.kql.binding.parts import children
from forebay.telemetry.kql.functions import registry
from forebay.telemetry.kql.sql.expressions import ExpressionWriter, too_long
from forebay.telemetry.kql.sql.literals import quoted_name
from forebay.telemetry.kql.sql.select import Select, Slot

SQL_LIMIT_CHARACTERS = 1 << 20
TOTAL_LIMIT_CHARACTERS = 8 << 20  # of all expressions on the way

_QUOTED = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*\"""")
_PARAMETER = re.compile(r"\$(\w+)")

Write = Callable[["Generator", Any], Select]
WRITERS: dict[type[bound.Relation], Write] = {}


def writes(kind: type[bound.Relation]) -> Callable[[Write], Write]:
    """Declare what writes a relation."""

    def declare(function: Write) -> Write:
        WRITERS[kind] = function
        return function

    return declare


class Statement(Struct, frozen=True):
    """SQL, and what it needs.

    `parameters` maps the names in SQL (`$now`) to what the query names; `python` are the names of functions that the connection has to have
    (`functions.registry.python_function`).
    """

    sql: str
    columns: tuple[bound.Column, ...]
    parameters: dict[str, bound.Parameter]
    python: tuple[str, ...]


class Generator:
    """Writes one query."""

    def __init__(self, relation: bound.Relation) -> None:
        self._relation = relation
        self._parameters: dict[str, bound.Parameter] = {}
        self._python: dict[str, None] = {}
        self._hoisted_count = 0
        self._characters = 0
        self._shared: dict[int, tuple[str, Select]] = {}
        self._ctes: list[str] = []
        self._cte_names: set[str] = set()

    def statement(self) -> Statement:
        """The SQL of the whole query. Raises `KqlError` (`too_complex`)."""
        select = self.select(self._relation)
        sql = select.text()
        if self._ctes:
            sql = f"WITH {', '.join(self._ctes)}\n{sql}"
        if len(sql) > SQL_LIMIT_CHARACTERS:
            raise too_long()
        # what was written on the way and left out again has no place for a value
        written = set(_PARAMETER.findall(_QUOTED.sub("", sql))) if self._parameters else set()
        parameters = {name: parameter for name, parameter in self._parameters.items() if name in written}
        return Statement(sql, self._relation.columns, parameters, tuple(self._python))

    def select(self, relation: bound.Relation) -> Select:
        """The SQL of a relation, to which more may be added."""
        return WRITERS[type(relation)](self, relation)

    def writer(self, select: Select, *, order: str = "") -> ExpressionWriter:
        """Writes expressions over the outputs of a `SELECT`, in that same one."""
        return ExpressionWriter(self, select.slots, select.hoisted, order=order)

    def standalone(self, expression: bound.Expr) -> str:
        """The SQL of an expression that reads no rows."""
        select = Select("", (), {})
        value = self.writer(select).value(expression)
        return f"(SELECT {value} FROM {select.read()})" if select.hoisted else value

    def scalar(self, relation: bound.Relation) -> str:
        """The first column of the first row."""
        select = self._first(self.select(relation))
        if select.limit is not None:
            select = select.nested()
        select.limit = "1"
        return select.text()

    def first_column(self, relation: bound.Relation, *, is_caseless: bool) -> tuple[str, str]:
        """The first column of a relation, and what to read it from."""
        select = self._first(self.select(relation)).nested()
        (column,) = select.columns
        value = self.writer(select).value(bound.ColumnRef(column.type, column))
        return (f"lower({value})" if is_caseless else value), f"{select.source} AS found"

    def _first(self, select: Select) -> Select:
        if select.keys is not None or select.qualify:
            select = select.nested()
        select.columns = select.columns[:1]
        return select

    # what expressions need

    def measured(self, text: str) -> str:
        """The text, counted. Raises `KqlError` when there is too much of it: arguments that are used twice double at each step."""
        self._characters += len(text)
        if self._characters > TOTAL_LIMIT_CHARACTERS or len(text) > SQL_LIMIT_CHARACTERS:
            raise too_long()
        return text

    def hoisted_name(self) -> str:
        """A name for what is computed below, which no column has."""
        self._hoisted_count += 1
        while f"${self._hoisted_count}" in self._column_names:
            self._hoisted_count += 1
        return f'"${self._hoisted_count}"'

    def parameter(self, parameter: bound.Parameter) -> str:
        """The name of a parameter in SQL."""
        if parameter.name == "now" and parameter.type == "datetime" and parameter.default is None:
            self._parameters["now"] = parameter
            return "now"
        for name, known in self._parameters.items():
            if known == parameter:
                return name
        name = f"p{len(self._parameters) + 1}"
        self._parameters[name] = parameter
        return name

    def use_python(self, name: str) -> None:
        """The connection has to have this function, if it is one, and not the text of a query that looks so."""
        try:
            self._python[registry.python_function(name).python_name] = None
        except KeyError:
            return

    # relations that are read in several places

    def define(self, sql: str) -> str:
        """The name of a query that is written once, at the top."""
        name = self._unique_name("axis")
        self._ctes.append(f"{name} AS MATERIALIZED ({sql})")
        return name

    def _unique_name(self, name: str) -> str:
        """A name for a query at the top; DuckDB's are unique whatever their case."""
        found, number = f"${name}", 1
        while found.lower() in self._cte_names:
            number += 1
            found = f"${name}_{number}"
        self._cte_names.add(found.lower())
        return quoted_name(found)

    def shared(self, shared: bound.Shared) -> Select:
        """What `let` has named: written once, at the top, when it is read in several places."""
        definition = shared.relation
        if self._uses[id(definition)] <= 1 and not shared.is_materialized:
            return _renamed(self.select(definition), shared.columns)
        known = self._shared.get(id(definition))
        if known is None:
            select = self.select(definition)
            name = self._unique_name(shared.name)
            self._ctes.append(f"{name} AS {'MATERIALIZED ' if shared.is_materialized else ''}(\n{select.text()}\n)")
            known = self._shared[id(definition)] = (name, select)
        name, select = known
        aliases = select.aliases()
        slots = {
            column.id: Slot(aliases[defined.id], select.slots[defined.id].is_nullable)
            for column, defined in zip(shared.columns, select.columns, strict=True)
        }
        return Select(name, shared.columns, slots)

    @cached_property
    def _uses(self) -> Counter[int]:
        """How often each relation is read that `let` has named, by its identity."""
        return Counter(id(each.relation) for each in self._relations() if isinstance(each, bound.Shared))

    @cached_property
    def _column_names(self) -> set[str]:
        """Those of the query and its tables that begin as ours do."""
        columns = (each.table.columns if isinstance(each, bound.Table) else each.columns for each in self._relations())
        return {column.name for some in columns for column in some if column.name.startswith("$")}

    def _relations(self) -> Iterator[bound.Relation]:
        """All relations, those that `let` has named each time that they are read, and what is below them once."""
        pending = [self._relation]
        seen: set[int] = set()
        while pending:
            each = pending.pop()
            yield each
            if isinstance(each, bound.Shared):
                if id(each.relation) in seen:
                    continue
                seen.add(id(each.relation))
            pending += children(each)


def _renamed(select: Select, columns: tuple[bound.Column, ...]) -> Select:
    """The same outputs as other columns."""
    select.slots = {column.id: select.slots[defined.id] for column, defined in zip(columns, select.columns, strict=True)}
    select.columns = columns
    return select
