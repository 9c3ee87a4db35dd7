"""What a worker process does to itself before it takes any work."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import socket
import sys
from pathlib import Path

# Address space that is not data: libraries, thread stacks, what allocators reserve.
_ADDRESS_SPACE_HEADROOM_BYTES = 2 << 30
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def take_channel() -> socket.socket:
    """Move the socket away from the standard descriptors, which libraries read and print to."""
    channel = socket.socket(fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return channel


def die_with(parent_pid: int) -> None:
    """Do not outlive the parent, even in the middle of a task."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent_pid:
            sys.exit(0)


def be_expendable() -> None:
    """Leave no core file, and be the one to lose when the machine runs out of memory."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def limit_memory(memory_bytes: int) -> None:
    """Let allocations over `memory_bytes` of data fail, for good."""
    # not every system has these, and none lets them be raised
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    with contextlib.suppress(ValueError, OSError):
        address_space_bytes = memory_bytes + _ADDRESS_SPACE_HEADROOM_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (address_space_bytes, address_space_bytes))
