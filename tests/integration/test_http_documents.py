"""Documents over HTTP, on the real pipeline."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from tests.integration.http_api import http_api

NOTES = "# Reservoirs\n\nThe forebay holds water for the turbine.\n\n# Gates\n\nA sluice gate closes within a minute.\n"


async def test_an_uploaded_document_can_be_followed_until_it_is_found(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        accepted = await api.client.post("/documents", params={"name": "notes/dam.md"}, content=NOTES)
        assert accepted.status_code == 202
        body = accepted.json()
        assert set(body) == {"id", "instance_id", "blob", "correlation_id"}
        assert body["blob"]["container"] == "incoming"
        assert body["blob"]["name"].endswith("_notes/dam.md")
        assert body["correlation_id"] == accepted.headers["X-Correlation-ID"]

        document = (await api.client.get(f"/documents/{body['id']}", params={"wait_seconds": 30})).json()
        assert (document["status"], document["name"], document["version"], document["source"]) == ("indexed", "notes/dam.md", 1, "upload")
        assert document["instance_id"] == body["instance_id"]
        assert (await api.settled(body["id"]))["blob"]["container"] == "processed"
        assert document["fields"][0] == {"name": "title", "value": "Reservoirs", "characters": [0, 12], "confidence": 0.9}
        assert document["events"][0]["type"] == "DocumentUploaded"
        assert "DocumentIndexed" in {event["type"] for event in document["events"]}
        assert {event["correlation_id"] for event in document["events"]} == {body["correlation_id"]}
        assert document["events"][0]["actor"] == "admin"
        assert document["created_at"].endswith("Z")

        chunks = (await api.client.get(f"/documents/{body['id']}/chunks")).json()
        assert chunks["next_cursor"] is None
        for chunk in chunks["chunks"]:
            start, end = chunk["characters"]
            assert chunk["text"] == NOTES[start:end]

        found = await api.client.post("/search", json={"query": "sluice gate", "k": 1})
        assert found.status_code == 200
        (hit,) = found.json()["hits"]
        assert (hit["document_id"], hit["version"]) == (body["id"], 1)
        assert hit["chunk_id"] in {chunk["id"] for chunk in chunks["chunks"]}
        assert set(hit["ranks"]) == {"text", "vector"}


async def test_the_list_has_the_same_objects_and_pages(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        documents = [await api.upload(f"{name}.md", f"text of {name}") for name in "cab"]
        first = (await api.client.get("/documents", params={"limit": 2})).json()
        assert [each["name"] for each in first["documents"]] == ["a.md", "b.md"]
        second = (await api.client.get("/documents", params={"limit": 2, "cursor": first["next_cursor"]})).json()
        assert [each["name"] for each in second["documents"]] == ["c.md"]
        assert second["next_cursor"] is None
        alone = {key: value for key, value in documents[0].items() if key not in ("fields", "events")}
        assert second["documents"] == [alone]


async def test_the_list_is_filtered_by_status_and_name(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        await api.upload("a/one.md", "one")
        await api.upload("b/two.md", "two")
        skipped = await api.upload("a/three.bin", b"\0\1\2")
        assert (skipped["status"], skipped["reason"], skipped["version"]) == ("skipped", "unsupported_type", None)

        async def names(**parameters: str) -> list[str]:
            listed = await api.client.get("/documents", params=parameters)
            return [each["name"] for each in listed.json()["documents"]]

        assert await names(status="skipped") == ["a/three.bin"]
        assert await names(name_prefix="a/") == ["a/one.md", "a/three.bin"]
        assert await names(name_prefix="a/", status="indexed") == ["a/one.md"]


async def test_a_document_of_another_project_is_not_found(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        document = await api.upload("secret.md", "the plan", project="blue")
        path = f"/documents/{document['id']}"
        assert document["project"] == "blue"
        for method, address in (("GET", path), ("GET", f"{path}/chunks"), ("DELETE", path)):
            answer = await api.client.request(method, address, params={"project": "green"})
            assert (answer.status_code, answer.json()["code"]) == (404, "document_not_found")
            assert (await api.client.request(method, address)).status_code == 404
        assert (await api.client.get("/documents", params={"project": "green"})).json()["documents"] == []
        assert (await api.client.get("/documents/summary", params={"project": "green"})).json()["arrivals"] == 0
        assert (await api.client.post("/search", json={"query": "plan", "project": "green"})).json()["hits"] == []
        assert len((await api.client.post("/search", json={"query": "plan", "project": "blue"})).json()["hits"]) == 1
        assert len((await api.client.post("/search?project=blue", json={"query": "plan"})).json()["hits"]) == 1
        assert (await api.client.get(path, params={"project": "blue"})).json()["status"] == "indexed"


async def test_a_deleted_document_leaves_search_and_list(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        document = await api.upload("gone.md", "soon forgotten")
        deletion = await api.client.delete(f"/documents/{document['id']}")
        assert deletion.status_code == 202
        assert deletion.json()["id"] == document["id"]
        after = (await api.client.get(f"/documents/{document['id']}", params={"wait_seconds": 30})).json()
        assert (after["status"], after["version"]) == ("deleted", None)
        assert (await api.client.post("/search", json={"query": "forgotten"})).json()["hits"] == []
        assert (await api.client.get("/documents")).json()["documents"] == []
        assert len((await api.client.get("/documents", params={"status": "deleted"})).json()["documents"]) == 1
        assert (await api.client.get(f"/documents/{document['id']}/chunks")).json() == {"chunks": [], "next_cursor": None}
        again = await api.client.delete(f"/documents/{document['id']}")
        assert (again.status_code, again.json()["instance_id"]) == (202, after["instance_id"])


async def test_chunks_come_in_pages(tmp_path: Path) -> None:
    async with http_api(tmp_path, chunk_size=50) as api:
        document = await api.upload("long.md", "\n\n".join(f"Paragraph {number} says something." for number in range(7)))
        ordinals: list[int] = []
        cursor = None
        while True:
            page = (
                await api.client.get(f"/documents/{document['id']}/chunks", params={"limit": 3} | ({"cursor": cursor} if cursor else {}))
            ).json()
            ordinals += [chunk["ordinal"] for chunk in page["chunks"]]
            assert len(page["chunks"]) <= 3
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert ordinals == list(range(document["chunk_count"]))
        assert len(ordinals) > 3


async def test_the_summary_accounts_for_every_arrival(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        await api.upload("a.md", "some text")
        await api.upload("a.md", "some text")
        await api.upload("b.bin", b"\0")
        summary = (await api.client.get("/documents/summary")).json()
        assert set(summary) == {
            "arrivals", "in_flight", "outcomes", "skipped_reasons", "failed_reasons", "documents",
            "chunks", "excluded", "stages", "costs", "reconciled",
        }  # fmt: skip
        assert summary["arrivals"] == 3 == summary["in_flight"] + sum(summary["outcomes"].values())
        assert summary["outcomes"] == {"indexed": 1, "unchanged": 1, "skipped": 1}
        assert summary["skipped_reasons"] == {"unsupported_type": 1}
        assert (summary["documents"], summary["chunks"]) == (1, 1)


@pytest.mark.parametrize(
    "declared", ["application/x-www-form-urlencoded", "application/octet-stream", "Application/Octet-Stream; x=y", None]
)
async def test_defaults_of_clients_count_as_no_declared_type(tmp_path: Path, declared: str | None) -> None:
    async with http_api(tmp_path) as api:
        headers = {"Content-Type": declared} if declared else {}
        accepted = await api.client.post("/documents", params={"name": "notes"}, content="plain text", headers=headers)
        document = (await api.client.get(f"/documents/{accepted.json()['id']}", params={"wait_seconds": 30})).json()
        assert (document["status"], document["reason"], document["content_type"]) == ("skipped", "unsupported_type", None)


async def test_a_declared_text_type_is_believed(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        accepted = await api.client.post("/documents", params={"name": "notes"}, content="plain text", headers=headers)
        document = (await api.client.get(f"/documents/{accepted.json()['id']}", params={"wait_seconds": 30})).json()
        assert (document["status"], document["content_type"]) == ("indexed", "text/plain")


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../up", "a/../b", "a\0b", "x" * 1025, "a//b"])
async def test_a_name_that_no_blob_can_have_is_refused(tmp_path: Path, name: str) -> None:
    async with http_api(tmp_path) as api:
        answer = await api.client.post("/documents", params={"name": name}, content="text")
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_name")
        assert (await api.client.get("/documents/summary")).json()["arrivals"] == 0


async def test_a_name_that_is_not_utf8_is_refused_and_not_altered(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        answer = await api.client.post("/documents?name=caf%E9.md", content="text")
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_encoding")


async def test_a_multipart_form_is_refused_with_what_to_send_instead(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        answer = await api.client.post("/documents", params={"name": "a.md"}, files={"file": b"text"})
        assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
        assert "--data-binary" in answer.json()["hint"]


async def test_a_body_over_the_limit_is_refused_while_it_streams(tmp_path: Path) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 65_536

    async with http_api(tmp_path, max_body_mb=1) as api:
        answer = await api.client.post("/documents", params={"name": "a.md"}, content=endless())
        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
        assert (await api.client.get("/documents/summary")).json()["arrivals"] == 0
        declared = await api.client.post("/documents", params={"name": "a.md"}, content=b"x" * (1024 * 1024 + 1))
        assert declared.status_code == 413


async def test_a_client_that_goes_away_leaves_nothing_behind(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        messages = iter(({"type": "http.request", "body": b"half", "more_body": True}, {"type": "http.disconnect"}))
        sent: list[object] = []

        async def receive() -> dict[str, object]:
            return next(messages)

        async def send(message: dict[str, object]) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "http_version": "1.1",
            "scheme": "http",
            "server": ("127.0.0.1", 80),
            "method": "POST",
            "path": "/documents",
            "raw_path": b"/documents",
            "query_string": b"name=a.md",
            "headers": [(b"host", b"127.0.0.1"), (b"x-api-key", api.admin_key.encode())],
        }
        await api.asgi(scope, receive, send)
        assert sent == []
        assert (await api.client.get("/documents/summary")).json()["arrivals"] == 0
        assert [path.name for path in (tmp_path / "containers").rglob("*") if path.is_file()] == []


async def test_a_long_poll_ends_with_its_time_or_when_the_server_stops(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        never = asyncio.Event()
        api.parts.embedder.embed = lambda texts: never.wait()  # type: ignore[method-assign,assignment,return-value]
        accepted = (await api.client.post("/documents", params={"name": "a.md"}, content="text")).json()
        brief = await api.client.get(f"/documents/{accepted['id']}", params={"wait_seconds": 0.05})
        assert brief.json()["status"] in ("received", "processing")
        waiting = asyncio.create_task(api.client.get(f"/documents/{accepted['id']}", params={"wait_seconds": 60}))
        asyncio.get_running_loop().call_later(0.05, api.parts.state.stopping.set)
        answer = await asyncio.wait_for(waiting, 10)
        assert (answer.status_code, answer.json()["status"]) == (200, "processing")


async def test_a_long_poll_for_no_document_answers_at_once(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        answer = await asyncio.wait_for(api.client.get("/documents/nothing", params={"wait_seconds": 60}), 10)
        assert (answer.status_code, answer.json()["code"]) == (404, "document_not_found")


async def test_nothing_is_accepted_while_stopping_or_starting(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        document = await api.upload("a.md", "text")

        async def writes() -> list[httpx.Response]:
            return [
                await api.client.post("/documents", params={"name": "b.md"}, content="text"),
                await api.client.delete(f"/documents/{document['id']}"),
                await api.client.put("/containers/incoming/blobs/b.md", content="text"),
                await api.client.delete("/containers/incoming/blobs/b.md"),
            ]

        for state in ("starting", "stopping"):
            api.parts.state.is_ready = state != "starting"
            if state == "stopping":
                api.parts.state.stopping.set()
            for answer in await writes():
                assert (answer.status_code, answer.json()["code"]) == (503, state)
                assert int(answer.headers["Retry-After"]) > 0
            assert (await api.client.get("/documents")).status_code == 200


async def test_time_travel_is_refused_until_it_exists(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        listed = await api.client.get("/documents", params={"as_of": "2026-01-01T00:00:00Z"})
        searched = await api.client.post("/search", json={"query": "x", "as_of": "2026-01-01T00:00:00Z"})
        for answer in (listed, searched):
            assert (answer.status_code, answer.json()["code"]) == (422, "not_available_yet")


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/documents?limit=0", "limit"),
        ("/documents?limit=1001", "limit"),
        ("/documents?status=lost", "status"),
        ("/documents/x?wait_seconds=61", "wait_seconds"),
    ],
)
async def test_a_bad_parameter_is_named(tmp_path: Path, path: str, field: str) -> None:
    async with http_api(tmp_path) as api:
        answer = await api.client.get(path)
        assert answer.status_code == 422
        assert [(each["index"], each["field"]) for each in answer.json()["errors"]] == [(None, field)]
        assert answer.json()["code"] == "invalid_request"


@pytest.mark.parametrize("path", ["/documents?cursor=%21", "/documents/x/chunks?cursor=YQ", "/containers/incoming/blobs?cursor=%21"])
async def test_an_invented_cursor_is_refused(tmp_path: Path, path: str) -> None:
    async with http_api(tmp_path) as api:
        answer = await api.client.get(path)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_cursor")


async def test_a_project_that_cannot_be_is_refused(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        for project in ("", "a b", "x" * 65, "ä", "a/b"):
            answer = await api.client.get("/documents", params={"project": project})
            assert (answer.status_code, answer.json()["code"]) == (422, "invalid_project")
