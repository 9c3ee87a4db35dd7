from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.app import make_embedder
from forebay.errors import ForebayError
from forebay.pipeline.embedders.pacing import LONGEST_PAUSE_SECONDS, Pace, asked_pause_seconds, duration_seconds
from forebay.pipeline.embedders.wire import InvalidAnswer, decode_answer, encode_request, error_of, sendable
from forebay.settings import load_settings
from forebay.testing.virtual_loop import VirtualClock, VirtualTimeLoop

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
NUMBERS = st.floats(width=32) | st.integers(-3, 3) | st.none()
ITEMS = st.fixed_dictionaries(
    {
        "index": st.integers(-1, 3),
        "embedding": st.lists(NUMBERS, max_size=4)
        | st.lists(st.floats(width=32), max_size=4).map(lambda row: base64.b64encode(np.array(row, "<f4").tobytes()).decode())
        | st.text(max_size=6),
    }
)


def test_texts_that_cannot_travel_are_replaced():
    assert [sendable(text) for text in ("", " \n", "a\ud800b", "日本")] == [".", ".", "a\ufffdb", "日本"]


def test_a_request_has_dimensions_only_when_they_are_asked_for():
    request = encode_request(["a"], model="m", encoding="float", dimensions=None)
    assert json.loads(request) == {"model": "m", "input": ["a"], "encoding_format": "float"}


@given(st.lists(ITEMS, max_size=4), st.none() | st.dictionaries(st.sampled_from(["total_tokens"]), st.integers() | st.text()))
def test_an_answer_is_either_refused_or_real(items: list[dict[str, object]], usage: object):
    try:
        vectors = decode_answer(json.dumps({"data": items, "usage": usage}).encode(), count=2, dimensions=3)
    except InvalidAnswer:
        return
    assert vectors.matrix.shape == (2, 3)
    assert vectors.matrix.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors.matrix, axis=1), 1, atol=1e-5)
    assert vectors.token_count >= 0


@given(st.binary(max_size=60))
def test_an_answer_of_any_bytes_is_refused(body: bytes):
    with pytest.raises(InvalidAnswer):
        decode_answer(body, count=1, dimensions=3)
    assert all(isinstance(part, str) for part in error_of(body))


@given(st.integers(0, 2**31), st.integers(0, 2**31))
def test_numbers_of_any_size_keep_their_direction(x: int, y: int):
    if not x and not y:
        return
    body = json.dumps({"data": [{"index": 0, "embedding": [x, y]}]}).encode()
    ((first, second),) = decode_answer(body, count=1, dimensions=2).matrix
    assert first * y == pytest.approx(second * x, rel=1e-4, abs=1e-3 * max(x, y))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"error": {"message": "no", "type": "t", "code": "c"}}, ("c", "no")),
        ({"error": {"message": "no", "type": "t", "code": None}}, ("t", "no")),
        ({"error": {"message": "no", "code": 400}}, ("", "no")),
        ({"error": "no"}, ("", "no")),
        ({"object": "error", "message": "no", "type": "BadRequestError"}, ("BadRequestError", "no")),
        ({"detail": "no"}, ("", "no")),
        (["no"], ("", "")),
        ({"error": None}, ("", "")),
    ],
)
def test_errors_are_read_in_the_shapes_that_servers_use(body: object, expected: tuple[str, str]):
    assert error_of(json.dumps(body).encode()) == expected


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("6m0s", 360), ("20ms", 0.02), ("1.5s", 1.5), ("1h2m3s", 3723), ("12", 12), ("1d", 86_400), ("", None), ("-1s", None), ("soon", None)],
)
def test_durations_are_read_as_providers_write_them(text: str, seconds: float | None):
    assert duration_seconds(text) == (None if seconds is None else pytest.approx(seconds))


@given(st.text(max_size=20))
def test_any_header_gives_a_wait_that_is_not_negative_or_none(text: str):
    for name in ("retry-after", "retry-after-ms", "x-ratelimit-reset-requests"):
        asked = asked_pause_seconds({name: text, "x-ratelimit-remaining-requests": "0"}, NOON)
        assert asked is None or asked >= 0


def test_a_date_that_has_passed_asks_for_no_wait():
    assert asked_pause_seconds({"retry-after": "Tue, 01 Jan 2030 11:00:00 GMT"}, NOON) == 0


def test_a_pause_holds_for_everybody_is_never_shortened_and_has_an_end():
    loop = VirtualTimeLoop()
    clock = VirtualClock(loop)
    pace = Pace(clock)

    async def story() -> None:
        assert await pace.wait(0)
        pace.pause(10)
        pace.pause(3)
        assert not await pace.wait(4)
        assert clock.monotonic() == pytest.approx(4)
        assert await pace.wait(60)
        assert clock.monotonic() == pytest.approx(10)
        pace.pause(1e9)
        assert await pace.wait(1e9)
        assert clock.monotonic() == pytest.approx(10 + LONGEST_PAUSE_SECONDS)

    try:
        loop.run_until_complete(story())
    finally:
        loop.close()


@pytest.mark.parametrize(
    ("given_variables", "missing"),
    [
        ({"FOREBAY_EMBEDDER": "openai"}, "OPENAI_API_KEY"),
        ({"FOREBAY_EMBEDDER": "openai", "OPENAI_API_KEY": "k", "FOREBAY_EMBEDDING_MODEL": "new"}, "FOREBAY_EMBEDDING_DIMENSIONS"),
        ({"FOREBAY_EMBEDDER": "azure"}, "AZURE_OPENAI_ENDPOINT"),
        ({"FOREBAY_EMBEDDER": "azure", "AZURE_OPENAI_ENDPOINT": "https://a.example"}, "EMBEDDING_MODEL_DEPLOYMENT_NAME"),
        ({"FOREBAY_EMBEDDER": "openai-compatible"}, "FOREBAY_EMBEDDING_URL"),
        ({"FOREBAY_EMBEDDER": "openai-compatible", "FOREBAY_EMBEDDING_URL": "http://a.example"}, "FOREBAY_EMBEDDING_MODEL"),
    ],
)
def test_a_remote_embedder_names_what_it_lacks(given_variables: dict[str, str], missing: str):
    with pytest.raises(ForebayError) as caught:
        make_embedder(load_settings(given_variables, env_file=None))
    assert caught.value.code == "invalid_setting"
    assert caught.value.message.startswith(f"{missing} is missing")


@pytest.mark.parametrize(
    ("model", "model_id"),
    [
        ("", "openai-compatible:bge-m3:1024"),
        ("BAAI/bge-small-en-v1.5", "openai-compatible:BAAI/bge-small-en-v1.5:384"),
        ("nomic-embed-text:latest", "openai-compatible:nomic-embed-text:latest:768"),
    ],
)
def test_the_dimensions_of_usual_models_are_known(model: str, model_id: str):
    variables = {"FOREBAY_EMBEDDER": "openai-compatible", "FOREBAY_EMBEDDING_URL": "http://a.example"}
    embedder = make_embedder(load_settings(variables | {"FOREBAY_EMBEDDING_MODEL": model or "bge-m3"}, env_file=None))
    assert embedder.model_id == model_id


def test_forbidden_remote_models_are_replaced_by_the_local_one():
    variables = {"FOREBAY_EMBEDDER": "openai", "OPENAI_API_KEY": "k", "DISABLE_OPENAI": "1"}
    assert "MiniLM" in make_embedder(load_settings(variables, env_file=None)).model_id
