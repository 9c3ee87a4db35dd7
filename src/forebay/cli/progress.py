"""Progress of long work on standard error: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from forebay.cli.output import duration_text

LINE_INTERVAL_SECONDS = 2.0


@dataclass(slots=True, kw_only=True)
class Tally:
    """How far the work is; counts of files unless named otherwise."""

    total: int = 0
    indexed: int = 0
    skipped: int = 0
    failed: int = 0
    chunks: int = 0

    @property
    def done(self) -> int:
        """Files with nothing left to do."""
        return self.indexed + self.skipped + self.failed

    def describe(self, elapsed_seconds: float) -> str:
        """One line: files, chunks, rate, time left, skipped and failed."""
        rate = self.done / elapsed_seconds if elapsed_seconds > 0 else 0.0
        left = duration_text((self.total - self.done) / rate) + " left" if rate and self.done < self.total else ""
        parts = [
            f"{self.done:,}/{self.total:,} files",
            f"{self.chunks:,} chunks",
            f"{rate:,.1f} files/s",
            left,
            f"{self.skipped:,} skipped",
            f"{self.failed:,} failed",
        ]
        return " · ".join(part for part in parts if part)


class Amount(Protocol):
    """How much there is to do, and how much is done."""

    @property
    def total(self) -> int:
        """All of it."""
        ...

    @property
    def done(self) -> int:
        """What needs nothing any more."""
        ...

    def describe(self, elapsed_seconds: float) -> str:
        """One line of it."""
        ...


class Progress(Protocol):
    """Somewhere to show how far the work is."""

    def show(self, tally: Amount) -> None:
        """Show how far the work is; cheap enough to be called at every step."""
        ...


class _Lines:
    """A line every two seconds, when something changed."""

    def __init__(self) -> None:
        self._started = self._last = time.perf_counter()
        self._shown = ""

    def show(self, tally: Amount) -> None:
        now = time.perf_counter()
        line = tally.describe(now - self._started)
        if now - self._last >= LINE_INTERVAL_SECONDS and line != self._shown:
            print(line, file=sys.stderr, flush=True)
            self._last, self._shown = now, line


@contextmanager
def progress() -> Iterator[Progress]:
    """Show progress until the block ends."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    started = time.perf_counter()
    bar = Bar(BarColumn(bar_width=24), TextColumn("{task.description}"), console=Console(stderr=True), transient=True)

    class _Bar:
        def show(self, tally: Amount) -> None:
            bar.update(task, total=max(1, tally.total), completed=tally.done, description=tally.describe(time.perf_counter() - started))

    with bar:
        task = bar.add_task("starting")
        yield _Bar()
