"""A pool of supervised parsers: a crash or a hang costs the file that caused it, and no other."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import deque
from pathlib import Path

from forebay.errors import ForebayError
from forebay.pipeline.formats import format_of_name
from forebay.pipeline.parse import Parsed, ParseRequest
from forebay.pipeline.refused import ParserFailed
from forebay.pipeline.workers.child import Child, Job
from forebay.pipeline.workers.protocol import Failed, FromWorker

WORKER_MODULE = "forebay.pipeline.workers.worker"

# Small files are sent ahead of time, so that a worker finds the next one without a round trip. More would only wait
# there while another worker is free.
PIPELINE_DEPTH_COUNT = 4
QUICK_BYTES = 64 * 1024


class WorkerPool:
    """Runs `parse` in up to `worker_count` processes, each started when there is work for it.

    *Guarantees*: each request is answered once. A request is blamed for its worker's death only when it was the one
    being worked on; those behind it are sent to another worker. A worker is replaced after `recycle_after_count`
    requests. At most `queue_limit_count` requests are in the pool, further callers wait.
    """

    def __init__(
        self,
        *,
        worker_count: int,
        timeout_seconds: float,
        memory_bytes: int,
        recycle_after_count: int = 1000,
        queue_limit_count: int = 1000,
        scratch_directory: Path | None = None,
        worker_module: str = WORKER_MODULE,
    ) -> None:
        """`scratch_directory` (private to this user) is where libraries unpack themselves; None makes a temporary one."""
        self._worker_count = worker_count
        self._timeout_seconds = timeout_seconds
        self._memory_bytes = memory_bytes
        self._recycle_after_count = recycle_after_count
        self._room = asyncio.Semaphore(queue_limit_count)
        self._scratch = scratch_directory
        self._temporary: str | None = None
        self._module = worker_module
        self._waiting: deque[Job] = deque()
        self._children: list[Child] = []
        self._supervisors: set[asyncio.Task[None]] = set()
        self._is_closed = False

    async def parse(self, request: ParseRequest) -> Parsed:
        """Parse in a worker. Safe to cancel: the worker finishes what it has begun, and its answer is dropped.

        Raises `Refused`, `ParserFailed` (the worker crashed, hung or ran out of memory, or could not start), or
        `ForebayError` with code `parser_closed`.
        """
        async with self._room:
            if self._is_closed:
                raise _closed()
            job = Job(request, asyncio.get_running_loop().create_future(), is_quick=_is_quick(request))
            self._waiting.append(job)
            self._dispatch()
            return await job.future

    async def close(self) -> None:
        """End every worker and wait until it has gone; requests in the pool fail with `parser_closed`."""
        self._is_closed = True
        jobs = [*self._waiting, *(job for child in self._children for job in child.unanswered)]
        self._waiting.clear()
        for child in self._children:
            child.unanswered.clear()
            child.kill()
        for job in jobs:
            if not job.future.done():
                job.future.set_exception(_closed())
        while self._supervisors:
            await asyncio.gather(*self._supervisors)
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._temporary = None

    @property
    def process_ids(self) -> list[int]:
        """Of the workers that live now."""
        return [child.process_id for child in self._children if child.process_id is not None]

    def _dispatch(self) -> None:
        while self._waiting:
            job = self._waiting[0]
            if not job.future.done():  # done: the caller was cancelled
                child = self._child_for(job)
                if child is None:
                    return
                child.send(job)
                if child.sent_count >= self._recycle_after_count:
                    child.is_retiring = True
            self._waiting.popleft()

    def _child_for(self, job: Job) -> Child | None:
        open_children = [child for child in self._children if child.is_ready and not child.is_retiring]
        idle = next((child for child in open_children if not child.unanswered), None)
        if idle is not None:
            return idle
        starting_count = sum(not child.is_ready for child in self._children)
        if len(self._children) < self._worker_count and starting_count < len(self._waiting):
            self._start_child()
        busy = [child for child in open_children if job.is_quick and _has_room(child)]
        return min(busy, key=lambda child: len(child.unanswered), default=None)

    def _start_child(self) -> None:
        child = Child(timeout_seconds=self._timeout_seconds, on_answer=self._on_answer)
        self._children.append(child)
        supervisor = asyncio.create_task(self._supervise(child))
        self._supervisors.add(supervisor)
        supervisor.add_done_callback(self._supervisors.discard)

    async def _supervise(self, child: Child) -> None:
        """The life of one worker, from its start to the handing over of what it left."""
        try:
            await child.start(self._module, memory_bytes=self._memory_bytes, scratch=self._scratch_directory())
            if self._is_closed:
                child.kill()
        except OSError as error:
            failure = ParserFailed("internal", f"the parser could not start: {error}", retryable=True)
        else:
            failure = await child.wait()
        self._children.remove(child)
        left = list(child.unanswered)
        child.unanswered.clear()
        if not child.has_left:
            # one that never became ready fails the request that it was started for, so that starting ends
            blamed = (left.pop(0) if left else None) if child.is_ready else self._oldest_waiting()
            if blamed is not None and not blamed.future.done():
                blamed.future.set_exception(failure)
        self._waiting.extendleft(reversed(left))
        if not self._is_closed:
            self._dispatch()

    def _oldest_waiting(self) -> Job | None:
        while self._waiting:
            job = self._waiting.popleft()
            if not job.future.done():
                return job
        return None

    def _on_answer(self, child: Child, answer: FromWorker) -> None:
        is_recycled = child.is_retiring and not child.unanswered
        if is_recycled or (isinstance(answer, Failed) and answer.is_leaving):
            child.leave()
        self._dispatch()

    def _scratch_directory(self) -> Path:
        if self._scratch is None:
            self._temporary = tempfile.mkdtemp(prefix="forebay-parser-")
            self._scratch = Path(self._temporary)
        self._scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self._scratch


def _is_quick(request: ParseRequest) -> bool:
    format = format_of_name(request.name)
    return len(request.data) <= QUICK_BYTES and (format is None or format.reader == "text")


def _has_room(child: Child) -> bool:
    # all of them quick: nothing waits behind a file that takes long
    return len(child.unanswered) < PIPELINE_DEPTH_COUNT and all(job.is_quick for job in child.unanswered)


def _closed() -> ForebayError:
    return ForebayError("parser_closed", "the parsers were stopped before this file was parsed", retryable=True, status=503)
