"""Chunks per second of the default embedder: through `embed`, and of the bare model in two threads on the same texts.

    .venv/bin/python benchmarks/embedder.py [--rounds 5] [--texts 300] [--threads 2]

The texts are slices of 800 characters of the standard library. Rounds are interleaved; medians are printed, one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import statistics
import sysconfig
import tempfile
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from forebay.pipeline.embedders import minilm
from forebay.pipeline.embedders.minilm import MAX_TOKENS, MiniLMEmbedder
from forebay.pipeline.embedders.mock import MockEmbedder

CHUNK_CHARACTERS = 800
SLICE_TEXTS = 64  # the pipeline's fan-out
CONCURRENT_CALLS = 4


def standard_library_texts(count: int) -> list[str]:
    texts: list[str] = []
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        content = path.read_text(encoding="utf-8", errors="replace")
        texts += [
            content[start : start + CHUNK_CHARACTERS] for start in range(0, min(len(content), 5 * CHUNK_CHARACTERS), CHUNK_CHARACTERS)
        ]
    if len(texts) < count:
        raise SystemExit(f"expected {count} texts in the standard library, found {len(texts)}")
    return texts[:count]


def bare_loop(cache: Path, thread_count: int) -> Callable[[list[str]], Any]:
    """What the model takes by itself: tokenize all, longest first, one text a run in each thread."""
    import ctranslate2
    from tokenizers import Tokenizer

    (directory,) = (path for path in cache.iterdir() if path.is_dir())
    tokenizer = Tokenizer.from_file(str(minilm._shipped_tokenizer()))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)
    encoder = ctranslate2.Encoder(str(directory), device="cpu", compute_type="int8", inter_threads=thread_count, intra_threads=1)
    pool = ThreadPoolExecutor(thread_count)

    def run(ids: list[int]) -> Any:
        mean = np.asarray(encoder.forward_batch([ids]).last_hidden_state)[0].mean(0)
        return mean / np.linalg.norm(mean)

    def embed(texts: list[str]) -> Any:
        encodings = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
        order = sorted(range(len(texts)), key=lambda index: -len(encodings[index]))
        vectors = dict(zip(order, pool.map(run, [encodings[index] for index in order]), strict=True))
        return np.array([vectors[index] for index in range(len(texts))])

    return embed


async def in_slices(embedder: MiniLMEmbedder, texts: list[str]) -> Any:
    """As the pipeline calls it: several slices at a time."""
    window = asyncio.Semaphore(CONCURRENT_CALLS)

    async def one(start: int) -> Any:
        async with window:
            return await embedder.embed(texts[start : start + SLICE_TEXTS])

    return np.concatenate(await asyncio.gather(*(one(start) for start in range(0, len(texts), SLICE_TEXTS))))


async def measured(work: Callable[[], Any | Awaitable[Any]]) -> tuple[float, float, Any]:
    """Wall seconds, CPU seconds, and what came out."""
    cpu, started = time.process_time(), time.perf_counter()
    result = work()
    if asyncio.iscoroutine(result):
        result = await result
    return time.perf_counter() - started, time.process_time() - cpu, result


async def main(*, round_count: int, text_count: int, thread_count: int) -> None:
    texts = standard_library_texts(text_count)
    with tempfile.TemporaryDirectory() as temporary:
        cache = Path(temporary)
        embedder = MiniLMEmbedder(cache_directory=cache, thread_count=thread_count)
        convert_seconds, _, _ = await measured(embedder.warm_up)
        again = MiniLMEmbedder(cache_directory=cache, thread_count=thread_count)
        load_seconds, _, _ = await measured(again.warm_up)
        await again.close()
        bare = bare_loop(cache, thread_count)
        runs: dict[str, Callable[[], Any]] = {
            "bare": lambda: bare(texts),
            "embed_one_call": lambda: embedder.embed(texts),
            "embed_slices": lambda: in_slices(embedder, texts),
        }
        expected = bare(texts)
        walls: dict[str, list[float]] = {name: [] for name in runs}
        cpus: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(round_count):
            for name, run in runs.items():
                wall, cpu, vectors = await measured(run)
                assert np.allclose(vectors, expected, atol=1e-6)
                walls[name].append(wall)
                cpus[name].append(cpu)
        await embedder.close()
    mock = MockEmbedder()
    many = texts * 20
    mock_seconds = statistics.median([(await measured(lambda: mock.embed(many)))[0] for _ in range(round_count)])
    bare_wall = statistics.median(walls["bare"])
    print(
        json.dumps(
            {
                "texts": len(texts),
                "threads": thread_count,
                "processors": os.cpu_count(),
                "rounds": round_count,
                "first_use_seconds": round(convert_seconds, 3),
                "load_seconds": round(load_seconds, 3),
                "texts_per_second": {name: round(len(texts) / statistics.median(found), 1) for name, found in walls.items()},
                "ratio_to_bare": {name: round(bare_wall / statistics.median(found), 3) for name, found in walls.items()},
                "cpu_ms_per_text": {name: round(statistics.median(found) / len(texts) * 1000, 2) for name, found in cpus.items()},
                "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
                "mock_texts_per_second": round(len(many) / mock_seconds),
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--texts", type=int, default=300)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    asyncio.run(main(round_count=options.rounds, text_count=options.texts, thread_count=options.threads))
