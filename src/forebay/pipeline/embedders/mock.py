"""A deterministic embedder without a model: for tests, and for benchmarks that measure everything else."""

from __future__ import annotations

import string
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from forebay.errors import ForebayError
from forebay.pipeline.embedders.port import closed_error

_CACHED_WORDS_LIMIT = 1 << 16
_PUNCTUATION_TO_SPACE = str.maketrans(dict.fromkeys(string.punctuation, " "))


class MockEmbedder:
    """Signed feature hashing of the words of a text (Weinberger et al., "Feature Hashing", 2009).

    Texts that share words are near each other; the order of words does not count.
    """

    def __init__(self, *, dimensions: int = 64) -> None:
        if dimensions < 1:
            raise ForebayError("invalid_setting", f"expected at least 1 dimension, got {dimensions}")
        self.model_id = f"mock-{dimensions}"
        self.dimensions = dimensions
        self.call_count = 0
        self.text_count = 0
        self._words = _WordCodes(dimensions)
        self._closed = False

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See `Embedder.embed`."""
        if self._closed:
            raise closed_error()
        self.call_count += 1
        self.text_count += len(texts)
        if len(self._words) > _CACHED_WORDS_LIMIT:
            self._words.clear()
        # one flat histogram for all texts: a loop over words in Python would cost more than the rest of a pipeline
        codes: list[int] = []
        word_counts: list[int] = []
        for text in texts:
            words = text.lower().translate(_PUNCTUATION_TO_SPACE).split()
            codes.extend(map(self._words.__getitem__, words))
            word_counts.append(len(words))
        rows = np.repeat(np.arange(len(texts)), word_counts)
        column_count = 2 * self.dimensions
        counts = np.bincount(rows * column_count + np.array(codes, np.int64), minlength=len(texts) * column_count)
        signed = counts.reshape(len(texts), self.dimensions, 2)
        vectors = (signed[:, :, 0] - signed[:, :, 1]).astype(np.float32)
        for row in np.flatnonzero(~vectors.any(axis=1)):  # no words, or signs that cancel
            vectors[row, zlib.crc32(_encoded(texts[int(row)])) % self.dimensions] = 1.0
        unit: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return unit

    async def close(self) -> None:
        """See `Embedder.close`."""
        self._closed = True


class _WordCodes(dict[str, int]):
    """Twice a word's column, plus one where its sign is negative; computed once a word."""

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        self._code_count = 2 * dimensions

    def __missing__(self, word: str) -> int:
        # crc32 and not hash(): the latter differs from process to process
        code = self[word] = zlib.crc32(_encoded(word)) % self._code_count
        return code


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
