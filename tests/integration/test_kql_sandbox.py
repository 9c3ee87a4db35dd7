"""What a query may not do, whoever sends it; each line of defence by itself."""

from __future__ import annotations

import asyncio
import os
import resource
import time
from collections.abc import AsyncIterator
from pathlib import Path

import duckdb
import pytest
import pytest_asyncio
from tests.integration.telemetry_rows import FixedClock, ListFeed, ago, entry, open_engine, open_store, stored

from forebay.errors import ForebayError
from forebay.telemetry.drainer import Drainer
from forebay.telemetry.query.engine import QueryEngine, QueryLimits

pytestmark = pytest.mark.asyncio(loop_scope="module")


def trace(message: str, **other: object) -> dict[str, object]:
    return {"timestamp": ago(minutes=1), "message": message, **other}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[QueryEngine]:
    mine = {"traces": [trace(str(number), operation_Id="shared", customDimensions={"n": number}) for number in range(50)]}
    mine["requests"] = [{"timestamp": ago(minutes=1), "name": "mine", "operation_Id": "shared"}]
    theirs = {
        "traces": [trace(f"secret{number}", operation_Id="shared", customDimensions={"secret": "s"}) for number in range(5000)],
        "requests": [{"timestamp": ago(minutes=1), "name": "secret", "operation_Id": "shared", "duration": 1e9}],
        "documentEvents": [{"timestamp": ago(minutes=1), "document_id": "secret", "type": "DocumentUploaded", "arrival": 1, "sequence": 1}],
        "exceptions": [{"timestamp": ago(minutes=1), "message": "secret"}],
    }
    path = tmp_path_factory.mktemp("kql") / "t.duckdb"
    limits = QueryLimits(execution_seconds=3)
    async with open_engine(path, entry(mine, project="p"), entry(theirs, project="q"), limits=limits) as opened:
        yield opened


ATTACKS = [
    # files
    "['/etc/passwd']",
    "['/etc/passwd.csv'] | take 1",
    "union ['/etc/passwd'], requests",
    "requests | join (['/etc/hosts']) on name",
    "externaldata(a:string)['file:///etc/passwd']",
    "externaldata(a:string)['https://127.0.0.1/x']",
    "print read_text('/etc/passwd')",
    "['read_text(\\'/etc/passwd\\')']",
    "print x = glob('/etc/*')",
    # the files of the program itself
    "['catalog.db']",
    "['sqlite_scan(\\'catalog.db\\', \\'api_keys\\')']",
    "print x = sqlite_scan('catalog.db', 'api_keys')",
    "externaldata(a:string)['catalog.db']",
    "api_keys",
    "['catalog.db'].api_keys",
    "['admin.key']",
    # the environment and the settings
    "['/proc/self/environ']",
    "print read_blob('/proc/self/environ')",
    "print getenv('HOME')",
    "print current_setting('memory_limit')",
    "print getvariable('x')",
    # other tables and databases
    "database('t').requests",
    "database('store').requests | count",
    "cluster('x').database('t').requests",
    "store.requests",
    "['store.requests']",
    "['store'].['requests']",
    "main.requests",
    "information_schema.tables",
    "['information_schema'].tables",
    "duckdb_tables",
    "duckdb_settings()",
    "pg_catalog.pg_tables",
    "sqlite_master",
    '[\'"store"."requests"\']',
    "['requests\" UNION SELECT * FROM store.\"requests']",
    "union withsource=T store.*",
    "positions",
    "rejected_entries",
    "keys_seen",
    "let duckdb_tables = requests; duckdb_settings",
    "requests | invoke duckdb_tables()",
    "macro-expand entity_group [database('store')] as X (X.requests)",
    # what it may not see of its own tables
    "requests | where _project == 'q'",
    "requests | project _received",
    # writes and commands
    ".drop table requests",
    ".show tables",
    ".create table x (a:string)",
    ".set x <| requests",
    ".ingest inline into table requests <| 1",
    "// c\n.drop table requests",
    "print x = 1; DROP TABLE requests",
    "requests; delete from store.requests",
    "ATTACH '/tmp/x.db'",
    "COPY requests TO '/tmp/x.csv'",
    "PRAGMA database_list",
    "INSTALL httpfs",
    "requests | evaluate http_request('http://127.0.0.1')",
    "evaluate sql_request('x', 'y')",
    "evaluate python(typeof(*), 'import os')",
]


# none of these has reached the database
REFUSALS = {
    "query_column_unknown",
    "query_forbidden",
    "query_function_unknown",
    "query_syntax",
    "query_table_unknown",
    "query_type",
    "query_unsupported",
}


@pytest.mark.parametrize("text", ["set memory_limit = '100GB'; requests | count", "set TimeZone = 'America/New_York'; requests | count"])
async def test_options_of_a_query_are_none_of_the_database(engine: QueryEngine, text: str):
    assert (await engine.query(text, project="p")).rows == [(1,)]
    cursor = await engine._store.cursor()
    assert cursor.execute("SELECT current_setting('TimeZone')").fetchall() == [("UTC",)]
    cursor.close()


@pytest.mark.parametrize("text", ATTACKS)
async def test_an_attack_is_refused_before_it_runs(engine: QueryEngine, text: str):
    with pytest.raises(ForebayError) as caught:
        await engine.query(text, project="p")
    assert caught.value.code in REFUSALS
    assert "secret" not in f"{caught.value} {caught.value.hint}"


async def test_quotes_in_names_and_values_stay_names_and_values(engine: QueryEngine):
    text = "requests | extend ['a\"; DROP SCHEMA store; --'] = '\\'; DROP SCHEMA store; --' | project ['a\"; DROP SCHEMA store; --']"
    result = await engine.query(text, project="p")
    assert result.rows == [("'; DROP SCHEMA store; --",)]
    assert (await engine.query("requests | count", project="p")).rows == [(1,)]
    with pytest.raises(ForebayError):
        await engine.query("requests | count // \n | nonsense", project="p")


async def test_the_connection_refuses_by_itself(tmp_path: Path):
    target = tmp_path / "x.csv"
    async with open_store(tmp_path / "t.duckdb") as store:
        await store.insert(stored(1, entry({"traces": [trace("x")]})))
        cursor = await store.cursor()
        for sql in (
            "SELECT * FROM read_text('/etc/passwd')",
            "SELECT * FROM glob('/etc/*')",
            f"COPY (SELECT 1) TO '{target}'",
            f"ATTACH '{tmp_path / 'other.db'}'",
            "INSTALL httpfs",
            "LOAD httpfs",
            "SET enable_external_access = true",
            "SET memory_limit = '100GB'",
            "RESET lock_configuration",
            "SELECT * FROM traces",  # not on the search path
            f"EXPORT DATABASE '{tmp_path / 'dump'}'",
        ):
            with pytest.raises(duckdb.Error):
                cursor.execute(sql).fetchall()
        cursor.execute("BEGIN TRANSACTION READ ONLY")
        with pytest.raises(duckdb.Error, match="read-only"):
            cursor.execute("DELETE FROM store.traces")
        cursor.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.duckdb"]


ISOLATED = {
    "traces | count": [(50,)],
    "requests | project name": [("mine",)],
    "union * | count": [(51,)],
    "union withsource=T * | summarize count() by T | order by T asc": [("requests", 1), ("traces", 50)],
    "requests | join kind=fullouter (traces) on operation_Id | count": [(50,)],
    "requests | join kind=inner (requests) on operation_Id | count": [(1,)],
    "requests | summarize max(duration)": [(None,)],
    "documents | count": [(0,)],
    "arrivals | count": [(0,)],
    "exceptions | count": [(0,)],
    "traces | where message has 'secret' or tostring(customDimensions) has 'secret' | count": [(0,)],
    "traces | summarize make_set(substring(message, 0, 1)) | project n = array_length(set_)": [(10,)],
    "requests | where name in ((traces | project message)) | count": [(0,)],
    "print x = toscalar(traces | count)": [(50,)],
    "let t = traces; t | summarize dcount(message)": [(50,)],
    # a value that only the other project has must not even fail a query
    "traces | extend n = tolong(message) | where isnull(n) | count": [(0,)],
    "traces | extend j = parse_json(message) | where isnull(j) | count": [(0,)],
    "traces | where 100 / iff(message startswith 'secret', 0, 1) == 100 | count": [(50,)],
}


@pytest.mark.parametrize("text", ISOLATED)
async def test_a_query_sees_the_rows_of_its_project_only(engine: QueryEngine, text: str):
    assert (await engine.query(text, project="p")).rows == ISOLATED[text]


@pytest.mark.parametrize("project", ["", "P", "p'", "p' OR '1'='1", "q' --", "nobody", "p\0"])
async def test_a_project_without_rows_sees_none(engine: QueryEngine, project: str):
    assert (await engine.query("union * | count", project=project)).rows == [(0,)]


async def test_errors_and_lags_tell_nothing_of_other_projects(engine: QueryEngine):
    told = []
    for project in ("p", "q"):
        with pytest.raises(ForebayError) as caught:
            await engine.query("traces | where nosuch == 1", project=project)
        told.append(f"{caught.value} {caught.value.hint}")
        assert (await engine.query("print 1", project=project)).lag_seconds == 0.0
    assert told[0] == told[1]
    assert "_project" not in told[0]


async def test_the_same_text_in_two_projects_is_answered_for_each(engine: QueryEngine):
    results = await asyncio.gather(*(engine.query("traces | count", project=project) for project in "pqpqpq"))
    assert [result.rows[0][0] for result in results] == [50, 5000] * 3


ENDLESS = [
    (
        "traces | extend k = 1 | join kind=inner (traces | extend k = 1) on k | join kind=inner (traces | extend k = 1) on k"
        " | join kind=inner (traces | extend k = 1) on k | summarize count() by message, message1, message2"
    ),
    "let t = range x from 1 to 1000000 step 1 | extend k = 1; t | join kind=inner t on k | summarize sum(x * x1 % 7) by k",
]


async def until_running(engine: QueryEngine) -> None:
    async with asyncio.timeout(20):
        while not engine._running:
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("text", ENDLESS)
async def test_an_endless_query_is_stopped_in_time_and_harms_nobody(engine: QueryEngine, text: str):
    began = time.monotonic()
    work = asyncio.create_task(engine.query(text, project="q", execution_seconds=1))
    assert (await engine.query("requests | count", project="p")).rows == [(1,)]
    with pytest.raises(ForebayError) as caught:
        await work
    assert caught.value.code in {"query_timeout", "query_memory"}
    assert time.monotonic() - began < 20


async def test_inserts_go_on_while_a_query_runs_and_it_sees_its_own_state(tmp_path: Path):
    async with open_engine(tmp_path / "t.duckdb", entry({"traces": [trace("x")] * 3000})) as engine:
        work = asyncio.create_task(engine.query(ENDLESS[0], project="p", execution_seconds=600))
        await until_running(engine)
        store = engine._store
        for number in range(5):
            await store.insert(stored(number + 2, entry({"traces": [trace("y")]})))
        assert not work.done()
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        assert (await store.statistics()).row_counts["traces"] == 3005


async def test_a_query_that_nobody_waits_for_is_stopped(engine: QueryEngine):
    work = asyncio.create_task(engine.query(ENDLESS[1], project="p", execution_seconds=600))
    await until_running(engine)
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(work, 0.5)
    assert time.monotonic() - began < 20
    assert (await engine.query("requests | count", project="p")).rows == [(1,)]


async def test_a_close_stops_the_queries_that_run(tmp_path: Path):
    async with open_engine(tmp_path / "t.duckdb", entry({"traces": [trace("x")] * 3000})) as engine:
        work = asyncio.create_task(engine.query(ENDLESS[0], project="p"))
        await until_running(engine)
        began = time.monotonic()
        await engine.close()
        with pytest.raises(ForebayError) as caught:
            await work
    assert (caught.value.code, caught.value.retryable) == ("telemetry_store_unavailable", True)
    assert time.monotonic() - began < 20


async def test_what_is_wrong_with_a_query_is_told_before_it_waits_for_its_turn(tmp_path: Path):
    traces = entry({"traces": [trace("x")] * 3000})
    async with open_engine(tmp_path / "t.duckdb", traces, limits=QueryLimits(running_count=1)) as engine:
        work = asyncio.create_task(engine.query(ENDLESS[0], project="p"))
        while not engine._running:
            assert not work.done()
            await asyncio.sleep(0.005)
        with pytest.raises(ForebayError) as caught:
            await engine.query("traces | wher true", project="p")
        assert caught.value.code == "query_syntax"
        assert not work.done()
        work.cancel()
        await asyncio.wait([work])


async def test_what_is_wrong_with_a_query_is_told_before_it_waits_for_rows(tmp_path: Path):
    feed = ListFeed()
    feed.append(entry({"traces": [trace("x")]}))
    async with open_store(tmp_path / "t.duckdb") as store:
        drainer = Drainer(store, [feed], clock=FixedClock())  # which does not run
        engine = QueryEngine(store, drainer, clock=FixedClock(), limits=QueryLimits(wait_seconds=600))
        async with asyncio.timeout(60):
            with pytest.raises(ForebayError) as caught:
                await engine.query("traces | wher true", project="p")
        assert caught.value.code == "query_syntax"
        await engine.close()


async def test_a_defect_of_the_compiler_is_no_error_of_the_query(engine: QueryEngine, monkeypatch: pytest.MonkeyPatch):
    def broken(*_: object, **__: object) -> None:
        raise TypeError("a defect")

    monkeypatch.setattr("forebay.telemetry.query.engine.translate", broken)
    with pytest.raises(TypeError, match="a defect"):
        await engine.query("traces | count // of its own", project="p")


async def test_a_defect_that_no_future_can_hold_does_not_hang(engine: QueryEngine, monkeypatch: pytest.MonkeyPatch):
    def broken(*_: object, **__: object) -> None:
        raise StopIteration

    monkeypatch.setattr("forebay.telemetry.query.engine.translate", broken)
    with pytest.raises(RuntimeError, match="iteration"):
        await engine.query("traces | count // of its own", project="p")


BOMBS = [
    "; ".join(["let a0 = toint(1)", *(f"let a{n} = a{n - 1} + a{n - 1}" for n in range(1, 60))]) + "; print a59",
    "print x = 'x' " + "| extend x = strcat(x, x) " * 40,
    "let f = (x:string) { strcat(x, x) }; print " + "f(" * 13 + "'a'" + ")" * 13,
    "print x = strrep(strrep(strrep('a', 1000), 1000), 1000)",
    "traces | extend x = replace_string(message, '1', message)",
    "range x from 1 to 1000000000000 step 1 | count",
    "range t from datetime(1900-01-01) to now() step 1s | count",
    "let n = toscalar(traces | count) * 1000000000; range x from 1 to n step 1 | count",
    "print " + "(" * 101 + "1" + ")" * 101,
    "print " + "[" * 10_000,
    "print x = dynamic(" + "[" * 500 + "]" * 500 + ")",
    "print " + "+".join(["1"] * 5000),
    "print " + "-" * 5000 + "1",
    "requests | where " + "not(" * 200 + "true" + ")" * 200,
    "print '" + "x" * (1 << 20) + "'",
    "traces | where message in (" + ",".join(["'x'"] * 20_000) + ")",
]


@pytest.mark.parametrize("text", BOMBS, ids=lambda text: text[:40])
async def test_a_text_that_would_cost_too_much_is_refused(engine: QueryEngine, text: str):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.monotonic()
    with pytest.raises(ForebayError) as caught:
        await engine.query(text, project="p")
    assert caught.value.code in {"query_too_complex", "query_unsupported", "query_syntax", "query_failed", "query_timeout"}
    assert time.monotonic() - began < 40
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) < 700 << 10  # KiB


async def test_memory_is_bounded_and_told(tmp_path: Path):
    from forebay.telemetry.store.connection import StoreLimits

    rows = [{"message": os.urandom(150).hex()} for _ in range(20_000)]
    small = StoreLimits(memory_bytes=64 << 20, spill_bytes=1 << 20)
    async with open_engine(tmp_path / "t.duckdb", entry({"traces": rows}), store_limits=small) as engine:
        many = "traces | extend k = 1 | join kind=inner (range x from 1 to 50 step 1 | extend k = 1) on k"
        text = f"{many} | summarize make_list(strcat(message, x)) by k"
        with pytest.raises(ForebayError) as caught:
            await engine.query(text, project="p")
        assert caught.value.code == "query_memory"
        assert (await engine.query("traces | count", project="p")).rows == [(20_000,)]


async def test_too_many_queries_are_told_to_come_back(tmp_path: Path):
    limits = QueryLimits(running_count=1, waiting_count=1, execution_seconds=0.5)
    async with open_engine(tmp_path / "t.duckdb", entry({"traces": [trace("x")] * 3000}), limits=limits) as engine:
        results = await asyncio.gather(*(engine.query(ENDLESS[0], project="p") for _ in range(4)), return_exceptions=True)
    codes = sorted(result.code for result in results if isinstance(result, ForebayError))
    assert codes == ["query_busy", "query_busy", "query_timeout", "query_timeout"]
