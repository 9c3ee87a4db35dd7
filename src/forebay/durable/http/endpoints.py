"""What each route does."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec
from fastapi import Request, Response

from forebay.durable.client import DurableClient
from forebay.durable.http import parameters as given
from forebay.durable.http.guard import Access, Guard, Need
from forebay.durable.http.problems import azure_statuses
from forebay.durable.http.shapes import PurgeResult, instance_status
from forebay.durable.instances.operations import InstanceFilter
from forebay.durable.instances.status import OrchestrationStatus
from forebay.durable.journal.journal import OVER
from forebay.errors import ForebayError

DEFAULT_PAGE = 100  # as Azure's
START_RETRY_SECONDS = 10  # what clients are asked to wait before they look, as Azure asks them
STATUS_RETRY_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Opened:
    """The instance that a request is about."""

    instance: OrchestrationStatus
    is_by_code: bool  # opened by its own code, which opens everything


class Endpoints:
    """The endpoints of `router.py`, on the client of one engine."""

    def __init__(self, client: DurableClient, guard: Guard, body_limit_bytes: int) -> None:
        self._client = client
        self._guard = guard
        self._body_limit_bytes = body_limit_bytes

    # -- letting in: before parameters are looked at, so that strangers learn nothing -------------------------------

    async def admit_reader(self, request: Request) -> None:
        """Let in who may look."""
        request.state.access = await self._guard.admit(request, "read")

    async def admit_writer(self, request: Request) -> None:
        """Let in who may change something."""
        request.state.access = await self._guard.admit(request, "write")

    async def open_to_reader(self, request: Request, instance_id: given.InstanceId, code: given.Code = None) -> None:
        """Let in who may look at this instance."""
        request.state.opened = await self._open(request, instance_id, code, "read")

    async def open_to_writer(self, request: Request, instance_id: given.InstanceId, code: given.Code = None) -> None:
        """Let in who may change this instance."""
        request.state.opened = await self._open(request, instance_id, code, "write")

    async def _open(self, request: Request, instance_id: str, code: str | None, need: Need) -> Opened:
        opened = None if code is None else await self._opened_by(code, instance_id)
        if opened is not None:
            access = await self._guard.admit_by_code(request, need, opened)
        else:
            access = await self._guard.admit(request, need)
        found = opened or await self._client.get_status(instance_id)
        if found is None or not access.covers(found):
            raise ForebayError(
                "instance_not_found",
                f"there is no instance {instance_id!r}",
                hint="It may have been purged; or it is one that this key does not open.",
                status=404,
            )
        return Opened(found, is_by_code=opened is not None)

    async def _opened_by(self, code: str, instance_id: str) -> OrchestrationStatus | None:
        urls, found = self._client.urls, await self._client.get_status(instance_id)
        return found if urls is not None and found is not None and urls.opens(code, instance_id, found.project) else None

    # -- starting -------------------------------------------------------------------------------------------------

    async def start_unnamed(
        self, request: Request, name: given.Name, version: given.Version = None, timeout: given.Timeout = None
    ) -> Response:
        """Start an instance of an orchestrator under an id that is made up; the body is its input.

        The answer comes when the instance is durable.
        """
        return await self._start(request, name, None, version, timeout)

    async def start(
        self,
        request: Request,
        name: given.Name,
        instance_id: given.InstanceId,
        version: given.Version = None,
        timeout: given.Timeout = None,
    ) -> Response:
        """Start an instance under an id of one's own.

        One of that id that has ended begins anew; one that has not is left alone: 409.
        """
        return await self._start(request, name, instance_id, version, timeout)

    async def start_unnamed_from_azure(
        self, request: Request, name: given.Name, version: given.Version = None, timeout: given.Timeout = None
    ) -> Response:
        """The same for Azure's clients: a text of JSON counts as that JSON."""
        return await self._start(request, name, None, version, timeout, unwraps=True)

    async def start_from_azure(
        self,
        request: Request,
        name: given.Name,
        instance_id: given.InstanceId,
        version: given.Version = None,
        timeout: given.Timeout = None,
    ) -> Response:
        """The same for Azure's clients: a text of JSON counts as that JSON."""
        return await self._start(request, name, instance_id, version, timeout, unwraps=True)

    async def _start(
        self, request: Request, name: str, instance_id: str | None, version: str | None, timeout: float | None, *, unwraps: bool = False
    ) -> Response:
        access: Access = request.state.access
        value = await given.json_of(request, limit_bytes=self._body_limit_bytes, is_optional=True)
        if instance_id is not None:
            given.check_instance_id(instance_id)
        with azure_statuses(orchestrator_not_found=400):
            begun = await self._guard.begin(request, access, name, given.unwrapped(value) if unwraps else value)
            start = self._client.start_new if instance_id is None else partial(self._client.start_over, instance_id=instance_id)
            started = await start(name, client_input=begun.value, version=version, lane=begun.lane, correlation=begun.correlation)
        return await self._started(started, None if begun.correlation is None else begun.correlation.project, timeout)

    async def _started(self, instance_id: str, project: str | None, timeout: float | None) -> Response:
        """The URLs of an instance, or, if it ends within `timeout` seconds, what it ended with."""
        ended = None if timeout is None else await self._end_of(instance_id, timeout)
        if ended is None:
            urls = self._client.create_http_management_payload(instance_id, project)
            headers = {"Location": urls["statusQueryGetUri"], "Retry-After": str(START_RETRY_SECONDS)}
            return _json(urls, status=202, headers=headers)
        if ended.runtime_status == "Completed":
            return _json(ended.output)
        return _json(instance_status(ended), status=500 if ended.runtime_status == "Failed" else 200)

    async def _end_of(self, instance_id: str, timeout_seconds: float) -> OrchestrationStatus | None:
        over = asyncio.create_task(self._client.wait_for_completion(instance_id, timeout_seconds))
        interruption = asyncio.create_task(self._guard.interruption())
        try:
            await asyncio.wait((over, interruption), return_when=asyncio.FIRST_COMPLETED)
        finally:
            interruption.cancel()
            if not over.done():
                over.cancel()
        if not over.done():
            return None
        try:
            return over.result()
        except TimeoutError:
            return None

    # -- looking --------------------------------------------------------------------------------------------------

    async def show(
        self,
        *,
        request: Request,
        instance_id: given.InstanceId,
        showHistory: given.Flag = False,  # noqa: N803 - the wire's names
        showHistoryOutput: given.Flag = False,  # noqa: N803
        showInput: given.Flag = True,  # noqa: N803
        returnInternalServerErrorOnFailure: given.Flag = False,  # noqa: N803
    ) -> Response:
        """Show an instance: its state, what it waits for, and with `showHistory` what has happened to it.

        202 with the `Location` to look at again until it has ended.
        """
        opened: Opened = request.state.opened
        found = opened.instance
        if showHistory:
            found = await self._client.get_status(instance_id, True, showHistoryOutput, showInput) or found
        body = instance_status(found, shows_input=showInput)
        if found.runtime_status in OVER:
            is_failure = found.runtime_status == "Failed" and returnInternalServerErrorOnFailure
            return _json(body, status=500 if is_failure else 200)
        # the code would let whoever may only look do everything
        urls = self._client.create_http_management_payload(instance_id, found.project)
        location = urls["statusQueryGetUri"] if opened.is_by_code else urls["statusQueryGetUri"].partition("?")[0]
        return _json(body, status=202, headers={"Location": location, "Retry-After": str(STATUS_RETRY_SECONDS)})

    async def list(
        self,
        *,
        request: Request,
        createdTimeFrom: given.CreatedFrom | None = None,  # noqa: N803
        createdTimeTo: given.CreatedTo = None,  # noqa: N803
        runtimeStatus: given.Statuses = None,  # noqa: N803
        instanceIdPrefix: given.Prefix = None,  # noqa: N803
        showInput: given.Flag = True,  # noqa: N803
        top: given.Top = DEFAULT_PAGE,
        project: given.InProject = None,
        continuation: given.Continuation = None,
    ) -> Response:
        """List instances, newest first.

        While there are more, the answer carries `x-ms-continuation-token`, which the next request brings. A page may hold fewer than `top`.
        """
        access: Access = request.state.access
        wanted, statuses = given.journal_statuses(runtimeStatus)
        which = _filter(
            access, project, created_from=createdTimeFrom, created_to=createdTimeTo, statuses=statuses, id_prefix=instanceIdPrefix
        )
        found, before = await self._client.list_instances(which, limit=top, before=given.decode_continuation(continuation))
        headers = {} if before is None else {given.CONTINUATION: given.encode_continuation(before)}
        shown = [instance_status(each, shows_input=showInput) for each in found if wanted is None or each.runtime_status in wanted]
        return _json(shown, headers=headers)

    # -- changing -------------------------------------------------------------------------------------------------

    async def raise_event(self, request: Request, instance_id: given.InstanceId, event_name: given.EventName) -> Response:
        """Send an event; its data is the body, in JSON. The instance reads it when it waits for that name.

        A text of JSON counts as that JSON, as Azure's clients send it.
        """
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise ForebayError(
                "invalid_content_type",
                "Only application/json request content is supported",
                hint="Send `Content-Type: application/json`, and the data of the event as JSON.",
                status=400,
            )
        value = given.unwrapped(await given.json_of(request, limit_bytes=self._body_limit_bytes))
        await self._client.raise_event(instance_id, event_name, value)
        return Response(status_code=202)

    async def terminate(self, instance_id: given.InstanceId, reason: given.Reason = "") -> Response:
        """End an instance, and the sub-orchestrations that it waits for. 410 when it has ended."""
        await self._client.terminate(instance_id, reason)
        return Response(status_code=202)

    async def suspend(self, instance_id: given.InstanceId, reason: given.Reason = "") -> Response:
        """Let an instance rest until it is resumed; activities under way end. 410 when it has ended."""
        await self._client.suspend(instance_id, reason)
        return Response(status_code=202)

    async def resume(self, instance_id: given.InstanceId, reason: given.Reason = "") -> Response:
        """Let a suspended instance go on. 410 when it has ended."""
        await self._client.resume(instance_id, reason)
        return Response(status_code=202)

    async def rewind(self, request: Request, instance_id: given.InstanceId, reason: given.Reason = "") -> Response:
        """Let a failed instance go on from before its failure: what failed runs again. 410 when it has not failed, 412 while it runs."""
        found = request.state.opened.instance
        with azure_statuses(instance_not_failed=410 if found.runtime_status in OVER else 412):
            await self._client.rewind(instance_id, reason)
        return Response(status_code=202)

    async def restart(
        self,
        request: Request,
        instance_id: given.InstanceId,
        restartWithNewInstanceId: given.Flag = True,  # noqa: N803
        timeout: given.Timeout = None,
    ) -> Response:
        """Run an instance again from its beginning, with its input: as a new one, or in its own place, which needs it to have ended."""
        found = request.state.opened.instance
        with azure_statuses(orchestrator_not_found=400):
            restarted = await self._client.restart(instance_id, restartWithNewInstanceId)
        return await self._started(restarted, found.project, timeout)

    async def purge(self, instance_id: given.InstanceId) -> Response:
        """Forget an instance that has ended, and its sub-orchestrations. 412 when it has not ended."""
        with azure_statuses(instance_not_over=412):
            count = await self._client.purge_instance_history(instance_id)
        return _json(PurgeResult(instancesDeleted=count))

    async def purge_by(
        self,
        request: Request,
        createdTimeFrom: given.CreatedFrom,  # noqa: N803
        createdTimeTo: given.CreatedTo = None,  # noqa: N803
        runtimeStatus: given.Statuses = None,  # noqa: N803
        project: given.InProject = None,
    ) -> Response:
        """Forget all instances that have ended and fit. 404 when there are none."""
        access: Access = request.state.access
        _, statuses = given.journal_statuses(runtimeStatus)
        which = _filter(access, project, created_from=createdTimeFrom, created_to=createdTimeTo, statuses=statuses)
        count = await self._client.purge_by(which)
        if not count:
            raise ForebayError(
                "nothing_to_purge", "no instance that has ended fits", hint="Instances that have not ended are never purged.", status=404
            )
        return _json(PurgeResult(instancesDeleted=count))


def _filter(access: Access, project: str | None, **conditions: Any) -> InstanceFilter:
    return InstanceFilter(project=access.project or project, names=access.names, **conditions)


def _json(body: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(body), status_code=status, headers=headers, media_type="application/json")
