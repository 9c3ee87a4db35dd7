from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from forebay.pipeline.embedders.minilm import MiniLMEmbedder
from forebay.pipeline.embedders.mock import MockEmbedder
from forebay.pipeline.embedders.port import Embedder
from forebay.testing.embedder_contract import EmbedderContract


@pytest.fixture(scope="module")
def cache_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("model-cache")


class TestMockEmbedder(EmbedderContract):
    @pytest.fixture
    async def embedder(self) -> AsyncIterator[Embedder]:
        embedder = MockEmbedder()
        yield embedder
        await embedder.close()

    async def test_calls_and_texts_are_counted(self) -> None:
        embedder = MockEmbedder(dimensions=8)
        await embedder.embed(["one", "two"])
        await embedder.embed(["three"])
        assert (embedder.call_count, embedder.text_count) == (2, 3)

    async def test_vectors_are_the_same_in_every_process(self) -> None:
        vectors = await MockEmbedder(dimensions=4).embed(["the same in every process"])
        assert vectors[0].tolist() == pytest.approx([0, 0, 1 / 5**0.5, 2 / 5**0.5])


class TestMiniLMEmbedder(EmbedderContract):
    @pytest.fixture
    async def embedder(self, cache_directory: Path) -> AsyncIterator[Embedder]:
        embedder = MiniLMEmbedder(cache_directory=cache_directory, thread_count=2)
        yield embedder
        await embedder.close()
