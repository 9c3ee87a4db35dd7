"""How many calls may run at once: a number, or what measuring finds between two bounds."""

from __future__ import annotations

import math
from typing import Literal, Protocol

Concurrency = int | tuple[int, int]  # a fixed number, or the bounds of one that adapts to load
CallOutcome = Literal["completed", "overload", "other"]  # overload: a failure against which fewer calls may help

WINDOW_CALLS = 16  # at least so many calls make one measurement
TOLERANCE = 1.5  # a mean latency that is longer by this factor is still noise
SHARPEST_CUT = 0.5  # what one measurement, or one failure, leaves of the limit at least
PROBE_WINDOWS = 50  # between two looks at how fast the server is with half the calls
CEILING_WINDOWS = 8  # spent at the limit that last went well, after one above it has failed
DOUBT_WINDOWS = 3  # measurements in a row that say "far too many" call the shortest latency itself in question


class Limit(Protocol):
    """Decides how many calls may run at once, and learns from how they end."""

    @property
    def lowest(self) -> int:
        """The limit never is below this."""
        ...

    @property
    def highest(self) -> int:
        """The limit never is above this."""
        ...

    @property
    def in_force(self) -> int:
        """How many calls may run at once now."""
        ...

    def begun(self) -> int:
        """A call begins; the number under which to report its end."""
        ...

    def ended(self, call: int, outcome: CallOutcome, seconds: float, *, is_full: bool) -> None:
        """A call has ended after so long; `is_full` when no further one may run beside it."""
        ...


class FixedLimit:
    """Always the same number."""

    def __init__(self, count: int) -> None:
        """Raises `ValueError` unless 1 <= count."""
        if count < 1:
            raise ValueError(f"expected a limit of at least 1, got {count}")
        self.lowest = self.highest = self.in_force = count

    def begun(self) -> int:
        return 0

    def ended(self, call: int, outcome: CallOutcome, seconds: float, *, is_full: bool) -> None:
        pass


class AdaptiveLimit:
    """A limit between two bounds that settles where more calls at once would only wait for each other.

    The mean latency of some calls that began one after the other is compared with the shortest known one, as in the gradient
    limit of Netflix' concurrency-limits (2018): the next limit is `limit * gradient + sqrt(limit)`, where the gradient is the
    shortest latency over the mean, and the root lets a few calls queue at the server so that it never idles. A failure halves
    the limit, once for all calls under way then (additive increase, multiplicative decrease: Chiu and Jain, 1989), and for a while
    it grows no further than where it last went well (the plateau of TCP CUBIC: Ha, Rhee and Xu, 2008). The shortest latency is
    measured anew, with half the calls, from time to time and when it is in doubt: calls change, and so do servers.

    *Guarantees*: `lowest <= in_force <= highest`, whatever is measured; no growth while the limit is not reached.
    """

    def __init__(self, lowest: int, highest: int) -> None:
        """Begin with `lowest`. Raises `ValueError` unless 1 <= lowest <= highest."""
        if not 1 <= lowest <= highest:
            raise ValueError(f"expected 1 <= lowest <= highest, got {lowest} and {highest}")
        self.lowest = lowest
        self.highest = highest
        self._limit = float(lowest)
        self._shortest_seconds = math.inf
        self._resumed_limit: float | None = None  # while half the calls are tried
        self._windows_since_probe = self._doubt_count = 0
        self._ceiling = math.inf
        self._ceiling_windows = 0
        self._proven_limit: float | None = None  # the last one that went well, since the last failure
        self._begun_count = 0
        self._begin_window()

    @property
    def in_force(self) -> int:
        return int(self._limit)

    def begun(self) -> int:
        self._begun_count += 1
        return self._begun_count

    def ended(self, call: int, outcome: CallOutcome, seconds: float, *, is_full: bool) -> None:
        # calls from before the window ran beside as many others as an earlier limit allowed. The first ones since, not the first
        # to end: those would be the short ones
        if not self._first_call <= call < self._first_call + self._call_count:
            return
        if outcome == "overload":
            if self._proven_limit is not None:
                self._ceiling, self._ceiling_windows, self._proven_limit = self._proven_limit, 0, None
            self._limit = max(float(self.lowest), self._limit * SHARPEST_CUT)
            self._resumed_limit = None
            self._begin_window()
            return
        self._open_count -= 1
        if outcome == "completed":
            self._measured_count += 1
            self._sum_seconds += seconds
            self._full_count += is_full
        if self._open_count == 0:
            if self._measured_count:
                self._end_window(self._sum_seconds / self._measured_count, is_full=2 * self._full_count >= self._measured_count)
            self._begin_window()

    def _begin_window(self) -> None:
        self._first_call = self._begun_count + 1
        self._call_count = self._open_count = max(WINDOW_CALLS, self.in_force)
        self._measured_count = self._full_count = 0
        self._sum_seconds = 0.0

    def _end_window(self, mean_seconds: float, *, is_full: bool) -> None:
        if self._resumed_limit is not None:
            self._limit, self._resumed_limit = self._resumed_limit, None
            self._shortest_seconds = mean_seconds
            return
        if mean_seconds < self._shortest_seconds:
            # one short mean may be chance: half way there, two of them count
            known = self._shortest_seconds
            self._shortest_seconds = mean_seconds if math.isinf(known) else (known + mean_seconds) / 2
        gradient = min(1.0, max(SHARPEST_CUT, TOLERANCE * self._shortest_seconds / max(mean_seconds, 1e-9)))
        self._proven_limit = self._limit
        self._ceiling_windows += self._limit >= self._ceiling
        if self._ceiling_windows >= CEILING_WINDOWS:
            self._ceiling, self._ceiling_windows = math.inf, 0
        wanted = min(self._ceiling, self._limit * gradient + math.sqrt(self._limit))
        self._limit = min(float(self.highest), max(float(self.lowest), wanted if is_full else min(wanted, self._limit)))
        self._doubt_count = self._doubt_count + 1 if gradient == SHARPEST_CUT else 0
        self._windows_since_probe += 1
        if self._windows_since_probe >= PROBE_WINDOWS or self._doubt_count >= DOUBT_WINDOWS:
            self._windows_since_probe = self._doubt_count = 0
            self._resumed_limit = self._limit
            self._limit = max(float(self.lowest), self._limit * SHARPEST_CUT)


def limit_of(concurrency: Concurrency) -> Limit:
    """The limit that an activity has been registered with."""
    return FixedLimit(concurrency) if isinstance(concurrency, int) else AdaptiveLimit(*concurrency)
