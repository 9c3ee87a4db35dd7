"""Activities that block, as a module of a program defines them."""

from __future__ import annotations

import ctypes
import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from forebay.durable import Registry, current_activity
from forebay.errors import ForebayError

log = logging.getLogger("forebay.tests.blocking")


class NativePanic(BaseException):
    """As pyo3's PanicException, which is no Exception either."""


def ask_pid(value: Any) -> int:
    return os.getpid()


def misbehave(what: str) -> Any:
    match what:
        case "segfault":
            ctypes.string_at(1)
        case "exit":
            os._exit(3)
        case "last words":
            os.write(2, b"it was the disk")
            os.abort()
        case "print":
            print("noise " * 10_000, flush=True)
            os.write(1, b"\xff\xff\xff\xff no frame at all")
            return input_or_nothing()
        case "babble":
            for descriptor in range(3, 20):
                try:
                    os.write(descriptor, b"\xff\xff\xff\xff no frame at all")
                except OSError:
                    continue
        case "late crash":
            threading.Timer(0.05, os._exit, [4]).start()
        case "quit":
            sys.exit("enough")
        case "panic":
            raise NativePanic("index out of bounds")
        case "value":
            raise ValueError("no such thing: \udcff")
        case "refuse":
            raise ForebayError("too_odd", "it is too odd", retryable=False)
        case "stop iteration":
            raise StopIteration(1)
        case "odd result":
            return object()
        case "large result":
            return "x" * 100_000
    return what


def input_or_nothing() -> str:
    return sys.stdin.read()


def hang_with_child(path: str) -> None:
    """Leave a process of its own that holds what it has inherited."""
    child = subprocess.Popen(["/bin/sleep", "600"])
    Path(path).write_text(str(child.pid), encoding="ascii")
    child.wait()


def describe(value: Any) -> dict[str, Any]:
    info = current_activity()
    print("noise")
    log.warning("working on %s", value, extra={"dimensions": {"part": 7}})
    log.debug("nobody wants to know")
    return {
        "pid": os.getpid(),
        "name": info.name,
        "instance_id": info.instance_id,
        "activity_id": info.activity_id,
        "attempt": info.attempt,
        "value": value,
        "descriptors": len(list(Path("/proc/self/fd").iterdir())) - 1,
        "session": os.getsid(0) == os.getpid(),
    }


def complain(value: Any) -> None:
    try:
        raise KeyError(value)
    except KeyError:
        log.exception("it went wrong")


def beat(rounds: int) -> str:
    """Takes `rounds` tenths of a second."""
    for _ in range(rounds):
        time.sleep(0.1)
        current_activity().heartbeat()
    return "alive"


def silent(seconds: float) -> str:
    time.sleep(seconds)
    return "late"


class Methods:
    def method(self, value: Any) -> Any:
        return value

    @staticmethod
    def double(value: int) -> int:
        return 2 * value


registry = Registry()
for _function in (ask_pid, misbehave, hang_with_child, describe, complain, Methods.double):
    registry.activity(process=True)(_function)
