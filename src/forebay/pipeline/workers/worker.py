"""The worker process: reads requests from its standard input, parses, answers, one at a time.

Started by the pool as `python -m forebay.pipeline.workers.worker MEMORY_BYTES CPU_SECONDS PARENT_PID` with a socket as
standard input, which carries both directions.
"""

from __future__ import annotations

import contextlib
import resource
import socket
import sys
import time
from collections.abc import Callable

from forebay.pipeline.parse import Parsed, ParseRequest, parse
from forebay.pipeline.refused import Refused
from forebay.pipeline.workers.protocol import Done, Failed, FromWorker, Ready, request_decoder
from forebay.workers.frames import frame, read_frame
from forebay.workers.inside import be_expendable, die_with, limit_memory, take_channel


def main(parse_file: Callable[[ParseRequest], Parsed] = parse) -> None:
    """Serve until the parent closes the socket."""
    memory_bytes, cpu_seconds, parent_pid = (int(argument) for argument in sys.argv[1:4])
    channel = take_channel()
    die_with(parent_pid)
    be_expendable()
    limit_memory(memory_bytes)
    channel.sendall(frame(Ready()))
    with channel.makefile("rb") as stream:
        while (request := read_frame(stream, request_decoder)) is not None:
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


def _limit_cpu(cpu_seconds: int) -> None:
    """A limit for the coming task: the kernel counts from the process's start."""
    used_seconds = int(time.process_time()) + 1
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = used_seconds + cpu_seconds
    resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


if __name__ == "__main__":
    main()
