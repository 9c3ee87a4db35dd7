"""A disk that is full: what comes is refused, what is there answers, and everything goes on by itself when there is room."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from disks import Disk, LimitedFiles, small_disk
from scenario import SEEDS, Senders, chance_of, settle_and_reckon

from program import Program, eventually, running

FILE_COUNT = 60
CYCLE_COUNT = 3
SETTINGS = {"FOREBAY_MIN_FREE_DISK_MB": "0", "FOREBAY_FIRST_RETRY_SECONDS": "0.1"}  # writes really fail, and are not refused before


@pytest.fixture(params=["mounted", "limited"] if len(SEEDS) > 1 else ["mounted"])
def disk_at(request: pytest.FixtureRequest) -> Callable[[Path], contextlib.AbstractContextManager[Disk]]:
    """Both kinds where mounting is allowed; twice the second one elsewhere."""
    if request.param == "mounted":
        return small_disk
    return lambda root: contextlib.nullcontext(LimitedFiles())


@pytest.mark.parametrize("seed", SEEDS)
def test_a_full_disk_refuses_answers_and_goes_on_when_there_is_room(
    seed: int, disk_at: Callable[[Path], contextlib.AbstractContextManager[Disk]], tmp_path: Path
) -> None:
    chance = chance_of(seed, "full disk")
    folder = tmp_path / "folder"
    folder.mkdir()
    with (
        disk_at(tmp_path / "data") as disk,
        running(tmp_path / "data", watch=[folder], **SETTINGS) as program,
        Senders(program, folder, chance, count=FILE_COUNT, pause_seconds=0.05, drop=drop_whole) as senders,
    ):
        eventually(lambda: is_found(program, "Number 0"), "the first file is found")
        victims = uploaded(program, senders, 6)
        for cycle in range(CYCLE_COUNT):
            is_full = cycle % 2 == 0
            disk.fill(program, left_bytes=0 if is_full else chance.randrange(1 << 20))
            try:
                if is_full:
                    senders.sent[str(folder), f"full-{cycle}.txt"] = f"written while the disk was full for the {cycle}th time"
                    (folder / f"full-{cycle}.txt").write_text(senders.sent[str(folder), f"full-{cycle}.txt"])
                    for _ in range(3):
                        eventually(lambda: is_refused(program, disk, senders), "uploads are refused")
                        assert is_found(program, "Number 0"), "searches answer while the disk is full"
                        time.sleep(chance.uniform(0, 0.2))
                    eventually(lambda: is_deletion_refused(program, senders, victims), "the database has no room either")
                else:
                    time.sleep(chance.uniform(0.2, 1))  # the work itself fills the disk, at a random place
            finally:
                disk.free(program)
            time.sleep(chance.uniform(0, 0.5))
        senders.finish()
        senders.assert_refusals_can_be_retried()
        settle_and_reckon(program, senders.sent)


@pytest.mark.parametrize("seed", SEEDS)
def test_writes_that_fail_now_and_then_lose_nothing(seed: int, tmp_path: Path) -> None:
    """As on a disk that goes read-only and comes back: in the middle of commits, blobs and moves."""
    chance = chance_of(seed, "failing writes")
    folder = tmp_path / "folder"
    folder.mkdir()
    disk = LimitedFiles()
    with (
        running(tmp_path / "data", watch=[folder], **SETTINGS) as program,
        Senders(program, folder, chance, count=FILE_COUNT, pause_seconds=0.05, drop=drop_whole) as senders,
    ):
        while senders.thread.is_alive():
            time.sleep(chance.uniform(0, 0.1))  # not waits for something: the random moments are what is tested
            disk.fill(program, left_bytes=chance.choice([0, 0, 1, 4096, 100_000]))
            time.sleep(chance.uniform(0, 0.3))
            disk.free(program)
        senders.finish()
        senders.assert_refusals_can_be_retried()
        assert senders.refused, "writes failed"
        settle_and_reckon(program, senders.sent)


def uploaded(program: Program, senders: Senders, count: int) -> dict[str, str]:
    """Some more documents: name by id."""
    names = {}
    with program.client() as client:
        for number in range(count):
            name, text = f"victim-{number}.txt", f"The victim number {number}."
            names[client.post("/documents", params={"name": name}, content=text).json()["id"]] = name
            senders.sent["upload", name] = text
    return names


def is_deletion_refused(program: Program, senders: Senders, victims: dict[str, str]) -> bool:
    """Whether a deletion, which is a commit and nothing else, is refused; one that found room counts."""
    identity = next(iter(victims))
    with program.client() as client:
        answer = client.delete(f"/documents/{identity}")
    if answer.status_code == 202:
        del senders.sent["upload", victims.pop(identity)]
        return False
    assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
    assert answer.headers["retry-after"].isdigit()
    return True


def is_found(program: Program, text: str) -> bool:
    """Whether the searches of all kinds work, and one of them finds the text."""
    with program.client() as client:
        for mode in ("hybrid", "vector", "text"):
            answer = client.post("/search", json={"query": f'"{text}"', "mode": mode})
            assert answer.status_code == 200, answer.text
    return bool(answer.json()["hits"])


def is_refused(program: Program, disk: Disk, senders: Senders) -> bool:
    """Whether an upload is refused, with the time to come back; one that found a last corner is acknowledged, and counts."""
    name, text = f"extra-{len(senders.sent)}.txt", "something more " * 2000
    with program.client() as client:
        answer = client.post("/documents", params={"name": name}, content=text)
    if answer.status_code == 202:
        senders.sent["upload", name] = text
        disk.fill(program, left_bytes=0)
        return False
    assert answer.status_code == 503, answer.text
    assert answer.headers["retry-after"].isdigit()
    return True


def drop_whole(path: Path, text: str) -> None:
    """As a careful program drops files: written elsewhere, then renamed; tried again while the disk is full."""
    unfinished = path.parents[2] / f"unfinished-{path.name}"

    def drop() -> bool:
        try:
            unfinished.write_text(text)
            unfinished.rename(path)
        except OSError:
            unfinished.unlink(missing_ok=True)
            return False
        return True

    eventually(drop, f"room for {path.name}")
