"""The parent's side of one worker process: start, send, receive, end, and say how it ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic

import msgspec

from forebay.workers.frames import FrameReader, Message, frame

_EXIT_GRACE_SECONDS = 2.0
_LAST_WORDS_BYTES = 2048
_SIGNALS = {each.value: each.name for each in signal.Signals}


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended."""

    status: int  # negative: by this signal
    last_words: str  # the end of what it wrote to its standard error

    def __str__(self) -> str:
        by = -self.status
        how = f"by {_SIGNALS.get(by, f'signal {by}')}" if by > 0 else f"with exit status {self.status}"
        return f"{how}: {self.last_words[-500:] or 'it said nothing'}"


class WorkerProcess(asyncio.Protocol, Generic[Message]):
    """A Python process that is started with a socket as its standard input, through which both sides talk.

    It inherits no other descriptor, leads a session of its own (a terminal's Ctrl-C is for the parent), and its standard output goes
    nowhere. `on_message` gets what it says, and may raise `ValueError` at what it must not say; `on_broken` gets that, or what was no
    message at all; `on_lost` is called when the connection has gone.
    """

    def __init__(
        self,
        decoder: msgspec.msgpack.Decoder[Message],
        *,
        on_message: Callable[[Message], None],
        on_broken: Callable[[ValueError], None],
        on_lost: Callable[[], None],
    ) -> None:
        self._frames = FrameReader(decoder)
        self._on_message = on_message
        self._on_broken = on_broken
        self._on_lost = on_lost
        self._closed = asyncio.Event()
        self._transport: asyncio.Transport | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._tail: deque[bytes] = deque()
        self._listening: asyncio.Task[None] | None = None

    async def start(self, module: str, *arguments: str, environment: Mapping[str, str], directory: Path | None = None) -> None:
        """Run `python -P -m module arguments... PARENT_PID`. Raises `OSError` when the system cannot."""
        ours, theirs = socket.socketpair()
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-P", "-m", module, *arguments, str(os.getpid())),
                stdin=theirs.fileno(),
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
                cwd=directory,
                env=environment,
            )
            self._listening = asyncio.create_task(self._listen(self._process.stderr))
            ours.setblocking(False)
            await asyncio.get_running_loop().create_unix_connection(lambda: self, sock=ours)
        except BaseException:
            ours.close()
            if self._process is not None:
                self._process.kill()
                await self._process.wait()
            raise
        finally:
            theirs.close()

    def send(self, message: msgspec.Struct) -> None:
        """Send a message, after those before it."""
        assert self._transport is not None
        self._transport.write(frame(message))

    def hang_up(self) -> None:
        """Let it exit by itself."""
        if self._transport is not None:
            self._transport.close()

    def kill(self) -> None:
        """End it now, and every process of its session."""
        if self.process_id is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process_id, signal.SIGKILL)
        if self._transport is not None:
            self._transport.abort()

    @property
    def process_id(self) -> int | None:
        """None while there is no process."""
        return None if self._process is None or self._process.returncode is not None else self._process.pid

    async def wait(self) -> Exit:
        """Wait until the process has gone, by force if it lingers after the connection."""
        assert self._process is not None
        assert self._listening is not None
        if self._transport is not None:
            await self._closed.wait()
        try:
            await asyncio.wait_for(self._process.wait(), _EXIT_GRACE_SECONDS)
        except TimeoutError:
            self.kill()
            await self._process.wait()
        # another process that it has left behind may hold its standard error
        await asyncio.wait({self._listening}, timeout=_EXIT_GRACE_SECONDS)
        self._listening.cancel()
        return Exit(self._process.returncode or 0, b"".join(self._tail)[-_LAST_WORDS_BYTES:].decode("utf-8", "replace").strip())

    async def _listen(self, stream: asyncio.StreamReader | None) -> None:
        while stream is not None and (data := await stream.read(65536)):
            self._tail.append(data[-_LAST_WORDS_BYTES:])
            while sum(map(len, self._tail)) - len(self._tail[0]) >= _LAST_WORDS_BYTES:
                self._tail.popleft()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            for message in self._frames.feed(data):
                self._on_message(message)
        except ValueError as error:
            self._on_broken(error)

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed.set()
        self._on_lost()


def import_path() -> str:
    """A `PYTHONPATH` with which another process finds every module where this one does."""
    return os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path)
