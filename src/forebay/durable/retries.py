"""When a failed activity is tried again."""

from __future__ import annotations

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
    retry_timeout_in_milliseconds: int | None = None  # no try begins later than this after the first

    def __post_init__(self) -> None:
        if self.first_retry_interval_in_milliseconds <= 0:
            raise ValueError(f"first_retry_interval_in_milliseconds must be positive, got {self.first_retry_interval_in_milliseconds}")
        if self.max_number_of_attempts < 1:
            raise ValueError(f"max_number_of_attempts must be at least 1, got {self.max_number_of_attempts}")
        if self.backoff_coefficient < 1:
            raise ValueError(f"backoff_coefficient must be at least 1, got {self.backoff_coefficient}")

    def delay_seconds(self, failed_attempts: int, elapsed_seconds: float) -> float | None:
        """How long to wait after the `failed_attempts`-th failure, `elapsed_seconds` after the first try; None: give up."""
        if failed_attempts >= self.max_number_of_attempts:
            return None
        # beyond 64 doublings every interval is at its cap; the bound keeps the power finite
        grown = self.first_retry_interval_in_milliseconds * self.backoff_coefficient ** min(failed_attempts - 1, 64)
        delay_seconds = min(grown, self.max_retry_interval_in_milliseconds) / 1000
        deadline = self.retry_timeout_in_milliseconds
        if deadline is not None and elapsed_seconds + delay_seconds > deadline / 1000:
            return None
        return delay_seconds


TRY_ONCE = RetryOptions(1, 1)
