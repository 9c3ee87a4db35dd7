from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

from tests.integration.telemetry_rows import NOW, FixedClock, entry, open_store, select, stored

from forebay.telemetry.store.retention import Pruner, Retention


def rows(count: int, prefix: str = "") -> list[dict[str, str]]:
    return [{"message": prefix + os.urandom(100).hex()} for _ in range(count)]


async def test_rows_go_by_the_age_of_their_receipt_and_the_history_of_documents_and_dead_letters_stays(tmp_path: Path):
    path = tmp_path / "t.duckdb"
    old, new = NOW - timedelta(days=31), NOW - timedelta(days=29)
    async with open_store(path) as store:
        await store.insert(
            stored(
                1,
                entry({"traces": rows(10), "instanceEvents": [{"id": "i"}]}, received=old),
                entry({"documentEvents": [{"type": "DocumentUploaded"}], "deadLetterEvents": [{"id": 1, "status": "open"}]}, received=old),
                entry({"traces": rows(7), "requests": [{"name": "r"}]}, received=new),
                entry({"customEvents": [{"name": "e", "timestamp": "1999-01-01T00:00:00"}]}),
            )
        )
        pruned = await Pruner(store, path, FixedClock(), Retention()).prune()
        assert (pruned.by_age_count, pruned.by_size_count) == (11, 0)
        counts = (await store.statistics()).row_counts
        assert (counts["traces"], counts["requests"], counts["customEvents"], counts["documentEvents"]) == (7, 1, 1, 1)
        assert await select(store, "SELECT (SELECT count(*) FROM store.instances), (SELECT count(*) FROM store.deadLetters)") == [(0, 1)]


async def test_keys_are_forgotten_after_a_day_and_rejected_entries_with_the_rest(tmp_path: Path):
    path = tmp_path / "t.duckdb"
    async with open_store(path) as store:
        await store.insert(
            stored(1, entry(b"["), entry({"traces": []}, key="old", received=NOW - timedelta(hours=25)), entry({"traces": []}, key="new"))
        )
        await Pruner(store, path, FixedClock(), Retention()).prune()
        assert await select(store, "SELECT key FROM store.keys_seen") == [("new",)]
        assert (await store.statistics()).rejected_entry_count == 1
        await Pruner(store, path, FixedClock(), Retention(age=timedelta(seconds=-1))).prune()
        assert (await store.statistics()).rejected_entry_count == 0


async def test_above_the_limit_of_bytes_the_oldest_rows_of_all_tables_go_and_their_space_is_used_again(tmp_path: Path):
    path = tmp_path / "t.duckdb"
    limit = 12 << 20
    largest = 0
    async with open_store(path) as store:
        pruner = Pruner(store, path, FixedClock(), Retention(total_bytes=limit))
        for number in range(8):
            received = NOW - timedelta(hours=8 - number)
            tables = {"traces": rows(10_000, f"{number}-"), "exceptions": rows(10_000, f"{number}-")}
            await store.insert(stored(number + 1, entry(tables, received=received)))
            pruned = await pruner.prune()
            assert (await store.statistics()).used_bytes <= limit
            largest = max(largest, path.stat().st_size)
        assert pruned.by_size_count > 0
        kept = await select(
            store,
            "SELECT min(_received), max(_received) FROM (FROM store.traces UNION ALL BY NAME FROM store.exceptions)",
        )
        assert kept[0][1] == (NOW - timedelta(hours=1)).replace(tzinfo=None)
        assert kept[0][0] > (NOW - timedelta(hours=8)).replace(tzinfo=None)
        assert (await store.statistics()).row_counts["traces"] > 0
    assert largest < 3 * limit  # 8 times 8 MiB have gone in


async def test_a_query_under_way_delays_the_return_of_space_and_does_not_let_everything_go(tmp_path: Path):
    path = tmp_path / "t.duckdb"
    async with open_store(path) as store:
        for number in range(4):
            await store.insert(stored(number + 1, entry({"traces": rows(10_000)}, received=NOW - timedelta(hours=4 - number))))
        await store.write(lambda connection: connection.execute("CHECKPOINT"))
        reader = await store.cursor()
        reader.execute("BEGIN TRANSACTION READ ONLY")
        assert reader.execute("SELECT count(*) FROM store.traces").fetchall() == [(40_000,)]
        await Pruner(store, path, FixedClock(), Retention(total_bytes=4 << 20)).prune()
        assert reader.execute("SELECT count(*) FROM store.traces").fetchall() == [(40_000,)]  # its own state of the tables
        reader.close()
        assert (await store.statistics()).row_counts["traces"] > 0
