"""What the program takes of its machine: processor, memory, disk."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One value of a counter, named as Application Insights names its own."""

    category: str
    counter: str
    instance: str
    value: float


class Machine:
    """Reads the counters of this process, of the processes that it has started, and of the disk below a directory."""

    def __init__(self, directory: Path, monotonic: Callable[[], float]) -> None:
        import psutil

        self._directory = directory
        self._monotonic = monotonic
        self._process = psutil.Process()
        self._cpu_seconds = self._spent_seconds(self._processes())
        self._read_at = monotonic()

    def read(self) -> list[Reading]:
        """Every counter; the processor's is the mean since the last reading, 100 for each processor that was busy all the time."""
        processes = self._processes()
        cpu_seconds, now = self._spent_seconds(processes), self._monotonic()
        passed = now - self._read_at
        busy = max(0.0, cpu_seconds - self._cpu_seconds) / passed * 100 if passed > 0 else 0.0
        self._cpu_seconds, self._read_at = cpu_seconds, now
        memory = sum(_of_living(process, lambda each: float(each.memory_info().rss)) for process in processes)
        free_megabytes = shutil.disk_usage(self._directory).free / (1 << 20)
        return [
            Reading(category="Process", counter="% Processor Time", instance="process tree", value=busy),
            Reading(category="Process", counter="Private Bytes", instance="process tree", value=memory),
            Reading(category="LogicalDisk", counter="Free Megabytes", instance="data directory", value=free_megabytes),
        ]

    def _processes(self) -> list[psutil.Process]:
        return [self._process, *self._process.children(recursive=True)]

    @staticmethod
    def _spent_seconds(processes: list[psutil.Process]) -> float:
        """User and system time, that of ended children included."""

        def spent(process: psutil.Process) -> float:
            times = process.cpu_times()
            return float(times.user + times.system + getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0))

        return sum(_of_living(process, spent) for process in processes)


def _of_living(process: psutil.Process, read: Callable[[psutil.Process], float]) -> float:
    """What is read of a process; 0 of one that has ended meanwhile."""
    import psutil

    try:
        return read(process)
    except psutil.Error:
        return 0.0
