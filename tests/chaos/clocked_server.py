"""The program with a wall clock that a file sets: the seconds in it are added to the time of this machine.

Everything that asks for the time asks `Effects`. Times of files stay those of the machine, as on a file server whose
clock is another one.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from forebay import effects
from forebay.cli.main import main
from forebay.values.times import to_microseconds

_OFFSET = Path(os.environ["FOREBAY_TEST_CLOCK_OFFSET_FILE"])


def _now(clock: effects.SystemClock) -> datetime:
    try:
        offset_seconds = float(_OFFSET.read_text())
    except ValueError:  # it is being written
        return _now(clock)
    return datetime.now(UTC) + timedelta(seconds=offset_seconds)


def _now_us(clock: effects.SystemClock) -> int:
    return to_microseconds(_now(clock))


effects.SystemClock.now = _now  # type: ignore[method-assign]
effects.SystemClock.now_us = _now_us  # type: ignore[method-assign]
main()
