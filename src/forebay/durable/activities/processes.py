"""Processes for activities that block, crash or hang: one that does costs the try that it works on, and no other."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from contextvars import Context, copy_context

import msgspec

from forebay.durable.activities.limits import FixedLimit
from forebay.durable.activities.process_protocol import Beat, Begun, Call, Done, Failed, FromProcess, Line, Ready, answer_decoder
from forebay.durable.activities.rooms import Room
from forebay.effects import Clock
from forebay.errors import ForebayError
from forebay.workers.process import Exit, WorkerProcess, import_path

_MODULE = "forebay.durable.activities.process_worker"
_START_TIMEOUT_SECONDS = 60.0
RECYCLE_AFTER_CALLS = 1000  # what leaks in a process goes with it

Hook = Callable[[], None]
ProcessHook = Callable[["ActivityProcess"], None]


class RemoteTraceback(Exception):
    """Where in another process an error was raised; the cause of the one that is raised here."""


class _NeverBegun(Exception):
    """The process had gone before it looked at the call."""


class ActivityProcess:
    """One process. It works on one call at a time."""

    def __init__(self, *, on_lost: ProcessHook, on_gone: ProcessHook) -> None:
        loop = asyncio.get_running_loop()
        self.call_count = 0
        self.is_sound = True
        self.is_lost = False
        self._ready: asyncio.Future[None] = loop.create_future()
        self._answer: asyncio.Future[Done | Failed] | None = None  # while it has a call
        self._has_begun = False
        self._on_begun: Hook = lambda: None
        self._on_beat: Hook = lambda: None
        self._context: Context = copy_context()
        self._on_lost = on_lost
        self._on_gone = on_gone
        self._broken: ValueError | None = None
        self._process = WorkerProcess(answer_decoder, on_message=self._take, on_broken=self._broke, on_lost=self._lost)
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start it. Raises `ForebayError` (`worker_crashed`) when that fails."""
        # everything that the engine's own process has: it is the same program
        environment = os.environ | {"PYTHONPATH": import_path()}
        try:
            async with asyncio.timeout(_START_TIMEOUT_SECONDS):
                await self._process.start(_MODULE, msgspec.json.encode(_log_levels()).decode(), environment=environment)
                self._watching = asyncio.create_task(self._watch())
                await self._ready
        except (OSError, TimeoutError) as error:
            self.kill()
            raise _crashed(f"a process for activities could not start: {str(error) or 'it took too long'}") from error
        except asyncio.CancelledError:
            self.kill()
            raise

    async def run(self, call: Call, on_begun: Hook, on_beat: Hook) -> str:
        """The JSON of the result. Cancelled, it kills the process.

        Raises what the function raised as `ForebayError`, `ForebayError` (`worker_crashed`) when the process ended, and
        `_NeverBegun` when it did so before it had begun.
        """
        self.call_count += 1
        self._answer = asyncio.get_running_loop().create_future()
        self._has_begun, self._on_begun, self._on_beat, self._context = False, on_begun, on_beat, copy_context()
        self._process.send(call)
        try:
            answer = await self._answer
        except asyncio.CancelledError:
            self.kill()
            raise
        finally:
            self._answer = None
        if isinstance(answer, Failed):
            self.is_sound = not answer.is_unsound
            cause = RemoteTraceback(answer.trace) if answer.trace else None
            raise ForebayError(answer.code, answer.message, retryable=answer.retryable) from cause
        try:
            msgspec.json.decode(answer.result_json)  # it goes into the journal as it is
            return answer.result_json.decode()
        except ValueError as error:
            self.kill()
            raise _crashed(f"the process broke the protocol: {error}") from error

    def hang_up(self) -> None:
        """Let it exit by itself."""
        self._process.hang_up()

    def kill(self) -> None:
        """End it now."""
        self.is_sound = False
        self._process.kill()

    @property
    def process_id(self) -> int | None:
        """None while there is no process."""
        return self._process.process_id

    async def wait(self) -> None:
        """Wait until the process has gone."""
        if self._watching is not None:
            await self._watching

    async def _watch(self) -> None:
        exit = await self._process.wait()
        self._on_gone(self)
        if not self._ready.done():
            self._ready.set_exception(_crashed(f"a process for activities could not start; it ended {exit}"))
            self._ready.exception()  # nobody may wait for it any more
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(self._failure(exit))

    def _failure(self, exit: Exit) -> Exception:
        if self._broken is not None:
            return _crashed(f"the process broke the protocol: {self._broken}")
        if not self._has_begun and self.call_count > 1:
            return _NeverBegun()
        return _crashed(f"the process of the activity ended {exit}")

    def _take(self, message: FromProcess) -> None:
        match message:
            case Ready() if not self._ready.done():
                self._ready.set_result(None)
            case Begun() if self._answer is not None:
                self._has_begun = True
                self._on_begun()
            case Beat():
                self._on_beat()  # of a thread that outlives its call: it changes nothing any more
            case Line():
                self._context.run(_log, message, self.process_id)
            case Done() | Failed() if self._answer is not None and self._has_begun:
                if not self._answer.done():
                    self._answer.set_result(message)
            case _:
                raise ValueError(f"{type(message).__name__} was not expected")

    def _broke(self, error: ValueError) -> None:
        self._broken = error
        self.kill()

    def _lost(self) -> None:
        self.is_lost = True
        self._on_lost(self)


class ProcessPool:
    """Up to `process_count` processes, each started when there is work for it, and replaced after `recycle_after_calls`.

    A place of `room` has to be held for every call.
    """

    def __init__(self, process_count: int, clock: Clock, *, recycle_after_calls: int = RECYCLE_AFTER_CALLS) -> None:
        """Raises `ValueError` unless 1 <= process_count."""
        self.room = Room("blocking_processes", FixedLimit(process_count), clock)
        self._recycle_after_calls = recycle_after_calls
        self._idle: list[ActivityProcess] = []
        self._alive: set[ActivityProcess] = set()

    async def run(self, call: Call, *, on_begun: Hook, on_beat: Hook) -> str:
        """Run a function in a process and return the JSON of its result; a process that has no life left is replaced before.

        Raises `ForebayError`: that of the function, or `worker_crashed`. Cancelled, it ends the process.
        """
        while True:
            process = self._idle.pop() if self._idle else await self._start()
            try:
                return await process.run(call, on_begun, on_beat)
            except _NeverBegun:
                continue
            finally:
                self._put_back(process)

    async def close(self) -> None:
        """End every process and wait until it has gone."""
        self._idle.clear()
        for process in self._alive:
            process.kill()
        while self._alive:
            await asyncio.gather(*(process.wait() for process in self._alive))

    @property
    def process_ids(self) -> list[int]:
        """Of the processes that live now."""
        return [process.process_id for process in self._alive if process.process_id is not None]

    async def _start(self) -> ActivityProcess:
        process = ActivityProcess(on_lost=self._lost, on_gone=self._alive.discard)
        self._alive.add(process)
        try:
            await process.start()
        except BaseException:
            if process.process_id is None:  # else it is still on its way out
                self._alive.discard(process)
            raise
        return process

    def _put_back(self, process: ActivityProcess) -> None:
        if process.is_lost:
            return
        if process.is_sound and process.call_count < self._recycle_after_calls:
            self._idle.append(process)
        else:
            process.hang_up()

    def _lost(self, process: ActivityProcess) -> None:
        if process in self._idle:
            self._idle.remove(process)


def _log(line: Line, process_id: int | None) -> None:
    """Log a line here as it was logged there."""
    logger = logging.getLogger(line.logger)
    if not logger.isEnabledFor(line.level):
        return
    record = logger.makeRecord(line.logger, line.level, line.path, line.line, line.message, (), None, line.function)
    record.created, record.msecs = line.created, line.created % 1 * 1000
    record.process, record.threadName = process_id, line.thread
    record.exc_text = line.trace or None
    if line.dimensions:
        record.dimensions = line.dimensions
    logger.handle(record)


def _log_levels() -> dict[str, int]:
    """The level of each logger that has one of its own; the root's name is empty."""
    loggers = {name: each for name, each in logging.Logger.manager.loggerDict.items() if isinstance(each, logging.Logger)}
    return {name: each.level for name, each in loggers.items() if each.level} | {"": logging.getLogger().level}


def _crashed(message: str) -> ForebayError:
    return ForebayError("worker_crashed", message, retryable=True, status=500)
