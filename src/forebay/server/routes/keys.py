"""API keys: make, list, rotate, revoke. The key itself is in one answer only."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Path, Query, Request, Response

from forebay.server.access import PROJECT_SCHEMA, Accepting, Administrator, PartsOf, concern, project_of
from forebay.server.answers import json_answer
from forebay.server.bodies import typed_body
from forebay.server.keys.key import SCOPES, Caller, Key, checked_scopes
from forebay.server.keys.ring import NAME_LIMIT
from forebay.server.parts import Parts
from forebay.server.shapes import KeyJson, KeyPage, NewKeyJson
from forebay.values.times import rfc3339

LONGEST_SECONDS = 100 * 365 * 86_400
DEFAULT_OVERLAP_SECONDS = 86_400


class NewKey(msgspec.Struct, forbid_unknown_fields=True):
    """What is asked for."""

    name: str
    scopes: list[str]
    project: str | None = None
    expires_in_seconds: Annotated[float, msgspec.Meta(gt=0, le=LONGEST_SECONDS)] | None = None


class Rotation(msgspec.Struct, forbid_unknown_fields=True):
    """How a key is to be replaced."""

    overlap_seconds: Annotated[float, msgspec.Meta(ge=0, le=LONGEST_SECONDS)] = DEFAULT_OVERLAP_SECONDS


KeyId = Annotated[str, Path(description="The key's id: the part between the underscores.")]


def router() -> APIRouter:
    """The routes below `/keys`."""
    routes = APIRouter(tags=["keys"])
    routes.get("/keys", response_model=KeyPage)(list_keys)
    routes.post("/keys", status_code=201, response_model=NewKeyJson, dependencies=[Accepting], openapi_extra=_documented(NewKey))(
        create_key
    )
    routes.post(
        "/keys/{key_id}/rotate", status_code=201, response_model=NewKeyJson, dependencies=[Accepting], openapi_extra=_documented(Rotation)
    )(rotate_key)
    routes.delete("/keys/{key_id}", response_model=KeyJson, dependencies=[Accepting])(revoke_key)
    return routes


async def list_keys(
    parts: PartsOf,
    caller: Administrator,
    project: Annotated[str | None, Query(description="Only those of a project.", json_schema_extra=PROJECT_SCHEMA)] = None,
) -> Response:
    """List keys, oldest first, with what they may do and when they were used last."""
    which = caller.project if project is None else project_of(parts, caller, project)
    return json_answer(KeyPage(keys=[_shown(each) for each in parts.keys.keys(which)], next_cursor=None))


async def create_key(request: Request, parts: PartsOf, caller: Administrator) -> Response:
    """Make a key. It is shown in this answer and never again; only its hash is kept."""
    body = await typed_body(request, NewKey, page="/keys")
    project = project_of(parts, caller, body.project)
    concern(request, project)
    key, secret = await parts.keys.create(
        name=body.name,
        project=project,
        scopes=checked_scopes(body.scopes),
        lifetime_seconds=body.expires_in_seconds,
        actor=caller.actor,
    )
    return json_answer(_new(key, secret), status=201, headers={"Cache-Control": "no-store"})


async def rotate_key(request: Request, parts: PartsOf, caller: Administrator, key_id: KeyId) -> Response:
    """Make the key that follows another, which goes on opening for a while."""
    body = await typed_body(request, Rotation, page="/keys", is_optional=True)
    _concern_key(request, parts, caller, key_id)
    key, secret = await parts.keys.rotate(key_id, overlap_seconds=body.overlap_seconds, actor=caller.actor, project=caller.project)
    return json_answer(_new(key, secret), status=201, headers={"Cache-Control": "no-store"})


async def revoke_key(request: Request, parts: PartsOf, caller: Administrator, key_id: KeyId) -> Response:
    """Let a key open nothing any more."""
    _concern_key(request, parts, caller, key_id)
    return json_answer(_shown(await parts.keys.revoke(key_id, actor=caller.actor, project=caller.project)))


def _concern_key(request: Request, parts: Parts, caller: Caller, key_id: str) -> None:
    if caller.project is None:  # else it is about the caller's project, whether there is such a key or not
        concern(request, parts.keys.project_of(key_id))


def _documented(kind: Any) -> dict[str, Any]:
    (schema,), components = msgspec.json.schema_components([kind], ref_template="#/{name}")
    body = dict(components[schema["$ref"].removeprefix("#/")])
    if "scopes" in body["properties"]:
        body["properties"]["scopes"] |= {"items": {"enum": list(SCOPES)}, "minItems": 1}
        body["properties"]["name"] |= {"minLength": 1, "maxLength": NAME_LIMIT}
        body["properties"]["project"] = {"anyOf": [{"type": "string"} | PROJECT_SCHEMA, {"type": "null"}]}
    return {"requestBody": {"content": {"application/json": {"schema": body}}}}


def _new(key: Key, secret: str) -> NewKeyJson:
    shown = _shown(key)
    return NewKeyJson(key=secret, **{name: getattr(shown, name) for name in KeyJson.__dataclass_fields__})


def _shown(key: Key) -> KeyJson:
    return KeyJson(
        id=key.id,
        name=key.name,
        project=key.project,
        scopes=sorted(key.scopes),
        created_at=_time(key.created_at) or "",
        expires_at=_time(key.expires_at),
        revoked_at=_time(key.revoked_at),
        replaced_by=key.replaced_by,
        last_used_at=_time(key.last_used_at),
    )


def _time(at_us: int | None) -> str | None:
    return None if at_us is None else rfc3339(datetime.fromtimestamp(at_us / 1e6, UTC))
