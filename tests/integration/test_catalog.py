"""Arrivals, versions and transitions of the catalog, on a real database file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import inspect

from forebay.app import schemas
from forebay.catalog import documents, models, tables, versions
from forebay.catalog.arrivals import arrival_of, record_arrival, settle_arrival
from forebay.catalog.history import check_history, repair_documents
from forebay.catalog.known import Newest, known_arrivals, newest_at
from forebay.catalog.queries import DocumentFilter, chunks_of, find_document, list_documents, summary
from forebay.catalog.versions import VersionFacts
from forebay.database.database import open_writer_connection
from forebay.database.transaction import Transaction
from forebay.durable import Registry
from forebay.errors import ForebayError
from forebay.pipeline.transitions import register_transitions
from forebay.values.arrival import Arrival, Location, NewArrival
from forebay.values.chunk import Chunk


class Catalog:
    """One writer's connection; each `tx` is a transaction of its own time."""

    def __init__(self, path: Path) -> None:
        self.connection = open_writer_connection(path, schemas(), synchronous="OFF")
        self.registry = Registry()
        register_transitions(self.registry)
        self.now_us = 1_000_000
        models.search_by(self.tx, "m", {}, is_complete=True)

    @property
    def tx(self) -> Transaction:
        self.now_us += 1
        return Transaction(self.connection, self.now_us)

    def arrive(self, name: str = "a.txt", etag: str | None = "1", kind: Any = "created", event_id: str | None = None) -> Arrival | None:
        new = NewArrival(
            kind=kind,
            project="p",
            source="/folder",
            name=name,
            location=Location(container=None, name=name, etag=etag),
            actor="test",
            correlation_id="c",
            event_id=event_id or f"{name} {etag} {kind} {self.now_us}",
        )
        return record_arrival(self.tx, new)

    def stage(self, arrival: Arrival, texts: list[str]) -> int:
        facts = VersionFacts(
            recipe="r",
            sha256=str(texts),
            size_bytes=1,
            format="text",
            content_type="text/plain",
            language=None,
            encoding="utf-8",
            is_encoding_guessed=False,
            replaced_count=0,
            chunk_count=len(texts),
        )
        tx = self.tx
        version = versions.stage_version(tx, arrival, facts)
        chunks = [
            Chunk(ordinal=number, text=text, start=number, end=number + len(text), first_line=1, last_line=1)
            for number, text in enumerate(texts)
        ]
        versions.stage_chunks(tx, version, arrival.project, arrival.name, chunks)
        return version

    def embed(self, version: int) -> int:
        missing = versions.texts_without_vector(self.connection, version, "m", 0, 10_000)
        versions.put_vectors(self.tx, "m", [(text_id, np.ones(1, "<f4").tobytes()) for text_id, _ in missing])
        return len(missing)

    def step(self, name: str, value: Any) -> Any:
        return self.registry.activities[name].function(self.tx, value)  # type: ignore[arg-type, call-arg]

    def index(self, arrival: Arrival, texts: list[str]) -> dict[str, Any]:
        version = self.stage(arrival, texts)
        self.embed(version)
        ended: dict[str, Any] = self.step("persist", {"arrival": arrival.sequence, "version": version, "embedded": 0})
        return ended

    def matches(self, word: str) -> int:
        found = self.connection.execute("SELECT count(*) FROM chunk_search WHERE chunk_search MATCH ?", (word,)).fetchone()[0]
        return int(found)


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    opened = Catalog(tmp_path / "catalog.db")
    yield opened
    opened.connection.close()


def test_the_tables_of_sqlalchemy_are_those_of_the_migrations(tmp_path: Path) -> None:
    from sqlalchemy import create_engine

    open_writer_connection(tmp_path / "c.db", schemas(), synchronous="OFF").close()
    engine = create_engine(f"sqlite:///{tmp_path / 'c.db'}")
    inspector = inspect(engine)
    for table in tables.metadata.tables.values():
        stored = [(column["name"], str(column["type"])) for column in inspector.get_columns(table.name)]
        assert stored == [(column.name, str(column.type)) for column in table.columns], table.name
    engine.dispose()


def test_the_same_event_or_the_same_etag_is_recorded_once(catalog: Catalog) -> None:
    assert catalog.arrive(etag="1", event_id="e") is not None
    assert catalog.arrive(etag="2", event_id="e") is None
    assert catalog.arrive(etag="1") is None
    assert catalog.arrive(etag="2") is not None
    assert catalog.arrive(etag="1") is not None  # A, B, A
    assert catalog.arrive(etag=None, kind="deleted") is not None
    assert catalog.arrive(etag=None, kind="deleted") is None
    newest = newest_at(catalog.connection, "/folder", project="p", passing=())
    assert [each.kind for each in known_arrivals(catalog.connection, newest.sequences.values()).values()] == ["deleted"]


def test_what_is_known_of_some_names_includes_what_is_below_them(catalog: Catalog) -> None:
    for name in ("a/b.txt", "a/b/c.txt", "a-b.txt", "a0", "ab/c.txt"):
        catalog.arrive(name=name)

    def names(*only: str) -> set[str]:
        return set(newest_at(catalog.connection, "/folder", project="p", passing=(), only=only).sequences)

    assert names("a") == {"a/b.txt", "a/b/c.txt"}
    assert names("a/b", "a0") == {"a/b/c.txt", "a0"}


def test_the_etag_of_another_project_or_of_a_passing_reason_does_not_count(catalog: Catalog) -> None:
    healthy, gone = catalog.arrive(name="healthy"), catalog.arrive(name="gone")
    assert healthy is not None and gone is not None
    settle_arrival(catalog.tx, gone.sequence, "failed", "vanished")
    expected = Newest({"healthy": healthy.sequence, "gone": gone.sequence}, {"healthy": healthy.location.etag, "gone": None})
    assert newest_at(catalog.connection, "/folder", project="p", passing=("vanished", "unreadable")) == expected
    assert newest_at(catalog.connection, "/folder", project="other", passing=()).etags == {"healthy": None, "gone": None}


def test_the_summary_reads_indexes_alone_however_many_documents_there_are(catalog: Catalog) -> None:
    seen: list[str] = []
    catalog.connection.set_trace_callback(seen.append)
    summary(catalog.connection, "p")
    catalog.connection.set_trace_callback(None)
    plans = [" ".join(str(row) for row in catalog.connection.execute(f"EXPLAIN QUERY PLAN {sql}")) for sql in seen]
    assert len(plans) == 2
    assert all("COVERING INDEX" in plan for plan in plans), plans


def test_a_slow_old_version_that_finishes_after_a_newer_one_changes_nothing(catalog: Catalog) -> None:
    old, new = catalog.arrive(etag="1"), catalog.arrive(etag="2")
    assert old is not None and new is not None
    slow = catalog.stage(old, ["old text"])
    assert catalog.index(new, ["new text"])["outcome"] == "indexed"
    catalog.embed(slow)
    ended = catalog.step("persist", {"arrival": old.sequence, "version": slow, "embedded": 1})
    assert (ended["outcome"], ended["discard"]) == ("superseded", True)
    while not versions.discard_staged(catalog.tx, slow):
        pass
    assert [chunk.text for chunk in chunks_of(catalog.connection, old.document_id)] == ["new text"]
    assert (catalog.matches("old"), catalog.matches("new")) == (0, 1)
    assert check_history(catalog.connection)["ok"]


@pytest.mark.parametrize("late", ["keep", "refuse"])
def test_no_late_outcome_of_an_old_arrival_touches_the_newer_one(late: str, catalog: Catalog) -> None:
    old, new = catalog.arrive(etag="1"), catalog.arrive(etag="2")
    assert old is not None and new is not None
    catalog.index(new, ["new text"])
    failure = {"arrival": old.sequence, "activity": "read_and_chunk", "code": "empty", "message": "no text"}
    ended = catalog.step(late, old.sequence if late == "keep" else failure)
    assert ended["outcome"] == "superseded"
    assert find_document(catalog.connection, new.document_id, "p").status == "indexed"


def test_an_old_version_cannot_bring_back_a_document_that_was_deleted_meanwhile(catalog: Catalog) -> None:
    created = catalog.arrive(etag="1")
    deleted = catalog.arrive(etag=None, kind="deleted")
    assert created is not None and deleted is not None
    slow = catalog.stage(created, ["text"])
    catalog.embed(slow)
    assert catalog.step("begin", deleted.sequence)["outcome"] == "deleted"
    ended = catalog.step("persist", {"arrival": created.sequence, "version": slow, "embedded": 1})
    assert ended["outcome"] == "superseded"
    assert find_document(catalog.connection, created.document_id, "p").version is None


def test_a_version_with_a_chunk_without_vector_is_never_made_current(catalog: Catalog) -> None:
    arrival = catalog.arrive()
    assert arrival is not None
    version = catalog.stage(arrival, ["one", "two"])
    with pytest.raises(ForebayError, match="2 of 2 chunks have no vector") as refused:
        documents.make_current(catalog.tx, arrival, version)
    assert (refused.value.code, refused.value.retryable) == ("embedding_incomplete", False)  # the orchestration embeds, and tries again


def test_a_failed_new_version_leaves_the_old_one_answering_and_a_skipped_one_removes_it(catalog: Catalog) -> None:
    first, second, third = catalog.arrive(etag="1"), catalog.arrive(etag="2"), catalog.arrive(etag="3")
    assert first is not None and second is not None and third is not None
    catalog.index(first, ["the text"])
    failure = {"arrival": second.sequence, "activity": "embed", "code": "embedding_failed", "message": "no"}
    assert catalog.step("refuse", failure)["outcome"] == "failed"
    assert find_document(catalog.connection, first.document_id, "p").version == 1
    assert catalog.matches("text") == 1
    skip = {"arrival": third.sequence, "activity": "read_and_chunk", "code": "empty", "message": "no text"}
    assert catalog.step("refuse", skip)["outcome"] == "skipped"
    document = find_document(catalog.connection, first.document_id, "p")
    assert (document.version, document.status, document.reason) == (None, "skipped", "empty")
    assert catalog.matches("text") == 0
    assert check_history(catalog.connection)["ok"]


def test_a_large_version_is_retired_in_slices_and_each_row_only_once(catalog: Catalog) -> None:
    first, second = catalog.arrive(etag="1"), catalog.arrive(etag="2")
    assert first is not None and second is not None
    many = [f"old number {number}" for number in range(600)]
    catalog.index(first, many)
    ended = catalog.index(second, ["new"])
    assert ended["retire"] is not None
    assert catalog.matches("old") == 600 - versions.WRITE_SLICE_CHUNKS
    while versions.retire_chunks(catalog.tx, ended["retire"]):
        pass
    assert versions.retire_chunks(catalog.tx, ended["retire"]) == 0
    assert catalog.matches("old") == 0
    catalog.connection.execute("INSERT INTO chunk_search (chunk_search, rank) VALUES ('integrity-check', 1)")


def test_equal_texts_are_stored_and_embedded_once_in_a_project(catalog: Catalog) -> None:
    first, second = catalog.arrive(name="a.txt"), catalog.arrive(name="b.txt")
    assert first is not None and second is not None
    assert catalog.embed(catalog.stage(first, ["same", "same", "other"])) == 2
    assert catalog.embed(catalog.stage(second, ["same"])) == 0


def test_versions_carry_adjoining_validity_intervals(catalog: Catalog) -> None:
    for etag in ("1", "2", "3"):
        arrival = catalog.arrive(etag=etag)
        assert arrival is not None
        catalog.index(arrival, [f"text {etag}"])
    rows = catalog.connection.execute("SELECT number, valid_from, valid_to FROM versions ORDER BY number").fetchall()
    assert [number for number, _, _ in rows] == [1, 2, 3]
    assert [ended for _, _, ended in rows[:-1]] == [begun for _, begun, _ in rows[1:]]
    assert rows[-1][2] is None


def test_a_tampered_document_is_found_and_repaired_from_its_events(catalog: Catalog) -> None:
    arrival = catalog.arrive()
    assert arrival is not None
    catalog.index(arrival, ["text"])
    catalog.connection.execute("UPDATE documents SET status = 'failed', chunk_count = 7")
    found = check_history(catalog.connection)
    assert [problem["code"] for problem in found["problems"]] == ["document_differs"]
    repair_documents(catalog.tx)
    assert check_history(catalog.connection)["ok"]


def test_lists_are_paged_in_order_of_name_without_gaps_or_repetitions(catalog: Catalog) -> None:
    names = [f"{letter}{number}.txt" for letter in "ba" for number in range(7)]
    for name in names:
        catalog.arrive(name=name)
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page, cursor = list_documents(catalog.connection, DocumentFilter(project="p", name_prefix="a"), limit=3, cursor=cursor)
        seen += [document.name for document in page]
        if cursor is None:
            break
    assert seen == sorted(name for name in names if name.startswith("a"))
    with pytest.raises(ForebayError, match="cursor"):
        list_documents(catalog.connection, DocumentFilter(project="p"), limit=3, cursor="nonsense")


def test_a_document_of_another_project_is_not_found(catalog: Catalog) -> None:
    arrival = catalog.arrive()
    assert arrival is not None
    with pytest.raises(ForebayError) as refused:
        find_document(catalog.connection, arrival.document_id, "other")
    assert refused.value.status == 404
    assert list_documents(catalog.connection, DocumentFilter(project="other"), limit=3, cursor=None) == ([], None)


def test_an_arrival_reads_back_as_it_was_recorded(catalog: Catalog) -> None:
    arrival = catalog.arrive()
    assert arrival is not None
    assert arrival_of(catalog.connection, arrival.sequence) == arrival
    with pytest.raises(ForebayError, match="no arrival 99"):
        arrival_of(catalog.connection, 99)


def test_a_statement_with_values_of_its_own_cannot_be_compiled_once(catalog: Catalog) -> None:
    from sqlalchemy import update

    with pytest.raises(TypeError, match="literal_column"):
        catalog.tx.execute(update(tables.documents).values(status="x"))
    assert isinstance(catalog.connection, sqlite3.Connection)
