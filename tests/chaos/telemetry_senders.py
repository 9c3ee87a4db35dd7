"""Senders of telemetry that do not give up: every batch with a key of its own, again and again until it is acknowledged."""

from __future__ import annotations

import gzip
import json
import random
import threading
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import httpx

from program import Program

SERVICE = "chaos"
KINDS = ("logs", "metrics", "events")
PLACES = {"trace": "logs", "exception": "logs", "customMetric": "metrics", "customEvent": "events"}  # itemType -> who sent it
REFUSALS = (429, 503)  # for now

Record = tuple[str, str]  # kind, name


class Sender(threading.Thread):
    """Sends numbered batches of every kind, some of them compressed, until it is told to end."""

    def __init__(self, program: Program, number: int, chance: random.Random, *, pause_seconds: float = 0.0) -> None:
        super().__init__(name=f"sender {number}")
        self.program = program
        self.number = number
        self.chance = random.Random(chance.random())
        self.pause_seconds = pause_seconds
        self.acknowledged: set[Record] = set()
        self.refused: Counter[str] = Counter()  # by code
        self.retried_count = 0
        self.wrong: list[str] = []  # answers that are neither an acknowledgement nor a refusal that says when to come again
        self.is_ending = threading.Event()
        self._client: httpx.Client | None = None

    def run(self) -> None:
        batch = 0
        while not self.is_ending.wait(self.pause_seconds):
            kind = self.chance.choice(KINDS)
            names = [f"{self.number}-{batch}-{place}" for place in range(self.chance.choice([1, 10, 200]))]
            if self._send_until_acknowledged(kind, names, f"sender-{self.number}-batch-{batch}"):
                self.acknowledged.update((kind, name) for name in names)
            batch += 1
        self._forget_client()

    def _send_until_acknowledged(self, kind: str, names: list[str], key: str) -> bool:
        content = json.dumps({"entries": [entry(kind, name) for name in names]}).encode()
        headers = {"Idempotency-Key": key}
        if self.chance.random() < 0.3:
            content, headers["Content-Encoding"] = gzip.compress(content, 1), "gzip"
        tried_count = 0
        while not self._send(kind, content, headers):
            tried_count += 1
            if self.is_ending.is_set() and tried_count > 100:
                return False
            time.sleep(0.01)  # the server is dead, or full, just now
        self.retried_count += tried_count > 0
        return True

    def _send(self, kind: str, content: bytes, headers: dict[str, str]) -> bool:
        try:
            if self._client is None:
                self._client = self.program.client()
            answer = self._client.post(f"/{kind}", content=content, headers=headers, timeout=10)
        except (httpx.HTTPError, AssertionError, OSError):
            self._forget_client()  # after its next start the server listens elsewhere
            return False
        if answer.status_code == 202:
            return True
        if answer.status_code in REFUSALS and answer.headers.get("retry-after", "").isdigit():
            self.refused[answer.json()["code"]] += 1
        else:
            self.wrong.append(answer.text)
        return False

    def _forget_client(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None


def entry(kind: str, name: str) -> dict[str, Any]:
    """A record that can be told from all others in whichever table it gets into."""
    common = {"service": SERVICE, "labels": {"name": name}, "trace_id": f"trace {name}"}
    match kind:
        case "logs" if name.endswith("3"):
            return common | {"message": name, "exception": {"type": "Broken", "message": name}}
        case "logs":
            return common | {"message": name, "level": "warning"}
        case "metrics":
            return common | {"name": name, "value": len(name), "unit": "characters"}
        case _:
            return common | {"name": name, "measurements": {"length": len(name)}}


def stored(data_dir: Path) -> Counter[Record]:
    """How often each record is in the tables, for the server has ended; one that is not as it was sent is named `damaged`."""
    tables = ("traces", "exceptions", "customMetrics", "customEvents")
    named = {"traces": "message", "exceptions": "message"}
    rows: list[tuple[str, str, str, str]] = []
    with closing(duckdb.connect(data_dir / "telemetry.duckdb", read_only=True)) as connection:
        for table in tables:
            rows += connection.execute(
                f"""SELECT itemType, {named.get(table, "name")}, customDimensions->>'name', operation_Id
                FROM store.{table} WHERE cloud_RoleName = ?""",
                [SERVICE],
            ).fetchall()
    return Counter(
        (PLACES[item_type], name) if name == label and trace == f"trace {name}" else ("damaged", f"{name} {label} {trace}")
        for item_type, name, label, trace in rows
    )


def assert_exactly_once(acknowledged: set[Record], found: Counter[Record]) -> None:
    """Everything that was acknowledged is there, and nothing more than once."""
    assert acknowledged - found.keys() == set(), "acknowledged, and lost"
    assert {record: count for record, count in found.items() if count > 1} == {}, "sent again, and taken twice"
    assert [name for kind, name in found if kind == "damaged"] == []
