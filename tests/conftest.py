"""Several processes run tests at the same time, except for those marked `alone`."""

from __future__ import annotations

import contextlib
import fcntl
import gc
import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

ROOM = Path(__file__)  # whoever runs a test is in it, with others or alone
DOOR = ROOM.parent  # one at a time goes through it, so that those who come later do not keep `alone` waiting for ever


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Begin a test that is marked `alone` when those that run have ended, and no other before it has ended."""
    with contextlib.ExitStack() as stack:
        with locked(DOOR, fcntl.LOCK_EX):
            stack.enter_context(locked(ROOM, fcntl.LOCK_EX if item.get_closest_marker("alone") else fcntl.LOCK_SH))
        return (yield)


def pytest_collection_finish() -> None:
    """Spare the garbage collector thousands of tests, which live to the end; looking at them takes a tenth of all time."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """Let libraries see at the end that nothing of theirs is left."""
    gc.unfreeze()


@contextlib.contextmanager
def locked(path: Path, kind: int) -> Iterator[None]:
    """Hold a lock on a file or folder, which stays as it is."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, kind)
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)  # closing would not be enough where a child process has the descriptor, too
        os.close(descriptor)
