"""`parse-kv`.

Source: https://learn.microsoft.com/kusto/query/parse-kv-operator
"""

from __future__ import annotations

from typing import Any

from forebay.telemetry.kql.binding import bound, calls
from forebay.telemetry.kql.binding.binder import Binder, binds
from forebay.telemetry.kql.binding.environment import Environment
from forebay.telemetry.kql.binding.expressions import ExpressionBinder, error
from forebay.telemetry.kql.functions.regex_syntax import Regex, RegexError
from forebay.telemetry.kql.syntax import nodes

_SETTINGS = ("pair_delimiter", "kv_delimiter", "quote", "escape", "greedy", "regex")


@binds(nodes.ParseKv)
def _parse_kv(binder: Binder, node: nodes.ParseKv, source: bound.Relation, environment: Environment) -> bound.Relation:
    settings = _settings(binder, node, environment)
    names = [name for name, _ in node.columns]
    if len(set(names)) < len(names):
        raise error(node, "type", "parse-kv: a column is declared twice")
    text = calls.convert(ExpressionBinder(binder, environment, source.columns).bind(node.expression), "string")
    if "regex" in settings:
        values = {name: calls.call("parse_kv_regex", [text, _text(settings["regex"]), _text(name)], 0, 0) for name in names}
    elif _is_plain(settings, names):
        pair, kv = _text(settings["pair_delimiter"]), _text(settings["kv_delimiter"])
        values = {name: calls.call("parse_kv_value", [text, pair, kv, _text(name)], 0, 0) for name in names}
    else:
        column = binder.column("pairs", "dynamic")
        refs = [bound.ColumnRef(each.type, each) for each in source.columns]
        below = bound.Compute((*source.columns, column), source, (*refs, _pairs(node, settings, text)))
        source_columns, source = source.columns, below
        values = {
            name: calls.convert(calls.call("member", [bound.ColumnRef("dynamic", column), _text(name)], 0, 0), "string") for name in names
        }
        return _extended(binder, source, source_columns, node, values)
    return _extended(binder, source, source.columns, node, values)


def _is_plain(settings: dict[str, Any], names: list[str]) -> bool:
    """Whether each value can be looked for by itself: no quotes, an end at the next pair, and no delimiter like another."""
    pair, kv = settings.get("pair_delimiter", ""), settings.get("kv_delimiter", "")
    if not pair or not kv or settings["quote"] or settings["escape"] or settings.get("greedy"):
        return False
    if any(pair.startswith(pair[place:]) for place in range(1, len(pair))) or pair in kv or kv in pair:
        return False
    if (pair.isspace() and pair != " ") or kv.isspace():
        return False
    return not any(pair in name or kv in name or name != name.strip() for name in names)


def _extended(
    binder: Binder, source: bound.Relation, columns: tuple[bound.Column, ...], node: nodes.ParseKv, values: dict[str, bound.Expr]
) -> bound.Relation:
    outputs: dict[str, bound.Expr] = {column.name: bound.ColumnRef(column.type, column) for column in columns}
    for name, kind in node.columns:
        outputs[name] = calls.convert(values[name], kind)
    return binder.compute(source, list(outputs.items()))


def _text(value: str) -> bound.Expr:
    return bound.Constant("string", value)


def _pairs(node: nodes.ParseKv, settings: dict[str, Any], text: bound.Expr) -> bound.Expr:
    read: dict[str, Any] = {"quotes": settings["quote"], "escapes": "".join(settings["escape"])}
    if "pair_delimiter" not in settings and "kv_delimiter" not in settings:
        read["keys"] = [name for name, _ in node.columns]
        return calls.call("parse_kv_words", [text, bound.Constant("dynamic", read)], 0, 0)
    for name in ("pair_delimiter", "kv_delimiter"):
        if not settings.get(name):
            raise error(node, "type", f"parse-kv: expected {name} as a text that is not empty")
    read |= {"pair": settings["pair_delimiter"], "kv": settings["kv_delimiter"], "greedy": settings.get("greedy", False)}
    return calls.call("parse_kv_pairs", [text, bound.Constant("dynamic", read)], 0, 0)


def _settings(binder: Binder, node: nodes.ParseKv, environment: Environment) -> dict[str, Any]:
    """The settings by name; `quote` and `escape` may come several times. Raises `KqlError`."""
    found: dict[str, Any] = {"quote": [], "escape": []}
    expressions = ExpressionBinder(binder, environment, ())
    for each in node.settings:
        name = each.names[0] if isinstance(each, nodes.Named) else ""
        if name not in _SETTINGS or not isinstance(each, nodes.Named):
            raise error(each, "syntax", f"parse-kv has no setting {name!r}", hint=f"there are {', '.join(_SETTINGS)}")
        value = expressions.bind_as(each.expression, "bool" if name == "greedy" else "string", f"parse-kv {name}")
        if not isinstance(value, bound.Constant):
            raise error(each, "type", f"parse-kv: expected a constant for {name}")
        if name == "quote":
            if len(value.value) not in (1, 2):
                raise error(each, "type", "parse-kv: expected one or two characters for quote")
            found["quote"].append([value.value[0], value.value[-1]])
        elif name == "escape":
            if len(value.value) != 1:
                raise error(each, "type", "parse-kv: expected one character for escape")
            found["escape"].append(value.value)
        else:
            found[name] = value.value
    if "regex" in found:
        _check_regex(found["regex"], node)
    return found


def _check_regex(pattern: str, node: nodes.ParseKv) -> None:
    try:
        count = Regex(pattern).group_count
    except RegexError as wrong:
        raise error(node, "type", f"parse-kv: {wrong}") from None
    if count != 2:
        raise error(node, "type", f"parse-kv: expected a regular expression of two groups, key and value, got {count}")
