"""Orchestrations over HTTP in the whole program: text that is posted, instances and whose they are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from azure.durable_functions import DurableOrchestrationClient, OrchestrationRuntimeStatus
from tests.integration.http_api import Api, http_api
from tests.integration.served_app import azure_bindings, served

HUB = "/runtime/webhooks/durabletask"
START = "/api/orchestrators/embeddings"


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with http_api(tmp_path) as api:
        yield api


async def key(api: Api, *scopes: str, project: str = "default-project") -> dict[str, str]:
    made = await api.client.post("/keys", json={"name": "k", "scopes": list(scopes), "project": project})
    return {"X-API-Key": made.json()["key"]}


async def ended(api: Api, url: str) -> dict[str, Any]:
    async with asyncio.timeout(30):
        while True:
            answer = await api.client.get(url)
            if answer.status_code != 202:
                body: dict[str, Any] = answer.json()
                return body
            await asyncio.sleep(0.01)


async def test_posted_text_is_a_document_that_searches_find(api: Api):
    started = await api.client.post(START, json={"projectId": "letters", "name": "note.md", "text": "# Rivers\n\nThe otter swims."})
    assert started.status_code == 202
    state = await ended(api, started.json()["statusQueryGetUri"])
    assert (state["name"], state["runtimeStatus"], state["output"]) == ("embeddings", "Completed", {"ok": True, "id": "note.md"})
    assert (state["project"], state["input"]["projectId"]) == ("letters", "letters")
    hits = (await api.client.post("/search", json={"query": "otter", "mode": "text", "project": "letters"})).json()["hits"]
    assert [each["name"] for each in hits] == ["note.md"]
    document = (await api.client.get(f"/documents/{hits[0]['document_id']}", params={"project": "letters"})).json()
    assert (document["source"], document["version"], document["correlation_id"]) == ("upload", 1, state["correlationId"])
    assert "DocumentIndexed" in [each["type"] for each in document["events"]]


async def test_the_same_name_again_is_a_new_version_and_the_same_text_changes_nothing(api: Api):
    async def post(text: str) -> Any:
        return (await api.client.post(f"{START}?timeout=30", json={"name": "a", "text": text})).json()

    assert [await post(text) for text in ("one", "two", "two")] == [{"ok": True, "id": "a"}] * 3
    (document,) = (await api.client.get("/documents")).json()["documents"]
    assert document["version"] == 2


async def test_text_that_cannot_be_indexed_fails_with_the_reason_and_leaves_no_dead_letter(api: Api):
    failed = await api.client.post(f"{START}?timeout=30", json={"name": "empty.txt", "text": ""})
    assert (failed.status_code, failed.json()["failureCode"]) == (500, "empty")
    assert "no text in it" in failed.json()["output"]
    letters = await api.parts.readers.run(lambda connection: connection.execute("SELECT name FROM dead_letters").fetchall())
    assert letters == []


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"text": "t"}, "missing required field `name`"),
        ({"name": "", "text": "t"}, "length >= 1"),
        ({"name": "n", "text": 1}, "got `int`"),
        ({"name": "n", "text": "t", "extra": 1}, "unknown field `extra`"),
        (None, "got `null`"),
    ],
)
async def test_an_input_that_is_none_is_refused_in_words(api: Api, body: Any, said: str):
    refused = await api.client.post(START, json=body)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
    assert said in refused.json()["detail"]


async def test_what_forebay_starts_itself_is_refused(api: Api):
    for name in ("ingest_document", "reindex", "nobody"):
        for path in ("/api", HUB):
            refused = await api.client.post(f"{path}/orchestrators/{name}/mine", json={"arrival": 1})
            assert (refused.status_code, refused.json()["code"]) == (400, "orchestrator_not_startable")
            assert refused.json()["ExceptionMessage"] == refused.json()["detail"]


async def test_text_for_an_id_that_is_taken_is_not_stored(api: Api):
    await api.client.post(f"{START}/mine?timeout=30", json={"name": "a", "text": "one"})
    again = await api.client.post(f"{START}/mine?timeout=30", json={"name": "b", "text": "two"})
    assert again.json() == {"ok": True, "id": "b"}
    taken = await api.client.post(f"{START}/mine", json={"name": "c", "text": "three", "projectId": "other"})
    assert (taken.status_code, taken.json()["code"]) == (409, "instance_exists")
    assert (await api.client.get("/documents", params={"project": "other"})).json()["documents"] == []


async def test_scopes_open_what_they_say(api: Api):
    reads, writes, manages = [await key(api, *scopes) for scopes in (["read"], ["write"], ["read", "manage"])]
    document = await api.upload("a.md", "water")
    internal = f"{HUB}/instances/{document['instance_id']}"
    async with api.stranger() as client:
        body = {"name": "n", "text": "t"}
        assert (await client.post(START, json=body)).status_code == 401
        assert (await client.post(START, json=body, headers=reads)).status_code == 403
        started = await client.post(START, json=body, headers=writes)
        assert started.status_code == 202
        await ended(api, started.json()["statusQueryGetUri"])
        own = f"{HUB}/instances/{started.json()['id']}"
        assert (await client.get(own)).status_code == 401
        assert (await client.get(own, headers=writes)).status_code == 403
        assert (await client.get(own, headers=reads)).status_code == 200
        assert (await client.delete(own, headers=reads)).status_code == 403
        assert (await client.get(internal, headers=reads)).status_code == 404
        assert (await client.get(internal, headers=manages)).json()["output"] == {"outcome": "indexed"}
        assert (await client.get(started.json()["statusQueryGetUri"])).status_code == 200
        shown = {scope: (await client.get(f"{HUB}/instances", headers=each)).json() for scope, each in (("r", reads), ("m", manages))}
        assert {each["name"] for each in shown["r"]} == {"embeddings"}
        assert {each["name"] for each in shown["m"]} == {"embeddings", "ingest_document"}
        everything = {"createdTimeFrom": "2020-01-01T00:00:00Z"}
        assert (await client.delete(f"{HUB}/instances", params=everything, headers=writes)).json() == {"instancesDeleted": 1}


async def test_instances_of_other_projects_are_not_there(api: Api):
    mine = await key(api, "read", "write", "manage", project="mine")
    theirs = (await api.client.post(f"{START}/theirs?timeout=30", json={"name": "n", "text": "t", "projectId": "theirs"})).json()
    assert theirs == {"ok": True, "id": "n"}
    async with api.stranger(**mine) as client:
        assert (await client.get(f"{HUB}/instances/theirs")).status_code == 404
        assert (await client.post(f"{HUB}/instances/theirs/restart")).status_code == 404
        assert (await client.get(f"{HUB}/instances")).json() == []
        assert (await client.get(f"{HUB}/instances", params={"project": "theirs"})).status_code == 403
        assert (await client.post(START, json={"name": "n", "text": "t", "projectId": "theirs"})).status_code == 403
    listed = await api.client.get(f"{HUB}/instances", params={"project": "theirs"})
    assert {each["project"] for each in listed.json()} == {"theirs"}


async def test_codes_are_redacted_in_what_is_told_of_requests(api: Api):
    started = await api.client.post(START, json={"name": "n", "text": "t"})
    url = started.json()["statusQueryGetUri"]
    code = url.rpartition("=")[2]
    async with api.stranger() as client:
        assert (await client.get(url)).status_code in (200, 202)
        refused = await client.get(f"{HUB}/instances/nobody", params={"code": code})
        assert (refused.status_code, code in refused.text) == (401, False)
        assert code not in (await client.get(f"{url}&showInput=odd")).text
    api.parts.observation.report()
    query = {"query": "requests | where url has 'instances' | project url"}
    async with asyncio.timeout(20):
        while len(rows := (await api.client.post("/query", json=query)).json()["tables"][0]["rows"]) < 3:
            await asyncio.sleep(0.05)
    assert {row[0].partition("?")[2] for row in rows} == {"code=***", "code=***&showInput=odd"}
    everything = (await api.client.post("/query", json={"query": "union *"})).text
    assert code not in everything


async def test_a_start_that_waits_is_answered_when_the_server_stops(api: Api, monkeypatch: pytest.MonkeyPatch):
    upload = api.parts.intake.upload

    async def stop_afterwards(*arguments: Any) -> Any:
        stored = await upload(*arguments)
        api.parts.state.stopping.set()
        return stored

    monkeypatch.setattr(api.parts.intake, "upload", stop_afterwards)
    assert (await api.client.post(f"{START}?timeout=200", json={"name": "n", "text": "t"})).status_code == 202


async def test_nothing_is_started_while_the_server_stops(api: Api):
    api.parts.state.stopping.set()
    stopping = await api.client.post(f"{START}?timeout=200", json={"name": "n", "text": "t"})
    assert (stopping.status_code, stopping.json()["code"]) == (503, "stopping")


async def test_azures_client_works_with_a_key_in_its_url(api: Api):
    async with served(api.asgi) as url:
        client = DurableOrchestrationClient(azure_bindings(url, key=api.admin_key))
        started = await client.start_new("embeddings", client_input={"projectId": "p", "name": "n.md", "text": "the otter"})
        answer = await client.wait_for_completion_or_create_check_status_response(None, started, 30_000, 20)
        assert answer.get_body() == b'{"ok": true, "id": "n.md"}'
        assert (await client.get_status(started)).runtime_status is OrchestrationRuntimeStatus.Completed
        assert started in {each.instance_id for each in await client.get_status_all()}
        stranger = DurableOrchestrationClient(azure_bindings(url, key="wrong"))
        with pytest.raises(Exception, match="401"):
            await stranger.get_status(started)


async def test_urls_begin_with_the_public_url(tmp_path: Path):
    async with http_api(tmp_path, public_url="https://forebay.example/in") as api:
        headers = {"Host": "forebay.example"}
        started = await api.client.post(START, json={"name": "n", "text": "t"}, headers=headers)
        assert started.headers["location"].startswith(f"https://forebay.example/in{HUB}/instances/")


async def test_basic_credentials_that_are_none_open_nothing(api: Api):
    async with api.stranger() as client:
        for wrong in ("Basic", "Basic %%%", "Basic /w==", "Basic bm9jb2xvbg=="):
            assert (await client.get(f"{HUB}/instances", headers={"Authorization": wrong})).status_code == 401
        basic = httpx.BasicAuth("anybody", api.admin_key)
        assert (await client.get(f"{HUB}/instances", auth=basic)).status_code == 200
