"""The default embedder's model in a process of its own, in one of the ways that were tried.

    python -m benchmarks.embedder_child CACHE_DIRECTORY OPTIONS

CTranslate2 reads its environment once, so each way needs a process. One JSON object a line goes in, `{"texts", "vectors": path}`, and one
comes back, `{"seconds", "cpu_seconds"}`, after a first line `{"ready"}`; the vectors are written to the path. OPTIONS is a JSON object of
the parameters of `Way`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from forebay.pipeline.embedders import minilm

Vectors = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True, kw_only=True)
class Way:
    """How to embed; the defaults are what the program does with two threads."""

    workers: int = 2
    threads_per_worker: int = 1
    compute_type: str = "int8"
    batch_size: int = 1  # texts a run, of similar length
    max_tokens: int = minilm.MAX_TOKENS
    tokenise_first: bool = False  # all texts, in the tokenizer's own threads
    environment: dict[str, str] = field(default_factory=dict)


class Model:
    """Tokenizer and encoder, without what the program adds."""

    def __init__(self, cache: Path, way: Way) -> None:
        directory, state = minilm.model_cache(cache)  # chooses the instructions, before the import
        import ctranslate2

        self._way = way
        self._tokenizer = minilm._tokenizer(minilm._shipped_tokenizer())
        self._tokenizer.enable_truncation(way.max_tokens)
        assert state == "intact"
        self._encoder = ctranslate2.Encoder(
            str(directory), device="cpu", compute_type=way.compute_type, inter_threads=way.workers, intra_threads=way.threads_per_worker
        )
        self._pool = ThreadPoolExecutor(way.workers)

    def embed(self, texts: Sequence[str]) -> Vectors:
        tokens: list[list[int]] | None = None
        if self._way.tokenise_first or self._way.batch_size > 1:
            tokens = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        sizes = [len(text) for text in texts] if tokens is None else [len(each) for each in tokens]
        order = sorted(range(len(texts)), key=lambda index: -sizes[index])
        vectors = np.empty((len(texts), minilm.HIDDEN_SIZE), np.float32)

        def run(group: list[int]) -> None:
            batch = [tokens[index] if tokens else self._tokenizer.encode(texts[index]).ids for index in group]
            states = np.asarray(self._encoder.forward_batch(batch).last_hidden_state)
            for row, (index, ids) in enumerate(zip(group, batch, strict=True)):
                mean = states[row, : len(ids)].mean(axis=0)
                vectors[index] = mean / np.linalg.norm(mean)

        size = self._way.batch_size
        list(self._pool.map(run, [order[first : first + size] for first in range(0, len(order), size)]))
        return vectors


def main() -> None:
    cache, options = sys.argv[1:]
    way = Way(**json.loads(options))
    os.environ.update(way.environment)
    model = Model(Path(cache), way)
    print(json.dumps({"ready": options}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        cpu, began = time.process_time(), time.perf_counter()
        vectors = model.embed(request["texts"])
        seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu
        np.save(request["vectors"], vectors)
        print(json.dumps({"seconds": seconds, "cpu_seconds": cpu_seconds}), flush=True)


if __name__ == "__main__":
    main()
