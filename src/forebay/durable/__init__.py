"""Orchestrators that survive: Durable-Functions-style orchestrations in one Python process, without a server."""

from forebay.durable.activities.activity import ActivityInfo, OutgoingEvent, ResultWithEvents, current_activity
from forebay.durable.activities.limits import Concurrency
from forebay.durable.activities.rooms import RoomState
from forebay.durable.checks.check import ReplayReport, check_replay
from forebay.durable.checks.shadow import Divergence
from forebay.durable.client import DurableClient
from forebay.durable.engine import DurableEngine, EngineLimits
from forebay.durable.failures import ActivityFailed, Failure, SubOrchestrationFailed, TaskFailed
from forebay.durable.instances.operations import InstanceFilter
from forebay.durable.instances.status import OrchestrationStatus
from forebay.durable.journal import journal
from forebay.durable.journal.dead_letters import DeadLetter
from forebay.durable.journal.letter_filter import LetterFilter
from forebay.durable.journal.retention import Retention
from forebay.durable.letters import DeadLetters, LettersReport, Replay, Replayer
from forebay.durable.management_urls import ManagementUrls
from forebay.durable.orchestration.context import OrchestrationContext
from forebay.durable.orchestration.tasks import Task, TimerTask
from forebay.durable.registry import Registry
from forebay.durable.retries import RetryOptions

__all__ = [
    "ActivityFailed",
    "ActivityInfo",
    "Concurrency",
    "DeadLetter",
    "DeadLetters",
    "Divergence",
    "DurableClient",
    "DurableEngine",
    "EngineLimits",
    "Failure",
    "InstanceFilter",
    "LetterFilter",
    "LettersReport",
    "ManagementUrls",
    "OrchestrationContext",
    "OrchestrationStatus",
    "OutgoingEvent",
    "Registry",
    "Replay",
    "ReplayReport",
    "Replayer",
    "ResultWithEvents",
    "Retention",
    "RetryOptions",
    "RoomState",
    "SubOrchestrationFailed",
    "Task",
    "TaskFailed",
    "TimerTask",
    "check_replay",
    "current_activity",
    "journal",
]
