"""The worker process: reads requests from its standard input, parses, answers, one at a time.

Started by the pool as `python -m forebay.pipeline.workers.worker MEMORY_BYTES CPU_SECONDS PARENT_PID` with a socket as
standard input, which carries both directions.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

from forebay.pipeline.parse import Parsed, ParseRequest, parse
from forebay.pipeline.refused import Refused
from forebay.pipeline.workers.protocol import Done, Failed, FromWorker, Ready, frame, read_request

# Address space that is not data: libraries, thread stacks, what allocators reserve.
_ADDRESS_SPACE_HEADROOM_BYTES = 2 << 30
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(parse_file: Callable[[ParseRequest], Parsed] = parse) -> None:
    """Serve until the parent closes the socket."""
    memory_bytes, cpu_seconds, parent_pid = (int(argument) for argument in sys.argv[1:4])
    channel = _take_channel()
    _die_with(parent_pid)
    _limit(memory_bytes)
    channel.sendall(frame(Ready()))
    with channel.makefile("rb") as stream:
        while (request := read_request(stream)) is not None:
            _limit_cpu(cpu_seconds)
            answer = _answer(parse_file, request)
            channel.sendall(frame(answer))
            if isinstance(answer, Failed) and answer.is_leaving:
                _wait_until_heard(channel)
                return


def _wait_until_heard(channel: socket.socket) -> None:
    """Stay until the parent, which has the answer then, hangs up: a write to a closed socket would cost it what it has not read yet."""
    with contextlib.suppress(MemoryError, OSError):
        while channel.recv(4096):
            pass


def _answer(parse_file: Callable[[ParseRequest], Parsed], request: ParseRequest) -> FromWorker:
    try:
        return Done(parse_file(request))
    except Refused as refused:
        return Failed(refused.reason, refused.message, is_refusal=True)
    except MemoryError:
        # what else failed to get memory is unknown
        return Failed("parser_memory", "the parser ran out of memory", is_refusal=False, is_leaving=True)
    except Exception as error:
        return Failed("internal", f"the parser failed: {type(error).__name__}: {error}"[:1000], is_refusal=False)
    except BaseException as error:
        if isinstance(error, (SystemExit, KeyboardInterrupt)):
            raise
        # a panic in a Rust library is not an Exception
        message = f"the parser panicked: {type(error).__name__}: {error}"[:1000]
        return Failed("parser_crashed", message, is_refusal=False, is_leaving=True)


def _take_channel() -> socket.socket:
    """Move the socket away from the standard descriptors, which libraries read and print to."""
    channel = socket.socket(fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return channel


def _die_with(parent_pid: int) -> None:
    """Do not outlive the parent, even in the middle of a task."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent_pid:
            sys.exit(0)


def _limit(memory_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # not every system has these, and none lets them be raised
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    with contextlib.suppress(ValueError, OSError):
        address_space_bytes = memory_bytes + _ADDRESS_SPACE_HEADROOM_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (address_space_bytes, address_space_bytes))
    # when the machine runs out of memory, a worker is the best to lose
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def _limit_cpu(cpu_seconds: int) -> None:
    """A limit for the coming task: the kernel counts from the process's start."""
    used_seconds = int(time.process_time()) + 1
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = used_seconds + cpu_seconds
    resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


if __name__ == "__main__":
    main()
