"""Where a process spends CPU time: what its threads do, seen every few milliseconds and weighted by the time that they used since."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import FrameType

INTERVAL_SECONDS = 0.004
STARTING = "starting: interpreter and imports"
MEASURING = "this measurement"

Classify = Callable[[FrameType], str]


class Sampler:
    """Adds up CPU seconds by part, over all threads of this process (Linux: the times are those of /proc/self/task/*/schedstat).

    A thread that is not Python's counts under its own name. What a thread does between two looks counts as what it does at the second,
    and a look comes when the interpreter lets it: shares of single functions are rough, those of parts are good to a few percent.
    """

    def __init__(self, classify: Classify, file: Path | None = None) -> None:
        """With `file`, the sums are written there again and again, for a process that is going to be killed."""
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._classify = classify
        self._file = file
        self._used: dict[int, float] = {}
        self._stopping = threading.Event()
        # else a look would wait until the thread that runs gives way by itself, and see only where threads do that
        sys.setswitchinterval(INTERVAL_SECONDS / 20)
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)
        for task, used in _cpu_by_task().items():
            self.seconds[STARTING] += used
            self._used[task] = used
        self._thread.start()

    def stop(self) -> dict[str, float]:
        """Look a last time; seconds by part."""
        self._stopping.set()
        self._thread.join()
        return dict(self.seconds)

    def _run(self) -> None:
        next_write = 0.0
        is_last = False
        while not is_last:
            is_last = self._stopping.wait(INTERVAL_SECONDS)
            self._look()
            if self._file is not None and time.monotonic() > next_write:
                next_write = time.monotonic() + 0.1
                unfinished = self._file.with_suffix(".part")
                unfinished.write_text(json.dumps(self.seconds))
                unfinished.rename(self._file)

    def _look(self) -> None:
        frames = sys._current_frames()
        idents = {thread.native_id: thread.ident for thread in threading.enumerate()}
        for task, used in _cpu_by_task().items():
            spent = used - self._used.get(task, 0.0)
            self._used[task] = used
            if spent <= 0:
                continue
            if task == self._thread.native_id:
                self.seconds[MEASURING] += spent
                continue
            frame = frames.get(idents.get(task) or 0)
            self.seconds[self._classify(frame) if frame is not None else f"thread {_name(task)}"] += spent


def _cpu_by_task() -> dict[int, float]:
    found = {}
    for task in Path("/proc/self/task").iterdir():
        try:
            found[int(task.name)] = int((task / "schedstat").read_text().split()[0]) / 1e9
        except OSError:
            continue  # it has ended meanwhile
    return found


def _name(task: int) -> str:
    try:
        return Path(f"/proc/self/task/{task}/comm").read_text().strip()
    except OSError:
        return "that has ended"
