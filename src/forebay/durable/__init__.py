"""Orchestrators that survive: Durable-Functions-style orchestrations in one Python process, without a server."""

from forebay.durable import journal
from forebay.durable.activity import ActivityInfo, OutgoingEvent, ResultWithEvents, current_activity
from forebay.durable.check import ReplayReport, check_replay
from forebay.durable.client import DurableClient
from forebay.durable.context import OrchestrationContext
from forebay.durable.dead_letters import DeadLetter
from forebay.durable.engine import DurableEngine, EngineLimits
from forebay.durable.failures import ActivityFailed, Failure, SubOrchestrationFailed, TaskFailed
from forebay.durable.letter_filter import LetterFilter
from forebay.durable.letters import DeadLetters, LettersReport, Replay, Replayer
from forebay.durable.limits import Concurrency
from forebay.durable.management_urls import ManagementUrls
from forebay.durable.operations import InstanceFilter
from forebay.durable.registry import Registry
from forebay.durable.retention import Retention
from forebay.durable.retries import RetryOptions
from forebay.durable.rooms import RoomState
from forebay.durable.shadow import Divergence
from forebay.durable.status import OrchestrationStatus
from forebay.durable.tasks import Task, TimerTask

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
