"""Where our engine and Microsoft's library are meant to differ. docs/durable.md shows this list; each entry is tested as it stands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta, timezone
from typing import Any, Literal

from tests.oracle.orchestrators import Context, Steps, call, retried

Seen = Literal["ending", "calls", "moment", "status", "json"]

BREAKS = "breaks"  # the library raises something of its own: the instance is lost, and its code cannot do anything about it
WAITS = "waits"  # for something that never comes


@dataclass(frozen=True)
class Difference:
    """One orchestrator that does two things.

    `happens` is what comes after its start: `("completed", call, result)`, `("failed", call, text)` and `("event", name, data)`, with calls
    numbered from 0 as they were scheduled. `library` and `ours` are what is `seen` then: its ending, which is an output,
    `{"failed": text}`, `BREAKS` or `WAITS`; the keys of its calls; the moment of its timer; its custom status; its output as JSON.
    """

    title: str
    library: Any
    ours: Any
    why: str
    orchestrator: Callable[[Context], Any]
    happens: Sequence[tuple[Any, ...]] = ()
    seen: Seen = "ending"


DIFFERENCES: list[Difference] = []

# What the library's context has and ours has not, each with the reason.
MISSING = {
    "call_entity": "there are no entities",
    "signal_entity": "there are no entities",
    "call_http": "an activity that makes the request can be tried again, timed out and traced",
    "function_context": "there is no function host",
    "histories": "the history is read through the client; an orchestrator that reads its own cannot be deterministic",
    "will_continue_as_new": "of use to the library itself only",
    "decision_started_event": "of use to the library itself only",
    "open_tasks": "of use to the library itself only",
    "deferred_tasks": "of use to the library itself only",
    "from_json": "of use to the library itself only",
}


def difference(
    title: str, *, library: Any, ours: Any, why: str, happens: Sequence[tuple[Any, ...]] = (), seen: Seen = "ending"
) -> Callable[[Callable[[Context], Any]], Callable[[Context], Any]]:
    def register(orchestrator: Callable[[Context], Any]) -> Callable[[Context], Any]:
        DIFFERENCES.append(Difference(title, library, ours, why, orchestrator, happens, seen))
        return orchestrator

    return register


# -- groups -------------------------------------------------------------------------------------------------------------


@difference(
    "`task_all([])` gives an empty list",
    library=[None, [None]],
    ours=[[], [[]]],
    why="a fan-out over nothing is a fan-out: code that goes through its results must not need a special case",
)
def all_of_nothing(context: Context) -> Steps:
    return [(yield context.task_all([])), (yield context.task_all([context.task_all([])]))]


@difference(
    "`task_any([])` raises `ValueError`",
    library=None,
    ours="ValueError",
    why="nothing could ever win; the library goes on with None where code expects a task",
)
def any_of_nothing(context: Context) -> Steps:
    try:
        return (yield context.task_any([]))
    except ValueError as error:
        return type(error).__name__


@difference(
    "A task that stands in a group twice runs once",
    library=["a", "a"],
    ours=["a"],
    why="the library asks its host for a second run, whose result nobody gets, and from then on its ids are wrong",
    seen="calls",
)
def twice_in_one_group(context: Context) -> Steps:
    task = call(context, "a")
    yield context.task_all([task, task])


@difference(
    "A task that has ended may stand in a group twice",
    library={"failed": "Parent Task -1 does not have pending sub-task with ID 0.This most likely means that Task 0 completed twice."},
    ours=["x", "x"],
    why="the library takes the second mention for a second end of the task",
    happens=[("completed", 0, "x")],
)
def ended_twice_in_one_group(context: Context) -> Steps:
    task = call(context, "a")
    yield task
    return (yield context.task_all([task, task]))


@difference(
    "A task may stand in several groups",
    library=WAITS,
    ours=["x", ["x", "y"]],
    why="the library tells only the group that was made last: the others wait for ever",
    happens=[("completed", 0, "x"), ("completed", 1, "y")],
)
def in_two_groups(context: Context) -> Steps:
    first, second = call(context, "a"), call(context, "b")
    both, either = context.task_all([first, second]), context.task_any([first])
    return [(yield either).result, (yield both)]


@difference(
    "A group asks only for what has not been asked for when it is yielded",
    library=["a", "a", "b"],
    ours=["a", "b"],
    why="the library notes what to ask for when the group is made, and so asks twice for what was yielded in between",
    happens=[("completed", 0, "x")],
    seen="calls",
)
def group_made_before_its_task_was_yielded(context: Context) -> Steps:
    task = call(context, "a")
    group = context.task_all([task, call(context, "b")])
    yield task
    yield group


@difference(
    "A group that has failed does no harm to what contains it",
    library=BREAKS,
    ours="went on",
    why="in the library a group that has failed ends again when the last of its tasks ends, and what contains it raises",
    happens=[("failed", 0, "broke"), ("completed", 1, "y"), ("completed", 3, "z")],
)
def failed_group_in_a_race(context: Context) -> Steps:
    group = context.task_all([call(context, "a"), call(context, "b")])
    yield context.task_any([group, call(context, "c")])
    yield call(context, "d")
    return "went on"


@difference(
    "A group that has failed stays failed",
    library="the list ['Exception', 'str']",
    ours="broke",
    why="in the library it gives a list with the exception in it once its other tasks have ended",
    happens=[("failed", 0, "broke"), ("completed", 1, "y"), ("completed", 2, "z")],
)
def failed_group_that_is_awaited_again(context: Context) -> Steps:
    group = context.task_all([call(context, "a"), call(context, "b")])
    try:
        yield group
    except Exception:
        yield call(context, "c")
    try:
        return f"the list {[type(each).__name__ for each in (yield group)]}"
    except Exception as error:
        return str(error).split(": ")[-1]


@difference(
    "A group of tasks that have all ended fails if one of them has failed",
    library="the list ['Exception', 'str']",
    ours="broke",
    why="the library looks at them one after the other, and the last one decides",
    happens=[("failed", 0, "broke"), ("completed", 1, "y")],
)
def group_of_ended_tasks(context: Context) -> Steps:
    tasks = [call(context, "a"), call(context, "b")]
    try:
        yield tasks[0]
    except Exception:
        yield tasks[1]
    try:
        return f"the list {[type(each).__name__ for each in (yield context.task_all(tasks))]}"
    except Exception as error:
        return str(error).split(": ")[-1]


# -- events -------------------------------------------------------------------------------------------------------------


@difference(
    "Events that come early are all kept, in their order",
    library=[2, 2],
    ours=[1, 2],
    why="the library keeps the last early event of a name, and gives it to every wait that follows",
    happens=[("event", "x", 1), ("event", "x", 2), ("completed", 0, None)],
)
def early_events(context: Context) -> Steps:
    yield call(context, "a")
    return [(yield context.wait_for_external_event("x")), (yield context.wait_for_external_event("x"))]


@difference(
    "An event is read once",
    library=[1, 1],
    ours=WAITS,
    why="the same defect: the second wait must have an event of its own",
    happens=[("event", "x", 1), ("completed", 0, None)],
)
def one_early_event_for_two_waits(context: Context) -> Steps:
    yield call(context, "a")
    return [(yield context.wait_for_external_event("x")), (yield context.wait_for_external_event("x"))]


# -- failures and retries -----------------------------------------------------------------------------------------------


@difference(
    "An instance that ends by a failed activity or child has the failure of that one",
    library={"failed": "Activity function 'work' failed: broke"},
    ours={"failed": "broke"},
    why="its code and text say what to do wherever they are read; which activity it was is in the history",
    happens=[("failed", 0, "broke")],
)
def failure_that_nobody_catches(context: Context) -> Steps:
    yield call(context, "a")


@difference(
    "An exception without a text is told by its name",
    library={"failed": "<class 'ValueError'>"},
    ours={"failed": "ValueError"},
    why="the same, for people",
)
def failure_without_a_text(context: Context) -> Steps:
    raise ValueError
    yield


@difference(
    "`SystemExit` fails the instance",
    library=BREAKS,
    ours={"failed": "3"},
    why="in one process with everything else, an orchestrator must not be able to end it",
)
def system_exit(context: Context) -> Steps:
    raise SystemExit(3)
    yield


@difference(
    "The wait after the last try",
    library=WAITS,
    ours="failed",
    why="the library and its host wait once more before they give up, though nothing follows",
    happens=[("failed", 0, "broke")],
)
def last_try(context: Context) -> Steps:
    try:
        yield retried(context, "a", attempts=1)
    except Exception:
        return "failed"


# -- wrong use ----------------------------------------------------------------------------------------------------------


@difference(
    "What is yielded and is no task raises `TypeError` at the `yield`",
    library=BREAKS,
    ours="TypeError",
    why="the mistake shows where it was made, in the orchestrator's own traceback",
)
def yield_of_a_number(context: Context) -> Steps:
    try:
        yield 5
    except TypeError:
        return "TypeError"


@difference(
    "`yield None` is refused as well",
    library=WAITS,
    ours="TypeError",
    why="in the library it waits for any event, and then breaks",
)
def yield_of_nothing(context: Context) -> Steps:
    try:
        yield None
    except TypeError:
        return "TypeError"


@difference(
    "Any number of tasks that have ended may be yielded in a row",
    library=BREAKS,
    ours=2000,
    why="the library recurses for each",
    happens=[("completed", 0, 1)],
)
def many_yields_of_one_task(context: Context) -> Steps:
    task, total = call(context, "a"), 0
    for _ in range(2000):
        total += yield task
    return total


@difference(
    "What stands in a group and is no task raises `TypeError`",
    library="AttributeError",
    ours="TypeError",
    why="`'int' object has no attribute 'parent'` does not tell anybody what to do",
)
def group_of_numbers(context: Context) -> Any:
    try:
        context.task_all([5])
    except (AttributeError, TypeError) as error:
        return type(error).__name__


@difference(
    "A group may be made of a generator",
    library="TypeError",
    ours=["a", "b"],
    why="`task_all(context.call_activity(...) for each in found)` is what people write",
    happens=[("completed", 0, "a"), ("completed", 1, "b")],
)
def group_of_a_generator(context: Context) -> Steps:
    try:
        group = context.task_all(call(context, key) for key in "ab")
    except TypeError as error:
        return type(error).__name__
    return (yield group)


# -- values -------------------------------------------------------------------------------------------------------------


@difference(
    "Datetimes, sets, bytes, dataclasses and UUIDs become JSON, in inputs, outputs and states alike",
    library={"failed": "Object of type datetime is not JSON serializable"},
    ours="2030-01-01T00:00:00Z",
    why="one encoder for all values; the library has one for inputs, that asks objects for `to_json`, and another for outputs",
)
def output_that_only_our_encoder_takes(context: Context) -> Steps:
    return context.current_utc_datetime
    yield


@difference(
    "A number that JSON has not becomes null",
    library="NaN",
    ours="null",
    why="`NaN` is not JSON: other readers of the journal would refuse it",
    seen="json",
)
def not_a_number(context: Context) -> Any:
    return float("nan")


@difference(
    "A timer's moment may be in any time zone",
    library="2030-01-01T02:00:00.000000Z",
    ours="2030-01-01T00:00:00.000000Z",
    why="the library writes the hours of the other zone and calls them UTC",
    seen="moment",
)
def timer_in_another_time_zone(context: Context) -> Steps:
    yield context.create_timer(context.current_utc_datetime.astimezone(timezone(timedelta(hours=2))))


# -- custom status ------------------------------------------------------------------------------------------------------


@difference(
    "A custom status may be empty again",
    library=None,
    ours=0,
    why='the library tells its host nothing of a status that is 0, "", [], {} or False: the one before stays',
    happens=[("completed", 0, None)],
    seen="status",
)
def status_that_becomes_zero(context: Context) -> Steps:
    context.set_custom_status("busy")
    yield call(context, "a")
    context.set_custom_status(0)
    yield call(context, "b")


@difference(
    "A custom status that is not JSON raises `TypeError` when it is set",
    library=BREAKS,
    ours="TypeError",
    why="in the library the instance breaks at its next wait, far from the mistake",
)
def status_that_is_not_json(context: Context) -> Steps:
    try:
        context.set_custom_status(object())
    except TypeError:
        return "TypeError"
    yield call(context, "a")
