"""Whole-program simulation: a machine, its users and its accidents, all decided by one seed, in virtual time.

The program under test is the real one (`forebay.app.run_core`) on virtual effects: the writer, the workers and the watcher
run inline on the loop. A run does random work while processes crash, files and embedder fail and stall, change
notifications get lost and the wall clock jumps; then everything gets quiet, and the index must be what the sources say.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import random  # noqa: TID251 - one seed decides a whole run
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from forebay.app import Adapters, Core, run_core, schemas
from forebay.blobs.directory import DirectoryBlobStore
from forebay.effects import Effects
from forebay.errors import ForebayError
from forebay.intake.intake import Sender
from forebay.pipeline.embedders.mock import MockEmbedder
from forebay.pipeline.parse import Parsed, ParseRequest, parse
from forebay.pipeline.refused import ParserFailed
from forebay.settings import load_settings
from forebay.testing.inline import InlineWriter, SimulatedCrash, open_inline_database
from forebay.testing.virtual_files import VirtualFiles
from forebay.testing.virtual_loop import SeededRandomness, VirtualClock, run_virtual

Result = TypeVar("Result")

FOLDER = Path("/folder")
DATA = Path("/data")
PROJECT = "default-project"
QUIET_SECONDS = 2000.0  # longer than every retry, timeout and reconciliation; once with faults, once without
WORDS = "pool turbine river gate valve pump meter flood ledger chunk vector index journal replay".split()

Index = dict[tuple[str, str], tuple[str, str | None, tuple[str, ...]]]  # (source, name): status, sha256, texts


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Which accidents happen, and how often."""

    crash_count: int = 0
    commit_failure_ratio: float = 0.0
    file_failure_ratio: float = 0.0
    embedder_failure_ratio: float = 0.0
    parser_failure_ratio: float = 0.0
    lost_change_ratio: float = 0.0
    stall_seconds: float = 0.0
    clock_jump_count: int = 0


NO_FAULTS = Faults()
ALL_FAULTS = Faults(
    crash_count=4,
    commit_failure_ratio=0.03,
    file_failure_ratio=0.03,
    embedder_failure_ratio=0.15,
    parser_failure_ratio=0.1,
    lost_change_ratio=0.3,
    stall_seconds=400.0,
    clock_jump_count=2,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that a user of the machine does."""

    after_seconds: float  # since the step before
    kind: str  # write, replace, rename, remove, upload, drop
    name: str
    data: bytes = b""
    new_name: str = ""


@dataclass(slots=True, kw_only=True)
class World:
    """What outlives the simulated processes."""

    seed: int
    faults: Faults
    database_path: Path
    steps: list[Step]
    files: VirtualFiles = field(default_factory=VirtualFiles)
    next_step: int = 0
    wall: datetime = datetime(2030, 1, 1, tzinfo=UTC)
    crashes_left: int = 0
    process_count: int = 0
    uploaded: dict[str, bytes] = field(default_factory=dict)
    dropped: dict[str, bytes] = field(default_factory=dict)
    trace: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run ended with."""

    index: Index
    expected: Index  # what the sources say, without running anything
    problems: list[str]
    crash_count: int
    trace: list[str]  # every commit with its virtual time: equal for equal seeds


def random_steps(seed: int, count: int = 14) -> list[Step]:
    """Work for a run: few names, so that edits, renames and deletions meet each other."""
    chance = random.Random(f"steps {seed}")  # noqa: S311 - decides a test, keeps no secret
    present: set[str] = set()
    steps: list[Step] = []
    for _ in range(count):
        after = chance.choice([0.0, 0.01, 0.3, 2.0, 20.0])
        name = f"{chance.choice('abc')}.{chance.choice(['txt', 'md'])}"
        data = " ".join(chance.choices(WORDS, k=chance.choice([3, 40, 900]))).encode()
        kind = chance.choice(["write", "write", "replace", "rename", "remove", "upload", "drop"])
        if kind in ("rename", "remove") and not present:
            kind = "write"
        if kind in ("rename", "remove"):
            name = chance.choice(sorted(present))
            present.discard(name)
        new_name = ""
        if kind == "rename":
            new_name = f"sub/{chance.choice('xyz')}{name[1:]}"
            present.add(new_name)
        elif kind in ("write", "replace"):
            present.add(name)
        steps.append(Step(after_seconds=after, kind=kind, name=name, data=data, new_name=new_name))
    return steps


def simulate(seed: int, directory: Path, faults: Faults = ALL_FAULTS) -> Outcome:
    """Run the program on a simulated machine until all work is done, restarting it after every crash."""
    world = World(
        seed=seed,
        faults=faults,
        database_path=directory / f"catalog-{seed}-{faults is NO_FAULTS}.db",
        steps=random_steps(seed),
        crashes_left=faults.crash_count,
    )
    while True:
        outcome = run_virtual(lambda: _live(world))
        if outcome is not None:
            return outcome


async def _live(world: World) -> Outcome | None:
    return await _Process(world).run()


class _Process:
    """One life of the program, from start to crash or to the end of the work."""

    def __init__(self, world: World) -> None:
        world.process_count += 1
        self.world = world
        self.chance = random.Random(f"process {world.seed} {world.process_count}")  # noqa: S311 - decides a test
        self.clock = VirtualClock(asyncio.get_running_loop(), world.wall)
        self.is_dead = False
        self.failures: Counter[str] = Counter()
        self.writer: InlineWriter | None = None
        self.commits_until_crash = self.chance.randint(1, 60) if world.crashes_left else None
        self.operations_until_crash = self.chance.randint(1, 400) if world.crashes_left and self.chance.random() < 0.3 else None

    async def run(self) -> Outcome | None:
        """None after a crash."""
        world = self.world
        world.files.attach(self.clock, self._before_file_operation)
        for folder in (FOLDER, DATA / "containers"):
            world.files.make_directory(folder)
        database, self.writer = open_inline_database(
            world.database_path,
            schemas(),
            clock=self.clock,
            before_commit=self._before_commit,
            after_commit=self._after_commit,
            delay_seconds=self.delay_seconds,
        )
        effects = Effects(
            clock=self.clock,
            random=SeededRandomness(f"{world.seed} {world.process_count}"),
            files=world.files,
            blocking=_InlineBlocking(self),
        )
        settings = load_settings({}, {"data_dir": DATA, "watch": (FOLDER,), "embedder": "mock", "chunk_size": 200})
        try:
            blobs = DirectoryBlobStore(DATA / "containers", effects)
            adapters = Adapters(
                effects=effects,
                database=database,
                blobs=blobs,
                parser=_FaultyParser(self),
                embedder=_FaultyEmbedder(self),
                feed=_LossyFeed(self),
            )
            work = asyncio.create_task(self._work(settings, adapters, blobs))
            ends: list[asyncio.Future[Any]] = [work, self.writer.crashed]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if not self.is_dead and work.done():
                return work.result()
            self.is_dead = True
            await _end_everything()
            return None
        finally:
            world.wall = self.clock.now() + timedelta(seconds=self.chance.choice([0.1, 5, 500]))
            if self.is_dead:
                world.crashes_left -= 1
                world.files.lose_unsynced()

    async def _work(self, settings: Any, adapters: Adapters, blobs: DirectoryBlobStore) -> Outcome:
        await self._until_it_works(blobs.open)
        async with run_core(settings, adapters) as core:
            jumps = asyncio.create_task(self._jump_the_clock())
            while self.world.next_step < len(self.world.steps):
                await self._take_step(core, self.world.steps[self.world.next_step])
                self.world.next_step += 1
            jumps.cancel()
            return await self._settle(core)

    async def _take_step(self, core: Core, step: Step) -> None:
        await asyncio.sleep(step.after_seconds)
        files, path = self.world.files, FOLDER / step.name
        if step.kind == "write":
            files.user_writes(path, step.data)
        elif step.kind == "replace":
            files.user_replaces(path, step.data)
        elif step.kind == "rename":
            files.user_renames(path, FOLDER / step.new_name)
        elif step.kind == "remove":
            files.user_removes(path)
        elif step.kind == "drop":
            files.user_writes(DATA / "containers" / "incoming" / step.name, step.data)
            self.world.dropped[step.name] = step.data
        else:
            sender = Sender(project=PROJECT, actor="simulation", correlation_id="simulation")
            await self._until_it_works(lambda: core.intake.upload(sender, step.name, _stream(step.data), "text/plain"))
            self.world.uploaded[step.name] = step.data

    async def _until_it_works(self, attempt: Callable[[], Any]) -> None:
        """As a client does: a refusal that may be retried is retried."""
        while True:
            try:
                await attempt()
                return
            except ForebayError as error:
                if not error.retryable:
                    raise
            except OSError:
                pass
            await asyncio.sleep(1.0)

    async def _settle(self, core: Core) -> Outcome:
        """Wait until nothing moves any more, then compare everything."""
        readers = core.adapters.database.readers
        await asyncio.sleep(QUIET_SECONDS)
        self.failures["off"] = 1
        await asyncio.sleep(QUIET_SECONDS)
        await core.dispatcher.until_idle()
        await asyncio.sleep(60)  # what follows an outcome
        problems = []
        for check in (core.index, core.history):
            problems += [f"{each['code']}: {each['message']}" for each in (await check())["problems"]]
        problems += await readers.run(_stored_problems)
        return Outcome(
            index=await readers.run(_stored_index),
            expected=_expected_index(self.world),
            problems=problems,
            crash_count=self.world.process_count - 1,
            trace=self.world.trace,
        )

    async def _jump_the_clock(self) -> None:
        for _ in range(self.world.faults.clock_jump_count):
            await asyncio.sleep(self.chance.uniform(0, 30))
            self.clock.jump(self.chance.choice([-3600.0, -1.0, 1.0, 3600.0]))

    # -- accidents ---------------------------------------------------------------------------------------------------

    def delay_seconds(self) -> float:
        """How long one thing takes: this is what orders concurrent work."""
        return self.chance.choice([0.0, 0.0, 0.001, 0.01, 0.1])

    def happens(self, what: str, ratio: float) -> bool:
        """Whether an accident happens now; never more than twice in a row, so that retries win."""
        if self.failures["off"] or self.failures[what] >= 2 or self.chance.random() >= ratio:
            self.failures[what] = 0
            return False
        self.failures[what] += 1
        return True

    async def maybe_stall(self) -> None:
        """Now and then something takes very long."""
        if self.world.faults.stall_seconds and not self.failures["off"] and self.chance.random() < 0.02:
            await asyncio.sleep(self.chance.uniform(0, self.world.faults.stall_seconds))

    def _before_commit(self, number: int) -> None:
        self.world.trace.append(f"{self.world.process_count} {number} {self.clock.monotonic():.6f}")
        if self.commits_until_crash == number and self.chance.random() < 0.5:
            self._die()
        if self.happens("commit", self.world.faults.commit_failure_ratio):
            raise sqlite3.OperationalError("disk I/O error (simulated)")

    def _after_commit(self, number: int) -> None:
        if self.commits_until_crash is not None and number >= self.commits_until_crash:
            self._die()

    def _before_file_operation(self, operation: str, path: Path) -> None:
        if self.is_dead:
            raise SimulatedCrash
        if self.operations_until_crash is not None:
            self.operations_until_crash -= 1
            if self.operations_until_crash <= 0:
                assert self.writer is not None
                self.writer.crash()
                self._die()
        if self.happens(f"{operation} {path}", self.world.faults.file_failure_ratio):
            raise OSError(errno.EIO, "input/output error (simulated)", str(path))

    def _die(self) -> None:
        self.is_dead = True
        raise SimulatedCrash


class _InlineBlocking:
    """Blocking calls on the loop, each with a delay before and after it."""

    def __init__(self, process: _Process) -> None:
        self._process = process

    async def run(self, function: Callable[..., Result], *arguments: Any) -> Result:
        await asyncio.sleep(self._process.delay_seconds())
        try:
            result = function(*arguments)
        except SimulatedCrash:
            await asyncio.get_running_loop().create_future()  # nobody is there any more to go on
            raise
        await asyncio.sleep(self._process.delay_seconds())
        return result

    def close(self) -> None:
        pass


class _FaultyParser:
    def __init__(self, process: _Process) -> None:
        self._process = process

    async def parse(self, request: ParseRequest) -> Parsed:
        await asyncio.sleep(self._process.delay_seconds())
        await self._process.maybe_stall()
        if self._process.happens(f"parse {request.name}", self._process.world.faults.parser_failure_ratio):
            raise ParserFailed("parser_crashed", "the parser process died (simulated)")
        return parse(request)

    async def close(self) -> None:
        pass


class _FaultyEmbedder(MockEmbedder):
    def __init__(self, process: _Process) -> None:
        super().__init__()
        self._process = process

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        await asyncio.sleep(self._process.delay_seconds())
        await self._process.maybe_stall()
        if self._process.happens("embed", self._process.world.faults.embedder_failure_ratio):
            raise ForebayError("embedding_failed", "the embedder failed (simulated)", retryable=True)
        vectors = await super().embed(texts)
        # now and then a broken answer that must not be stored
        return vectors * 0 if self._process.happens("zeros", self._process.world.faults.embedder_failure_ratio / 2) else vectors


class _LossyFeed:
    """Change notifications that come late, together, or never."""

    def __init__(self, process: _Process) -> None:
        self._process = process

    async def changes(self, roots: Sequence[Path]) -> AsyncIterator[set[Path]]:
        files = self._process.world.files
        while True:
            await asyncio.sleep(0.1 + self._process.delay_seconds())
            changed, files.changed = files.changed, set()
            told = {path for path in sorted(changed) if not self._process.happens("lost", self._process.world.faults.lost_change_ratio)}
            if told:
                yield told


async def _stream(data: bytes) -> AsyncIterator[bytes]:
    yield data[: len(data) // 2]
    yield data[len(data) // 2 :]


async def _end_everything() -> None:
    """What is left of a dead process: its tasks end without being able to do anything any more."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(60):
            await asyncio.gather(*others, return_exceptions=True)


def _stored_index(connection: Any) -> Index:
    found: Index = {}
    rows = connection.execute(
        "SELECT id, source, name, status, sha256, current_version FROM documents WHERE status != 'deleted'"
    ).fetchall()
    for _, source, name, status, sha256, version in rows:
        texts = connection.execute(
            "SELECT t.text FROM chunks c JOIN texts t ON t.id = c.text_id WHERE c.version_id = ? ORDER BY c.ordinal", (version,)
        ).fetchall()
        found[source, name] = (status, sha256, tuple(text for (text,) in texts))
    return found


def _stored_problems(connection: Any) -> list[str]:
    problems = [str(row) for row in connection.execute("PRAGMA integrity_check") if row != ("ok",)]
    staged = connection.execute("SELECT count(*) FROM versions WHERE valid_from IS NULL").fetchone()[0]
    if staged:
        problems.append(f"{staged} invisible versions are left over")
    running = connection.execute("SELECT count(*) FROM instances WHERE status != 'Completed'").fetchone()[0]
    if running:
        problems.append(f"{running} instances are not completed")
    return problems


def _expected_index(world: World) -> Index:
    sources = {
        str(FOLDER): world.files.files_below(FOLDER),
        "upload": world.uploaded,
        "incoming": world.dropped,
    }
    expected: Index = {}
    for source, contents in sources.items():
        for name, data in contents.items():
            request = ParseRequest(
                name=name,
                content_type="text/plain",
                data=data,
                max_blob_bytes=10 << 20,
                accept_unknown_text=False,
                chunk_size=200,
                chunker="auto",
                max_text_characters=1 << 20,
            )
            texts = tuple(chunk.text for chunk in parse(request).chunks)
            expected[source, name] = ("indexed", hashlib.sha256(data).hexdigest(), texts)
    return expected
