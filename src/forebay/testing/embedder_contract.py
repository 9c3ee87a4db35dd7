"""What every embedder must do. Subclass `EmbedderContract`, give it a pytest fixture `embedder`, and pytest runs the rest."""

from __future__ import annotations

import asyncio
import contextlib

import numpy as np

from forebay.errors import ForebayError
from forebay.pipeline.embedders.port import Embedder

_TEXTS = [
    "The invoice is due within thirty days.",
    "def read_lines(path): return path.read_text().splitlines()",
    "Rain is expected in the mountains tonight.",
]
_ODD_TEXTS = ["", " \n\t", "\0", "!?...", "\ud800 lone surrogate", "日本語の文章", "👩‍👩‍👧 family", "word " * 20_000]
_ROUNDING = 1e-5  # remote models do not repeat themselves to the last digit


class EmbedderContract:
    """The contract of `Embedder`, one promise a test."""

    async def test_every_text_gets_a_row_of_unit_length(self, embedder: Embedder) -> None:
        vectors = await embedder.embed(_TEXTS)
        assert vectors.shape == (len(_TEXTS), embedder.dimensions)
        assert vectors.dtype == np.float32
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=_ROUNDING)

    async def test_it_names_its_model(self, embedder: Embedder) -> None:
        assert embedder.model_id.strip()
        assert embedder.dimensions >= 1

    async def test_no_texts_give_no_rows(self, embedder: Embedder) -> None:
        assert (await embedder.embed([])).shape == (0, embedder.dimensions)

    async def test_rows_come_in_the_order_of_the_texts_and_do_not_depend_on_the_company(self, embedder: Embedder) -> None:
        together = await embedder.embed([*_TEXTS, *reversed(_TEXTS)])
        for index, text in enumerate(_TEXTS):
            alone = (await embedder.embed([text]))[0]
            assert np.allclose(together[index], alone, atol=_ROUNDING)
            assert np.allclose(together[-1 - index], alone, atol=_ROUNDING)

    async def test_calls_at_the_same_time_do_not_mix(self, embedder: Embedder) -> None:
        expected = await embedder.embed(_TEXTS)
        answers = await asyncio.gather(*(embedder.embed([text] * 5) for text in _TEXTS * 3))
        for index, answer in enumerate(answers):
            assert np.allclose(answer, np.tile(expected[index % len(_TEXTS)], (5, 1)), atol=_ROUNDING)

    async def test_similar_texts_are_nearer_than_unrelated_ones(self, embedder: Embedder) -> None:
        invoice, similar, unrelated = await embedder.embed([_TEXTS[0], "The invoice must be paid within thirty days.", _TEXTS[2]])
        assert invoice @ similar > invoice @ unrelated

    async def test_odd_texts_get_real_vectors(self, embedder: Embedder) -> None:
        vectors = await embedder.embed(_ODD_TEXTS)
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=_ROUNDING)

    async def test_a_cancelled_call_leaves_the_others_alone(self, embedder: Embedder) -> None:
        expected = await embedder.embed(_TEXTS)
        doomed = asyncio.create_task(embedder.embed(_TEXTS * 20))
        other = asyncio.create_task(embedder.embed(_TEXTS))
        await asyncio.sleep(0)  # both have begun
        doomed.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await doomed
        assert np.allclose(await other, expected, atol=_ROUNDING)

    async def test_a_closed_embedder_says_so(self, embedder: Embedder) -> None:
        await embedder.close()
        await embedder.close()
        try:
            await embedder.embed(_TEXTS)
        except ForebayError as error:
            assert error.code == "embedding_failed"
        else:
            raise AssertionError("expected ForebayError embedding_failed from a closed embedder, got vectors")

    async def test_closing_fails_the_calls_under_way_instead_of_hanging(self, embedder: Embedder) -> None:
        calls = [asyncio.create_task(embedder.embed(_TEXTS * 20)) for _ in range(5)]
        await asyncio.sleep(0)  # all have begun
        await embedder.close()
        async with asyncio.timeout(30):
            answers = await asyncio.gather(*calls, return_exceptions=True)
        for answer in answers:
            if isinstance(answer, ForebayError):
                assert answer.code == "embedding_failed"
            else:  # it was done before
                assert not isinstance(answer, BaseException)
                assert len(answer) == 20 * len(_TEXTS)
