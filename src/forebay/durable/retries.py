"""When a failed activity is tried again."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryOptions:
    """The retry policy of one call. The first two arguments are those of Azure's `RetryOptions`.

    The wait before try n + 1 is `first_retry_interval_in_milliseconds * backoff_coefficient ** (n - 1)`, at most
    `max_retry_interval_in_milliseconds`. An error that says it is not retryable is never tried again.
    """

    first_retry_interval_in_milliseconds: int
    max_number_of_attempts: int
    backoff_coefficient: float = 1.0
    max_retry_interval_in_milliseconds: int = 24 * 3600 * 1000
    retry_timeout_in_milliseconds: int | None = None  # no try begins later than this after the call was scheduled

    def __post_init__(self) -> None:
        if self.first_retry_interval_in_milliseconds <= 0:
            raise ValueError(f"first_retry_interval_in_milliseconds must be positive, got {self.first_retry_interval_in_milliseconds}")
        if self.max_number_of_attempts < 1:
            raise ValueError(f"max_number_of_attempts must be at least 1, got {self.max_number_of_attempts}")
        if not 1 <= self.backoff_coefficient <= 1000:
            raise ValueError(f"backoff_coefficient must be between 1 and 1000, got {self.backoff_coefficient}")
        if self.max_retry_interval_in_milliseconds <= 0:
            raise ValueError(f"max_retry_interval_in_milliseconds must be positive, got {self.max_retry_interval_in_milliseconds}")
        if self.retry_timeout_in_milliseconds is not None and self.retry_timeout_in_milliseconds <= 0:
            raise ValueError(f"retry_timeout_in_milliseconds must be positive, got {self.retry_timeout_in_milliseconds}")

    def delay_seconds(self, failed_attempts: int, elapsed_seconds: float) -> float | None:
        """How long to wait after the `failed_attempts`-th failure, `elapsed_seconds` after the call was scheduled; None: give up."""
        if failed_attempts >= self.max_number_of_attempts:
            return None
        is_finite = (failed_attempts - 1) * math.log(self.backoff_coefficient) < 700  # e ** 709 is the largest float
        growth = self.backoff_coefficient ** (failed_attempts - 1) if is_finite else math.inf
        grown = self.first_retry_interval_in_milliseconds * growth
        delay_seconds = min(grown, self.max_retry_interval_in_milliseconds) / 1000
        deadline = self.retry_timeout_in_milliseconds
        if deadline is not None and elapsed_seconds + delay_seconds > deadline / 1000:
            return None
        return delay_seconds


TRY_ONCE = RetryOptions(1, 1)
