from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
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

KILLED = {
    "before": "    import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "after": "    convert(*arguments); import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
}
NO_ROOM = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))\n"


def supported_instructions() -> list[str]:
    flags = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split("flags", 1)[-1].split("\n", 1)[0].split())
    needed = {"AVX": {"avx"}, "AVX2": {"avx2", "fma"}, "AVX512": {"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"}}
    return [name for name, names in needed.items() if names <= flags]


SUPPORTED = supported_instructions()


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


async def test_eight_processes_that_start_together_convert_once_and_agree(tmp_path: Path) -> None:
    cache = tmp_path / "not" / "yet" / "there"
    processes = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", FIRST_USE, str(cache), stdout=subprocess.PIPE) for _ in range(8)
    ]
    outputs = [(await process.communicate())[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0] * 8
    assert sum(int(conversion_count) for conversion_count, _ in outputs) == 1
    assert len({vector for _, vector in outputs}) == 1
    assert model_directory(cache).is_dir()  # and no other


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_conversion_that_is_killed_is_begun_anew_by_the_next_start(filled_cache: Path, tmp_path: Path, moment: str) -> None:
    killing = FIRST_USE.replace("    convert(*arguments)", KILLED[moment])
    killed = subprocess.run([sys.executable, "-c", killing, str(tmp_path)], check=False, stdout=subprocess.DEVNULL)
    assert killed.returncode == -signal.SIGKILL
    left_behind = model_directory(tmp_path)
    assert left_behind.name.endswith(".new")
    assert (left_behind / "model.bin").exists() == (moment == "after")
    asyncio.run(first_vector(tmp_path))
    assert model_directory(tmp_path).name == model_directory(filled_cache).name


def test_vectors_of_all_kinds_of_processors_are_near_each_other_and_share_a_cache(tmp_path: Path) -> None:
    vectors: dict[str, np.ndarray] = {}
    conversion_count = 0
    # the first one converts for all
    for instructions in ("GENERIC", *SUPPORTED, "chosen"):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CT2_")}
        if instructions != "chosen":
            environment |= {"CT2_FORCE_CPU_ISA": instructions, "CT2_USE_MKL": "0"}
        done = subprocess.run(
            [sys.executable, "-c", FIRST_USE, str(tmp_path)], check=True, capture_output=True, text=True, env=environment
        ).stdout.split()
        conversion_count += int(done[0])
        vectors[instructions] = np.frombuffer(bytes.fromhex(done[1]), np.float32)
    assert conversion_count == 1
    assert all(vectors["chosen"] @ vector > 0.99 for vector in vectors.values())


async def test_no_room_anywhere_is_told_and_may_pass(tmp_path: Path) -> None:
    # a limit on the size of files stands for full disks: the cache's and the temporary one
    done = subprocess.run([sys.executable, "-c", NO_ROOM + FIRST_USE, str(tmp_path)], check=False, capture_output=True, text=True)
    assert "expected room for a converted model of 23 MB" in done.stderr
    assert [path.suffix for path in tmp_path.iterdir()] == [".lock"]


@pytest.mark.parametrize(
    ("error", "words", "retryable"),
    [
        (MemoryError("Unable to allocate 45 MiB"), "expected memory for the model", True),
        (RuntimeError("std::bad_alloc"), "expected memory for the model", True),
        (ImportError("libgomp.so.1: failed to map segment from shared object"), "expected memory for the model", True),
        (ValueError("Invalid CPU ISA: AVX1024"), "to load on this processor", False),
    ],
)
async def test_a_model_that_cannot_be_loaded_says_why(
    filled_cache: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, words: str, retryable: bool
) -> None:
    def fail(*arguments: object) -> object:
        raise error

    monkeypatch.setattr(minilm, "_encoder", fail)
    with pytest.raises(ForebayError, match=words) as raised:
        await first_vector(filled_cache)
    assert (raised.value.code, raised.value.retryable) == ("embedding_failed", retryable)
    assert raised.value.hint


def test_the_state_of_the_cache_is_told_and_nothing_is_made(filled_cache: Path, tmp_path: Path) -> None:
    directory, state = minilm.model_cache(filled_cache)
    assert (directory, state) == (model_directory(filled_cache), "intact")
    assert minilm.model_cache(tmp_path / "none") == (tmp_path / "none" / directory.name, "absent")
    assert not (tmp_path / "none").exists()
    damaged = tmp_path / directory.name
    shutil.copytree(directory, damaged)
    (damaged / "config.json").write_text("{}", encoding="utf-8")
    assert minilm.model_cache(tmp_path) == (damaged, "damaged")


def test_a_user_without_a_home_has_no_cache_and_an_embedder_all_the_same(filled_cache: Path) -> None:
    nobody = ["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups"] if os.geteuid() == 0 else []
    where = "import os, sys; os.environ.pop('HOME', None); from forebay.settings import load_settings;"
    where += "print(load_settings({}, {}, env_file=None).embedding.model_cache_dir)"
    done = subprocess.run([*nobody, sys.executable, "-c", where], check=True, capture_output=True, text=True)
    assert Path(done.stdout.strip()).name == "forebay"
    if nobody:
        assert done.stdout.strip() == "/nonexistent/forebay"


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
