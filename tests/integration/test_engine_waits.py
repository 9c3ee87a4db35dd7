"""Timers, events, custom status and continue-as-new: what a user of Durable Functions expects, whatever is kept in memory."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from tests.integration.durable_bench import Bench, rows
from tests.integration.waiting_stage import SETTINGS, Setting, Stage, Steps, until, until_waiting

from forebay.durable import ActivityFailed, OrchestrationContext, RetryOptions
from forebay.errors import ForebayError

START = datetime(2030, 1, 1, tzinfo=UTC)
MANY = 1000 if len(SETTINGS) > 3 else 300
EVER = 1e9  # seconds


@pytest.fixture(params=SETTINGS, ids=str)
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Stage:
    setting: Setting = request.param
    return Stage(tmp_path / "test.db", setting)


def after(context: OrchestrationContext, seconds: float) -> Any:
    return context.create_timer(context.current_utc_datetime + timedelta(seconds=seconds))


# -- timers ---------------------------------------------------------------------------------------------------------


def test_a_timer_fires_when_its_time_has_come_and_not_before(stage: Stage) -> None:
    def sleeper(context: OrchestrationContext) -> Steps:
        fire_at = context.current_utc_datetime + timedelta(seconds=90)
        assert (yield context.create_timer(fire_at)) is None
        return (context.current_utc_datetime - fire_at).total_seconds()

    assert 0 <= stage.output_of(sleeper) < 0.1


@pytest.mark.parametrize(
    "moment",
    [START - timedelta(days=3650), START, (START + timedelta(hours=2)).astimezone(timezone(timedelta(hours=-8))), datetime(2030, 1, 1, 3)],  # noqa: DTZ001
    ids=["years ago", "now", "of another zone", "naive"],
)
def test_any_moment_will_do(stage: Stage, moment: datetime) -> None:
    def sleeper(context: OrchestrationContext) -> Steps:
        yield context.create_timer(moment)
        return context.current_utc_datetime.timestamp()

    wanted = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    woken = stage.output_of(sleeper)
    assert max(wanted.timestamp(), START.timestamp()) <= woken < max(wanted.timestamp(), START.timestamp()) + 1


def test_many_equal_timers_fire_together(stage: Stage) -> None:
    def sleeper(context: OrchestrationContext) -> Steps:
        timers = [after(context, 60) for _ in range(200)]
        yield context.task_all(timers)
        return [timer.is_completed for timer in timers]

    assert stage.output_of(sleeper) == [True] * 200
    assert rows(stage.path, "SELECT count(*), count(DISTINCT at) FROM history WHERE kind = 'timer_fired'") == [(200, 1)]


def test_timers_fire_in_the_order_of_their_times(stage: Stage) -> None:
    def sleeper(context: OrchestrationContext) -> Steps:
        timers = {number: after(context, (number * 7) % 10) for number in range(10)}
        order = []
        while timers:
            fired = yield context.task_any(list(timers.values()))
            order.append(next(number for number, timer in timers.items() if timer is fired))
            del timers[order[-1]]
        return order

    assert stage.output_of(sleeper) == [0, 3, 6, 9, 2, 5, 8, 1, 4, 7]


def test_a_timer_of_a_year_survives_restarts_and_fires(stage: Stage) -> None:
    def sleeper(context: OrchestrationContext) -> Steps:
        yield after(context, 365 * 86400)
        return context.current_utc_datetime.date().isoformat()

    async def start(bench: Bench) -> None:
        await bench.client.start_new("sleeper", "i")
        await until_waiting(bench, "i", "timer")

    async def look(bench: Bench) -> str:
        await asyncio.sleep(100)
        status = await bench.client.get_status("i")
        assert status is not None
        return status.runtime_status

    async def end(bench: Bench) -> Any:
        return (await bench.client.wait_for_completion("i", 100)).output

    stage.live(start, sleeper)
    assert stage.live(look, clock_ahead_seconds=364 * 86400) == "Running"
    assert stage.live(end, clock_ahead_seconds=366 * 86400) == "2031-01-02"


def test_a_clock_that_jumps_forward_fires_what_is_due_within_half_a_minute(stage: Stage) -> None:
    def sleeper(context: OrchestrationContext) -> Steps:
        yield after(context, 3600)
        return "woken"

    async def story(bench: Bench) -> float:
        await bench.client.start_new("sleeper", "i")
        await until_waiting(bench, "i", "timer")
        bench.clock.jump(3600)
        began = bench.clock.monotonic()
        await bench.client.wait_for_completion("i")
        return bench.clock.monotonic() - began

    assert stage.live(story, sleeper) < 31


def test_times_and_timers_hold_while_the_clock_jumps_an_hour_back_and_forth(stage: Stage) -> None:
    def sleeper(context: OrchestrationContext) -> Steps:
        times = [context.current_utc_datetime.timestamp()]
        for _ in range(20):
            fire_at = context.current_utc_datetime + timedelta(minutes=10)
            yield context.create_timer(fire_at)
            assert context.current_utc_datetime >= fire_at
            times.append(context.current_utc_datetime.timestamp())
        return times

    async def story(bench: Bench) -> Any:
        await bench.client.start_new("sleeper", "i")
        for turn in range(20):
            await asyncio.sleep(500)
            bench.clock.jump(-3600 if turn % 2 else 3600)
        return (await bench.client.wait_for_completion("i", 1e6)).output

    times = stage.live(story, sleeper)
    assert times == sorted(times)


def test_many_waits_in_one_instance(stage: Stage) -> None:
    def patient(context: OrchestrationContext) -> Steps:
        for _ in range(MANY):
            yield after(context, 1)
        return (context.current_utc_datetime - START).total_seconds()

    assert MANY <= stage.output_of(patient) < 1.2 * MANY


def test_a_timer_that_is_cancelled_does_not_hold_up_the_end_and_never_wakes(stage: Stage) -> None:
    def racing(context: OrchestrationContext) -> Steps:
        timer = after(context, 3600)
        done = yield context.task_any([timer, context.call_activity("rest", 5)])
        assert done is not timer
        timer.cancel()
        yield after(context, 7200)
        return [timer.is_completed, timer.is_cancelled]

    assert stage.output_of(racing) == [False, True]
    assert rows(stage.path, "SELECT count(*) FROM history WHERE kind = 'timer_fired'") == [(1,)]


def test_a_timer_that_has_fired_cannot_be_cancelled(stage: Stage) -> None:
    def late(context: OrchestrationContext) -> Steps:
        timer = after(context, 1)
        yield timer
        try:
            timer.cancel()
        except ValueError:
            return "too late"

    assert stage.output_of(late) == "too late"


@pytest.mark.parametrize("stops_after_seconds", [5, 15, 25])
def test_a_stop_before_between_or_after_timers_changes_nothing(stage: Stage, stops_after_seconds: float) -> None:
    def sleeper(context: OrchestrationContext) -> Steps:
        found = []
        for seconds in (10, 10):
            yield after(context, seconds)
            found.append((yield context.call_activity("echo", len(found))))
        return found

    async def begin(bench: Bench) -> None:
        await bench.client.start_new("sleeper", "i")
        await asyncio.sleep(stops_after_seconds)

    async def end(bench: Bench) -> Any:
        return (await bench.client.wait_for_completion("i", 100)).output

    stage.live(begin, sleeper)
    assert stage.live(end, clock_ahead_seconds=stops_after_seconds) == [0, 1]
    assert stage.calls == [0, 1]


# -- events ---------------------------------------------------------------------------------------------------------


def listener(context: OrchestrationContext) -> Steps:
    """Hears so many events of each name, one name after the other."""
    names = [name for name, count in context.get_input() for _ in range(count)]
    heard = []
    for name in names:
        answer = yield context.wait_for_external_event(name)
        heard.append(answer)
    return heard


def test_events_that_come_early_are_kept_in_their_order_and_by_name(stage: Stage) -> None:
    def busy(context: OrchestrationContext) -> Steps:
        yield context.call_activity("rest", 10)
        return (yield from listener(context))

    async def story(bench: Bench) -> Any:
        await bench.client.start_new("busy", "i", [["b", 3], ["a", 3]])
        for number in range(3):
            await bench.client.raise_event("i", "a", number)
            await bench.client.raise_event("i", "b", 10 + number)
        return (await bench.client.wait_for_completion("i", 100)).output

    assert stage.live(story, busy) == [10, 11, 12, 0, 1, 2]


def test_events_reach_an_instance_that_waits_one_by_one(stage: Stage) -> None:
    async def story(bench: Bench) -> Any:
        await bench.client.start_new("listener", "i", [["x", 300]])
        for number in range(300):
            await bench.client.raise_event("i", "x", number)
        return (await bench.client.wait_for_completion("i", 1000)).output

    assert stage.live(story, listener) == list(range(300))


def test_events_that_are_sent_at_once_to_many_instances_all_arrive_once_and_in_order(stage: Stage) -> None:
    """They meet instances that wait, load, leave and move, as the limits let only a few be in memory."""

    async def story(bench: Bench) -> list[Any]:
        ids = [f"i{number}" for number in range(30)]
        for instance_id in ids:
            await bench.client.start_new("listener", instance_id, [["x", 20]])

        async def send(instance_id: str) -> None:
            for number in range(20):
                await bench.client.raise_event(instance_id, "x", number)

        await asyncio.gather(*map(send, ids))
        return [(await bench.client.wait_for_completion(each, 1000)).output for each in ids]

    assert stage.live(story, listener, inflight_instances=3) == [list(range(20))] * 30


def test_an_event_during_an_activity_waits_until_it_is_asked_for(stage: Stage) -> None:
    def busy(context: OrchestrationContext) -> Steps:
        return [(yield context.call_activity("rest", 5)), (yield context.wait_for_external_event("x"))]

    async def story(bench: Bench) -> Any:
        await bench.client.start_new("busy", "i")
        await asyncio.sleep(1)
        await bench.client.raise_event("i", "x", {"deep": [1, None]})
        return (await bench.client.wait_for_completion("i", 100)).output

    assert stage.live(story, busy) == [5, {"deep": [1, None]}]


def test_events_sent_while_nothing_runs_are_heard_after_the_next_start(stage: Stage) -> None:
    async def begin(bench: Bench) -> None:
        await bench.client.start_new("listener", "i", [["x", 3]])
        await bench.client.raise_event("i", "x", 0)
        await until_waiting(bench, "i", "event")

    async def tell(bench: Bench) -> None:
        await bench.client.raise_event("i", "x", 1)  # and stop at once

    async def end(bench: Bench) -> Any:
        await bench.client.raise_event("i", "x", 2)
        return (await bench.client.wait_for_completion("i", 100)).output

    stage.live(begin, listener)
    stage.live(tell)
    assert stage.live(end) == [0, 1, 2]


def test_an_event_without_an_instance_or_after_its_end_is_refused(stage: Stage) -> None:
    async def story(bench: Bench) -> list[str]:
        codes = []
        await bench.run("listener", [], instance_id="over")
        for instance_id in ("nobody", "over"):
            with pytest.raises(ForebayError) as refused:
                await bench.client.raise_event(instance_id, "x")
            codes.append(refused.value.code)
        return codes

    assert stage.live(story, listener) == ["instance_not_found", "instance_over"]
    assert rows(stage.path, "SELECT count(*) FROM messages") == [(0,)]


def approval(context: OrchestrationContext) -> Steps:
    """The example of Azure's documentation."""
    timer = after(context, 60)
    answer = context.wait_for_external_event("answer")
    winner = yield context.task_any([answer, timer])
    if winner is timer:
        return "escalated"
    timer.cancel()
    return answer.result


def test_a_race_of_event_and_timer_goes_to_whichever_comes_first(stage: Stage) -> None:
    async def story(bench: Bench) -> list[Any]:
        for name in ("early", "late"):
            await bench.client.start_new("approval", name)
        await asyncio.sleep(30)
        await bench.client.raise_event("early", "answer", "yes")
        began = bench.clock.monotonic()
        first = await bench.client.wait_for_completion("early", EVER)
        assert bench.clock.monotonic() - began < 1
        return [first.output, (await bench.client.wait_for_completion("late", EVER)).output]

    assert stage.live(story, approval) == ["yes", "escalated"]


def test_event_and_timer_of_the_same_moment_give_one_winner_and_replay_to_it(stage: Stage) -> None:
    def racing(context: OrchestrationContext) -> Steps:
        won = []
        for _ in range(10):
            won.append((yield from approval(context)))
            yield context.call_activity("echo", won[-1])
        return won

    async def story(bench: Bench) -> Any:
        await bench.client.start_new("racing", "i")
        for number in range(10):
            await asyncio.sleep(59.99)
            await bench.client.raise_event("i", "answer", number)
        return (await bench.client.wait_for_completion("i", EVER)).output

    assert stage.live(story, racing) == stage.calls


def test_a_loop_that_races_events_against_timers_hears_every_event(stage: Stage) -> None:
    def looping(context: OrchestrationContext) -> Steps:
        heard: list[int] = []
        timeouts = 0
        while len(heard) < 50:
            timer, event = after(context, 3), context.wait_for_external_event("x")
            if (yield context.task_any([timer, event])) is event:
                timer.cancel()
                heard.append(event.result)
            else:
                timeouts += 1
        return [heard, timeouts > 10]

    async def story(bench: Bench) -> Any:
        await bench.client.start_new("looping", "i")
        for number in range(50):
            await asyncio.sleep(number * 7 % 10)
            await bench.client.raise_event("i", "x", number)
        return (await bench.client.wait_for_completion("i", EVER)).output

    assert stage.live(story, looping) == [list(range(50)), True]


def test_many_races_that_the_timer_wins(stage: Stage) -> None:
    def looping(context: OrchestrationContext) -> Steps:
        for _ in range(MANY):
            yield context.task_any([after(context, 1), context.wait_for_external_event("never")])
        return "done"

    assert stage.output_of(looping) == "done"


# -- suspended ------------------------------------------------------------------------------------------------------


def test_what_comes_while_an_instance_is_suspended_is_handed_to_it_when_it_goes_on(stage: Stage) -> None:
    def busy(context: OrchestrationContext) -> Steps:
        tasks = [context.call_activity("rest", 5), after(context, 6), context.wait_for_external_event("x")]
        found = yield context.task_all(tasks)
        return [*found, (yield context.call_activity("echo", "after"))]

    async def begin(bench: Bench) -> None:
        await bench.client.start_new("busy", "i")
        await asyncio.sleep(1)
        await bench.client.suspend("i")
        await bench.client.raise_event("i", "x", 7)
        await asyncio.sleep(20)
        status = await bench.client.get_status("i")
        assert status is not None
        assert (status.runtime_status, stage.calls) == ("Suspended", [])

    async def go_on(bench: Bench) -> Any:
        await asyncio.sleep(20)
        assert stage.calls == []
        await bench.client.resume("i")
        return (await bench.client.wait_for_completion("i", 100)).output

    async def all_of_it(bench: Bench) -> Any:
        await begin(bench)
        return await go_on(bench)

    assert stage.live(all_of_it, busy) == [5, None, 7, "after"]
    assert stage.calls == ["after"]
    assert rows(stage.path, "SELECT count(*) FROM history WHERE task_id = 0") == [(1,)]


def test_a_suspended_instance_stays_so_over_a_restart_and_runs_no_activity_twice(stage: Stage) -> None:
    def busy(context: OrchestrationContext) -> Steps:
        found = yield context.task_all([context.call_activity("echo", 1), context.wait_for_external_event("x")])
        return [*found, (yield context.call_activity("rest", 1))]

    async def begin(bench: Bench) -> None:
        await bench.client.start_new("busy", "i")
        await until_waiting(bench, "i", "event")
        await bench.client.suspend("i")

    async def tell(bench: Bench) -> None:
        await bench.client.raise_event("i", "x", 2)
        await asyncio.sleep(10)
        status = await bench.client.get_status("i")
        assert status is not None
        assert status.runtime_status == "Suspended"

    async def go_on(bench: Bench) -> Any:
        await bench.client.resume("i")
        return (await bench.client.wait_for_completion("i", 100)).output

    stage.live(begin, busy)
    stage.live(tell)
    assert stage.live(go_on) == [1, 2, 1]
    assert stage.calls == [1]


# -- custom status --------------------------------------------------------------------------------------------------


def test_custom_status_is_seen_while_it_waits_after_a_restart_and_after_the_end(stage: Stage) -> None:
    def reporting(context: OrchestrationContext) -> Steps:
        for number in range(3):
            context.set_custom_status({"at": number})
            yield context.wait_for_external_event("next")
        return "done"

    async def status_of(bench: Bench) -> Any:
        status = await bench.client.get_status("i")
        assert status is not None
        return status.custom_status

    async def begin(bench: Bench) -> None:
        async def until_it_shows(what: Any) -> None:
            async def shows() -> bool:
                return bool(await status_of(bench) == what)

            await until(shows)  # it is seen once it is durable, a little after it is set

        await bench.client.start_new("reporting", "i")
        await until_it_shows({"at": 0})
        await bench.client.raise_event("i", "next")
        await until_it_shows({"at": 1})

    async def go_on(bench: Bench) -> list[Any]:
        seen = [await status_of(bench)]
        await bench.client.raise_event("i", "next")
        await bench.client.raise_event("i", "next")
        return [*seen, (await bench.client.wait_for_completion("i", 100)).custom_status]

    stage.live(begin, reporting)
    assert stage.live(go_on) == [{"at": 1}, {"at": 2}]


def test_a_custom_status_over_the_limit_fails_the_instance_with_the_limits_name(stage: Stage) -> None:
    def talkative(context: OrchestrationContext) -> Steps:
        if context.get_input() == "later":
            yield context.call_activity("echo", 1)
        context.set_custom_status("x" * 2000)
        yield context.wait_for_external_event("never")

    async def story(bench: Bench) -> list[Any]:
        found = []
        for when in ("at once", "later"):
            status = await bench.run("talkative", when, timeout_seconds=100)
            found.append((status.runtime_status, status.failure_code))
        return found

    assert stage.live(story, talkative, payload_bytes=1000) == [("Failed", "payload_too_large")] * 2


def test_a_custom_status_that_stops_being_json_fails_the_instance(stage: Stage) -> None:
    def sly(context: OrchestrationContext) -> Steps:
        shown: dict[str, Any] = {}
        context.set_custom_status(shown)
        yield context.call_activity("echo", 1)
        shown["x"] = object()
        yield context.wait_for_external_event("never")

    async def story(bench: Bench) -> Any:
        return (await bench.run("sly", timeout_seconds=100)).failure_code

    assert stage.live(story, sly) == "payload_not_json"


# -- continue-as-new ------------------------------------------------------------------------------------------------


def test_every_event_is_heard_once_and_in_order_by_an_instance_that_begins_anew_with_each(stage: Stage) -> None:
    def eternal(context: OrchestrationContext) -> Steps:
        heard = context.get_input()
        heard.append((yield context.wait_for_external_event("x")))
        if len(heard) == 40:
            return heard
        context.continue_as_new(heard)

    async def story(bench: Bench) -> Any:
        await bench.client.start_new("eternal", "i", [])
        await asyncio.gather(*(bench.client.raise_event("i", "x", number) for number in range(20)))
        for number in range(20, 40):
            await bench.client.raise_event("i", "x", number)
        return (await bench.client.wait_for_completion("i", 100)).output

    assert stage.live(story, eternal) == list(range(40))


def test_events_that_were_read_early_are_heard_one_a_round_by_an_instance_that_begins_anew_without_a_pause(stage: Stage) -> None:
    def eternal(context: OrchestrationContext) -> Steps:
        heard = context.get_input()
        if not heard:
            yield context.call_activity("rest", 10)
        heard.append((yield context.wait_for_external_event("x")))
        if len(heard) == 5:
            return heard
        context.continue_as_new(heard)

    async def story(bench: Bench) -> Any:
        await bench.client.start_new("eternal", "i", [])
        for number in range(5):
            await bench.client.raise_event("i", "x", number)
        return (await bench.client.wait_for_completion("i", 100)).output

    assert stage.live(story, eternal) == list(range(5))


def test_events_of_several_names_are_carried_over_until_they_are_asked_for(stage: Stage) -> None:
    def phases(context: OrchestrationContext) -> Steps:
        round_number, heard = context.get_input()
        yield context.call_activity("rest", 5)
        if round_number < 5:
            context.continue_as_new([round_number + 1, heard])
            return
        first = yield context.wait_for_external_event("b")
        rest = yield context.task_all([context.wait_for_external_event(name) for name in "aba"])
        return [first, *rest]

    async def story(bench: Bench) -> Any:
        await bench.client.start_new("phases", "i", [0, []])
        for number, name in enumerate("abab"):
            await bench.client.raise_event("i", name, number)
            await asyncio.sleep(4)
        return (await bench.client.wait_for_completion("i", 1000)).output

    assert stage.live(story, phases) == [1, 0, 3, 2]


def test_an_event_while_a_transactional_activity_holds_up_the_new_beginning_is_not_lost(stage: Stage) -> None:
    @stage.registry.transactional
    def store(tx: Any, name: str) -> str:
        tx.execute("INSERT INTO effects VALUES (?)", (name,))
        return name

    def eternal(context: OrchestrationContext) -> Steps:
        heard = context.get_input()
        event = context.wait_for_external_event("x")
        unwatched = context.call_activity("store", f"round {len(heard)}")
        yield context.task_any([event, unwatched])
        if not event.is_completed:
            yield event
        heard.append(event.result)
        if len(heard) == 10:
            return heard
        yield context.task_any([context.call_activity("echo", 1), context.call_activity("store", f"left {len(heard)}")])
        context.continue_as_new(heard)

    async def story(bench: Bench) -> Any:
        await bench.client.start_new("eternal", "i", [])
        for number in range(10):
            await bench.client.raise_event("i", "x", number)
        return (await bench.client.wait_for_completion("i", 100)).output

    assert stage.live(story, eternal) == list(range(10))


def test_timers_and_activities_of_an_earlier_round_never_reach_a_later_one(stage: Stage) -> None:
    def eternal(context: OrchestrationContext) -> Steps:
        round_number = context.get_input()
        if round_number == 5:
            yield after(context, 100)
            return "quiet"
        yield context.task_any([context.call_activity("echo", round_number), after(context, 20), context.call_activity("rest", 30)])
        context.continue_as_new(round_number + 1)

    assert stage.output_of(eternal, 0) == "quiet"
    assert stage.calls == [0, 1, 2, 3, 4]
    assert rows(stage.path, "SELECT kind, count(*) FROM history") == [("timer_fired", 1)]


def test_a_stop_between_any_two_rounds_changes_nothing(stage: Stage) -> None:
    def counter(context: OrchestrationContext) -> Steps:
        number = context.get_input()
        yield after(context, 10)
        yield context.call_activity("echo", number)
        if number < 9:
            context.continue_as_new(number + 1)
        return number

    async def begin(bench: Bench) -> None:
        await bench.client.start_new("counter", "i", 0)

    async def go_on(bench: Bench) -> None:
        await asyncio.sleep(12)

    async def end(bench: Bench) -> Any:
        return (await bench.client.wait_for_completion("i", 1000)).output

    stage.live(begin, counter)
    for life in range(5):
        stage.live(go_on, clock_ahead_seconds=12 * life)
    assert stage.live(end, clock_ahead_seconds=60) == 9
    assert stage.calls == list(range(10))


# -- places ---------------------------------------------------------------------------------------------------------


def test_waits_of_every_kind_hold_no_place(stage: Stage) -> None:
    """With room for one instance that moves, another runs while the first waits."""
    stage.failures_left = 2

    def slow(context: OrchestrationContext) -> Steps:
        yield after(context, 3600)
        heard = yield context.wait_for_external_event("x")
        again = yield context.call_activity_with_retry("fail_some", RetryOptions(3_600_000, 3), "again")
        child = yield context.call_sub_orchestrator("quick", 1)
        return [heard, again, child]

    def quick(context: OrchestrationContext) -> Steps:
        return (yield context.call_activity("rest", context.get_input()))

    async def story(bench: Bench) -> Any:
        await bench.client.start_new("slow", "i")
        for _ in range(100):
            await asyncio.sleep(100)
            began = bench.clock.monotonic()
            assert (await bench.run("quick", 1)).output == 1
            assert bench.clock.monotonic() - began < 2
            if (await bench.client.get_status("i")).waits["waits"][0]["kind"] == "event":
                await bench.client.raise_event("i", "x", "heard")
        return (await bench.client.wait_for_completion("i", EVER)).output

    assert stage.live(story, slow, quick, inflight_instances=1) == ["heard", "again", 1]
    assert [later - earlier > 3599.99 for earlier, later in zip(stage.calls, stage.calls[1:], strict=False)] == [True, True]


def test_an_instance_that_misses_an_activity_still_goes_on_when_its_timer_fires(stage: Stage) -> None:
    def undecided(context: OrchestrationContext) -> Steps:
        timer, answer = after(context, 60), context.wait_for_external_event("x")
        done = yield context.task_any([context.call_activity("missing", 1), timer, answer])
        return "timer" if done is timer else answer.result

    async def story(bench: Bench) -> list[Any]:
        await bench.client.start_new("undecided", "i")
        await bench.client.start_new("undecided", "j")
        await asyncio.sleep(10)
        await bench.client.raise_event("j", "x", "event")
        return [(await bench.client.wait_for_completion(each, 1000)).output for each in "ij"]

    assert stage.live(story, undecided) == ["timer", "event"]


def test_retries_that_rest_go_on_after_a_restart_where_they_were(stage: Stage) -> None:
    stage.failures_left = 1

    def patient(context: OrchestrationContext) -> Steps:
        try:
            return (yield context.call_activity_with_retry("fail_some", RetryOptions(100_000, 3), "done"))
        except ActivityFailed as error:
            return error.code

    async def begin(bench: Bench) -> None:
        await bench.client.start_new("patient", "i")
        await asyncio.sleep(40)

    async def end(bench: Bench) -> float:
        assert (await bench.client.wait_for_completion("i", 1000)).output == "done"
        return bench.clock.monotonic()

    stage.live(begin, patient)
    assert 59 < stage.live(end, clock_ahead_seconds=40) < 62
