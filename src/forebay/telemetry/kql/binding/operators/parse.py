"""`parse` and `parse-where`.

What a pattern means beyond https://learn.microsoft.com/kusto/query/parse-operator was learnt from answers of the Kusto emulator: `simple`
and `relaxed` match the whole text, and each column ends where the next text is first found; in `simple`, a row in which one column cannot
be converted is as one that does not match; `regex` searches, and its columns are greedy.
"""

from __future__ import annotations

from collections.abc import Sequence

from forebay.telemetry.kql.binding import bound, calls, windows
from forebay.telemetry.kql.binding.binder import Binder, binds
from forebay.telemetry.kql.binding.environment import Environment
from forebay.telemetry.kql.binding.expressions import ExpressionBinder, error
from forebay.telemetry.kql.binding.operators.parse_patterns import regex_of, splits_of
from forebay.telemetry.kql.syntax import nodes
from forebay.telemetry.kql.types import KqlType

_KINDS = ("simple", "relaxed", "regex")
_FLAGS = "imsU"


@binds(nodes.Parse)
def _parse(binder: Binder, node: nodes.Parse, source: bound.Relation, environment: Environment) -> bound.Relation:
    kind, flags = _parameters(node)
    _check_parts(node.parts, node)
    text = calls.convert(ExpressionBinder(binder, environment, source.columns).bind(node.expression), "string")
    below, (text,) = windows.extracted(binder, source, [text])
    declared = [(part.name, part.type) for part in node.parts if part.name is not None]
    captures = [binder.column(name, "string") for name, _ in declared]
    matched = binder.column("matched", "bool")
    splits = None if kind == "regex" else splits_of(node.parts)
    columns = (*below.columns, *captures, matched)
    if splits is not None:
        relation: bound.Relation = bound.Parse(columns, below, text, *splits)
    else:
        relation = bound.Parse(columns, below, text, (), "", regex_of(node.parts, kind == "regex", flags))
    return _converted(binder, relation, source, declared, captures, matched, is_relaxed=kind == "relaxed", is_where=node.is_where)


def _converted(
    binder: Binder,
    relation: bound.Relation,
    source: bound.Relation,
    declared: Sequence[tuple[str, KqlType]],
    captures: Sequence[bound.Column],
    matched: bound.Column,
    *,
    is_relaxed: bool,
    is_where: bool,
) -> bound.Relation:
    """The captured texts in their types: all of them or, except in `relaxed`, none."""
    passed = [*source.columns, matched]
    typed = [calls.convert(bound.ColumnRef("string", capture), kind) for capture, (_, kind) in zip(captures, declared, strict=True)]
    below = binder.compute(
        relation,
        [*((each.name, bound.ColumnRef(each.type, each)) for each in passed), *zip((each.name for each in captures), typed, strict=True)],
    )
    values: list[bound.Expr] = [bound.ColumnRef(column.type, column) for column in below.columns[len(passed) :]]
    strict = [] if is_relaxed else [each for each in values if each.type not in ("string", "dynamic")]
    # nothing can be converted where the pattern does not match
    tests: list[bound.Expr] = [calls.call("isnotnull", [each], 0, 0) for each in strict] or [bound.ColumnRef("bool", matched)]
    is_good = tests[0]
    for each in tests[1:]:
        is_good = calls.call("and", [is_good, each], 0, 0)
    if is_where:
        below = bound.Filter(below.columns, below, is_good)
    elif strict and len(values) > 1:
        values = [calls.call("iff", [is_good, each, bound.Constant(each.type, None)], 0, 0) for each in values]
    outputs: dict[str, bound.Expr] = {column.name: bound.ColumnRef(column.type, column) for column in source.columns}
    outputs.update(zip((name for name, _ in declared), values, strict=True))
    return binder.compute(below, list(outputs.items()))


def _parameters(node: nodes.Parse) -> tuple[str, str]:
    """The kind and the flags. Raises `KqlError`."""
    kind, flags = "simple", ""
    for each in node.parameters:
        if each.name == "kind":
            kind = each.value
        elif each.name == "flags":
            flags = each.value
        else:
            raise error(each, "syntax", f"parse has no parameter {each.name}", hint="kind=simple, relaxed or regex, and flags")
    if kind not in _KINDS:
        raise error(node, "syntax", f"expected kind=simple, relaxed or regex, got {kind}")
    if kind == "relaxed" and node.is_where:
        raise error(
            node, "type", "parse-where expected kind=simple or regex, got relaxed", hint="parse kind=relaxed ... | where isnotnull(...)"
        )
    if flags and kind != "regex":
        raise error(node, "type", f"flags are for kind=regex, got kind={kind}")
    if set(flags) - set(_FLAGS):
        raise error(node, "unsupported", f"expected flags of {', '.join(_FLAGS)}, got {flags}", construct="parse flags")
    return kind, flags


def _check_parts(parts: Sequence[nodes.ParsePart], node: nodes.Parse) -> None:
    """Refuse patterns that do not say where a column ends. Raises `KqlError`."""
    names: set[str] = set()
    for index, part in enumerate(parts):
        following = parts[index + 1] if index + 1 < len(parts) else None
        if part.literal is not None:
            if not part.literal:
                raise error(part, "type", "expected a text that is not empty in the pattern")
        elif part.name is None:
            if following is not None and following.literal is None:
                raise error(following, "type", "expected a text after *")
        else:
            if part.name in names:
                raise error(part, "type", f"a column with the name {part.name[:100]!r} is already declared")
            names.add(part.name)
            if following is not None and following.name is not None:
                raise error(following, "type", "expected a text between two columns")
            if following is not None and following.literal is None and part.type == "string":
                raise error(
                    following,
                    "type",
                    f"* after the string column {part.name[:100]!r} is ambiguous",
                    hint="a text between them tells where it ends",
                )
