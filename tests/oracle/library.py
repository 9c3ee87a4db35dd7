"""Microsoft's replay library as a host runs it: the whole history again for every new event, and JSON back."""

from __future__ import annotations

import contextlib
import json
import warnings
from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from azure.durable_functions.models.DurableOrchestrationContext import DurableOrchestrationContext
from azure.durable_functions.models.history.HistoryEventType import HistoryEventType
from azure.durable_functions.orchestrator import Orchestrator

SCHEMA_V3 = 2
TIME_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"
DETAILS = "<details>"  # of each failure, as a host adds them to its reason
MARKER = "\n\n$OutOfProcData$:"  # between the text of a failure and the state, in what the library raises

ACTIVITY, ACTIVITY_WITH_RETRY, CHILD, CHILD_WITH_RETRY, CONTINUE, TIMER, EVENT = range(7)  # types of actions


class LibraryBroke(Exception):
    """The library raised something that is not the orchestrator's failure: a defect of its own, or a misuse that it does not catch."""

    @property
    def is_failed_group(self) -> bool:
        """Whether it is the defect that any program with a group in a group may meet: see `failed_group_in_a_race`."""
        return "does not have pending sub-task" in str(self)


@dataclass
class State:
    """What the library answered."""

    actions: list[dict[str, Any]] = field(default_factory=list)  # flat, in order, without waits for events
    waits: list[str] = field(default_factory=list)  # names of the events that were waited for, in order
    is_done: bool = False
    output: Any = None
    failure: str | None = None
    custom_status: Any = None
    continued: str | None = None  # the next input as JSON


class LibraryHost:
    """One run of an orchestrator on the library. With `keeps_events`, early events wait in the host for their readers, as the library
    loses them: see `differences.py`.

    Ids are the library's own: one for each activity, child and timer, and with retries one for each wait and each further try.
    """

    def __init__(
        self, orchestrator: Callable[[Any], Any], *, instance_id: str, value: Any, now: datetime, keeps_events: bool = True
    ) -> None:
        self._keeps_events = keeps_events
        self._orchestrator = orchestrator
        self._instance_id = instance_id
        self._input_json = json.dumps(value)
        self._history: list[dict[str, Any]] = []
        self._next_id = 0
        self._ids: list[int] = []  # of the actions
        self._latest_id: dict[int, int] = {}  # by the number of an action: the id that its next event carries
        self._read: Counter[str] = Counter()  # events handed over, by name
        self.unread: list[tuple[str, Any]] = []
        self.state = State()
        self._begin_batch(now)
        self._add(HistoryEventType.EXECUTION_STARTED, now, Name="orchestrator", Input=self._input_json, Version=None)
        self._run()

    def completed(self, number: int, result: Any, now: datetime) -> None:
        """The activity or child that the `number`-th action asked for has succeeded."""
        kind = HistoryEventType.SUB_ORCHESTRATION_INSTANCE_COMPLETED if self._is_child(number) else HistoryEventType.TASK_COMPLETED
        self._deliver(kind, now, TaskScheduledId=self._latest_id[number], Result=json.dumps(result))

    def failed(self, number: int, text: str, now: datetime) -> None:
        """It has failed, or one try of it has; then the library takes an id for the wait before the next."""
        kind = HistoryEventType.SUB_ORCHESTRATION_INSTANCE_FAILED if self._is_child(number) else HistoryEventType.TASK_FAILED
        failed_id = self._latest_id[number]
        if "retryOptions" in self.state.actions[number]:
            self._latest_id[number] = self._take_id()
        self._deliver(kind, now, TaskScheduledId=failed_id, Reason=text, Details=DETAILS)

    def waited(self, number: int, now: datetime, *, tries_again: bool) -> None:
        """The wait after a failed try is over."""
        wait_id = self._latest_id[number]
        if tries_again:
            self._latest_id[number] = self._take_id()
        self._deliver(HistoryEventType.TIMER_FIRED, now, TimerId=wait_id)

    def fired(self, number: int, now: datetime) -> None:
        """The timer that the `number`-th action asked for has fired."""
        self._deliver(HistoryEventType.TIMER_FIRED, now, TimerId=self._latest_id[number])

    def raise_event(self, name: str, value: Any, now: datetime) -> None:
        """An event has come; it is handed over once the orchestrator waits for it."""
        self.unread.append((name, value))
        self.hand_over(now)

    def hand_over(self, now: datetime) -> None:
        """Give unread events to the waits that are open for their names, the oldest first."""
        while not self.state.is_done:
            waits = Counter(self.state.waits)
            position = next(
                (index for index, (name, _) in enumerate(self.unread) if not self._keeps_events or waits[name] > self._read[name]), None
            )
            if position is None:
                return
            name, value = self.unread.pop(position)
            self._read[name] += 1
            self._deliver(HistoryEventType.EVENT_RAISED, now, Name=name, Input=json.dumps(value))

    def check_ids(self) -> None:
        """Raises `LibraryBroke` when the library counts otherwise than its host: from then on they would talk of different tasks."""
        if not self.state.is_done and self._given_ids != self._next_id:
            raise LibraryBroke(f"the library has given {self._given_ids} ids, its actions need {self._next_id}")

    def _is_child(self, number: int) -> bool:
        return self.state.actions[number]["actionType"] in (CHILD, CHILD_WITH_RETRY)

    def _take_id(self) -> int:
        self._next_id += 1
        return self._next_id - 1

    def _deliver(self, kind: HistoryEventType, now: datetime, **attributes: Any) -> None:
        self._add(HistoryEventType.ORCHESTRATOR_COMPLETED, now)
        self._begin_batch(now)
        self._add(kind, now, **attributes)
        self._run()

    def _begin_batch(self, now: datetime) -> None:
        self._add(HistoryEventType.ORCHESTRATOR_STARTED, now)

    def _add(self, kind: HistoryEventType, now: datetime, **attributes: Any) -> None:
        self._history.append({"EventType": kind, "EventId": -1, "IsPlayed": False, "Timestamp": now.strftime(TIME_FORMAT), **attributes})

    def _run(self) -> None:
        context = DurableOrchestrationContext.from_json(
            json.dumps(
                {
                    "history": self._history,
                    "instanceId": self._instance_id,
                    "isReplaying": False,
                    "parentInstanceId": None,
                    "input": self._input_json,
                    "upperSchemaVersion": SCHEMA_V3,
                }
            )
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # notices about codecs, once in each process
            answer, failure = self._answer(context)
        self.state = _state_of(answer, failure)
        for number in range(len(self._ids), len(self.state.actions)):
            self._ids.append(self._take_id())
            self._latest_id[number] = self._ids[-1]
        self._given_ids = context._sequence_number

    def _answer(self, context: DurableOrchestrationContext) -> tuple[str, str | None]:
        orchestrator = Orchestrator(self._orchestrator)
        try:
            return orchestrator.handle(context), None
        except Exception as error:
            text, marker, state = str(error).partition(MARKER)
            if not marker:
                raise LibraryBroke(text) from error
            return state, text
        finally:
            _let_go(getattr(orchestrator.task_orchestration_executor, "generator", None))


def _let_go(generator: Generator[Any, Any, Any] | None) -> None:
    """The library forgets its generators; one that waits in a `finally` would complain when it is collected."""
    while generator is not None and generator.gi_frame is not None:
        with contextlib.suppress(Exception):  # what it raises when it is told to go is of no interest
            generator.close()


def without_details(value: Any) -> Any:
    """A JSON value in which the texts of failures are as the host gave them, without the details that the library adds."""
    if isinstance(value, str):
        return value.replace(f" \n {DETAILS}", "")
    if isinstance(value, list):
        return [without_details(each) for each in value]
    if isinstance(value, dict):
        return {key: without_details(each) for key, each in value.items()}
    return value


def _state_of(answer: str, failure: str | None) -> State:
    decoded = without_details(json.loads(answer))
    state = State(is_done=decoded["isDone"] or failure is not None, output=decoded.get("output"), custom_status=decoded.get("customStatus"))
    if failure is not None:
        state.failure = without_details(decoded.get("error", failure))
    for action in _flat(decoded["actions"][0]):
        if action["actionType"] == EVENT:
            state.waits.append(action["externalEventName"])
        elif action["actionType"] == CONTINUE:
            state.continued = action["input"]
        else:
            state.actions.append(action)
    return state


def _flat(actions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    flat = []
    for action in actions:
        flat += _flat(action["compoundActions"]) if "compoundActions" in action else [action]
    return flat
