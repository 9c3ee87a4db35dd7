"""A re-index that is cut short before or after any of its commits ends as one that was not."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from forebay.app import Adapters, Core, run_core, schemas
from forebay.blobs.directory import DirectoryBlobStore
from forebay.effects import Effects
from forebay.intake.intake import Sender
from forebay.pipeline.embedders.mock import MockEmbedder
from forebay.pipeline.parse import Parsed, ParseRequest, parse
from forebay.search.search import SearchRequest
from forebay.settings import load_settings
from forebay.testing.inline import SimulatedCrash, open_inline_database
from forebay.testing.virtual_files import VirtualFiles
from forebay.testing.virtual_loop import SeededRandomness, VirtualClock, run_virtual

DATA = Path("/data")
DOCUMENT_COUNT = 3
OLD, NEW = MockEmbedder(dimensions=64), MockEmbedder(dimensions=32)


class InlineBlocking:
    async def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return function(*arguments)

    def close(self) -> None:
        pass


class InlineParser:
    async def parse(self, request: ParseRequest) -> Parsed:
        return parse(request)

    async def close(self) -> None:
        pass


class NoChanges:
    async def changes(self, roots: Sequence[Path]) -> AsyncIterator[set[Path]]:
        await asyncio.Event().wait()
        yield set()


class Machine:
    """A disk and a database that outlive processes."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "catalog.db"
        self.files = VirtualFiles()

    def live(
        self, work: Callable[[Core], Any], *, chunk_size: int, is_new: bool, crash_before: int | None = None, crash_after: int | None = None
    ) -> tuple[Any, int]:
        """One life of the program: the answer of `work`, None after a crash, and how many commits it made."""
        return run_virtual(lambda: self._live(work, chunk_size, is_new, crash_before, crash_after))

    async def _live(
        self, work: Callable[[Core], Any], chunk_size: int, is_new: bool, crash_before: int | None, crash_after: int | None
    ) -> tuple[Any, int]:
        clock = VirtualClock(asyncio.get_running_loop())
        self.files.attach(clock, lambda operation, path: None)
        self.files.make_directory(DATA / "containers")
        database, writer = open_inline_database(
            self.path, schemas(), clock=clock, before_commit=_dying_at(crash_before), after_commit=_dying_at(crash_after)
        )
        effects = Effects(clock=clock, random=SeededRandomness(str(crash_before)), files=self.files, blocking=InlineBlocking())
        settings = load_settings({}, {"data_dir": DATA, "embedder": "mock", "chunk_size": chunk_size})
        blobs = DirectoryBlobStore(DATA / "containers", effects)
        adapters = Adapters(
            effects=effects,
            database=database,
            blobs=blobs,
            parser=InlineParser(),
            embedder=NEW if is_new else OLD,
            feed=NoChanges(),
            previous_embedder=OLD if is_new else None,
        )
        await blobs.open()
        task = asyncio.create_task(_run(settings, adapters, work))
        await asyncio.wait([task, writer.crashed], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            answer = task.result()
            await database.close()
            return answer, writer.commit_count
        await _end_everything()
        return None, writer.commit_count


def _dying_at(number: int | None) -> Callable[[int], None]:
    def hook(commit: int) -> None:
        if commit == number:
            raise SimulatedCrash

    return hook


async def _run(settings: Any, adapters: Adapters, work: Callable[[Core], Any]) -> Any:
    async with run_core(settings, adapters) as core:
        return await work(core)


async def _end_everything() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


async def fill(core: Core) -> None:
    sender = Sender(project="default-project", actor="test", correlation_id="test")
    for number in range(DOCUMENT_COUNT):
        await core.intake.upload(sender, f"{number}.txt", _stream(f"Document {number} tells of water. ".encode() * 8), "text/plain")
    await core.dispatcher.until_idle()


async def reindex(core: Core) -> dict[str, Any]:
    """To the end; searches work at every moment."""
    state = await core.reindex()
    for _ in range(1000):
        found = await core.search.search(SearchRequest(query="water", project="default-project", mode="vector", k=1000))
        assert {hit.name for hit in found.hits} == {f"{number}.txt" for number in range(DOCUMENT_COUNT)}
        if state.status != "running":
            break
        await asyncio.sleep(0.05)
        state = await core.state()
    await asyncio.sleep(60)  # what follows the change of models
    return {"state": state, "index": await core.index(), "history": await core.history()}


async def _stream(data: bytes) -> AsyncIterator[bytes]:
    yield data


@pytest.mark.parametrize("when", ["crash_before", "crash_after"])
def test_a_reindex_survives_a_crash_at_every_commit(when: str, tmp_path: Path) -> None:
    number, is_cut_short = 0, True
    while is_cut_short:
        number += 1
        directory = tmp_path / str(number)
        directory.mkdir()
        machine = Machine(directory)
        machine.live(fill, chunk_size=100, is_new=False)
        answer, _ = machine.live(reindex, chunk_size=60, is_new=True, **{when: number})  # type: ignore[arg-type]
        is_cut_short = answer is None
        if is_cut_short:
            answer, _ = machine.live(reindex, chunk_size=60, is_new=True)
        assert (answer["state"].status, answer["state"].searched_model) == ("current", NEW.model_id), f"crash at commit {number}"
        assert (answer["index"]["problems"], answer["history"]["problems"]) == ([], []), f"crash at commit {number}"
        with closing(sqlite3.connect(machine.path)) as connection:
            assert connection.execute("SELECT DISTINCT model FROM vectors").fetchall() == [(NEW.model_id,)], f"crash at commit {number}"
            assert connection.execute("SELECT count(*) FROM instances WHERE status != 'Completed'").fetchone() == (0,)
    assert number > 10, "there were commits to crash at"
