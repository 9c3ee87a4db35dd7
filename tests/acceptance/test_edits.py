"""Edits, renames, deletions and uploads on the running program: the index is always that of the newest arrival."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from forebay.app import Forebay, open_forebay
from forebay.pipeline.embedders.mock import MockEmbedder
from forebay.settings import load_settings

PARAGRAPHS = [
    f"Paragraph {number}. " + f"The {word} of the pool turns the wheel of the mill once more. " * 12
    for number, word in enumerate("abcdefgh")
]


@asynccontextmanager
async def opened(directory: Path, **settings: object) -> AsyncIterator[Forebay]:
    async with open_forebay(load_settings({}, {"data_dir": directory / "data", "embedder": "mock", **settings}, env_file=None)) as program:
        yield program


def client_of(program: Forebay) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=program.asgi)
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000", headers={"X-API-Key": program.admin_key})


def embedded_texts(program: Forebay) -> int:
    embedder = program.core.adapters.embedder
    assert isinstance(embedder, MockEmbedder)
    return embedder.text_count


async def until(client: httpx.AsyncClient, expected: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Wait until the documents that are not deleted are `expected` (name to status) and nothing is in flight."""
    async with asyncio.timeout(30):
        while True:
            documents = {each["name"]: each for each in (await client.get("/documents?limit=1000")).json()["documents"]}
            summary = (await client.get("/documents/summary")).json()
            if {name: each["status"] for name, each in documents.items()} == expected and not summary["in_flight"]:
                return documents
            await asyncio.sleep(0.02)


async def texts(client: httpx.AsyncClient, document: dict[str, Any]) -> str:
    chunks = (await client.get(f"/documents/{document['id']}/chunks")).json()["chunks"]
    return "\n".join(chunk["text"] for chunk in chunks)


async def event_types(client: httpx.AsyncClient, document_id: str) -> list[str]:
    return [event["type"] for event in (await client.get(f"/documents/{document_id}")).json()["events"]]


async def test_an_edit_embeds_only_the_chunks_whose_text_changed(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    file = folder / "mill.md"
    file.write_text("\n\n".join(f"# {number}\n\n{text}" for number, text in enumerate(PARAGRAPHS)))
    async with opened(tmp_path, watch=(folder,)) as program, client_of(program) as client:
        (document,) = (await until(client, {"mill.md": "indexed"})).values()
        before = embedded_texts(program)
        assert before == document["chunk_count"]
        file.write_text(file.read_text().replace("Paragraph 3.", "Paragraph three."))
        async with asyncio.timeout(30):
            while (await client.get(f"/documents/{document['id']}")).json()["version"] != 2:
                await asyncio.sleep(0.02)
        assert embedded_texts(program) == before + 1
        assert "Paragraph three." in await texts(client, document)


async def test_a_rename_embeds_nothing_and_a_deletion_leaves_the_index(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "old.txt").write_text("\n\n".join(PARAGRAPHS))
    (folder / "gone.txt").write_text("Soon gone. The zeppelin leaves.")
    async with opened(tmp_path, watch=(folder,)) as program, client_of(program) as client:
        documents = await until(client, {"old.txt": "indexed", "gone.txt": "indexed"})
        before = embedded_texts(program)
        (folder / "old.txt").rename(folder / "sub" / "new.txt")
        (folder / "gone.txt").unlink()
        renamed = await until(client, {"sub/new.txt": "indexed"})
        assert embedded_texts(program) == before
        assert await texts(client, renamed["sub/new.txt"]) != ""
        hits = (await client.post("/search", json={"query": "zeppelin", "mode": "text"})).json()["hits"]
        assert hits == []
        assert (await event_types(client, documents["gone.txt"]["id"]))[-1] == "DocumentDeleted"
        deleted = (await client.get("/documents?status=deleted")).json()["documents"]
        assert {each["name"] for each in deleted} == {"old.txt", "gone.txt"}


async def test_saving_by_rename_is_one_new_version_and_no_deletion(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    file = folder / "notes.txt"
    file.write_text("first words")
    async with opened(tmp_path, watch=(folder,)) as program, client_of(program) as client:
        (document,) = (await until(client, {"notes.txt": "indexed"})).values()
        temporary = folder / "notes.txt.new"
        temporary.write_text("second words")
        file.unlink()
        temporary.rename(file)
        async with asyncio.timeout(30):
            while await texts(client, document) != "second words":
                await asyncio.sleep(0.02)
        types = await event_types(client, document["id"])
        assert "DocumentDeleted" not in types
        assert types.count("DocumentIndexed") == 2


async def test_a_b_a_indexes_the_second_a_and_embeds_it_once(tmp_path: Path) -> None:
    async with opened(tmp_path) as program, client_of(program) as client:
        for text in ("alpha alpha", "beta beta", "alpha alpha"):
            accepted = (await client.post("/documents", params={"name": "aba.txt"}, content=text.encode())).json()
            document = (await client.get(f"/documents/{accepted['id']}?wait_seconds=20")).json()
            assert document["status"] == "indexed"
            assert await texts(client, document) == text
        assert document["version"] == 3
        assert embedded_texts(program) == 2


async def test_the_same_bytes_again_change_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path) as program, client_of(program) as client:
        for _ in range(2):
            accepted = (await client.post("/documents", params={"name": "same.txt"}, content=b"the same")).json()
            document = (await client.get(f"/documents/{accepted['id']}?wait_seconds=20")).json()
        assert (document["status"], document["version"]) == ("indexed", 1)
        assert (await event_types(client, document["id"]))[-2:] == ["DocumentUnchanged", "DocumentMoved"]
        assert embedded_texts(program) == 1


async def test_the_same_name_uploaded_twenty_times_at_once_ends_with_the_newest_arrival(tmp_path: Path) -> None:
    async with opened(tmp_path) as program, client_of(program) as client:

        async def upload(number: int) -> dict[str, Any]:
            answer = await client.post("/documents", params={"name": "busy.txt"}, content=f"content of upload {number}".encode())
            assert answer.status_code == 202
            accepted: dict[str, Any] = answer.json() | {"text": f"content of upload {number}"}
            return accepted

        accepted = await asyncio.gather(*(upload(number) for number in range(20)))
        assert len({each["id"] for each in accepted}) == 1
        assert len({each["blob"]["name"] for each in accepted}) == 20
        document = (await until(client, {"busy.txt": "indexed"}))["busy.txt"]
        newest = max(accepted, key=lambda each: int(each["instance_id"].rsplit("-", 1)[1]))
        assert await texts(client, document) == newest["text"]
        summary = (await client.get("/documents/summary")).json()
        assert sum(summary["outcomes"].values()) == summary["arrivals"] == 20
        outcomes = set()
        for each in accepted:
            status = await program.core.engine.client.wait_for_completion(each["instance_id"], 20)
            assert status.runtime_status == "Completed"
            outcomes.add(status.output["outcome"])
        assert outcomes <= {"indexed", "superseded"}
        found = (await client.post("/search", json={"query": "content of upload", "k": 50})).json()["hits"]
        assert [hit["text"] for hit in found] == [newest["text"]]


async def test_a_file_dropped_into_incoming_is_indexed_and_moved(tmp_path: Path) -> None:
    async with opened(tmp_path) as program, client_of(program) as client:
        incoming = tmp_path / "data" / "containers" / "incoming"
        (incoming / "contracts").mkdir()
        (incoming / "contracts" / "lease.md").write_text("# Lease\n\nThe pool is leased.")
        document = (await until(client, {"contracts/lease.md": "indexed"}))["contracts/lease.md"]
        assert document["source"] == "incoming"
        async with asyncio.timeout(20):  # the move follows the commit that makes it searchable
            while document["blob"]["container"] != "processed":
                document = (await client.get(f"/documents/{document['id']}?wait_seconds=5")).json()
                await asyncio.sleep(0.02)
        assert document["blob"]["name"].endswith("_contracts/lease.md")
        assert [path for path in incoming.rglob("*") if path.is_file()] == []
        blob = await client.get(f"/containers/processed/blobs/{document['blob']['name']}")
        assert blob.text == "# Lease\n\nThe pool is leased."


async def test_a_deleted_document_leaves_the_index_and_its_blob_goes(tmp_path: Path) -> None:
    async with opened(tmp_path) as program, client_of(program) as client:
        accepted = (await client.post("/documents", params={"name": "bye.txt"}, content=b"farewell zeppelin")).json()
        document = (await client.get(f"/documents/{accepted['id']}?wait_seconds=20")).json()
        assert (await client.delete(f"/documents/{document['id']}")).status_code == 202
        await until(client, {})
        assert (await client.post("/search", json={"query": "zeppelin"})).json()["hits"] == []
        async with asyncio.timeout(20):
            while (await client.get("/containers/processed/blobs")).json()["blobs"]:
                await asyncio.sleep(0.02)


async def test_a_watched_file_deleted_by_its_user_stays_out_until_it_is_edited(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    file = folder / "kept.txt"
    file.write_text("still here on disk")
    async with opened(tmp_path, watch=(folder,)) as program, client_of(program) as client:
        (document,) = (await until(client, {"kept.txt": "indexed"})).values()
        await client.delete(f"/documents/{document['id']}")
        await until(client, {})
    assert file.read_text() == "still here on disk"
    async with opened(tmp_path, watch=(folder,)) as program, client_of(program) as client:
        async with asyncio.timeout(20):
            while not program.core.watcher.is_reconciled:
                await asyncio.sleep(0.02)
        await until(client, {})
        file.write_text("edited, so wanted")
        await until(client, {"kept.txt": "indexed"})


@pytest.mark.parametrize("moment", ["create", "edit", "delete", "rename"])
async def test_what_happens_while_the_program_is_down_is_noticed_at_the_next_start(moment: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.txt").write_text("alpha")
    async with opened(tmp_path, watch=(folder,)) as program, client_of(program) as client:
        await until(client, {"a.txt": "indexed"})
    if moment == "create":
        (folder / "b.txt").write_text("beta")
    elif moment == "edit":
        (folder / "a.txt").write_text("alpha, edited")
    elif moment == "delete":
        (folder / "a.txt").unlink()
    else:
        (folder / "a.txt").rename(folder / "c.txt")
    expected = {
        "create": {"a.txt": "alpha", "b.txt": "beta"},
        "edit": {"a.txt": "alpha, edited"},
        "delete": {},
        "rename": {"c.txt": "alpha"},
    }[moment]
    async with opened(tmp_path, watch=(folder,)) as program, client_of(program) as client:
        async with asyncio.timeout(30):
            while True:
                documents = {each["name"]: each for each in (await client.get("/documents")).json()["documents"]}
                if {name: await texts(client, each) for name, each in documents.items()} == expected:
                    break
                await asyncio.sleep(0.02)
