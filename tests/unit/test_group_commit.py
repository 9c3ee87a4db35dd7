from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.database.database import open_writer_connection
from forebay.database.group import GroupCommitter
from forebay.database.transaction import Transaction
from forebay.errors import ForebayError
from forebay.values.times import to_microseconds

SCHEMA = {"test": ["CREATE TABLE items (name TEXT PRIMARY KEY); CREATE TABLE sizes (bytes BLOB)"]}


class SteppingClock:
    """Shows the given times one after the other, then the last for ever."""

    def __init__(self, *seconds: float) -> None:
        self._seconds = list(seconds)

    def now(self) -> datetime:
        shown = self._seconds.pop(0) if len(self._seconds) > 1 else self._seconds[0]
        return datetime(2030, 1, 1, tzinfo=UTC) + timedelta(seconds=shown)

    def now_us(self) -> int:
        return to_microseconds(self.now())

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = open_writer_connection(tmp_path / "test.db", SCHEMA, synchronous="OFF")
    yield connection
    connection.close()


@pytest.fixture
def committer(connection: sqlite3.Connection) -> GroupCommitter:
    return GroupCommitter(connection, SteppingClock(0))


def add(name: str) -> Callable[[Transaction], str]:
    def unit(tx: Transaction) -> str:
        tx.execute("INSERT INTO items VALUES (?)", (name,))
        return name

    return unit


def add_and_raise(name: str, error: BaseException) -> Callable[[Transaction], str]:
    def unit(tx: Transaction) -> str:
        tx.execute("INSERT INTO items VALUES (?)", (name,))
        raise error

    return unit


def names(connection: sqlite3.Connection) -> list[str]:
    return [row[0] for row in connection.execute("SELECT name FROM items ORDER BY name")]


def assert_unavailable(outcome: object) -> None:
    assert isinstance(outcome, ForebayError)
    assert (outcome.code, outcome.retryable) == ("database_unavailable", True)


def test_units_of_a_group_see_each_other_and_return_their_values(committer: GroupCommitter, connection: sqlite3.Connection) -> None:
    def count(tx: Transaction) -> int:
        found: int = tx.execute("SELECT count(*) FROM items").fetchone()[0]
        return found

    assert committer.commit([add("a"), count, add("b"), count]) == ["a", 1, "b", 2]
    assert names(connection) == ["a", "b"]


def test_a_failing_unit_leaves_no_trace_and_disturbs_no_neighbour(committer: GroupCommitter, connection: sqlite3.Connection) -> None:
    error = ValueError("no")

    outcomes = committer.commit([add("a"), add_and_raise("b", error), add("a"), add("c")])

    assert outcomes[0] == "a"
    assert outcomes[1] is error
    assert isinstance(outcomes[2], sqlite3.IntegrityError)
    assert outcomes[3] == "c"
    assert names(connection) == ["a", "c"]


class Panic(BaseException):
    """What an extension written in Rust raises when it panics."""


@pytest.mark.parametrize("error", [StopIteration(), SystemExit(1), KeyboardInterrupt(), GeneratorExit(), Panic()])
def test_a_unit_that_raises_what_a_future_cannot_carry_fails_alone(
    committer: GroupCommitter, connection: sqlite3.Connection, error: BaseException
) -> None:
    outcomes = committer.commit([add("a"), add_and_raise("b", error), add("c")])

    assert (outcomes[0], outcomes[2]) == ("a", "c")
    assert isinstance(outcomes[1], RuntimeError)
    assert outcomes[1].__cause__ is error
    assert names(connection) == ["a", "c"]


def test_a_commit_that_fails_fails_every_unit_and_leaves_nothing(committer: GroupCommitter, connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("CREATE TABLE children (parent TEXT REFERENCES items (name) DEFERRABLE INITIALLY DEFERRED)")
    own = ValueError("mine")

    def orphan(tx: Transaction) -> None:
        tx.execute("INSERT INTO children VALUES ('nobody')")

    outcomes = committer.commit([add("a"), orphan, add_and_raise("b", own)])

    assert_unavailable(outcomes[0])
    assert_unavailable(outcomes[1])
    assert outcomes[2] is own
    assert names(connection) == []
    assert committer.commit([add("a")]) == ["a"]


def test_a_locked_database_fails_every_unit_without_running_one(
    committer: GroupCommitter, connection: sqlite3.Connection, tmp_path: Path
) -> None:
    connection.execute("PRAGMA busy_timeout=0")
    ran: list[str] = []
    with sqlite3.connect(tmp_path / "test.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        outcomes = committer.commit([lambda tx: ran.append("a"), lambda tx: ran.append("b")])
        other.execute("ROLLBACK")
    other.close()

    assert len(outcomes) == 2
    for outcome in outcomes:
        assert_unavailable(outcome)
        assert "locked" in str(outcome)
    assert ran == []
    assert committer.commit([add("a")]) == ["a"]


def test_a_unit_that_makes_sqlite_roll_back_everything_fails_the_whole_group(
    committer: GroupCommitter, connection: sqlite3.Connection
) -> None:
    own = ValueError("mine")

    def roll_back_everything(tx: Transaction) -> None:
        # what SQLite itself does when the disk is full or broken
        tx.execute("INSERT OR ROLLBACK INTO items VALUES ('a')")

    never_run: list[str] = []
    outcomes = committer.commit(
        [add("a"), add_and_raise("b", own), roll_back_everything, lambda tx: never_run.append("d")],
    )

    assert len(outcomes) == 3, "the group ends with the unit that broke it; the writer still has the others"
    assert_unavailable(outcomes[0])
    assert outcomes[1] is own
    assert_unavailable(outcomes[2])
    assert never_run == []
    assert names(connection) == []
    assert committer.commit([add("a")]) == ["a"]


def test_a_full_disk_is_the_databases_failure_and_not_the_units(committer: GroupCommitter, connection: sqlite3.Connection) -> None:
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count={pages + 2}")

    outcomes = committer.commit([lambda tx: tx.execute("INSERT INTO sizes VALUES (zeroblob(1000000))")])

    assert_unavailable(outcomes[0])
    connection.execute("PRAGMA max_page_count=1000000")
    assert committer.commit([add("a")]) == ["a"]


def test_an_iterator_that_raises_leaves_nothing_and_the_next_commit_works(
    committer: GroupCommitter, connection: sqlite3.Connection
) -> None:
    def units() -> Iterator[Callable[[Transaction], Any]]:
        yield add("a")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        committer.commit(units())

    assert names(connection) == []
    assert committer.commit([add("a")]) == ["a"]


def test_transaction_time_grows_over_a_clock_that_steps_back_or_stands_still(connection: sqlite3.Connection) -> None:
    committer = GroupCommitter(connection, SteppingClock(100, 100, 50, 0, 100.5, 7))

    def time_of(tx: Transaction) -> int:
        return tx.now_us

    groups = [committer.commit([time_of, time_of]) for _ in range(6)]

    assert all(first == second for first, second in groups)
    times = [first for first, _ in groups]
    assert times == sorted(set(times))
    assert times[4] - times[0] == 500_000, "it follows the wall clock where that runs forward"


def test_transaction_time_starts_after_what_the_file_has_seen(connection: sqlite3.Connection) -> None:
    committer = GroupCommitter(connection, SteppingClock(0))
    committer.not_before(5_000_000_000_000_000)
    committer.not_before(4_000_000_000_000_000)

    assert committer.commit([lambda tx: tx.now_us])[0] > 5_000_000_000_000_000


KINDS = st.sampled_from(["add", "add twice", "raise", "raise after", "constraint", "panic", "roll back all"])


@given(groups=st.lists(st.lists(KINDS, min_size=1, max_size=12), min_size=1, max_size=6))
def test_whatever_fails_the_file_holds_exactly_what_was_reported_as_written(groups: list[list[str]]) -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("CREATE TABLE items (name TEXT PRIMARY KEY)")
    connection.execute("INSERT INTO items VALUES ('taken')")
    committer = GroupCommitter(connection, SteppingClock(0))
    written = {"taken"}

    def unit_of(kind: str, name: str) -> Callable[[Transaction], tuple[str, ...]]:
        def unit(tx: Transaction) -> tuple[str, ...]:
            if kind == "raise":
                raise ValueError(kind)
            tx.execute("INSERT INTO items VALUES (?)", (name,))
            if kind == "add twice":
                tx.execute_many("INSERT INTO items VALUES (?)", [(name + "'",), (name + '"',)])
                return (name, name + "'", name + '"')
            if kind == "raise after":
                raise LookupError(kind)
            if kind == "panic":
                raise SystemExit(kind)
            if kind == "constraint":
                tx.execute("INSERT INTO items VALUES ('taken')")
            if kind == "roll back all":
                tx.execute("INSERT OR ROLLBACK INTO items VALUES ('taken')")
            return (name,)

        return unit

    for number, kinds in enumerate(groups):
        outcomes = committer.commit([unit_of(kind, f"{number}-{place}") for place, kind in enumerate(kinds)])
        expected = kinds[: kinds.index("roll back all") + 1] if "roll back all" in kinds else kinds
        assert len(outcomes) == len(expected)
        for kind, outcome in zip(expected, outcomes, strict=True):
            is_written = not isinstance(outcome, BaseException)
            assert is_written == (kind in ("add", "add twice") and "roll back all" not in kinds)
            if is_written:
                written.update(outcome)
    assert set(names(connection)) == written
    assert not connection.in_transaction
    connection.close()


def test_values_that_make_no_whole_rows_are_refused(connection: sqlite3.Connection) -> None:
    with pytest.raises(ValueError, match="rows of 2 values, got 3"):
        Transaction(connection, 1).insert_rows("items (name, other)", 2, ["a", "b", "c"])


@given(st.lists(st.integers(0, 150), max_size=200), st.sets(st.integers(0, 150), max_size=20))
def test_many_rows_in_few_statements_are_the_rows_and_what_was_there_stays(numbers: list[int], known: set[int]) -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("CREATE TABLE numbers (id INTEGER PRIMARY KEY AUTOINCREMENT, number INTEGER UNIQUE, name TEXT)")
    connection.executemany("INSERT INTO numbers (number, name) VALUES (?, 'known')", [(number,) for number in sorted(known)])
    statements: list[str] = []
    connection.set_trace_callback(statements.append)
    values = [value for number in numbers for value in (number, f"n{number}")]

    count, last = Transaction(connection, 1).insert_rows("numbers (number, name)", 2, values, "ON CONFLICT (number) DO NOTHING")

    new = list(dict.fromkeys(number for number in numbers if number not in known))
    assert connection.execute("SELECT number FROM numbers WHERE name <> 'known' ORDER BY id").fetchall() == [(number,) for number in new]
    assert count == len(new)
    ids = [number for (number,) in connection.execute("SELECT id FROM numbers WHERE name <> 'known' ORDER BY id")]
    assert ids[-1:] == [last][:count]
    assert count < len(numbers) or ids == list(range(last - count + 1, last + 1))
    assert len([each for each in statements if each.startswith("INSERT")]) <= len(numbers) // 64 + 3 + 3 + 3
