"""Orchestrators that a person would write, for Microsoft's library and for ours alike."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import azure.durable_functions
from tests.oracle.lockstep import Event

from forebay.durable import RetryOptions
from forebay.durable.orchestration.context import OrchestrationContext

Context = Any  # of either library
Task = Any  # of either library
Steps = Generator[Any, Any, Any]  # of tasks, of either library


@dataclass(frozen=True)
class Case:
    """An orchestrator, its input, the events that it gets, and whether it makes things happen at one moment, in whatever order."""

    orchestrator: Callable[[Context], Any]
    value: Any = None
    events: tuple[Event, ...] = ()
    has_ties: bool = False

    @property
    def name(self) -> str:
        return self.orchestrator.__name__


CASES: list[Case] = []


def case(
    value: Any = None, events: tuple[tuple[float, str, Any], ...] = (), has_ties: bool = False
) -> Callable[[Callable[[Context], Any]], Callable[[Context], Any]]:
    """List an orchestrator; `events` are seconds after the start, name and data."""

    def register(orchestrator: Callable[[Context], Any]) -> Callable[[Context], Any]:
        CASES.append(Case(orchestrator, value, tuple((round(seconds * 1e6), name, data) for seconds, name, data in events), has_ties))
        return orchestrator

    return register


# -- what they call -----------------------------------------------------------------------------------------------------


def call(context: Context, key: str, fails: int = 0, **more: Any) -> Task:
    """An activity that fails the first `fails` times; `gives` is what it returns, else its key."""
    return context.call_activity("work", {"key": key, "fails": fails, **more})


def retried(context: Context, key: str, fails: int = 0, attempts: int = 3, **more: Any) -> Task:
    return context.call_activity_with_retry("work", retry(context, 1000, attempts), {"key": key, "fails": fails, **more})


def child(context: Context, key: str, fails: int = 0, **more: Any) -> Task:
    """The same as an orchestrator of its own."""
    return context.call_sub_orchestrator("leaf", {"key": key, "fails": fails, **more})


def retried_child(context: Context, key: str, fails: int = 0, attempts: int = 3, **more: Any) -> Task:
    return context.call_sub_orchestrator_with_retry("leaf", retry(context, 1500, attempts), {"key": key, "fails": fails, **more})


def retry(context: Context, milliseconds: int, attempts: int) -> Any:
    """The retry policy of the library that runs the orchestrator."""
    options = RetryOptions if isinstance(context, OrchestrationContext) else azure.durable_functions.RetryOptions
    return options(milliseconds, attempts)


def timer(context: Context, seconds: float) -> Task:
    return context.create_timer(context.current_utc_datetime + timedelta(seconds=seconds))


# -- sequences ----------------------------------------------------------------------------------------------------------


@case()
def nothing_to_do(context: Context) -> Any:
    return {"plain": "value"}


@case(value={"numbers": [1, 2.5, None], "text": "ä"})
def input_and_output(context: Context) -> Steps:
    got = yield call(context, "a", gives=context.get_input())
    return {"got": got, "instance": context.instance_id, "parent": context.parent_instance_id, "version": context.version}


@case(value={"list": []})
def values_are_taken_as_they_are_when_they_are_given(context: Context) -> Steps:
    value = context.get_input()
    first, second = call(context, "a", value=value), child(context, "b", value=value)
    value["list"].append("too late")
    yield context.task_all([first, second])
    return [value, context.get_input()]


@case()
def names_must_not_be_empty(context: Context) -> Steps:
    refused = []
    for wrong in (context.call_activity, context.call_sub_orchestrator, context.wait_for_external_event):
        try:
            wrong("")
        except ValueError:
            refused += [(yield call(context, f"after {len(refused)}"))]
    return refused


@case()
def inputs_that_are_not_json_are_refused_where_they_are_given(context: Context) -> Steps:
    refused = []
    for wrong in (context.call_activity, context.call_sub_orchestrator):
        try:
            wrong("work", object())
        except TypeError:
            refused += [(yield call(context, f"after {len(refused)}"))]
    return refused


@case()
def moments_must_be_datetimes(context: Context) -> Steps:
    try:
        context.create_timer("tomorrow")
    except ValueError:
        return (yield call(context, "a"))


@case()
def naive_datetimes_are_utc(context: Context) -> Steps:
    yield context.create_timer(context.current_utc_datetime.replace(tzinfo=None) + timedelta(seconds=2))
    return context.current_utc_datetime.isoformat()


@case()
def no_output(context: Context) -> Steps:
    yield call(context, "a")


@case()
def each_step_gets_the_result_of_the_last(context: Context) -> Steps:
    last = None
    for number in range(6):
        last = yield call(context, f"step {number}", last=last)
    return last


@case()
def a_null_result(context: Context) -> Steps:
    return [(yield call(context, "a", gives=None)), (yield child(context, "b", gives=None))]


@case()
def a_task_yielded_again_gives_its_result_again(context: Context) -> Steps:
    task = call(context, "a", gives=[1])
    return [(yield task), (yield call(context, "b")), (yield task), (yield task)]


@case()
def a_failed_task_yielded_again_fails_again(context: Context) -> Steps:
    task, texts = call(context, "a", fails=1), []
    for number in range(3):
        try:
            yield task
        except Exception as error:
            texts.append([str(error), (yield call(context, f"b{number}"))])
    return texts


@case()
def a_task_starts_when_it_is_yielded(context: Context) -> Steps:
    first, second, third = (call(context, f"created {number}") for number in range(3))
    return [(yield third), (yield first), (yield second)]


def both_halves(context: Context, name: str) -> Steps:
    left = yield call(context, f"{name} left")
    return left + (yield call(context, f"{name} right"))


@case()
def generators_called_with_yield_from(context: Context) -> Steps:
    return [(yield from both_halves(context, "a")), (yield from both_halves(context, "b"))]


@case()
def a_loop_that_ends_by_a_result(context: Context) -> Steps:
    rounds = 0
    while (yield call(context, f"round {rounds}", gives=rounds < 4)):
        rounds += 1
    return rounds


# -- fan-out and fan-in -------------------------------------------------------------------------------------------------


@case()
def fan_out_and_in(context: Context) -> Steps:
    parts = yield context.task_all([call(context, f"part {number}") for number in range(8)])
    return (yield call(context, "joined", parts=parts))


@case()
def nested_fan_out(context: Context) -> Steps:
    inner = [context.task_all([call(context, f"{group}{number}") for number in range(3)]) for group in "abc"]
    return (yield context.task_all([*inner, call(context, "alone")]))


@case()
def fan_outs_in_sequence(context: Context) -> Steps:
    found = []
    for size in (2, 1, 4):
        found += yield context.task_all([call(context, f"{size} {number}") for number in range(size)])
    return found


@case()
def results_are_in_the_order_of_the_tasks(context: Context) -> Steps:
    tasks = [call(context, f"t{number}") for number in range(5)]
    results = yield context.task_all(tasks)
    return [results, [task.result for task in tasks], [task.is_completed for task in tasks]]


@case()
def fan_out_of_which_one_part_has_ended(context: Context) -> Steps:
    early = call(context, "early")
    yield early
    return (yield context.task_all([call(context, "late"), early]))


@case()
def fan_out_of_which_everything_has_ended(context: Context) -> Steps:
    tasks = [call(context, "a"), call(context, "b")]
    yield tasks[0]
    yield tasks[1]
    return (yield context.task_all(tasks))


@case()
def fan_out_over_activities_children_and_timers(context: Context) -> Steps:
    return (yield context.task_all([call(context, "a"), child(context, "b"), timer(context, 7), retried(context, "c", fails=1)]))


@case()
def fan_out_that_fails_and_whose_others_are_awaited(context: Context) -> Steps:
    slow = [call(context, f"slow {number}") for number in range(3)]
    try:
        yield context.task_all([*slow, call(context, "bad", fails=1)])
    except Exception as error:
        text = str(error)
    return [text, (yield slow[0]), (yield slow[2]), (yield slow[1])]


@case()
def fan_out_in_which_several_fail(context: Context) -> Steps:
    try:
        yield context.task_all([call(context, f"bad {number}", fails=1) for number in range(4)])
    except Exception as error:
        return [str(error), (yield call(context, "after"))]


@case()
def fan_out_with_a_part_that_has_failed_before(context: Context) -> Steps:
    bad = call(context, "bad", fails=1)
    try:
        yield bad
    except Exception as error:
        first = str(error)
    try:
        yield context.task_all([call(context, "still scheduled"), bad])
    except Exception as error:
        return [first, str(error), (yield call(context, "after"))]


@case(has_ties=True)
def parts_that_end_at_one_moment(context: Context) -> Steps:
    parts = [call(context, f"part {number}", seconds=5) for number in range(4)]
    children = [child(context, f"child {number}", seconds=5) for number in range(3)]
    first = yield context.task_all([*parts, *children, timer(context, 5), retried(context, "again", fails=1, seconds=2)])
    return [first, (yield context.task_all([call(context, f"more {number}", seconds=number // 2 + 1) for number in range(6)]))]


# -- races --------------------------------------------------------------------------------------------------------------


@case()
def race(context: Context) -> Steps:
    tasks = [call(context, f"runner {number}") for number in range(3)]
    winner = yield context.task_any(tasks)
    return [tasks.index(winner), winner.result, [task.is_completed for task in tasks]]


@case()
def race_of_groups(context: Context) -> Steps:
    groups = [context.task_all([call(context, f"{name}{number}") for number in range(2)]) for name in "ab"]
    winner = yield context.task_any(groups)
    return [groups.index(winner), winner.result]


@case()
def group_of_races(context: Context) -> Steps:
    races = [context.task_any([call(context, f"{name}{number}") for number in range(2)]) for name in "ab"]
    winners = yield context.task_all(races)
    return [winner.result for winner in winners]


@case()
def race_that_a_failure_can_win(context: Context) -> Steps:
    tasks = [call(context, "bad", fails=1), call(context, "good")]
    winner = yield context.task_any(tasks)
    try:
        return [tasks.index(winner), (yield winner)]
    except Exception as error:
        return [tasks.index(winner), str(error)]


@case()
def race_until_all_have_ended(context: Context) -> Steps:
    waiting, order = [call(context, f"runner {number}", gives=number) for number in range(5)], []
    while waiting:
        winner = yield context.task_any(waiting)
        order.append(winner.result)
        waiting.remove(winner)
    return order


@case()
def sliding_window_of_calls(context: Context) -> Steps:
    window, done = [], []
    for number in range(8):
        window.append(call(context, f"job {number}"))
        if len(window) == 3:
            winner = yield context.task_any(window)
            window.remove(winner)
            done.append(winner.result)
    return [done, (yield context.task_all(window))]


@case()
def race_with_one_that_has_ended(context: Context) -> Steps:
    early = call(context, "early")
    yield early
    winner = yield context.task_any([call(context, "scheduled all the same"), early])
    return [winner is early, (yield call(context, "after"))]


@case()
def loser_of_a_race_is_awaited(context: Context) -> Steps:
    tasks = [call(context, "a"), call(context, "b")]
    winner = yield context.task_any(tasks)
    tasks.remove(winner)
    return [winner.result, (yield tasks[0])]


# -- retries ------------------------------------------------------------------------------------------------------------


@case()
def retries_that_succeed(context: Context) -> Steps:
    return [(yield retried(context, "a", fails=2)), (yield retried(context, "b", fails=0))]


@case()
def retries_that_run_out(context: Context) -> Steps:
    try:
        yield retried(context, "a", fails=9, attempts=3)
    except Exception as error:
        return [str(error), (yield call(context, "plan b"))]


@case()
def retries_that_run_out_and_end_the_instance(context: Context) -> Steps:
    yield retried(context, "a", fails=9, attempts=2)


@case()
def one_try_with_a_policy(context: Context) -> Steps:
    try:
        yield retried(context, "a", fails=1, attempts=1)
    except Exception as error:
        return str(error)


@case()
def retries_side_by_side(context: Context) -> Steps:
    return (yield context.task_all([retried(context, f"r{number}", fails=number, attempts=5) for number in range(4)]))


@case()
def race_of_retries_against_a_timer(context: Context) -> Steps:
    work, limit = retried(context, "a", fails=2, attempts=4), timer(context, 60)
    winner = yield context.task_any([work, limit])
    if winner is limit:
        return "too slow"
    limit.cancel()
    return winner.result


# -- failures -----------------------------------------------------------------------------------------------------------


@case()
def failure_that_is_caught(context: Context) -> Steps:
    try:
        yield call(context, "a", fails=1)
    except Exception as error:
        return [str(error), (yield call(context, "compensated"))]


@case()
def failure_that_is_not_caught(context: Context) -> Steps:
    yield call(context, "before")
    yield call(context, "a", fails=1)
    yield call(context, "never")


@case()
def failure_of_its_own(context: Context) -> Steps:
    yield call(context, "a")
    raise LookupError("nothing there")


@case()
def failure_before_the_first_wait(context: Context) -> Steps:
    raise ValueError("not today")
    yield


@case()
def failure_raised_from_another(context: Context) -> Steps:
    try:
        yield call(context, "a", fails=1)
    except Exception as error:
        raise RuntimeError(f"gave up: {error}") from error


@case()
def clean_up_in_finally(context: Context) -> Steps:
    try:
        yield call(context, "begun")
        yield call(context, "bad", fails=1)
    finally:
        yield context.task_all([call(context, "undone"), call(context, "told")])


@case()
def clean_up_that_fails_too(context: Context) -> Steps:
    try:
        yield call(context, "first", fails=1)
    finally:
        yield call(context, "second", fails=1)


@case()
def compensations_in_reverse_order(context: Context) -> Steps:
    done: list[str] = []
    try:
        for key in ("flight", "hotel"):
            done += [(yield call(context, key))]
        yield call(context, "car", fails=1)
    except Exception as error:
        undone = []
        for key in reversed(done):
            undone += [(yield call(context, f"undo {key}"))]
        return [str(error), undone]


@case()
def results_and_failures_side_by_side(context: Context) -> Steps:
    tasks, found = [call(context, f"t{number}", fails=number % 2) for number in range(4)], []
    for task in tasks:
        try:
            found.append((yield task))
        except Exception as error:
            found.append(str(error))
    return found


# -- timers -------------------------------------------------------------------------------------------------------------


@case()
def a_timer(context: Context) -> Steps:
    before = context.current_utc_datetime
    nothing = yield timer(context, 90)
    return [nothing, (context.current_utc_datetime - before).total_seconds()]


@case()
def timers_at_once(context: Context) -> Steps:
    timers = [timer(context, seconds) for seconds in (30, 10, 20)]
    winner = yield context.task_any(timers)
    yield context.task_all(timers)
    return [timers.index(winner), [each.is_completed for each in timers]]


@case()
def timer_in_the_past(context: Context) -> Steps:
    return [(yield timer(context, -3600)), (yield call(context, "a"))]


@case()
def deadline_for_an_activity(context: Context) -> Steps:
    work, limit = call(context, "a"), timer(context, 25)
    winner = yield context.task_any([work, limit])
    if winner is work:
        limit.cancel()
        return ["in time", winner.result, limit.is_cancelled, limit.is_completed]
    return ["too late", (yield work)]


@case()
def polling_with_pauses(context: Context) -> Steps:
    for number in range(4):
        if (yield call(context, f"look {number}", gives=number == 3)):
            return number
        yield timer(context, 5 * 2**number)


@case()
def timer_cancelled_before_it_is_yielded(context: Context) -> Steps:
    early = timer(context, 5)
    early.cancel()
    return (yield context.task_any([early, call(context, "a")])) is not early


@case()
def timer_that_has_fired_cannot_be_cancelled(context: Context) -> Steps:
    fired = timer(context, 5)
    yield fired
    try:
        fired.cancel()
    except ValueError:
        return ["refused", fired.is_cancelled]


@case()
def waiting_for_a_cancelled_timer(context: Context) -> Steps:
    limit = timer(context, 5)
    yield context.task_any([limit, context.task_all([])])
    limit.cancel()
    limit.cancel()
    yield limit


# -- events -------------------------------------------------------------------------------------------------------------


@case(events=((20, "approval", {"by": "Ada"}),))
def an_event(context: Context) -> Steps:
    return (yield context.wait_for_external_event("approval"))


@case(events=((0.25, "approval", "early"),))
def an_event_that_comes_early(context: Context) -> Steps:
    yield call(context, "a")
    yield call(context, "b")
    return (yield context.wait_for_external_event("approval"))


@case(events=((0.25, "item", 1), (0.5, "other", "x"), (0.75, "item", 2), (400, "item", 3)))
def repeated_events_in_order(context: Context) -> Steps:
    yield call(context, "a")
    items = []
    for _ in range(3):
        items += [(yield context.wait_for_external_event("item"))]
    return [items, (yield context.wait_for_external_event("other"))]


@case(events=((70, "approval", True),))
def reminders_until_an_event_comes(context: Context) -> Steps:
    for number in range(10):
        answer, limit = context.wait_for_external_event("approval"), timer(context, 20)
        winner = yield context.task_any([answer, limit])
        if winner is answer:
            limit.cancel()
            return [number, answer.result]
        yield call(context, f"reminder {number}")


@case(events=((15, "approval", True),))
def timer_against_an_event(context: Context) -> Steps:
    answer, limit = context.wait_for_external_event("approval"), timer(context, 30)
    winner = yield context.task_any([answer, limit])
    if winner is limit:
        return "escalated"
    limit.cancel()
    return ["approved", answer.result]


@case(events=((45, "approval", True),))
def timer_that_beats_an_event(context: Context) -> Steps:
    answer, limit = context.wait_for_external_event("approval"), timer(context, 30)
    winner = yield context.task_any([answer, limit])
    return ["escalated", (yield call(context, "escalation")), (yield answer)] if winner is limit else "approved"


@case(events=((5, "b", 2), (9, "a", 1)))
def several_events_in_any_order(context: Context) -> Steps:
    return (yield context.task_all([context.wait_for_external_event("a"), context.wait_for_external_event("b")]))


@case(events=((5, "x", "first"), (9, "x", "second")))
def the_newest_wait_gets_the_event(context: Context) -> Steps:
    waits = [context.wait_for_external_event("x"), context.wait_for_external_event("x")]
    return (yield context.task_all(waits))


@case(events=((40, "stop", None),))
def work_until_told_to_stop(context: Context) -> Steps:
    stop, rounds = context.wait_for_external_event("stop"), 0
    while True:
        work = call(context, f"round {rounds}")
        if (yield context.task_any([stop, work])) is stop:
            return [rounds, stop.result, (yield work)]
        rounds += 1


@case(events=((5, "never awaited", 1),))
def an_event_that_nobody_awaits(context: Context) -> Steps:
    return (yield timer(context, 30))


@case()
def waiting_for_an_event_that_never_comes(context: Context) -> Steps:
    yield context.wait_for_external_event("approval")


# -- children -----------------------------------------------------------------------------------------------------------


@case()
def a_child(context: Context) -> Steps:
    return (yield child(context, "a", gives={"from": "the child"}))


@case()
def children_side_by_side(context: Context) -> Steps:
    return (yield context.task_all([child(context, f"c{number}") for number in range(4)]))


@case()
def a_child_that_fails(context: Context) -> Steps:
    try:
        yield child(context, "a", fails=1)
    except Exception as error:
        return str(error)


@case()
def a_child_that_fails_and_ends_its_parent(context: Context) -> Steps:
    yield context.task_all([child(context, "good"), child(context, "bad", fails=1)])


@case()
def a_child_with_an_id_of_its_own(context: Context) -> Steps:
    return (yield context.call_sub_orchestrator("leaf", {"key": "a"}, f"{context.instance_id}-leaf"))


@case()
def children_that_are_tried_again(context: Context) -> Steps:
    found = [(yield retried_child(context, "a", fails=2))]
    try:
        yield retried_child(context, "b", fails=5, attempts=2)
    except Exception as error:
        found.append(str(error))
    return found


# -- custom status ------------------------------------------------------------------------------------------------------


@case()
def custom_status_at_every_step(context: Context) -> Steps:
    for number in range(3):
        context.set_custom_status({"done": number, "of": 3})
        yield call(context, f"step {number}")
    context.set_custom_status("finished")
    return context.custom_status


@case()
def custom_status_stays_after_a_failure(context: Context) -> Steps:
    context.set_custom_status("begun")
    yield call(context, "bad", fails=1)


# -- continue-as-new ----------------------------------------------------------------------------------------------------


@case(value={"round": 0, "sum": 0})
def continue_as_new_until_done(context: Context) -> Steps:
    state = context.get_input()
    if state["round"] == 4:
        return state
    added = yield call(context, f"round {state['round']}", gives=state["round"])
    context.continue_as_new({"round": state["round"] + 1, "sum": state["sum"] + added})


@case(value=0)
def continue_as_new_with_a_return_value(context: Context) -> Steps:
    if context.get_input() < 2:
        context.continue_as_new(context.get_input() + 1)
        return "not the output"
    yield call(context, "a")
    return "the output"


@case(value=0)
def continue_as_new_ends_at_the_next_wait(context: Context) -> Steps:
    if context.get_input():
        return "second"
    done = call(context, "a")
    yield done
    context.continue_as_new(1)
    context.set_custom_status("after")
    yield call(context, "never scheduled")
    raise AssertionError("not reached")


@case(value=0)
def continue_as_new_that_is_yielded(context: Context) -> Steps:
    if context.get_input():
        return "second"
    yield call(context, "a")
    yield context.continue_as_new(1)


@case(value=0)
def continue_as_new_called_twice_takes_the_first(context: Context) -> Steps:
    if context.get_input():
        return context.get_input()
    yield call(context, "a")
    context.continue_as_new("first")
    context.continue_as_new("second")


@case(value=0)
def continue_as_new_goes_on_while_nothing_has_to_be_waited_for(context: Context) -> Steps:
    if context.get_input():
        return "second"
    done = call(context, "a", gives=1)
    yield done
    context.continue_as_new(1)
    context.set_custom_status("still here")
    result = yield done
    context.set_custom_status(result)
    if result:
        raise ValueError("the last word")


@case(value=0)
def failure_after_continue_as_new(context: Context) -> Steps:
    yield call(context, "a")
    context.continue_as_new(1)
    raise ValueError("changed its mind")


@case(value=0, events=((0.25, "item", "a"), (0.5, "item", "b"), (0.75, "item", "c")))
def continue_as_new_keeps_unread_events(context: Context) -> Steps:
    round_number = context.get_input()
    yield call(context, f"round {round_number}")
    item = yield context.wait_for_external_event("item")
    if item == "c":
        return round_number
    context.continue_as_new(round_number + 1)


@case(value=[])
def continue_as_new_without_a_generator(context: Context) -> Any:
    seen = context.get_input()
    if len(seen) < 3:
        context.continue_as_new([*seen, len(seen)])
    return seen


@case(value=0)
def continue_as_new_leaves_work_behind(context: Context) -> Steps:
    if context.get_input() == 2:
        return (yield call(context, "last"))
    round_number = context.get_input()
    winner = yield context.task_any([call(context, f"{round_number} {number}") for number in range(3)])
    context.set_custom_status(winner.result)
    context.continue_as_new(round_number + 1)


# -- time and ids -------------------------------------------------------------------------------------------------------


@case()
def ids_and_times_are_the_same(context: Context) -> Steps:
    found: list[Any] = [context.new_uuid(), str(context.new_guid()), context.new_uuid(), context.current_utc_datetime.isoformat()]
    yield call(context, "a", id=context.new_uuid())
    found += [context.new_uuid(), str(context.new_guid()), context.current_utc_datetime.isoformat()]
    yield timer(context, 3)
    return [*found, context.new_uuid(), context.current_utc_datetime.isoformat()]
