"""Files that one process owns at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from forebay.errors import ForebayError


@contextmanager
def own(lock: Path, what: str, hint: str) -> Iterator[None]:
    """Own a lock file, which is made if there is none, until the block ends.

    The lock belongs to the process: it is free again however the process ends. Raises `ForebayError` (`locked`), which names `what` and
    the process that owns it, and `OSError` when the file cannot be made or written.
    """
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
            raise ForebayError("locked", f"process {owner or 'unknown'} owns {what}", hint=hint, status=503) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
