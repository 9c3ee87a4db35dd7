"""The index follows the settings: another embedder, another chunk size; searches go on meanwhile."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.integration.embedding_server import EmbeddingServer, Reply, Request, embedding_server, refusal
from tests.integration.http_api import Api, http_api

from forebay.search.vectors import VectorIndex

TEXTS = {"pool.md": "The forebay is the pool in front of a turbine.", "gate.md": "A gate lets water through.", "log.md": "An entry."}


def remote(server: EmbeddingServer, **overrides: object) -> dict[str, object]:
    """Settings of another model than the mock's, on a server."""
    return {
        "embedder": "openai-compatible",
        "embedding_url": server.url,
        "embedding_model": "another-model",
        "embedding_dimensions": 64,
        "first_retry_seconds": 0.001,
        **overrides,
    }


async def fill(api: Api) -> None:
    for name, text in TEXTS.items():
        assert (await api.upload(name, text))["status"] == "indexed"


async def state(api: Api) -> dict[str, Any]:
    answer = await api.client.get("/reindex")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def reindex(api: Api) -> dict[str, Any]:
    """Start one, and wait for its end."""
    answer = await api.client.post("/reindex")
    assert answer.status_code == 202, answer.text
    return await until(lambda: state(api), lambda found: found["status"] != "running")


async def until(look: Callable[[], Awaitable[Any]], is_wanted: Callable[[Any], bool]) -> Any:
    async with asyncio.timeout(30):
        while not is_wanted(found := await look()):
            await asyncio.sleep(0.01)
    return found


async def found(api: Api, query: str, mode: str = "vector", k: int = 10) -> list[str]:
    answer = await api.client.post("/search", json={"query": query, "mode": mode, "k": k})
    assert answer.status_code == 200, answer.text
    return [hit["name"] for hit in answer.json()["hits"]]


def embedded(server: EmbeddingServer) -> list[str]:
    """The texts that were sent, without those of health probes."""
    return [text for request in server.requests for text in request.texts if text != "How are you?"]


def models_of_vectors(data_dir: Path) -> dict[str, int]:
    with closing(sqlite3.connect(data_dir / "catalog.db")) as connection:
        return dict(connection.execute("SELECT model, count(*) FROM vectors GROUP BY model").fetchall())


async def test_searches_go_by_the_old_model_until_a_reindex_is_complete(tmp_path: Path) -> None:
    async with embedding_server() as server:
        async with http_api(tmp_path) as api:
            await fill(api)
            assert (await state(api))["status"] == "current"
        async with http_api(tmp_path, **remote(server)) as api:
            before = await state(api)
            assert (before["status"], before["searched_model"], before["missing_texts"]) == ("outdated", "mock-64", 3)
            health = (await api.client.get("/health")).json()
            assert health["status"] == "degraded"
            assert "forebay reindex" in health["message"]
            assert sorted(await found(api, "pool")) == sorted(TEXTS)
            assert (await api.upload("new.md", "This came before the reindex."))["status"] == "indexed"
            assert embedded(server) == [], "nothing costs anything before it is asked for"

            after = await reindex(api)
            assert (after["status"], after["missing_texts"], after["message"]) == ("current", 0, None)
            assert after["searched_model"] == after["configured_model"] != "mock-64"
            assert len(embedded(server)) == len(TEXTS) + 1, "each text is embedded once"
            assert sorted(await found(api, "pool")) == sorted([*TEXTS, "new.md"])
            assert (await api.client.get("/check/index")).json()["ok"]
            assert await reindex(api) == after, "there is nothing to do a second time"
        assert list(models_of_vectors(tmp_path).values()) == [len(TEXTS) + 1], "vectors that nothing uses are gone"


async def test_what_arrives_during_a_reindex_is_found_before_and_after_its_end(tmp_path: Path) -> None:
    async with embedding_server() as server:
        async with http_api(tmp_path) as api:
            await fill(api)
        gate = asyncio.Event()

        async def wait_for_the_gate(request: Request) -> Reply:
            await gate.wait()
            return await server.well(request)

        server.moods = [wait_for_the_gate]
        async with http_api(tmp_path, **remote(server)) as api:
            assert (await api.client.post("/reindex")).json()["status"] == "running"
            await until(lambda: state(api), lambda _: bool(server.requests))
            assert (await api.upload("meanwhile.md", "Sluices meanwhile."))["status"] == "indexed"
            assert "meanwhile.md" in await found(api, "sluices meanwhile")
            assert (await state(api))["searched_model"] == "mock-64"
            gate.set()
            await until(lambda: state(api), lambda found: found["status"] == "current")
            assert "meanwhile.md" in await found(api, "sluices meanwhile")
            assert (await api.client.get("/check/index")).json()["ok"]


async def test_a_reindex_that_failed_says_why_and_begins_again_where_it_was(tmp_path: Path) -> None:
    async with embedding_server() as server:
        async with http_api(tmp_path) as api:
            await fill(api)
        server.lasting_mood = refusal(401, "no such key")
        async with http_api(tmp_path, **remote(server)) as api:
            failed = await reindex(api)
            assert failed["status"] == "failed"
            assert "answered 401" in failed["message"]
            assert sorted(await found(api, "pool")) == sorted(TEXTS), "the old model goes on answering"
            server.lasting_mood = None
            assert (await reindex(api))["status"] == "current"


async def test_a_reindex_goes_on_after_a_restart(tmp_path: Path) -> None:
    async with embedding_server() as server:
        async with http_api(tmp_path) as api:
            await fill(api)

        async def never(request: Request) -> Reply:
            await asyncio.Event().wait()
            raise AssertionError

        server.lasting_mood = never
        async with http_api(tmp_path, **remote(server)) as api:
            await api.client.post("/reindex")
            await until(lambda: state(api), lambda _: bool(server.requests))
        server.lasting_mood = None
        async with http_api(tmp_path, **remote(server)) as api:
            await until(lambda: state(api), lambda found: found["status"] == "current")
            assert sorted(await found(api, "pool")) == sorted(TEXTS)


async def test_a_reindex_that_was_terminated_counts_as_failed_and_begins_again(tmp_path: Path) -> None:
    async with embedding_server() as server:
        async with http_api(tmp_path) as api:
            await fill(api)

        async def never(request: Request) -> Reply:
            await asyncio.Event().wait()
            raise AssertionError

        server.lasting_mood = never
        async with http_api(tmp_path, **remote(server)) as api:
            begun = (await api.client.post("/reindex")).json()
            await until(lambda: state(api), lambda _: bool(server.requests))
            await api.parts.client.terminate(begun["instance_id"], "not now")
            assert (await state(api))["status"] == "failed"
            server.lasting_mood = None
            assert (await reindex(api))["status"] == "current"


async def test_settings_that_go_back_leave_everything_as_it_was(tmp_path: Path) -> None:
    async with embedding_server() as server:
        async with http_api(tmp_path) as api:
            await fill(api)
        server.lasting_mood = refusal(500)
        async with http_api(tmp_path, **remote(server, activity_attempts=1)) as api:
            assert (await reindex(api))["status"] == "failed"
        async with http_api(tmp_path) as api:
            assert (await state(api))["status"] == "current"
            assert sorted(await found(api, "pool")) == sorted(TEXTS)


async def test_a_model_is_asked_where_it_was_last(tmp_path: Path) -> None:
    async with embedding_server() as before, embedding_server() as now:
        async with http_api(tmp_path, **remote(before)) as api:
            await fill(api)
        async with http_api(tmp_path, **remote(now)) as api:
            assert (await state(api))["status"] == "current"
        before.lasting_mood = refusal(500)
        async with http_api(tmp_path) as api:
            assert (await state(api))["status"] == "outdated"
            assert sorted(await found(api, "pool")) == sorted(TEXTS)


async def test_a_search_from_before_a_change_of_models_does_not_load_the_new_one_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with http_api(tmp_path) as api:
        await fill(api)
        await found(api, "pool")
        opened: list[str] = []
        has_begun, may_go_on = asyncio.Event(), asyncio.Event()
        embed = api.parts.embedder.embed

        async def embed_late(texts: Sequence[str]) -> Any:
            vectors = await embed(texts)
            if list(texts) == ["late"]:
                has_begun.set()
                await may_go_on.wait()
            return vectors

        def open_index(model: str, dimensions: int) -> VectorIndex:
            opened.append(model)
            return VectorIndex(model, dimensions)

        monkeypatch.setattr(api.parts.search, "_open_index", open_index)
        monkeypatch.setattr(api.parts.embedder, "embed", embed_late)
        late = asyncio.create_task(found(api, "late"))
        await has_begun.wait()
        with closing(sqlite3.connect(tmp_path / "catalog.db")) as connection, connection:
            connection.execute("UPDATE models SET made_by = '{}' WHERE role = 'searched'")
        await found(api, "pool")
        may_go_on.set()
        assert len(await late) == len(TEXTS)
        assert opened == ["mock-64"]


async def test_an_old_model_that_cannot_be_made_any_more_gives_way_at_once(tmp_path: Path) -> None:
    async with embedding_server() as server:
        async with http_api(tmp_path, **remote(server)) as api:
            await fill(api)
        async with http_api(tmp_path, disable_openai=True) as api:
            assert (await state(api))["searched_model"] == "mock-64"
            assert await found(api, "pool") == [], "vectors of a model that cannot embed a question are of no use"
            assert await found(api, "pool", mode="hybrid") == ["pool.md"]
            assert "3 texts" in (await state(api))["message"]
            assert (await reindex(api))["status"] == "current"
            assert sorted(await found(api, "pool")) == sorted(TEXTS)


async def test_a_model_that_is_not_used_yet_can_be_changed_freely(tmp_path: Path) -> None:
    async with embedding_server() as server:
        async with http_api(tmp_path):
            pass
        async with http_api(tmp_path, **remote(server)) as api:
            assert (await state(api))["status"] == "current"
            await fill(api)
            assert len(await found(api, "pool")) == len(TEXTS)


async def test_documents_cut_under_other_settings_are_cut_again(tmp_path: Path) -> None:
    long_text = "Water runs. " * 100
    async with http_api(tmp_path) as api:
        before = await api.upload("long.txt", long_text)
        await api.upload("note.txt", "short")
    async with http_api(tmp_path, chunk_size=100) as api:
        assert ((await state(api))["status"], (await state(api))["outdated_documents"]) == ("outdated", 2)
        assert (await reindex(api))["status"] == "current"
        after = (await api.client.get(f"/documents/{before['id']}")).json()
        assert (after["status"], after["version"]) == ("indexed", 2)
        assert after["chunk_count"] > before["chunk_count"]
        assert (await api.client.get("/check/index")).json()["ok"]
        assert (await api.client.get("/check/history")).json()["ok"]


async def test_a_reindex_waits_for_documents_even_with_room_for_one_only(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        await fill(api)
    async with http_api(tmp_path, chunk_size=100, inflight_instances=1) as api:
        assert (await reindex(api))["status"] == "current"


@pytest.mark.parametrize("mode", ["hybrid", "vector"])
async def test_a_search_whose_query_cannot_be_embedded_goes_by_words_and_says_so(mode: str, tmp_path: Path) -> None:
    async with embedding_server() as server, http_api(tmp_path, **remote(server)) as api:
        await fill(api)
        server.lasting_mood = refusal(401, "no such key")
        answer = await api.client.post("/search", json={"query": "pool", "mode": mode})
        if mode == "vector":
            assert (answer.status_code >= 500, answer.json()["code"]) == (True, "embedding_failed")
        else:
            assert [hit["name"] for hit in answer.json()["hits"]] == ["pool.md"]
            assert "could not be embedded" in answer.json()["warning"]


async def test_documents_are_indexed_beside_a_model_that_cannot_embed(tmp_path: Path) -> None:
    async with embedding_server() as server:
        async with http_api(tmp_path) as api:
            await fill(api)
        server.lasting_mood = refusal(401, "no such key")
        async with http_api(tmp_path, **remote(server)) as api:
            assert (await reindex(api))["status"] == "failed"
            assert (await api.upload("new.md", "A new sluice."))["status"] == "indexed"
            assert "new.md" in await found(api, "sluice")
            server.lasting_mood = None
            assert (await reindex(api))["status"] == "current"
            assert sorted(await found(api, "sluice")) == sorted([*TEXTS, "new.md"])
            assert (await api.client.get("/check/index")).json()["ok"]
