"""How many requests a key may send: one token bucket each."""

from __future__ import annotations

import math
from dataclasses import dataclass

from forebay.effects import Clock
from forebay.errors import ForebayError


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_at: float  # monotonic seconds


class TokenBuckets:
    """A bucket of `burst` tokens for each caller, filled with `rate` tokens a second; a request takes one.

    As many buckets are kept as there are callers with keys, which is bounded.
    """

    def __init__(self, clock: Clock, *, rate: float, burst: int) -> None:
        """A `rate` of 0 means no limit."""
        self._clock = clock
        self._rate = rate
        self._burst = burst
        self._buckets: dict[str, _Bucket] = {}

    def take(self, caller: str) -> None:
        """Take a token of `caller`'s. Raises `ForebayError` (`rate_limit_exceeded`, 429) when there is none."""
        if not self._rate:
            return
        now = self._clock.monotonic()
        bucket = self._buckets.get(caller)
        if bucket is None:
            bucket = self._buckets[caller] = _Bucket(self._burst, now)
        bucket.tokens = min(self._burst, bucket.tokens + (now - bucket.filled_at) * self._rate)
        bucket.filled_at = now
        if bucket.tokens < 1:
            wait_seconds = max(1, math.ceil((1 - bucket.tokens) / self._rate))
            raise ForebayError(
                "rate_limit_exceeded",
                f"Rate limit exceeded. Try again in {wait_seconds} seconds.",
                hint=f"A key may send {self._rate:g} requests a second, and {self._burst} at once; see FOREBAY_RATE_LIMIT.",
                retryable=True,
                retry_after_seconds=wait_seconds,
                status=429,
            )
        bucket.tokens -= 1
