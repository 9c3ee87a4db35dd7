"""The converted model on disk: made once, checked at every start."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from forebay.errors import ForebayError

_log = logging.getLogger(__name__)

CacheState = Literal["absent", "damaged", "intact"]

_MANIFEST = "manifest.json"  # {file name: sha256}; written last


def require_sha256(path: Path, expected: str, *, hint: str) -> None:
    """Raise `ForebayError` `embedding_failed` unless the file's content has this hash."""
    try:
        found = _sha256(path)
    except OSError as error:
        raise ForebayError("embedding_failed", f"expected a readable model file {path}, but: {error}", hint=hint) from error
    if found != expected:
        raise ForebayError("embedding_failed", f"expected {path} to have the sha256 {expected}, got {found}", hint=hint)


def cache_state(directory: Path) -> CacheState:
    """Whether a converted model is there with every byte that was written; what is damaged is made again at the next use."""
    if _is_intact(directory):
        return "intact"
    return "damaged" if directory.exists() else "absent"


@contextlib.contextmanager
def converted_model(cache_directory: Path, key: str, convert: Callable[[Path], None]) -> Iterator[Path]:
    """A directory with the model of this key, converted now unless an intact one is in the cache.

    Where the cache cannot be written, the model is converted into a temporary directory that lives as long as the context.

    *Guarantees*: what is yielded is complete, whatever crashed before; processes that start together convert once.
    """
    directory = cache_directory / key
    is_cached = True
    try:
        if not _is_intact(directory):  # without the lock: a filled cache may be read-only
            _fill(directory, convert)
    except OSError as error:
        _log.warning("the model cache %s cannot be written (%s); converting into a temporary directory", cache_directory, error)
        is_cached = False
    if is_cached:
        yield directory
        return
    # not above, where the error would keep the weights of the first conversion in memory
    with tempfile.TemporaryDirectory(prefix="forebay-model-") as temporary:
        convert(Path(temporary))
        yield Path(temporary)


def _fill(directory: Path, convert: Callable[[Path], None]) -> None:
    """Convert beside the final place and rename, so that no other process ever sees half of it."""
    directory.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _locked(directory.with_name(f"{directory.name}.lock")):
        if _is_intact(directory):  # another process was first
            return
        staging = directory.with_name(f"{directory.name}.new")
        shutil.rmtree(staging, ignore_errors=True)  # of a process that was killed
        staging.mkdir(mode=0o700)
        try:
            convert(staging)
            manifest = {path.name: _sha256(path) for path in sorted(staging.iterdir())}
            (staging / _MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
            shutil.rmtree(directory, ignore_errors=True)
            staging.rename(directory)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock, which a crash releases too."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _is_intact(directory: Path) -> bool:
    try:
        manifest: dict[str, str] = json.loads((directory / _MANIFEST).read_text(encoding="utf-8"))
        return bool(manifest) and all(_sha256(directory / name) == sha256 for name, sha256 in manifest.items())
    except (OSError, ValueError, AttributeError):
        return False


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
