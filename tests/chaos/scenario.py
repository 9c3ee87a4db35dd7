"""What every scenario begins and ends with: a seed that is printed, files that arrive by every way, and the reckoning.

`FOREBAY_TEST_SEED` is the first seed, `FOREBAY_TEST_ROUNDS` how many follow each other.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import httpx
import psutil

from forebay.catalog.queries import chunks_of
from program import Program, assert_sound

FIRST_SEED = int(os.environ.get("FOREBAY_TEST_SEED", "1"))
ROUND_COUNT = int(os.environ.get("FOREBAY_TEST_ROUNDS", "1"))
SEEDS = range(FIRST_SEED, FIRST_SEED + ROUND_COUNT)
WORDS = "pool river gate valve pump meter turbine ledger".split()

Texts = dict[tuple[str, str], str]  # (source, name): text


def chance_of(seed: int, what: str) -> random.Random:
    """The randomness of one scenario; a failing test shows what was printed."""
    print(f"{what}: FOREBAY_TEST_SEED={seed}")
    return random.Random(f"{what} {seed}")


class Senders:
    """Files by three ways in turn, on a thread: into a watched folder, into `incoming`, and uploaded until acknowledged."""

    def __init__(
        self,
        program: Program,
        folder: Path,
        chance: random.Random,
        *,
        count: int,
        pause_seconds: float = 0.0,
        drop: Callable[[Path, str], None] = Path.write_text,
    ) -> None:
        self.program = program
        self.folder = folder
        self.chance = random.Random(chance.random())  # of its own: threads must not share one
        self.count = count
        self.pause_seconds = pause_seconds
        self.drop = drop
        self.sent: Texts = {}
        self.refused: list[tuple[int, str | None, str]] = []  # status, Retry-After, code of each refused upload
        self.error: BaseException | None = None
        self.is_cancelled = False
        self.thread = threading.Thread(target=self._run)

    def __enter__(self) -> Senders:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.is_cancelled = True
        self.thread.join(30)

    def finish(self, seconds: float = 120) -> None:
        """Wait until everything has been sent."""
        self.thread.join(seconds)
        assert not self.thread.is_alive(), f"{len(self.sent)} of {self.count} files were sent within {seconds} s"
        assert self.error is None, self.error

    def _run(self) -> None:
        try:
            for number in range(self.count):
                if self.is_cancelled:
                    return
                self._send(number)
                time.sleep(self.chance.uniform(0, 2 * self.pause_seconds))  # not a wait for something: files come now and then
        except BaseException as error:  # shown by `finish`
            self.error = error

    def _send(self, number: int) -> None:
        words = " ".join(self.chance.choices(WORDS, k=self.chance.choice([5, 400, 3000])))
        name, text = f"file-{number:03}.txt", f"Number {number}. {words}"
        way = number % 3
        if way == 0:
            (self.folder / name).write_text(text)
            self.sent[str(self.folder), name] = text
        elif way == 1:
            self.drop(self.program.data_dir / "containers" / "incoming" / name, text)
            self.sent["incoming", name] = text
        else:
            self._upload(name, text)

    def _upload(self, name: str, text: str) -> None:
        while not self.is_cancelled:
            try:
                with self.program.client() as client:
                    answer = client.post("/documents", params={"name": name}, content=text)
            except (httpx.HTTPError, AssertionError, OSError):
                time.sleep(0.01)  # the server is dead just now
                continue
            if answer.status_code == 202:
                self.sent["upload", name] = text
                return
            self.refused.append((answer.status_code, answer.headers.get("retry-after"), answer.json()["code"]))
            time.sleep(0.05)

    def assert_refusals_can_be_retried(self) -> None:
        """Whatever was refused was refused with 503 and a time to come back."""
        wrong = [each for each in self.refused if each[0] != 503 or not (each[1] or "").isdigit()]
        assert wrong == []


def settle_and_reckon(program: Program, expected: Mapping[tuple[str, str], str], *, indexed_once: bool = True) -> None:
    """Wait for the end of all work, stop the program, and compare what it knows with what the sources hold."""
    with program.client() as client:
        pid = program.pid
        summary = program.settled(documents=len(expected))
        assert client.get("/health/ready").status_code == 200
    assert summary["arrivals"] == sum(summary["outcomes"].values()), summary
    assert program.pid == pid, "one process from the first to the last"
    assert program.stop() == 0
    assert_sound(program.data_dir)
    assert_index_is(program.data_dir, expected, indexed_once=indexed_once)


def assert_index_is(data_dir: Path, expected: Mapping[tuple[str, str], str], *, indexed_once: bool = True) -> None:
    """Every arrival has its outcome; each text is indexed, whole, and nothing else is; each once where nothing was edited."""
    with contextlib.closing(sqlite3.connect(data_dir / "catalog.db")) as connection:
        assert connection.execute("SELECT count(*) FROM arrivals WHERE outcome IS NULL").fetchone() == (0,)
        found = connection.execute("SELECT id, source, name, status, reason, sha256 FROM documents WHERE status != 'deleted'").fetchall()
        told = {(source, name): (status, reason) for _, source, name, status, reason, _ in found}
        assert told == dict.fromkeys(expected, ("indexed", None))
        for identity, source, name, _, _, sha256 in found:
            text = expected[source, name]
            assert sha256 == hashlib.sha256(text.encode()).hexdigest(), (source, name)
            covered = set(range(len(text)))
            for chunk in chunks_of(connection, identity):
                assert chunk.text == text[chunk.start : chunk.end], (source, name)
                covered -= set(range(chunk.start, chunk.end))
            assert not "".join(text[position] for position in covered).strip(), (source, name)
        indexed = Counter(
            connection.execute(
                "SELECT d.source, d.name FROM events e JOIN documents d ON d.id = e.document_id WHERE e.type = 'DocumentIndexed'"
            ).fetchall()
        )
        assert not indexed_once or {key: count for key, count in indexed.items() if count != 1} == {}, "indexed more than once"
    for folder in ("containers/.uploads", "parser-scratch"):
        assert files_below(data_dir / folder) == []
    assert files_below(data_dir / "containers" / "incoming") == [], "indexed blobs move on to processed"


def files_below(folder: Path) -> list[str]:
    """The files in a folder and the folders in it; none where there is no such folder."""
    return [path.name for path in folder.rglob("*") if path.is_file()]


def workers_of(program: Program) -> list[psutil.Process]:
    """The parser processes that live now."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return [child for child in psutil.Process(program.pid).children() if is_alive(child)]
    return []


def is_alive(process: psutil.Process) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def zombies_of(program: Program) -> list[int]:
    """Children that have ended and that nobody has asked about."""
    return [child.pid for child in psutil.Process(program.pid).children(recursive=True) if child.status() == psutil.STATUS_ZOMBIE]


@contextlib.contextmanager
def always(undo: Callable[[], object]) -> Iterator[None]:
    """Undo what a scenario has done to the machine, however it ends."""
    try:
        yield
    finally:
        undo()
