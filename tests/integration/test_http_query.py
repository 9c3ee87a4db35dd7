"""KQL over HTTP: what was sent is answered, in the shape of Log Analytics, per project, and errors say where."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.integration.http_api import Api, http_api

from forebay.errors import ForebayError
from forebay.server.routes.query import timespan_text
from forebay.server.timespans import parse_timespan


async def send(api: Api, kind: str, *entries: dict[str, Any], **headers: str) -> None:
    answer = await api.client.post(f"/{kind}", json={"entries": list(entries)}, headers=headers)
    assert answer.status_code == 202, answer.text


async def rows(api: Api, query: str, **body: Any) -> list[list[Any]]:
    answer = await api.client.post("/query", json={"query": query, **body})
    assert answer.status_code == 200, answer.text
    assert answer.json()["lag_seconds"] == 0
    found: list[list[Any]] = answer.json()["tables"][0]["rows"]
    return found


async def test_what_was_acknowledged_is_answered(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        await send(api, "logs", {"message": "the gate is open", "service": "gate", "level": "warn", "labels": {"colour": "red", "n": 3}})
        await send(api, "metrics", {"name": "level", "value": 1.5, "service": "gate", "unit": "m"})
        await send(api, "events", {"name": "opened", "measurements": {"seconds": 2.5}})
        assert await rows(
            api, "traces | where cloud_RoleName == 'gate' | project message, severityLevel, tostring(customDimensions.colour)"
        ) == [["the gate is open", 2, "red"]]
        assert await rows(
            api, "customMetrics | where cloud_RoleName == 'gate' | project name, value, valueCount, tostring(customDimensions.unit)"
        ) == [["level", 1.5, 1, "m"]]
        assert await rows(api, "customEvents | where name == 'opened' | project todouble(customMeasurements.seconds)") == [[2.5]]


async def test_a_line_about_an_error_is_an_exception(tmp_path: Path) -> None:
    stack = 'Traceback (most recent call last):\n  File "a.py", line 1, in f\nValueError: too short'
    async with http_api(tmp_path) as api:
        await send(
            api,
            "logs",
            {"message": "it failed", "service": "s", "exception": {"type": "KeyError", "message": "x", "stacktrace": "..."}},
            {"message": "it failed again", "service": "s", "exception": stack},
            {"message": "and again", "service": "s", "labels": {"exception.type": "OSError", "exception.message": "disk"}},
        )
        assert sorted(await rows(api, "exceptions | project type, message, severityLevel, source")) == [
            ["KeyError", "x", 3, "admin"],
            ["OSError", "disk", 3, "admin"],
            ["ValueError", "too short", 3, "admin"],
        ]
        assert await rows(api, "traces | where cloud_RoleName == 's' | count") == [[0]]


async def test_the_answer_has_the_shape_of_log_analytics(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        await send(api, "logs", {"message": "m", "service": "s", "timestamp": "2026-01-02T03:04:05.5+02:00", "labels": {"a": [1]}})
        query = (
            "traces | where cloud_RoleName == 's' | project timestamp, message, customDimensions, hour = timespan(1h) | render timechart"
        )
        body = (await api.client.post("/query", json={"query": query})).json()
        (table,) = body["tables"]
        assert table["name"] == "PrimaryResult"
        assert [(column["name"], column["type"]) for column in table["columns"]][:3] == [
            ("timestamp", "datetime"),
            ("message", "string"),
            ("customDimensions", "dynamic"),
        ]
        assert table["rows"][0][:3] == ["2026-01-02T01:04:05.500000Z", "m", '{"a":[1]}']
        assert body["render"] == {"visualization": "timechart"}
        assert body["truncated"] is None


async def test_the_timespan_bounds_what_is_seen(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        now = datetime.now(UTC)
        for hours in (0, 2, 48):
            await send(api, "events", {"name": f"{hours} h ago", "timestamp": (now - timedelta(hours=hours)).isoformat()})
        query = "customEvents | where name endswith 'ago' | project name"
        assert await rows(api, query, timespan="PT1H") == [["0 h ago"]]
        assert len(await rows(api, query, timespan="P1D")) == 2
        assert len(await rows(api, query)) == 3


async def test_the_history_of_documents_is_there(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        document = await api.upload("dam.md", "The dam.")
        found = await rows(api, f"documentEvents | where document_id == '{document['id']}' | sort by sequence asc | project type")
        assert found[0] == ["DocumentUploaded"]
        assert ["DocumentIndexed"] in found
        assert await rows(api, "documents | project name, status") == [["dam.md", "indexed"]]
        assert await rows(api, "arrivals | summarize count() by outcome") == [["indexed", 1]]


async def test_projects_see_their_own_rows_only(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        key = (await api.client.post("/keys", json={"name": "k", "scopes": ["read", "ingest"], "project": "theirs"})).json()["key"]
        await send(api, "logs", {"message": "ours", "service": "s"})
        async with api.stranger(**{"X-API-Key": key}) as stranger:
            await stranger.post("/logs", json={"entries": [{"message": "theirs", "service": "s"}]})
            seen = (await stranger.post("/query", json={"query": "traces | where cloud_RoleName == 's' | project message, source"})).json()
            assert [row[0] for row in seen["tables"][0]["rows"]] == ["theirs"]
            assert seen["tables"][0]["rows"][0][1].startswith("key:")
            refused = await stranger.post("/query", json={"query": "traces | count", "project": "default-project"})
            assert (refused.status_code, refused.json()["code"]) == (403, "wrong_project")
        assert await rows(api, "traces | where cloud_RoleName == 's' | project message") == [["ours"]]
        assert await rows(api, "traces | where cloud_RoleName == 's' | project message", project="theirs") == [["theirs"]]


async def test_a_batch_that_is_sent_again_with_its_key_is_taken_once(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        for key in ("one", "one", "two"):
            await send(api, "events", {"name": "once"}, **{"Idempotency-Key": key})
        assert await rows(api, "customEvents | where name == 'once' | count") == [[2]]


async def test_acknowledged_telemetry_survives_a_restart(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        await send(api, "logs", *[{"message": str(number), "service": "s"} for number in range(500)])
    async with http_api(tmp_path) as api:
        assert await rows(api, "traces | where cloud_RoleName == 's' | count") == [[500]]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", "query_syntax"),
        ("traces | wher x == 1", "query_syntax"),
        ("nothing | take 1", "query_table_unknown"),
        ("database('x').traces", "query_forbidden"),
        ("['/etc/passwd']", "query_table_unknown"),
    ],
)
async def test_a_query_that_cannot_be_answered_says_why(query: str, code: str, tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        answer = await api.client.post("/query", json={"query": query})
        assert answer.status_code in (400, 403, 422), answer.text
        assert answer.json()["code"] == code
        assert answer.json()["detail"]


@pytest.mark.parametrize("body", [{}, {"query": 1}, {"query": "traces", "colour": "red"}, {"query": "traces", "timespan": "yesterday"}])
async def test_a_request_that_is_no_query_is_refused(body: dict[str, Any], tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        assert (await api.client.post("/query", json=body)).status_code == 422


async def test_a_query_is_explained_and_not_run(tmp_path: Path) -> None:
    (tmp_path / "telemetry.duckdb").write_bytes(b"this is no database" * 1000)  # so nothing could be run
    async with http_api(tmp_path) as api:
        query = "requests | where duration > 15 | summarize n = count() by name"
        found = (await api.client.post("/query/explain", json={"query": query})).json()
        assert found["columns"] == [{"name": "name", "type": "string"}, {"name": "n", "type": "long"}]
        assert found["tree"].splitlines()[-1].strip() == "table requests (name: string, duration: real)"
        assert "_project = $project" in found["sql"]
        assert "$start" not in found["sql"]
        bounded = (await api.client.post("/query/explain", json={"query": query, "timespan": "PT1H"})).json()
        assert "timestamp >= $start" in bounded["sql"]


async def test_what_cannot_be_explained_is_refused_with_its_place(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        for query, code in (
            ("traces | wher x == 1", "query_syntax"),
            ("traces | where x == 1", "query_column_unknown"),
            ("traces | where nosuch(1)", "query_function_unknown"),
            ("traces | where message > 1d", "query_type"),
            ("traces | project itemType | evaluate pivot(itemType)", "query_unsupported"),
            ("cluster('x').traces", "query_forbidden"),
            (f"print '{'x' * (64 << 10)}'", "query_too_complex"),
        ):
            answer = await api.client.post("/query/explain", json={"query": query})
            assert answer.status_code in (400, 403)
            assert answer.json()["code"] == code
            assert "line 1, column " in answer.json()["detail"], query


async def test_columns_that_depend_on_data_can_be_named_to_be_explained(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        query = "traces | project itemType | evaluate pivot(itemType) : (trace: long)"
        found = (await api.client.post("/query/explain", json={"query": query})).json()
        assert found["columns"] == [{"name": "trace", "type": "long"}]


async def test_what_may_be_written_and_what_is_wrong_is_told_at_a_place(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        text = "traces\n| where mess"
        found = (await api.client.post("/query/complete", json={"query": text, "cursor": len(text)})).json()
        assert found["items"][0] == {"label": "message", "kind": "column", "detail": "string"}
        assert text[found["start"] : found["end"]] == "mess"
        (wrong,) = found["diagnostics"]
        assert (wrong["code"], wrong["line"], wrong["column"]) == ("query_column_unknown", 2, 9)
        assert text[wrong["start"] : wrong["end"]] == "mess"
        beyond = (await api.client.post("/query/complete", json={"query": text, "cursor": 10**30})).json()
        assert beyond == found
        nothing = (await api.client.post("/query/complete", json={"query": "", "cursor": 0})).json()
        assert {"label": "requests", "kind": "table"}.items() <= next(
            each for each in nothing["items"] if each["label"] == "requests"
        ).items()
        assert nothing["diagnostics"][0]["code"] == "query_syntax"


async def test_a_text_that_is_too_long_is_not_completed(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        refused = await api.client.post("/query/complete", json={"query": "x" * ((64 << 10) + 1), "cursor": 1})
        assert (refused.status_code, refused.json()["code"]) == (400, "query_too_complex")


@pytest.mark.parametrize("path", ["/query/explain", "/query/complete"])
async def test_who_may_not_ask_may_not_write_questions_either(path: str, tmp_path: Path) -> None:
    body = {"query": "traces"} | ({"cursor": 6} if path.endswith("complete") else {})
    async with http_api(tmp_path) as api:
        for scopes, project, code in ((["ingest"], None, "out_of_scope"), (["read"], "default-project", "wrong_project")):
            key = (await api.client.post("/keys", json={"name": scopes[0], "scopes": scopes, "project": "theirs"})).json()["key"]
            async with api.stranger(**{"X-API-Key": key}) as stranger:
                answer = await stranger.post(path, json=body | ({"project": project} if project else {}))
                assert (answer.status_code, answer.json()["code"]) == (403, code)
        assert (await api.client.post(path, json=body | {"project": "theirs"})).status_code == 200
        assert (await api.client.post(path, json=body | {"colour": "red"})).status_code == 422
        assert (await api.client.post(path, content=b"{", headers={"Content-Type": "application/json"})).status_code == 400


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("PT1H", "2026-01-02T11:00", "2026-01-02T12:00"),
        ("P1DT0.5S", "2026-01-01T11:59:59.5", "2026-01-02T12:00"),
        ("PT3600.0S", "2026-01-02T11:00", "2026-01-02T12:00"),
        ("2026-01-01/2026-01-02T00:00:00Z", "2026-01-01", "2026-01-02"),
        ("2026-01-01T00:00:00+02:00/PT2H", "2025-12-31T22:00", "2026-01-01"),
        ("P2W/2026-01-15", "2026-01-01", "2026-01-15"),
    ],
)
def test_timespans_are_read_as_log_analytics_reads_them(text: str, start: str, end: str) -> None:
    found = parse_timespan(text, datetime(2026, 1, 2, 12, tzinfo=UTC))
    assert (found.start, found.end) == (datetime.fromisoformat(start).replace(tzinfo=UTC), datetime.fromisoformat(end).replace(tzinfo=UTC))


@pytest.mark.parametrize("text", ["", "P", "PT", "1H", "2026-13-01/2026-01-02", "PT1H/PT2H", "P99999999999D", "a/b/c"])
def test_what_is_no_timespan_is_refused(text: str) -> None:
    with pytest.raises(ForebayError) as refused:
        parse_timespan(text, datetime(2026, 1, 2, tzinfo=UTC))
    assert refused.value.code == "invalid_timespan"


def test_timespans_are_written_as_kusto_does() -> None:
    values = [timedelta(hours=1), timedelta(days=2, microseconds=5), -timedelta(minutes=1), timedelta(0)]
    assert [timespan_text(each) for each in values] == ["01:00:00", "2.00:00:00.0000050", "-00:01:00", "00:00:00"]


async def test_tables_that_cannot_be_opened_stop_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "telemetry.duckdb").write_bytes(b"this is no database" * 1000)
    async with http_api(tmp_path) as api:
        assert (await api.upload("dam.md", "The dam."))["status"] == "indexed"
        await send(api, "logs", {"message": "waits", "service": "s"})
        refused = await api.client.post("/query", json={"query": "traces | count"})
        assert (refused.status_code >= 500, refused.json()["code"]) == (True, "telemetry_store_damaged")
        health = (await api.client.get("/health")).json()
        assert (health["status"], health["services"]["telemetry"]["state"]) == ("degraded", "unhealthy")
    (tmp_path / "telemetry.duckdb").unlink()
    async with http_api(tmp_path) as api:
        assert await rows(api, "traces | where cloud_RoleName == 's' | project message") == [["waits"]], "nothing was lost"
        assert (await api.client.get("/health")).json()["services"]["telemetry"]["state"] == "healthy"
