"""`bag_unpack` and `narrow`: bags as columns, and columns as rows.

Source: https://learn.microsoft.com/kusto/query/bag-unpack-plugin, https://learn.microsoft.com/kusto/query/narrow-plugin
"""

from __future__ import annotations

from typing import Any

from forebay.telemetry.kql.binding import bound, calls
from forebay.telemetry.kql.binding.operators.evaluate import Plugin, plugin
from forebay.telemetry.kql.functions import registry
from forebay.telemetry.kql.types import KqlType

COLUMN_LIMIT = 1_000  # that a plugin may make of data
_CONFLICTS = ("error", "replace_source", "keep_source")
# what `gettype` says of a value in a bag
_TYPES: dict[str, KqlType] = {
    "long": "long",
    "int": "long",
    "double": "real",
    "real": "real",
    "bool": "bool",
    "string": "string",
    "datetime": "datetime",
    "timespan": "timespan",
    "guid": "guid",
}


@plugin("bag_unpack")
def _bag_unpack(use: Plugin) -> bound.Relation:
    given = use.arguments("Column", "OutputColumnPrefix", "columnsConflict", "ignoredProperties", required=1)
    bag = use.column(given["Column"])
    if bag.type != "dynamic":
        raise use.error(f"expected a dynamic column, got {bag.type}", given["Column"])
    prefix = use.constant(given["OutputColumnPrefix"], "string") if "OutputColumnPrefix" in given else ""
    conflict = use.constant(given["columnsConflict"], "string") if "columnsConflict" in given else "error"
    if conflict not in _CONFLICTS:
        raise use.error(f"expected columnsConflict to be {', '.join(_CONFLICTS)}, got {conflict}", given["columnsConflict"])
    ignored = use.constant(given["ignoredProperties"], "dynamic") if "ignoredProperties" in given else ()
    outputs: dict[str, bound.Expr] = {
        column.name: bound.ColumnRef(column.type, column) for column in use.source.columns if column.id != bag.id
    }
    if use.node.schema is not None:
        return _with_schema(use, bag, prefix, outputs, use.node.schema)
    slots = {name: kind for name, kind in _slots(use, bag).items() if name not in (ignored or ())}
    for name in sorted(slots):
        if prefix + name in outputs and conflict == "error":
            hint = "columnsConflict='replace_source' or 'keep_source', or a prefix"
            raise use.error(f"the bags have a value {prefix + name!r}, which is a column already ({hint})")
        if prefix + name not in outputs or conflict == "replace_source":
            outputs[prefix + name] = _value(bag, name, slots[name])
    return use.binder.compute(use.source, list(outputs.items()))


def _with_schema(
    use: Plugin, bag: bound.Column, prefix: str, outputs: dict[str, bound.Expr], schema: tuple[tuple[str, KqlType | str], ...]
) -> bound.Relation:
    """Only the columns that the query names, and all of the source where it begins with a star."""
    found = dict(outputs) if schema and schema[0][0] == "*" else {}
    for name, kind in schema:
        if name == "*":
            continue
        if name in outputs and name not in found:
            found[name] = outputs[name]
        else:
            found[name] = _value(bag, name.removeprefix(prefix), kind)  # type: ignore[arg-type]
    return use.binder.compute(use.source, list(found.items()))


def _value(bag: bound.Column, name: str, kind: KqlType) -> bound.Expr:
    value = calls.call("member", [bound.ColumnRef("dynamic", bag), bound.Constant("string", name)], 0, 0)
    return calls.convert(value, kind)


def _slots(use: Plugin, bag: bound.Column) -> dict[str, KqlType]:
    """The names in all bags with the type of their values: dynamic where values differ."""
    pair = use.binder.column("pair", "dynamic")
    pairs = bound.Expand((*use.source.columns, pair), use.source, (bound.ColumnRef("dynamic", bag),), (pair,), is_array=True)
    is_bag = calls.call("==", [_type_of(bound.ColumnRef("dynamic", bag)), bound.Constant("string", "dictionary")], 0, 0)
    only_bags = bound.Filter(pairs.columns, pairs, is_bag)
    name, value = (calls.call("element", [bound.ColumnRef("dynamic", pair), bound.Constant("long", place)], 0, 0) for place in (0, 1))
    found: dict[str, KqlType] = {}
    for slot, kind in use.explore(_distinct(use, only_bags, [calls.convert(name, "string"), _type_of(value)])):
        if kind == "null":
            continue
        known = _TYPES.get(kind, "dynamic")
        found[slot] = known if found.get(slot, known) == known else "dynamic"
    if len(found) > COLUMN_LIMIT:
        raise use.error(f"the bags have {len(found)} different names, expected at most {COLUMN_LIMIT}")
    return found


def _type_of(value: bound.Expr) -> bound.Expr:
    return calls.call("gettype", [value], 0, 0)


def _distinct(use: Plugin, source: bound.Relation, keys: list[bound.Expr]) -> bound.Relation:
    columns = tuple(use.binder.column("key", key.type) for key in keys)
    return bound.Summarize(columns, source, tuple(keys), ())


@plugin("narrow")
def _narrow(use: Plugin) -> bound.Relation:
    use.arguments(required=0)
    for column in use.source.columns:
        if column.type in ("bool", "datetime", "timespan"):
            raise use.error(
                f"the column {column.name} is {column.type}, which is not supported; extend {column.name} = tostring({column.name})"
            )
    position = use.binder.column("Row", "long")
    (row_number,) = registry.find("row_number")
    first = bound.WindowCall("long", row_number, (bound.Constant("long", 0), None))
    refs = [bound.ColumnRef(column.type, column) for column in use.source.columns]
    numbered = bound.Compute((*use.source.columns, position), use.source, (*refs, first))
    names: list[Any] = [column.name for column in use.source.columns]
    values = calls.call("pack_array", [calls.convert(each, "string") for each in refs], 0, 0)
    name, value = (use.binder.column(each, "dynamic") for each in ("Column", "Value"))
    rows = bound.Expand(
        (*numbered.columns, name, value), numbered, (bound.Constant("dynamic", names), values), (name, value), is_array=False
    )
    outputs: list[tuple[str, bound.Expr]] = [("Row", bound.ColumnRef("long", position))]
    outputs += [(each.name, calls.convert(bound.ColumnRef("dynamic", each), "string")) for each in (name, value)]
    return use.binder.compute(rows, outputs)
