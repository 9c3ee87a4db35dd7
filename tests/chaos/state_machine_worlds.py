"""Where the state machine runs the program: on virtual files and virtual time, or in a real folder.

A world runs the event loop only while it is asked for something: between two steps of the machine nothing moves.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol, TypeVar

from state_machine_model import FOLDER, Answer, Key

from forebay.app import Adapters, Core, open_forebay, run_core, schemas
from forebay.blobs.directory import DirectoryBlobStore
from forebay.catalog import queries
from forebay.effects import DiskFiles, Effects
from forebay.pipeline.embedders.mock import MockEmbedder
from forebay.pipeline.parse import Parsed, ParseRequest, parse
from forebay.settings import load_settings
from forebay.testing.inline import SimulatedCrash, open_inline_database
from forebay.testing.virtual_files import VirtualFiles
from forebay.testing.virtual_loop import SeededRandomness, VirtualClock, VirtualTimeLoop
from forebay.values.document import Document

Result = TypeVar("Result")
Work = Callable[[Core], Awaitable[Result]]

PROJECT = "default-project"
SETTLE_SECONDS = 3.0  # the watcher has noticed by then, and it did not have to be retried
RECONCILE_SECONDS = 320.0  # longer than the interval between two complete comparisons
REST_SECONDS = 60.0
REAL_DEADLINE_SECONDS = 30.0


class ProcessDied(Exception):
    """The process ended before it had answered; the next one runs already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """All that the program says when it is at rest."""

    documents: dict[Key, Document]
    answers: dict[Key, Answer]
    summary: dict[str, Any]


class World(Protocol):
    """A machine with a user, a watched folder, and the program on it."""

    folder: Path
    elsewhere: Path
    incoming: Path

    def write(self, path: Path, data: bytes) -> None: ...
    def replace(self, path: Path, data: bytes) -> None: ...
    def rename(self, source: Path, target: Path) -> None: ...
    def remove(self, path: Path) -> None: ...
    def link(self, path: Path, target: str) -> None: ...
    def exists(self, path: Path) -> bool: ...

    def etag(self, path: Path, *, is_followed: bool) -> str:
        """How the program tells one state of a file from another."""
        ...

    def call(self, work: Work[Result]) -> Result:
        """Ask the program. Raises `ProcessDied`."""
        ...

    def passes(self, seconds: float) -> None:
        """Time passes."""
        ...

    def restart(self) -> None: ...

    def settled(self, is_right: Callable[[Seen], bool], *, is_complete: bool) -> Seen:
        """What the program shows when it has caught up; `is_complete`: also with what a watcher cannot notice."""
        ...

    def close(self) -> None: ...


async def look(core: Core, folder: Path) -> Seen:
    """The documents with their texts, and the counts, of one moment."""

    def read(connection: Any) -> Seen:
        documents: dict[Key, Document] = {}
        answers: dict[Key, Answer] = {}
        found, cursor = queries.list_documents(connection, queries.DocumentFilter(project=PROJECT), limit=1000, cursor=None)
        assert cursor is None
        for document in found:
            key = (FOLDER if document.source == str(folder) else document.source, document.name)
            chunks = queries.chunks_of(connection, document.id) if document.chunk_count else []
            assert len(chunks) == document.chunk_count, key
            documents[key] = document
            answers[key] = (document.status, " ".join(" ".join(chunk.text for chunk in chunks).split()) or None)
        return Seen(documents=documents, answers=answers, summary=queries.summary(connection, PROJECT))

    return await core.adapters.database.readers.run(read)


async def at_rest(core: Core) -> None:
    """Wait for the outcomes of all that has arrived, and for what follows them."""
    try:
        async with asyncio.timeout(REST_SECONDS):
            await core.dispatcher.until_idle()
            while core.engine.live_count:
                await core.adapters.effects.clock.sleep(0.05)
    except TimeoutError:
        seen = await look(core, Path("/"))
        raise AssertionError(f"never at rest: {core.engine.live_count} instances live, {seen.summary}, {seen.answers}") from None


class VirtualWorld:
    """Virtual files, virtual time, the database inline, and processes that die when they are told to."""

    folder = Path("/folder")
    elsewhere = Path("/elsewhere")
    incoming = Path("/data/containers/incoming")

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._seed = seed
        self._directory = tempfile.mkdtemp(prefix="forebay-machine-")
        self._files = VirtualFiles()
        self._wall = datetime(2030, 1, 1, tzinfo=UTC)
        self._process_count = 0
        self._is_moving = False
        self._until_crash: dict[str, int] = {}  # kind: how many more of it before the process dies
        self._start()

    # -- the user ----------------------------------------------------------------------------------------------------

    def write(self, path: Path, data: bytes) -> None:
        self._files.user_writes(path, data)

    def replace(self, path: Path, data: bytes) -> None:
        self._files.user_replaces(path, data)

    def rename(self, source: Path, target: Path) -> None:
        self._files.user_renames(source, target)

    def remove(self, path: Path) -> None:
        self._files.user_removes(path)

    def link(self, path: Path, target: str) -> None:
        self._files.user_links(path, target)

    def exists(self, path: Path) -> bool:
        return path.name in {name for name, _ in self._files.scan(path.parent)} if self._is_folder(path.parent) else False

    def etag(self, path: Path, *, is_followed: bool) -> str:
        return self._files.stat(self._files.resolve(path) if is_followed else path).etag

    def _is_folder(self, path: Path) -> bool:
        with contextlib.suppress(FileNotFoundError):
            return self._files.stat(path).kind == "directory"
        return False

    # -- the program -------------------------------------------------------------------------------------------------

    def call(self, work: Work[Result]) -> Result:
        return self._run(lambda: work(self._core))

    def passes(self, seconds: float) -> None:
        with contextlib.suppress(ProcessDied):
            self._run(lambda: asyncio.sleep(seconds))

    def settled(self, is_right: Callable[[Seen], bool], *, is_complete: bool) -> Seen:
        self._until_crash = {}

        async def settle(core: Core) -> Seen:
            await asyncio.sleep(RECONCILE_SECONDS if is_complete else SETTLE_SECONDS)
            await at_rest(core)
            await asyncio.sleep(SETTLE_SECONDS)
            await at_rest(core)
            return await look(core, self.folder)

        return self.call(settle)

    def crash_after(self, kind: str, count: int) -> None:
        """Let the process die at the `count`-th `before_commit`, `after_commit` or `file_operation` from now, or at once (0)."""
        self._until_crash = {kind: count}
        if not count:
            self._die()
            self._revive()

    def restart(self) -> None:
        self._until_crash = {}
        self._run(self._stop)
        self._end()
        self._start()

    def close(self) -> None:
        if not self._is_dead:
            self._until_crash = {}
            self._run(self._stop)
        self._end()
        shutil.rmtree(self._directory)

    def _start(self) -> None:
        self._process_count += 1
        self._is_dead = False
        self._runner = asyncio.Runner(loop_factory=VirtualTimeLoop)
        self._runner.run(self._open())

    async def _open(self) -> None:
        self._clock = VirtualClock(asyncio.get_running_loop(), self._wall)
        self._files.attach(self._clock, self._before_file_operation)
        self._files.take_changed()  # nobody listened
        for folder in (self.folder, self.elsewhere):
            self._files.make_directory(folder)
        database, self._writer = open_inline_database(
            Path(self._directory) / "catalog.db",
            schemas(),
            clock=self._clock,
            before_commit=lambda _: self._count("before_commit"),
            after_commit=lambda _: self._count("after_commit"),
            delay_seconds=self.delay_seconds,
        )
        effects = Effects(
            clock=self._clock,
            random=SeededRandomness(f"{self._seed} {self._process_count}"),
            files=self._files,
            blocking=_InlineBlocking(self),
        )
        settings = load_settings({}, {"data_dir": Path("/data"), "watch": (self.folder,), "embedder": "mock", "chunk_size": 200})
        blobs = DirectoryBlobStore(Path("/data/containers"), effects)
        await blobs.open()
        parser, feed = _MemorizingParser(self), _Feed(self)
        adapters = Adapters(effects=effects, database=database, blobs=blobs, parser=parser, embedder=MockEmbedder(), feed=feed)
        started: asyncio.Future[Core] = asyncio.get_running_loop().create_future()
        self._stopping = asyncio.Event()

        async def live() -> None:
            async with run_core(settings, adapters) as core:
                started.set_result(core)
                await self._stopping.wait()
            await blobs.close()
            await database.close()

        self._life = asyncio.create_task(live())
        await asyncio.wait([started, self._life], return_when=asyncio.FIRST_COMPLETED)
        if self._life.done():
            self._life.result()
        self._core = started.result()

    async def _stop(self) -> None:
        self._stopping.set()
        await self._life

    def _run(self, work: Callable[[], Awaitable[Result]]) -> Result:
        async def guarded() -> Result:
            task = asyncio.ensure_future(work())
            await asyncio.wait([task, self._writer.crashed], return_when=asyncio.FIRST_COMPLETED)
            if not task.done() or task.cancelled():
                raise ProcessDied
            return task.result()

        self._is_moving = True
        try:
            return self._runner.run(guarded())
        finally:
            self._is_moving = False
            if self._is_dead:
                self._revive()

    def _revive(self) -> None:
        self._until_crash = {}
        self._runner.run(_end_everything())
        self._end()
        self._files.lose_unsynced()
        self._start()

    def _end(self) -> None:
        self._wall = self._clock.now() + timedelta(seconds=0.1)
        self._runner.close()

    def _die(self) -> None:
        self._is_dead = True
        self._writer.crash()

    def _count(self, kind: str) -> None:
        if self._is_dead:
            raise SimulatedCrash
        if kind in self._until_crash:
            self._until_crash[kind] -= 1
            if self._until_crash[kind] <= 0:
                self._die()
                raise SimulatedCrash

    def _before_file_operation(self, operation: str, path: Path) -> None:
        if self._is_moving:  # else it is the user who looks
            self._count("file_operation")

    def delay_seconds(self) -> float:
        """How long one thing takes: this is what orders concurrent work."""
        return self._chance.choice((0.0, 0.0, 0.001, 0.01))

    async def changed_paths(self) -> set[Path]:
        """What a change feed tells next, a moment later than it happened."""
        await self._files.news.wait()
        await asyncio.sleep(0.02 + self.delay_seconds())
        return self._files.take_changed()


class _InlineBlocking:
    """Blocking calls on the loop, each with a delay before and after it."""

    def __init__(self, world: VirtualWorld) -> None:
        self._world = world

    async def run(self, function: Callable[..., Result], *arguments: Any) -> Result:
        await asyncio.sleep(self._world.delay_seconds())
        try:
            result = function(*arguments)
        except SimulatedCrash:
            await asyncio.get_running_loop().create_future()  # nobody is there any more to go on
            raise
        await asyncio.sleep(self._world.delay_seconds())
        return result

    def close(self) -> None:
        pass


class _MemorizingParser:
    """Equal requests have equal answers, so that each text is parsed once in a whole run."""

    def __init__(self, world: VirtualWorld) -> None:
        self._world = world

    async def parse(self, request: ParseRequest) -> Parsed:
        await asyncio.sleep(self._world.delay_seconds())
        return _parsed(request)

    async def close(self) -> None:
        pass


@lru_cache(maxsize=4096)
def _parsed(request: ParseRequest) -> Parsed:
    return parse(request)


class _Feed:
    def __init__(self, world: VirtualWorld) -> None:
        self._world = world

    async def changes(self, roots: Sequence[Path]) -> AsyncIterator[set[Path]]:
        while True:
            yield await self._world.changed_paths()


async def _end_everything() -> None:
    """What is left of a dead process: its tasks end without being able to do anything any more."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(60):
            await asyncio.gather(*others, return_exceptions=True)


class RealWorld:
    """A real folder and a real data directory, with `open_forebay`."""

    def __init__(self) -> None:
        self._top = Path(tempfile.mkdtemp(prefix="forebay-machine-")).resolve()
        self.folder, self.elsewhere = self._top / "folder", self._top / "elsewhere"
        self._data = self._top / "data"
        self.incoming = self._data / "containers" / "incoming"
        for folder in (self.folder, self.elsewhere):
            folder.mkdir()
        self._start()

    def write(self, path: Path, data: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            path.unlink()
        path.write_bytes(data)

    def replace(self, path: Path, data: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = self.elsewhere / "being-written"
        beside.write_bytes(data)
        beside.replace(path)

    def rename(self, source: Path, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        source.rename(target)

    def remove(self, path: Path) -> None:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()

    def link(self, path: Path, target: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.symlink_to(target)

    def exists(self, path: Path) -> bool:
        return os.path.lexists(path)

    def etag(self, path: Path, *, is_followed: bool) -> str:
        return DiskFiles().stat(path.resolve() if is_followed else path).etag

    def call(self, work: Work[Result]) -> Result:
        return self._run(lambda: work(self._core))

    def passes(self, seconds: float) -> None:
        self._run(lambda: asyncio.sleep(seconds))

    def settled(self, is_right: Callable[[Seen], bool], *, is_complete: bool) -> Seen:
        async def settle(core: Core) -> Seen:
            deadline = asyncio.get_running_loop().time() + REAL_DEADLINE_SECONDS
            while True:
                await core.watcher.until_reconciled()
                await at_rest(core)
                seen = await look(core, self.folder)
                is_over = asyncio.get_running_loop().time() > deadline
                if is_over or (is_right(seen) and not seen.summary["in_flight"] and not core.engine.live_count):
                    return seen
                await asyncio.sleep(0.02)

        return self.call(settle)

    def restart(self) -> None:
        self._end()
        self._start()

    def close(self) -> None:
        self._end()
        shutil.rmtree(self._top)

    def _start(self) -> None:
        self._runner = asyncio.Runner()
        self._runner.run(self._open())

    async def _open(self) -> None:
        values = {
            "data_dir": self._data,
            "watch": (self.folder,),
            "embedder": "mock",
            "chunk_size": 200,
            "settle_milliseconds": 20,
            "reconcile_interval_seconds": 1.0,
        }
        settings = load_settings({}, values, env_file=None)
        started: asyncio.Future[Core] = asyncio.get_running_loop().create_future()
        self._stopping = asyncio.Event()

        async def live() -> None:
            async with open_forebay(settings) as program:
                started.set_result(program.core)
                await self._stopping.wait()

        self._life = asyncio.create_task(live())
        await asyncio.wait([started, self._life], return_when=asyncio.FIRST_COMPLETED)
        if self._life.done():
            self._life.result()
        self._core = started.result()

    def _end(self) -> None:
        async def stop() -> None:
            self._stopping.set()
            await self._life

        self._runner.run(stop())
        self._runner.close()

    def _run(self, work: Callable[[], Awaitable[Result]]) -> Result:
        async def awaited() -> Result:
            return await work()

        return self._runner.run(awaited())
