"""A worker that does what the text of a file tells it to; everything else it parses as usual."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from pathlib import Path

from forebay.pipeline.parse import Parsed, ParseRequest, parse
from forebay.pipeline.workers.worker import main


class NativePanic(BaseException):
    """As pyo3's PanicException, which is no Exception either."""


def misbehave(request: ParseRequest) -> Parsed:
    command, _, argument = request.data.decode("utf-8", "replace").partition(" ")
    match command:
        case "segfault":
            ctypes.string_at(1)
        case "exit":
            os._exit(3)
        case "hang":
            signal.pause()
        case "spin":
            if argument:
                Path(argument).touch()
            while True:
                pass
        case "overrun":
            os.kill(os.getpid(), signal.SIGXCPU)
        case "allocate":
            bytearray(int(argument))
        case "complain":
            os.write(2, b"memory allocation of 123456 bytes failed\n")
            os.abort()
        case "print":
            os.write(1, b"noise of a library " * 10_000)
            print("more noise", flush=True)
        case "raise":
            raise RuntimeError("a bug")
        case "panic":
            raise NativePanic("index out of bounds")
        case "babble":
            for descriptor in range(3, 20):
                with contextlib.suppress(OSError):
                    os.write(descriptor, b"\xff\xff\xff\xff no frame at all")
        case "wait":
            while not Path(argument).exists():
                time.sleep(0.01)
        case "tell":
            facts = {
                "environment": ",".join(sorted(os.environ)),
                "descriptors": len(list(Path("/proc/self/fd").iterdir())) - 1,
                "session": os.getsid(0) == os.getpid(),
                "path": sys.flags.safe_path,
            }
            text = "\n".join(f"{key}={value}" for key, value in facts.items())
            return parse(ParseRequest(**{**_fields(request), "data": text.encode()}))
    return parse(request)


def _fields(request: ParseRequest) -> dict[str, object]:
    return {field: getattr(request, field) for field in request.__struct_fields__}


if __name__ == "__main__":
    main(misbehave)
