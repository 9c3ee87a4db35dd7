"""What callers do with instances; the method names are those of Azure's client."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from forebay.durable.journal import InstanceRow, RuntimeStatus, from_json
from forebay.errors import ForebayError
from forebay.values.correlation import Correlation
from forebay.values.times import from_microseconds

if TYPE_CHECKING:
    from forebay.durable.engine import DurableEngine


@dataclass(frozen=True, slots=True, kw_only=True)
class OrchestrationStatus:
    """The state of an instance."""

    name: str
    instance_id: str
    runtime_status: RuntimeStatus
    input_: Any
    output: Any  # what the orchestrator returned; the message of its failure when it failed
    failure_code: str | None
    waits_for: str | None  # why it does not move, when it is held
    created_time: datetime
    last_updated_time: datetime


class DurableClient:
    """Starts and watches the instances of one engine."""

    def __init__(self, engine: DurableEngine) -> None:
        self._engine = engine

    async def start_new(
        self,
        orchestration_function_name: str,
        instance_id: str | None = None,
        client_input: Any = None,
        *,
        lane: str = "",
        correlation: Correlation | None = None,
    ) -> str:
        """Start an instance and return its id once it is durable; without an id one is made up.

        Starting the same instance again changes nothing. Lanes take turns where activities have a limit: instances of one lane
        share its turns, however many there are. Activities see the `correlation` as the current one, also after a restart.

        Raises `ForebayError`: `orchestrator_not_found`,
        `instance_exists` (the id with another orchestrator or input), `payload_too_large`, `database_unavailable`.
        """
        new = self._engine.new_instance(orchestration_function_name, instance_id, client_input)
        await self._engine.start_instance(replace(new, lane=lane, correlation=correlation))
        return new.id

    async def get_status(self, instance_id: str) -> OrchestrationStatus | None:
        """The state of an instance, None if there is none."""
        row = await self._engine.load(instance_id)
        return None if row is None else self._status(row)

    async def wait_for_completion(self, instance_id: str, timeout_seconds: float | None = None) -> OrchestrationStatus:
        """The state of an instance once it has ended.

        Raises `TimeoutError` after `timeout_seconds`, `ForebayError`: `instance_not_found`, `engine_stopped`.
        """
        async with asyncio.timeout(timeout_seconds):
            row = await self._engine.wait_until_over(instance_id)
        if row is None:
            raise ForebayError("instance_not_found", f"there is no instance {instance_id!r}", status=404)
        return self._status(row)

    def _status(self, row: InstanceRow) -> OrchestrationStatus:
        output: Any = from_json(row.output_json) if row.output_json is not None else None
        is_failed = row.status == "Failed"
        return OrchestrationStatus(
            name=row.name,
            instance_id=row.id,
            runtime_status=row.status,
            input_=from_json(row.input_json),
            output=output["message"] if is_failed else output,
            failure_code=output["code"] if is_failed else None,
            waits_for=self._engine.waits_for(row.id),
            created_time=from_microseconds(row.created_at),
            last_updated_time=from_microseconds(row.updated_at),
        )
