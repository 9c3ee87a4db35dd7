"""What a process tree uses, as Linux tells it under /proc."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def tree(pid: int) -> list[int]:
    """A process and all below it, as far as they still run."""
    found, waiting = [], [pid]
    while waiting:
        each = waiting.pop()
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{each}/task").iterdir():
                with contextlib.suppress(OSError):
                    waiting += [int(child) for child in (task / "children").read_text().split()]
            found.append(each)
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time of a process tree since it began, with that of children which ended."""
    total = 0
    for each in tree(pid):
        with contextlib.suppress(OSError):
            # fields 14 to 17 of proc(5); the name before them may hold anything
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
            total += sum(int(ticks) for ticks in fields[11:15])
    return total / _TICKS_PER_SECOND


def pss_megabytes(pid: int) -> float:
    """Proportional set size of a process tree: shared pages count once."""
    total = 0
    for each in tree(pid):
        with contextlib.suppress(OSError):
            rollup = Path(f"/proc/{each}/smaps_rollup").read_text()
            total += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return total / 1024
