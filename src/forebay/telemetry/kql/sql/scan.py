"""`Scan`, as a recursive query that takes one row, or one row of each group, at a time.

A row of it is a row of the source with what matched, and the state after it: for each step whether it has a sequence, the number of the
match, and of it and all steps before the values that expressions read. Steps are tried from the last to the first, each over the state
that those after it have left.
"""

from __future__ import annotations

from collections.abc import Iterable

from forebay.telemetry.kql.binding import bound
from forebay.telemetry.kql.sql.expressions import ExpressionWriter
from forebay.telemetry.kql.sql.generator import Generator, writes
from forebay.telemetry.kql.sql.literals import literal
from forebay.telemetry.kql.sql.select import Select, Slot
from forebay.telemetry.kql.types import DUCKDB_TYPES

_PLACE, _GROUP, _STEP, _NEXT, _MATCH = '"$place"', '"$group"', '"$step"', '"$next"', '"$match"'


@writes(bound.Scan)
def _scan(generator: Generator, relation: bound.Scan) -> Select:
    return _Writer(generator, relation).select()


class _Writer:
    def __init__(self, generator: Generator, relation: bound.Scan) -> None:
        self._generator = generator
        self._relation = relation
        of_source = relation.source.columns
        self._declared = relation.columns[len(of_source) : -1]
        self._defaults = dict(zip((column.id for column in self._declared), relation.defaults, strict=True))
        source, aliases = (below := generator.select(relation.source)).nested().as_source()
        self._slots = {column.id: Slot(aliases[column.id], below.slots[column.id].is_nullable) for column in of_source}
        self._group = [] if relation.group is None else [_GROUP]
        self._rows = self._numbered(source)
        self._steps = range(len(relation.steps))

    def _numbered(self, source: str) -> str:
        """The rows with their number, in their group where there is one."""
        group, keys = self._relation.group, self._relation.keys
        if group is None:
            return f"SELECT *, row_number() OVER () AS {_PLACE} FROM {source}"
        writer = ExpressionWriter(self._generator, self._slots, {})
        order = ", ".join(writer.order_by(keys))
        name = writer.value(bound.ColumnRef(group.type, group))
        window = f"PARTITION BY {name}{f' ORDER BY {order}' if order else ''}"
        return f"SELECT *, {name} AS {_GROUP}, row_number() OVER ({window}) AS {_PLACE} FROM {source}"

    # names of what a row of the scan has

    @staticmethod
    def _active(step: int) -> str:
        return f'"$active{step}"'

    @staticmethod
    def _match(step: int) -> str:
        return f'"$match{step}"'

    @staticmethod
    def _shown(step: int, what: object) -> str:
        return f'"$shown{step}_{what}"'

    def _value(self, step: int, state: bound.ScanState) -> str:
        return f'"$state{step}_{state.column.id}"'

    def _states(self, step: int) -> Iterable[bound.ScanState]:
        """What the state of a step has: values of it and of the steps before."""
        return (state for state in self._relation.states if state.step <= step)

    def _empty(self, state: bound.ScanState) -> str:
        default = self._defaults.get(state.origin.id)
        return self._typed(state.origin, literal(state.origin.type, None if default is None else default.value))

    @staticmethod
    def _typed(column: bound.Column, sql: str) -> str:
        return f"CAST({sql} AS {DUCKDB_TYPES[column.type]})"

    # the query

    def select(self) -> Select:
        relation = self._relation
        rows, scan = self._generator.hoisted_name(), self._generator.hoisted_name()
        on = [f"{rows}.{_PLACE} = {scan}.{_PLACE} + 1", *(f"{rows}.{each} IS NOT DISTINCT FROM {scan}.{each}" for each in self._group)]
        state = ", ".join(f"{scan}.{name}" for name, _ in self._state())
        step = f"(SELECT {rows}.*, {state} FROM {scan} JOIN {rows} ON {' AND '.join(on)})"
        for index in reversed(self._steps):
            step = self._generator.measured(self._step(index, step))
        names = ", ".join([*self._row_names(), *(name for name, _ in self._state()), *self._shown_names()])
        shown = [self._matches(index, scan) for index in reversed(self._steps) if relation.steps[index].is_shown]
        lines = [
            f"WITH RECURSIVE {rows} AS MATERIALIZED (\n{self._rows}\n),",
            f"{scan} AS (\n{self._start(rows)}\nUNION ALL\nSELECT {names} FROM {step}\n)",
            "\nUNION ALL\n".join(shown) or f"{self._matches(0, scan)} AND false",
        ]
        order = ", ".join([*self._group, _PLACE, f"{_STEP} DESC"])
        text = "\n".join(["(", "SELECT * FROM (", *lines, f") ORDER BY {order}", ")"])
        slots = dict(self._slots)
        for column in self._declared:
            slots[column.id] = Slot(f'"$declared{column.id}"', True)
        slots[relation.columns[-1].id] = Slot(_MATCH, False)
        return Select(self._generator.measured(text), relation.columns, slots)

    def _row_names(self) -> list[str]:
        return [*(slot.sql for slot in self._slots.values()), *self._group, _PLACE]

    def _state(self) -> list[tuple[str, str]]:
        """The names of the state, each with what it is at first."""
        found = [(_NEXT, "0::BIGINT")]
        for step in self._steps:
            found += [(self._active(step), "false"), (self._match(step), "NULL::BIGINT")]
            found += [(self._value(step, state), self._empty(state)) for state in self._states(step)]
        return found

    def _shown_names(self) -> list[str]:
        return [self._shown(step, what) for step in self._steps for what in ("is", "match", *(column.id for column in self._declared))]

    def _start(self, rows: str) -> str:
        """A row before the first, of each group."""
        begin = [*(slot.sql for slot in self._slots.values()), *self._group, f"0::BIGINT AS {_PLACE}"]
        begin += [f"{value} AS {name}" for name, value in self._state()]
        for step in self._steps:
            begin += [f"false AS {self._shown(step, 'is')}", f"NULL::BIGINT AS {self._shown(step, 'match')}"]
            begin += [f"{self._typed(column, 'NULL')} AS {self._shown(step, column.id)}" for column in self._declared]
        return f"SELECT {', '.join(begin)} FROM {rows} WHERE {_PLACE} = 1"

    def _step(self, step: int, source: str) -> str:
        """What becomes of the rows and the state in one step."""
        made = self._relation.steps[step]
        goes_on, again = f'"$goes_on{step}"', f'"$again{step}"'
        hoisted: dict[str, str] = {}
        before, own = self._writer(step - 1, hoisted), self._writer(step, hoisted)
        checks = [f"{self._active(step - 1)} AND coalesce({before.condition(made.condition)}, false)" if step else "false"]
        may_match = own.condition(made.condition)
        checks.append(f"coalesce({may_match}, false)" if step == 0 else f"{self._active(step)} AND coalesce({may_match}, false)")
        source = f"(SELECT *, {checks[0]} AS {goes_on}, {checks[1]} AS {again} FROM {_with(hoisted, source)})"
        hoisted = {}
        before, own = self._writer(step - 1, hoisted), self._writer(step, hoisted)
        shown = [f"({goes_on} OR {again}) AS {self._shown(step, 'is')}"]
        first = f"CASE WHEN {self._active(0)} THEN {self._match(0)} ELSE {_NEXT} END"
        match = f"CASE WHEN {goes_on} THEN {self._match(step - 1)} ELSE {self._match(step)} END" if step else first
        shown.append(f"{match} AS {self._shown(step, 'match')}")
        for column, value, default in zip(self._declared, made.assignments, self._relation.defaults, strict=True):
            if value is None:
                sql = literal(column.type, default.value)
            elif step == 0:
                sql = own.value(value)
            else:
                sql = f"CASE WHEN {goes_on} THEN {before.value(value)} ELSE {own.value(value)} END"
            shown.append(f"{self._typed(column, sql)} AS {self._shown(step, column.id)}")
        source = f"(SELECT *, {', '.join(shown)} FROM {_with(hoisted, source)})"
        return f"(SELECT * REPLACE ({', '.join(self._changes(step, goes_on))}) FROM {source})"

    def _changes(self, step: int, goes_on: str) -> list[str]:
        matches = self._shown(step, "is")
        changes = []
        if step == 0:
            changes.append(f"CASE WHEN {matches} AND NOT {self._active(0)} THEN {_NEXT} + 1 ELSE {_NEXT} END AS {_NEXT}")
        changes.append(f"({self._active(step)} OR {matches}) AS {self._active(step)}")
        changes.append(f"CASE WHEN {matches} THEN {self._shown(step, 'match')} ELSE {self._match(step)} END AS {self._match(step)}")
        for state in self._states(step):
            name = self._value(step, state)
            if state.step < step:
                changes.append(f"CASE WHEN {goes_on} THEN {self._value(step - 1, state)} ELSE {name} END AS {name}")
            else:
                is_declared = state.origin.id in self._defaults
                value = self._shown(step, state.origin.id) if is_declared else self._slots[state.origin.id].sql
                changes.append(f"CASE WHEN {matches} THEN {value} ELSE {name} END AS {name}")
        if step:
            changes.append(f"({self._active(step - 1)} AND NOT {goes_on}) AS {self._active(step - 1)}")
            for state in self._states(step - 1):
                name = self._value(step - 1, state)
                changes.append(f"CASE WHEN {goes_on} THEN {self._empty(state)} ELSE {name} END AS {name}")
        return changes

    def _writer(self, step: int, hoisted: dict[str, str]) -> ExpressionWriter:
        """Writes over a row and the state of a step; what that does not have is empty."""
        slots = dict(self._slots)
        for state in self._relation.states:
            slots[state.column.id] = Slot(self._value(step, state) if state.step <= step else self._empty(state), True)
        return ExpressionWriter(self._generator, slots, hoisted)

    def _matches(self, step: int, scan: str) -> str:
        columns = [*self._row_names(), f"{step} AS {_STEP}", f"{self._shown(step, 'match')} AS {_MATCH}"]
        columns += [f'{self._shown(step, column.id)} AS "$declared{column.id}"' for column in self._declared]
        return f"SELECT {', '.join(columns)} FROM {scan} WHERE {self._shown(step, 'is')}"


def _with(hoisted: dict[str, str], source: str) -> str:
    """The source with what is computed because it is used in several places."""
    select = Select(source, (), {})
    select.hoisted = hoisted
    return select.read()
