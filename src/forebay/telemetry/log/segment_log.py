"""The telemetry log of one machine: segment files, written by one thread that syncs many entries at once."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from forebay.effects import Blocking, Randomness, SystemRandomness
from forebay.errors import ForebayError
from forebay.telemetry.log.files import AppendFile, DiskLogFiles, LogFiles
from forebay.telemetry.log.frames import FRAME_LIMIT_BYTES, MARKER_BYTES, encode_body, encode_head
from forebay.telemetry.log.port import Entry, Positions, StoredEntry
from forebay.telemetry.log.segments import Discarded, Segment, SegmentReader, new_segment, recover

log = logging.getLogger(__name__)

PARTITION = "local"
GROUP_LIMIT_BYTES = 8 << 20  # written with one sync


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentLimits:
    """How much there may be."""

    segment_bytes: int = 64 << 20  # then the next segment begins
    log_bytes: int = 2 << 30  # of all segments; more is refused until some of it has been released
    waiting_bytes: int = 64 << 20  # of entries that wait for the disk; more is refused


@dataclass(slots=True)
class _Waiting:
    entry: Entry
    body: bytes
    future: asyncio.Future[StoredEntry]


class SegmentLog:
    """A `TelemetryLog` with one partition.

    An append is written with whatever else waits at that moment, and acknowledged after one sync of the file. When a write fails, what
    may have reached the file is cut off again, a new segment is begun, and the senders are told; the next append tries the disk again.

    *Guarantees*: an offset is used once, whatever fails; what `read` returns and `ends` names is durable.
    """

    def __init__(
        self,
        directory: Path,
        blocking: Blocking,
        *,
        files: LogFiles | None = None,
        limits: SegmentLimits | None = None,
        random: Randomness | None = None,
    ) -> None:
        self._directory = directory
        self._blocking = blocking
        self._files = files or DiskLogFiles()
        self._limits = limits or SegmentLimits()
        self._random = random or SystemRandomness()
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Condition()  # guards what the loop, the writing thread and readers share
        self._waiting: deque[_Waiting] = deque()
        self._waiting_bytes = 0
        self._segments: list[Segment] = []
        self._newest_offset = 0  # durable
        self._next_offset = 1
        self._file: AppendFile | None = None  # of the last segment
        self._is_closing = False
        self._news = asyncio.Event()
        self._reader = SegmentReader(self._files)
        self._reading = threading.Lock()  # a cancelled read goes on in its thread
        self._thread: threading.Thread | None = None

    async def open(self, after: Positions | None = None) -> None:
        """Recover what is there; `after` is what the reader has seen.

        Offsets go on behind both, so that a log whose files were lost does not use any again that its reader would skip. Raises
        `ForebayError`: `telemetry_log_damaged`, `telemetry_log_unavailable`.
        """
        try:
            await self._blocking.run(self._recover, (after or {}).get(PARTITION, 0))
        except OSError as error:
            raise _unavailable("read", error) from error
        self._thread = threading.Thread(target=self._write_groups, name="forebay-telemetry-log", daemon=True)
        self._thread.start()

    def check_room(self, size_bytes: int) -> None:
        """See `TelemetryLog.check_room`."""
        if self._is_closing or self._thread is None:
            raise ForebayError(
                "telemetry_log_unavailable",
                "expected an open telemetry log, it is closed",
                hint="Send again when the server has started.",
                retryable=True,
                status=503,
            )
        if self._waiting_bytes + size_bytes > self._limits.waiting_bytes:
            raise ForebayError(
                "telemetry_log_busy",
                f"{self._waiting_bytes:,} bytes wait for the disk, and {self._limits.waiting_bytes:,} is the limit",
                hint="Send again after the time that Retry-After names.",
                retryable=True,
                status=503,
                retry_after_seconds=1,
            )
        stored_bytes = sum(segment.size_bytes for segment in self._segments)
        # the last segment cannot be removed before it has a successor, so alone it must not keep that from being begun
        if len(self._segments) > 1 and stored_bytes + self._waiting_bytes + size_bytes > self._limits.log_bytes:
            raise ForebayError(
                "telemetry_log_full",
                f"{stored_bytes:,} bytes of telemetry are not in the tables yet, and {self._limits.log_bytes:,} is the limit",
                hint="Send again later, or raise FOREBAY_TELEMETRY_LOG_MB.",
                retryable=True,
                status=503,
                retry_after_seconds=10,
            )

    async def append(self, entry: Entry) -> StoredEntry:
        """See `TelemetryLog.append`."""
        body = encode_body(entry)
        limit_bytes = min(FRAME_LIMIT_BYTES, self._limits.waiting_bytes)
        if len(body) > limit_bytes:
            raise ForebayError(
                "entry_too_large",
                f"expected an entry of at most {limit_bytes:,} bytes, got {len(body):,}",
                hint="Send smaller batches.",
                status=413,
            )
        future: asyncio.Future[StoredEntry] = self._loop.create_future()
        with self._lock:
            self.check_room(len(body))
            self._waiting.append(_Waiting(entry, body, future))
            self._waiting_bytes += len(body)
            self._lock.notify()
        return await future

    async def read(self, after: Positions, *, limit_bytes: int) -> list[StoredEntry]:
        """See `TelemetryLog.read`. Raises `ForebayError` `telemetry_log_unavailable` when the disk fails."""
        try:
            return await self._blocking.run(self._read, after.get(PARTITION, 0), limit_bytes)
        except OSError as error:
            raise _unavailable("read", error) from error

    async def wait(self, after: Positions) -> None:
        """See `TelemetryLog.wait`."""
        while self._newest_offset <= after.get(PARTITION, 0):
            self._news.clear()
            await self._news.wait()

    def ends(self) -> Positions:
        """See `TelemetryLog.ends`."""
        return {PARTITION: self._newest_offset}

    async def release(self, up_to: Positions) -> None:
        """See `TelemetryLog.release`: segments that end there are removed; one that cannot be is left for the next time."""
        await self._blocking.run(self._release, up_to.get(PARTITION, 0))

    async def close(self) -> None:
        """See `TelemetryLog.close`: what waits for the disk is written first."""
        with self._lock:
            self._is_closing = True
            self._lock.notify()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)
            self._thread = None
            self._close_file()

    @property
    def stored_bytes(self) -> int:
        """How much the segments hold."""
        with self._lock:
            return sum(segment.size_bytes for segment in self._segments)

    @property
    def waiting_bytes(self) -> int:
        """How much waits for the disk, what is being written just now included."""
        return self._waiting_bytes

    @property
    def discarded(self) -> list[Discarded]:
        """What recovery and reading have found damaged in the segments that are still there."""
        return self._reader.discarded

    def _recover(self, after: int) -> None:
        self._files.make_directory(self._directory)
        self._files.sync_directory(self._directory.parent)  # an earlier process may have ended before it did
        found = recover(self._files, self._directory, self._reader)
        self._segments = found.segments
        self._newest_offset, self._next_offset = max(found.newest_offset, after), max(found.next_offset, after + 1)

    # -- the writing thread ------------------------------------------------------------------------------------------

    def _write_groups(self) -> None:
        failed_count = 0  # groups, one after the other: a full disk gets two lines, not one for each append
        while group := self._take_group():
            offsets = range(self._next_offset, self._next_offset + len(group))
            self._next_offset = offsets.stop  # never used again, whatever becomes of this group
            try:
                self._write(group, offsets)
            except Exception as error:
                failed_count += 1
                if failed_count == 1:
                    log.warning("the telemetry log could not be written: %s", error, exc_info=not isinstance(error, OSError))
                self._abandon_segment()
                self._tell(group, partial(_fail, cause=error))
            else:
                if failed_count:
                    log.warning("the telemetry log is written again; before, %d writes failed", failed_count)
                    failed_count = 0
                self._tell(group, partial(_acknowledge, first_offset=offsets.start))

    def _take_group(self) -> list[_Waiting]:
        group: list[_Waiting] = []
        size_bytes = 0
        with self._lock:
            while not self._waiting and not self._is_closing:
                self._lock.wait()
            while self._waiting and size_bytes < GROUP_LIMIT_BYTES:
                size_bytes += len(self._waiting[0].body)
                group.append(self._waiting.popleft())
        return group

    def _write(self, group: list[_Waiting], offsets: range) -> None:
        if self._file is None or self._segments[-1].size_bytes >= self._limits.segment_bytes:
            self._close_file()
            self._file = self._begin_segment(offsets.start)
        segment = self._segments[-1]
        parts = [
            part
            for each, offset in zip(group, offsets, strict=True)
            for part in (encode_head(segment.marker, offset, each.body), each.body)
        ]
        self._file.write(parts)
        self._file.sync()
        with self._lock:
            self._segments[-1] = replace(segment, size_bytes=segment.size_bytes + sum(map(len, parts)))
            self._newest_offset = offsets[-1]

    def _begin_segment(self, first_offset: int) -> AppendFile:
        segment = new_segment(self._directory, first_offset, bytes.fromhex(self._random.hex(MARKER_BYTES)))
        file = self._files.create(segment.path)
        try:
            self._files.sync_directory(self._directory)
        except OSError:
            file.close()
            self._files.remove(segment.path)
            raise
        with self._lock:
            self._segments.append(segment)
        return file

    def _abandon_segment(self) -> None:
        """After a failed write or sync nobody knows what the file holds behind its durable part: cut that off, and go on in another."""
        if self._file is None:
            return
        segment = self._segments[-1]
        try:
            if segment.size_bytes:
                self._file.truncate(segment.size_bytes)
            else:
                self._files.remove(segment.path)
        except OSError as error:
            log.warning("%s could not be cut back: %s", segment.name, error)
        self._close_file()
        if not segment.size_bytes:  # or a full disk would gather an empty one for each append
            with self._lock:
                self._segments.pop()

    def _close_file(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):  # everything that counts has been synced
                self._file.close()
            self._file = None

    def _tell(self, group: list[_Waiting], tell: Callable[[list[_Waiting]], None]) -> None:
        with self._lock:
            self._waiting_bytes -= sum(len(each.body) for each in group)
        try:
            self._loop.call_soon_threadsafe(self._told, group, tell)
        except RuntimeError:  # the loop has been closed, and nobody waits any more
            log.debug("%d entries were written after the loop had ended", len(group))

    def _told(self, group: list[_Waiting], tell: Callable[[list[_Waiting]], None]) -> None:
        tell(group)
        self._news.set()

    # -- reading -----------------------------------------------------------------------------------------------------

    def _read(self, after: int, limit_bytes: int) -> list[StoredEntry]:
        with self._reading:
            with self._lock:
                segments, newest_offset = tuple(self._segments), self._newest_offset
            found = self._reader.read(segments, after, limit_bytes)
            if not found and after < newest_offset:
                with self._lock:  # the newest entries are damaged: nobody shall wait for them
                    if self._newest_offset == newest_offset:
                        self._newest_offset = after
        return [StoredEntry(partition=PARTITION, offset=offset, entry=entry) for offset, entry in found]

    def _release(self, up_to: int) -> None:
        with self._reading:
            while True:
                with self._lock:
                    # while a later segment holds entries, no offset is forgotten with this one
                    if not any(later.size_bytes for later in self._segments[1:]) or self._segments[1].first_offset > up_to + 1:
                        return
                    oldest = self._segments[0]
                try:
                    with contextlib.suppress(FileNotFoundError):
                        self._files.remove(oldest.path)
                except OSError as error:
                    log.warning("%s could not be removed: %s", oldest.name, error)
                    return
                with self._lock:
                    self._segments.pop(0)
                self._reader.forget(oldest)


def _acknowledge(group: list[_Waiting], first_offset: int) -> None:
    for offset, each in enumerate(group, first_offset):
        if not each.future.done():
            each.future.set_result(StoredEntry(partition=PARTITION, offset=offset, entry=each.entry))


def _fail(group: list[_Waiting], cause: Exception) -> None:
    for each in group:
        if not each.future.done():
            each.future.set_exception(_unavailable("written", cause))


def _unavailable(done: str, error: Exception) -> ForebayError:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ForebayError(
            "disk_full",
            f"expected room for the telemetry log, got: {error.strerror}",
            hint="Free some space; it goes on by itself then.",
            retryable=True,
            status=503,
            retry_after_seconds=10,
        )
    return ForebayError(
        "telemetry_log_unavailable",
        f"the telemetry log could not be {done}: {error}",
        hint="Send again; if it stays so, look into the program's log and at the disk.",
        retryable=True,
        status=503,
        retry_after_seconds=1,
    )
