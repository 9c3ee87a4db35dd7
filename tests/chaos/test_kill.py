"""The whole program, killed again and again while files arrive by every way."""

from __future__ import annotations

import os
import random
import sqlite3
import sys
import threading
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import httpx
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "acceptance"))

from program import Program, assert_sound, running

KILL_COUNT = int(os.environ.get("FOREBAY_TEST_KILLS", "20"))
FILE_COUNT = 200


class Senders:
    """200 files, by three ways, spread over the whole test; uploads are retried until they are acknowledged."""

    def __init__(self, program: Program, folder: Path, seed: int) -> None:
        self.program = program
        self.folder = folder
        self.chance = random.Random(seed)
        self.acknowledged: set[str] = set()
        self.error: BaseException | None = None
        self.is_cancelled = False
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            for number in range(FILE_COUNT):
                self._send(number)
        except BaseException as error:  # shown by the test
            self.error = error

    def _send(self, number: int) -> None:
        words = " ".join(self.chance.choices("pool river gate valve pump meter".split(), k=self.chance.choice([5, 400, 3000])))
        name, text = f"file-{number:03}.txt", f"Number {number}. {words}"
        way = number % 3
        if way == 0:
            (self.folder / name).write_text(text)
        elif way == 1:
            (self.program.data_dir / "containers" / "incoming" / name).write_text(text)
        else:
            self._upload(name, text)

    def _upload(self, name: str, text: str) -> None:
        while not self.is_cancelled:
            try:
                with self.program.client() as client:
                    if client.post("/documents", params={"name": name}, content=text).status_code == 202:
                        self.acknowledged.add(name)
                        return
            except (httpx.HTTPError, AssertionError, OSError):
                time.sleep(0.01)  # the server is dead just now


@pytest.mark.parametrize("seed", [1])
def test_every_file_is_indexed_exactly_once_whenever_the_program_is_killed(seed: int, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    chance = random.Random(seed)
    with running(tmp_path / "data", watch=[folder]) as program:
        senders = Senders(program, folder, seed)
        senders.thread.start()
        try:
            for _ in range(KILL_COUNT):
                time.sleep(chance.uniform(0, 0.5))  # not a wait for something: the random moment is what is tested
                program.kill()
                program.start()
            senders.thread.join(120)
            assert not senders.thread.is_alive()
            assert senders.error is None, senders.error
            summary = program.settled(documents=FILE_COUNT)
            assert summary["documents"] == FILE_COUNT, summary
            assert summary["outcomes"].get("skipped", 0) == 0, summary
            assert program.stop() == 0
        finally:
            senders.is_cancelled = True
    assert_sound(tmp_path / "data")
    with closing(sqlite3.connect(tmp_path / "data" / "catalog.db")) as connection:
        indexed = Counter(
            name
            for (name,) in connection.execute(
                "SELECT d.name FROM events e JOIN documents d ON d.id = e.document_id WHERE e.type = 'DocumentIndexed'"
            )
        )
    assert indexed == Counter(f"file-{number:03}.txt" for number in range(FILE_COUNT))
    left = [path.name for path in (tmp_path / "data" / "containers" / "incoming").rglob("*") if path.is_file()]
    assert left == [], "indexed blobs move on to processed"
