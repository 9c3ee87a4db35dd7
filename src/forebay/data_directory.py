"""The data directory: made private, and owned by one process at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from forebay.errors import ForebayError

LOCK_NAME = "forebay.lock"


@contextmanager
def own_data_directory(path: Path) -> Iterator[None]:
    """Make the directory if there is none, tighten it to 0700, and own it until the block ends.

    The lock belongs to the process: it is free again however the process ends. Raises `ForebayError`: `locked` when
    another process owns the directory, `data_dir_unusable` when it cannot be made or written.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.chmod(0o700)
        descriptor = os.open(path / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ForebayError(
            "data_dir_unusable",
            f"the data directory {path} cannot be used: {error.strerror}",
            hint="choose another one with --data-dir or FOREBAY_DATA_DIR, or correct its permissions",
            status=503,
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
            raise ForebayError(
                "locked",
                f"process {owner or 'unknown'} owns the data directory {path}",
                hint="stop that process, or choose another data directory with --data-dir",
                status=503,
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
