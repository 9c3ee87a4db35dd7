from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from forebay.catalog import tables
from forebay.database.database import open_writer_connection
from forebay.database.readers import Readers, ThreadReaders, open_reader, read_snapshot
from forebay.errors import ForebayError
from forebay.pipeline.embedders.mock import MockEmbedder
from forebay.search.filters import SearchFilters
from forebay.search.search import Search, SearchAnswer, SearchRequest
from forebay.search.vectors import SnapshotTooOld, VectorIndex


@pytest.fixture
def catalog_connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = open_writer_connection(tmp_path / "catalog.db", {"catalog": tables.schema()}, synchronous="OFF")
    connection.execute("INSERT INTO models (role, id, made_by, is_complete) VALUES ('searched', ?, '{}', 1)", (MockEmbedder().model_id,))
    yield connection
    connection.close()


@dataclass
class Catalog:
    """Writes documents as the pipeline does: invisible first, then current in one commit."""

    connection: sqlite3.Connection
    embedder: MockEmbedder = field(default_factory=MockEmbedder)
    time: int = 0
    arrival: int = 0

    async def put(self, name: str, *texts: str, project: str = "default-project", model: str | None = None, **columns: Any) -> str:
        version = await self.write(name, *texts, project=project, model=model, **columns)
        self.make_current(version)
        return self.document_id(project, name)

    async def write(self, name: str, *texts: str, project: str = "default-project", model: str | None = None, **columns: Any) -> int:
        """A new version that nobody sees yet."""
        document = self.document_id(project, name)
        self.arrival += 1
        row = {
            "id": document, "project": project, "source": "upload", "name": name, "status": "processing", "newest_arrival": self.arrival,
            "size_bytes": 1, "chunk_count": len(texts), "version_count": 0, "place": "incoming",
            "blob_name": name, "instance_id": "i", "correlation_id": "c", "created_at": 0,
            "updated_at": 0, **columns,
        }  # fmt: skip
        self.insert("documents", row, "ON CONFLICT DO NOTHING")
        (number,) = self.connection.execute("SELECT count(*) + 1 FROM versions WHERE document_id = ?", (document,)).fetchone()
        version = self.insert(
            "versions",
            {
                "document_id": document, "project": project, "number": number, "arrival_sequence": self.arrival,
                "recipe": "r", "sha256": "s", "size_bytes": 1, "chunk_count": len(texts),
                "format": "text", "is_encoding_guessed": 0, "replaced_count": 0, "finding_count": 0,
            },
        )  # fmt: skip
        vectors = await self.embedder.embed(texts)
        for ordinal, (text, vector) in enumerate(zip(texts, vectors, strict=True)):
            sha256 = hashlib.sha256(text.encode()).digest()
            self.insert("texts", {"project": project, "sha256": sha256, "text": text}, "ON CONFLICT DO NOTHING")
            (text_id,) = self.connection.execute("SELECT id FROM texts WHERE project = ? AND sha256 = ?", (project, sha256)).fetchone()
            blob = vector.astype("<f4").tobytes()
            self.insert("vectors", {"text_id": text_id, "model": model or self.embedder.model_id, "vector": blob}, "ON CONFLICT DO NOTHING")
            place = {
                "start": ordinal * 100,
                "stop": ordinal * 100 + len(text),
                "first_line": ordinal * 10 + 1,
                "last_line": ordinal * 10 + 9,
            }
            row = {"version_id": version, "ordinal": ordinal, "text_id": text_id, "symbol": None, "in_search": 1, **place}
            chunk = self.insert("chunks", row)
            self.connection.execute(
                "INSERT INTO chunk_search (rowid, text, context) SELECT id, text, context FROM chunk_contents WHERE id = ?", (chunk,)
            )
        return version

    def make_current(self, version: int) -> None:
        """Swap versions in one commit; the full-text rows of the old one stay a while."""
        (document,) = self.connection.execute("SELECT document_id FROM versions WHERE id = ?", (version,)).fetchone()
        self.time += 1
        self.connection.execute("BEGIN IMMEDIATE")
        self.connection.execute(
            "UPDATE versions SET valid_to = ? WHERE document_id = ? AND valid_to IS NULL AND valid_from IS NOT NULL", (self.time, document)
        )
        self.connection.execute("UPDATE versions SET valid_from = ? WHERE id = ?", (self.time, version))
        self.connection.execute("UPDATE documents SET current_version = ?, status = 'indexed' WHERE id = ?", (version, document))
        self.connection.execute("COMMIT")

    def delete(self, name: str, project: str = "default-project") -> None:
        document = self.document_id(project, name)
        self.time += 1
        self.connection.execute("BEGIN IMMEDIATE")
        self.connection.execute("UPDATE versions SET valid_to = ? WHERE document_id = ? AND valid_to IS NULL", (self.time, document))
        self.connection.execute("UPDATE documents SET current_version = NULL, status = 'deleted' WHERE id = ?", (document,))
        self.connection.execute("COMMIT")

    def insert(self, table: str, row: dict[str, Any], conflict: str = "") -> int:
        statement = f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join('?' * len(row))}) {conflict}"
        return self.connection.execute(statement, list(row.values())).lastrowid or 0

    @staticmethod
    def document_id(project: str, name: str) -> str:
        return hashlib.sha256(f"{project}\0{name}".encode()).hexdigest()[:24]


@pytest.fixture
def catalog(catalog_connection: sqlite3.Connection) -> Catalog:
    return Catalog(catalog_connection)


@pytest.fixture
async def readers(catalog: Catalog, tmp_path: Path) -> AsyncIterator[ThreadReaders]:
    readers = ThreadReaders(tmp_path / "catalog.db", count=2)
    yield readers
    await readers.close()


@pytest.fixture
def index(catalog: Catalog) -> VectorIndex:
    return VectorIndex(catalog.embedder.model_id, catalog.embedder.dimensions)


@pytest.fixture
def search(catalog: Catalog, readers: ThreadReaders, index: VectorIndex) -> Search:
    return Search(readers, *searched(catalog, index))


def searched(catalog: Catalog, index: VectorIndex) -> tuple[dict[str, MockEmbedder], Callable[[str, int], VectorIndex]]:
    """What searches go by: the embedder of the catalog's model, and this index."""
    return {catalog.embedder.model_id: catalog.embedder}, lambda model_id, dimensions: index


async def ask(search: Search, query: str, **options: Any) -> SearchAnswer:
    return await search.search(SearchRequest(**{"query": query, "project": "default-project", **options}))


async def names(search: Search, query: str, **options: Any) -> list[str]:
    return [hit.name for hit in (await ask(search, query, **options)).hits]


async def test_a_hit_carries_everything_that_a_citation_needs(catalog: Catalog, search: Search) -> None:
    await catalog.put("pumps.md", "The old text.")
    document = await catalog.put("pumps.md", "Turbines spin.", "Pumps lift water.")
    answer = await ask(search, "pumps", k=1)
    (hit,) = answer.hits
    assert (hit.document_id, hit.name, hit.project, hit.version) == (document, "pumps.md", "default-project", 2)
    assert hit.chunk_id == f"{document}-2-1"
    assert (hit.text, hit.lines, hit.characters, hit.symbol) == ("Pumps lift water.", (11, 19), (100, 117), None)
    assert (hit.ranks.text, hit.ranks.vector) == (1, 1)
    assert hit.scores.text is not None
    assert hit.scores.vector is not None
    assert hit.score >= hit.scores.vector
    assert (hit.snippet.text, hit.snippet.highlights) == ("Pumps lift water.", ((0, 5),))
    assert answer.took_ms > 0


async def test_hybrid_search_finds_what_either_side_finds(catalog: Catalog, search: Search) -> None:
    await catalog.put("weirs.md", "nothing of the sort")  # by its name: full text only
    await catalog.put("near.md", "weir weirs weir")
    found = {hit.name: hit.ranks for hit in (await ask(search, "weirs")).hits}
    assert found["weirs.md"].text is not None
    assert found["near.md"].vector == 1
    assert next(iter(found)) == "near.md"


async def test_text_search_ranks_by_words_and_leaves_the_embedder_alone(catalog: Catalog, search: Search) -> None:
    await catalog.put("once.md", "a sluice, and many other words about other things that water does")
    await catalog.put("often.md", "sluice sluice sluice")
    calls = catalog.embedder.call_count
    answer = await ask(search, "sluices", mode="text")  # stemmed
    assert [hit.name for hit in answer.hits] == ["often.md", "once.md"]
    assert [(hit.ranks.text, hit.ranks.vector) for hit in answer.hits] == [(1, None), (2, None)]
    assert answer.hits[0].score > answer.hits[1].score > 0
    assert catalog.embedder.call_count == calls


async def test_vector_search_scores_by_cosine(catalog: Catalog, search: Search) -> None:
    await catalog.put("same.md", "open the gate")
    await catalog.put("other.md", "close a window")
    answer = await ask(search, "open the gate", mode="vector")
    assert [hit.name for hit in answer.hits] == ["same.md", "other.md"]
    assert answer.hits[0].score == pytest.approx(1)
    assert [(hit.ranks.text, hit.ranks.vector) for hit in answer.hits] == [(None, 1), (None, 2)]


@pytest.mark.parametrize("mode", ["hybrid", "vector"])
@pytest.mark.parametrize("k", [1, 7, 150, 260])
async def test_k_hits_come_back_when_k_chunks_match_the_filters(catalog: Catalog, search: Search, mode: str, k: int) -> None:
    await catalog.put("wanted/large.txt", *(f"wanted chunk {number}" for number in range(260)))
    await catalog.put("other/large.txt", *(f"water level {number}" for number in range(300)))
    answer = await ask(search, "water level", mode=mode, k=k, filters=SearchFilters(name_prefix="wanted/"))
    assert len(answer.hits) == k
    assert len({hit.chunk_id for hit in answer.hits}) == k


async def test_every_match_of_a_small_project_is_found_beside_a_large_one(catalog: Catalog, search: Search) -> None:
    await catalog.put("large.txt", *(f"valve valve valve {number}" for number in range(500)), project="large")
    await catalog.put("small.txt", "a valve among very many other words that make it rank low")
    assert await names(search, "valve", mode="text") == ["small.txt"]


@pytest.mark.parametrize("mode", ["hybrid", "text", "vector"])
async def test_projects_do_not_see_each_other(catalog: Catalog, search: Search, mode: str) -> None:
    for project in ("default-project", "acme"):
        await catalog.put("shared.txt", "the same secret text", project=project)
    answer = await ask(search, "the same secret text", mode=mode, project="acme")
    assert [hit.project for hit in answer.hits] == ["acme"]
    assert (await ask(search, "the same secret text", mode=mode, project="unknown")).hits == ()


@pytest.mark.parametrize("mode", ["hybrid", "text", "vector"])
async def test_what_was_just_committed_is_found(catalog: Catalog, search: Search, mode: str) -> None:
    assert await names(search, "spillway", mode=mode) == []
    await catalog.put("new.txt", "spillway")
    assert await names(search, "spillway", mode=mode) == ["new.txt"]


@pytest.mark.parametrize("mode", ["hybrid", "text", "vector"])
async def test_a_version_that_is_being_written_is_invisible_and_the_old_one_answers(catalog: Catalog, search: Search, mode: str) -> None:
    await catalog.put("plan.txt", "draft of the dam")
    unfinished = await catalog.write("plan.txt", "final dam")
    assert [hit.version for hit in (await ask(search, "dam", mode=mode)).hits] == [1]
    catalog.make_current(unfinished)
    assert [(hit.version, hit.text) for hit in (await ask(search, "dam", mode=mode)).hits] == [(2, "final dam")]


@pytest.mark.parametrize("mode", ["hybrid", "text", "vector"])
async def test_a_deleted_document_is_gone(catalog: Catalog, search: Search, mode: str) -> None:
    await catalog.put("gone.txt", "penstock one")
    await catalog.put("stays.txt", "penstock two")
    assert sorted(await names(search, "penstock", mode=mode)) == ["gone.txt", "stays.txt"]
    catalog.delete("gone.txt")
    assert await names(search, "penstock", mode=mode) == ["stays.txt"]


async def test_versions_that_came_and_went_between_two_searches_never_show(catalog: Catalog, search: Search) -> None:
    await catalog.put("kept.txt", "gauge")
    await names(search, "gauge", mode="vector")
    await catalog.put("brief.txt", "gauge one")
    await catalog.put("brief.txt", "gauge two")
    catalog.delete("brief.txt")
    assert await names(search, "gauge", mode="vector") == ["kept.txt"]


async def test_the_index_forgets_closed_versions(catalog: Catalog, index: VectorIndex) -> None:
    query = (await catalog.embedder.embed(["gauge"]))[0]

    def chunk_count() -> int:
        return len(index.search(catalog.connection, "default-project", query, 1000)[0])

    await catalog.put("replaced.txt", "gauge one", "gauge two", "gauge three")
    await catalog.put("deleted.txt", "gauge four")
    assert chunk_count() == 4
    await catalog.put("replaced.txt", "gauge five")
    catalog.delete("deleted.txt")
    assert chunk_count() == 1
    catalog.delete("replaced.txt")
    assert chunk_count() == 0


async def test_full_text_rows_of_an_old_version_do_not_crowd_out_the_new_one(catalog: Catalog, search: Search) -> None:
    await catalog.put("plan.txt", *(f"dam dam dam {number}" for number in range(150)))
    await catalog.put("plan.txt", "one dam among very many other words that make it rank low")
    assert [hit.version for hit in (await ask(search, "dam", mode="text")).hits] == [2]


async def test_vectors_of_other_models_are_not_compared(catalog: Catalog, search: Search) -> None:
    await catalog.put("old-model.txt", "headrace", model="another-model")
    assert await names(search, "headrace", mode="vector") == []
    answer = await ask(search, "headrace")
    assert [(hit.name, hit.ranks.vector) for hit in answer.hits] == [("old-model.txt", None)]
    await catalog.put("new-model.txt", "headrace")  # the same text, so it has vectors of both
    assert await names(search, "headrace", mode="vector") == ["new-model.txt"]


async def test_a_query_without_a_word_goes_by_vectors_alone(catalog: Catalog, search: Search) -> None:
    await catalog.put("a.txt", "anything")
    answer = await ask(search, "?!")
    assert [(hit.ranks.text, hit.ranks.vector) for hit in answer.hits] == [(None, 1)]
    assert (await ask(search, "?!", mode="text")).hits == ()


@pytest.mark.parametrize("query", ['"', "text:turbine", "turbine*", "NOT turbine", "NEAR(", "a\0b", "; DROP TABLE chunks", "{context}:x"])
async def test_query_syntax_is_plain_text(catalog: Catalog, search: Search, query: str) -> None:
    await catalog.put("turbine.txt", "turbine not near text context drop table chunks a b x")
    assert await names(search, query) == ["turbine.txt"]


@pytest.mark.parametrize("mode", ["hybrid", "text", "vector"])
async def test_a_quotation_has_to_occur(catalog: Catalog, search: Search, mode: str) -> None:
    await catalog.put("near.txt", "the gate of the sluice, a sluice with a gate")
    await catalog.put("exact.txt", "about the sluice gate among other things that are said here")
    await catalog.put("other.txt", "nothing of the sort")
    await catalog.put("exact.txt", "the sluice gate", project="another")
    assert await names(search, '"sluice gate"', mode=mode) == ["exact.txt"]
    assert await names(search, 'nothing "sluice gate"', mode=mode) == ["exact.txt"]
    assert await names(search, '"gate sluice"', mode=mode) == []


async def test_a_quotation_and_filters_hold_together(catalog: Catalog, search: Search) -> None:
    for name in ("a/1.txt", "b/1.txt"):
        await catalog.put(name, "the sluice gate")
    assert await names(search, '"sluice gate"', filters=SearchFilters(name_prefix="b/")) == ["b/1.txt"]


async def test_the_beginning_of_a_word_finds_it_when_nothing_else_does(catalog: Catalog, search: Search) -> None:
    await catalog.put("turbine.txt", "the turbine hall")
    assert await names(search, "turbi", mode="text") == ["turbine.txt"]
    await catalog.put("turbi.txt", "turbi")
    assert await names(search, "turbi", mode="text") == ["turbi.txt"]


async def test_a_name_is_found_by_its_parts_and_whole(catalog: Catalog, search: Search) -> None:
    for number in range(20):
        await catalog.put(f"{number}.txt", f"other words {number}")
    await catalog.put("code.txt", "class JSONDecoder")
    await catalog.put("prose.txt", "a json decoder")
    for query in ("json decoder", "json_decoder"):
        assert set(await names(search, query, mode="text")) == {"code.txt", "prose.txt"}
    assert await names(search, "JSONDecoder", mode="text") == ["code.txt"]
    catalog.delete("code.txt")
    assert await names(search, "JSONDecoder", mode="text") == ["prose.txt"]


async def test_highlights_are_what_the_full_text_matched(catalog: Catalog, search: Search) -> None:
    await catalog.put("gates.txt", "Opening <b>the gates</b> at night. Résumé.")
    (hit,) = (await ask(search, "gate opens resume")).hits
    assert [hit.snippet.text[first:last] for first, last in hit.snippet.highlights] == ["Opening", "gates", "Résumé"]
    (hit,) = (await ask(search, "gate", mode="vector")).hits
    assert [hit.snippet.text[first:last] for first, last in hit.snippet.highlights] == ["gates"]


async def test_scores_say_what_the_rankings_went_by(catalog: Catalog, search: Search) -> None:
    await catalog.put("weir.txt", "weir")
    await catalog.put("other.txt", "something else")
    by_name = {hit.name: hit for hit in (await ask(search, "weir")).hits}
    assert by_name["weir.txt"].scores.vector == pytest.approx(1)
    assert by_name["other.txt"].scores.text is None
    (text_hit,) = (await ask(search, "weir", mode="text")).hits
    assert (text_hit.scores.text, text_hit.scores.vector) == (text_hit.score, None)


async def test_filters_select_in_both_rankings(catalog: Catalog, search: Search) -> None:
    noon = datetime(2026, 11, 1, 12, tzinfo=UTC)
    created_at = round(noon.timestamp()) * 1_000_000
    await catalog.put("a/1.md", "canal", content_type="text/markdown", language="en", created_at=created_at)
    await catalog.put("a/2.py", "canal", content_type="text/x-python", source="/srv/code", created_at=created_at - 1)
    await catalog.put("b/3.md", "canal", content_type="text/markdown", language="de", created_at=created_at + 1)
    for mode in ("hybrid", "text", "vector"):

        async def found(mode: str = mode, **conditions: Any) -> list[str]:
            return sorted(await names(search, "canal", mode=mode, filters=SearchFilters(**conditions)))

        assert await found(name="a/2.py") == ["a/2.py"]
        assert await found(name_prefix="a/") == ["a/1.md", "a/2.py"]
        assert await found(content_type="text/markdown") == ["a/1.md", "b/3.md"]
        assert await found(language="de") == ["b/3.md"]
        assert await found(source="/srv/code") == ["a/2.py"]
        assert await found(created_after=noon) == ["a/1.md", "b/3.md"]
        assert await found(created_before=noon) == ["a/2.py"]
        assert await found(name="a/1.md", language="de") == []


async def test_equal_scores_are_ordered_the_same_way_every_time(catalog: Catalog, search: Search) -> None:
    for number in range(30):
        await catalog.put(f"{number:02}.txt", "identical")
    expected = [f"{number:02}.txt" for number in range(10)]
    for mode in ("hybrid", "text", "vector"):
        assert await names(search, "identical", mode=mode) == expected


async def test_searches_and_commits_at_the_same_time_agree(catalog: Catalog, search: Search) -> None:
    async def find(number: int) -> None:
        await catalog.put(f"{number}.txt", f"flow {number}")
        assert f"{number}.txt" in await names(search, f"flow {number}", k=100)

    await asyncio.gather(*(find(number) for number in range(40)))


async def test_a_damaged_vector_is_reported_and_nothing_is_half_loaded(catalog: Catalog, search: Search) -> None:
    await catalog.put("good.txt", "intact")
    await catalog.put("bad.txt", "damaged", project="other")
    catalog.connection.execute("UPDATE vectors SET vector = x'00' WHERE text_id = (SELECT id FROM texts WHERE text = 'damaged')")
    for _ in range(2):
        with pytest.raises(ForebayError) as raised:
            await ask(search, "intact")
        assert raised.value.code == "index_damaged"
    catalog.delete("bad.txt", project="other")
    assert await names(search, "intact", mode="vector") == ["good.txt"]


async def test_an_index_refuses_a_transaction_older_than_itself(catalog: Catalog, index: VectorIndex, tmp_path: Path) -> None:
    old, new = open_reader(tmp_path / "catalog.db"), open_reader(tmp_path / "catalog.db")
    await catalog.put("first.txt", "first")
    old.execute("BEGIN")
    old.execute("SELECT count(*) FROM versions").fetchone()  # the snapshot begins here
    await catalog.put("second.txt", "second")
    index.refresh(new)
    query = (await catalog.embedder.embed(["first"]))[0]
    with pytest.raises(SnapshotTooOld):
        index.search(old, "default-project", query, 10)
    old.execute("ROLLBACK")
    assert len(index.search(old, "default-project", query, 10)[0]) == 2
    old.close()
    new.close()


class OutrunReaders:
    """Gives the first transactions a snapshot that another search then outruns."""

    def __init__(self, path: Path, index: VectorIndex, commit: Callable[[], None], outrun_count: int) -> None:
        self._path = path
        self._index = index
        self._commit = commit
        self._remaining_count = outrun_count

    async def run(self, function: Callable[[sqlite3.Connection], Any]) -> Any:
        connection = open_reader(self._path)
        try:
            return read_snapshot(connection, lambda found: self._outrun(found, function))
        finally:
            connection.close()

    async def close(self) -> None:
        pass

    def _outrun(self, connection: sqlite3.Connection, function: Callable[[sqlite3.Connection], Any]) -> Any:
        connection.execute("SELECT count(*) FROM versions").fetchone()
        if self._remaining_count:
            self._remaining_count -= 1
            self._commit()
            newer = open_reader(self._path)
            self._index.refresh(newer)
            newer.close()
        return function(connection)


async def test_a_search_that_commits_outrun_begins_again(catalog: Catalog, index: VectorIndex, tmp_path: Path) -> None:
    await catalog.put("a.txt", "tide")
    versions = [await catalog.write(f"{number}.txt", "tide") for number in range(2)]
    readers: Readers = OutrunReaders(tmp_path / "catalog.db", index, lambda: catalog.make_current(versions.pop()), outrun_count=2)
    assert len((await ask(Search(readers, *searched(catalog, index)), "tide", mode="vector")).hits) == 3


async def test_a_search_that_is_always_outrun_says_so(catalog: Catalog, index: VectorIndex, tmp_path: Path) -> None:
    versions = [await catalog.write(f"{number}.txt", "tide") for number in range(20)]
    readers: Readers = OutrunReaders(tmp_path / "catalog.db", index, lambda: catalog.make_current(versions.pop()), outrun_count=20)
    with pytest.raises(ForebayError) as raised:
        await ask(Search(readers, *searched(catalog, index)), "tide")
    assert (raised.value.code, raised.value.retryable, raised.value.status) == ("search_busy", True, 503)


async def test_a_catalog_that_went_back_in_time_is_loaded_again(catalog: Catalog, search: Search) -> None:
    await catalog.put("early.txt", "mill")
    await catalog.put("late.txt", "mill")
    assert len(await names(search, "mill", mode="vector")) == 2
    # as a restored backup does
    catalog.connection.execute("UPDATE documents SET current_version = NULL WHERE name = 'late.txt'")
    catalog.connection.execute("UPDATE versions SET valid_from = NULL WHERE valid_from = 2")
    assert await names(search, "mill", mode="vector") == ["early.txt"]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"k": 0}, "invalid_k"),
        ({"k": 1001}, "invalid_k"),
        ({"query": " \n"}, "empty_query"),
        ({"query": "x" * 8001}, "query_too_long"),
        ({"query": "\ud800"}, "invalid_query"),
        ({"project": "\ud800"}, "invalid_query"),
        ({"mode": "fuzzy"}, "invalid_mode"),
    ],
)
def test_a_request_out_of_bounds_is_refused(options: dict[str, Any], code: str) -> None:
    with pytest.raises(ForebayError) as raised:
        SearchRequest(**{"query": "q", "project": "default-project", **options})
    assert (raised.value.code, raised.value.status) == (code, 422)
