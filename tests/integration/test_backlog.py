"""Whose turn it is among the arrivals in flight, and what it costs to find out."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forebay.app import schemas
from forebay.catalog.arrivals import record_arrival, settle_arrival
from forebay.catalog.backlog import backlog, is_anything_open, open_arrivals
from forebay.database import Transaction
from forebay.database.database import open_writer_connection
from forebay.values.arrival import Arrival, Location, NewArrival


class Arrivals:
    """The arrivals table of an empty catalog."""

    def __init__(self, path: Path | str) -> None:
        self.connection = open_writer_connection(Path(path), schemas(), synchronous="OFF")
        self.count = 0

    def add(self, lane: str, name: str | None = None, event_id: str | None = None) -> Arrival:
        """An arrival of `project/source`."""
        self.count += 1
        project, _, source = lane.partition("/")
        name = name or f"{self.count}.txt"
        new = NewArrival(
            kind="created",
            project=project,
            source=source,
            name=name,
            location=Location(container=source, name=f"{self.count} {name}", etag=str(self.count)),
            actor="test",
            correlation_id="c",
            event_id=event_id or str(self.count),
        )
        arrival = record_arrival(Transaction(self.connection, self.count), new)
        assert arrival is not None
        return arrival

    def settle(self, arrival: Arrival) -> None:
        settle_arrival(Transaction(self.connection, 1), arrival.sequence, "indexed")

    def next(self, limit: int, *, after: str | None = None, busy: set[str] | None = None, held: set[str] | None = None) -> list[Arrival]:
        project, _, source = (after or "").partition("/")
        return open_arrivals(
            self.connection,
            after=(project, source) if after else None,
            busy_documents=busy or set(),
            held_events=held or set(),
            limit=limit,
        )


@pytest.fixture
def arrivals(tmp_path: Path) -> Iterator[Arrivals]:
    opened = Arrivals(tmp_path / "catalog.db")
    yield opened
    opened.connection.close()


def lanes_of(found: list[Arrival]) -> list[str]:
    return [f"{each.project}/{each.source}" for each in found]


def test_lanes_take_turns_and_each_gives_its_oldest(arrivals: Arrivals) -> None:
    for _ in range(5):
        arrivals.add("a/upload")
    arrivals.add("a/incoming")
    arrivals.add("b/upload")
    arrivals.add("b/upload")
    found = arrivals.next(6)
    assert lanes_of(found) == ["a/incoming", "a/upload", "b/upload", "a/upload", "b/upload", "a/upload"]
    assert [each.sequence for each in found if each.project == "a" and each.source == "upload"] == [1, 2, 3]


def test_the_turn_goes_on_after_the_lane_that_had_it(arrivals: Arrivals) -> None:
    for lane in ("a/x", "b/x", "b/y", "c/x"):
        for _ in range(3):
            arrivals.add(lane)
    assert [lanes_of(arrivals.next(1, after=after)) for after in (None, "a/x", "b/x", "b/y", "c/x", "b/xx", "zz/top", "0/0")] == [
        [lane] for lane in ("a/x", "b/x", "b/y", "c/x", "a/x", "b/y", "a/x", "a/x")
    ]
    assert lanes_of(arrivals.next(5, after="b/y")) == ["c/x", "a/x", "b/x", "b/y", "c/x"]


def test_a_document_has_one_turn_at_a_time_and_its_oldest_arrival_first(arrivals: Arrivals) -> None:
    first = arrivals.add("a/x", "same.txt")
    second = arrivals.add("a/x", "same.txt")
    other = arrivals.add("a/x", "other.txt")
    assert [each.sequence for each in arrivals.next(9)] == [first.sequence, other.sequence]
    assert [each.sequence for each in arrivals.next(9, busy={first.document_id})] == [other.sequence]
    arrivals.settle(first)
    assert [each.sequence for each in arrivals.next(9)] == [second.sequence, other.sequence]


def test_a_held_arrival_holds_up_its_document_and_nothing_else(arrivals: Arrivals) -> None:
    arrivals.add("a/x", "held.txt", event_id="held")
    arrivals.add("a/x", "held.txt")
    other = arrivals.add("a/x")
    assert [each.sequence for each in arrivals.next(9, held={"held"})] == [other.sequence]


def test_nothing_is_open_once_all_have_ended(arrivals: Arrivals) -> None:
    one = arrivals.add("a/x")
    assert is_anything_open(arrivals.connection)
    arrivals.settle(one)
    assert not is_anything_open(arrivals.connection)
    assert arrivals.next(9) == []


def test_the_backlog_counts_by_lane_and_what_has_ended(arrivals: Arrivals) -> None:
    settled = [arrivals.add("a/x") for _ in range(3)]
    for arrival in settled:
        arrivals.settle(arrival)
    for lane in ("a/x", "a/x", "b/x"):
        arrivals.add(lane)
    found = backlog(arrivals.connection)
    assert (found.counts, found.total, found.settled_count) == ({("a", "x"): 2, ("b", "x"): 1}, 3, 3)


def steps(connection: sqlite3.Connection, work: Callable[[], Any]) -> int:
    """How much SQLite does for `work`, in steps of its virtual machine: what no neighbour on the machine can change."""
    count = 0

    def step() -> int:
        nonlocal count
        count += 1
        return 0

    connection.set_progress_handler(step, 10)
    try:
        work()
    finally:
        connection.set_progress_handler(None, 0)
    return 10 * count


def test_a_look_costs_the_same_however_many_wait(arrivals: Arrivals) -> None:
    def looks() -> list[int]:
        busy = {each.document_id for each in arrivals.next(63)}
        return [
            steps(arrivals.connection, lambda: arrivals.next(1, after="a/folder", busy=busy)),
            steps(arrivals.connection, lambda: arrivals.next(1, after="b/upload", busy=busy)),
            steps(arrivals.connection, lambda: arrivals.next(64)),
            steps(arrivals.connection, lambda: is_anything_open(arrivals.connection)),
        ]

    for number in range(200):
        arrivals.add("a/folder")
        if number % 20 == 0:
            arrivals.add("b/upload")
    few = looks()
    arrivals.connection.execute("BEGIN")
    for _ in range(8000):
        arrivals.add("a/folder")
    for _ in range(2000):
        arrivals.settle(arrivals.add("b/upload"))
    arrivals.connection.execute("COMMIT")
    many = looks()
    assert all(after <= before + 100 for before, after in zip(few, many, strict=True)), (few, many)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(
    added=st.lists(st.tuples(st.sampled_from(["a/x", "a/y", "b/x", "c/z"]), st.sampled_from("12345"), st.booleans()), max_size=30),
    after=st.sampled_from([None, "a/x", "a/y", "b/x", "b/zz", "c/z"]),
    limit=st.integers(1, 12),
    busy_positions=st.sets(st.integers(0, 29), max_size=4),
)
def test_turns_are_fair_whatever_waits(added: list[tuple[str, str, bool]], after: str | None, limit: int, busy_positions: set[int]) -> None:
    arrivals = Arrivals(":memory:")
    known = [(arrivals.add(lane, name), is_settled) for lane, name, is_settled in added]
    for arrival, is_settled in known:
        if is_settled:
            arrivals.settle(arrival)
    busy = {known[position][0].document_id for position in busy_positions if position < len(known)}
    oldest: dict[str, Arrival] = {}
    for arrival, is_settled in known:
        if not is_settled and arrival.document_id not in busy:
            oldest.setdefault(arrival.document_id, arrival)
    found = arrivals.next(limit, after=after, busy=busy)
    assert len(found) == min(limit, len(oldest))
    assert len({each.document_id for each in found}) == len(found)
    assert {each.sequence for each in found} <= {each.sequence for each in oldest.values()}
    available = Counter(lanes_of(list(oldest.values())))
    served = Counter(lanes_of(found))
    for lane, other in ((one, two) for one in available for two in available):
        # a lane that has more to give is never behind another by more than the turn that is under way
        assert served[lane] == available[lane] or served[lane] >= served[other] - 1
    for lane in served:
        sequences = [each.sequence for each in found if lanes_of([each]) == [lane]]
        assert sequences == sorted(sequences)
    arrivals.connection.close()
