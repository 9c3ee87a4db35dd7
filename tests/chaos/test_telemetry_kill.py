"""The whole program, killed again and again while several senders send telemetry."""

from __future__ import annotations

import contextlib
import os
import random
import threading
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest
from scenario import SEEDS, chance_of

from program import Program, running

KILL_COUNT = int(os.environ.get("FOREBAY_TEST_KILLS", "20")) // 2
SENDER_COUNT = 4


class Sender(threading.Thread):
    """Sends numbered batches, each with a key of its own, until it is acknowledged."""

    def __init__(self, program: Program, number: int, chance: random.Random) -> None:
        super().__init__()
        self.program = program
        self.number = number
        self.chance = random.Random(chance.random())
        self.acknowledged: set[str] = set()
        self.retried_count = 0
        self.wrong: list[str] = []  # answers that are neither an acknowledgement nor a refusal for now
        self.is_ending = False

    def run(self) -> None:
        batch = 0
        while not self.is_ending:
            names = [f"{self.number}-{batch}-{place}" for place in range(self.chance.choice([1, 10, 200]))]
            if self._send(names, f"sender {self.number} batch {batch}".replace(" ", "-")):
                self.acknowledged.update(names)
            batch += 1

    def _send(self, names: list[str], key: str) -> bool:
        entries = [{"name": name, "service": "chaos"} for name in names]
        for tried in range(10_000):
            with contextlib.suppress(httpx.HTTPError, AssertionError, OSError), self.program.client() as client:
                answer = client.post("/events", json={"entries": entries}, headers={"Idempotency-Key": key}, timeout=10)
                if answer.status_code == 202:
                    self.retried_count += tried > 0
                    return True
                if answer.status_code not in (429, 503):
                    self.wrong.append(answer.text)
            if self.is_ending and tried > 100:
                return False
            time.sleep(0.01)  # the server is dead just now
        return False


@pytest.mark.parametrize("seed", SEEDS[:1])
def test_every_acknowledged_record_is_in_the_tables_once_whenever_the_program_is_killed(seed: int, tmp_path: Path) -> None:
    chance = chance_of(seed, "telemetry kills")
    with running(tmp_path / "data", FOREBAY_RATE_LIMIT="0") as program:
        senders = [Sender(program, number, chance) for number in range(SENDER_COUNT)]
        try:
            for sender in senders:
                sender.start()
            for _ in range(KILL_COUNT):
                time.sleep(chance.uniform(0.05, 0.6))  # not a wait for something: the random moment is what is tested
                program.kill()
                program.start()
        finally:
            for sender in senders:
                sender.is_ending = True
            for sender in senders:
                sender.join(60)
        acknowledged = set().union(*(sender.acknowledged for sender in senders))
        query = "customEvents | where cloud_RoleName == 'chaos' | project name"
        with program.client() as client:
            answer = client.post("/query", json={"query": query, "limit": 500_000}).json()
        stored = Counter(row[0] for row in answer["tables"][0]["rows"])
        assert (answer["lag_seconds"], answer["truncated"]) == (0, None)
        assert program.stop() == 0
    assert [text for sender in senders for text in sender.wrong] == []
    assert not any(sender.is_alive() for sender in senders)
    assert sum(sender.retried_count for sender in senders) > 0, "nothing was sent again"
    assert len(acknowledged) > 100
    assert acknowledged - stored.keys() == set(), "acknowledged, and lost"
    assert {name: count for name, count in stored.items() if count > 1} == {}, "sent again, and taken twice"
