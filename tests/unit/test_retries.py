from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.durable import RetryOptions

OPTIONS = st.builds(
    RetryOptions,
    st.integers(1, 10**9),
    st.integers(1, 10_000),
    backoff_coefficient=st.floats(1, 1000),
    max_retry_interval_in_milliseconds=st.integers(1, 10**9),
    retry_timeout_in_milliseconds=st.none() | st.integers(1, 10**9),
)


def delays(options: RetryOptions) -> list[float | None]:
    return [options.delay_seconds(failed_attempts, 0) for failed_attempts in range(1, options.max_number_of_attempts + 1)]


def test_the_first_two_arguments_are_those_of_azure() -> None:
    assert delays(RetryOptions(5000, 3)) == [5.0, 5.0, None]


def test_documents_are_tried_once_and_retried_five_times_after_1_2_4_8_16_seconds() -> None:
    assert delays(RetryOptions(1000, 6, backoff_coefficient=2)) == [1, 2, 4, 8, 16, None]


def test_a_wait_is_never_longer_than_the_cap() -> None:
    assert delays(RetryOptions(1000, 6, 3.0, max_retry_interval_in_milliseconds=5000)) == [1, 3, 5, 5, 5, None]


def test_no_try_begins_after_the_deadline() -> None:
    options = RetryOptions(1000, 100, retry_timeout_in_milliseconds=10_000)

    assert options.delay_seconds(1, 9.0) == 1.0
    assert options.delay_seconds(1, 9.001) is None


def test_one_attempt_is_never_followed_by_another() -> None:
    assert RetryOptions(1, 1).delay_seconds(1, 0) is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"first_retry_interval_in_milliseconds": 0, "max_number_of_attempts": 3}, "first_retry_interval_in_milliseconds.*got 0"),
        ({"first_retry_interval_in_milliseconds": 1, "max_number_of_attempts": 0}, "max_number_of_attempts.*got 0"),
        (
            {"first_retry_interval_in_milliseconds": 1, "max_number_of_attempts": 1, "backoff_coefficient": 0.5},
            "backoff_coefficient.*got 0.5",
        ),
        (
            {"first_retry_interval_in_milliseconds": 1, "max_number_of_attempts": 1, "max_retry_interval_in_milliseconds": 0},
            "max_retry_interval_in_milliseconds.*got 0",
        ),
        (
            {"first_retry_interval_in_milliseconds": 1, "max_number_of_attempts": 1, "retry_timeout_in_milliseconds": 0},
            "retry_timeout_in_milliseconds.*got 0",
        ),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused_with_what_came(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RetryOptions(**arguments)  # type: ignore[arg-type]


@given(options=OPTIONS, failed_attempts=st.integers(1, 20_000), elapsed_seconds=st.floats(0, 1e7))
def test_every_wait_is_finite_within_its_cap_and_ends_before_the_deadline(
    options: RetryOptions, failed_attempts: int, elapsed_seconds: float
) -> None:
    delay_seconds = options.delay_seconds(failed_attempts, elapsed_seconds)

    if failed_attempts >= options.max_number_of_attempts:
        assert delay_seconds is None
    if delay_seconds is not None:
        assert 0 < delay_seconds <= options.max_retry_interval_in_milliseconds / 1000
        if options.retry_timeout_in_milliseconds is not None:
            assert elapsed_seconds + delay_seconds <= options.retry_timeout_in_milliseconds / 1000


@given(options=OPTIONS, failed_attempts=st.integers(1, 5_000))
def test_waits_never_get_shorter(options: RetryOptions, failed_attempts: int) -> None:
    this, following = options.delay_seconds(failed_attempts, 0), options.delay_seconds(failed_attempts + 1, 0)

    if this is not None and following is not None:
        assert this <= following
