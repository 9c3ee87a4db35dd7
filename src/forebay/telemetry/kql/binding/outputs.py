"""Binds lists of outputs, `a = x, y, (b, c) = f(z)`, and names them."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from forebay.telemetry.kql.binding import bound, naming
from forebay.telemetry.kql.binding.expressions import ExpressionBinder, error
from forebay.telemetry.kql.binding.spread import SPREADS
from forebay.telemetry.kql.errors import DIAGNOSTICS_LIMIT, Diagnostic, KqlError
from forebay.telemetry.kql.syntax import nodes

_TRIED_LIMIT = 200_000  # columns times wildcards


class Output(Struct, frozen=True):
    """A column that an expression makes.

    `name` is None where nothing names it. It is declared where the query says it, `name = e`, or names a column; only such names may not
    come twice.
    """

    name: str | None
    is_declared: bool
    expression: bound.Expr
    node: nodes.Node


def bind_outputs(expressions: ExpressionBinder, entries: Sequence[nodes.Expression]) -> list[Output]:
    """The columns of a list of expressions. Raises `KqlError` with what is wrong in each of them."""
    found: list[Output] = []
    wrong: list[Diagnostic] = []
    for entry in entries:
        try:
            found += bind_output(expressions, entry)
        except KqlError as broken:
            wrong += broken.diagnostics
            if len(wrong) >= DIAGNOSTICS_LIMIT or any(each.code == "too_complex" for each in broken.diagnostics):
                break
    if wrong:
        raise KqlError(*wrong)
    return found


def bind_output(expressions: ExpressionBinder, entry: nodes.Expression) -> list[Output]:
    """The columns of one expression: several for `(a, b) = arg_max(x, y)`."""
    node = entry.expression if isinstance(entry, nodes.Named) else entry
    names = entry.names if isinstance(entry, nodes.Named) else ()
    spread = SPREADS.get(node.name) if isinstance(node, nodes.Call) and node.object is None else None
    columns = spread(expressions, node) if spread is not None and isinstance(node, nodes.Call) else None
    if columns is None:
        if len(names) > 1:
            raise error(entry, "type", f"expected an expression of {len(names)} columns, got one of one column")
        expression = expressions.bind(node)
        if names:
            return [Output(names[0], True, expression, entry)]
        is_column = isinstance(expression, bound.ColumnRef) and expressions.columns.get(expression.column.name) == expression.column
        return [Output(naming.result_name(node, expressions.columns, expressions.constant_value), is_column, expression, entry)]
    if len(names) > len(columns):
        raise error(entry, "type", f"{getattr(node, 'name', '')}() answers {len(columns)} columns, got {len(names)} names")
    return [
        Output(names[index] if index < len(names) else name, index < len(names), expression, entry)
        for index, (name, expression) in enumerate(columns)
    ]


def named(outputs: Sequence[Output], taken: Sequence[str] = ()) -> list[tuple[str, bound.Expr]]:
    """The columns with names that are unique, those in `taken` left alone. Raises `KqlError` for a declared name that comes twice."""
    found: list[tuple[str, bound.Expr]] = []
    used = set(taken)
    declared: set[str] = set()
    for output in outputs:
        if output.is_declared and output.name is not None:
            if output.name in declared:
                raise error(output.node, "type", f"a column with the name {output.name[:100]!r} is already declared")
            declared.add(output.name)
    used |= declared
    numbers: dict[str, int] = {}
    for output in outputs:
        if output.is_declared and output.name is not None:
            name = output.name
        elif output.name is None:
            name = naming.unnamed(used, numbers)
        else:
            name = naming.unique(output.name, used, numbers)
        used.add(name)
        found.append((name, output.expression))
    return found


class ColumnNames:
    """The columns of a relation by names and wildcards."""

    def __init__(self, source: bound.Relation) -> None:
        self._source = source
        self._by_name = {column.name: column for column in source.columns}
        self._tried = 0

    def matches(self, pattern: nodes.Name | nodes.Wildcard) -> list[bound.Column]:
        """The columns that a name or a wildcard means. Raises `KqlError` for a name that is no column, and for very many wildcards."""
        if isinstance(pattern, nodes.Name):
            if pattern.name not in self._by_name:
                raise unknown_column(pattern, pattern.name, self._source)
            return [self._by_name[pattern.name]]
        self._tried += len(self._by_name)
        if self._tried > _TRIED_LIMIT:
            raise error(pattern, "too_complex", f"expected wildcards to be tried at most {_TRIED_LIMIT} times")
        return [column for column in self._source.columns if matches_wildcard(pattern.pattern, column.name)]

    def all(self, patterns: Sequence[nodes.Name | nodes.Wildcard]) -> list[bound.Column]:
        """The columns that names and wildcards mean, in the order of the patterns, each once. Raises `KqlError`."""
        return list({column.id: column for pattern in patterns for column in self.matches(pattern)}.values())


def unknown_column(node: nodes.Node, name: str, source: bound.Relation) -> KqlError:
    """The refusal of a name that is no column of a relation."""
    import difflib

    nearest = difflib.get_close_matches(name.lower(), [column.name.lower() for column in source.columns], n=1)
    known = next((column.name for column in source.columns if nearest and column.name.lower() == nearest[0]), None)
    hint = f"did you mean {known}?" if known else "getschema shows the columns"
    return error(node, "unknown_column", f"there is no column {name[:100]!r} here", hint=hint)


def matches_wildcard(pattern: str, name: str) -> bool:
    """Whether a name is of a pattern with stars. Case counts."""
    parts = pattern.split("*")
    if len(parts) == 1:
        return pattern == name
    if not name.startswith(parts[0]):
        return False
    position = len(parts[0])
    for part in parts[1:-1]:
        at = name.find(part, position)
        if at < 0:
            return False
        position = at + len(part)
    return name.endswith(parts[-1]) and len(name) - len(parts[-1]) >= position
