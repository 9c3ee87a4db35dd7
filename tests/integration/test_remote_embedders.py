from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.integration.embedding_server import (
    DIMENSIONS,
    EmbeddingServer,
    Mood,
    Reply,
    Request,
    dropped_connection,
    embedding_server,
    filled_with,
    refusal,
    shortened,
    stall,
)
from tests.integration.http_api import http_api

from forebay.app import make_embedder
from forebay.effects import real_effects
from forebay.errors import ForebayError
from forebay.pipeline.embedders import remote
from forebay.pipeline.embedders.mock import MockEmbedder
from forebay.pipeline.embedders.port import Embedder
from forebay.pipeline.embedders.remote import RemoteEmbedder
from forebay.settings import load_settings
from forebay.testing.embedder_contract import EmbedderContract
from forebay.values.times import to_microseconds

KEY = "sk-very-secret-5d2f6f0c"
TEXTS = ["rain in the mountains", "an invoice is due", "def read_lines(path)"]


class HastyClock:
    """A clock whose sleeps take no time and move it forward."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def now(self) -> datetime:
        return datetime(2030, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def now_us(self) -> int:
        return to_microseconds(self.now())

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        until = self.seconds + seconds
        for _ in range(20):  # whoever does not wait goes first
            await asyncio.sleep(0)
        self.seconds = max(self.seconds, until)


@pytest.fixture
async def server() -> AsyncIterator[EmbeddingServer]:
    async with embedding_server() as running:
        yield running


@pytest.fixture
def clock() -> HastyClock:
    return HastyClock()


@asynccontextmanager
async def remote_embedder(server: EmbeddingServer, clock: HastyClock | None = None, **environ: object) -> AsyncIterator[RemoteEmbedder]:
    given = {
        "FOREBAY_EMBEDDER": "openai-compatible",
        "FOREBAY_EMBEDDING_URL": server.url,
        "FOREBAY_EMBEDDING_MODEL": "test-model",
        "FOREBAY_EMBEDDING_DIMENSIONS": str(DIMENSIONS),
        "OPENAI_API_KEY": KEY,
    }
    settings = load_settings(given | {name: str(value) for name, value in environ.items()}, env_file=None)
    effects = real_effects() if clock is None else dataclasses.replace(real_effects(), clock=clock)
    embedder = make_embedder(settings, effects)
    assert isinstance(embedder, RemoteEmbedder)
    try:
        yield embedder
    finally:
        await embedder.close()


async def failure_of(embedder: Embedder, texts: list[str] = TEXTS) -> ForebayError:
    with pytest.raises(ForebayError) as caught:
        await embedder.embed(texts)
    assert caught.value.code == "embedding_failed"
    assert KEY not in f"{caught.value!r} {caught.value.message} {caught.value.hint}"
    return caught.value


async def expected_vectors(texts: list[str] = TEXTS) -> Any:
    return await MockEmbedder(dimensions=DIMENSIONS).embed(texts)


class TestOpenAICompatible(EmbedderContract):
    @pytest.fixture
    async def embedder(self, server: EmbeddingServer) -> AsyncIterator[Embedder]:
        server.longest_text = 30_000
        async with remote_embedder(server, FOREBAY_EMBEDDING_BATCH_SIZE=7) as embedder:
            yield embedder


class TestOpenAI(EmbedderContract):
    @pytest.fixture
    async def embedder(self, server: EmbeddingServer) -> AsyncIterator[Embedder]:
        async with remote_embedder(server, FOREBAY_EMBEDDER="openai") as embedder:
            yield embedder


async def test_openai_gets_what_its_api_asks_for(server: EmbeddingServer):
    async with remote_embedder(server, FOREBAY_EMBEDDER="openai", FOREBAY_EMBEDDING_MODEL="text-embedding-3-small") as embedder:
        assert embedder.model_id == "openai:text-embedding-3-small:64"
        assert np.allclose(await embedder.embed(TEXTS), await expected_vectors(), atol=1e-6)
    (request,) = server.requests
    assert request.target == "/v1/embeddings"
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["host"] == f"127.0.0.1:{server.port}"
    assert request.body == {"model": "text-embedding-3-small", "input": TEXTS, "encoding_format": "base64", "dimensions": 64}


async def test_azure_gets_what_its_api_asks_for(server: EmbeddingServer):
    azure = {
        "FOREBAY_EMBEDDER": "azure",
        "AZURE_OPENAI_ENDPOINT": f"http://127.0.0.1:{server.port}/",
        "AZURE_OPENAI_API_KEY": "azure-" + KEY,
        "FOREBAY_EMBEDDING_MODEL": "",
        "EMBEDDING_MODEL_DEPLOYMENT_NAME": "my-embeddings/1",
        "OPENAI_API_VERSION": "2030-01-01-preview",
    }
    async with remote_embedder(server, **azure) as embedder:
        assert embedder.model_id == "azure:my-embeddings/1:64"
        assert np.allclose(await embedder.embed(TEXTS), await expected_vectors(), atol=1e-6)
    (request,) = server.requests
    assert request.target == "/openai/deployments/my-embeddings%2F1/embeddings?api-version=2030-01-01-preview"
    assert request.headers["api-key"] == "azure-" + KEY
    assert "authorization" not in request.headers


async def test_a_server_of_ones_own_needs_no_key(server: EmbeddingServer):
    async with remote_embedder(server, OPENAI_API_KEY="") as embedder:
        await embedder.embed(TEXTS)
    assert "authorization" not in server.requests[0].headers


async def test_texts_travel_in_batches_of_bounded_count_and_size(server: EmbeddingServer):
    texts = [f"text number {index}" for index in range(25)] + ["x" * 100_000] * 5
    async with remote_embedder(server, FOREBAY_EMBEDDING_BATCH_SIZE=10) as embedder:
        vectors = await embedder.embed(texts)
        assert embedder.costs.requests == len(server.requests)
    assert np.allclose(vectors, await expected_vectors(texts), atol=1e-6)
    assert sorted(len(request.texts) for request in server.requests) == [1, 2, 7, 10, 10]
    assert max(sum(map(len, request.texts)) for request in server.requests) <= 250_000


async def test_no_more_requests_are_under_way_than_the_setting_says(server: EmbeddingServer):
    async with remote_embedder(server, FOREBAY_EMBEDDING_BATCH_SIZE=1, FOREBAY_EMBEDDING_CONCURRENCY=3) as embedder:
        await asyncio.gather(*(embedder.embed(TEXTS * 4) for _ in range(3)))
    assert len(server.requests) == 36
    assert server.most_active_count <= 3


async def test_tokens_and_costs_are_counted(server: EmbeddingServer):
    async with remote_embedder(server, FOREBAY_EMBEDDING_USD_PER_MILLION_TOKENS=2) as embedder:
        await embedder.embed(["one two three", "four"])
        await embedder.embed(["five"])
        assert (embedder.costs.requests, embedder.costs.tokens) == (2, 5)
        assert embedder.costs.usd == pytest.approx(5 * 2 / 1e6)
    async with remote_embedder(server) as embedder:
        assert embedder.costs.usd is None


# ---- rates


async def test_all_callers_wait_as_long_as_one_is_asked_to(server: EmbeddingServer, clock: HastyClock):
    server.moods = [refusal(429, "slow down", Retry_After="30")]
    times: list[float] = []
    server.on_request = lambda: times.append(clock.seconds)
    async with remote_embedder(server, clock, FOREBAY_EMBEDDING_CONCURRENCY=1) as embedder:
        vectors, _, _ = await asyncio.gather(*(embedder.embed(TEXTS) for _ in range(3)))
    assert np.allclose(vectors, await expected_vectors(), atol=1e-6)
    assert times == [1000, 1030, 1030, 1030]


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (429, {"Retry_After": "7"}, 7),
        (503, {"Retry_After": "7"}, 7),
        (429, {"retry_after_ms": "1500"}, 1.5),
        (429, {"Retry_After": "Tue, 01 Jan 2030 00:17:00 GMT"}, 20),
        (429, {"x_ratelimit_remaining_requests": "0", "x_ratelimit_reset_requests": "12s", "x_ratelimit_reset_tokens": "50s"}, 12),
        (429, {"x_ratelimit_remaining_tokens": "0", "x_ratelimit_reset_tokens": "0m30.5s"}, 30.5),
    ],
)
async def test_a_refusal_says_in_many_ways_how_long_to_wait(
    server: EmbeddingServer, clock: HastyClock, status: int, headers: dict[str, str], seconds: float
):
    server.moods = [refusal(status, "slow down", **headers)]
    async with remote_embedder(server, clock) as embedder:
        await embedder.embed(TEXTS)
    assert clock.seconds == pytest.approx(1000 + seconds)


async def test_an_answer_that_uses_up_the_limit_makes_the_next_request_wait(server: EmbeddingServer, clock: HastyClock):
    async def last_one(request: Request) -> Reply:
        reply = await server.well(request)
        return dataclasses.replace(reply, headers={"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "2s"})

    server.moods = [last_one]
    async with remote_embedder(server, clock) as embedder:
        await embedder.embed(TEXTS)
        assert clock.seconds == 1000
        await embedder.embed(TEXTS)
        assert clock.seconds == 1002


async def test_a_limit_that_lasts_fails_for_now_after_a_minute(server: EmbeddingServer, clock: HastyClock):
    server.lasting_mood = refusal(429, "slow down", Retry_After="3600")
    async with remote_embedder(server, clock) as embedder:
        error = await failure_of(embedder)
        assert (error.retryable, error.status) == (True, 503)
        assert clock.seconds == 1060
        assert len(server.requests) == 1


async def test_refusals_without_a_time_are_answered_by_longer_and_longer_waits(server: EmbeddingServer, clock: HastyClock):
    server.lasting_mood = refusal(429, "slow down")
    async with remote_embedder(server, clock) as embedder:
        assert (await failure_of(embedder)).retryable
    assert 5 < len(server.requests) < 12


async def test_a_used_up_quota_is_not_waited_for(server: EmbeddingServer, clock: HastyClock):
    server.lasting_mood = refusal(429, "You exceeded your current quota", "insufficient_quota", Retry_After="5")
    async with remote_embedder(server, clock) as embedder:
        error = await failure_of(embedder)
    assert not error.retryable
    assert "billing" in error.hint
    assert len(server.requests) == 1


# ---- outages


@pytest.mark.parametrize("mood", [refusal(500, "oops"), refusal(502), refusal(503, "loading"), refusal(408), dropped_connection])
async def test_what_passes_is_tried_again_at_once(server: EmbeddingServer, clock: HastyClock, mood: Mood):
    server.moods = [mood, mood]
    async with remote_embedder(server, clock) as embedder:
        assert np.allclose(await embedder.embed(TEXTS), await expected_vectors(), atol=1e-6)
    assert len(server.requests) == 3
    assert clock.seconds > 1001


@pytest.mark.parametrize("mood", [refusal(500, "oops"), dropped_connection])
async def test_what_stays_is_left_to_the_pipeline(server: EmbeddingServer, clock: HastyClock, mood: Mood):
    server.lasting_mood = mood
    async with remote_embedder(server, clock) as embedder:
        error = await failure_of(embedder)
    assert (error.retryable, error.status) == (True, 503)
    assert len(server.requests) == remote.TRY_COUNT


async def test_a_server_that_stalls_is_given_up_after_the_timeout(server: EmbeddingServer, clock: HastyClock):
    server.lasting_mood = stall
    async with remote_embedder(server, clock, FOREBAY_EMBEDDING_TIMEOUT_SECONDS=0.1) as embedder:
        error = await failure_of(embedder)
    assert error.retryable
    assert "within 0.1 s" in error.message


async def test_a_server_that_is_not_there_is_named_by_its_model_only(server: EmbeddingServer, clock: HastyClock):
    async with remote_embedder(server, clock, FOREBAY_EMBEDDING_URL="http://127.0.0.1:1/v1") as embedder:
        error = await failure_of(embedder)
    assert error.retryable
    assert error.message.startswith("the embedder openai-compatible:test-model:64 could not be asked")


# ---- wrong answers


def without_last(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return items[:-1]


@pytest.mark.parametrize(
    ("change", "expected", "retryable"),
    [
        (without_last, "expected 3 vectors, got 2", True),
        (lambda items: [], "expected 3 vectors, got 0", True),
        (lambda items: [*items[:-1], items[0]], "expected each index from 0 to 2 once", True),
        (lambda items: [shortened(item) for item in items], "expected vectors of 64 dimensions, got 63", False),
        (lambda items: [shortened(items[0]), *items[1:]], "expected vectors of 64 dimensions, got 63, 64", False),
        (filled_with(float("nan")), "NaN or infinity", True),
        (filled_with(float("inf")), "NaN or infinity", True),
        (filled_with(0), "one of zeros", True),
        (lambda items: [item | {"embedding": None} for item in items], "expected an embeddings answer", True),
        (lambda items: [item | {"embedding": "not base64"} for item in items], "expected base64", True),
    ],
)
async def test_an_answer_that_is_not_real_is_refused(
    server: EmbeddingServer, clock: HastyClock, change: Any, expected: str, retryable: bool
):
    server.lasting_mood = server.changed(change)
    async with remote_embedder(server, clock) as embedder:
        error = await failure_of(embedder)
        assert expected in error.message
        assert error.retryable is retryable
        assert embedder.costs.tokens == 0


async def test_vectors_are_put_in_order_by_their_index(server: EmbeddingServer):
    server.lasting_mood = server.changed(lambda items: items[::-1])
    async with remote_embedder(server) as embedder:
        assert np.allclose(await embedder.embed(TEXTS), await expected_vectors(), atol=1e-6)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"data":[{"index":0,"embedding":[NaN]}]}', b"\xff\xfe", b"x" * 4_000_000])
async def test_an_answer_of_another_kind_is_refused(server: EmbeddingServer, clock: HastyClock, body: bytes):
    async def other(request: Request) -> Reply:
        return Reply(body=body)

    server.lasting_mood = other
    async with remote_embedder(server, clock) as embedder:
        await failure_of(embedder)


async def test_an_answer_without_end_is_cut_off(server: EmbeddingServer, clock: HastyClock):
    async def endless(request: Request) -> Reply:
        return Reply(body=b" " * 4_000_000)

    server.lasting_mood = endless
    async with remote_embedder(server, clock) as embedder:
        error = await failure_of(embedder)
    assert "bytes for 3 vectors, but more came" in error.message


async def test_closing_ends_a_request_that_would_never_be_answered(server: EmbeddingServer):
    server.lasting_mood = stall
    arrived = asyncio.Event()
    server.on_request = arrived.set
    async with remote_embedder(server) as embedder:
        call = asyncio.create_task(failure_of(embedder))
        await arrived.wait()
        async with asyncio.timeout(10):  # less than the request's own timeout
            await embedder.close()
            assert (await call).retryable


async def test_a_caller_that_gives_up_frees_its_place(server: EmbeddingServer):
    server.moods = [stall]
    arrived = asyncio.Event()
    server.on_request = arrived.set
    async with remote_embedder(server, FOREBAY_EMBEDDING_CONCURRENCY=1) as embedder:
        call = asyncio.create_task(embedder.embed(TEXTS))
        await arrived.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert np.allclose(await embedder.embed(TEXTS), await expected_vectors(), atol=1e-6)


# ---- refusals


@pytest.mark.parametrize(
    ("status", "hint"),
    [(401, "OPENAI_API_KEY"), (403, "OPENAI_API_KEY"), (404, "model's name (test-model)"), (400, "forebay settings"), (302, "Redirects")],
)
async def test_a_refusal_that_stays_is_not_tried_again(server: EmbeddingServer, clock: HastyClock, status: int, hint: str):
    server.lasting_mood = refusal(status, f"no: {KEY} is not what I want", Location="http://127.0.0.1:1/elsewhere")
    async with remote_embedder(server, clock) as embedder:
        error = await failure_of(embedder)
    assert (error.retryable, error.status) == (False, 502)
    assert f"answered {status}" in error.message
    assert ("is not what I want" in error.message) == (status not in (401, 403))  # such answers quote parts of keys
    assert hint in error.hint
    assert len(server.requests) == 1


async def test_a_text_that_is_too_long_is_cut_and_counted_and_its_neighbours_are_not(server: EmbeddingServer):
    server.longest_text = 1000
    long = " ".join(f"word{index}" for index in range(1000))
    async with remote_embedder(server) as embedder:
        alone = (await embedder.embed([long]))[0]
        together = await embedder.embed([*TEXTS, long, *TEXTS])
        assert embedder.truncated_text_count == 2
    cut = next(request.texts[0] for request in server.requests if max(map(len, request.texts)) <= 1000)
    assert len(cut) > 400
    assert long.startswith(cut)
    assert np.allclose(together[3], alone)
    assert np.allclose(np.delete(together, 3, axis=0), await expected_vectors(TEXTS * 2), atol=1e-6)


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "This model's maximum context length is 8192 tokens, however you requested 8610 tokens"),
        (400, "Requested 309209 tokens, max 300000 tokens per request"),
        (400, "the input length exceeds the context length"),
        (413, "Input validation error: `inputs` must have less than 512 tokens. Given: 1000"),
        (422, "batch size 64 > maximum allowed batch size 32"),
        (500, "input is too large to process. increase the physical batch size"),
        (500, "input (744 tokens) is too large to process"),
    ],
)
async def test_servers_say_in_many_ways_that_an_input_is_too_long(server: EmbeddingServer, status: int, message: str):
    server.moods = [refusal(status, message)]
    async with remote_embedder(server) as embedder:
        await embedder.embed(TEXTS)
        assert embedder.truncated_text_count == 0  # each alone was short enough
    assert [len(request.texts) for request in server.requests] == [3, 1, 2]


async def test_a_busy_server_does_not_get_texts_cut(server: EmbeddingServer, clock: HastyClock):
    server.moods = [refusal(500, "too many requests in the queue")]
    async with remote_embedder(server, clock) as embedder:
        assert np.allclose(await embedder.embed(TEXTS[:1]), await expected_vectors(TEXTS[:1]), atol=1e-6)
        assert embedder.truncated_text_count == 0


async def test_a_server_that_finds_everything_too_long_fails_clearly(server: EmbeddingServer):
    server.lasting_mood = refusal(413, "too long")
    async with remote_embedder(server) as embedder:
        error = await failure_of(embedder)
    assert not error.retryable
    assert "refused even 16 characters" in error.message


async def test_a_model_that_cannot_be_asked_for_dimensions_is_used_as_it_is(server: EmbeddingServer):
    async def fixed(request: Request) -> Reply:
        if "dimensions" in request.body:
            return await refusal(400, "This model does not support specifying dimensions.")(request)
        return await server.well(request)

    server.lasting_mood = fixed
    async with remote_embedder(server) as embedder:
        await embedder.embed(TEXTS)
        await embedder.embed(TEXTS)
    assert ["dimensions" in request.body for request in server.requests] == [True, False, False]


async def test_the_key_is_in_no_log_and_no_repr(server: EmbeddingServer, clock: HastyClock, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    server.moods = [refusal(500, KEY), refusal(429, KEY, Retry_After="1"), refusal(400, f"bad {KEY}")]
    async with remote_embedder(server, clock) as embedder:
        await failure_of(embedder)
        await embedder.embed(TEXTS)
        assert KEY not in repr(embedder) + repr(vars(embedder)) + repr(embedder._endpoint)
    assert KEY in server.requests[0].headers["authorization"]
    assert caplog.text
    assert KEY not in caplog.text


async def test_proxies_of_the_environment_are_not_used(server: EmbeddingServer, monkeypatch: pytest.MonkeyPatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with remote_embedder(server) as embedder:
        await embedder.embed(TEXTS)
    assert len(server.requests) == 1


# ---- the whole program


def program_settings(server: EmbeddingServer) -> dict[str, object]:
    return {
        "embedder": "openai-compatible",
        "embedding_url": server.url,
        "embedding_model": "test-model",
        "embedding_dimensions": DIMENSIONS,
        "first_retry_seconds": 0.01,
        "activity_attempts": 3,
    }


def stored_vectors(data_dir: Path) -> Any:
    with sqlite3.connect(data_dir / "catalog.db") as connection:
        rows = connection.execute("SELECT model, vector FROM vectors").fetchall()
    connection.close()
    assert {model for model, _ in rows} <= {"openai-compatible:test-model:64"}
    return np.array([np.frombuffer(vector, "<f4") for _, vector in rows])


async def test_documents_survive_short_outages_and_fail_in_long_ones(
    server: EmbeddingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(remote, "FIRST_BACKOFF_SECONDS", 0.01)
    async with http_api(tmp_path / "data", **program_settings(server)) as api:
        first = await api.upload("first.txt", "The invoice is due within thirty days.")
        assert first["status"] == "indexed"

        server.moods = [refusal(500, "oops")] * (remote.TRY_COUNT + 1)  # longer than one try of the activity
        second = await api.upload("second.txt", "Rain is expected in the mountains tonight.")
        assert second["status"] == "indexed"

        server.requests.clear()
        server.lasting_mood = dropped_connection
        lost = await api.upload("lost.txt", "Nobody embeds this sentence.")
        assert (lost["status"], lost["reason"]) == ("failed", "embedding_failed")
        assert len(server.requests) == 3 * remote.TRY_COUNT

        server.lasting_mood = server.changed(filled_with(0))
        empty = await api.upload("empty.txt", "This sentence gets a vector of zeros.")
        assert (empty["status"], empty["reason"]) == ("failed", "embedding_failed")

        server.lasting_mood = refusal(401, "who are you?")
        server.requests.clear()
        refused = await api.upload("refused.txt", "The key of this sentence is wrong.")
        assert (refused["status"], refused["reason"]) == ("failed", "embedding_failed")
        assert len(server.requests) == 1

        server.lasting_mood = None
        again = await api.upload("lost.txt", "Nobody embeds this sentence.")
        assert again["status"] == "indexed"
        found = await api.client.post("/search", json={"query": "rain in the mountains", "mode": "vector", "k": 1})
        assert found.json()["hits"][0]["name"] == "second.txt"
    vectors = stored_vectors(tmp_path / "data")
    assert vectors.shape == (3, DIMENSIONS)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


async def test_the_key_is_nowhere_in_the_data_directory(server: EmbeddingServer, tmp_path: Path):
    server.lasting_mood = refusal(400, f"I do not like {KEY}")
    async with http_api(tmp_path / "data", **program_settings(server), openai_api_key=KEY) as api:
        lost = await api.upload("lost.txt", "Nobody embeds this sentence.")
        assert lost["status"] == "failed"
        assert KEY not in json.dumps(lost)
        assert KEY not in (await api.client.get("/health")).text
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"
    for path in (tmp_path / "data").rglob("*"):
        assert path.is_dir() or KEY.encode() not in path.read_bytes(), path


async def test_what_embedding_costs_is_in_the_history_and_in_the_summary(
    server: EmbeddingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(remote, "FIRST_BACKOFF_SECONDS", 0.01)
    settings = program_settings(server) | {"embedding_usd_per_million_tokens": 2.0}
    async with http_api(tmp_path / "data", **settings) as api:
        first = await api.upload("first.txt", "one two three four")
        assert costs_in_history(first) == [{"requests": 1, "retries": 0, "tokens": 4, "waited_seconds": 0, "usd": 8e-6}]

        server.moods = [refusal(429, Retry_After_Ms="120")]
        waited = await api.upload("second.txt", "five six")
        (costs,) = costs_in_history(waited)
        assert costs | {"waited_seconds": 0} == {"requests": 2, "retries": 1, "tokens": 2, "waited_seconds": 0, "usd": 4e-6}
        assert 0.1 <= costs["waited_seconds"] < 5

        again = await api.upload("second.txt", "five six")  # its vector is there already
        assert costs_in_history(again) == [costs]

        server.moods = [refusal(500)] * remote.TRY_COUNT  # one try of the activity fails, and costs all the same
        await api.upload("third.txt", "seven")
        await api.client.post("/search", json={"query": "a question", "mode": "vector"})
        total = (await api.client.get("/documents/summary")).json()["costs"]
        assert (total["requests"], total["tokens"], total["usd"]) == (1 + 2 + remote.TRY_COUNT + 1, 7, 1.4e-5)


async def test_concurrent_documents_are_charged_for_what_each_took(server: EmbeddingServer, tmp_path: Path):
    async with http_api(tmp_path / "data", **program_settings(server)) as api:
        texts = {f"{number}.txt": " ".join(f"word{number}x{each}" for each in range(number)) for number in range(1, 9)}
        documents = await asyncio.gather(*(api.upload(name, text) for name, text in texts.items()))
        for document in documents:
            (costs,) = costs_in_history(document)
            assert (costs["requests"], costs["tokens"]) == (1, int(document["name"].removesuffix(".txt")))
            assert "usd" not in costs


async def test_a_local_embedder_costs_nothing(tmp_path: Path):
    async with http_api(tmp_path) as api:
        document = await api.upload("first.txt", "one two three four")
        assert [event["data"] for event in document["events"] if event["type"] == "ChunksEmbedded"] == [{"embedded": 1}]
        assert (await api.client.get("/documents/summary")).json()["costs"] == {}


def costs_in_history(document: dict[str, Any]) -> list[dict[str, float]]:
    return [event["data"]["costs"] for event in document["events"] if event["type"] == "ChunksEmbedded"]
