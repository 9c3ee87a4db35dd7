"""Parsers that crash, hang, eat memory or babble, and parsers that are killed: each costs its own file, at most."""

from __future__ import annotations

import contextlib
import io
import random
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import psutil
import pytest
from scenario import SEEDS, Senders, chance_of, files_below, settle_and_reckon, workers_of, zombies_of

from program import Program, assert_sound, running

HOSTILE = (sys.executable, str(Path(__file__).parents[1] / "acceptance" / "hostile_parser_server.py"))
GOOD_COUNT = 30
FILE_COUNT = 60
KILL_COUNT = 8
SETTINGS = {
    "FOREBAY_PARSE_TIMEOUT_SECONDS": "4",
    "FOREBAY_PARSE_MEMORY_MB": "256",
    "FOREBAY_ACTIVITY_ATTEMPTS": "2",
    "FOREBAY_FIRST_RETRY_SECONDS": "0.05",
    "FOREBAY_PARSE_WORKERS": "2",
}

# what the parser is told to do by the text of a file, and the reasons that may be given for what becomes of it
MISBEHAVIOUR = {
    "segfault": "parser_crashed",
    "exit": "parser_crashed",
    "panic": "parser_crashed",
    "babble": "parser_crashed",
    "complain": "parser_memory",
    f"allocate {2 << 30}": "parser_memory",
    "overrun": "parser_timeout",
    "hang": "parser_timeout",
    "spin": "parser_timeout",
    "raise": "internal",
    "print": None,  # noise alone harms nothing
}


def workbook_of(rows: bytes) -> bytes:
    """An XLSX with one sheet of these rows."""
    import openpyxl

    buffer, bomb = io.BytesIO(), io.BytesIO()
    openpyxl.Workbook().save(buffer)
    plain = zipfile.ZipFile(buffer)
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name in plain.namelist():
            content = plain.read(name)
            if name == "xl/worksheets/sheet1.xml":
                head, middle, tail = content.partition(b"<sheetData>")
                assert middle, content
                content = head + middle + rows + tail
            archive.writestr(name, content)
    return bomb.getvalue()


def row_of(chance: random.Random) -> bytes:
    cells = "".join(f'<c t="inlineStr"><is><t>{chance.random()}</t></is></c>' for _ in range(40))
    return f"<row>{cells}</row>".encode()


def bombs(chance: random.Random) -> dict[str, tuple[bytes, set[str]]]:
    """Real documents that are far larger than their files, and the reasons that may be given for them."""
    within_limits = b"".join(row_of(chance) * 10 for _ in range((90 << 20) // (10 * len(row_of(chance)))))
    return {
        # over what an archive may hold when it is inflated
        "over-limit.xlsx": (workbook_of(b" " * (40 << 20)), {"archive_bomb"}),
        # within that, and over what a parser may use
        "over-memory.xlsx": (workbook_of(within_limits), {"parser_memory", "parser_timeout"}),  # whichever comes first
    }


@pytest.mark.parametrize("seed", SEEDS)
def test_every_way_to_misbehave_costs_one_file_with_its_reason(seed: int, tmp_path: Path) -> None:
    chance = chance_of(seed, "misbehaving parsers")
    folder = tmp_path / "folder"
    folder.mkdir()
    good = {f"good-{number:02}.txt": f"The good neighbour number {number} is indexed." for number in range(GOOD_COUNT)}
    reasons = {f"bad-{behaviour.split()[0]}.txt": {reason} for behaviour, reason in MISBEHAVIOUR.items() if reason}
    contents = {name: text.encode() for name, text in good.items()}
    contents |= {f"bad-{behaviour.split()[0]}.txt": behaviour.encode() for behaviour in MISBEHAVIOUR}
    for name, (content, allowed) in bombs(chance).items():
        contents[name], reasons[name] = content, allowed
    names = sorted(contents)
    chance.shuffle(names)
    with running(tmp_path / "data", watch=[folder], command=HOSTILE, **SETTINGS) as program:
        for name in names:
            (folder / name).write_bytes(contents[name])
        summary = program.settled(documents=len(names))
        assert sum(summary["outcomes"].values()) == summary["arrivals"] == len(names)
        documents = by_name(program)
        told = {name: documents[name]["reason"] for name in reasons}
        assert {name: reason for name, reason in told.items() if reason not in reasons[name]} == {}
        assert {documents[name]["status"] for name in reasons} <= {"failed", "skipped"}
        assert {documents[name]["status"] for name in names if name not in reasons} == {"indexed"}
        # the pool recovers, and nothing of its dead is left
        (folder / "afterwards.txt").write_text("after all of that")
        program.settled(documents=len(names) + 1)
        assert by_name(program)["afterwards.txt"]["status"] == "indexed"
        assert zombies_of(program) == []
        workers = workers_of(program)
        assert len(workers) <= 2
        assert program.stop() == 0
        assert not [worker for worker in workers if worker.is_running()]
    for leftover in ("parser-scratch", "containers/.uploads"):
        assert files_below(tmp_path / "data" / leftover) == []
    assert_sound(tmp_path / "data")


@pytest.mark.parametrize("seed", SEEDS)
def test_files_whose_parsers_are_killed_are_parsed_by_others(seed: int, tmp_path: Path) -> None:
    chance = chance_of(seed, "killed parsers")
    folder = tmp_path / "folder"
    folder.mkdir()
    settings = SETTINGS | {"FOREBAY_ACTIVITY_ATTEMPTS": str(KILL_COUNT + 1)}
    with (
        running(tmp_path / "data", watch=[folder], **settings) as program,
        Senders(program, folder, chance, count=FILE_COUNT, pause_seconds=0.02) as senders,
    ):
        killed: list[psutil.Process] = []
        while len(killed) < KILL_COUNT and (senders.thread.is_alive() or len(killed) < KILL_COUNT // 2):
            time.sleep(chance.uniform(0, 0.2))  # the random moment is what is tested
            with contextlib.suppress(IndexError, psutil.NoSuchProcess):
                victim = chance.choice(workers_of(program))
                victim.kill()
                killed.append(victim)
        senders.finish()
        assert len(killed) >= KILL_COUNT // 2
        assert zombies_of(program) == []
        settle_and_reckon(program, senders.sent)


def by_name(program: Program) -> dict[str, dict[str, Any]]:
    with program.client() as client:
        return {each["name"]: each for each in client.get("/documents?limit=1000").json()["documents"]}
