"""Commands against a small stand-in for the server's API, reached as the in-process program."""

from __future__ import annotations

import json
import os
import sys
import types
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from forebay.cli.main import main
from forebay.cli.put import _pause_seconds
from forebay.errors import ForebayError
from forebay.settings import Settings

DOCUMENT = {
    "id": "d1",
    "project": "default-project",
    "name": "folder/a\x1b[2J.md",
    "status": "indexed",
    "reason": None,
    "version": 1,
    "source": "upload",
    "content_type": "text/markdown",
    "size_bytes": 1200,
    "sha256": "00ff",
    "language": "en",
    "chunk_count": 3,
    "blob": {"container": "processed", "name": "a.md", "etag": "1"},
    "instance_id": "ingest-d1-1",
    "correlation_id": "c1",
    "created_at": "2026-01-02T03:04:05.000006Z",
    "updated_at": "2026-01-02T03:04:06.000006Z",
}
EVENT = {
    "sequence": 1,
    "type": "DocumentUploaded",
    "at": "2026-01-02T03:04:05.000006Z",
    "actor": "a key",
    "correlation_id": "c1",
    "data": {"url": "u"},
}
FAILURE = EVENT | {"sequence": 2, "type": "DocumentFailed", "data": {"message": "the model is \x1b[1m gone"}}
HIT = {
    "document_id": "d1",
    "name": "folder/a\x1b[2J.md",
    "project": "default-project",
    "version": 1,
    "chunk_id": 7,
    "score": 0.0325,
    "ranks": {"text": 1, "vector": None},
    "text": "# Title\nthe \x1b[31mneedle\x1b[0m is here",
    "lines": [3, 4],
    "characters": [10, 40],
    "symbol": None,
    "scores": {"text": 2.5, "vector": None},
    "snippet": "# Title\nthe \x1b[31mneedle\x1b[0m is here",
    "highlights": [[17, 23]],
}


class StandIn:
    """Answers as the API does, and remembers what it was asked."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, str, bytes]] = []  # method, path, query string, body
        self.keys: set[str] = set()
        self.refusals = 0  # so many uploads are refused first
        self.polls = 0  # so many looks at a document find it unfinished
        self.status = "indexed"

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        body = b""
        while (message := await receive()).get("more_body") or message.get("body"):
            body += message["body"]
            if not message.get("more_body"):
                break
        self.keys |= {value.decode() for name, value in scope["headers"] if name == b"x-api-key"}
        self.requests.append((scope["method"], scope["path"], scope["query_string"].decode(), body))
        status, answer, headers = self.answer(scope["method"], scope["path"], scope["query_string"].decode())
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json"), *headers]})
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})

    def answer(self, method: str, path: str, query: str) -> tuple[int, dict[str, Any], list[tuple[bytes, bytes]]]:
        match (method, path.strip("/").split("/")):
            case ("POST", ["documents"]):
                if self.refusals:
                    self.refusals -= 1
                    return 429, {"detail": "Rate limit exceeded.", "code": "rate_limited"}, [(b"retry-after", b"0")]
                return 202, {"id": "d1", "instance_id": "ingest-d1-1", "blob": {}, "correlation_id": "c1"}, []
            case ("GET", ["documents"]):
                found = [DOCUMENT] if "name_prefix=nothing" not in query else []
                return 200, {"documents": found, "next_cursor": None if "cursor" in query or not found else "more"}, []
            case ("GET", ["documents", "d1"]):
                if self.polls:
                    self.polls -= 1
                    return 200, DOCUMENT | {"status": "processing"}, []
                reason = "too_large" if self.status == "skipped" else "embedding_failed" if self.status == "failed" else None
                return 200, DOCUMENT | {"status": self.status, "reason": reason, "fields": {}, "events": [EVENT, FAILURE]}, []
            case ("GET", ["documents", "d1", "chunks"]):
                return (
                    200,
                    {"chunks": [{"id": 7, "ordinal": 0, "text": "one\x1b", "lines": [1, 2], "characters": [0, 4], "symbol": "f"}]},
                    [],
                )
            case ("POST", ["search"]):
                return 200, {"hits": [HIT], "took_ms": 1.5}, []
            case ("GET", ["check", "history"]):
                problem = {"code": "missing_event", "document_id": "d1", "message": "no event"}
                return 200, {"ok": False, "checked": {"documents": 1}, "problems": [problem]}, []
            case ("GET", ["check", "index"]):
                return 200, {"ok": True, "checked": {"chunks": 3}, "problems": []}, []
            case _:
                return 404, {"detail": f"Nothing at {path}.", "code": "document_not_found", "hint": "Look elsewhere."}, []


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    stand_in = StandIn()

    @asynccontextmanager
    async def open_forebay(settings: Settings) -> AsyncIterator[Any]:
        yield types.SimpleNamespace(asgi=stand_in, admin_key="the-admin-key", settings=settings)

    monkeypatch.setitem(sys.modules, "forebay.app", types.SimpleNamespace(open_forebay=open_forebay))
    for name in [name for name in os.environ if name.startswith("FOREBAY_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return stand_in


@pytest.fixture
def forebay(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs a command line; returns exit status, standard output and standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["forebay", *arguments])
        with pytest.raises(SystemExit) as exited:
            main()
        captured = capsys.readouterr()
        return int(exited.value.code or 0), captured.out, captured.err

    return run


def names_sent(api: StandIn) -> list[str]:
    return sorted(query for method, path, query, _ in api.requests if (method, path) == ("POST", "/documents"))


def test_put_sends_the_bytes_and_reports_what_became_of_them(api: StandIn, forebay: Any, tmp_path: Path):
    (tmp_path / "a.md").write_bytes(b"x" * 600_000)
    api.polls = 3
    status, out, _ = forebay("put", "a.md", "--project", "acme")
    assert status == 0
    assert out.startswith("1 file: 1 indexed, 3 chunks in ")
    assert [body for method, _, _, body in api.requests if method == "POST"] == [b"x" * 600_000]
    assert names_sent(api) == ["name=a.md&project=acme"]
    assert api.keys == {"the-admin-key"}


def test_put_tells_what_a_remote_embedder_has_cost(api: StandIn, forebay: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("a.md", "b.md"):
        (tmp_path / name).write_text("text", encoding="utf-8")
    costs = {"requests": 2, "retries": 1, "tokens": 1700, "waited_seconds": 1.5, "usd": 0.0001}
    monkeypatch.setitem(EVENT, "type", "ChunksEmbedded")
    monkeypatch.setitem(EVENT, "data", {"embedded": 3, "costs": costs})
    monkeypatch.setitem(DOCUMENT, "correlation_id", EVENT["correlation_id"])
    out = forebay("put", "a.md", "b.md")[1]
    assert "Embedding took 4 requests (2 of them again), 3,400 tokens, 3.0 s of waiting, 0.0002 USD." in out
    summary = json.loads(forebay("put", "a.md", "--json")[1])["summary"]
    assert summary["costs"] == costs
    assert "costs=(2 requests (1 of them again), 1,700 tokens" in forebay("documents", "show", "d1")[1]
    monkeypatch.setitem(DOCUMENT, "correlation_id", "of another arrival")
    assert "Embedding took" not in forebay("put", "a.md")[1]


def test_put_comes_back_later_when_the_server_asks_for_it(api: StandIn, forebay: Any, tmp_path: Path):
    (tmp_path / "a.md").write_text("text", encoding="utf-8")
    api.refusals = 3
    assert forebay("put", "a.md")[0] == 0
    assert len(names_sent(api)) == 4


@pytest.mark.parametrize(("asked_seconds", "tried", "seconds"), [(3, 1, 3), (999, 1, 60), (None, 1, 0.5), (None, 2, 1), (None, 99, 60)])
def test_the_pause_is_what_was_asked_for_within_a_bound(asked_seconds: float | None, tried: int, seconds: float):
    assert _pause_seconds(asked_seconds, tried) == seconds


def test_put_tells_why_a_file_was_skipped_and_what_to_do(api: StandIn, forebay: Any, tmp_path: Path):
    (tmp_path / "a.md").write_text("text", encoding="utf-8")
    api.status = "skipped"
    status, out, _ = forebay("put", "a.md")
    assert status == 0
    assert "too_large" in out
    assert "Raise `FOREBAY_MAX_BLOB_MB`" in out
    assert "\x1b" not in out


def test_put_fails_when_a_file_failed(api: StandIn, forebay: Any, tmp_path: Path):
    (tmp_path / "a.md").write_text("text", encoding="utf-8")
    api.status = "failed"
    status, out, _ = forebay("put", "a.md", "--json")
    assert status == 1
    body = json.loads(out)
    assert body["documents"][0]["reason"] == "embedding_failed"
    assert (body["summary"]["files"], body["summary"]["failed"]) == (1, 1)


def test_put_tells_what_went_wrong_with_a_failed_file(api: StandIn, forebay: Any, tmp_path: Path):
    (tmp_path / "a.md").write_text("text", encoding="utf-8")
    api.status = "failed"
    out = forebay("put", "a.md")[1]
    assert "the model is \\x1b[1m gone; See the message; `forebay doctor` tests the embedder." in out


def test_put_without_waiting_returns_what_was_accepted(api: StandIn, forebay: Any, tmp_path: Path):
    (tmp_path / "a.md").write_text("text", encoding="utf-8")
    status, out, _ = forebay("put", "--no-wait", "--json", "a.md")
    body = json.loads(out)
    assert (status, body["documents"][0]["instance_id"], body["summary"]["received"]) == (0, "ingest-d1-1", 1)
    assert all(method == "POST" for method, *_ in api.requests)


def test_put_goes_on_when_one_file_cannot_be_read(api: StandIn, forebay: Any, tmp_path: Path):
    (tmp_path / "a.md").write_text("text", encoding="utf-8")
    (tmp_path / "socket").symlink_to("/proc/self/mem")
    status, out, _ = forebay("put", "a.md", "socket", "--json")
    body = json.loads(out)
    assert status == 1
    assert {each["status"] for each in body["documents"]} == {"indexed", "failed"}


def test_put_refuses_two_files_of_one_name(api: StandIn, forebay: Any, tmp_path: Path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.md").write_text("text", encoding="utf-8")
    status, _, err = forebay("put", "one/a.md", "two/a.md")
    assert status == 2
    assert "would have the name a.md" in err
    assert api.requests == []


def test_put_of_a_missing_file_is_wrong_usage(api: StandIn, forebay: Any):
    assert forebay("put", "nowhere.md")[0] == 2
    assert api.requests == []


def test_documents_are_listed_without_terminal_commands(api: StandIn, forebay: Any):
    status, out, _ = forebay("documents", "list", "--status", "indexed")
    assert status == 0
    assert r"folder/a\x1b[2J.md" in out
    assert "\x1b" not in out
    assert "--all lists the rest" in out
    assert api.requests[-1][2] == "status=indexed&limit=50"


def test_all_documents_are_one_object(api: StandIn, forebay: Any):
    status, out, _ = forebay("documents", "list", "--all", "--json")
    body = json.loads(out)
    assert (status, len(body["documents"]), body["next_cursor"]) == (0, 2, None)


def test_a_document_is_shown_with_its_history(api: StandIn, forebay: Any):
    status, out, _ = forebay("documents", "show", "d1")
    assert status == 0
    assert "DocumentUploaded" in out
    assert "url=u" in out


def test_a_document_is_found_by_its_name(api: StandIn, forebay: Any):
    status, out, _ = forebay("documents", "show", str(DOCUMENT["name"]), "--json")
    assert (status, json.loads(out)["id"]) == (0, "d1")


def test_an_unknown_document_is_an_error_without_a_traceback(api: StandIn, forebay: Any):
    status, out, err = forebay("documents", "show", "nothing")
    assert (status, out) == (1, "")
    assert err.startswith("error: There is no document with the id or the name nothing.\nhint: ")


def test_chunks_are_shown_with_their_lines(api: StandIn, forebay: Any):
    assert forebay("documents", "show", "d1", "--chunks")[1] == "chunk 0  lines 1-2  f\none\\x1b\n\n"


def test_search_prints_citations(api: StandIn, forebay: Any):
    status, out, _ = forebay("search", "needle", "-k", "3", "--language", "en")
    assert status == 0
    assert out.splitlines()[0] == r" 1. folder/a\x1b[2J.md:3-4  score 0.0325  text #1"
    assert r"the \x1b[31mneedle\x1b[0m is here" in out
    assert json.loads(api.requests[-1][3]) == {"query": "needle", "k": 3, "mode": "hybrid", "filters": {"language": "en"}}


def test_search_as_json_is_the_body_of_the_answer(api: StandIn, forebay: Any):
    out = forebay("search", "needle", "--json")[1]
    assert json.loads(out) == {"hits": [HIT], "took_ms": 1.5}
    assert "\x1b" not in out


def test_a_contradiction_makes_check_fail(api: StandIn, forebay: Any):
    assert forebay("check", "index")[0] == 0
    status, out, _ = forebay("check")
    assert status == 1
    assert "missing_event" in out
    assert json.loads(forebay("check", "history", "--json")[1])["ok"] is False


def test_a_configured_key_is_sent_instead_of_the_stored_one(api: StandIn, forebay: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FOREBAY_API_KEY", "my-own-key")
    forebay("search", "needle")
    assert api.keys == {"my-own-key"}


def test_a_locked_data_directory_is_not_available(api: StandIn, forebay: Any, monkeypatch: pytest.MonkeyPatch):
    @asynccontextmanager
    async def locked(settings: Settings) -> AsyncIterator[Any]:
        raise ForebayError("locked", "Another process owns the data directory.", hint="Stop it.", status=503)
        yield

    monkeypatch.setitem(sys.modules, "forebay.app", types.SimpleNamespace(open_forebay=locked))
    status, _, err = forebay("search", "needle")
    assert (status, err) == (3, "error: Another process owns the data directory.\nhint: Stop it.\n")


@pytest.mark.parametrize(
    "record",
    [
        "",
        "{}",
        "[]",
        '{"url": "http://127.0.0.1:1", "pid": 99999999, "version": "0"}',
        '{"url": "http://127.0.0.1:1", "pid": 1, "version": "0"}',
    ],
)
def test_a_stale_server_file_is_not_believed(api: StandIn, forebay: Any, tmp_path: Path, record: str):
    (tmp_path / "forebay-data").mkdir()
    (tmp_path / "forebay-data" / "server.json").write_text(record, encoding="utf-8")
    assert forebay("search", "needle")[0] == 0


def test_without_a_data_directory_the_next_step_is_named(api: StandIn, forebay: Any):
    status, out, _ = forebay()
    assert status == 0
    assert "nothing in it yet" in out
    assert "forebay demo" in out
    assert api.requests == []


def test_an_invalid_setting_is_wrong_usage(api: StandIn, forebay: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FOREBAY_PORT", "eighty")
    status, _, err = forebay("settings")
    assert status == 2
    assert err.startswith("error: FOREBAY_PORT expects a whole number")


def test_a_misspelt_variable_is_warned_about(api: StandIn, forebay: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FOREBAY_PROT", "8001")
    status, _, err = forebay("settings")
    assert status == 0
    assert "the nearest one is FOREBAY_PORT" in err


def test_settings_are_printed_with_origin_and_without_secrets(api: StandIn, forebay: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FOREBAY_API_KEY", "hunter2-hunter2")
    text = forebay("settings")[1]
    printed = json.loads(forebay("settings", "--json")[1])
    assert "hunter2" not in text + json.dumps(printed)
    by_name = {each["name"]: each for each in printed["settings"]}
    assert (by_name["api_key"]["value"], by_name["api_key"]["origin"]) == ("********", "environment FOREBAY_API_KEY")
    assert (by_name["chunk_size"]["value"], by_name["chunk_size"]["unit"]) == (800, "characters")


def test_put_of_a_folder_sends_what_a_watched_one_would_read(api: StandIn, forebay: Any, tmp_path: Path):
    folder = tmp_path / "notes"
    (folder / "deep" / "__pycache__").mkdir(parents=True)
    for name in ("a.md", ".env", "deep/b.md", "deep/__pycache__/c.pyc", "ignored.md"):
        (folder / name).write_text("text", encoding="utf-8")
    (folder / ".gitignore").write_text("ignored.md\n", encoding="utf-8")
    (folder / "elsewhere.md").symlink_to("/etc/hostname")
    status, out, _ = forebay("put", "notes", "--json")
    body = json.loads(out)
    assert status == 0
    assert names_sent(api) == ["name=notes%2F.gitignore", "name=notes%2Fa.md", "name=notes%2Fdeep%2Fb.md"]
    assert body["summary"]["excluded"] == 3
    assert [each for each in body["documents"] if each["status"] == "skipped"] == [
        {"name": "notes/elsewhere.md", "status": "skipped", "reason": "outside_source"}
    ]
