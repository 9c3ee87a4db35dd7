"""A disk without room for telemetry: what comes is refused, queries answer, and everything goes on by itself when there is room.

The log and the tables may be short of room apart: then what can go on does.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from disks import Disk, LimitedFiles, SmallDisk, small_disk
from scenario import SEEDS, chance_of
from telemetry_senders import SERVICE, Sender, assert_exactly_once, stored

from program import Program, eventually, running

SENDER_COUNT = 3
REFUSAL_COUNT = 150  # of each sender, which comes again after 10 ms at the earliest: the program has told of itself meanwhile
SETTINGS = {"FOREBAY_MIN_FREE_DISK_MB": "0", "FOREBAY_RATE_LIMIT": "0", "FOREBAY_TELEMETRY_COUNTERS_SECONDS": "0.1"}
COUNT = f"union traces, exceptions, customMetrics, customEvents | where cloud_RoleName == '{SERVICE}' | count"


@contextmanager
def sending(program: Program, chance: random.Random) -> Iterator[list[Sender]]:
    """Senders that send until the block ends."""
    senders = [Sender(program, number, chance, pause_seconds=0.05) for number in range(SENDER_COUNT)]
    for sender in senders:
        sender.start()
    try:
        yield senders
    finally:
        for sender in senders:
            sender.is_ending.set()
        for sender in senders:
            sender.join(60)


def ask(program: Program, query: str) -> dict[str, Any]:
    """The answer to a query, which has to come."""
    with program.client() as client:
        answer = client.post("/query", json={"query": query})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def counted(program: Program) -> int:
    """How many records of the senders a query sees."""
    count: int = ask(program, COUNT)["tables"][0]["rows"][0][0]
    return count


def acknowledged_counts(senders: list[Sender]) -> list[int]:
    return [len(sender.acknowledged) for sender in senders]


def await_progress(senders: list[Sender]) -> None:
    """Wait until every sender has been acknowledged once more."""
    before = acknowledged_counts(senders)
    eventually(lambda: all(now > then for now, then in zip(acknowledged_counts(senders), before, strict=True)), "batches are acknowledged")


def await_refusals(senders: list[Sender]) -> None:
    """Wait until every sender has been refused for a while."""
    before = [sender.refused.total() for sender in senders]
    eventually(
        lambda: all(sender.refused.total() >= then + REFUSAL_COUNT for sender, then in zip(senders, before, strict=True)),
        "batches are refused",
    )


@pytest.mark.parametrize("full", ["log", "everything", "limited"] if len(SEEDS) > 1 else ["log"])
@pytest.mark.parametrize("seed", SEEDS[:2])
def test_without_room_telemetry_is_refused_queries_answer_and_all_goes_on_by_itself(seed: int, full: str, tmp_path: Path) -> None:
    chance = chance_of(seed, f"telemetry, full disk: {full}")
    data_dir = tmp_path / "data"
    with ExitStack() as stack:
        disk: Disk
        match full:
            case "log":
                data_dir.mkdir(mode=0o700)
                disk = stack.enter_context(small_disk(data_dir / "telemetry-log"))
            case "everything":
                disk = stack.enter_context(small_disk(data_dir))
            case _:
                disk = stack.enter_context(nullcontext(LimitedFiles()))
        program = stack.enter_context(running(data_dir, **SETTINGS))
        with sending(program, chance) as senders:
            for is_killed in (False, True):
                await_progress(senders)
                known_count = counted(program)
                disk.fill(program, left_bytes=0)
                await_refusals(senders)
                assert counted(program) >= known_count, "queries answer, and miss nothing that they had"
                if is_killed:
                    program.kill()
                    disk.free(program)
                    program.start()
                else:
                    disk.free(program)
                    dropped = eventually(lambda: dropped_counts(program), "what was not kept about the program has been counted")
                    assert min(dropped) > 0
                await_progress(senders)
        eventually(lambda: is_whole(program), "everything is in the tables, and the program is well")
        assert program.stop() == 0
        reckon(senders, data_dir)
        assert sum(sender.refused["disk_full" if isinstance(disk, SmallDisk) else "telemetry_log_unavailable"] for sender in senders) > 0
        assert (tmp_path / "server.log").read_text().count("the telemetry log could not be written") < 100, "not a line for each refusal"


@pytest.mark.parametrize("seed", SEEDS[:2])
def test_without_room_for_the_tables_telemetry_is_taken_and_waits_in_its_log(seed: int, tmp_path: Path) -> None:
    chance = chance_of(seed, "telemetry, full disk: tables")
    data_dir = tmp_path / "data"
    with small_disk(data_dir) as disk, small_disk(data_dir / "telemetry-log") as log_disk:
        if not isinstance(disk, SmallDisk) or not isinstance(log_disk, SmallDisk):
            pytest.skip("here nothing may be mounted, and limits on files hold for the log, too")
        with running(data_dir, **SETTINGS) as program:
            with sending(program, chance) as senders:
                await_progress(senders)
                known_count = counted(program)
                disk.fill(program, left_bytes=0)
                eventually(lambda: ask(program, COUNT)["lag_seconds"] > 0, "the tables cannot be written")
                await_progress(senders)
                assert counted(program) >= known_count
                disk.free(program)
                await_progress(senders)
            eventually(lambda: is_whole(program), "everything is in the tables, and the program is well")
            assert program.stop() == 0
        reckon(senders, data_dir)


def is_whole(program: Program) -> bool:
    """Whether the tables miss nothing, and nothing is wrong."""
    with program.client() as client:
        return ask(program, COUNT)["lag_seconds"] == 0 and client.get("/health").json()["status"] == "healthy"


def dropped_counts(program: Program) -> list[float]:
    """What the program says of rows about itself that it could not keep."""
    return [row[0] for row in ask(program, "customMetrics | where name == 'telemetry_dropped' | project value")["tables"][0]["rows"]]


def reckon(senders: list[Sender], data_dir: Path) -> None:
    """Nothing acknowledged is missing, nothing is there twice, and every refusal said when to come again."""
    assert [text for sender in senders for text in sender.wrong] == []
    assert_exactly_once(set().union(*(sender.acknowledged for sender in senders)), stored(data_dir))
