"""Orchestrations: start one, watch and manage instances, in the wire shape of Azure's Durable Functions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Request

from forebay.durable import OrchestrationStatus
from forebay.durable.http import Access, Beginning, Guard, Need, durable_router
from forebay.durable.journal.journal import OVER
from forebay.errors import ForebayError
from forebay.intake.intake import Sender
from forebay.pipeline.posted_text import EMBEDDINGS
from forebay.server.access import caller_with, concern, project_of, require_accepting, take_turn
from forebay.server.parts import Parts
from forebay.values.arrival import UPLOAD_SOURCE
from forebay.values.correlation import Correlation

STARTABLE = frozenset({EMBEDDINGS})
TEXT_LIMIT_BYTES = 16 << 20  # of a body, which is in memory as a whole
TEXT_TYPE = "text/plain; charset=utf-8"  # declared for names without a suffix that says more


class PostedText(msgspec.Struct, forbid_unknown_fields=True):
    """The input of `embeddings`."""

    name: Annotated[str, msgspec.Meta(min_length=1)]
    text: str
    projectId: str | None = None  # noqa: N815 - the wire's names


def router(parts: Parts) -> APIRouter:
    """The routes below `/api/orchestrators` and `/runtime/webhooks/durabletask`."""
    (schema,), components = msgspec.json.schema_components([PostedText], ref_template="#/{name}")
    posted = components[schema["$ref"].removeprefix("#/")]
    return durable_router(parts.client, _KeyGuard(parts), body_limit_bytes=TEXT_LIMIT_BYTES, input_schema=posted)


class _KeyGuard(Guard):
    """Keys open instances of their project: `read` to look, `write` to start and change.

    Those of orchestrators that Forebay starts itself need `manage` as well.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def admit(self, request: Request, need: Need) -> Access:
        if need == "write":
            await require_accepting(self._parts)
        caller = request.state.caller = await caller_with(request, need)
        named = request.query_params.get("project")
        project = caller.project if named is None else project_of(self._parts, caller, named)
        concern(request, project)
        return Access(project=project, names=None if caller.may("manage") else STARTABLE)

    async def admit_by_code(self, request: Request, need: Need, instance: OrchestrationStatus) -> Access:
        if need == "write":
            await require_accepting(self._parts)
        concern(request, instance.project)
        take_turn(request, self._parts, f"URLs of instances of {instance.project}")
        return Access()

    async def begin(self, request: Request, access: Access, name: str, value: Any) -> Beginning:
        """Store the text as the upload that the instance follows."""
        if name not in STARTABLE:
            raise ForebayError(
                "orchestrator_not_startable",
                f"expected {EMBEDDINGS!r}, the orchestrator that can be started over HTTP, got {name!r}",
                hint="Forebay starts its others itself: `POST /documents` sends a file, `POST /reindex` brings the index to the settings.",
                status=400,
            )
        posted = _posted_text(value)
        project = project_of(self._parts, request.state.caller, posted.projectId or access.project)
        concern(request, project)
        await self._check_id(request, project)
        content = posted.text.encode()
        sender = Sender(project=project, actor=request.state.caller.actor, correlation_id=request.state.correlation_id)
        async with self._parts.admission.room((project, UPLOAD_SOURCE), len(content)):
            arrival, _ = await self._parts.intake.upload(sender, posted.name, _whole(content), TEXT_TYPE)
        followed = {"projectId": project, "name": posted.name, "documentId": arrival.document_id, "arrival": arrival.sequence}
        return Beginning(value=followed, correlation=Correlation(id=sender.correlation_id, project=project))

    async def interruption(self) -> None:
        await self._parts.state.stopping.wait()

    async def _check_id(self, request: Request, project: str) -> None:
        """Refuse an id that the start would refuse, before the text is stored."""
        instance_id = request.path_params.get("instance_id")
        known = None if instance_id is None else await self._parts.client.get_status(instance_id)
        if known is None:
            return
        if known.project != project:
            raise ForebayError("instance_exists", f"instance {instance_id!r} exists already", hint="choose another instance id", status=409)
        if known.runtime_status not in OVER:
            raise ForebayError(
                "instance_not_over",
                f"instance {instance_id!r} has not ended: it is {known.runtime_status}",
                hint="terminate it first, or choose another instance id",
                status=409,
            )


def _posted_text(value: Any) -> PostedText:
    try:
        posted = msgspec.convert(value, PostedText)
        posted.text.encode()
    except (msgspec.ValidationError, UnicodeEncodeError) as error:
        raise ForebayError(
            "invalid_request",
            f"expected {{projectId, name, text}} as the input of {EMBEDDINGS!r}, but: {error}",
            hint="`projectId` may be left out: it is then the project of the key.",
            status=422,
        ) from None
    return posted


async def _whole(content: bytes) -> AsyncIterator[bytes]:
    yield content
