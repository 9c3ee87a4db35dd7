"""Drives one orchestrator: knows generators and tasks, and nothing of storage, clocks or event loops."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from forebay.durable.failures import ActivityFailed, Failure, NonDeterministicError, SubOrchestrationFailed, TaskFailed
from forebay.durable.orchestration.actions import Action, ActivityAction, ChildAction, EventAction, TimerAction
from forebay.durable.orchestration.context import OrchestrationContext
from forebay.durable.orchestration.tasks import EventTask, Leaf, Task, TimerTask

OrchestratorFunction = Callable[[OrchestrationContext], Generator[Task[Any], Any, Any]]

EVENT_ID = -1  # of every task that waits for an event
CLOSE_LIMIT = 10  # yields of an orchestrator that is told to go


@dataclass(frozen=True, slots=True)
class Continuation:
    """The instance begins anew."""

    input_json: str
    unread_events: list[tuple[str, Any]]  # name and data, in the order of their arrival


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an orchestrator ended: with an output, with a failure, or to begin anew."""

    output: Any = None
    failure: Failure | None = None
    cause: int | None = None  # the task whose failure made the orchestrator fail
    continued: Continuation | None = None


class Driver:
    """One live generator and the tasks it waits for.

    After `start`, each `settle` and each `raise_event`, `take_actions` has what is to be done next and `outcome` says whether it ended.
    """

    def __init__(self, orchestrator: OrchestratorFunction, context: OrchestrationContext) -> None:
        self._orchestrator = orchestrator
        self.context = context
        self._generator: Generator[Task[Any], Any, Any] | None = None
        self._waits_for: Task[Any] | None = None
        self._open: dict[int, tuple[Leaf[Any], Action]] = {}
        self._actions: list[Action] = []
        self.task_count = 0  # tasks scheduled so far; the next one's id
        self._readers: dict[str, list[EventTask[Any]]] = {}
        self._unread: dict[str, deque[tuple[int, Any]]] = {}  # number and data of events that nobody waits for yet
        self._event_count = 0
        self._has_timers = False
        self.outcome: Outcome | None = None

    def start(self) -> None:
        """Run the orchestrator up to its first wait."""
        try:
            started = self._orchestrator(self.context)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # also a panic of an extension, which is no `Exception`
            self.fail(error)
            return
        if not isinstance(started, Generator):
            self._end(Outcome(output=started))
            return
        self._generator = started
        self._resume(None, None)

    def take_actions(self) -> list[Action]:
        """What was scheduled since the last call, in order; not timers that have been cancelled already."""
        if not self._actions:
            return []
        taken, self._actions = self._actions, []
        if self._has_timers:
            taken = [each for each in taken if not isinstance(each, TimerAction) or self.is_open(each.task_id)]
        return taken

    def is_open(self, task_id: int) -> bool:
        """Whether the task has neither settled nor been cancelled."""
        task, _ = self._open.get(task_id, (None, None))
        return task is not None and not (isinstance(task, TimerTask) and task.is_cancelled)

    def action(self, task_id: int) -> Action | None:
        """What an open task has been scheduled as."""
        task, action = self._open.get(task_id, (None, None))
        return None if isinstance(task, TimerTask) and task.is_cancelled else action

    def open_actions(self) -> list[Action]:
        """What has been scheduled and has neither settled nor been cancelled."""
        events = [EventAction(EVENT_ID, name) for name, readers in self._readers.items() for _ in readers]
        return [*(action for task_id, (_, action) in self._open.items() if self.is_open(task_id)), *events]

    def settle(self, task_id: int, *, now_us: int, result: Any = None, failure: Failure | None = None) -> None:
        """Hand the outcome of an activity, child or timer to the orchestrator and run it up to its next wait."""
        task, action = self._open.pop(task_id)
        error: TaskFailed | None = None
        if failure is not None:
            kind = SubOrchestrationFailed if isinstance(action, ChildAction) else ActivityFailed
            error = kind(action.name, failure, task_id)
        self.context.now_us = now_us
        task.complete(result, error)
        self._go_on()

    def raise_event(self, name: str, value: Any, *, now_us: int) -> None:
        """Hand an event to the newest task that waits for its name, or keep it for the next one that does, also across a new beginning.

        The newest, as Azure does: a loop that races an event against a timer leaves a wait behind in every round, and none of those
        may take an event away from the one in force.
        """
        if self.outcome is not None and self.outcome.continued is not None:
            self.outcome.continued.unread_events.append((name, value))
            return
        self.context.now_us = now_us
        readers = self._readers.get(name)
        if readers:
            readers.pop().complete(value)
            self._go_on()
        else:
            self._unread.setdefault(name, deque()).append((self._event_count, value))
            self._event_count += 1

    def expect(self, task_id: int, kind: type[Action], name: str, input_hash: str) -> None:
        """Check what is recorded of a task against the one that this replay has scheduled.

        Raises `NonDeterministicError` naming both.
        """
        _, action = self._open.get(task_id, (None, None))
        recorded = _described(kind, name)
        if action is None:
            message = f"the journal has {recorded} as task {task_id}; the replayed code did not schedule that task"
            raise NonDeterministicError(message, recorded=recorded, scheduled=None)
        if not isinstance(action, kind) or action.name != name:
            scheduled = _described(type(action), action.name)
            message = f"the journal has {recorded} as task {task_id}; the replayed code scheduled {scheduled}"
            raise NonDeterministicError(message, recorded=recorded, scheduled=scheduled)
        if not isinstance(action, EventAction) and action.input_hash != input_hash:
            what = "another moment" if isinstance(action, TimerAction) else "another input"
            message = f"the replayed code gives {recorded} (task {task_id}) {what} than the journal has"
            raise NonDeterministicError(message, recorded=recorded, scheduled=f"{recorded} with {what}")

    @property
    def begins_anew(self) -> bool:
        """Whether the orchestrator has ended in order to begin anew."""
        return self.outcome is not None and self.outcome.continued is not None

    def fail(self, error: BaseException) -> None:
        """Let the orchestrator end with a failure."""
        failure = error.failure if isinstance(error, TaskFailed) else Failure.of(error)
        self.outcome = Outcome(failure=failure, cause=_cause_of(error))

    def close(self) -> None:
        """Let go of the generator, also of one that yields again while it is being closed, as in `finally: yield ...`."""
        for _ in range(CLOSE_LIMIT if self._generator is not None else 0):
            try:
                self._generator.close()  # type: ignore[union-attr]
            except RuntimeError:
                continue
            except Exception:
                return
            return

    def _go_on(self) -> None:
        waits_for = self._waits_for
        if self.outcome is None and waits_for is not None and waits_for.is_completed:
            self._resume(waits_for.result, waits_for.error)

    def _resume(self, result: Any, error: Exception | None) -> None:
        assert self._generator is not None
        while True:
            try:
                yielded = self._generator.send(result) if error is None else self._generator.throw(error)
            except StopIteration as stop:
                self._end(Outcome(output=stop.value))
                return
            except KeyboardInterrupt:
                raise
            except BaseException as raised:
                self.fail(raised)
                return
            try:
                if self.context.continued_with is not None and self._begins_anew(yielded):
                    self._end(Outcome())
                    return
                self._schedule(yielded)
            except Exception as refused:  # what was yielded is no task, or the input of one is not JSON
                result, error = None, refused
                continue
            self._waits_for = yielded
            if not yielded.is_completed:
                return
            result, error = yielded.result, yielded.error

    def _begins_anew(self, yielded: object) -> bool:
        """Whether an orchestrator that has called `continue_as_new` would wait."""
        return not (isinstance(yielded, Task) and yielded.is_completed)

    def _schedule(self, yielded: object) -> None:
        if not isinstance(yielded, Task):
            raise TypeError(f"an orchestrator must yield tasks (context.call_activity(...), context.task_all(...)), got {yielded!r}")
        for leaf in yielded.leaves():
            if leaf.id is not None:
                continue  # under way already
            if isinstance(leaf, EventTask):
                leaf.id = EVENT_ID
                self._actions.append(leaf.action(EVENT_ID))
                self._read(leaf)
                continue
            leaf.id = task_id = self.task_count
            self.task_count += 1
            action = leaf.action(task_id)
            self._has_timers = self._has_timers or isinstance(leaf, TimerTask)
            self._open[task_id] = (leaf, action)
            self._actions.append(action)

    def _read(self, task: EventTask[Any]) -> None:
        """Give the task the oldest unread event of its name, or let it wait for the next."""
        unread = self._unread.get(task.name)
        if unread:
            task.complete(unread.popleft()[1])
        else:
            self._readers.setdefault(task.name, []).append(task)

    def _end(self, outcome: Outcome) -> None:
        if self.context.continued_with is not None:
            unread = sorted((number, name, value) for name, events in self._unread.items() for number, value in events)
            events = [(name, value) for _, name, value in unread]
            outcome = Outcome(continued=Continuation(self.context.continued_with, events))
        self.outcome = outcome


def _described(kind: type[Action], name: str) -> str:
    if kind is TimerAction:
        return "a timer"
    words = {ActivityAction: "activity", ChildAction: "orchestrator", EventAction: "event"}
    return f"{words[kind]} {name!r}"


def _cause_of(error: BaseException | None) -> int | None:
    """The task whose failure an exception is, or was raised for."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, TaskFailed):
            return error.task_id
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return None
