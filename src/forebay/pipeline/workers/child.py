"""The parent's side of one parser: its requests and answers, its clock, and what its end means for the file."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections import deque
from collections.abc import Callable
from pathlib import Path

from forebay.pipeline.parse import Parsed, ParseRequest
from forebay.pipeline.refused import ParserFailed, Refused
from forebay.pipeline.workers.protocol import Done, Failed, FromWorker, Ready, answer_decoder
from forebay.values.reasons import REASONS
from forebay.workers.process import Exit, WorkerProcess, import_path

_START_TIMEOUT_SECONDS = 60.0
_LATE_SECONDS = 1.0  # a clock that is looked at so late was not watched: this program itself has been stopped meanwhile
# how Rust's and C++'s allocators give up
_OUT_OF_MEMORY = re.compile(r"memory allocation of \d+ bytes failed|std::bad_alloc|[Oo]ut of memory|MemoryError")


class Job:
    """A request and the future that waits for its answer."""

    __slots__ = ("future", "is_quick", "request")

    def __init__(self, request: ParseRequest, future: asyncio.Future[Parsed], *, is_quick: bool) -> None:
        self.request = request
        self.future = future
        self.is_quick = is_quick  # may be sent ahead of time


class Child:
    """A worker process. It answers in the order of the requests, so the oldest is the one that it works on."""

    def __init__(self, *, timeout_seconds: float, on_answer: Callable[[Child, FromWorker], None]) -> None:
        self.unanswered: deque[Job] = deque()
        self.is_ready = False
        self.is_retiring = False  # takes no more requests
        self.has_left = False  # on good terms: what is unanswered is nobody's fault
        self.sent_count = 0
        self._timeout_seconds = timeout_seconds
        self._on_answer = on_answer
        self._process = WorkerProcess(answer_decoder, on_message=self._take, on_broken=self._broke, on_lost=self._lost)
        self._loop = asyncio.get_running_loop()
        self._busy_since = 0.0  # when the oldest unanswered request became the oldest
        self._timer: asyncio.TimerHandle | None = None
        self._verdict: ParserFailed | None = None  # when it was we who ended it

    async def start(self, module: str, *, memory_bytes: int, scratch: Path) -> None:
        """Start the process. Raises `OSError` when the system cannot."""
        arguments = (str(memory_bytes), str(int(self._timeout_seconds) + 1))
        await self._process.start(module, *arguments, environment=_environment(scratch), directory=scratch)
        self._timer = self._loop.call_later(_START_TIMEOUT_SECONDS, self._check_clock)

    def send(self, job: Job) -> None:
        """Send a request; its answer comes after those of the requests before it."""
        if not self.unanswered:
            self._start_clock()
        self.unanswered.append(job)
        self.sent_count += 1
        self._process.send(job.request)

    def leave(self) -> None:
        """Let it exit by itself, now that it works on nothing."""
        self.is_retiring = self.has_left = True
        self._process.hang_up()

    @property
    def process_id(self) -> int | None:
        """None while there is no process."""
        return self._process.process_id

    def kill(self, reason: str = "parser_crashed", message: str = "the parser was stopped", *, retryable: bool | None = None) -> None:
        """End it now; `wait` will give this reason."""
        self.is_retiring = True
        self._verdict = self._verdict or ParserFailed(reason, message, retryable=retryable)
        self._process.kill()

    async def wait(self) -> ParserFailed:
        """Wait until the process has gone, and say why it went."""
        return self._failure(await self._process.wait())

    def _failure(self, exit: Exit) -> ParserFailed:
        if self._verdict is not None:
            return self._verdict
        if not self.is_ready:
            return ParserFailed("internal", f"the parser could not start; it ended {exit}", retryable=True)
        if exit.status == -signal.SIGXCPU:
            return ParserFailed("parser_timeout", "the parser used more CPU time than its limit")
        if _OUT_OF_MEMORY.search(exit.last_words):
            return ParserFailed("parser_memory", f"the parser ran out of memory: {exit.last_words[-200:]}")
        return ParserFailed("parser_crashed", f"the parser process ended {exit}")

    def _broke(self, error: ValueError) -> None:
        self.kill(message=f"the parser broke the protocol: {error}")

    def _take(self, answer: FromWorker) -> None:
        if isinstance(answer, Ready):
            self.is_ready = True
            self._stop_clock()
        elif not self.unanswered:
            raise ValueError("an answer without a request")
        elif isinstance(answer, Failed) and answer.reason not in REASONS:
            raise ValueError(f"an unknown reason {answer.reason!r}")
        else:
            job = self.unanswered.popleft()
            self._busy_since = self._loop.time()
            _settle(job, answer)
        self._on_answer(self, answer)

    def _lost(self) -> None:
        self._stop_clock()
        self.is_retiring = True

    def _start_clock(self) -> None:
        self._busy_since = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_at(self._busy_since + self._timeout_seconds, self._check_clock)

    def _stop_clock(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check_clock(self) -> None:
        # one timer for a run of requests: cancelling and setting one for each would cost more than it watches
        self._timer = None
        if not self.is_ready:
            self.kill("internal", f"the parser did not start within {_START_TIMEOUT_SECONDS:g} seconds")
        if not self.unanswered:
            return
        due, now = self._busy_since + self._timeout_seconds, self._loop.time()
        if now > due + _LATE_SECONDS:
            self._busy_since, due = now, now + self._timeout_seconds
        if now < due:
            self._timer = self._loop.call_at(due, self._check_clock)
        else:
            message = f"the parser took longer than {self._timeout_seconds:g} seconds"
            # whoever stopped the process: it was not the file
            is_stopped = _is_stopped(self.process_id)
            self.kill("parser_timeout", f"{message}: it has been stopped" if is_stopped else message, retryable=is_stopped)


def _settle(job: Job, answer: Done | Failed) -> None:
    if job.future.done():  # the caller was cancelled
        return
    if isinstance(answer, Done):
        job.future.set_result(answer.parsed)
    else:
        error = Refused if answer.is_refusal else ParserFailed
        job.future.set_exception(error(answer.reason, answer.message))


def _is_stopped(process_id: int | None) -> bool:
    """Whether a process has been stopped by a signal or a debugger, as far as this system tells (Linux: proc_pid_stat(5))."""
    try:
        status = Path(f"/proc/{process_id}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return status.rpartition(")")[2].split(maxsplit=1)[0] in "Tt"


def _environment(scratch: Path) -> dict[str, str]:
    """What a Python process needs, and no more: secrets live in environments."""
    environment = {
        "PYTHONPATH": import_path(),
        "PYTHONUTF8": "1",
        "HOME": str(scratch),
        "TMPDIR": str(scratch),  # the PDF library unpacks itself there, and must not share that place with other users
        "MALLOC_ARENA_MAX": "2",
        "RAYON_NUM_THREADS": "1",
        "TOKIO_WORKER_THREADS": "1",
    }
    if "LD_LIBRARY_PATH" in os.environ:
        environment["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
    return environment
