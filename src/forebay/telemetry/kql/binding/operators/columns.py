"""Operators that choose, name and compute columns."""

from __future__ import annotations

from forebay.telemetry.kql.binding import bound, naming
from forebay.telemetry.kql.binding.binder import Binder, binds
from forebay.telemetry.kql.binding.environment import Environment
from forebay.telemetry.kql.binding.expressions import ExpressionBinder, error
from forebay.telemetry.kql.binding.outputs import ColumnNames, bind_outputs, named, unknown_column
from forebay.telemetry.kql.syntax import nodes
from forebay.telemetry.kql.types import KqlType

_SCHEMA_COLUMNS: tuple[tuple[str, KqlType], ...] = (
    ("ColumnName", "string"),
    ("ColumnOrdinal", "int"),
    ("DataType", "string"),
    ("ColumnType", "string"),
)
_DOTNET_TYPES: dict[KqlType, str] = {
    "bool": "System.SByte",
    "int": "System.Int32",
    "long": "System.Int64",
    "real": "System.Double",
    "decimal": "System.Data.SqlTypes.SqlDecimal",
    "datetime": "System.DateTime",
    "timespan": "System.TimeSpan",
    "string": "System.String",
    "guid": "System.Guid",
    "dynamic": "System.Object",
}


@binds(nodes.Project)
def _project(binder: Binder, node: nodes.Project, source: bound.Relation, environment: Environment) -> bound.Relation:
    return binder.compute(source, named(bind_outputs(ExpressionBinder(binder, environment, source.columns), node.outputs)))


@binds(nodes.Extend)
def _extend(binder: Binder, node: nodes.Extend, source: bound.Relation, environment: Environment) -> bound.Relation:
    return extend(binder, source, ExpressionBinder(binder, environment, source.columns), node.outputs)


@binds(nodes.Serialize)
def _serialize(binder: Binder, node: nodes.Serialize, source: bound.Relation, environment: Environment) -> bound.Relation:
    serialized = bound.Serialize(source.columns, source)
    if not node.outputs:
        return serialized
    return extend(binder, serialized, ExpressionBinder(binder, environment, source.columns), node.outputs)


def extend(binder: Binder, source: bound.Relation, expressions: ExpressionBinder, entries: tuple[nodes.Expression, ...]) -> bound.Relation:
    """The columns with new ones behind them. A new one takes the place of one with the same name."""
    outputs = bind_outputs(expressions, entries)
    computed: dict[str, bound.Expr] = {column.name: bound.ColumnRef(column.type, column) for column in source.columns}
    declared: set[str] = set()
    numbers: dict[str, int] = {}
    for output in outputs:
        name = output.name
        if name is None:
            name = naming.unnamed(computed, numbers)
        elif output.is_declared and not isinstance(output.node, nodes.Name):
            if name in declared:
                raise error(output.node, "type", f"a column with the name {name[:100]!r} is already declared")
            declared.add(name)
        computed[name] = output.expression
    return binder.compute(source, list(computed.items()))


@binds(nodes.ProjectAway)
def _project_away(binder: Binder, node: nodes.ProjectAway, source: bound.Relation, environment: Environment) -> bound.Relation:
    away = {column.id for column in ColumnNames(source).all(node.columns)}
    return keep(binder, source, [column for column in source.columns if column.id not in away])


@binds(nodes.ProjectKeep)
def _project_keep(binder: Binder, node: nodes.ProjectKeep, source: bound.Relation, environment: Environment) -> bound.Relation:
    kept = {column.id for column in ColumnNames(source).all(node.columns)}
    return keep(binder, source, [column for column in source.columns if column.id in kept])


def keep(binder: Binder, source: bound.Relation, columns: list[bound.Column]) -> bound.Relation:
    """These columns of the relation."""
    return binder.compute(source, [(column.name, bound.ColumnRef(column.type, column)) for column in columns])


@binds(nodes.ProjectByNames)
def _project_by_names(binder: Binder, node: nodes.ProjectByNames, source: bound.Relation, environment: Environment) -> bound.Relation:
    expressions = ExpressionBinder(binder, environment, ())
    columns = ColumnNames(source)
    by_name = {column.name: column for column in source.columns}
    found: dict[int, bound.Column] = {}
    for each in node.names:
        value = expressions.try_constant(each)
        names = value.value if value is not None and value.type == "dynamic" else None
        if value is not None and value.type == "string" and "*" in value.value:
            found |= {
                column.id: column for column in columns.matches(nodes.Wildcard(each.start, each.end, value.value)) if column.id not in found
            }
            continue
        if value is not None and value.type == "string":
            names = [value.value]
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise error(
                each,
                "type",
                "project-by-names: expected a constant: a text, or an array of texts",
                hint="'name', dynamic(['a', 'b']), 'a*'",
            )
        if any("*" in name for name in names):
            raise error(
                each,
                "unsupported",
                "project-by-names: a pattern within an array is not supported",
                hint="write the pattern as a text of its own",
                construct="project-by-names",
            )
        for name in names:  # a name that is no column is passed over
            if name in by_name:
                found.setdefault(by_name[name].id, by_name[name])
    return keep(binder, source, list(found.values()))


@binds(nodes.ProjectRename)
def _project_rename(binder: Binder, node: nodes.ProjectRename, source: bound.Relation, environment: Environment) -> bound.Relation:
    names = ColumnNames(source)
    renamed: dict[int, str] = {}
    taken: set[str] = set()
    for each in node.outputs:
        if not isinstance(each, nodes.Named) or not isinstance(each.expression, nodes.Name):
            raise error(each, "syntax", "project-rename: expected new = old")
        (column,) = names.matches(each.expression)
        if column.id in renamed or each.names[0] in taken:
            raise error(each, "type", "project-rename: expected each column, and each new name, once")
        renamed[column.id] = each.names[0]
        taken.add(each.names[0])
    left = {column.name for column in source.columns if column.id not in renamed}
    for each, name in zip(node.outputs, renamed.values(), strict=True):
        if name in left:
            raise error(each, "type", f"a column with the name {name[:100]!r} is already there")
    return binder.compute(
        source, [(renamed.get(column.id, column.name), bound.ColumnRef(column.type, column)) for column in source.columns]
    )


@binds(nodes.ProjectReorder)
def _project_reorder(binder: Binder, node: nodes.ProjectReorder, source: bound.Relation, environment: Environment) -> bound.Relation:
    names = ColumnNames(source)
    ordered: dict[int, bound.Column] = {}
    for key in node.keys:
        found = names.matches(key.column)
        if key.direction:
            by = _granny if key.direction.startswith("granny") else str.lower
            found.sort(key=lambda column, by=by: by(column.name), reverse=key.direction.endswith("desc"))  # type: ignore[misc]
        for column in found:
            ordered.setdefault(column.id, column)
    for column in source.columns:
        ordered.setdefault(column.id, column)
    return keep(binder, source, list(ordered.values()))


def _granny(name: str) -> str:
    """An order in which `a2` is before `a10`: numbers are filled up with zeros."""
    import re

    return re.sub(r"\d+", lambda digits: digits[0].zfill(40), name.lower())


@binds(nodes.GetSchema)
def _getschema(binder: Binder, node: nodes.GetSchema, source: bound.Relation, environment: Environment) -> bound.Relation:
    rows = tuple((column.name, index, _DOTNET_TYPES[column.type], column.type) for index, column in enumerate(source.columns))
    return bound.Rows(tuple(binder.column(name, kind) for name, kind in _SCHEMA_COLUMNS), rows)


@binds(nodes.AssertSchema)
def _assert_schema(binder: Binder, node: nodes.AssertSchema, source: bound.Relation, environment: Environment) -> bound.Relation:
    has = {column.name: column for column in source.columns}
    for name, kind in node.columns:
        if name not in has:
            raise unknown_column(node, name, source)
        if has[name].type != kind:
            raise error(node, "type", f"expected the column {name} to be {kind}, got {has[name].type}")
    return source
