"""Trouble that users and their machines make: nothing is lost, stuck or told wrongly."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from test_edits import client_of, opened, texts, until

from forebay.app import Forebay
from forebay.catalog.known import newest_at
from forebay.errors import ForebayError
from forebay.pipeline.byte_budget import ByteBudget


async def eventually(look: Callable[[], Any], seconds: float = 30) -> Any:
    async with asyncio.timeout(seconds):
        while True:
            found = look()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return found
            await asyncio.sleep(0.02)


async def statuses(client: httpx.AsyncClient) -> dict[str, str]:
    return {each["name"]: each["status"] for each in (await client.get("/documents?limit=1000")).json()["documents"]}


async def in_flight(client: httpx.AsyncClient) -> int:
    found: int = (await client.get("/documents/summary")).json()["in_flight"]
    return found


@pytest.mark.parametrize(("limit", "count"), [(1, 5), (8, 50)])
async def test_more_files_than_may_be_in_work_are_all_indexed_and_all_deleted(limit: int, count: int, tmp_path: Path) -> None:
    folder = tmp_path / "folder" / "sub"
    folder.mkdir(parents=True)
    for number in range(count):
        (folder / f"{number}.txt").write_text(f"number {number}")
    async with opened(tmp_path, watch=(tmp_path / "folder",), inflight_instances=limit) as program, client_of(program) as client:
        await until(client, {f"sub/{number}.txt": "indexed" for number in range(count)})
        shutil.rmtree(folder)
        await until(client, {})


async def test_a_watched_folder_that_goes_away_with_files_in_work_is_indexed_when_it_is_back(tmp_path: Path) -> None:
    folder, away = tmp_path / "folder", tmp_path / "away"
    folder.mkdir()
    for number in range(80):
        (folder / f"{number}.txt").write_text(f"number {number}")
    settings = {"watch": (folder,), "first_retry_seconds": 0.01, "reconcile_interval_seconds": 1}
    async with opened(tmp_path, **settings) as program, client_of(program) as client:
        await eventually(lambda: _arrivals(program))
        folder.rename(away)
        await eventually(lambda: _nothing_in_flight(client))
        away.rename(folder)
        await until(client, {f"{number}.txt": "indexed" for number in range(80)})


async def _arrivals(program: Forebay) -> int:
    readers = program.core.adapters.database.readers
    return int(await readers.run(lambda connection: connection.execute("SELECT count(*) FROM arrivals").fetchone()[0]))


async def _nothing_in_flight(client: httpx.AsyncClient) -> bool:
    return not await in_flight(client)


async def test_a_watched_folder_that_is_made_anew_is_watched_on(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "old.txt").write_text("old")
    async with opened(tmp_path, watch=(folder,)) as program, client_of(program) as client:
        await until(client, {"old.txt": "indexed"})
        shutil.rmtree(folder)
        await eventually(lambda: bool(program.core.watcher._unavailable))
        assert await statuses(client) == {"old.txt": "indexed"}, "a folder that is not there says nothing about its files"
        folder.mkdir()
        await until(client, {})
        (folder / "new.txt").write_text("new")
        await until(client, {"new.txt": "indexed"})
        (folder / "newer.txt").write_text("newer")
        began = asyncio.get_running_loop().time()
        await until(client, {"new.txt": "indexed", "newer.txt": "indexed"})
        assert asyncio.get_running_loop().time() - began < 10, "by notification, not by the next comparison in 300 s"


async def test_one_name_that_is_too_long_does_not_stop_the_others(tmp_path: Path) -> None:
    async with opened(tmp_path) as program, client_of(program) as client:
        incoming = tmp_path / "data" / "containers" / "incoming"
        deep = incoming.joinpath(*["d" * 200] * 6)
        deep.mkdir(parents=True)
        (deep / "p.txt").write_text("deep")
        (incoming / "after.txt").write_text("after")

        async def both() -> bool:
            return sorted((await statuses(client)).values()) == ["indexed", "skipped"]

        await eventually(both)
        (skipped,) = (await client.get("/documents?status=skipped")).json()["documents"]
        assert skipped["reason"] == "name_too_long"


async def test_a_file_that_vanished_is_taken_up_when_it_is_put_back(tmp_path: Path) -> None:
    async with opened(tmp_path, first_retry_seconds=0.01, reconcile_interval_seconds=1) as program, client_of(program) as client:
        file = tmp_path / "data" / "containers" / "incoming" / "shy.txt"
        embedder = program.core.adapters.embedder
        sources = program.core.pipeline.sources
        read, gone = sources.read, tmp_path / "shy.txt"

        async def read_too_late(arrival: Any, *, limit_bytes: int) -> bytes:
            if not gone.exists() and file.exists():
                file.rename(gone)
            return await read(arrival, limit_bytes=limit_bytes)

        sources.read = read_too_late  # type: ignore[method-assign]
        file.write_text("here and there")
        await until(client, {"shy.txt": "failed"})
        sources.read = read  # type: ignore[method-assign]
        gone.rename(file)
        await until(client, {"shy.txt": "indexed"})
        assert embedder.model_id


async def test_a_file_that_is_being_written_into_incoming_is_read_when_it_is_closed(tmp_path: Path) -> None:
    async with opened(tmp_path) as program, client_of(program) as client:
        incoming = tmp_path / "data" / "containers" / "incoming"
        with (incoming / "slow.txt").open("w") as file:
            file.write("the first half ")
            file.flush()
            for number in range(3):  # each takes longer to be noticed than a file takes to settle
                (incoming / f"quick-{number}.txt").write_text("quick")
                await eventually(lambda number=number: _is_indexed(client, f"quick-{number}.txt"))
            assert "slow.txt" not in await statuses(client)
            file.write("and the second half")
        await eventually(lambda: _is_indexed(client, "slow.txt"))
        (document,) = (await client.get("/documents?name_prefix=slow")).json()["documents"]
        assert await texts(client, document) == "the first half and the second half"


async def _is_indexed(client: httpx.AsyncClient, name: str) -> bool:
    return (await statuses(client)).get(name) == "indexed"


async def test_a_document_deleted_while_it_is_in_work_leaves_no_blob(tmp_path: Path) -> None:
    async with opened(tmp_path) as program, client_of(program) as client:
        for number in range(6):
            accepted = (await client.post("/documents", params={"name": f"{number}.txt"}, content=b"word " * 20_000)).json()
            assert (await client.delete(f"/documents/{accepted['id']}")).status_code == 202
        await until(client, {})

        async def no_blobs() -> bool:
            lists = [(await client.get(f"/containers/{name}/blobs")).json()["blobs"] for name in ("incoming", "processed", "failed")]
            return not any(lists)

        await eventually(no_blobs)
        assert program.core.engine.live_count == 0


async def test_a_put_that_comes_during_a_comparison_wins_over_what_was_seen_before(tmp_path: Path) -> None:
    """The reconciler lists the old file; the put replaces it and is acknowledged; then the reconciler records."""
    async with opened(tmp_path) as program, client_of(program) as client:
        incoming = tmp_path / "data" / "containers" / "incoming"
        intake = program.core.intake
        record = intake.record
        is_first = True

        async def record_late(arrivals: Any) -> Any:
            nonlocal is_first
            if is_first and arrivals and arrivals[0].actor != "admin":
                is_first = False
                answer = await client.put("/containers/incoming/blobs/a.txt", content=b"the new text")
                assert answer.status_code == 201
            return await record(arrivals)

        intake.record = record_late  # type: ignore[method-assign]
        (incoming / "a.txt").write_text("the old text")
        document = (await until(client, {"a.txt": "indexed"}))["a.txt"]
        assert not is_first
        assert await texts(client, document) == "the new text"


async def test_another_default_project_takes_over_a_watched_folder(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.txt").write_text("alpha")
    (folder / "b.txt").write_text("beta")
    async with opened(tmp_path, watch=(folder,)) as program, client_of(program) as client:
        await until(client, {"a.txt": "indexed", "b.txt": "indexed"})
    (folder / "a.txt").unlink()
    async with opened(tmp_path, watch=(folder,), default_project="two") as program, client_of(program) as client:
        await until(client, {"b.txt": "indexed"})

        async def old_is_empty() -> bool:
            return not (await client.get("/documents", params={"project": "default-project"})).json()["documents"]

        await eventually(old_is_empty)


async def test_repairing_while_a_folder_is_away_takes_nothing_from_the_index(tmp_path: Path) -> None:
    folder, away = tmp_path / "folder", tmp_path / "away"
    folder.mkdir()
    (folder / "a.txt").write_text("alpha beta")
    async with opened(tmp_path, watch=(folder,)) as program, client_of(program) as client:
        await until(client, {"a.txt": "indexed"})
        folder.rename(away)
        repaired = await program.core.index(repair=True)
        assert [each["code"] for each in repaired["problems"]] == ["blob_unreadable"]
        hits = (await client.post("/search", json={"query": "alpha", "mode": "vector"})).json()["hits"]
        assert [hit["text"] for hit in hits] == ["alpha beta"]
        away.rename(folder)
        await until(client, {"a.txt": "indexed"})


async def test_a_damaged_index_is_found_and_repaired(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.txt").write_text("alpha beta")
    (folder / "b.txt").write_text("gamma delta")
    async with opened(tmp_path, watch=(folder,)) as program, client_of(program) as client:
        await until(client, {"a.txt": "indexed", "b.txt": "indexed"})
        writer = program.core.adapters.database.writer

        def damage(tx: Any) -> None:
            tx.execute("DELETE FROM vectors WHERE text_id = (SELECT id FROM texts WHERE text LIKE 'alpha%')")
            tx.execute("INSERT INTO chunk_search (chunk_search) VALUES ('delete-all')")

        await writer.submit(damage)
        found = await program.core.index()
        assert {each["code"] for each in found["problems"]} == {"vector_missing", "full_text_differs"}
        assert (await program.core.index(repair=True))["ok"]
        for word in ("alpha", "gamma"):
            assert (await client.post("/search", json={"query": word, "mode": "text"})).json()["hits"]


def test_a_container_that_handled_files_move_to_cannot_be_the_intake(tmp_path: Path) -> None:
    from forebay.settings import load_settings

    with pytest.raises(ForebayError, match="handled files"):
        load_settings({"FOREBAY_INGESTION_CONTAINER": "processed"}, env_file=None)


async def test_what_is_known_of_names_is_looked_up_by_index(tmp_path: Path) -> None:
    async with opened(tmp_path) as program:
        seen: list[str] = []

        def explain(connection: Any) -> None:
            connection.set_trace_callback(seen.append)
            newest_at(connection, "incoming", project="p", passing=(), only=frozenset(["a"]))
            connection.set_trace_callback(None)
            for sql in seen:
                plan = " ".join(str(row) for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}"))
                assert "arrivals_place (place=? AND blob_name" in plan, plan

        await program.core.adapters.database.readers.run(explain)
        assert len(seen) == 2


async def test_a_budget_of_bytes_makes_the_next_one_wait() -> None:
    budget = ByteBudget(10)
    order: list[str] = []

    async def take(name: str, size: int, release: asyncio.Event) -> None:
        async with budget.taken(size):
            order.append(name)
            await release.wait()

    first, second = asyncio.Event(), asyncio.Event()
    tasks = [asyncio.create_task(take("first", 99, first)), asyncio.create_task(take("second", 1, second))]
    await eventually(lambda: order == ["first"])
    for _ in range(5):
        await asyncio.sleep(0)
    assert order == ["first"]
    first.set()
    second.set()
    await asyncio.gather(*tasks)
    assert order == ["first", "second"]


def test_a_pipe_given_to_put_is_skipped(tmp_path: Path) -> None:
    from program import forebay

    os.mkfifo(tmp_path / "pipe.txt")
    assert "not_a_file" in forebay("put", str(tmp_path / "pipe.txt"), data_dir=tmp_path / "data")


async def test_files_written_just_before_the_start_belong_to_what_is_waited_for(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    async with opened(tmp_path, watch=(folder,), settle_milliseconds=1000) as program, client_of(program) as client:
        (folder / "fresh.txt").write_text("fresh")
        await program.until_idle()
        del client
    for number in range(20):
        (folder / f"{number}.txt").write_text("written a moment ago")
    async with opened(tmp_path, watch=(folder,), settle_milliseconds=1000) as program, client_of(program) as client:
        await program.until_idle()
        assert len(await statuses(client)) == 21
