"""A file's whole story by one query: the one that docs/telemetry.md gives, asked of the real program."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tests.integration.http_api import Api, http_api

from forebay.app import Adapters
from forebay.app.adapters import real_adapters
from forebay.app.telemetry import Telemetry
from forebay.errors import ForebayError
from forebay.settings import Settings

DOCS = Path(__file__).parents[2] / "docs" / "telemetry.md"
TEXT = "A forebay is the pool in front of a turbine. " * 40
LAST = ("dependencies", "activity record_move")  # of every story below, but for the end of the orchestration


class StumblingEmbedder:
    """Refuses texts about stumbling twice, and texts about falling always."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.failures_left = inner, {"stumble": 2, "fall": 99}
        self.model_id, self.dimensions = inner.model_id, inner.dimensions

    async def embed(self, texts: Sequence[str]) -> Any:
        for word, left in self.failures_left.items():
            if left and any(word in text for text in texts):
                self.failures_left[word] -= 1
                raise ForebayError("embedding_failed", f"the server may not {word}", retryable=True)
        return await self.inner.embed(texts)

    async def close(self) -> None:
        await self.inner.close()


@pytest.fixture
async def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Api]:
    @asynccontextmanager
    async def adapters(settings: Settings) -> AsyncIterator[Adapters]:
        async with real_adapters(settings) as real:
            yield replace(real, embedder=StumblingEmbedder(real.embedder))  # type: ignore[arg-type]

    monkeypatch.setattr("forebay.app.program.real_adapters", adapters)
    async with http_api(tmp_path, first_retry_seconds=0.01, activity_attempts=3) as api:
        yield api


async def story_of(api: Api, name: str, text: str, *, warning_count: int) -> list[dict[str, Any]]:
    """Upload a file, and ask for its story until all of it has been told."""
    (query,) = re.findall(r"^```kusto\n(.*?)^```", DOCS.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert "report.md" in query
    await api.upload(name, text)
    async with asyncio.timeout(20):
        while True:
            answer = await api.client.post("/query", json={"query": query.replace("report.md", name)})
            assert answer.status_code == 200, answer.text
            (table,) = answer.json()["tables"]
            columns = [column["name"] for column in table["columns"]]
            story = [dict(zip(columns, row, strict=True)) for row in table["rows"]]
            told = {(row["origin"], row["what"]) for row in story}
            # what the program says of itself comes a moment later
            is_told = {("requests", "POST /documents"), LAST, ("instanceEvents", "Completed")} <= told
            if is_told and len(of(story, "traces", "what")) >= warning_count:
                break
    assert all(earlier["timestamp"] <= later["timestamp"] for earlier, later in pairwise(story))
    return story


def of(story: list[dict[str, Any]], origin: str, *columns: str, beginning: str = "") -> list[Any]:
    found = [row for row in story if row["origin"] == origin and row["what"].startswith(beginning)]
    return [tuple(row[column] for column in columns) if len(columns) > 1 else row[columns[0]] for row in found]


async def test_of_a_file_that_succeeds_at_once(api: Api) -> None:
    story = await story_of(api, "smooth.md", TEXT, warning_count=0)
    first, last = story[0], story[-1]
    assert (first["origin"], first["what"], first["result"], first["detail"]) == (
        "requests",
        "POST /documents",
        "202",
        "/documents?name=smooth.md",
    )
    assert (last["origin"], last["what"]) == ("instanceEvents", "Completed")
    activities = ["begin", "read_and_chunk", "embed", "persist", "move_blob", "record_move"]
    assert of(story, "dependencies", "what", "attempt", "result", beginning="activity") == [
        (f"activity {name}", "1", "0") for name in activities
    ]
    calls = [what for what in of(story, "dependencies", "what") if not what.startswith("activity")]
    assert calls == ["storage read", "model embed", "storage move"]
    documents = of(story, "documentEvents", "what")
    assert documents[:2] == ["DocumentUploaded", "ProcessingStarted"] and documents[-1] == "DocumentMoved"
    assert documents.count("DocumentIndexed") == 1
    assert of(story, "instanceEvents", "what") == ["Started", "Completed"]
    assert not {"exceptions", "traces", "deadLetterEvents"} & {row["origin"] for row in story}


async def test_of_a_file_whose_activity_failed_twice_and_then_succeeded(api: Api) -> None:
    story = await story_of(api, "bumpy.md", f"It may stumble. {TEXT}", warning_count=2)
    assert of(story, "dependencies", "attempt", "result", "detail", beginning="activity embed") == [
        ("1", "embedding_failed", "the server may not stumble"),
        ("2", "embedding_failed", "the server may not stumble"),
        ("3", "0", ""),
    ]
    assert of(story, "dependencies", "result", beginning="model embed") == ["embedding_failed", "embedding_failed", "0"]
    assert of(story, "traces", "what", "result", "detail") == [("activity failed", "embedding_failed", "embed")] * 2
    assert "DocumentIndexed" in of(story, "documentEvents", "what")
    assert not of(story, "deadLetterEvents", "what")
    answer = await api.client.post("/query", json={"query": "instances | project status, failed_attempts"})
    assert answer.json()["tables"][0]["rows"] == [["Completed", 2]]


async def test_of_a_file_that_failed_for_good(api: Api) -> None:
    story = await story_of(api, "broken.md", f"It will fall. {TEXT}", warning_count=3)
    tries = [(str(number), "embedding_failed", "the server may not fall") for number in (1, 2, 3)]
    assert of(story, "dependencies", "attempt", "result", "detail", beginning="activity embed") == tries
    assert of(story, "deadLetterEvents", "what", "attempt", "result", "detail") == [("DeadLettered", *tries[-1])]
    assert of(story, "documentEvents", "result", "detail", beginning="DocumentFailed") == [tries[-1][1:]]
    assert "DocumentIndexed" not in of(story, "documentEvents", "what")
    order = [row["what"] for row in story if row["what"] in ("DeadLettered", "activity refuse", "DocumentFailed", "Completed")]
    assert order == ["DeadLettered", "activity refuse", "DocumentFailed", "Completed"]
    letters = "deadLetters | join kind=inner (documents) on operation_Id | project status, name, name1, status1, attempts"
    answer = await api.client.post("/query", json={"query": letters})
    assert answer.json()["tables"][0]["rows"] == [["open", "embed", "broken.md", "failed", 3]]
    assert isinstance(api.parts.telemetry, Telemetry)
    assert api.parts.telemetry.drained_instance_event == 3, "Started, DeadLettered and Completed"
