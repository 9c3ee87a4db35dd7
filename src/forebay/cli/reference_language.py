"""The tables of docs/kql.md that follow from the compiler: operators, functions, types, and what is refused."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set

from forebay.telemetry.kql import functions, reference
from forebay.telemetry.kql.completion import vocabulary
from forebay.telemetry.kql.functions import registry
from forebay.telemetry.kql.functions.function import Function, Parameter
from forebay.telemetry.kql.reference import Construct
from forebay.telemetry.kql.types import DUCKDB_TYPES, NUMBERS, TYPE_NAMES, KqlType


def language() -> Iterator[str]:
    """The sections, as lines."""
    functions.load()
    yield "\n## Types\n"
    yield "| type | also | values |"
    yield "|---|---|---|"
    for kind, values in reference.TYPES.items():
        others = [name for name, meant in TYPE_NAMES.items() if meant == kind != name]
        yield f"| `{kind}` | {_codes(others)} | {text(values)} |"
    yield "\n## Statements\n"
    yield from _constructs(reference.STATEMENTS, vocabulary.STATEMENTS)
    yield "\n## What a query begins with\n"
    yield from _constructs(reference.SOURCES, vocabulary.SOURCES)
    yield "\n## Operators\n"
    yield from _constructs(reference.OPERATORS, vocabulary.OPERATORS)
    yield "\n## Plugins\n"
    yield from _constructs(reference.PLUGINS, vocabulary.PLUGINS)
    yield "\n## Operators between values\n"
    yield "| operator | answers |"
    yield "|---|---|"
    yield from (f"| {_codes(names)} | {text(summary)} |" for names, summary in reference.VALUE_OPERATORS)
    yield "\n## Functions\n"
    yield from _functions("scalar", reference.FUNCTIONS, reference.FUNCTION_ALIASES)
    yield "\n## Aggregates\n"
    yield from _functions("aggregate", reference.AGGREGATES, {})
    yield "\n## Functions of rows in order\n"
    yield "Rows are in order after `sort`, `top`, `serialize` and `range`.\n"
    yield from _functions("window", {}, {})
    yield "\n## Refused\n"
    yield "| | why, and what to do instead |"
    yield "|---|---|"
    yield from _refused("operators", reference.REFUSED_OPERATORS)
    yield from _refused("sources", reference.REFUSED_SOURCES)
    yield from _refused("statements", reference.REFUSED_STATEMENTS)
    yield from _refused("plugins", reference.REFUSED_PLUGINS)
    yield from _refused("functions", registry.REFUSED)


def code(words: str) -> str:
    """As code in a table."""
    return f"`{words.replace('|', chr(92) + '|')}`" if words else ""


def text(words: str) -> str:
    """As text in a table: code in it stays code, and the bold that it has."""
    parts = words.replace("|", "\\|").split("`")
    parts[::2] = [part.replace("**", "\0").replace("*", "\\*").replace("\0", "**").replace("<", "&lt;") for part in parts[::2]]
    return "`".join(parts)


def _codes(names: Iterable[str]) -> str:
    return ", ".join(map(code, names))


def _constructs(constructs: Sequence[Construct], written: Mapping[str, str]) -> Iterator[str]:
    yield "| name | written | does | refused of it |"
    yield "|---|---|---|---|"
    for each in constructs:
        form = written.get(each.name) or next((form for form in written.values() if form.startswith(f"{each.name}(")), "")
        name = _codes((each.name, *each.aliases)) if form or " " not in each.name else each.name
        yield f"| {name} | {code(form)} | {text(each.summary)} | {text(each.limits)} |"


def _functions(kind: str, more: Mapping[str, tuple[str, str]], more_aliases: Mapping[str, str]) -> Iterator[str]:
    """A row for each function, with all ways to call it, and its other names."""
    declared: dict[str, list[Function]] = defaultdict(list)
    for found in registry.names().values():
        for function in found:
            if function.kind == kind and not registry.is_internal(function.name) and function not in declared[function.name]:
                declared[function.name].append(function)
    rows = {name: _row(name, found, {alias for each in found for alias in each.aliases}) for name, found in declared.items() if found}
    for name, (signature, summary) in more.items():
        aliases = [alias for alias, meant in more_aliases.items() if meant == name]
        rows[name] = f"| {_codes([name, *aliases])} | {code(signature)}: {text(summary)} |"
    yield "| function | how it is called, and what it answers |"
    yield "|---|---|"
    yield from (row for _, row in sorted(rows.items()))


def _row(name: str, overloads: Sequence[Function], aliases: Collection[str]) -> str:
    alike: dict[str, dict[tuple[str, ...], list[Function]]] = defaultdict(lambda: defaultdict(list))
    for each in overloads:
        alike[each.summary][tuple(parameter.name for parameter in each.parameters)].append(each)
    told = [f"{_codes(map(_signature, found.values()))}: {text(summary)}" for summary, found in alike.items()]
    if name in reference.MORE:
        told.append(text(reference.MORE[name]))
    if name in registry.SPREAD:
        told.append(f"In `extend` and `project` a column for each of {_codes(part for part, _ in registry.SPREAD[name])}.")
    told += [f"**Approximate**: {text(each)}." for each in dict.fromkeys(each.approximate.rstrip(".") for each in overloads) if each]
    return f"| {_codes([name, *sorted(aliases)])} | {'<br>'.join(told)} |"


def _signature(overloads: Sequence[Function]) -> str:
    """One signature of several that differ in their types alone."""
    columns = zip(*(each.parameters for each in overloads), strict=True)
    parameters = ", ".join(_parameter(each) for each in columns)
    answers = list(dict.fromkeys(each.signature.partition("->")[2].strip() for each in overloads))
    returns = "|".join(answers) if all(answers) else "any"
    return f"{overloads[0].name}({parameters}) -> {returns}"


def _parameter(same: Sequence[Parameter]) -> str:
    first = same[0]
    kinds: set[KqlType] = set()
    for each in same:
        kinds |= each.types
    variables = {each.variable for each in same}
    written = variables.pop() if len(variables) == 1 and first.variable else _types(kinds)
    end = f" = {first.default}" if first.default else "?" if first.is_optional else "..." if first.is_repeated else ""
    return f"{'const ' if first.is_constant else ''}{first.name}: {written}{end}"


def _types(kinds: Set[KqlType]) -> str:
    if len(kinds) == len(DUCKDB_TYPES):
        return "any"
    names: list[str] = [kind for kind in DUCKDB_TYPES if kind in kinds]
    if kinds >= NUMBERS:
        names = ["number", *(name for name in names if name not in NUMBERS)]
    return "|".join(names)


def _refused(what: str, reasons: Mapping[str, str]) -> Iterator[str]:
    by_reason: dict[str, list[str]] = defaultdict(list)
    for name, reason in reasons.items():
        by_reason[reason].append(name)
    for reason, names in by_reason.items():
        listed = [each.strip() for name in names for each in (name.split(", ") if "(" not in name else [name])]
        yield f"| {what}: {', '.join(each if '`' in each or ' at ' in each else code(each) for each in listed)} | {text(reason)} |"
