"""Limits that adapt, against simulated servers of known capacity, in virtual time."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.durable.activities.limits import PROBE_WINDOWS, WINDOW_CALLS, AdaptiveLimit, CallOutcome, FixedLimit, Limit, limit_of
from forebay.testing.virtual_loop import run_virtual

CALL_SECONDS = 0.5


@dataclass
class Server:
    """Works on `capacity` calls at once, the others wait in its queue; over `refusal_count` in all it refuses at once."""

    capacity: int
    seconds: Callable[[], float] = lambda: CALL_SECONDS
    refusal_count: int | None = None
    is_stalled: bool = False
    queue: deque[asyncio.Future[None]] = field(default_factory=deque)
    working: int = 0
    present: int = 0

    async def call(self) -> CallOutcome:
        if self.refusal_count is not None and self.present >= self.refusal_count:
            await asyncio.sleep(0.01)
            return "overload"
        self.present += 1
        turn = asyncio.get_running_loop().create_future()
        self.queue.append(turn)
        self.work()
        await turn
        await asyncio.sleep(self.seconds())
        self.working -= 1
        self.present -= 1
        self.work()
        return "completed"

    def work(self) -> None:
        """Begin with what waits, as far as there is capacity."""
        while self.queue and self.working < self.capacity and not self.is_stalled:
            turn = self.queue.popleft()
            if not turn.done():
                self.working += 1
                turn.set_result(None)


@dataclass
class Load:
    """As many calls at once as a limit allows, for ever."""

    server: Server
    limit: Limit
    done_count: int = 0
    limits: list[int] = field(default_factory=list)

    async def run(self, seconds: float) -> float:
        """Completed calls a second within so many seconds."""
        loop = asyncio.get_running_loop()
        self.done_count, self.limits = 0, []
        running: set[asyncio.Task[None]] = set()
        end = loop.time() + seconds
        while loop.time() < end:
            while len(running) < self.limit.in_force:
                running.add(asyncio.create_task(self._call()))
            self.limits.append(self.limit.in_force)
            _, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED, timeout=end - loop.time())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        self.server.working = self.server.present = 0  # the next run finds it idle
        return self.done_count / seconds

    async def _call(self) -> None:
        loop = asyncio.get_running_loop()
        call, began, outcome = self.limit.begun(), loop.time(), "other"
        try:
            outcome = await self.server.call()
            self.done_count += outcome == "completed"
        finally:
            self.limit.ended(call, outcome, loop.time() - began, is_full=True)


def settled_limits(load: Load) -> list[int]:
    """The limits of the second half of a run."""
    return sorted(load.limits[len(load.limits) // 2 :])


@pytest.mark.parametrize("capacity", [4, 16, 30])
def test_the_limit_settles_near_the_capacity_from_below_and_wastes_next_to_nothing(capacity: int) -> None:
    async def main() -> tuple[float, list[int]]:
        load = Load(Server(capacity), AdaptiveLimit(1, 100))
        await load.run(60)
        rate = await load.run(300)
        return rate, settled_limits(load)

    rate, limits = run_virtual(main)
    assert rate >= 0.96 * capacity / CALL_SECONDS
    assert capacity <= limits[len(limits) // 2] <= 2.5 * capacity
    assert limits[-1] <= 3 * capacity < 100


def test_the_limit_settles_from_above_when_the_capacity_falls() -> None:
    async def main() -> tuple[list[int], float]:
        server = Server(40)
        load = Load(server, AdaptiveLimit(1, 100))
        await load.run(100)
        assert load.limit.in_force > 40
        server.capacity = 5
        await load.run(60)
        rate = await load.run(300)
        return settled_limits(load), rate

    limits, rate = run_virtual(main)
    assert 5 <= limits[len(limits) // 2] <= 15
    assert rate >= 0.96 * 5 / CALL_SECONDS


def test_a_server_that_becomes_faster_or_slower_for_good_gets_its_limit_back() -> None:
    async def main() -> list[float]:
        server = Server(20)
        load = Load(server, AdaptiveLimit(1, 64))
        rates = []
        for seconds in (0.5, 0.1, 2.0):
            server.seconds = lambda seconds=seconds: seconds
            await load.run(400 * seconds)
            rates.append(await load.run(400 * seconds) * seconds / 20)
        return rates

    assert min(run_virtual(main)) >= 0.9


def test_the_limit_recovers_after_a_stall() -> None:
    async def main() -> tuple[float, float]:
        server = Server(16)
        load = Load(server, AdaptiveLimit(1, 64))
        await load.run(60)
        before = await load.run(200)
        server.is_stalled = True
        stall = asyncio.create_task(load.run(120))
        await asyncio.sleep(100)
        server.is_stalled = False
        server.work()
        await stall
        await load.run(30)
        return before, await load.run(200)

    before, after = run_virtual(main)
    assert after >= 0.97 * before


def test_a_server_that_refuses_keeps_the_limit_below_what_it_takes() -> None:
    async def main() -> tuple[float, list[int]]:
        load = Load(Server(1000, refusal_count=20), AdaptiveLimit(2, 200))
        await load.run(60)
        return await load.run(300), settled_limits(load)

    rate, limits = run_virtual(main)
    assert rate >= 0.6 * 20 / CALL_SECONDS  # the saw's teeth reach from half of it to all of it
    assert limits[-1] <= 25


@pytest.mark.parametrize("capacity", [4, 16, 200])
@pytest.mark.parametrize("spread", ["even", "some do nothing"])
def test_calls_of_very_different_length_do_not_mislead_it(capacity: int, spread: str) -> None:
    def seconds(chance: random.Random) -> float:
        if spread == "some do nothing" and chance.random() < 0.5:
            return 0.001
        return chance.uniform(0.05, 1.0)

    async def rate(limit: Limit) -> float:
        chance = random.Random(1)
        load = Load(Server(capacity, seconds=lambda: seconds(chance)), limit)
        await load.run(30)
        return await load.run(60)

    adaptive = run_virtual(lambda: rate(AdaptiveLimit(2, 64)))
    best = run_virtual(lambda: rate(FixedLimit(64)))
    assert adaptive >= 0.88 * best


def test_where_the_highest_limit_is_the_right_one_it_costs_next_to_nothing() -> None:
    """As for local threads: a fixed limit of twice their number, or the same as the upper bound."""

    async def rate(limit: Limit) -> float:
        load = Load(Server(2), limit)
        await load.run(30)
        return await load.run(300)

    assert run_virtual(lambda: rate(AdaptiveLimit(2, 4))) >= 0.99 * run_virtual(lambda: rate(FixedLimit(4)))


def test_the_limit_does_not_grow_while_it_is_not_reached() -> None:
    limit = AdaptiveLimit(3, 50)
    for _ in range(20 * PROBE_WINDOWS * WINDOW_CALLS):
        limit.ended(limit.begun(), "completed", 0.1, is_full=False)
    assert limit.in_force == 3


def test_one_failure_counts_once_for_the_calls_under_way() -> None:
    limit = AdaptiveLimit(1, 64)
    while limit.in_force < 64:
        limit.ended(limit.begun(), "completed", 0.1, is_full=True)
    calls = [limit.begun() for _ in range(64)]
    for call in calls:
        limit.ended(call, "overload", 0.1, is_full=True)
    assert limit.in_force in (16, 32)  # those that had begun before a window was full may count for the next one


def test_calls_that_only_fail_in_other_ways_change_nothing() -> None:
    limit = AdaptiveLimit(2, 8)
    for _ in range(1000):
        limit.ended(limit.begun(), "other", 0.1, is_full=True)
    assert limit.in_force == 2


@given(
    bounds=st.tuples(st.integers(1, 40), st.integers(0, 40)),
    calls=st.lists(
        st.tuples(
            st.sampled_from(["completed", "completed", "completed", "overload", "other"]),
            st.sampled_from([0.0, 1e-9, 0.001, 0.5, 3.0, 1e9]),
            st.booleans(),
            st.integers(0, 9),
        ),
        max_size=600,
    ),
)
def test_the_limit_never_leaves_its_bounds(bounds: tuple[int, int], calls: list[tuple[CallOutcome, float, bool, int]]) -> None:
    lowest, highest = bounds[0], bounds[0] + bounds[1]
    limit = AdaptiveLimit(lowest, highest)
    under_way: list[int] = []
    for outcome, seconds, is_full, position in calls:
        under_way += [limit.begun(), limit.begun()]
        limit.ended(under_way.pop(position % len(under_way)), outcome, seconds, is_full=is_full)
        assert lowest <= limit.in_force <= highest


@pytest.mark.parametrize("concurrency", [0, -1, (0, 4), (5, 4)])
def test_a_limit_under_which_nothing_could_run_is_refused(concurrency: int | tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="expected"):
        limit_of(concurrency)


def test_a_number_is_a_fixed_limit() -> None:
    limit = limit_of(4)
    limit.ended(limit.begun(), "overload", 9.0, is_full=True)
    assert (limit.lowest, limit.in_force, limit.highest) == (4, 4, 4)
