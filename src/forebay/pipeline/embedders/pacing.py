"""When a remote server may be asked again: one pause that all callers share."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime

from forebay.effects import Clock

LONGEST_PAUSE_SECONDS = 600.0  # a mistaken header must not stop the program until its next start

_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_DURATION_PART = r"(\d+(?:\.\d+)?)(ms|s|m|h|d)"


class Pace:
    """The pause that a server asks for. Whoever shares this object keeps it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._open_at = -math.inf  # monotonic seconds

    def pause(self, seconds: float) -> None:
        """Nobody asks within the next `seconds`, at most `LONGEST_PAUSE_SECONDS`; a longer pause under way stays."""
        self._open_at = max(self._open_at, self._clock.monotonic() + min(seconds, LONGEST_PAUSE_SECONDS))

    async def wait(self, deadline: float) -> bool:
        """Return when the pause is over: True; or at `deadline`, in monotonic seconds: False."""
        while (now := self._clock.monotonic()) < self._open_at:
            if now >= deadline:
                return False
            await self._clock.sleep(min(self._open_at, deadline) - now)
        return True


def asked_pause_seconds(headers: Mapping[str, str], now: datetime) -> float | None:
    """What a refusal asks to wait; None when it does not say.

    `retry-after-ms` (Azure), `Retry-After` (RFC 9110, 10.2.3: seconds or a date), or the longest reset of what is
    used up. `headers` has lower-case names.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    asked = headers.get("retry-after")
    seconds = _number(asked)
    if seconds is not None:
        return seconds
    if asked is not None:
        try:
            return max(0.0, (parsedate_to_datetime(asked) - now).total_seconds())
        except (ValueError, TypeError):  # no date, or one without a zone
            return used_up_seconds(headers)
    return used_up_seconds(headers)


def used_up_seconds(headers: Mapping[str, str]) -> float | None:
    """How long until the limits that have nothing remaining are reset; None when something remains of each.

    `x-ratelimit-remaining-requests: 0` goes with `x-ratelimit-reset-requests: 1m30s`; the same for tokens.
    """
    resets = [
        duration_seconds(headers.get(f"x-ratelimit-reset-{kind}", ""))
        for kind in ("requests", "tokens")
        if _number(headers.get(f"x-ratelimit-remaining-{kind}")) == 0
    ]
    return max((reset for reset in resets if reset is not None), default=None)


def duration_seconds(text: str) -> float | None:
    """The seconds of `6m0s`, `20ms`, `1.5s` or a bare number of seconds; None for anything else."""
    compact = text.strip()
    if re.fullmatch(f"(?:{_DURATION_PART})+", compact):
        return sum(float(count) * _UNIT_SECONDS[unit] for count, unit in re.findall(_DURATION_PART, compact))
    return _number(compact)


def _number(text: str | None) -> float | None:
    """A finite number that is not negative."""
    if text is None or not re.fullmatch(r"\d{1,15}(?:\.\d{1,15})?", text.strip()):
        return None
    return float(text)
