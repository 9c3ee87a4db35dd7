"""`union`."""

from __future__ import annotations

from collections.abc import Sequence

from forebay.telemetry.kql.binding import bound, naming
from forebay.telemetry.kql.binding.binder import Binder, binds
from forebay.telemetry.kql.binding.environment import Broken, Environment, FunctionBinding
from forebay.telemetry.kql.binding.expressions import error
from forebay.telemetry.kql.binding.outputs import matches_wildcard
from forebay.telemetry.kql.errors import KqlError
from forebay.telemetry.kql.syntax import nodes
from forebay.telemetry.kql.types import KqlType

Source = tuple[str, bound.Relation]  # the name that `withsource` shows


@binds(nodes.Union)
def _union(binder: Binder, node: nodes.Union, source: bound.Relation, environment: Environment) -> bound.Relation:
    return bind_union(binder, node, source, environment)


def bind_union(binder: Binder, node: nodes.Union, first: bound.Relation | None, environment: Environment) -> bound.Relation:
    """The rows of several tables, after those of `first` where there is one."""
    settings = {parameter.name: parameter.value for parameter in node.parameters}
    kind = settings.get("kind", "outer")
    if kind not in ("outer", "inner"):
        raise error(node, "type", f"there is no kind {kind[:50]!r} of union; expected inner or outer")
    sources: list[Source] = [] if first is None else [(_name_of(first, environment) or "union_arg0", first)]
    for table in node.tables:
        try:
            sources += _sources(binder, table, environment, len(sources))
        except KqlError as wrong:
            if settings.get("isfuzzy", "false").lower() != "true" or any(each.code != "unknown_table" for each in wrong.diagnostics):
                raise
    if not sources:
        raise error(node, "unknown_table", "none of the tables of this union is there")
    with_source = settings.get("withsource") or settings.get("with_source")
    return concat(binder, sources, node, is_inner=kind == "inner", source_column=with_source)


def _sources(binder: Binder, table: nodes.Expression, environment: Environment, index: int) -> list[Source]:
    if isinstance(table, nodes.Wildcard):
        return tables_like(binder, table, environment)
    name = f"union_arg{index}"
    if isinstance(table, nodes.Name):
        name = table.name
    elif isinstance(table, nodes.Pipeline) and isinstance(table.operators[-1], nodes.As):
        name = table.operators[-1].name
    return [(name, binder.relation(table, environment))]


def _name_of(relation: bound.Relation, environment: Environment) -> str | None:
    """The name that `as` has given the rows in the operator right before."""
    return relation.name if isinstance(relation, bound.Shared) and environment.is_set(relation.name) else None


def tables_like(binder: Binder, pattern: nodes.Wildcard, environment: Environment) -> list[Source]:
    """Tables by a pattern, and what `let` has named with `view`. Raises `KqlError` where there is none."""
    names = environment.names()
    found: list[Source] = [
        (name, binder.table(schema))
        for name, schema in binder.schema.items()
        if matches_wildcard(pattern.pattern, name) and not isinstance(names.get(name), Broken)
    ]
    for name, binding in names.items():
        if isinstance(binding, FunctionBinding) and binding.function.is_view and matches_wildcard(pattern.pattern, name):
            found.append((name, binder.relation(nodes.Name(pattern.start, pattern.end, name), environment)))
    if not found:
        raise error(pattern, "unknown_table", f"there is no table like {pattern.pattern[:100]!r}")
    binder.weigh(pattern, len(found))
    return found


def concat(
    binder: Binder, sources: Sequence[Source], node: nodes.Node, *, is_inner: bool = False, source_column: str | None = None
) -> bound.Relation:
    """All rows of the sources, with the columns of all of them, or, where `is_inner`, those that all have.

    Columns of one name and different types become several: `a_long`, `a_string`.
    """
    types: dict[str, list[KqlType]] = {}
    for _, relation in sources:
        for column in relation.columns:
            kinds = types.setdefault(column.name, [])
            if column.type not in kinds:
                kinds.append(column.type)
    if is_inner:
        types = {name: kinds for name, kinds in types.items() if all(_has(relation, name) for _, relation in sources)}
    wanted: list[tuple[str, str, KqlType]] = []  # as it is called, as it is called in the source, and its type
    for name, kinds in types.items():
        if is_inner and len(kinds) > 1:
            raise error(
                node, "type", f"expected {name[:100]} to have one type in all tables of a union of kind=inner, got {', '.join(kinds)}"
            )
        wanted += [(name if len(kinds) == 1 else naming.unique(f"{name}_{kind}", types), name, kind) for kind in kinds]
    _check_names([name for name, _, _ in wanted] + ([] if source_column is None else [source_column]), node)
    columns = [binder.column(name, kind) for name, _, kind in wanted]
    outputs: list[list[bound.Expr]] = []
    for _, relation in sources:
        has = {(column.name, column.type): column for column in relation.columns}
        outputs.append([])
        for _, name, kind in wanted:
            found = has.get((name, kind))
            outputs[-1].append(bound.ColumnRef(kind, found) if found is not None else null_of(kind))
    if source_column is not None:
        columns.insert(0, binder.column(source_column, "string"))
        for (name, _), output in zip(sources, outputs, strict=True):
            output.insert(0, bound.Constant("string", name))
    return bound.Concat(tuple(columns), tuple(relation for _, relation in sources), tuple(tuple(output) for output in outputs))


def _has(relation: bound.Relation, name: str) -> bool:
    return any(column.name == name for column in relation.columns)


def _check_names(names: Sequence[str], node: nodes.Node) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise error(node, "type", f"two columns of the result would be called {name[:100]!r}", hint="rename one before")
        seen.add(name)


def null_of(kind: KqlType) -> bound.Constant:
    """What is there where nothing is."""
    return bound.Constant(kind, "" if kind == "string" else None)
