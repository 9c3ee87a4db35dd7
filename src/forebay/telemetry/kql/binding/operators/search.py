"""Predicates over all columns (`where * has 'x'`), `search` and `find`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from forebay.telemetry.kql.binding import bound
from forebay.telemetry.kql.binding.binder import Binder, binds, binds_source
from forebay.telemetry.kql.binding.environment import Environment, ScalarBinding
from forebay.telemetry.kql.binding.expressions import ExpressionBinder, error
from forebay.telemetry.kql.binding.operators.union import Source, concat, null_of, tables_like
from forebay.telemetry.kql.syntax import nodes
from forebay.telemetry.kql.types import KqlType

# what a text is looked for in; others are never meant by one
_SEARCHED: frozenset[KqlType] = frozenset({"string", "dynamic", "guid", "int", "long"})


def bind_predicate(
    expressions: ExpressionBinder, node: nodes.Expression, *, is_search: bool = False, is_case_sensitive: bool = False
) -> bound.Expr:
    """A condition in which `*` means any column and, in `search`, a text alone is looked for."""
    rewritten = _Rewriting(expressions, is_search, is_case_sensitive).rewrite(node, 0)
    return expressions.bind_condition(rewritten, "search" if is_search else "where")


class _Rewriting:
    """Writes out what `*` and texts alone stand for."""

    def __init__(self, expressions: ExpressionBinder, is_search: bool, is_case_sensitive: bool) -> None:
        self._expressions = expressions
        self._is_search = is_search
        self._suffix = "_cs" if is_case_sensitive else ""

    def rewrite(self, node: nodes.Expression, depth: int) -> nodes.Expression:
        """The same condition without stars."""
        if isinstance(node, nodes.Binary) and node.operator in ("and", "or"):
            return self._chain(node, depth)
        if isinstance(node, nodes.Call) and node.name == "not" and len(node.arguments) == 1:
            return nodes.Call(node.start, node.end, "not", (self.rewrite(node.arguments[0], depth + 1),))
        if isinstance(node, nodes.Binary) and isinstance(node.left, nodes.Wildcard) and node.left.pattern == "*":
            return self._any(node, lambda column: nodes.Binary(node.start, node.end, node.operator, self._column(node, column), node.right))
        if isinstance(node, nodes.In) and isinstance(node.operand, nodes.Wildcard) and node.operand.pattern == "*":
            return self._any(node, lambda column: nodes.In(node.start, node.end, node.operator, self._column(node, column), node.items))
        if self._is_search and isinstance(node, nodes.Wildcard):
            return nodes.Literal(node.start, node.end, "bool", True)
        if self._is_search and isinstance(node, nodes.SearchTerm):
            return self._term(node)
        if self._is_search and isinstance(node, nodes.Literal) and node.type != "bool":
            return self._term(nodes.SearchTerm(node.start, node.end, None, node))
        return node

    def _chain(self, node: nodes.Binary, depth: int) -> nodes.Expression:
        operands: list[tuple[str, nodes.Expression]] = []
        here: nodes.Expression = node
        while isinstance(here, nodes.Binary) and here.operator in ("and", "or"):
            operands.append((here.operator, self.rewrite(here.right, depth + 1)))
            here = here.left
        value = self.rewrite(here, depth + 1)
        for operator, right in reversed(operands):
            value = nodes.Binary(node.start, node.end, operator, value, right)
        return value

    def _any(self, node: nodes.Node, make: object) -> nodes.Expression:
        found: nodes.Expression | None = None
        for column in self._expressions.columns.values():
            if column.type in _SEARCHED:
                each: nodes.Expression = make(column)  # type: ignore[operator]
                found = each if found is None else nodes.Binary(node.start, node.end, "or", found, each)
        return found if found is not None else nodes.Literal(node.start, node.end, "bool", False)

    def _column(self, node: nodes.Node, column: bound.Column) -> nodes.Expression:
        name = nodes.Name(node.start, node.end, column.name)
        return name if column.type == "string" else nodes.Call(node.start, node.end, "tostring", (name,))

    def _term(self, node: nodes.SearchTerm) -> nodes.Expression:
        value = node.term
        if isinstance(value, nodes.Literal) and value.type != "string":
            value = nodes.Literal(value.start, value.end, "string", str(value.value))
        if not isinstance(value, nodes.Literal):
            raise error(node, "type", "expected a constant text to search for")
        operator, text = _operator_of(node, str(value.value), self._suffix)
        literal = nodes.Literal(value.start, value.end, "string", text)
        if text == "" and operator.startswith("contains"):
            return nodes.Literal(node.start, node.end, "bool", True)
        if node.column is not None:
            column = self._expressions.columns.get(node.column)
            if column is None:  # another table's, or none at all
                self._expressions.bind(nodes.Name(node.start, node.end, node.column))
                return nodes.Literal(node.start, node.end, "bool", False)
            return nodes.Binary(node.start, node.end, operator, self._column(node, column), literal)
        return self._any(node, lambda column: nodes.Binary(node.start, node.end, operator, self._column(node, column), literal))


def _operator_of(node: nodes.Node, text: str, suffix: str) -> tuple[str, str]:
    """How a term with stars is looked for."""
    inside = text.strip("*")
    if "*" in inside:
        message = "a star within a term to search for is not supported"
        raise error(node, "unsupported", message, hint="where column matches regex ...", construct="search 'a*b'")
    starts, ends = text.startswith("*"), text.endswith("*") and len(text) > 1
    if (starts and ends) or not inside:
        return f"contains{suffix}", inside
    if starts:
        return f"hassuffix{suffix}", inside
    if ends:
        return f"hasprefix{suffix}", inside
    return f"has{suffix}", text


def _tables(binder: Binder, tables: Sequence[nodes.Expression], environment: Environment, node: nodes.Node) -> list[Source]:
    if not tables:
        return tables_like(binder, nodes.Wildcard(node.start, node.end, "*"), environment)
    found: list[Source] = []
    for table in tables:
        if isinstance(table, nodes.Wildcard):
            found += tables_like(binder, table, environment)
        elif isinstance(table, nodes.Name):
            found.append((table.name, binder.relation(table, environment)))
        else:
            raise error(table, "type", "expected the name of a table, or a pattern such as abc*")
    return found


def _types(sources: Sequence[Source]) -> dict[str, KqlType]:
    """All columns of the tables, each with its type in the first one that has it."""
    found: dict[str, KqlType] = {}
    for _, relation in sources:
        for column in relation.columns:
            found.setdefault(column.name, column.type)
    return found


def _filtered(
    binder: Binder,
    source: bound.Relation,
    environment: Environment,
    predicate: nodes.Expression,
    parameters: Sequence[nodes.Parameter],
    types: Mapping[str, KqlType],
) -> bound.Relation:
    """The rows for which the predicate is true; columns that only other tables have (`types` has all) are null."""
    scope = Environment(environment)
    for name in types.keys() - {column.name for column in source.columns}:
        scope.set(name, ScalarBinding(null_of(types[name])))
    expressions = ExpressionBinder(binder, scope, source.columns)
    is_case_sensitive = any(each.name == "kind" and each.value == "case_sensitive" for each in parameters)
    return bound.Filter(source.columns, source, bind_predicate(expressions, predicate, is_search=True, is_case_sensitive=is_case_sensitive))


@binds(nodes.Search)
def _search(binder: Binder, node: nodes.Search, source: bound.Relation, environment: Environment) -> bound.Relation:
    found = _filtered(binder, source, environment, node.predicate, node.parameters, {})
    table = source
    while isinstance(table, (bound.Filter, bound.Compute, bound.Sort, bound.Take, bound.Sample, bound.Serialize)):
        table = table.source
    if not isinstance(table, bound.Table) or any(column.name == "$table" for column in source.columns):
        message = "search is supported after a table and its where, extend, project, take and sort only"
        raise error(node, "unsupported", message, hint="where * has 'text' looks into all columns", construct="search")
    passed: list[tuple[str, bound.Expr]] = [(column.name, bound.ColumnRef(column.type, column)) for column in source.columns]
    return binder.compute(found, [("$table", bound.Constant("string", table.table.name)), *passed])


@binds_source(nodes.SearchSource)
def _search_source(binder: Binder, node: nodes.SearchSource, environment: Environment) -> bound.Relation:
    search = node.search
    sources = _tables(binder, search.tables, environment, node)
    types = _types(sources)
    filtered = [(name, _filtered(binder, relation, environment, search.predicate, search.parameters, types)) for name, relation in sources]
    return concat(binder, filtered, node, source_column="$table")


@binds_source(nodes.Find)
def _find(binder: Binder, node: nodes.Find, environment: Environment) -> bound.Relation:
    if not node.outputs:
        message = "find without project is not supported"
        raise error(node, "unsupported", message, hint="add `project` with the columns", construct="find without project")
    source_column = next((each.value for each in node.parameters if each.name in ("withsource", "with_source")), "source_")
    sources = _tables(binder, node.tables, environment, node)
    types = _types(sources)
    # a table is searched only where it has one of the columns of the predicate, or all are searched for a text alone
    names = _names(node.predicate)
    if len(sources) > 1 and names is not None:
        with_names = [source for source in sources if any(column.name in names for column in source[1].columns)]
        sources = with_names or sources
    found: list[Source] = []
    for name, relation in sources:
        filtered = _filtered(binder, relation, environment, node.predicate, (), types)
        found.append((name, binder.compute(filtered, [_shown(output, relation, types) for output in node.outputs])))
    return concat(binder, found, node, source_column=source_column)


def _shown(output: nodes.Expression, relation: bound.Relation, types: Mapping[str, KqlType]) -> tuple[str, bound.Expr]:
    """A column of `find`: that of the table, or null where only other tables have it."""
    if not isinstance(output, nodes.Name):
        message = "find: a type or pack() after project is not supported; expected the name of a column"
        raise error(output, "unsupported", message, hint="project it after find", construct="find project")
    column = next((column for column in relation.columns if column.name == output.name), None)
    if column is not None:
        return output.name, bound.ColumnRef(column.type, column)
    if output.name not in types:
        raise error(output, "unknown_column", f"there is no column {output.name[:100]!r} in any of these tables")
    return output.name, null_of(types[output.name])


def _names(predicate: nodes.Expression) -> set[str] | None:
    """The names in a predicate of `find`; None where it looks into all columns."""
    found: set[str] = set()
    pending: list[Any] = [(predicate, True)]
    while pending:
        each, is_condition = pending.pop()
        if isinstance(each, nodes.Wildcard) or (is_condition and isinstance(each, nodes.Literal) and each.type == "string"):
            return None
        if isinstance(each, nodes.Name):
            found.add(each.name)
        elif isinstance(each, nodes.SearchTerm):
            if each.column is None:
                return None
            found.add(each.column)
        elif isinstance(each, nodes.Node):
            is_logic = isinstance(each, nodes.Binary) and each.operator in ("and", "or")
            pending += [(getattr(each, field), is_condition and is_logic) for field in each.__struct_fields__]
        elif isinstance(each, tuple):
            pending += [(inner, False) for inner in each]
    return found
