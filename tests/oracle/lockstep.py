"""One orchestrator on Microsoft's library and on our driver at once, compared after everything that happens."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
from tests.oracle.library import ACTIVITY, ACTIVITY_WITH_RETRY, CHILD, CHILD_WITH_RETRY, TIMER, LibraryHost
from tests.oracle.world import BROKEN, START_US, World

from forebay.durable.failures import Failure
from forebay.durable.orchestration.actions import Action, ActivityAction, ChildAction, EventAction, TimerAction
from forebay.durable.orchestration.context import OrchestrationContext
from forebay.durable.orchestration.driver import Driver
from forebay.values.times import from_microseconds, to_microseconds

INSTANCE_ID = "mine"
STEP_LIMIT = 2000

Event = tuple[int, str, Any]  # microseconds after the start, name, data


@dataclass
class Ending:
    """How an instance ended, or that it waits for ever."""

    status: str = "waits"  # completed, failed, waits
    output: Any = None
    failure: str | None = None  # as the library says it
    recorded_failure: Failure | None = None  # as our engine records it
    custom_status: Any = None
    rounds: int = 1  # incarnations
    steps: int = 0  # things that happened
    had_tie: bool = False  # two things at one moment: their order is the model's


@dataclass
class Pending:
    """Something that will happen."""

    at_us: int
    number: int  # of the action
    happens: Callable[[Pending], None]
    tries: int = 0  # that have failed


class Different(AssertionError):
    """The library and the driver have done different things."""


@dataclass
class Lockstep:
    """Runs both until the orchestrator has ended or nothing can happen any more. Raises `Different`."""

    orchestrator: Callable[[Any], Any]
    value: Any
    world: World
    events: Sequence[Event] = ()
    host_keeps_events: bool = True  # see `LibraryHost`
    ending: Ending = field(default_factory=Ending)

    def run(self) -> Ending:
        self.now_us = START_US
        self.events_to_come = sorted(
            ((START_US + after_us, name, data) for after_us, name, data in self.events), key=lambda event: event[0]
        )
        self._begin(self.value, [])
        try:
            while self.ending.status == "waits" and self._step():
                self.ending.steps += 1
                if self.ending.steps > STEP_LIMIT:
                    raise Different(f"no end after {STEP_LIMIT} steps")
        finally:
            self.driver.close()
        return self.ending

    @property
    def now(self) -> datetime:
        return from_microseconds(self.now_us)

    def _begin(self, value: Any, unread: list[tuple[str, Any]]) -> None:
        self.pending: list[Pending] = []
        self.failures: dict[int, str | None] = {}  # of the tries under way, by the number of the action
        self.task_ids: list[int | None] = []  # ours, by the number of the library's action; None: a timer that was cancelled at once
        self.first_seen = 0
        self.library = LibraryHost(
            self.orchestrator, instance_id=INSTANCE_ID, value=value, now=self.now, keeps_events=self.host_keeps_events
        )
        context = OrchestrationContext(instance_id=INSTANCE_ID, input_json=json.dumps(value), now_us=self.now_us)
        self.driver = Driver(self.orchestrator, context)
        self.driver.start()
        for name, data in unread:
            self.library.raise_event(name, data, self.now)
            self.driver.raise_event(name, data, now_us=self.now_us)
        self._compare()

    # -- what happens --------------------------------------------------------------------------------------------------

    def _step(self) -> bool:
        self.pending = [each for each in self.pending if not self._is_cancelled(each)]
        soonest = min(self.pending, key=lambda each: each.at_us, default=None)
        event_at_us = self.events_to_come[0][0] if self.events_to_come else None
        if soonest is not None:
            moment_us = max(self.now_us, soonest.at_us)
            self.ending.had_tie |= event_at_us == moment_us or sum(1 for each in self.pending if each.at_us <= moment_us) > 1
        self.ending.had_tie |= event_at_us is not None and event_at_us <= self.now_us
        if event_at_us is not None and (soonest is None or event_at_us <= soonest.at_us):
            self._event()
        elif soonest is not None:
            self.now_us = max(self.now_us, soonest.at_us)
            self.pending.remove(soonest)
            soonest.happens(soonest)
        else:
            return False
        return True

    def _event(self) -> None:
        at_us, name, data = self.events_to_come.pop(0)
        self.now_us = max(self.now_us, at_us)
        self.library.raise_event(name, data, self.now)
        self.driver.raise_event(name, data, now_us=self.now_us)
        self._compare()

    def _call_ends(self, ended: Pending) -> None:
        action = self.library.state.actions[ended.number]
        call = json.loads(action["input"])
        failure = self.failures.pop(ended.number)
        retry = action.get("retryOptions")
        if failure is None:
            result = self.world.result(call)
            self.library.completed(ended.number, result, self.now)
            self._settle(ended.number, result=result)
            return
        self.library.failed(ended.number, _told(action, failure), self.now)
        tries = ended.tries + 1
        if retry is not None and tries < retry["maxNumberOfAttempts"]:
            again_at_us = self.now_us + retry["firstRetryIntervalInMilliseconds"] * 1000
            self.pending.append(Pending(again_at_us, ended.number, self._tries_again, tries))
            return
        if retry is not None:
            self.library.waited(ended.number, self.now, tries_again=False)  # see "the wait after the last try"
        self._settle(ended.number, failure=Failure(code=BROKEN, message=failure, retryable=True))

    def _tries_again(self, waited: Pending) -> None:
        self.library.waited(waited.number, self.now, tries_again=True)
        self._call_begins(waited.number, waited.tries)

    def _call_begins(self, number: int, tries: int) -> None:
        attempt = self.world.attempt(json.loads(self.library.state.actions[number]["input"]), self.now_us)
        self.failures[number] = attempt.failure
        self.pending.append(Pending(attempt.ends_at_us, number, self._call_ends, tries))

    def _timer_fires(self, fired: Pending) -> None:
        self.library.fired(fired.number, self.now)
        self._settle(fired.number)

    def _settle(self, number: int, *, result: Any = None, failure: Failure | None = None) -> None:
        task_id = self.task_ids[number]
        assert task_id is not None
        self.driver.settle(task_id, now_us=self.now_us, result=result, failure=failure)
        self._compare()

    def _is_cancelled(self, pending: Pending) -> bool:
        return bool(self.library.state.actions[pending.number].get("isCanceled"))

    # -- what is compared ----------------------------------------------------------------------------------------------

    def _compare(self) -> None:
        self.library.hand_over(self.now)
        self.library.check_ids()
        state, outcome = self.library.state, self.driver.outcome
        if state.custom_status is not None:  # the library does not tell of a status that is empty
            self.ending.custom_status = state.custom_status
            self._same("custom status", state.custom_status, _json(self.driver.context.custom_status))
        self._compare_actions()
        self._same("has ended", state.is_done, outcome is not None)
        if outcome is None:
            return
        self._same("failure", state.failure, self._failure_text())
        if state.failure is not None:
            self.ending.status, self.ending.failure, self.ending.recorded_failure = "failed", state.failure, outcome.failure
        elif state.continued is not None:
            assert outcome.continued is not None, f"the library continues with {state.continued}, the driver does not"
            value = json.loads(state.continued)
            self._same("next input", value, json.loads(outcome.continued.input_json))
            self._same("unread events", self.library.unread, [tuple(each) for each in outcome.continued.unread_events])
            self.ending.rounds += 1
            self.driver.close()
            self._begin(value, self.library.unread)
        else:
            assert outcome.continued is None, "the driver continues, the library does not"
            self._same("output", state.output, _json(outcome.output))
            self.ending.status, self.ending.output = "completed", state.output

    def _compare_actions(self) -> None:
        scheduled = self.library.state.actions[self.first_seen :]
        ours = self.driver.take_actions()
        if self.driver.outcome is not None and self.driver.outcome.continued is not None:
            return  # neither does anything for what was scheduled in the last moment
        new = [(self.first_seen + offset, action) for offset, action in enumerate(scheduled)]
        asked = [(number, action) for number, action in new if not action.get("isCanceled")]
        calls = [each for each in ours if not isinstance(each, EventAction)]
        self._same("actions", [_of_library(action) for _, action in asked], [_of_ours(action) for action in calls])
        self._same("ids", [number for number, _ in asked], [each.task_id for each in calls])
        self.task_ids += [None] * len(new)
        for (number, action), mine in zip(asked, calls, strict=True):
            self.task_ids[number] = mine.task_id
            if action["actionType"] == TIMER:
                self.pending.append(Pending(to_microseconds(_time(action["fireAt"])), number, self._timer_fires))
            else:
                self._call_begins(number, tries=0)
        self.first_seen += len(new)
        self._compare_cancelled()

    def _compare_cancelled(self) -> None:
        if self.driver.outcome is not None:
            return
        under_way = {each.number for each in self.pending}
        for number, (action, task_id) in enumerate(zip(self.library.state.actions, self.task_ids, strict=True)):
            if task_id is not None and (number in under_way or action.get("isCanceled")):
                self._same(f"task {task_id} is open", not action.get("isCanceled"), self.driver.is_open(task_id))

    def _failure_text(self) -> str | None:
        """As the library says it: with the name of what has failed, where the orchestrator let a failed call end it."""
        assert self.driver.outcome is not None
        failure, cause = self.driver.outcome.failure, self.driver.outcome.cause
        if failure is None or failure.code != BROKEN:
            return failure and failure.message
        assert cause is not None
        return _told(self.library.state.actions[self.task_ids.index(cause)], failure.message)

    def _same(self, what: str, library: Any, ours: Any) -> None:
        if library != ours:
            moment = f"step {self.ending.steps}, incarnation {self.ending.rounds}, {self.now.isoformat()}"
            raise Different(f"{what} at {moment}\n  library: {library}\n  ours:    {ours}")


def _told(action: dict[str, Any], failure: str) -> str:
    """A failure as the host tells it to the one that waits for it."""
    kind = "Orchestrator" if action["actionType"] in (CHILD, CHILD_WITH_RETRY) else "Activity"
    return f"{kind} function '{action['functionName']}' failed: {failure}"


def _json(value: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value))


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _of_library(action: dict[str, Any]) -> tuple[Any, ...]:
    kind = action["actionType"]
    if kind == TIMER:
        return ("timer", _time(action["fireAt"]))
    retry = action.get("retryOptions")
    tries = (1, 1) if retry is None else (retry["firstRetryIntervalInMilliseconds"], retry["maxNumberOfAttempts"])
    if kind in (ACTIVITY, ACTIVITY_WITH_RETRY):
        return ("activity", action["functionName"], json.loads(action["input"]), *tries)
    return ("child", action["functionName"], json.loads(action["input"]), *tries, action["instanceId"], action["version"])


def _of_ours(action: Action) -> tuple[Any, ...]:
    if isinstance(action, TimerAction):
        return ("timer", action.fire_at)
    assert isinstance(action, ActivityAction | ChildAction)
    tries = (action.retry.first_retry_interval_in_milliseconds, action.retry.max_number_of_attempts)
    if isinstance(action, ActivityAction):
        return ("activity", action.name, msgspec.json.decode(action.input_json), *tries)
    return ("child", action.name, msgspec.json.decode(action.input_json), *tries, action.instance_id, action.version)
