"""What the management API answers. The names up to `historyEvents` are Azure's; those after it are ours."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from forebay.durable.instances.status import OrchestrationStatus

RuntimeStatusName = Literal["Pending", "Running", "Suspended", "Completed", "Failed", "Terminated"]


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceStatus:
    """The state of an instance."""

    name: str
    instanceId: str  # noqa: N815 - the wire's names
    runtimeStatus: RuntimeStatusName  # noqa: N815
    input: Any
    customStatus: Any  # noqa: N815
    output: Any  # what it returned, the message of its failure, or the reason of its termination
    createdTime: str  # noqa: N815
    lastUpdatedTime: str  # noqa: N815
    historyEvents: list[dict[str, Any]] | None  # noqa: N815
    failureCode: str | None  # noqa: N815
    waits: dict[str, Any] | None  # since when it waits for what
    version: str | None
    parentInstanceId: str | None  # noqa: N815
    correlationId: str | None  # noqa: N815
    project: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagementPayload:
    """An instance, and the URLs under which it is watched and managed. Each carries a code that opens that instance alone."""

    id: str
    statusQueryGetUri: str  # noqa: N815
    sendEventPostUri: str  # noqa: N815
    terminatePostUri: str  # noqa: N815
    rewindPostUri: str  # noqa: N815
    suspendPostUri: str  # noqa: N815
    resumePostUri: str  # noqa: N815
    restartPostUri: str  # noqa: N815
    purgeHistoryDeleteUri: str  # noqa: N815


@dataclass(frozen=True, slots=True, kw_only=True)
class PurgeResult:
    """How many instances have been forgotten, sub-orchestrations included."""

    instancesDeleted: int  # noqa: N815


def instance_status(found: OrchestrationStatus, *, shows_input: bool = True) -> InstanceStatus:
    """An instance as it is answered."""
    return InstanceStatus(
        name=found.name,
        instanceId=found.instance_id,
        runtimeStatus=found.runtime_status,
        input=found.input_ if shows_input else None,
        customStatus=found.custom_status,
        output=found.output,
        createdTime=_second(found.created_time),
        lastUpdatedTime=_second(found.last_updated_time),
        historyEvents=found.history,
        failureCode=found.failure_code,
        waits=found.waits,
        version=found.version,
        parentInstanceId=found.parent_instance_id,
        correlationId=found.correlation_id,
        project=found.project,
    )


def _second(at: datetime) -> str:
    """A time as Azure shows it: to the second."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
