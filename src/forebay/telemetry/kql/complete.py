"""What may be written where the cursor is, and what is wrong with what is written: for editors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, NoReturn

from msgspec import Struct

from forebay.telemetry.kql import functions
from forebay.telemetry.kql.binding.environment import FunctionBinding, ScalarBinding, TableBinding
from forebay.telemetry.kql.binding.program import bind
from forebay.telemetry.kql.completion import vocabulary
from forebay.telemetry.kql.completion.place import Place, place_of, role
from forebay.telemetry.kql.completion.scope import Scope
from forebay.telemetry.kql.errors import Diagnostic, KqlError
from forebay.telemetry.kql.functions import registry
from forebay.telemetry.kql.syntax.lexer import WORD, Tokens
from forebay.telemetry.kql.syntax.parser import parse_tolerant
from forebay.telemetry.kql.syntax.rendering import CHARTS, PROPERTIES
from forebay.telemetry.kql.syntax.words import NOT_FOR_REFERENCES
from forebay.telemetry.kql.types import TYPE_NAMES, Schema

Kind = Literal["operator", "function", "aggregate", "column", "table", "keyword", "plugin", "type"]


class Item(Struct, frozen=True):
    """A word that may be written; `detail` is a type, a signature or how the words after it go."""

    label: str
    kind: Kind
    detail: str = ""


class Completion(Struct, frozen=True):
    """What may be written in place of the characters from `start` to `end`, the likely first, and what is wrong with the text."""

    items: tuple[Item, ...]
    start: int
    end: int
    diagnostics: tuple[Diagnostic, ...]


def complete(text: str, cursor: int, schema: Schema) -> Completion:
    """What may be written at `cursor`, an offset in characters, of a query over the tables of `schema`.

    Items begin with the word that is being written or have it within, whatever its case. Guarantee: no text raises an error.
    """
    cursor = max(0, min(cursor, len(text)))
    place = place_of(text, cursor)
    items = () if place.is_in_text or place.word[:1].isdigit() else _matching(place.word, _items(text, place, schema))
    return Completion(items, place.start, place.end, diagnose(text, schema))


class _RowsAreNeededError(Exception):
    """The columns of a query depend on its rows."""


def diagnose(text: str, schema: Schema) -> tuple[Diagnostic, ...]:
    """All that is wrong with a query; nothing where its columns depend on rows (`evaluate pivot`), which are not read here."""
    program, diagnostics = parse_tolerant(text)
    if diagnostics:
        return diagnostics
    try:
        bind(program, schema, explore=_refuse_to_read)
    except KqlError as error:
        return error.diagnostics
    except _RowsAreNeededError:
        pass
    return ()


def _refuse_to_read(_: object) -> NoReturn:
    raise _RowsAreNeededError


def _matching(word: str, items: Iterable[Item]) -> tuple[Item, ...]:
    wanted = word.lower()
    found: dict[str, Item] = {}
    for item in items:
        if wanted in item.label.lower():
            found.setdefault(item.label, item)
    return tuple(sorted(found.values(), key=lambda item: not item.label.lower().startswith(wanted)))


def _items(text: str, place: Place, schema: Schema) -> Iterator[Item]:
    operator = place.operator
    match role(place):
        case "operator":
            yield from _words(vocabulary.OPERATORS, "operator")
        case "statement":
            yield from _tables(Scope(text, place, schema), schema)
            yield from _words({**vocabulary.SOURCES, **vocabulary.STATEMENTS}, "keyword")
        case "source":
            scope = Scope(text, place, schema)
            yield from _tables(scope, schema)
            if operator in vocabulary.PARAMETERS and place.level.first == place.last:
                yield from (Item(f"{name}=", "keyword") for name in vocabulary.PARAMETERS[operator])
            if operator not in ("join", "lookup", "union"):
                yield from _words(vocabulary.SOURCES, "keyword")
                yield from _values(scope)
                yield from _functions({"scalar"})
        case "value":
            yield from _expected_values(text, place, schema, operator)
        case "after value":
            yield from (Item(word, "keyword") for word in vocabulary.KEYWORDS.get(operator, ()))
            yield from (Item(word, "keyword") for word in (*vocabulary.LOGIC, *vocabulary.TEXT_OPERATORS))
        case "type":
            yield from (Item(name, "type") for name, kind in TYPE_NAMES.items() if name == kind)
        case "parameter":
            yield from (Item(value, "keyword") for value in vocabulary.PARAMETERS[operator][place.symbol(place.last - 1)])
        case "chart":
            yield from (Item(chart, "keyword") for chart in CHARTS)
        case "property":
            yield from _chart_properties(text, place, schema)
        case "plugin":
            yield from _words(vocabulary.PLUGINS, "plugin")
        case "side":
            scope = Scope(text, place, schema)
            columns = scope.columns() if place.symbol(place.last - 1) == "$left" else scope.right_columns()
            yield from (Item(_name(column.name), "column", column.type) for column in columns)
        case "nothing":
            pass


def _expected_values(text: str, place: Place, schema: Schema, operator: str) -> Iterator[Item]:
    scope = Scope(text, place, schema)
    level = place.level
    written = place.tokens.symbols[level.first : place.last + 1]
    takes_aggregates = operator in ("summarize", "make-series") and "by" not in written and "on" not in written
    takes_aggregates |= operator == "top-nested" and "by" in written
    if takes_aggregates and place.levels[-1] is level:
        yield from _functions({"aggregate"})
    yield from (Item(_name(column.name), "column", column.type) for column in scope.columns())
    yield from _values(scope)
    if operator in ("join", "lookup"):
        yield from (Item(side, "keyword") for side in ("$left", "$right"))
    elif operator in vocabulary.PARAMETERS and place.last == level.first:
        yield from (Item(f"{name}=", "keyword") for name in vocabulary.PARAMETERS[operator])
    if operator in ("sort", "top", "summarize", "partition") and place.last == level.first:
        yield Item("by", "keyword")
    if operator.startswith("project-"):
        return
    yield from _functions({"scalar", "window"})
    if takes_aggregates and place.levels[-1] is not level:
        yield from _functions({"aggregate"})


def _chart_properties(text: str, place: Place, schema: Schema) -> Iterator[Item]:
    if place.symbol(place.last) != "=":
        yield from (Item(f"{name}=", "keyword") for name in PROPERTIES)
        return
    name = place.symbol(place.last - 1)
    yield from (Item(value, "keyword") for value in vocabulary.CHART_VALUES.get(name, ()))
    if name in ("xcolumn", "ycolumns", "series", "anomalycolumns"):
        yield from (Item(_name(column.name), "column", column.type) for column in Scope(text, place, schema).columns())


def _tables(scope: Scope, schema: Schema) -> Iterator[Item]:
    for name, binding in scope.environment.names().items():
        if isinstance(binding, TableBinding):
            yield Item(_name(name), "table", "let")
        elif isinstance(binding, FunctionBinding):
            yield Item(_name(name), "function", _signature(binding))
    yield from (Item(_name(name), "table", f"{len(table.columns)} columns") for name, table in schema.items())


def _values(scope: Scope) -> Iterator[Item]:
    """What `let` has named that may stand in an expression."""
    for name, binding in scope.environment.names().items():
        if isinstance(binding, ScalarBinding):
            yield Item(_name(name), "column", f"let: {binding.expression.type}")
        elif isinstance(binding, FunctionBinding):
            yield Item(_name(name), "function", _signature(binding))


def _functions(kinds: set[str]) -> Iterator[Item]:
    functions.load()
    if "scalar" in kinds:
        yield from _words(vocabulary.SPECIAL, "function")
    if "aggregate" in kinds:
        yield from _words(vocabulary.SPECIAL_AGGREGATES, "aggregate")
    for name, found in sorted(registry.names().items()):
        for function in found:
            if function.kind in kinds and name[0].isalpha():
                yield Item(name, "aggregate" if function.kind == "aggregate" else "function", function.signature)
                break


def _words(words: dict[str, str], kind: Kind) -> Iterator[Item]:
    return (Item(word, kind, detail) for word, detail in words.items())


def _signature(binding: FunctionBinding) -> str:
    parameters = (f"{each.name}: {each.type or 'table'}" for each in binding.function.parameters)
    return f"{binding.name}({', '.join(parameters)})"


def _name(name: str) -> str:
    """A name as it is written."""
    tokens = Tokens(name)
    is_plain = tokens.kinds[0] == WORD and tokens.ends[0] == len(name) and name not in NOT_FOR_REFERENCES
    escaped = name.replace("\\", "\\\\").replace("'", "\\'")
    return name if is_plain else f"['{escaped}']"
