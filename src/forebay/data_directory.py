"""The data directory: made private, and owned by one process at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from forebay.errors import ForebayError
from forebay.file_lock import own

LOCK_NAME = "forebay.lock"


@contextmanager
def own_data_directory(path: Path) -> Iterator[None]:
    """Make the directory if there is none, tighten it to 0700, and own it until the block ends.

    The lock belongs to the process: it is free again however the process ends. Raises `ForebayError`: `locked` when
    another process owns the directory, `data_dir_unusable` when it cannot be made or written.
    """
    hint = "stop that process, or choose another data directory with --data-dir"
    with ExitStack() as owned:
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.chmod(0o700)
            owned.enter_context(own(path / LOCK_NAME, f"the data directory {path}", hint))
        except OSError as error:
            raise ForebayError(
                "data_dir_unusable",
                f"the data directory {path} cannot be used: {error.strerror}",
                hint="choose another one with --data-dir or FOREBAY_DATA_DIR, or correct its permissions",
                status=503,
            ) from error
        yield
