"""The parent's side of one worker process: start, send, receive, stop, and say how it died."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path

from forebay.pipeline.parse import Parsed, ParseRequest
from forebay.pipeline.refused import ParserFailed, Refused
from forebay.pipeline.workers.protocol import AnswerReader, Done, Failed, FromWorker, Ready, frame
from forebay.values.reasons import REASONS

_START_TIMEOUT_SECONDS = 60.0
_EXIT_GRACE_SECONDS = 2.0
_LATE_SECONDS = 1.0  # a clock that is looked at so late was not watched: this program itself has been stopped meanwhile
_LAST_WORDS_BYTES = 2048
# how Rust's and C++'s allocators give up
_OUT_OF_MEMORY = re.compile(r"memory allocation of \d+ bytes failed|std::bad_alloc|[Oo]ut of memory|MemoryError")


class Job:
    """A request and the future that waits for its answer."""

    __slots__ = ("future", "is_quick", "request")

    def __init__(self, request: ParseRequest, future: asyncio.Future[Parsed], *, is_quick: bool) -> None:
        self.request = request
        self.future = future
        self.is_quick = is_quick  # may be sent ahead of time


class Child(asyncio.Protocol):
    """A worker process. It answers in the order of the requests, so the oldest is the one that it works on."""

    def __init__(self, *, timeout_seconds: float, on_answer: Callable[[Child, FromWorker], None]) -> None:
        self.unanswered: deque[Job] = deque()
        self.is_ready = False
        self.is_retiring = False  # takes no more requests
        self.has_left = False  # on good terms: what is unanswered is nobody's fault
        self.sent_count = 0
        self._closed = asyncio.Event()
        self._timeout_seconds = timeout_seconds
        self._on_answer = on_answer
        self._reader = AnswerReader()
        self._loop = asyncio.get_running_loop()
        self._busy_since = 0.0  # when the oldest unanswered request became the oldest
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._last_words: asyncio.Task[str] | None = None
        self._verdict: ParserFailed | None = None  # when it was we who ended it

    async def start(self, module: str, *, memory_bytes: int, scratch: Path) -> None:
        """Start the process. Raises `OSError` when the system cannot."""
        ours, theirs = socket.socketpair()
        try:
            arguments = ("-P", "-m", module, str(memory_bytes), str(int(self._timeout_seconds) + 1), str(os.getpid()))
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *arguments,
                stdin=theirs.fileno(),
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,  # a terminal's Ctrl-C is for the parent
                cwd=scratch,
                env=_environment(scratch),
            )
            self._last_words = asyncio.create_task(_tail(self._process.stderr))
            ours.setblocking(False)
            await self._loop.create_unix_connection(lambda: self, sock=ours)
        except BaseException:
            ours.close()
            if self._process is not None:
                self._process.kill()
                await self._process.wait()
            raise
        finally:
            theirs.close()
        self._timer = self._loop.call_later(_START_TIMEOUT_SECONDS, self._check_clock)

    def send(self, job: Job) -> None:
        """Send a request; its answer comes after those of the requests before it."""
        assert self._transport is not None
        if not self.unanswered:
            self._start_clock()
        self.unanswered.append(job)
        self.sent_count += 1
        self._transport.write(frame(job.request))

    def leave(self) -> None:
        """Let it exit by itself, now that it works on nothing."""
        self.is_retiring = self.has_left = True
        if self._transport is not None:
            self._transport.close()

    @property
    def process_id(self) -> int | None:
        """None while there is no process."""
        return None if self._process is None or self._process.returncode is not None else self._process.pid

    def kill(self, reason: str = "parser_crashed", message: str = "the parser was stopped", *, retryable: bool | None = None) -> None:
        """End it now; `failure` will give this reason."""
        self.is_retiring = True
        self._verdict = self._verdict or ParserFailed(reason, message, retryable=retryable)
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
        if self._transport is not None:
            self._transport.abort()

    async def wait(self) -> ParserFailed:
        """Wait until the process has gone, by force if it lingers after the connection, and say why it went."""
        assert self._process is not None
        assert self._last_words is not None
        if self._transport is not None:
            await self._closed.wait()
        try:
            await asyncio.wait_for(self._process.wait(), _EXIT_GRACE_SECONDS)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        return self._failure(self._process.returncode or 0, await self._last_words)

    def _failure(self, status: int, last_words: str) -> ParserFailed:
        if self._verdict is not None:
            return self._verdict
        if not self.is_ready:
            message = f"the parser could not start (exit status {status}): {last_words or 'it said nothing'}"
            return ParserFailed("internal", message, retryable=True)
        if status == -signal.SIGXCPU:
            return ParserFailed("parser_timeout", "the parser used more CPU time than its limit")
        if _OUT_OF_MEMORY.search(last_words):
            return ParserFailed("parser_memory", f"the parser ran out of memory: {last_words[-200:]}")
        ended = f"by {signal.Signals(-status).name}" if status < 0 else f"with exit status {status}"
        return ParserFailed("parser_crashed", f"the parser process ended {ended}: {last_words[-500:] or 'it said nothing'}")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            for answer in self._reader.feed(data):
                self._take(answer)
        except ValueError as error:
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

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_clock()
        self.is_retiring = True
        self._closed.set()

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


async def _tail(stream: asyncio.StreamReader | None) -> str:
    """The end of what the process wrote to standard error."""
    tail = b""
    while stream is not None and (data := await stream.read(65536)):
        tail = (tail + data)[-_LAST_WORDS_BYTES:]
    return tail.decode("utf-8", "replace").strip()


def _environment(scratch: Path) -> dict[str, str]:
    """What a Python process needs, and no more: secrets live in environments."""
    environment = {
        "PYTHONPATH": os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path if entry),
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
