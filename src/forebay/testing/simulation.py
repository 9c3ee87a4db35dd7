"""Whole-program simulation: a machine, its users and its accidents, all decided by one seed, in virtual time.

The program under test is the real one (`forebay.app.run_core`) on virtual effects: the writer, the workers and the watcher
run inline on the loop. A run does random work while processes crash, files and embedder fail and stall, change
notifications get lost and the wall clock jumps; then everything gets quiet, and the index must be what the sources say.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random  # noqa: TID251 - one seed decides a whole run
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from forebay.app import Adapters, Core, run_core, schemas
from forebay.blobs.directory import DirectoryBlobStore
from forebay.effects import Effects
from forebay.errors import ForebayError
from forebay.intake.intake import Sender
from forebay.pipeline.parse import ParseRequest, parse
from forebay.settings import load_settings
from forebay.testing.accidents import ALL_FAULTS, NO_FAULTS, Accidents, Faults, FaultyEmbedder, FaultyParser, InlineBlocking, LossyFeed
from forebay.testing.inline import InlineWriter, SimulatedCrash, open_inline_database
from forebay.testing.virtual_files import VirtualFiles
from forebay.testing.virtual_loop import SeededRandomness, VirtualClock, run_virtual

FOLDER = Path("/folder")
DATA = Path("/data")
PROJECT = "default-project"
QUIET_SECONDS = 2000.0  # longer than every retry, timeout and reconciliation; once with faults, once without
ATTEMPT_COUNT = 10  # more than all kinds of accidents in a row, so that only what lasts longer makes an activity fail
WORDS = "pool turbine river gate valve pump meter flood ledger chunk vector index journal replay".split()

Index = dict[tuple[str, str], tuple[str, str | None, tuple[str, ...]]]  # (source, name): status, sha256, texts


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
    accidents: Counter[str] = field(default_factory=Counter)
    accidents_in_a_row: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run ended with."""

    index: Index
    expected: Index  # what the sources say, without running anything
    problems: list[str]
    crash_count: int
    trace: list[str]  # every commit with its virtual time: equal for equal seeds
    accidents: Counter[str]  # how often each kind happened


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
        self.accidents = Accidents(
            world.faults, self.chance, self.clock, folder=FOLDER, counts=world.accidents, in_a_row=world.accidents_in_a_row
        )
        self.is_dead = False
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
            delay_seconds=self.accidents.delay_seconds,
        )
        effects = Effects(
            clock=self.clock,
            random=SeededRandomness(f"{world.seed} {world.process_count}"),
            files=world.files,
            blocking=InlineBlocking(self.accidents),
        )
        settings = load_settings(
            {},
            {
                "data_dir": DATA,
                "watch": (FOLDER,),
                "embedder": "mock",
                "chunk_size": 200,
                "activity_attempts": ATTEMPT_COUNT,
                "shadow_replay_ratio": 1.0,
            },
        )
        try:
            blobs = DirectoryBlobStore(DATA / "containers", effects)
            adapters = Adapters(
                effects=effects,
                database=database,
                blobs=blobs,
                parser=FaultyParser(self.accidents),
                embedder=FaultyEmbedder(self.accidents),
                feed=LossyFeed(self.accidents, world.files),
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
            world.wall = self.clock.now() + timedelta(seconds=self.accidents.seconds_until_restart())
            if self.is_dead:
                world.crashes_left -= 1
                world.files.lose_unsynced()

    async def _work(self, settings: Any, adapters: Adapters, blobs: DirectoryBlobStore) -> Outcome:
        await self._open(blobs)
        async with contextlib.AsyncExitStack() as running:
            core = await self._start(running, settings, adapters)
            jumps = asyncio.create_task(self.accidents.jump_the_clock())
            while self.world.next_step < len(self.world.steps):
                await self._take_step(core, self.world.steps[self.world.next_step])
                self.world.next_step += 1
            await jumps
            return await self._settle(core)

    async def _start(self, running: contextlib.AsyncExitStack, settings: Any, adapters: Adapters) -> Core:
        """As a supervisor does: a start that the disk has failed is tried again."""
        while True:
            try:
                return await running.enter_async_context(run_core(settings, adapters))
            except ForebayError as error:
                if not error.retryable:
                    raise
                await asyncio.sleep(1.0)

    async def _open(self, blobs: DirectoryBlobStore) -> None:
        """The same for what comes before."""
        while True:
            try:
                return await blobs.open()
            except OSError:
                await asyncio.sleep(1.0)

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
            await asyncio.sleep(1.0)

    async def _settle(self, core: Core) -> Outcome:
        """Wait until nothing moves any more, then compare everything."""
        readers = core.adapters.database.readers
        await asyncio.sleep(QUIET_SECONDS)
        self.accidents.is_over = True
        await asyncio.sleep(QUIET_SECONDS)
        await core.dispatcher.until_idle()
        await asyncio.sleep(60)  # what follows an outcome
        problems = []
        for check in (core.index, core.history):
            problems += [f"{each['code']}: {each['message']}" for each in (await check())["problems"]]
        problems += await readers.run(_stored_problems)
        problems += ["diverged: see the log"] * core.engine.divergence_count
        return Outcome(
            index=await readers.run(_stored_index),
            expected=_expected_index(self.world),
            problems=problems,
            crash_count=self.world.process_count - 1,
            trace=self.world.trace,
            accidents=self.world.accidents,
        )

    # -- accidents ---------------------------------------------------------------------------------------------------

    def _before_commit(self, number: int) -> None:
        self.world.trace.append(f"{self.world.process_count} {number} {self.clock.monotonic():.6f}")
        if self.commits_until_crash == number and self.chance.random() < 0.5:
            self._die()
        failure = self.accidents.fail_commit()
        if failure is not None:
            raise sqlite3.OperationalError(failure)

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
        self.accidents.fail_file(operation, path)

    def _die(self) -> None:
        self.is_dead = True
        raise SimulatedCrash


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
