"""The shape of a syntax tree as a short text, without positions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec.structs import fields

from forebay.telemetry.kql.syntax import nodes
from forebay.telemetry.kql.syntax.parser import parse, parse_expression


def query(text: str) -> str:
    """The shape of the only statement of a query."""
    (statement,) = parse(text).statements
    return shape(statement.expression if isinstance(statement, nodes.QueryStatement) else statement)


def operator(text: str) -> str:
    """The shape of one operator over a table."""
    (statement,) = parse(f"T | {text}").statements
    assert isinstance(statement, nodes.QueryStatement)
    assert isinstance(statement.expression, nodes.Pipeline)
    (found,) = statement.expression.operators
    return shape(found)


def expression(text: str) -> str:
    return shape(parse_expression(text))


def literal(text: str) -> tuple[str, Any]:
    found = parse_expression(text)
    assert isinstance(found, nodes.Literal)
    return found.type, found.value


def children(node: Any) -> Iterator[nodes.Node]:
    """All nodes directly in a node."""
    if isinstance(node, nodes.Node):
        for field in fields(node):
            yield from _nodes(getattr(node, field.name))


def _nodes(value: Any) -> Iterator[nodes.Node]:
    if isinstance(value, nodes.Node):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _nodes(item)


def shape(value: Any) -> str:  # noqa: PLR0912 - one case for each kind of node
    match value:
        case nodes.Name(name=name):
            return name
        case nodes.Wildcard(pattern=pattern):
            return pattern
        case nodes.Literal(type="long" | "string" | "bool" | "real", value=constant):
            return repr(constant)
        case nodes.Literal(type=kind, value=constant):
            return f"{kind}({constant})"
        case nodes.Unary(operator=sign, operand=operand):
            return f"({sign} {shape(operand)})"
        case nodes.Binary(operator=sign, left=left, right=right):
            return f"({shape(left)} {sign} {shape(right)})"
        case nodes.Between(operand=operand, low=low, high=high, is_negated=is_negated):
            return f"({shape(operand)} {'!' if is_negated else ''}between {shape(low)}..{shape(high)})"
        case nodes.In(operator=sign, operand=operand, items=items):
            return f"({shape(operand)} {sign} [{', '.join(map(shape, items))}])"
        case nodes.Member(object=thing, name=name):
            return f"{shape(thing)}.{name}"
        case nodes.Index(object=thing, index=index):
            return f"{shape(thing)}[{shape(index)}]"
        case nodes.Call(name=name, arguments=arguments, object=thing):
            return f"{shape(thing) + '.' if thing else ''}{name}({', '.join(map(shape, arguments))})"
        case nodes.Named(names=(name,), expression=named, is_list=False):
            return f"{name}={shape(named)}"
        case nodes.Named(names=names, expression=named):
            return f"({', '.join(names)})={shape(named)}"
        case nodes.SearchTerm(column=column, term=term):
            return f"{column or ''}:{shape(term)}"
        case nodes.LambdaParameter(name=name, type=str() as kind, default=default):
            return f"{name}: {kind}{f' = {shape(default)}' if default else ''}"
        case nodes.ExpandColumn(expression=expanded, type=to):
            return f"{shape(expanded)}{f' to {to}' if to else ''}"
        case nodes.SortKey(expression=key, direction=direction, nulls=nulls):
            return " ".join(filter(None, (shape(key), direction, nulls and f"nulls {nulls}")))
        case nodes.Pipeline(source=source, operators=operators):
            return " | ".join(map(shape, (source, *operators)))
        case nodes.Parameter(name=name, value=constant):
            return f"{name}={constant}"
        case nodes.Node():
            told = [
                f"{field.name}={shape(inner)}"
                for field in fields(value)
                if field.name not in ("start", "end") and (inner := getattr(value, field.name)) != field.default and inner not in ((), None)
            ]
            return f"{type(value).__name__}({', '.join(told)})"
        case tuple():
            return f"[{', '.join(map(shape, value))}]"
        case _:
            return str(value)
