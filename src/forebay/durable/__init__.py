"""Orchestrators that survive: Durable-Functions-style orchestrations in one Python process, without a server."""

from forebay.durable import journal
from forebay.durable.activity import ActivityInfo, current_activity
from forebay.durable.client import DurableClient
from forebay.durable.context import OrchestrationContext
from forebay.durable.engine import DurableEngine, EngineLimits
from forebay.durable.failures import ActivityFailed, Failure, SubOrchestrationFailed, TaskFailed
from forebay.durable.limits import Concurrency
from forebay.durable.operations import InstanceFilter
from forebay.durable.registry import Registry
from forebay.durable.retries import RetryOptions
from forebay.durable.rooms import RoomState
from forebay.durable.status import OrchestrationStatus
from forebay.durable.tasks import Task, TimerTask

__all__ = [
    "ActivityFailed",
    "ActivityInfo",
    "Concurrency",
    "DurableClient",
    "DurableEngine",
    "EngineLimits",
    "Failure",
    "InstanceFilter",
    "OrchestrationContext",
    "OrchestrationStatus",
    "Registry",
    "RetryOptions",
    "RoomState",
    "SubOrchestrationFailed",
    "Task",
    "TaskFailed",
    "TimerTask",
    "current_activity",
    "journal",
]
