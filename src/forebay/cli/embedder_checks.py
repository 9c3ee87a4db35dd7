"""The checks of `forebay doctor --embedder`: what the local model computes with, whether its cache is whole, how fast it is."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from forebay.cli.bench_corpus import note
from forebay.cli.diagnosis import Finding
from forebay.cli.output import counted
from forebay.settings import Settings

RATE_SECONDS = 2.0
TEXT_CHARACTERS = 800
SLICE_TEXTS = 16
PROBE_TIMEOUT_SECONDS = 60.0

_LIBRARIES = {"DNNL": "oneDNN", "MKL": "Intel's MKL", "RUY": "Ruy"}

# CTranslate2 tells what it uses in its log only; loading it in a process of its own also keeps this one's choice out of it
_PROBE = """
import asyncio, pathlib, sys
from forebay.pipeline.embedders.minilm import MiniLMEmbedder
from forebay.pipeline.embedders.processor import choose_instructions
print(choose_instructions().reason)
asyncio.run(MiniLMEmbedder(cache_directory=pathlib.Path(sys.argv[1]), thread_count=1).warm_up())
"""


async def processor(settings: Settings, *, environment: Mapping[str, str]) -> Finding:
    """Which instructions the local model computes with, and why these; `environment` is that of before this process has chosen any."""
    reason, used = await asyncio.to_thread(_probe, settings.embedding.model_cache_dir, environment)
    detail = f"{used.get('isa', 'unknown instructions')} by {_LIBRARIES.get(used.get('int8', ''), 'an unknown library')} ({reason})"
    if used.get("isa") == "GENERIC":
        return Finding(
            name="processor",
            state="warn",
            detail=detail,
            advice="The model runs at a quarter of the speed; AVX2 or newer is what it needs.",
        )
    if used.get("mkl") == "true" and "GenuineIntel" not in used.get("cpu", "GenuineIntel"):
        return Finding(
            name="processor", state="warn", detail=detail, advice="Unset CT2_USE_MKL: Intel's library is slow on this processor."
        )
    return Finding(name="processor", state="ok", detail=detail)


async def model_cache(settings: Settings) -> Finding:
    """Whether the converted model is on disk, with every byte that was written."""
    from forebay.pipeline.embedders.minilm import model_cache as look

    directory, state = await asyncio.to_thread(look, settings.embedding.model_cache_dir)
    if state == "intact":
        return Finding(name="model cache", state="ok", detail=f"{directory}, every byte as it was written")
    advice = "It is made again at the next use, which takes a second."
    return Finding(name="model cache", state="warn", detail=f"{directory} is {state}", advice=advice)


async def rate(settings: Settings) -> Finding:
    """How many texts of 800 characters the embedder does a second."""
    from forebay.app import make_embedder

    embedder = make_embedder(settings)
    try:
        await embedder.embed([note(0)])
        began, count = time.perf_counter(), 0
        while (elapsed := time.perf_counter() - began) < RATE_SECONDS:
            await embedder.embed([(note(count + number) * 2)[:TEXT_CHARACTERS] for number in range(SLICE_TEXTS)])
            count += SLICE_TEXTS
    finally:
        await embedder.close()
    threads = f" on {counted(settings.embedding.embed_threads, 'thread')}" if settings.embedding.embedder_in_force == "minilm" else ""
    return Finding(name="rate", state="ok", detail=f"{count / elapsed:,.0f} texts of {TEXT_CHARACTERS} characters a second{threads}")


def _probe(cache_directory: Path, environment: Mapping[str, str]) -> tuple[str, Mapping[str, str]]:
    """Why the instructions were chosen, and what CTranslate2 says that it uses."""
    done = subprocess.run(
        [sys.executable, "-c", _PROBE, str(cache_directory)],
        env={**environment, "CT2_VERBOSE": "1"},
        capture_output=True,
        text=True,
        timeout=PROBE_TIMEOUT_SECONDS,
        check=True,
    )
    patterns = {"cpu": r"CPU: (.+)", "isa": r"Selected ISA: (\w+)", "mkl": r"Use Intel MKL: (\w+)", "int8": r"GEMM_S8 backend: (\w+)"}
    found = {name: re.search(pattern, done.stderr) for name, pattern in patterns.items()}
    return done.stdout.strip(), {name: match[1] for name, match in found.items() if match}
