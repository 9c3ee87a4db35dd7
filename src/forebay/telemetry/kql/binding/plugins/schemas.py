"""`schema_merge`: one schema of several, in the form of `getschema`.

Source: https://learn.microsoft.com/kusto/query/schema-merge-plugin
"""

from __future__ import annotations

from typing import Any

from forebay.telemetry.kql.binding import bound
from forebay.telemetry.kql.binding.operators.evaluate import Plugin, plugin
from forebay.telemetry.kql.types import KqlType

_COLUMNS: tuple[tuple[str, KqlType], ...] = (
    ("ColumnName", "string"),
    ("ColumnOrdinal", "long"),
    ("DataType", "string"),
    ("ColumnType", "string"),
)
_OUT_OF_ORDER = "ERROR(columns are out of order)"


@plugin("schema_merge")
def _schema_merge(use: Plugin) -> bound.Relation:
    given = use.arguments("PreserveOrder", required=0)
    preserves_order = use.constant(given["PreserveOrder"], "bool") if given else True
    by_name = {column.name: column for column in use.source.columns}
    if not all(name in by_name for name, _ in _COLUMNS):
        raise use.error("expected the columns of getschema")
    columns = tuple(by_name[name] for name, _ in _COLUMNS)
    outputs = tuple(bound.ColumnRef(column.type, column) for column in columns)
    merged = _merged(use, use.explore(bound.Compute(columns, use.source, outputs)), preserves_order=preserves_order)
    return bound.Rows(tuple(use.binder.column(name, kind) for name, kind in _COLUMNS), tuple(merged))


def _merged(use: Plugin, rows: list[tuple[Any, ...]], *, preserves_order: bool) -> list[tuple[Any, ...]]:
    found: dict[str, tuple[Any, ...]] = {}
    for name, ordinal, data_type, kind in rows:
        known = found.setdefault(name, (ordinal, data_type, kind))
        if known[2] not in (kind, _OUT_OF_ORDER):
            raise use.error(f"the column {name} is {known[2]} in one schema, {kind} in another")
        if known[0] != ordinal:
            out_of_order = (-1, f"ERROR(unknown CSL type:{_OUT_OF_ORDER})", _OUT_OF_ORDER)
            found[name] = out_of_order if preserves_order else (max(known[0], ordinal), data_type, kind)
    ordered = sorted(found.items(), key=lambda each: (each[1][0] < 0, each[1][0]))
    return [(name, place if ordinal >= 0 else -1, *types) for place, (name, (ordinal, *types)) in enumerate(ordered)]
