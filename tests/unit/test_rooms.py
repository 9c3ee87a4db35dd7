"""Who gets a place next, where an activity has a limit."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.durable.activities.limits import AdaptiveLimit, FixedLimit, Limit
from forebay.durable.activities.rooms import Room
from forebay.errors import ForebayError
from forebay.testing.virtual_loop import VirtualClock, run_virtual

Result = TypeVar("Result")


class Guests:
    """Calls that note when they get in."""

    def __init__(self, limit: Limit) -> None:
        self.clock = VirtualClock(asyncio.get_running_loop())
        self.room = Room("embed", limit, self.clock)
        self.order: list[str] = []
        self.running = self.most_running = 0
        self.tasks: list[asyncio.Task[None]] = []

    def call(self, who: str, *, lane: str = "", seconds: float = 1.0, error: Exception | None = None) -> asyncio.Task[None]:
        async def run() -> None:
            async with self.room.place(lane, who):
                self.order.append(who)
                self.running += 1
                self.most_running = max(self.most_running, self.running)
                try:
                    await asyncio.sleep(seconds)
                    if error is not None:
                        raise error
                finally:
                    self.running -= 1

        task = asyncio.create_task(run())
        self.tasks.append(task)
        return task

    async def all_done(self) -> None:
        await asyncio.gather(*self.tasks, return_exceptions=True)


def play(story: Callable[[Guests], Awaitable[Result]], limit: Limit | None = None) -> Result:
    async def main() -> Result:
        guests = Guests(limit or FixedLimit(1))
        return await story(guests)

    return run_virtual(main)


def test_an_instance_with_many_calls_delays_another_by_one_turn() -> None:
    async def story(guests: Guests) -> list[str]:
        for _ in range(50):
            guests.call("large")
        await asyncio.sleep(3.5)
        guests.call("small")
        await guests.all_done()
        return guests.order

    order = play(story)
    assert order.index("small") == 5  # four have had their turn, one has the next
    assert len(order) == 51


def test_instances_take_turns() -> None:
    async def story(guests: Guests) -> list[str]:
        for who in "aaaabbc":
            guests.call(who)
        await guests.all_done()
        return guests.order

    assert play(story) == list("aabcaba")  # the first one found the room empty


def test_lanes_take_turns_before_instances_do() -> None:
    async def story(guests: Guests) -> list[str]:
        for number in range(30):
            guests.call(f"bulk {number}", lane="folder")
        guests.call("mine", lane="upload")
        guests.call("mine too", lane="upload")
        await guests.all_done()
        return guests.order

    order = play(story)
    assert order.index("mine") == 2
    assert order.index("mine too") == 4


def test_the_calls_of_an_instance_keep_their_order() -> None:
    async def story(guests: Guests) -> float:
        for number in range(9):
            guests.call("only", seconds=number / 10)
        await guests.all_done()
        return guests.clock.monotonic()

    assert play(story, FixedLimit(9)) == pytest.approx(0.8)


@pytest.mark.parametrize("count", [1, 3])
def test_no_more_calls_run_than_the_limit_says(count: int) -> None:
    async def story(guests: Guests) -> tuple[int, float]:
        for number in range(12):
            guests.call(str(number % 5), lane=str(number % 2))
        await guests.all_done()
        return guests.most_running, guests.clock.monotonic()

    assert play(story, FixedLimit(count)) == (count, 12 / count)


def test_a_cancelled_call_gives_its_place_and_its_turn_away() -> None:
    async def story(guests: Guests) -> list[str]:
        first, waiting = guests.call("a", seconds=100), [guests.call("b") for _ in range(5)]
        guests.call("c")
        await asyncio.sleep(1)
        for task in [first, *waiting]:
            task.cancel()
        await guests.all_done()
        assert guests.room.snapshot().running_count == 0
        assert guests.room.snapshot().waiting == ()
        return guests.order

    assert play(story) == ["a", "c"]


def test_a_place_given_to_a_call_that_is_cancelled_in_the_same_moment_is_not_lost() -> None:
    async def story(guests: Guests) -> list[str]:
        async with guests.room.place("", "a"):
            second = guests.call("b")
            guests.call("c")
            await asyncio.sleep(1)
        second.cancel()  # its place has been given, and it has not begun
        await guests.all_done()
        return guests.order

    assert play(story) == ["c"]


def test_the_state_tells_what_waits_since_when() -> None:
    async def story(guests: Guests) -> None:
        guests.call("a", seconds=10)
        await asyncio.sleep(2)
        guests.call("b", lane="upload")
        await asyncio.sleep(2)
        guests.call("b", lane="upload")
        guests.call("c")
        await asyncio.sleep(0)
        state = guests.room.snapshot()
        assert (state.activity, state.limit, state.lowest_limit, state.highest_limit, state.running_count) == ("embed", 1, 1, 1, 1)
        assert [(each.instance_id, each.lane, each.call_count, each.since.second) for each in state.waiting] == [
            ("b", "upload", 2, 2),
            ("c", "", 1, 4),
        ]
        await guests.all_done()

    play(story)


@pytest.mark.parametrize(
    ("error", "is_lowered"),
    [
        (TimeoutError(), True),
        (ForebayError("embedding_failed", "limits its rate", retryable=True), True),
        (ForebayError("embedding_failed", "no such model", retryable=False), False),
        (ForebayError("database_unavailable", "full", retryable=True), False),
    ],
)
def test_only_failures_that_fewer_calls_may_help_lower_the_limit(error: Exception, is_lowered: bool) -> None:
    async def story(guests: Guests) -> tuple[int, int]:
        for _ in range(200):
            guests.call("a")
        await guests.all_done()
        before = guests.room.snapshot().limit
        with contextlib.suppress(Exception):
            await guests.call("a", error=error)
        return before, guests.room.snapshot().limit

    before, after = play(story, AdaptiveLimit(1, 50))
    assert before > 8
    assert (after < before) == is_lowered


@given(
    calls=st.lists(st.tuples(st.sampled_from("xyz"), st.integers(0, 3), st.booleans(), st.sampled_from([0.0, 0.5, 1.0])), max_size=40),
    limit=st.sampled_from([1, 2, 5]),
)
def test_every_call_runs_once_whatever_is_cancelled_and_nothing_is_left(calls: list[tuple[str, int, bool, float]], limit: int) -> None:
    async def story(guests: Guests) -> None:
        kept = []
        for lane, instance, is_cancelled, pause in calls:
            task = guests.call(f"{lane}{instance}", lane=lane)
            await asyncio.sleep(pause)
            if is_cancelled:
                task.cancel()
            else:
                kept.append(task)
        await guests.all_done()
        assert all(task.exception() is None for task in kept)
        assert guests.most_running <= limit
        state = guests.room.snapshot()
        assert (state.running_count, state.waiting) == (0, ())

    play(story, FixedLimit(limit))
