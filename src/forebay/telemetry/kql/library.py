"""Translates with the library duckdb-kql, and refuses what it does not get right."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forebay.errors import ForebayError
from forebay.telemetry.kql.growth import check_growth
from forebay.telemetry.kql.guard import size_limit, time_limit, too_complex
from forebay.telemetry.kql.sandbox import SQL_LIMIT_CHARACTERS, check_sql
from forebay.telemetry.kql.text import check_text, read_chart
from forebay.telemetry.kql.translation import Schema, Translation

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from duckdb_kql import ir
    from duckdb_kql.errors import KqlError

# what stands for the query's time in a cached translation; a text that sets `query_now` replaces it
_PLACEHOLDER_NOW = datetime(1, 1, 1, tzinfo=UTC)
_OPERATORS = tuple(
    "as consume count distinct evaluate extend facet find fork getschema invoke join limit lookup make-series mv-apply mv-expand order"
    " parse parse-kv parse-where partition project project-away project-keep project-rename project-reorder range reduce render"
    " sample sample-distinct scan search serialize sort summarize take top top-hitters top-nested union where".split()
)
_YEAR_1_TO_1970_DAYS = 719_162
_TIMESPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(d|h|m|s|ms|microsecond|tick)")
_UNIT_NANOSECONDS = {
    "d": 86_400 * 10**9,
    "h": 3600 * 10**9,
    "m": 60 * 10**9,
    "s": 10**9,
    "ms": 10**6,
    "microsecond": 1000,
    "tick": 100,
}
_COLLECTING = frozenset("make_list make_set make_list_if make_set_if".split())
_LIMIT_ARGUMENT = {"make_list": 2, "make_set": 2, "make_list_if": 3, "make_set_if": 3}


def translate(text: str, schema: Schema, parser: DuckDBPyConnection) -> Translation:
    """Translate one query over the tables of `schema`; `parser` is asked what the SQL means, and runs nothing of it.

    Raises `ForebayError`: `query_syntax`, `query_unsupported`, `query_table_unknown`, `query_forbidden`, `query_too_complex`; the first
    two with the position where the library gives one.
    """
    check_text(text)
    import duckdb_kql
    from duckdb_kql.errors import KqlError
    from duckdb_kql.lower import lower
    from duckdb_kql.translate import CLOCK_SLOT, clock
    from duckdb_kql.translate import to_sql as emit

    folder = str(Path(duckdb_kql.__file__).parent / "translate")
    try:
        # no stored functions, entity groups or clusters, whatever a process-wide default may be
        with time_limit(), clock(_PLACEHOLDER_NOW) as active:
            query = lower(text, {}, {}, None, {})
            _check(query, schema)
            columns = {name: list(names) for name, names in schema.items()}
            with size_limit(folder):
                emitted = emit(query, columns)
                ranges = tuple(str(emit(each, columns)) for each in _ranges(query))
            sql = str(emitted)
            if len(sql) > SQL_LIMIT_CHARACTERS:
                raise too_complex("its SQL is too long")
            tables = frozenset().union(*(check_sql(each, frozenset(schema), parser) for each in (sql, *ranges)))
    except KqlError as error:
        raise _refusal(error, text) from error
    except RecursionError as error:
        raise too_complex("it is nested too deeply") from error
    except (AssertionError, AttributeError, IndexError, KeyError, NotImplementedError, TypeError, ValueError) as error:
        # the library's own defects show as these; the query is to blame for none of them, but cannot be translated
        raise ForebayError("query_unsupported", f"the query could not be translated: {str(error) or type(error).__name__}"[:300]) from error
    moment = active.moment
    return Translation(
        sql=sql,
        tables=tables,
        now_parameter=CLOCK_SLOT if active.used else None,
        fixed_now=None if moment is None or moment == _PLACEHOLDER_NOW else moment,
        declared=tuple(query.parameters),
        slots=frozenset(emitted.slots),
        ranges=ranges,
        columns=None,
        chart=read_chart(text),
    )


def bind(translation: Translation, now: datetime, values: Mapping[str, Any]) -> dict[str, Any]:
    """What to execute the SQL with. Raises `ForebayError` (`query_parameter_invalid`)."""
    from duckdb_kql.errors import KqlError
    from duckdb_kql.params import bind as bind_declared

    try:
        bound, unbound = bind_declared(list(translation.declared), dict(values))
    except KqlError as error:
        raise ForebayError("query_parameter_invalid", str(error)) from error
    if unbound:
        raise ForebayError("query_parameter_invalid", f"expected values for the query's parameters, got none for {', '.join(unbound)}")
    parameters = {slot: value for slot, value in bound.items() if slot in translation.slots}
    if translation.now_parameter is not None:
        at = translation.fixed_now or now
        parameters[translation.now_parameter] = at.astimezone(UTC).replace(tzinfo=None) if at.tzinfo else at
    return parameters


def _check(query: ir.Query, schema: Schema) -> None:
    """Refuse what the library would translate to something else than Kusto means, or to what nobody may read."""
    from duckdb_kql import ir

    nodes = list(_nodes(query))
    bound_names = {name for node in nodes if isinstance(node, ir.Query) for name, _ in node.lets}
    for node in nodes:
        if isinstance(node, (ir.TableRef, ir.WildcardTableRef)) and node.database is not None:
            raise _forbidden("another database or cluster")
        if isinstance(node, ir.TableRef) and (node.cluster is not None or node.name not in schema) and node.name not in bound_names:
            raise _unknown_table(node.name, schema)
        if isinstance(node, ir.CommandSource):
            raise _forbidden("a control command")
        if isinstance(node, ir.FunctionCall) and node.name in _COLLECTING and len(node.args) >= _LIMIT_ARGUMENT[node.name]:
            raise ForebayError(
                "query_unsupported",
                f"the limit of {node.name}() is not supported",
                hint=f"leave it out, or cut the rows with take before: {node.name}(x)",
            )
        if isinstance(node, ir.FunctionCall) and node.name in ("bin", "floor") and len(node.args) == 2:
            _check_bins(node.name, node.args[1])
    check_growth(query)


def _check_bins(function: str, size: object) -> None:
    """The library counts bins from 1970, Kusto from the year 1: only sizes that the time between them is a multiple of agree."""
    from duckdb_kql import ir

    if not isinstance(size, ir.Literal) or size.kind != "timespan":
        return
    found = _TIMESPAN.fullmatch(str(size.value).strip())
    nanoseconds = round(float(found[1]) * _UNIT_NANOSECONDS[found[2]]) if found else 0
    if nanoseconds > 0 and _YEAR_1_TO_1970_DAYS * _UNIT_NANOSECONDS["d"] % nanoseconds:
        raise ForebayError(
            "query_unsupported",
            f"{function}() by {size.value} is not supported: such bins would not lie where Kusto puts them",
            hint="take a size that divides a day, or startofweek(), startofmonth()",
        )


def _ranges(query: ir.Query) -> list[ir.Query]:
    """Queries for the bounds of every `range`, which are known only when the query runs."""
    from duckdb_kql import ir

    found: list[ir.Query] = []
    for node in _nodes(query):
        if isinstance(node, ir.Query) and isinstance(node.source, ir.RangeSource):
            bounds = (node.source.start, node.source.stop, node.source.step)
            named = tuple(ir.NamedExpr(each, name) for each, name in zip(bounds, ("start", "stop", "step"), strict=True))
            found.append(ir.Query(ir.PrintSource(named), [], query.lets))
    return found


def _nodes(root: object) -> Iterator[object]:
    """Every node below, each once: names that are bound are shared, and a walk of all paths would not end."""
    seen: set[int] = set()
    pending = [root]
    while pending:
        node = pending.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, (list, tuple)):
            pending += node
        elif dataclasses.is_dataclass(node):
            yield node
            pending += [getattr(node, field.name) for field in dataclasses.fields(node)]


def _refusal(error: KqlError, text: str) -> ForebayError:
    from duckdb_kql.errors import KqlSchemaError, KqlSyntaxError, KqlUnsupportedError

    if isinstance(error, KqlSyntaxError):
        if not error.diagnostics:
            return ForebayError("query_syntax", str(error))
        first = error.diagnostics[0]
        message = re.sub(r" expecting \{.{200,}", " (none of what may stand here)", first.message, flags=re.DOTALL)
        hint = _operator_hint(text, first.span.line, first.span.column)
        return ForebayError("query_syntax", f"line {first.span.line}, column {first.span.column + 1}: {message}", hint=hint)
    if isinstance(error, KqlUnsupportedError):
        where = f"line {error.span.line}, column {error.span.column + 1}: " if error.span else ""
        kind, _, name = error.construct.partition(":")
        return ForebayError(
            "query_unsupported",
            f"{where}{' '.join(_kusto_name(part) for part in (kind, name) if part)} is not supported",
            hint=re.sub(r"\s*\(?see [\w/]+\.(py|md)\)?,?", "", error.hint or "").strip(" ;"),
        )
    if isinstance(error, KqlSchemaError):
        return ForebayError("query_unsupported", f"{error.name}: {re.sub(r'known: .*', '', str(error), flags=re.DOTALL)}")
    return ForebayError("query_unsupported", str(error))


def _kusto_name(construct: str) -> str:
    """How a query writes what the library's grammar calls, for example, `ProjectKeepOperator`."""
    stem = re.sub(r"Operator(?:Part)?$", "", construct).lower()
    return {operator.replace("-", ""): operator for operator in _OPERATORS}.get(stem, construct)


def _operator_hint(text: str, line: int, column: int) -> str:
    """What may be meant where the parser stops at a bar: it does so when it cannot read the operator behind it."""
    lines = text.splitlines()
    behind = "\n".join([lines[line - 1][column:], *lines[line:]]) if 1 <= line <= len(lines) else ""
    named = re.match(r"\|\s*([A-Za-z][\w-]*)", behind)
    if named is None:
        return ""
    if named[1] in _OPERATORS:
        return f"something in this {named[1]} is not as the parser knows it"
    nearest = difflib.get_close_matches(named[1].lower(), _OPERATORS, n=1)
    return f"there is no operator {named[1][:40]!r}" + (f"; did you mean {nearest[0]}?" if nearest else "")


def _forbidden(what: str) -> ForebayError:
    return ForebayError(
        "query_forbidden", f"a query reads the tables of its own project only; this one names {what}", hint="name a table alone", status=403
    )


def _unknown_table(name: str, schema: Schema) -> ForebayError:
    nearest = difflib.get_close_matches(name.lower(), [table.lower() for table in schema], n=1)
    known = next((table for table in schema if nearest and table.lower() == nearest[0]), None)
    hint = f"did you mean {known}?" if known else f"there are {', '.join(sorted(schema))}"
    return ForebayError("query_table_unknown", f"there is no table {name[:100]!r}", hint=hint)
