"""Dead letters over HTTP and by `forebay deadletters`, with files that really fail."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.integration.http_api import Api, http_api

from forebay.app import Adapters
from forebay.app.adapters import real_adapters
from forebay.cli.connection import Connection
from forebay.cli.main import main
from forebay.durable import OrchestrationContext
from forebay.errors import ForebayError
from forebay.settings import Settings
from forebay.values.correlation import Correlation

TEXT = "A forebay is the pool in front of a turbine. " * 10


class BrokenEmbedder:
    """Embeds nothing until it is mended."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.is_broken = inner, True
        self.model_id, self.dimensions = inner.model_id, inner.dimensions

    async def embed(self, texts: Sequence[str]) -> Any:
        if self.is_broken:
            raise ForebayError("embedding_failed", "the model is ill", retryable=True)
        return await self.inner.embed(texts)

    async def close(self) -> None:
        await self.inner.close()


@pytest.fixture
async def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Api]:
    @asynccontextmanager
    async def adapters(settings: Settings) -> AsyncIterator[Adapters]:
        async with real_adapters(settings) as real:
            yield replace(real, embedder=BrokenEmbedder(real.embedder))  # type: ignore[arg-type]

    monkeypatch.setattr("forebay.app.program.real_adapters", adapters)
    async with http_api(tmp_path, first_retry_seconds=0.01, activity_attempts=2, shadow_replay_ratio=1) as api:
        yield api
        assert api.program.core.engine.divergence_count == 0


def mend(api: Api) -> None:
    api.program.core.adapters.embedder.is_broken = False  # type: ignore[attr-defined]


async def body(answer: Any) -> Any:
    found = await answer
    assert found.status_code == 200, found.text
    return found.json()


async def test_a_file_that_failed_is_ingested_again_under_its_correlation_id(api: Api) -> None:
    failed = await api.upload("report.md", TEXT)
    assert (failed["status"], failed["reason"], failed["blob"]["container"]) == ("failed", "embedding_failed", "failed")
    (letter,) = (await body(api.client.get("/deadletters")))["deadletters"]
    pinned = {"kind": "activity", "name": "embed", "code": "embedding_failed", "reason": "the model is ill", "attempts": 2}
    assert letter | pinned == letter
    shown = await body(api.client.get(f"/deadletters/{letter['id']}"))
    assert (shown["instance_id"], shown["correlation_id"]) == (failed["instance_id"], failed["correlation_id"])
    assert shown["payload"]["first"] == 0
    assert [(each["attempt"], each["message"]) for each in shown["tries"]] == [(1, "the model is ill"), (2, "the model is ill")]
    wanted = {"ids": [letter["id"]], "dry_run": True}
    would = await body(api.client.post("/deadletters/replay", json=wanted))
    assert (would["replayed"], would["would_replay"], would["errors"]) == (0, 1, [])

    mend(api)
    done = await body(api.client.post("/deadletters/replay", json={"filter": {"code": "embedding_failed"}}))
    assert (done["replayed"], done["would_replay"], done["errors"]) == (1, 1, [])
    document = await api.settled(failed["id"])
    assert (document["status"], document["version"], document["blob"]["container"]) == ("indexed", 1, "processed")
    assert document["instance_id"] == done["letters"][0]["instance_id"] != failed["instance_id"]
    assert document["correlation_id"] == failed["correlation_id"]
    assert (await body(api.client.get("/deadletters")))["deadletters"] == []
    shown = await body(api.client.get(f"/deadletters/{letter['id']}"))
    assert (shown["status"], shown["settlement"]["instance_id"]) == ("replayed", document["instance_id"])
    (again,) = (await body(api.client.post("/deadletters/replay", json={"ids": [letter["id"]]})))["errors"]
    assert again["code"] == "dead_letter_not_open"


async def test_what_fails_again_leaves_another_dead_letter(api: Api) -> None:
    failed = await api.upload("report.md", TEXT)
    for number in (1, 2, 3):
        (letter,) = (await body(api.client.get("/deadletters")))["deadletters"]
        assert letter["id"] == number
        assert (await body(api.client.post("/deadletters/replay", json={"filter": {}})))["replayed"] == 1
        document = await api.settled(failed["id"])
        assert (document["status"], document["blob"]["container"]) == ("failed", "failed")
    mend(api)
    await body(api.client.post("/deadletters/replay", json={"filter": {}}))
    assert (await api.settled(failed["id"]))["status"] == "indexed"


async def test_a_file_that_is_gone_or_has_come_again_stays_a_dead_letter_with_the_reason(api: Api) -> None:
    gone = await api.upload("gone.md", TEXT)
    await api.upload("again.md", TEXT)
    mend(api)
    assert (await api.client.delete(f"/containers/failed/blobs/{gone['blob']['name']}")).status_code < 300
    assert (await api.upload("again.md", TEXT + "More."))["status"] == "indexed"
    answer = await body(api.client.post("/deadletters/replay", json={"filter": {}}))
    assert (answer["replayed"], answer["would_replay"]) == (0, 0)
    assert {each["id"]: each["code"] for each in answer["errors"]} == {1: "source_changed", 2: "dead_letter_overtaken"}
    assert all(each["hint"] for each in answer["errors"])
    assert len((await body(api.client.get("/deadletters")))["deadletters"]) == 2


async def test_what_is_skipped_is_no_dead_letter(api: Api) -> None:
    assert (await api.upload("data.bin", b"\x00\x01"))["status"] == "skipped"
    assert (await body(api.client.get("/deadletters", params={"status": "all"})))["deadletters"] == []


async def test_what_is_put_away_keeps_who_did_so_and_why(api: Api) -> None:
    await api.upload("report.md", TEXT)
    purge = {"ids": [1], "reason": "not needed"}
    assert (await body(api.client.post("/deadletters/purge", json=purge | {"dry_run": True}))) == {
        "purged": 0,
        "would_purge": 1,
        "errors": [],
    }
    assert (await body(api.client.post("/deadletters/purge", json=purge)))["purged"] == 1
    (letter,) = (await body(api.client.get("/deadletters", params={"status": "purged"})))["deadletters"]
    shown = await body(api.client.get(f"/deadletters/{letter['id']}"))
    assert shown["settlement"]["reason"] == "not needed" and shown["settlement"]["by"]


async def test_it_must_be_clear_what_is_meant_and_the_key_must_allow_it(api: Api) -> None:
    for wanted in ({}, {"ids": [1], "filter": {}}, {"filter": {"nonsense": 1}}, {"ids": ["x"]}, {"filter": {"since": "yesterday"}}):
        refused = await api.client.post("/deadletters/replay", json=wanted)
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request"), wanted
    assert (await api.client.get("/deadletters/7")).json()["code"] == "dead_letter_not_found"
    assert (await api.client.get("/deadletters", params={"cursor": "x"})).status_code == 422
    made = (await api.client.post("/keys", json={"name": "w", "scopes": ["read", "write"]})).json()
    async with api.stranger(**{"X-API-Key": made["key"]}) as client:
        assert (await client.get("/deadletters")).status_code == 200
        for path in ("/deadletters/replay", "/deadletters/purge"):
            assert (await client.post(path, json={"filter": {}})).json()["code"] == "out_of_scope"


async def test_pages_go_from_the_newest_to_the_oldest(api: Api) -> None:
    for number in range(3):
        await api.upload(f"{number}.md", TEXT)
    first = await body(api.client.get("/deadletters", params={"limit": 2}))
    rest = await body(api.client.get("/deadletters", params={"limit": 2, "cursor": first["next_cursor"]}))
    assert [each["id"] for page in (first, rest) for each in page["deadletters"]] == [3, 2, 1]
    assert rest["next_cursor"] is None


def test_the_commands_say_what_there_is_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    letter = {
        "id": 4, "kind": "activity", "name": "embed", "code": "embedding_failed", "reason": "the model is \x1b[1mill", "attempts": 6,
        "first_failed_at": "2026-01-02T03:04:05.000006Z", "last_failed_at": "2026-01-02T03:05:05.000006Z", "instance_id": "ingest-d-1",
        "orchestrator": "ingest_document", "correlation_id": "c", "project": "default-project", "status": "open",
        "status_at": "2026-01-02T03:05:05.000006Z",
    }  # fmt: skip
    tried = {"attempt": 1, "at": "2026-01-02T03:04:05.000006Z", "code": "embedding_failed", "message": "ill"}
    error = {"id": 5, "code": "source_changed", "message": "it is gone", "hint": "Send it again."}
    answers: dict[tuple[str, str], Any] = {
        ("GET", "/deadletters"): {"deadletters": [letter], "next_cursor": None},
        ("GET", "/deadletters/4"): letter | {"payload": {"first": 0}, "tries": [tried], "settlement": None},
        ("POST", "/deadletters/replay"): {"replayed": 1, "would_replay": 1, "letters": [{"id": 4, "instance_id": "i"}], "errors": [error]},
        ("POST", "/deadletters/purge"): {"purged": 1, "would_purge": 1, "errors": []},
    }
    asked: list[tuple[str, str, Any]] = []

    @asynccontextmanager
    async def connect(settings: Settings) -> AsyncIterator[Connection]:
        def answer(request: httpx.Request) -> httpx.Response:
            asked.append((request.method, request.url.path, json.loads(request.content) if request.content else dict(request.url.params)))
            return httpx.Response(200, json=answers[request.method, request.url.path])

        async with httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://127.0.0.1") as client:
            yield Connection(client=client, place="server")

    monkeypatch.setattr("forebay.cli.deadletters.connect", connect)
    monkeypatch.chdir(tmp_path)

    def forebay(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["forebay", "deadletters", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    status, out, _ = forebay("list", "--code", "embedding_failed", "--project", "p")
    assert status == 0 and "embed" in out and "forebay deadletters replay ID" in out and "\x1b" not in out
    assert asked[-1][2] == {"code": "embedding_failed", "status": "open", "limit": "50", "project": "p"}
    status, out, _ = forebay("show", "4")
    assert status == 0 and '{"first": 0}' in out and "forebay deadletters purge 4" in out
    status, out, err = forebay("replay", "4", "5")
    assert status == 1 and "i does it again" in out and "it is gone" in err and "Send it again." in err
    assert asked[-1][2] == {"ids": [4, 5], "dry_run": False}
    status, out, err = forebay("replay", "--all", "--dry-run")
    assert "1 dead letter would be replayed; nothing was changed" in out
    assert asked[-1][2] == {"filter": {}, "dry_run": True}
    status, out, _ = forebay("purge", "--name", "embed", "--reason", "old")
    assert status == 0 and "1 dead letter purged" in out
    assert asked[-1][2] == {"filter": {"name": "embed"}, "reason": "old", "dry_run": False}
    assert json.loads(forebay("list", "--json")[1]) == answers["GET", "/deadletters"]
    count = len(asked)
    for wrong in (["replay"], ["replay", "4", "--all"], ["purge"]):
        status, _, err = forebay(*wrong)
        assert status == 2 and "expected" in err
    assert len(asked) == count, "nothing is asked of the server before it is clear what is meant"


def _forebay(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["forebay", *arguments])
    try:
        main()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


async def test_recorded_orchestrations_are_replayed_against_the_code_of_the_program(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    await api.upload("failed.md", TEXT)
    mend(api)
    await api.upload("good.md", TEXT)
    await api.upload("skipped.bin", b"\x00\x01")

    def check(*arguments: str) -> tuple[int, str, str]:
        status = _forebay(monkeypatch, "check", *arguments)
        out, err = capsys.readouterr()
        return status, out, err

    status, out, _ = check("replay", str(tmp_path))  # the program has the directory, and goes on
    assert status == 0 and "replay: ok (3 instances of" in out
    export = tmp_path / "export.jsonl"
    status, out, _ = check("export-replay", str(export), "--data-dir", str(tmp_path))
    assert status == 0 and f"forebay check replay {export}" in out
    status, _, err = check("export-replay", str(export), "--data-dir", str(tmp_path))
    assert status == 1 and "does not exist yet" in err

    for option in ((str(export),), ("--export", str(export)), ("--data-dir", str(tmp_path))):
        status, out, _ = check("replay", *option, "--json")
        assert (status, json.loads(out)) == (
            0,
            {"ok": True, "checked": {"instances": 3, "running": 0, "unregistered": 0}, "problems": []},
        )
    other = export.read_text(encoding="utf-8").replace('"name":"read_and_chunk"', '"name":"read"')
    export.write_text(other, encoding="utf-8")
    status, out, _ = check("replay", str(export))
    assert status == 1 and "not ok" in out and "activity 'read_and_chunk'" in out and "activity 'read'" in out
    problems = json.loads(check("replay", str(export), "--json")[1])["problems"]
    assert len(problems) == 3
    assert {(each["code"], each["recorded"], each["scheduled"]) for each in problems} == {
        ("diverges", "activity 'read'", "activity 'read_and_chunk'")
    }
    for wrong in (["index", "somewhere"], ["export-replay"]):
        status, _, err = check(*wrong)
        assert status == 2 and "expected" in err
    status, _, err = check("replay", str(tmp_path / "nothing"))
    assert status == 1 and "nothing" in err


async def test_a_divergence_is_told_to_the_project_of_the_instance(api: Api) -> None:
    engine, code = api.program.core.engine, {"runs": 0}

    @engine.registry.activity
    async def either(value: str) -> None: ...

    @engine.registry.orchestrator
    def moody(context: OrchestrationContext) -> Any:
        code["runs"] += 1
        yield context.call_activity("either", str(code["runs"]))

    correlation = Correlation(id="its-own", project="theirs")
    await engine.client.wait_for_completion(await engine.client.start_new("moody", "mine", correlation=correlation))
    query = "customEvents | where name == 'replay_diverged' | project operation_Id, tostring(customDimensions.recorded)"
    async with asyncio.timeout(20):
        while not (told := (await body(api.client.post("/query", json={"query": query, "project": "theirs"})))["tables"][0]["rows"]):
            await asyncio.sleep(0.05)
    assert told == [["its-own", "activity 'either'"]]
    assert engine.divergence_count == 1
    engine.divergence_count = 0  # it was meant
