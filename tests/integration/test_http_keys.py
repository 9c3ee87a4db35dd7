"""Keys that are made: scopes, projects, expiry, rotation, revocation, limits."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.integration.http_api import Api, http_api

from forebay.database import Readers
from forebay.effects import SystemClock
from forebay.server.keys import ring
from forebay.server.keys.key import SCOPES
from forebay.server.pages import decode_cursor


class ClockBehind(SystemClock):
    """A clock that was set back by an hour."""

    def now_us(self) -> int:
        return super().now_us() - 3_600_000_000


async def made(api: Api, *scopes: str, **options: Any) -> dict[str, Any]:
    answer = await api.client.post("/keys", json={"name": "a key", "scopes": list(scopes), **options})
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def status(api: Api, key: str, method: str, path: str, **options: Any) -> int:
    async with api.stranger(**{"X-API-Key": key}) as stranger:
        return (await stranger.request(method, path, **options)).status_code


# what each route needs, besides admin, which may do everything
ROUTES = [
    ("read", "GET", "/documents"),
    ("read", "GET", "/documents/summary"),
    ("read", "GET", "/documents/x"),
    ("read", "GET", "/documents/x/chunks"),
    ("read", "POST", "/search"),
    ("read", "GET", "/containers/processed/blobs"),
    ("read", "GET", "/containers/processed/blobs/x"),
    ("write", "POST", "/documents?name=a.md"),
    ("write", "DELETE", "/documents/x"),
    ("write", "PUT", "/containers/archive/blobs/x"),
    ("write", "DELETE", "/containers/archive/blobs/y"),
    ("read", "GET", "/stats"),
    ("ingest", "GET", "/stats"),
    ("read", "POST", "/query"),
    ("ingest", "POST", "/logs"),
    ("ingest", "POST", "/metrics"),
    ("ingest", "POST", "/events"),
    ("admin", "GET", "/keys"),
    ("admin", "POST", "/keys"),
    ("admin", "DELETE", "/keys/x"),
]


async def test_a_key_opens_what_its_scope_says_and_nothing_else(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        keys = {scope: (await made(api, scope))["key"] for scope in SCOPES}
        for _, method, path in ROUTES:
            opening = {each for each, *route in ROUTES if route == [method, path]}
            for scope, key in keys.items():
                is_let_in = await status(api, key, method, path, content=b"text") != 403
                assert is_let_in == (scope in (*opening, "admin")), (scope, method, path)


async def test_a_key_is_shown_once_and_kept_as_a_hash(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        secret = (await made(api, "read"))["key"]
        listed = (await api.client.get("/keys")).json()["keys"]
        assert [each["scopes"] for each in listed] == [["read"]]
        assert secret not in json.dumps(listed)
    stored = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert secret.encode() not in stored
    assert secret.rpartition("_")[2].encode() not in stored


async def test_keys_survive_a_restart(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        secret = (await made(api, "read"))["key"]
    async with http_api(tmp_path) as api:
        assert await status(api, secret, "GET", "/documents") == 200
        assert await status(api, secret[:-1] + "x", "GET", "/documents") == 401


async def test_a_key_expires(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        short, long = await made(api, "read", expires_in_seconds=1e-6), await made(api, "read", expires_in_seconds=3600)
        assert short["expires_at"] < long["expires_at"]
        assert await status(api, short["key"], "GET", "/documents") == 401
        assert await status(api, long["key"], "GET", "/documents") == 200


async def test_a_revoked_key_opens_nothing_from_then_on(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        key = await made(api, "read")
        revoked = await api.client.delete(f"/keys/{key['id']}")
        assert revoked.json()["revoked_at"]
        assert await status(api, key["key"], "GET", "/documents") == 401
        again = await api.client.delete(f"/keys/{key['id']}")
        assert (again.status_code, again.json()["code"]) == (404, "key_not_found")


async def test_a_rotated_key_goes_on_opening_for_the_overlap(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        old = await made(api, "read", "write", project="water")
        new = (await api.client.post(f"/keys/{old['id']}/rotate")).json()
        assert (new["scopes"], new["project"], new["name"]) == (old["scopes"], "water", old["name"])
        assert [await status(api, each["key"], "GET", "/documents") for each in (old, new)] == [200, 200]
        newest = (await api.client.post(f"/keys/{new['id']}/rotate", json={"overlap_seconds": 0})).json()
        assert [await status(api, each["key"], "GET", "/documents") for each in (new, newest)] == [401, 200]
        assert {each["id"]: each["replaced_by"] for each in (await api.client.get("/keys")).json()["keys"]} == {
            old["id"]: new["id"],
            new["id"]: newest["id"],
            newest["id"]: None,
        }


async def test_every_change_of_a_key_is_recorded_with_its_actor(tmp_path: Path) -> None:
    async with http_api(tmp_path, api_key="k" * 40) as api:
        key = await made(api, "admin")
        async with api.stranger(**{"X-API-Key": key["key"]}) as other:
            await other.delete(f"/keys/{key['id']}")
    with closing(sqlite3.connect(tmp_path / "catalog.db")) as connection:
        assert connection.execute("SELECT type, actor FROM api_key_events ORDER BY sequence").fetchall() == [
            ("KeyCreated", "admin"),
            ("KeyRevoked", f"key:{key['id']}"),
        ]


async def test_the_last_use_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ring, "USE_NOTED_EVERY_US", 0)
    async with http_api(tmp_path) as api:
        key = await made(api, "read")
        assert key["last_used_at"] is None
        await status(api, key["key"], "GET", "/documents")
        (listed,) = (await api.client.get("/keys")).json()["keys"]
        assert listed["last_used_at"] >= key["created_at"]
    async with http_api(tmp_path) as api:
        assert (await api.client.get("/keys")).json()["keys"][0]["last_used_at"] == listed["last_used_at"]


async def test_a_key_is_confined_to_its_project(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        await api.upload("ours.md", "Water of the default project.")
        theirs = await made(api, "read", "write", project="theirs")
        async with api.stranger(**{"X-API-Key": theirs["key"]}) as stranger:
            accepted = (await stranger.post("/documents", params={"name": "theirs.md"}, content="Water of theirs.")).json()
            document = (await stranger.get(f"/documents/{accepted['id']}", params={"wait_seconds": 20})).json()
            assert document["project"] == "theirs"
            assert [each["name"] for each in (await stranger.get("/documents")).json()["documents"]] == ["theirs.md"]
            hits = (await stranger.post("/search", json={"query": "water"})).json()["hits"]
            assert [hit["name"] for hit in hits] == ["theirs.md"]
            for path, options in (
                ("/documents?project=default-project", {}),
                ("/search", {"json": {"query": "x", "project": "default-project"}}),
            ):
                refused = await stranger.request("POST" if options else "GET", path, **options)
                assert (refused.status_code, refused.json()["code"]) == (403, "wrong_project")
            ours = (await api.client.get("/documents")).json()["documents"][0]
            assert (await stranger.get(f"/documents/{ours['id']}")).status_code == 404
            assert (await stranger.delete(f"/documents/{ours['id']}")).status_code == 404


async def test_blobs_show_to_their_own_project_only(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        await api.upload("ours.md", "ours")
        await api.upload("theirs.md", "theirs", project="theirs")
        await api.client.put("/containers/archive/blobs/free", content=b"belongs to nobody")
        everything = [each["name"] for each in (await api.client.get("/containers/processed/blobs")).json()["blobs"]]
        assert len(everything) == 2
        for project, name in (("default-project", "ours"), ("theirs", "theirs")):
            key = (await made(api, "read", "write", project=project))["key"]
            async with api.stranger(**{"X-API-Key": key}) as stranger:
                seen = [each["name"] for each in (await stranger.get("/containers/processed/blobs")).json()["blobs"]]
                assert [each.rpartition("_")[2] for each in seen] == [f"{name}.md"]
                for blob in everything:
                    assert (await stranger.get(f"/containers/processed/blobs/{blob}")).status_code == (200 if blob in seen else 404)
                    if blob not in seen:
                        assert (await stranger.head(f"/containers/processed/blobs/{blob}")).status_code == 404
                        assert (await stranger.delete(f"/containers/processed/blobs/{blob}")).status_code == 404
                        assert (await stranger.put(f"/containers/processed/blobs/{blob}", content=b"x")).status_code == 403
                is_default = project == "default-project"
                assert (await stranger.get("/containers/archive/blobs/free")).status_code == (200 if is_default else 404)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"name": "x", "scopes": []}, "invalid_scope"),
        ({"name": "x", "scopes": ["root"]}, "invalid_scope"),
        ({"name": "", "scopes": ["read"]}, "invalid_key_name"),
        ({"name": "a\x1b[2J", "scopes": ["read"]}, "invalid_key_name"),
        ({"name": "x", "scopes": ["read"], "project": "a b"}, "invalid_project"),
        ({"name": "x", "scopes": ["read"], "expires_in_seconds": -1}, "invalid_request"),
        ({"name": "x", "scopes": ["read"], "colour": "red"}, "invalid_request"),
        ({"scopes": ["read"]}, "invalid_request"),
    ],
)
async def test_a_key_that_makes_no_sense_is_refused(body: dict[str, Any], code: str, tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        answer = await api.client.post("/keys", json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, code)


async def test_requests_beyond_the_limit_are_told_when_to_come_back(tmp_path: Path) -> None:
    async with http_api(tmp_path, rate_limit=0.5, rate_limit_burst=20) as api:
        key = (await made(api, "read"))["key"]
        async with api.stranger(**{"X-API-Key": key}) as stranger:
            answers = [await stranger.get("/documents") for _ in range(21)]
            assert [answer.status_code for answer in answers] == [200] * 20 + [429]
            refused = answers[-1]
            assert refused.json()["code"] == "rate_limit_exceeded"
            assert refused.json()["detail"].startswith("Rate limit exceeded. Try again in ")
            assert int(refused.headers["Retry-After"]) >= 1
            assert refused.headers["X-RateLimit-Remaining"] == "0"
            for path in ("/health", "/", "/docs", "/openapi.json", "/health/live"):
                assert (await stranger.get(path)).status_code == 200, path
        assert (await api.client.get("/documents")).status_code == 200, "another key has its own"


async def test_pages_and_their_cursors_tell_nothing_of_blobs_of_other_projects(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        for number in range(3):
            await api.upload(f"hidden-{number}.md", "theirs", project="theirs")
            await api.upload(f"shown-{number}.md", "ours", project="ours")
        seen: list[str] = []
        cursors: list[str] = []
        async with api.stranger(**{"X-API-Key": (await made(api, "read", project="ours"))["key"]}) as stranger:
            parameters: dict[str, Any] = {"limit": 1}
            while True:
                page = (await stranger.get("/containers/processed/blobs", params=parameters)).json()
                seen += [blob["name"].rpartition("_")[2] for blob in page["blobs"]]
                if page["next_cursor"] is None:
                    break
                cursors.append(decode_cursor(page["next_cursor"]))
                parameters["cursor"] = page["next_cursor"]
        assert sorted(seen) == [f"shown-{number}.md" for number in range(3)]
        assert len(cursors) == 2
        assert all("shown" in each for each in cursors)


class ReadersOfOneSlowLook:
    """Let the first look through only when told to; what it has seen is old by then."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers
        self.has_looked, self.may_go_on = asyncio.Event(), asyncio.Event()

    async def run(self, function: Callable[[sqlite3.Connection], Any]) -> Any:
        found = await self._readers.run(function)
        if not self.has_looked.is_set():
            self.has_looked.set()
            await self.may_go_on.wait()
        return found


async def test_a_revoked_key_stays_revoked_whatever_changes_at_the_same_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with http_api(tmp_path) as api:
        doomed = await made(api, "read")
        keys = api.parts.keys
        readers = ReadersOfOneSlowLook(keys._database.readers)
        monkeypatch.setattr(keys, "_database", SimpleNamespace(writer=keys._database.writer, readers=readers))
        making = asyncio.create_task(made(api, "read"))
        await readers.has_looked.wait()
        revoking = asyncio.create_task(api.client.delete(f"/keys/{doomed['id']}"))
        await asyncio.wait({revoking}, timeout=0.3)  # it may have to wait for the other change
        readers.may_go_on.set()
        assert (await revoking).status_code == 200
        another = await making
        assert await status(api, doomed["key"], "GET", "/documents") == 401
        assert await status(api, another["key"], "GET", "/documents") == 200


async def test_a_key_has_one_successor(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        key = await made(api, "read")
        rotations = await asyncio.gather(*(api.client.post(f"/keys/{key['id']}/rotate") for _ in range(2)))
        new, refused = sorted(rotations, key=lambda answer: answer.status_code)
        assert (new.status_code, refused.status_code, refused.json()["code"]) == (201, 404, "key_not_found")
        assert new.json()["id"] in refused.json()["hint"]
        assert new.json()["expires_at"] is None
        assert (await api.client.post(f"/keys/{new.json()['id']}/rotate")).status_code == 201


async def test_a_key_that_is_rotated_after_the_clock_was_set_back_keeps_its_lifetime(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with http_api(tmp_path) as api:
        behind = dataclasses.replace(api.parts.keys._effects, clock=ClockBehind())
        monkeypatch.setattr(api.parts.keys, "_effects", behind)
        key = await made(api, "read", expires_in_seconds=1800)
        new = (await api.client.post(f"/keys/{key['id']}/rotate")).json()
        assert await status(api, new["key"], "GET", "/documents") == 200
