"""KQL over the telemetry and the history of documents."""

from __future__ import annotations

import math
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Annotated, Any, TypeVar

import msgspec
from fastapi import APIRouter, Request, Response

from forebay.errors import ForebayError
from forebay.server.access import PROJECT_SCHEMA, PartsOf, Reader, concern, project_of
from forebay.server.answers import json_answer
from forebay.server.bodies import json_body
from forebay.server.shapes import (
    CompletionItem,
    QueryAnswer,
    QueryColumn,
    QueryCompletion,
    QueryDiagnostic,
    QueryExplanation,
    QueryTable,
)
from forebay.server.timespans import parse_timespan
from forebay.telemetry.query.result import QueryResult
from forebay.values.times import rfc3339

PRIMARY = "PrimaryResult"


class QueryBody(msgspec.Struct, forbid_unknown_fields=True):
    """A question."""

    query: str
    timespan: str | None = None
    project: str | None = None
    parameters: dict[str, Any] | None = None
    limit: Annotated[int, msgspec.Meta(ge=0)] | None = None


class ExplainBody(msgspec.Struct, forbid_unknown_fields=True):
    """A question that is not asked."""

    query: str
    timespan: str | None = None
    project: str | None = None


class CompleteBody(msgspec.Struct, forbid_unknown_fields=True):
    """A question that is being written; `cursor` is a number of characters, beyond the text its end."""

    query: str
    cursor: Annotated[int, msgspec.Meta(ge=0)]
    project: str | None = None


Body = TypeVar("Body", QueryBody, ExplainBody, CompleteBody)


def router() -> APIRouter:
    """`POST /query`, and what helps to write queries."""
    routes = APIRouter(tags=["query"])
    asked = {"query": "documentEvents | summarize count() by type", "timespan": "P1D"}
    routes.post("/query", response_model=QueryAnswer, openapi_extra=_documented(QueryBody, asked))(query)
    routes.post("/query/explain", response_model=QueryExplanation, openapi_extra=_documented(ExplainBody, asked))(explain)
    written = {"query": "documents | where si", "cursor": 20}
    routes.post("/query/complete", response_model=QueryCompletion, openapi_extra=_documented(CompleteBody, written))(complete)
    return routes


async def query(request: Request, parts: PartsOf, caller: Reader) -> Response:
    """Ask in KQL, over requests, dependencies, traces, exceptions, customEvents, customMetrics, documents, documentEvents, arrivals.

    What was acknowledged before the question is in the answer, unless `lag_seconds` says otherwise. Datetimes are RFC 3339, timespans
    `d.hh:mm:ss.fffffff`, dynamic values JSON in a string, as Log Analytics answers.
    """
    body = await _body(request, QueryBody)
    project = project_of(parts, caller, body.project)
    concern(request, project)
    result = await parts.telemetry.queries.query(
        body.query,
        project=project,
        timespan=None if body.timespan is None else parse_timespan(body.timespan, parts.effects.clock.now()),
        parameters=body.parameters,
        row_limit=body.limit,
    )
    return json_answer(answer_of(result))


async def explain(request: Request, parts: PartsOf, caller: Reader) -> Response:
    """How a question is understood: the bound tree with all types, the SQL, and the columns of the answer. Nothing is run.

    A question whose columns depend on data (`evaluate pivot`, `evaluate bag_unpack`) has to name them to be explained.
    """
    body = await _body(request, ExplainBody)
    concern(request, project_of(parts, caller, body.project))
    if body.timespan is not None:
        parse_timespan(body.timespan, parts.effects.clock.now())
    found = await parts.telemetry.queries.explain(body.query, is_bounded=body.timespan is not None)
    columns = [QueryColumn(name=name, type=kind) for name, kind in found.columns]
    return json_answer(QueryExplanation(tree=found.tree, sql=found.sql, columns=columns))


async def complete(request: Request, parts: PartsOf, caller: Reader) -> Response:
    """What may be written at a place of a question, for editors, and what is wrong with it as it is. Positions are in characters.

    A question of more than 64 KiB is refused.
    """
    body = await _body(request, CompleteBody)
    concern(request, project_of(parts, caller, body.project))
    found = await parts.telemetry.queries.complete(body.query, body.cursor)
    return json_answer(
        QueryCompletion(
            items=[CompletionItem(label=item.label, kind=item.kind, detail=item.detail) for item in found.items],
            start=found.start,
            end=found.end,
            diagnostics=[QueryDiagnostic(**asdict(each)) for each in found.findings],
        )
    )


async def _body(request: Request, kind: type[Body]) -> Body:
    hint = f"See POST {request.url.path} in /docs."
    try:
        return msgspec.json.decode(await json_body(request), type=kind)
    except msgspec.ValidationError as error:
        raise ForebayError("invalid_request", str(error), hint=hint, status=422) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ForebayError("invalid_json", f"expected a JSON object, but: {error}", hint=hint, status=400) from None


def answer_of(result: QueryResult) -> QueryAnswer:
    """A result in the shape of Log Analytics, and what it costs and lacks."""
    columns = [QueryColumn(name=name, type=kind) for name, kind in result.columns]
    rows = [[_value(value, kind) for value, (_, kind) in zip(row, result.columns, strict=True)] for row in result.rows]
    render = None if result.chart is None else {"visualization": result.chart.kind, **result.chart.properties}
    return QueryAnswer(
        tables=[QueryTable(name=PRIMARY, columns=columns, rows=rows)],
        took_ms=round(result.took_ms, 3),
        lag_seconds=round(result.lag_seconds, 3),
        truncated=result.truncated,
        render=render,
    )


def _value(value: Any, kind: str) -> Any:
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, timedelta):
        return timespan_text(value)
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if kind == "dynamic" and value is not None and not isinstance(value, str):
        return msgspec.json.encode(value).decode()
    return value


def timespan_text(value: timedelta) -> str:
    """`d.hh:mm:ss.fffffff`, without days and fraction where they are zero."""
    microseconds = abs(value) // timedelta(microseconds=1)
    days, rest = divmod(microseconds, 86_400_000_000)
    hours, rest = divmod(rest, 3_600_000_000)
    minutes, rest = divmod(rest, 60_000_000)
    seconds, fraction = divmod(rest, 1_000_000)
    text = f"{days}." if days else ""
    text += f"{hours:02}:{minutes:02}:{seconds:02}" + (f".{fraction * 10:07}" if fraction else "")
    return f"-{text}" if value < timedelta(0) else text


def _documented(kind: type[msgspec.Struct], example: dict[str, Any]) -> dict[str, Any]:
    """The description of a body."""
    (schema,), components = msgspec.json.schema_components([kind], ref_template="#/{name}")
    body = dict(components[schema["$ref"].removeprefix("#/")])
    body["properties"]["project"] = {"anyOf": [{"type": "string"} | PROJECT_SCHEMA, {"type": "null"}]}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": body, "example": example}}}}
