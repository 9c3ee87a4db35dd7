"""Token buckets, on a clock that stands still until it is moved."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.errors import ForebayError
from forebay.server.rate_limits import TokenBuckets
from forebay.values.times import to_microseconds


class StandingClock:
    def __init__(self) -> None:
        self.seconds = 50.0

    def now(self) -> datetime:
        return datetime(2030, 1, 1, tzinfo=UTC)

    def now_us(self) -> int:
        return to_microseconds(self.now())

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing sleeps here")


def taken(buckets: TokenBuckets, caller: str) -> bool:
    try:
        buckets.take(caller)
    except ForebayError:
        return False
    return True


def test_a_burst_passes_and_the_next_request_is_told_when_to_come_back() -> None:
    buckets = TokenBuckets(StandingClock(), rate=0.25, burst=3)
    assert [taken(buckets, "a") for _ in range(4)] == [True, True, True, False]
    with pytest.raises(ForebayError) as refused:
        buckets.take("a")
    error = refused.value
    assert (error.code, error.status, error.retryable, error.retry_after_seconds) == ("rate_limit_exceeded", 429, True, 4)
    assert error.message == "Rate limit exceeded. Try again in 4 seconds."


def test_callers_have_buckets_of_their_own() -> None:
    buckets = TokenBuckets(StandingClock(), rate=1, burst=1)
    assert [taken(buckets, caller) for caller in ("a", "b", "a", "b")] == [True, True, False, False]


def test_whoever_waits_as_told_is_let_in() -> None:
    clock = StandingClock()
    buckets = TokenBuckets(clock, rate=0.3, burst=1)
    buckets.take("a")
    with pytest.raises(ForebayError) as refused:
        buckets.take("a")
    assert refused.value.retry_after_seconds is not None
    clock.seconds += refused.value.retry_after_seconds
    buckets.take("a")


def test_a_rate_of_zero_means_no_limit() -> None:
    buckets = TokenBuckets(StandingClock(), rate=0, burst=1)
    assert all(taken(buckets, "a") for _ in range(10))


@given(waits=st.lists(st.floats(0, 30), max_size=60), rate=st.floats(0.1, 100), burst=st.integers(1, 20))
def test_no_more_than_burst_and_rate_allow_ever_pass(waits: list[float], rate: float, burst: int) -> None:
    clock = StandingClock()
    buckets = TokenBuckets(clock, rate=rate, burst=burst)
    passed, began = 0, clock.seconds
    for wait in waits:
        clock.seconds += wait
        passed += taken(buckets, "a")
        assert passed <= burst + (clock.seconds - began) * rate + 1e-6
