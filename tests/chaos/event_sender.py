"""A program of its own that sends events to `waiting_process` until each has been answered.

Usage: event_sender PORT_FILE COUNT. The file holds the port; it changes whenever the other program has been started anew.
It ends when every instance that listens has been told everything, one after the other.
"""

from __future__ import annotations

import socket
import sys
import time
from pathlib import Path
from typing import TextIO

from tests.chaos.waiting_process import EVENT_COUNT, kind_of


def send_all(port_file: Path, pending: list[tuple[str, int]]) -> None:
    while pending:
        try:
            port = int(port_file.read_text())
            with socket.create_connection(("127.0.0.1", port), timeout=10) as connection, connection.makefile("rw") as stream:
                send_until_it_breaks(stream, pending)
        except (OSError, ValueError):  # it is being started
            time.sleep(0.01)


def send_until_it_breaks(stream: TextIO, pending: list[tuple[str, int]]) -> None:
    while pending:
        instance_id, number = pending[0]
        stream.write(f"{instance_id} {number}\n")
        stream.flush()
        answer = stream.readline()
        if not answer:
            raise ConnectionError("it has been killed")
        if answer == "later\n":
            time.sleep(0.01)
        else:
            pending.pop(0)


if __name__ == "__main__":
    listening = [f"i{number}" for number in range(int(sys.argv[2])) if kind_of(number) == "listening"]
    send_all(Path(sys.argv[1]), [(name, number) for name in listening for number in range(EVENT_COUNT)])
