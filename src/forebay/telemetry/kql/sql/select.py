"""One `SELECT` on its way: operators are added to it as long as they mean the same there; then a new one is begun around it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from msgspec import Struct

from forebay.telemetry.kql.binding.bound import Column
from forebay.telemetry.kql.sql.literals import quoted_name

_NAME = re.compile(r'"(?:[^"]|"")*"')


class Slot(Struct, frozen=True):
    """What a column is in SQL, over what the `SELECT` reads."""

    sql: str
    is_nullable: bool  # of a string: whether it may be NULL
    is_name: bool = True  # a name, not something to compute


class Select:
    """A query over one source. `slots` are its outputs, by the id of their columns."""

    __slots__ = (
        "can_hoist",
        "columns",
        "has_rowid",
        "has_windows",
        "hoisted",
        "keys",
        "limit",
        "order",
        "qualify",
        "slots",
        "source",
        "where",
    )

    def __init__(self, source: str, columns: Iterable[Column], slots: Mapping[int, Slot], *, can_hoist: bool = True) -> None:
        self.source = source  # what stands after FROM; '' for one row without columns
        self.columns = tuple(columns)
        self.slots = dict(slots)
        self.can_hoist = can_hoist  # whether columns may be added below by `SELECT *`
        self.has_rowid = False  # whether the source is a table in which a row is found again by its `rowid`
        self.where: list[str] = []
        self.keys: list[str] | None = None  # what it groups by; none for one group of all rows
        self.has_windows = False  # some output looks at other rows
        self.order: list[str] = []
        self.limit: str | None = None
        self.hoisted: dict[str, str] = {}  # what is computed below because it is used in several places: SQL -> name
        self.qualify = ""  # `DISTINCT ON (...)`, before the outputs

    @property
    def is_plain(self) -> bool:
        """Whether it only filters and computes row by row, so that conditions may be added."""
        return self.keys is None and self.limit is None and not self.has_windows and not self.qualify

    def aliases(self) -> dict[int, str]:
        """A name for each output; DuckDB's are unique whatever their case.

        ORDER BY and DISTINCT ON take a name for the output of that name before they take it for the column that is read, so none of the
        names there is given to anything else.
        """
        meant = {name[1:-1].replace('""', '"').lower() for text in (*self.order, self.qualify) for name in _NAME.findall(text)}
        taken: set[str] = set()
        found: dict[int, str] = {}
        for column in self.columns:
            name, number = column.name, 1
            is_given = not meant or self.slots[column.id].sql == quoted_name(name)
            while not name or name.lower() in taken or (not is_given and name.lower() in meant):
                name, number = f"{column.name}_{number}", number + 1
                is_given = not meant
            taken.add(name.lower())
            found[column.id] = quoted_name(name)
        return found

    def text(self) -> str:
        """The SQL."""
        aliases = self.aliases()
        outputs: list[str] = []
        places: dict[str, int] = {}
        for column in self.columns:
            sql, alias = self.slots[column.id].sql, aliases[column.id]
            outputs.append(sql if sql == alias else f"{sql} AS {alias}")
            places.setdefault(sql, len(outputs))
        lines = [f"SELECT {self.qualify}{', '.join(outputs) or 'NULL'}", *self.from_where()]
        if self.keys:
            lines.append(f"GROUP BY {', '.join(str(places.get(key, key)) for key in self.keys)}")
        if self.order:
            lines.append(f"ORDER BY {', '.join(self.order)}")
        if self.limit is not None:
            lines.append(f"LIMIT {self.limit}")
        return "\n".join(lines)

    def from_where(self) -> list[str]:
        """The lines that say which rows it reads."""
        lines = [f"FROM {self.read()}"] if self.source or self.hoisted else []
        return [*lines, f"WHERE {' AND '.join(self.where)}"] if self.where else lines

    def read(self) -> str:
        """What it reads, with what is computed below."""
        source = self.source
        level: dict[str, str] = {"rowid": "rowid"} if self.hoisted and self.has_rowid else {}  # which `*` leaves out
        for sql, name in self.hoisted.items():
            # where an output refers to another one of its own SELECT, DuckDB copies that one: twice, four times, ...
            if any(known in sql for known in level.values()):
                source, level = _with_computed(source, level), {}
            level[sql] = name
        return _with_computed(source, level) if level else source

    def keep(self, rowids: str) -> None:
        """Let only the rows with these numbers through: another query chooses them by few columns, this one then reads few rows."""
        self.where = [f"rowid IN (\n{rowids}\n)"]

    def nested(self) -> Select:
        """A new one around this one, with the same outputs."""
        aliases = self.aliases()
        slots = {column.id: Slot(aliases[column.id], self.slots[column.id].is_nullable) for column in self.columns}
        return Select(f"(\n{self.text()}\n)", self.columns, slots)

    def as_source(self) -> tuple[str, dict[int, str]]:
        """What another one writes after FROM to read it, and the names of its outputs there."""
        is_whole = (
            self.is_plain and self.can_hoist and not self.where and not self.order and not self.hoisted and self.source.startswith('"')
        )
        if is_whole and all(slot.is_name for slot in self.slots.values()):
            return self.source, {column.id: self.slots[column.id].sql for column in self.columns}
        return f"(\n{self.text()}\n)", self.aliases()


def _with_computed(source: str, computed: Mapping[str, str]) -> str:
    """The source with more columns: SQL -> name."""
    columns = ", ".join(f"{sql} AS {name}" for sql, name in computed.items())
    return f"(SELECT *, {columns} FROM {source})" if source else f"(SELECT {columns})"
