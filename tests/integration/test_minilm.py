from __future__ import annotations

import asyncio
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from forebay.errors import ForebayError
from forebay.pipeline.embedders import minilm
from forebay.pipeline.embedders.minilm import MiniLMEmbedder

# embeds one text in a new process, and prints how often that took a conversion, and the vector
FIRST_USE = """
import asyncio, logging, sys
from pathlib import Path
from forebay.pipeline.embedders import minilm

logging.basicConfig(level=logging.WARNING)
conversion_count = 0
convert = minilm.write_ctranslate2_model

def counted(*arguments):
    global conversion_count
    conversion_count += 1
    convert(*arguments)

minilm.write_ctranslate2_model = counted

async def main():
    embedder = minilm.MiniLMEmbedder(cache_directory=Path(sys.argv[1]), thread_count=1)
    vector = (await embedder.embed(["the first text"]))[0]
    await embedder.close()
    print(conversion_count, vector.tobytes().hex())

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def filled_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cache = tmp_path_factory.mktemp("model-cache")
    asyncio.run(first_vector(cache))
    return cache


async def first_vector(cache: Path, *, weights_path: Path | None = None, tokenizer_path: Path | None = None) -> np.ndarray:
    embedder = MiniLMEmbedder(cache_directory=cache, thread_count=1, weights_path=weights_path, tokenizer_path=tokenizer_path)
    try:
        return (await embedder.embed(["the first text"]))[0]
    finally:
        await embedder.close()


def model_directory(cache: Path) -> Path:
    (directory,) = (path for path in cache.iterdir() if path.is_dir())
    return directory


async def test_a_paraphrase_without_a_common_word_is_nearer_than_other_topics(filled_cache: Path) -> None:
    embedder = MiniLMEmbedder(cache_directory=filled_cache, thread_count=2)
    question, answer, *others = await embedder.embed(
        [
            "How do I stop a running process?",
            "To terminate a program, send it the signal SIGTERM.",
            "The recipe needs three eggs and a cup of flour.",
            "Parliament voted on the budget yesterday.",
        ]
    )
    await embedder.close()
    assert all(question @ answer > question @ other + 0.2 for other in others)


async def test_a_text_has_the_same_vector_in_every_run(filled_cache: Path) -> None:
    assert np.array_equal(await first_vector(filled_cache), await first_vector(filled_cache))


async def test_only_the_first_256_tokens_count_and_cut_texts_are_counted(filled_cache: Path) -> None:
    embedder = MiniLMEmbedder(cache_directory=filled_cache, thread_count=2)
    short, filled, longer = await embedder.embed(["word", "word " * 254, "word " * 254 + "another sentence"])
    assert np.array_equal(filled, longer)
    assert not np.array_equal(short, filled)
    assert embedder.truncated_text_count == 1
    await embedder.close()


async def test_the_model_is_loaded_once_by_concurrent_first_calls(filled_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[Path] = []
    load = minilm._load

    def counted(cache_directory: Path, thread_count: int, weights_path: Path, tokenizer_path: Path) -> object:
        loads.append(cache_directory)
        return load(cache_directory, thread_count, weights_path, tokenizer_path)

    monkeypatch.setattr(minilm, "_load", counted)
    embedder = MiniLMEmbedder(cache_directory=filled_cache, thread_count=2)
    assert loads == []
    await asyncio.gather(embedder.warm_up(), embedder.embed(["one", "two"]), embedder.embed(["three"]))
    await embedder.close()
    assert loads == [filled_cache]


async def test_a_single_text_does_not_wait_for_all_of_a_large_call(filled_cache: Path) -> None:
    embedder = MiniLMEmbedder(cache_directory=filled_cache, thread_count=2)
    await embedder.warm_up()
    large = asyncio.create_task(embedder.embed(["a rather long text about nothing in particular " * 10] * 200))
    await asyncio.sleep(0)  # it has begun
    await embedder.embed(["query"])
    assert not large.done()
    await embedder.close()
    with pytest.raises(ForebayError):
        await large


async def test_processes_that_start_together_convert_once_and_agree(tmp_path: Path) -> None:
    cache = tmp_path / "not" / "yet" / "there"
    processes = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", FIRST_USE, str(cache), stdout=subprocess.PIPE) for _ in range(2)
    ]
    outputs = [(await process.communicate())[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sum(int(conversion_count) for conversion_count, _ in outputs) == 1
    assert outputs[0][1] == outputs[1][1]
    assert model_directory(cache).is_dir()  # and no other


@pytest.mark.parametrize("damage", ["truncated", "missing", "altered"])
async def test_a_damaged_cache_is_made_again(filled_cache: Path, tmp_path: Path, damage: str) -> None:
    cache = tmp_path / "cache"
    shutil.copytree(filled_cache, cache)
    model = model_directory(cache) / "model.bin"
    content = model.read_bytes()
    if damage == "missing":
        model.unlink()
    else:
        model.write_bytes(content[:-100] if damage == "truncated" else content[:-100] + bytes(100))
    assert np.array_equal(await first_vector(cache), await first_vector(filled_cache))
    assert model.read_bytes() == content


async def test_what_a_killed_conversion_left_behind_is_cleared(filled_cache: Path, tmp_path: Path) -> None:
    directory = model_directory(filled_cache)
    left_behind = tmp_path / f"{directory.name}.new"
    left_behind.mkdir()
    (left_behind / "model.bin").write_bytes(b"half")
    await first_vector(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [directory.name, f"{directory.name}.lock"]


@pytest.mark.parametrize("part", ["weights", "tokenizer"])
async def test_a_corrupted_source_is_refused_even_with_a_good_cache(filled_cache: Path, tmp_path: Path, part: str) -> None:
    source = minilm._installed_weights() if part == "weights" else minilm._shipped_tokenizer()
    corrupted = tmp_path / source.name
    content = bytearray(source.read_bytes())
    content[len(content) // 2] ^= 1
    corrupted.write_bytes(content)
    paths = {"weights_path": corrupted} if part == "weights" else {"tokenizer_path": corrupted}
    with pytest.raises(ForebayError, match="sha256") as raised:
        await first_vector(filled_cache, **paths)
    assert (raised.value.code, raised.value.retryable) == ("embedding_failed", False)
    assert "Reinstall" in raised.value.hint


async def test_a_missing_source_is_refused(filled_cache: Path, tmp_path: Path) -> None:
    with pytest.raises(ForebayError, match="readable model file") as raised:
        await first_vector(filled_cache, weights_path=tmp_path / "model.onnx")
    assert not raised.value.retryable


async def test_a_cache_that_cannot_be_made_is_replaced_by_a_temporary_one(
    filled_cache: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    with caplog.at_level(logging.WARNING):
        vector = await first_vector(tmp_path / "file" / "cache")
    assert np.array_equal(vector, await first_vector(filled_cache))
    assert "cannot be written" in caplog.text


def test_a_read_only_cache_is_used_when_filled_and_gone_around_when_empty(filled_cache: Path, tmp_path: Path) -> None:
    filled, empty = tmp_path / "filled", tmp_path / "empty"
    shutil.copytree(filled_cache, filled)
    empty.mkdir()
    for directory in (filled, empty, model_directory(filled)):
        directory.chmod(0o500)
    from_filled, from_empty = (run_without_privileges(cache) for cache in (filled, empty))
    assert from_filled.stdout.split()[0] == "0"
    assert from_filled.stderr == ""
    assert from_empty.stdout.split() == ["1", from_filled.stdout.split()[1]]
    assert "cannot be written" in from_empty.stderr
    assert list(empty.iterdir()) == []


def run_without_privileges(cache: Path) -> subprocess.CompletedProcess[str]:
    # root may write everywhere, unless it gives that capability up
    drop = ["setpriv", "--inh-caps=-all", "--bounding-set=-all"] if os.geteuid() == 0 else []
    command = [*drop, sys.executable, "-c", FIRST_USE, str(cache)]
    return subprocess.run(command, check=True, capture_output=True, text=True)
