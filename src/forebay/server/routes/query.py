"""KQL over the telemetry and the history of documents."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Request, Response

from forebay.errors import ForebayError
from forebay.server.access import PROJECT_SCHEMA, PartsOf, Reader, concern, project_of
from forebay.server.answers import json_answer
from forebay.server.bodies import json_body
from forebay.server.shapes import QueryAnswer, QueryColumn, QueryTable
from forebay.server.timespans import parse_timespan
from forebay.telemetry.kql.result import QueryResult
from forebay.values.times import rfc3339

PRIMARY = "PrimaryResult"


class QueryBody(msgspec.Struct, forbid_unknown_fields=True):
    """A question."""

    query: str
    timespan: str | None = None
    project: str | None = None
    parameters: dict[str, Any] | None = None
    limit: Annotated[int, msgspec.Meta(ge=0)] | None = None


def router() -> APIRouter:
    """`POST /query`."""
    routes = APIRouter(tags=["query"])
    routes.post("/query", response_model=QueryAnswer, openapi_extra={"requestBody": _documented_body()})(query)
    return routes


async def query(request: Request, parts: PartsOf, caller: Reader) -> Response:
    """Ask in KQL, over requests, dependencies, traces, exceptions, customEvents, customMetrics, documents, documentEvents, arrivals.

    What was acknowledged before the question is in the answer, unless `lag_seconds` says otherwise. Datetimes are RFC 3339, timespans
    `d.hh:mm:ss.fffffff`, dynamic values JSON in a string, as Log Analytics answers.
    """
    try:
        body = msgspec.json.decode(await json_body(request), type=QueryBody)
    except msgspec.ValidationError as error:
        raise ForebayError("invalid_request", str(error), hint="See POST /query in /docs.", status=422) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ForebayError("invalid_json", f"expected a JSON object, but: {error}", hint="See POST /query in /docs.", status=400) from None
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


def _documented_body() -> dict[str, Any]:
    (schema,), components = msgspec.json.schema_components([QueryBody], ref_template="#/{name}")
    body = dict(components[schema["$ref"].removeprefix("#/")])
    body["properties"]["project"] = {"anyOf": [{"type": "string"} | PROJECT_SCHEMA, {"type": "null"}]}
    example = {"query": "documentEvents | summarize count() by type", "timespan": "P1D"}
    return {"required": True, "content": {"application/json": {"schema": body, "example": example}}}
