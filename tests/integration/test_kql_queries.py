"""What monitoring asks, against rows whose answers are known."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from tests.integration.telemetry_rows import NOW, ago, entry, iso, open_engine, open_store, select, stored

from forebay.errors import ForebayError
from forebay.telemetry.query.engine import QueryEngine, QueryLimits
from forebay.telemetry.query.execution import Timespan
from forebay.telemetry.query.translation import ChartHint
from forebay.telemetry.rows import entry_of
from forebay.telemetry.tables import STORED, queryable

pytestmark = pytest.mark.asyncio(loop_scope="module")


def requests() -> list[dict[str, object]]:
    """60 requests, one a minute, back from 05:59; every tenth fails."""
    return [
        {
            "timestamp": ago(minutes=number + 1),
            "id": f"r{number}",
            "name": f"GET /{number % 3}",
            "success": "False" if number % 10 == 0 else "True",
            "resultCode": "500" if number % 10 == 0 else "200",
            "duration": float(number),
            "operation_Id": f"o{number}",
            "cloud_RoleName": "api",
            "itemCount": 2,
            "customDimensions": {
                "tenant": f"t{number % 2}",
                "bytes": number * 10,
                "tags": ["a", "b"] if number == 0 else ["c"],
                "odd name": 1,
            },
        }
        for number in range(60)
    ]


DEPENDENCIES = [
    {"timestamp": ago(minutes=1), "name": "SELECT", "target": "db", "duration": 5.0, "success": "True", "operation_Id": "o0"},
    {"timestamp": ago(minutes=1), "name": "INSERT", "target": "db", "duration": 7.0, "success": "False", "operation_Id": "o0"},
    {"timestamp": ago(minutes=2), "name": "embed", "target": "model", "duration": 70.0, "success": "False", "operation_Id": "o1"},
]
TRACES = [
    {"timestamp": ago(minutes=1), "message": "user=7 action=login from 10.0.0.1", "severityLevel": 1, "operation_Id": "o0"},
    {"timestamp": ago(minutes=2), "message": "Embedding failed: timeout", "severityLevel": 3, "operation_Id": "o1"},
    {"timestamp": ago(days=2), "message": "embeddings are old", "severityLevel": 3, "operation_Id": "o9"},
]
EVENT = {"document_id": "d1", "name": "a.txt", "document_source": "upload", "actor": "me", "operation_Id": "c1"}


def event(sequence: int, kind: str, arrival: int, minutes: float, data: dict[str, object] | None = None, **other: str) -> dict[str, object]:
    told = {"sequence": sequence, "type": kind, "arrival": arrival, "timestamp": ago(minutes=minutes), "instance_id": f"i{arrival}"}
    return EVENT | told | {"data": data or {}} | other


EVENTS = [
    event(1, "DocumentUploaded", 1, 10, {"size_bytes": 5}),
    event(2, "ProcessingStarted", 1, 9),
    event(3, "DocumentIndexed", 1, 8, {"version": 1, "chunks": 3, "sha256": "aa", "size_bytes": 5, "language": "en"}),
    event(4, "DocumentUploaded", 2, 7, {"size_bytes": 6}),
    event(5, "DocumentFailed", 2, 6, {"reason": "corrupt", "message": "broken"}),
    event(6, "DocumentUploaded", 3, 5, document_id="d2", name="b.txt"),
    event(7, "DocumentSkipped", 3, 4, {"reason": "empty"}, document_id="d2", name="b.txt"),
    event(8, "DocumentUploaded", 4, 3, document_id="d3", name="c.txt"),
    event(9, "DocumentIndexed", 4, 2.5, {"version": 1, "chunks": 9, "sha256": "cc"}, document_id="d3", name="c.txt"),
    event(10, "DeletionRequested", 5, 2, document_id="d3", name="c.txt"),
    event(11, "DocumentDeleted", 5, 1.75, document_id="d3", name="c.txt"),
    event(12, "DocumentUploaded", 6, 1, document_id="d4", name="d.txt"),
    event(13, "DocumentSuperseded", 4, 0.5, document_id="d3", name="c.txt"),  # the first outcome stays
]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[QueryEngine]:
    entries = [
        entry({"requests": requests(), "dependencies": DEPENDENCIES, "traces": TRACES}),
        entry({"documentEvents": EVENTS}, source="platform"),
    ]
    async with open_engine(tmp_path_factory.mktemp("kql") / "t.duckdb", *entries) as opened:
        yield opened


DAY = NOW.replace(hour=0)
QUERIES = {
    "requests | count": [(60,)],
    "requests | where success == 'False' | summarize failures = count() by bin(timestamp, 30m) | order by timestamp asc": [
        (NOW - timedelta(minutes=60), 3),
        (NOW - timedelta(minutes=30), 3),
    ],
    "requests | summarize p50 = percentile(duration, 50), p95 = percentile(duration, 95), avg(duration), max(duration)": [
        (29.0, 56.0, 29.5, 59.0)
    ],
    "requests | where success == 'False' | join kind=inner (dependencies | where success == 'False') on operation_Id | project name1": [
        ("INSERT",)
    ],
    "requests | join kind=leftouter (dependencies) on operation_Id | where isempty(name1) | count": [(58,)],
    "requests | top 2 by duration desc | project name, duration": [("GET /2", 59.0), ("GET /1", 58.0)],
    "requests | extend slow = duration > 55 | summarize count() by slow | order by slow asc": [(False, 56), (True, 4)],
    "requests | where duration between (10 .. 12) | count": [(3,)],
    "requests | where timestamp > ago(10m) | count": [(9,)],
    "requests | where timestamp between (datetime(2026-11-22 05:00) .. datetime(2026-11-22 05:02)) | count": [(3,)],
    "requests | summarize d = max(timestamp) - min(timestamp)": [(timedelta(minutes=59),)],
    "requests | take 1 | project s = startofday(now()), d = datetime(2026-11-22) - 1d": [(DAY, DAY - timedelta(days=1))],
    "requests | where tostring(customDimensions.tenant) == 't1' | count": [(30,)],
    "requests | summarize b = sum(todouble(customDimensions['bytes']))": [(17700.0,)],
    "requests | where toint(customDimensions['odd name']) == 1 | count": [(60,)],
    "requests | mv-expand tag = customDimensions.tags | summarize count() by tostring(tag) | order by tag asc": [
        ("a", 1),
        ("b", 1),
        ("c", 59),
    ],
    "requests | summarize items = sum(itemCount), roles = dcount(cloud_RoleName), count() by source": [("k", 120, 1, 60)],
    "traces | parse message with 'user=' user:long ' action=' action ' from ' * | where user > 0 | project user, action": [(7, "login")],
    "traces | where message has 'embedding' | count": [(1,)],
    "traces | where message contains 'embedding' | count": [(2,)],
    "traces | extend what = extract('([a-z]+) failed', 1, tolower(message)) | where what != '' | project what": [("embedding",)],
    "union requests, dependencies, traces | where operation_Id == 'o0' | summarize count()": [(4,)],
    "union withsource=T requests, traces | summarize count() by T | order by T asc": [("requests", 60), ("traces", 3)],
    "let slow = requests | where duration > 50; slow | summarize n = count() by name | where n > 2 | order by n desc | project n": [
        (3,),
        (3,),
        (3,),
    ],
    "let limit_ms = 57; requests | where duration > limit_ms | count": [(2,)],
    "requests | distinct name | order by name asc | take 2": [("GET /0",), ("GET /1",)],
    "requests | summarize arg_max(timestamp, id) by name | order by name asc | project id": [("r0",), ("r1",), ("r2",)],
    "requests | summarize ids = make_set(resultCode) | project n = array_length(ids)": [(2,)],
    "range x from 1 to 5 step 2 | summarize sum(x)": [(9,)],
    "print a = strcat('x', 1), b = dynamic({'k': [1, 2]}), c = 1h": [("x1", {"k": [1, 2]}, timedelta(hours=1))],
    "declare query_parameters(who:string = 'r1'); requests | where id == who | count": [(1,)],
    "set query_now = datetime(2026-11-20 12:00); requests | where timestamp > ago(1h) | count": [(60,)],
    "requests | getschema | where ColumnName == '_project' | count": [(0,)],
    "documentEvents | count": [(13,)],
    "documents | order by id asc | project id, name, source, status, reason, version, chunk_count, sha256": [
        ("d1", "a.txt", "upload", "failed", "corrupt", 1, 3, "aa"),
        ("d2", "b.txt", "upload", "skipped", "empty", None, 0, ""),
        ("d3", "c.txt", "upload", "deleted", "", None, 0, ""),
        ("d4", "d.txt", "upload", "received", "", None, 0, ""),
    ],
    "documents | where id == 'd1' | project message, created_at, updated_at, instance_id": [
        ("broken", NOW - timedelta(minutes=10), NOW - timedelta(minutes=6), "i2")
    ],
    "arrivals | order by sequence asc | project sequence, document_id, kind, outcome, reason, latency": [
        (1, "d1", "created", "indexed", "", 120_000.0),
        (2, "d1", "created", "failed", "corrupt", 60_000.0),
        (3, "d2", "created", "skipped", "empty", 60_000.0),
        (4, "d3", "created", "indexed", "", 30_000.0),
        (5, "d3", "deleted", "deleted", "", 15_000.0),
        (6, "d4", "created", "", "", None),
    ],
    "arrivals | summarize count() by outcome | where outcome == 'failed' | project count_": [(1,)],
}


@pytest.mark.parametrize("text", QUERIES)
async def test_the_answer_is_the_known_one(engine: QueryEngine, text: str):
    result = await engine.query(text, project="p")
    assert result.rows == QUERIES[text]
    assert (result.truncated, result.lag_seconds) == (None, 0.0)


@pytest.mark.parametrize("table", queryable())
async def test_every_documented_table_shows_its_columns_with_their_types(engine: QueryEngine, table: str):
    result = await engine.query(f"{table} | take 0", project="p")
    assert result.columns == tuple((column.name, column.type) for column in queryable()[table])


TYPES = {
    "print x = 1": ("long", 1),
    "print x = int(1)": ("int", 1),
    "print x = 1.5": ("real", 1.5),
    "print x = true": ("bool", True),
    "print x = 'a'": ("string", "a"),
    "print x = datetime(2026-01-02 03:04:05.678901)": ("datetime", datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)),
    "print x = 1d": ("timespan", timedelta(days=1)),
    "print x = dynamic([1, {'a': null}])": ("dynamic", [1, {"a": None}]),
    "print x = decimal(1.25)": ("decimal", "1.25"),
    "requests | summarize x = sum(itemCount)": ("long", 120),
    "datatable(a:long)[9223372036854775807, 9223372036854775807] | summarize x = sum(a)": ("long", None),
    "print x = now()": ("datetime", NOW),
}


@pytest.mark.parametrize("text", TYPES)
async def test_values_have_the_types_of_kql(engine: QueryEngine, text: str):
    result = await engine.query(text, project="p")
    assert (result.columns, result.rows) == ((("x", TYPES[text][0]),), [(TYPES[text][1],)])


async def test_a_time_span_limits_every_table(engine: QueryEngine):
    span = Timespan(start=NOW - timedelta(minutes=2), end=NOW)
    counts = [
        (await engine.query(f"{table} | count", project="p", timespan=span)).rows[0][0] for table in ("requests", "traces", "documents")
    ]
    assert counts == [2, 2, 2]
    joined = await engine.query("requests | join kind=inner dependencies on operation_Id | count", project="p", timespan=span)
    assert joined.rows == [(3,)]


async def test_parameters_are_values_and_never_text(engine: QueryEngine):
    text = "declare query_parameters(who:string); requests | where id == who | count"
    assert (await engine.query(text, project="p", parameters={"who": "r1"})).rows == [(1,)]
    assert (await engine.query(text, project="p", parameters={"who": "r1' or 1==1 //"})).rows == [(0,)]
    for parameters in ({}, {"who": "r1", "other": 1}):
        with pytest.raises(ForebayError) as caught:
            await engine.query(text, project="p", parameters=parameters)
        assert caught.value.code == "query_parameter_invalid"


async def test_a_value_that_cannot_be_converted_is_an_error_of_the_query(engine: QueryEngine):
    with pytest.raises(ForebayError) as caught:
        await engine.query("declare query_parameters(x: real); print x", project="p", parameters={"x": 10**400})
    assert (caught.value.code, "cannot be converted" in caught.value.message) == ("query_failed", True)


async def test_render_changes_no_row_and_says_which_chart(engine: QueryEngine):
    result = await engine.query("requests | summarize count() by name | render barchart with (title='by name')", project="p")
    assert len(result.rows) == 3
    assert result.chart == ChartHint(kind="barchart", properties={"title": "by name"})


async def test_what_is_over_the_row_limit_is_cut_and_says_so(engine: QueryEngine):
    result = await engine.query("requests | order by duration desc | project duration", project="p", row_limit=10)
    assert (result.truncated, [row[0] for row in result.rows]) == ("rows", [float(59 - number) for number in range(10)])
    assert (await engine.query("requests", project="p", row_limit=60)).truncated is None


async def test_what_is_over_the_limit_of_bytes_is_cut_and_says_so(tmp_path: Path):
    rows = [{"message": "x" * 1000}] * 20_000
    async with open_engine(tmp_path / "t.duckdb", entry({"traces": rows}), limits=QueryLimits(result_bytes=5 << 20, rows=20_000)) as small:
        result = await small.query("traces | project message", project="p")
    assert result.truncated == "bytes"
    assert 1000 < len(result.rows) < 6000


REFUSED = {
    "requests | evaluate autocluster()": ("query_unsupported", "line 1, column 12"),
    "requests | where ingestion_time() > ago(1h)": ("query_unsupported", "ingestion_time"),
    "requests | where": ("query_syntax", "line 1, column 17"),
    "requests\n| whre name == 'x'": ("query_syntax", "line 2, column 3"),
    "requests | take 1; traces | take 1": ("query_unsupported", "expected one query"),
    "request | count": ("query_table_unknown", "request"),
    "requests | where nosuch == 1": ("query_column_unknown", "nosuch"),
    "requests | extend x = nosuch(1)": ("query_function_unknown", "nosuch"),
    "requests | extend x = duration + name": ("query_type", "line 1, column 23"),
    "": ("query_syntax", "expected a query"),
}


@pytest.mark.parametrize("text", REFUSED)
async def test_what_cannot_be_answered_is_refused_and_named(engine: QueryEngine, text: str):
    with pytest.raises(ForebayError) as caught:
        await engine.query(text, project="p")
    assert caught.value.code == REFUSED[text][0]
    assert REFUSED[text][1] in str(caught.value)
    assert "SELECT" not in str(caught.value)


async def test_a_mistyped_table_gets_the_nearest_one_as_a_hint(engine: QueryEngine):
    with pytest.raises(ForebayError) as caught:
        await engine.query("Request | count", project="p")
    assert caught.value.hint == "did you mean requests?"


async def test_times_that_no_calendar_has_are_null_and_fail_nothing(tmp_path: Path):
    rows = [{"timestamp": text} for text in ("99999-01-01T00:00:00", "-5000-01-01T00:00:00", "2026-01-01T00:00:00")]
    async with open_engine(tmp_path / "t.duckdb", entry({"traces": rows})) as wide:
        result = await wide.query("traces | project timestamp", project="p")
    assert sorted(str(row[0]) for row in result.rows) == ["2026-01-01 00:00:00+00:00", "None", "None"]


async def test_no_stored_number_is_nan_for_which_rows_would_be_ordered_otherwise(tmp_path: Path):
    columns = {table: [column.name for column in queryable()[table] if column.type == "real"] for table in (each.name for each in STORED)}
    numbers = {table: [dict.fromkeys(names, each) for each in (1.0, math.nan, math.inf)] for table, names in columns.items() if names}
    assert len(numbers) > 4
    rows = entry_of("t", numbers, project="p", source="s", received=NOW)
    async with open_engine(tmp_path / "t.duckdb", rows) as engine:
        for table in numbers:
            for name in columns[table]:
                found = (await engine.query(f"{table} | sort by {name} desc | project {name}", project="p")).rows
                assert [row[0] for row in found] == [1.0, None, None], (table, name)


async def test_the_newest_row_of_an_instance_is_its_state(tmp_path: Path):
    rows = [
        {"timestamp": iso(NOW), "sequence": number, "id": "i", "status": status} for number, status in enumerate(("Running", "Completed"))
    ]
    async with open_store(tmp_path / "t.duckdb") as store:
        await store.insert(stored(1, entry({"instanceEvents": rows}), entry({"instanceEvents": rows[:1]}, project="q")))
        found = await select(store, "SELECT _project, status FROM store.instances ORDER BY ALL")
    assert found == [("p", "Completed"), ("q", "Running")]


async def test_functions_in_python_are_known_to_queries_at_the_same_time_and_to_those_that_come_after(engine: QueryEngine):
    text = "print series_fill_linear(dynamic([1, null, 3]))"
    for _ in range(3):
        results = await asyncio.gather(*(engine.query(f"{text} // {number}", project="p") for number in range(8)))
        assert [result.rows for result in results] == [[([1.0, 2.0, 3.0],)]] * 8


async def test_columns_that_depend_on_data_are_those_of_the_same_state_of_the_tables(engine: QueryEngine):
    result = await engine.query("requests | project name, success | evaluate pivot(name)", project="p")
    names = await engine.query("requests | distinct name | order by name asc", project="p")
    assert [name for name, _ in result.columns] == ["success", *(row[0] for row in names.rows)]
