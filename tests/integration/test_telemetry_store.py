from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.integration.telemetry_rows import NOW, FixedClock, ago, entry, iso, open_store, select, stored

from forebay.errors import ForebayError
from forebay.telemetry.log.port import StoredEntry
from forebay.telemetry.store.insert import Inserter
from forebay.telemetry.store.schema import MIGRATIONS, migrate
from forebay.telemetry.store.store import TelemetryStore
from forebay.telemetry.tables import DERIVED, STORED

TRACE = {"timestamp": "2026-11-22T05:00:00.123456", "message": "hello", "severityLevel": 1, "customDimensions": {"a": 1, "b": {"c": [1]}}}


async def test_rows_arrive_with_what_the_server_knows_of_them(tmp_path: Path):
    async with open_store(tmp_path / "t.duckdb") as store:
        done = await store.insert(stored(1, entry({"traces": [TRACE, {"message": "x"}], "customEvents": [{"name": "e"}]}, project="p1")))
        assert (done.row_count, done.entry_count) == (3, 1)
        rows = await select(
            store, "SELECT timestamp, message, customDimensions->>'$.b.c[0]', source, _project, _received FROM store.traces"
        )
        assert rows[0][1:] == ("hello", "1", "k", "p1", NOW.replace(tzinfo=None))
        assert rows[0][0].isoformat() == "2026-11-22T05:00:00.123456"
        assert rows[1][0] is None  # what is absent is NULL
        assert store.positions == {"local": 1}


@pytest.mark.parametrize("table", STORED, ids=lambda table: table.name)
async def test_every_column_of_every_table_can_be_written(tmp_path: Path, table):
    values = {"string": "s", "int": 1, "long": 2**60, "real": 1.5, "bool": True, "datetime": ago(hours=1), "dynamic": {"a": [1, "x"]}}
    row = {column.name: values[column.type] for column in table.columns}
    async with open_store(tmp_path / "t.duckdb") as store:
        await store.insert(stored(1, entry({table.name: [row]})))
        names = ", ".join(f'"{column.name}"' for column in table.columns)
        (found,) = await select(store, f'SELECT {names} FROM store."{table.name}"')
    assert None not in found


async def test_an_entry_is_in_the_tables_once_however_often_it_is_inserted(tmp_path: Path):
    path = tmp_path / "t.duckdb"
    entries = stored(1, *(entry({"traces": [TRACE]}) for _ in range(5)))
    async with open_store(path) as store:
        await store.insert(entries[:3])
        done = await store.insert(entries)
        assert (done.row_count, done.duplicate_count) == (2, 3)
    async with open_store(path) as store:  # the positions are in the file
        assert (await store.insert(entries)).duplicate_count == 5
        assert (await store.statistics()).row_counts["traces"] == 5
        assert store.positions == {"local": 5}


async def test_partitions_have_positions_of_their_own(tmp_path: Path):
    async with open_store(tmp_path / "t.duckdb") as store:
        await store.insert([*stored(7, entry({"traces": [TRACE]}), partition="a"), *stored(2, entry({"traces": [TRACE]}), partition="b")])
        assert store.positions == {"a": 7, "b": 2}


async def test_an_entry_with_a_key_seen_within_a_day_is_skipped(tmp_path: Path):
    path = tmp_path / "t.duckdb"
    first = entry({"traces": [TRACE]}, key="k/1")
    again = entry({"traces": [TRACE]}, key="k/1", received=NOW + timedelta(hours=23))
    other = entry({"traces": [TRACE]}, key="k/2")
    later = entry({"traces": [TRACE]}, key="k/1", received=NOW + timedelta(hours=24, seconds=1))
    async with open_store(path) as store:
        done = await store.insert(stored(1, first, first, other))
        assert (done.entry_count, done.duplicate_count) == (2, 1)
    async with open_store(path) as store:
        assert (await store.insert(stored(4, again))).duplicate_count == 1
        assert (await store.insert(stored(5, later))).entry_count == 1


BAD = {
    "not JSON": b"[",
    "not an object": b"[1]",
    "not an array": b'{"traces": {"message": "x"}}',
    "an unknown table": b'{"nonsense": []}',
    "half a surrogate pair": rb'{"traces": [{"message": "\ud800"}]}',
    "not UTF-8": b'{"traces": [{"message": "\xff"}]}',
    "a control character": b'{"traces": [{"message": "a\x01b"}]}',
    "endless nesting": b'{"traces": [{"customDimensions": ' + b"[" * 50_000 + b"]" * 50_000 + b"}]}",
}


@pytest.mark.parametrize("payload", BAD.values(), ids=BAD.keys())
async def test_a_bad_entry_is_put_aside_and_its_neighbours_are_not(tmp_path: Path, payload: bytes):
    good = [entry({"traces": [TRACE]}) for _ in range(9)]
    async with open_store(tmp_path / "t.duckdb") as store:
        done = await store.insert(stored(1, *good[:4], entry(payload), *good[4:]))
        assert (done.row_count, done.rejected_count) == (9, 1)
        assert store.positions == {"local": 10}
        assert (await store.statistics()).rejected_entry_count == 1
        ((offset, kept, reason),) = await select(store, 'SELECT "offset", payload, reason FROM store.rejected_entries')
        assert (offset, kept) == (5, payload)
        assert reason
        assert (await store.insert(stored(1, *good, entry(payload)))).rejected_count == 0  # and once


async def test_an_entry_that_only_duckdb_refuses_is_found_among_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    original = Inserter._insert_rows

    def refuse(self: Inserter, table_name: str, rows: Any) -> int:
        if any("poison" in array for array in rows.arrays):
            raise duckdb.ConversionException("the reason\nwith details")
        return original(self, table_name, rows)

    monkeypatch.setattr(Inserter, "_insert_rows", refuse)
    entries = [entry({"traces": [{"message": "poison" if number in (3, 77) else "x"}]}, key=f"k{number}") for number in range(100)]
    async with open_store(tmp_path / "t.duckdb") as store:
        done = await store.insert(stored(1, *entries))
        assert (done.row_count, done.entry_count, done.rejected_count, done.duplicate_count) == (98, 98, 2, 0)
        assert await select(store, 'SELECT "offset", reason FROM store.rejected_entries ORDER BY 1') == [
            (4, "the reason"),
            (78, "the reason"),
        ]
        assert store.positions == {"local": 100}


async def test_an_entry_without_the_servers_headers_is_put_aside(tmp_path: Path):
    bare = StoredEntry(partition="p", offset=1, entry=entry({"traces": [TRACE]}))
    bare.entry.headers.pop("project")
    async with open_store(tmp_path / "t.duckdb") as store:
        assert (await store.insert([bare])).rejected_count == 1


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
payloads = st.binary(max_size=40) | st.dictionaries(
    st.sampled_from(["traces", "requests", "x"]),
    st.lists(
        st.dictionaries(st.sampled_from(["message", "timestamp", "duration", "customDimensions", "?"]), json_values, max_size=3), max_size=3
    ),
    max_size=2,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(payloads, min_size=1, max_size=6))
def test_whatever_the_payloads_every_entry_is_inserted_or_put_aside(tmp_path_factory: pytest.TempPathFactory, given_payloads):
    import asyncio

    async def run() -> None:
        async with open_store(tmp_path_factory.mktemp("store") / "t.duckdb") as store:
            done = await store.insert(stored(1, *(entry(payload) for payload in given_payloads)))
            assert done.entry_count + done.rejected_count == len(given_payloads)
            assert store.positions == {"local": len(given_payloads)}

    asyncio.run(run())


@pytest.fixture
def common_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.mark.usefixtures("common_umask")
async def test_the_files_belong_to_the_owner_alone(tmp_path: Path):
    path = tmp_path / "t.duckdb"
    async with open_store(path) as store:
        await store.open()
        await store.write(lambda connection: connection.execute("CHECKPOINT"))  # the write-ahead log goes, and comes anew
        await store.insert(stored(1, entry({"traces": [TRACE]})))
        names = sorted(tmp_path.iterdir())
        assert [name.name for name in names] == ["t.duckdb", "t.duckdb.wal"]
        assert {name.stat().st_mode & 0o777 for name in names} == {0o600}


async def test_a_file_of_a_newer_program_is_refused(tmp_path: Path):
    path = tmp_path / "t.duckdb"
    async with open_store(path) as store:
        await store.open()
    with duckdb.connect(str(path)) as connection:
        connection.execute("UPDATE store.schema_version SET version = 99")
    async with open_store(path) as store:
        with pytest.raises(ForebayError, match="version 99") as caught:
            await store.open()
        assert caught.value.code == "schema_too_new"


def test_a_file_of_an_older_program_gains_what_it_lacks_and_keeps_its_rows():
    with duckdb.connect() as connection:
        migrate(connection)
        connection.execute("INSERT INTO store.traces (message, _project) VALUES ('kept', 'p')")
        connection.execute('ALTER TABLE store.traces DROP COLUMN "client_IP"')
        connection.execute("DROP TABLE store.exceptions")
        migrate(connection, (*MIGRATIONS, ("CREATE TABLE store.later (a INTEGER)",)))
        assert connection.execute('SELECT message, "client_IP" FROM store.traces').fetchall() == [("kept", None)]
        assert connection.execute("SELECT count(*) FROM store.exceptions, store.later").fetchall() == [(0,)]
        assert connection.execute("SELECT version FROM store.schema_version").fetchall() == [(2,)]


async def test_a_foreign_and_a_damaged_file_are_refused_and_left_alone(tmp_path: Path):
    foreign = tmp_path / "foreign.duckdb"
    foreign.write_bytes(b"not a database" * 1000)
    damaged = tmp_path / "damaged.duckdb"
    async with open_store(damaged) as store:
        await store.insert(stored(1, entry({"traces": [TRACE]})))
    content = bytearray(damaged.read_bytes())
    content[4096 : 3 * 4096] = bytes(2 * 4096)  # both headers of https://duckdb.org/docs/stable/internals/storage
    cut = tmp_path / "cut.duckdb"
    cut.write_bytes(damaged.read_bytes()[: 64 << 10])
    damaged.write_bytes(content)
    for path in (foreign, damaged, cut):
        before = path.read_bytes()
        async with open_store(path) as store:
            with pytest.raises(ForebayError) as caught:
                await store.open()
        assert (caught.value.code, caught.value.retryable) == ("telemetry_store_damaged", False)
        assert path.read_bytes() == before


async def test_an_empty_file_is_that_of_a_start_that_was_broken_off(tmp_path: Path):
    path = tmp_path / "t.duckdb"
    path.touch()
    async with open_store(path) as store:
        await store.insert(stored(1, entry({"traces": [TRACE]})))
    async with open_store(path) as store:
        assert (await store.statistics()).row_counts["traces"] == 1


async def test_a_file_that_another_process_has_open_is_refused_until_it_is_free(tmp_path: Path):
    path = tmp_path / "t.duckdb"
    code = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"open\n"
        async with open_store(path) as store:
            with pytest.raises(ForebayError) as caught:
                await store.open()
            assert (caught.value.code, caught.value.retryable) == ("telemetry_store_locked", True)
            assert other.stdin is not None
            other.stdin.close()
            other.wait()
            await store.open()


async def test_a_closed_store_refuses_work(tmp_path: Path):
    store = TelemetryStore(tmp_path / "t.duckdb", clock=FixedClock())
    await store.close()
    await store.close()
    with pytest.raises(ForebayError, match="closed"):
        await store.open()


@contextmanager
def full_disk(limit_bytes: int):
    """No file may grow beyond this: the kernel's own refusal, as a full disk gives it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_full_disk_refuses_inserts_answers_queries_and_loses_nothing(tmp_path: Path):
    path = tmp_path / "t.duckdb"
    rows = [{"timestamp": iso(NOW), "message": os.urandom(400).hex()} for _ in range(500)]
    async with open_store(path) as store:
        await store.insert(stored(1, entry({"traces": rows})))
        more = stored(2, *(entry({"traces": rows}) for _ in range(20)))
        with full_disk((tmp_path / "t.duckdb.wal").stat().st_size + 100_000):
            for _ in range(2):
                with pytest.raises(ForebayError) as caught:
                    await store.insert(more)
                assert (caught.value.code, caught.value.retryable) == ("telemetry_store_unavailable", True)
            cursor = await store.cursor()
            assert cursor.execute("SELECT count(*) FROM store.traces").fetchall() == [(500,)]
            cursor.close()
        await store.insert(more)
    async with open_store(path) as store:
        assert (await store.statistics()).row_counts["traces"] == 21 * 500


async def test_every_derived_table_has_a_view(tmp_path: Path):
    async with open_store(tmp_path / "t.duckdb") as store:
        for table in DERIVED:
            names = ", ".join(f'"{column.name}"' for column in table.columns)
            assert await select(store, f"SELECT {names}, _project, _received FROM store.{table.name}") == []
