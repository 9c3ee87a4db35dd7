"""What callers do with instances; the method names are those of Azure's client."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from forebay.durable.instances.operations import InstanceFilter, Operations
from forebay.durable.instances.status import OrchestrationStatus
from forebay.durable.journal.journal import RuntimeStatus
from forebay.durable.management_urls import ManagementUrls
from forebay.errors import ForebayError
from forebay.values.correlation import Correlation

if TYPE_CHECKING:
    from forebay.durable.engine import DurableEngine

PAGE_LIMIT = 1000  # instances in one answer


class DurableClient:
    """Starts, watches and manages the instances of one engine.

    Every method that names an instance raises `ForebayError` with `instance_not_found` (404) when there is none, those that change one
    `instance_over` (410) or `instance_not_over` (409) when its state forbids it; what is done is durable when the method returns.
    """

    def __init__(self, engine: DurableEngine) -> None:
        self._engine = engine
        self._operations = Operations(engine)
        self.urls: ManagementUrls | None = None  # what `create_http_management_payload` needs; set it before it is asked

    async def start_new(
        self,
        orchestration_function_name: str,
        instance_id: str | None = None,
        client_input: Any = None,
        *,
        version: str | None = None,
        lane: str = "",
        correlation: Correlation | None = None,
    ) -> str:
        """Start an instance and return its id once it is durable; without an id one is made up.

        Starting the same instance again changes nothing. Without a `version` it begins with the one registered last. Lanes take turns where
        activities have a limit: instances of one lane share its turns, however many there are. Activities see the `correlation` as the
        current one, also after a restart.

        Raises `ForebayError`: `orchestrator_not_found`,
        `instance_exists` (the id with another orchestrator or input), `payload_too_large`, `database_unavailable`.
        """
        new = self._engine.new_instance(orchestration_function_name, instance_id, client_input, version, lane, correlation)
        await self._engine.start_instance(new)
        return new.id

    async def get_status(
        self, instance_id: str, show_history: bool = False, show_history_output: bool = False, show_input: bool = True
    ) -> OrchestrationStatus | None:
        """The state of an instance, None if there is none."""
        return await self._engine.status(instance_id, shows_history=show_history, shows_output=show_history_output, shows_input=show_input)

    async def get_status_all(self) -> list[OrchestrationStatus]:
        """The state of the newest instances, newest first; at most a thousand: see `list_instances` for more."""
        found, _ = await self.list_instances()
        return found

    async def get_status_by(
        self,
        created_time_from: datetime | None = None,
        created_time_to: datetime | None = None,
        runtime_status: Sequence[RuntimeStatus] | None = None,
        instance_id_prefix: str | None = None,
    ) -> list[OrchestrationStatus]:
        """The same of those that fit."""
        which = InstanceFilter(
            created_from=created_time_from, created_to=created_time_to, statuses=runtime_status, id_prefix=instance_id_prefix
        )
        found, _ = await self.list_instances(which)
        return found

    async def list_instances(
        self, which: InstanceFilter | None = None, *, limit: int = PAGE_LIMIT, before: int | None = None
    ) -> tuple[list[OrchestrationStatus], int | None]:
        """A page of instances, newest first, and what to give as `before` for the next; None after the last."""
        return await self._engine.list_statuses(which or InstanceFilter(), limit=min(limit, PAGE_LIMIT), before=before)

    async def raise_event(self, instance_id: str, event_name: str, event_data: Any = None) -> None:
        """Send an event to an instance, which reads it when it waits for that name.

        Raises `ForebayError` also with `payload_too_large`, `payload_not_json`.
        """
        data_json = self._engine.encode(event_data, f"the data of event {event_name!r}")
        await self._operations.raise_event(instance_id, event_name, data_json)

    async def terminate(self, instance_id: str, reason: str = "") -> None:
        """End an instance and the sub-orchestrations that it waits for."""
        await self._operations.terminate(instance_id, reason)

    async def suspend(self, instance_id: str, reason: str = "") -> None:
        """Let an instance rest until it is resumed; activities under way end."""
        await self._operations.suspend(instance_id, reason)

    async def resume(self, instance_id: str, reason: str = "") -> None:
        """Let a suspended instance go on."""
        await self._operations.resume(instance_id, reason)

    async def rewind(self, instance_id: str, reason: str = "") -> None:
        """Let a failed instance go on from before its failure: only what failed runs again, and what knew of it.

        Raises `ForebayError` also with `instance_not_failed`, `non_deterministic`.
        """
        await self._operations.rewind(instance_id, reason)

    async def restart(self, instance_id: str, restart_with_new_instance_id: bool = True) -> str:
        """Run an instance again from its beginning, with the newest code; the id under which it runs."""
        row = await self._engine.load(instance_id)
        if row is None:
            raise ForebayError("instance_not_found", f"there is no instance {instance_id!r}", status=404)
        new_id = None if restart_with_new_instance_id else instance_id
        new = self._engine.instance_like(row, new_id)
        await (self._engine.start_instance(new) if restart_with_new_instance_id else self._operations.reset(new))
        return new.id

    async def start_over(
        self,
        orchestration_function_name: str,
        instance_id: str,
        client_input: Any = None,
        *,
        version: str | None = None,
        lane: str = "",
        correlation: Correlation | None = None,
    ) -> str:
        """Start an instance in the place of one that has ended, as Azure does for an id that exists.

        Raises `ForebayError` as `start_new` does, `instance_not_over` (409) when the id is that of a running one, and `instance_exists`
        when it is that of another project's.
        """
        new = self._engine.new_instance(orchestration_function_name, instance_id, client_input, version, lane, correlation)
        await self._operations.reset(new)
        return new.id

    async def purge_instance_history(self, instance_id: str) -> int:
        """Forget an instance that has ended, and its sub-orchestrations; how many instances those were."""
        return await self._operations.purge(instance_id)

    async def purge_instance_history_by(
        self,
        created_time_from: datetime | None = None,
        created_time_to: datetime | None = None,
        runtime_status: Sequence[RuntimeStatus] | None = None,
    ) -> int:
        """The same for all that have ended and fit."""
        return await self.purge_by(InstanceFilter(created_from=created_time_from, created_to=created_time_to, statuses=runtime_status))

    async def purge_by(self, which: InstanceFilter) -> int:
        """The same for all that have ended and fit."""
        return await self._operations.purge_by(which)

    async def wait_for_completion(self, instance_id: str, timeout_seconds: float | None = None) -> OrchestrationStatus:
        """The state of an instance once it has ended.

        Raises `TimeoutError` after `timeout_seconds`, `ForebayError`: `instance_not_found`, `engine_stopped`.
        """
        async with asyncio.timeout(timeout_seconds):
            row = await self._engine.wait_until_over(instance_id)
        if row is None:
            raise ForebayError("instance_not_found", f"there is no instance {instance_id!r}", status=404)
        return self._engine.status_of_row(row)

    def create_http_management_payload(self, instance_id: str, project: str | None = None) -> dict[str, str]:
        """The id of an instance and the URLs under which it is watched and managed over HTTP; see `durable.http`.

        `project` is that of the instance, where its correlation has one. Raises `ForebayError` (`no_public_url`) while `urls` is not set.
        """
        if self.urls is None:
            raise ForebayError(
                "no_public_url",
                "the client does not know under which URL its instances are managed",
                hint="set `engine.client.urls = ManagementUrls(base_url, secret)`",
                status=500,
            )
        return self.urls.payload(instance_id, project)
