"""Search."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response

from forebay.errors import ForebayError
from forebay.search.filters import SearchFilters
from forebay.search.search import HIT_COUNT_LIMIT, QUERY_LENGTH_LIMIT, SearchMode, SearchRequest
from forebay.server.access import PROJECT_SCHEMA, PartsOf, Reader, ReadProject, concern, project_of
from forebay.server.answers import json_answer, not_available_yet
from forebay.server.bodies import json_body
from forebay.server.problems import FieldProblem, problem
from forebay.server.shapes import SearchResult, hit_json

_PLACE = re.compile(r"^(?P<reason>.*?)(?: - at `\$\.?(?P<field>[^`]*)`)?$", re.DOTALL)  # how msgspec words its errors
_NAMED_FIELD = re.compile(r"(?:unknown|required) field `(?P<field>[^`]*)`")


class FiltersBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Conditions that all have to hold; what is left out stands for any."""

    name: str | None = None
    name_prefix: str | None = None
    content_type: str | None = None
    language: str | None = None
    source: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None


class SearchBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A question to one project."""

    query: str
    k: int = 10
    project: str | None = None
    mode: SearchMode = "hybrid"
    filters: FiltersBody = FiltersBody()
    as_of: str | None = None


def router() -> APIRouter:
    """`POST /search`."""
    routes = APIRouter(tags=["search"])
    routes.post("/search", response_model=SearchResult, openapi_extra={"requestBody": _documented_body()})(search)
    return routes


async def search(request: Request, parts: PartsOf, caller: Reader, project: ReadProject) -> Response:
    """Find the chunks that answer a question, by words, by meaning, or both fused.

    "Quoted words" have to occur side by side; nothing else in the query is syntax. What an instance has indexed before it read
    Completed is found.
    """
    try:
        body = msgspec.json.decode(await json_body(request), type=SearchBody)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return _refused(error)
    if body.as_of is not None:
        raise not_available_yet("as_of")
    if body.project is not None:
        named = project_of(parts, caller, body.project)
        if "project" in request.query_params and named != project:
            raise ForebayError("invalid_project", f"the body asks for project {named!r}, the URL for {project!r}", status=422)
        project = named
        concern(request, project)
    filters = SearchFilters(**msgspec.structs.asdict(body.filters))
    answer = await parts.search.search(SearchRequest(query=body.query, project=project, k=body.k, mode=body.mode, filters=filters))
    hits = [hit_json(hit) for hit in answer.hits]
    return json_answer(SearchResult(hits=hits, took_ms=round(answer.took_ms, 3), warning=answer.warning))


def _refused(error: Exception) -> Response:
    """422 for JSON that is no search, 400 for what is no JSON."""
    if not isinstance(error, msgspec.ValidationError):
        return problem(ForebayError("invalid_json", f"expected a JSON object, but: {error}", hint="See POST /search in /docs.", status=400))
    found = _PLACE.fullmatch(str(error))
    reason = found["reason"] if found else str(error)
    named = _NAMED_FIELD.search(reason)
    field = ".".join(part for part in ((found["field"] if found else None), named["field"] if named else None) if part)
    details = ForebayError("invalid_request", f"{field}: {reason}" if field else reason, hint="See POST /search in /docs.", status=422)
    return problem(details, [FieldProblem(index=None, field=field, reason=reason)])


def _documented_body() -> dict[str, Any]:
    (schema,), components = msgspec.json.schema_components([SearchBody], ref_template="#/{name}")
    body = dict(components[schema["$ref"].removeprefix("#/")])
    # inlined, so that the description stands by itself
    body["properties"] = body["properties"] | {"filters": components["FiltersBody"]}
    body["properties"]["query"] |= {"minLength": 1, "maxLength": QUERY_LENGTH_LIMIT, "pattern": r"\S"}
    body["properties"]["k"] |= {"minimum": 1, "maximum": HIT_COUNT_LIMIT}
    body["properties"]["project"] = {"anyOf": [{"type": "string"} | PROJECT_SCHEMA, {"type": "null"}]}
    del body["properties"]["as_of"]  # not available in this version, which its refusal says
    example = {"query": "how long may a stop take?", "k": 5, "mode": "hybrid", "filters": {"name_prefix": "docs/"}}
    return {"required": True, "content": {"application/json": {"schema": body, "example": example}}}
