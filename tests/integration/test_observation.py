from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.integration.collected_rows import CollectingLog, collect_from_programs, observed_core, with_embedder
from tests.integration.http_api import http_api

from forebay.app import Core
from forebay.errors import ForebayError
from forebay.intake.intake import Sender
from forebay.telemetry.observe import names, recorder
from forebay.telemetry.observe.log_lines import LogLines
from forebay.telemetry.observe.sampling import sample_score
from forebay.telemetry.tables import SERVER_COLUMNS, TABLES

TEXT = "A forebay is the pool in front of a turbine. " * 40


class FailingEmbedder:
    """Fails `failures` times, then works."""

    def __init__(self, inner: Any, failures: int, error: Exception) -> None:
        self.inner, self.failures, self.error = inner, failures, error
        self.model_id, self.dimensions = inner.model_id, inner.dimensions

    async def embed(self, texts: Sequence[str]) -> Any:
        if self.failures:
            self.failures -= 1
            raise self.error
        return await self.inner.embed(texts)

    async def close(self) -> None:
        await self.inner.close()


class HangingEmbedder(FailingEmbedder):
    """Never answers."""

    async def embed(self, texts: Sequence[str]) -> Any:
        await asyncio.Event().wait()


async def _content(text: str) -> AsyncIterator[bytes]:
    yield text.encode()


async def _upload(core: Core, name: str, correlation_id: str, project: str = "p", content_type: str | None = "text/plain") -> str:
    sender = Sender(project=project, actor="tester", correlation_id=correlation_id)
    arrival, _ = await core.intake.upload(sender, name, _content(TEXT), content_type)
    return arrival.instance_id


def _activities(log: CollectingLog, **columns: Any) -> list[tuple[str, str, str]]:
    rows = log.rows("dependencies", type="activity", **columns)
    return [(row["name"], row["customDimensions"]["attempt"], row["resultCode"]) for row in rows]


async def test_the_story_of_a_file_is_told_from_its_upload_to_its_last_write_under_one_operation_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = CollectingLog()
    collect_from_programs(monkeypatch, log)
    async with http_api(tmp_path) as api:
        answer = await api.client.post(
            "/documents", params={"name": "a.txt", "project": "acme"}, content=TEXT, headers={"X-Correlation-ID": "my own id"}
        )
        body = answer.json()
        await log.until(lambda: log.rows("customMetrics", name="ProcessingDuration"))  # the outcome is known before all is tidied up
    story = log.rows(operation_Id="my own id")
    assert {row["project"] for row in story} == {"acme"}
    (request,) = [row for row in story if row["table"] == "requests"]
    assert (request["name"], request["resultCode"], request["success"]) == ("POST /documents", "202", "True")
    assert request["url"] == "/documents?name=a.txt&project=acme" and request["duration"] > 0 and request["client_IP"] == "127.0.0.1"
    activities = ["begin", "read_and_chunk", "embed", "persist", "move_blob", "record_move"]
    assert _activities(log, operation_Id="my own id") == [(name, "1", "0") for name in activities]
    calls = [row for row in story if row["table"] == "dependencies" and row["type"] != "activity"]
    assert [(row["type"], row["name"], row["target"]) for row in calls] == [
        ("storage", "read", "incoming"),
        ("model", "embed", api.parts.embedder.model_id),
        ("storage", "move", "incoming"),
    ]
    assert calls[0]["customMeasurements"] == {"bytes": len(TEXT)} and calls[1]["customMeasurements"]["texts"] > 0
    embed = next(row for row in story if row["table"] == "dependencies" and row["name"] == "embed" and row["type"] == "activity")
    assert calls[1]["operation_ParentId"] == embed["id"]
    lines = [row["message"] for row in story if row["table"] == "traces"]
    assert lines[0] == f"Ingestion started orchestration id={body['instance_id']} for a.txt"
    assert lines.count("activity started") == lines.count("activity completed") == len(activities)
    first = next(row for row in story if row["table"] == "traces")
    assert first["customDimensions"] == {"orchestration_id": body["instance_id"], "document_id": body["id"], "name": "a.txt"}
    (duration,) = [row for row in story if row["table"] == "customMetrics"]
    assert duration["name"] == "ProcessingDuration" and duration["customDimensions"]["outcome"] == "indexed" and duration["value"] > 0


async def test_a_large_document_shows_how_far_its_activity_is(tmp_path: Path) -> None:
    log = CollectingLog()
    async with observed_core(tmp_path, log, chunk_size=50) as (core, _):
        sender = Sender(project="p", actor="tester", correlation_id="large")
        await core.intake.upload(sender, "large.txt", _content(TEXT * 10), "text/plain")
        await core.dispatcher.until_idle()
    (line,) = log.rows("traces", operation_Id="large", message="activity progress")
    assert line["customDimensions"]["step"] == "parsed" and int(line["customDimensions"]["chunks"]) > 256


async def test_a_file_that_failed_twice_and_then_succeeded_shows_each_try_with_its_error(tmp_path: Path) -> None:
    log = CollectingLog()
    refused = ForebayError("embedding_failed", "the server is busy", retryable=True)
    change = with_embedder(lambda inner: FailingEmbedder(inner, 2, refused))
    async with observed_core(tmp_path, log, change=change, first_retry_seconds=0.01) as (core, _):
        instance = await _upload(core, "a.txt", "twice")
        await log.until(lambda: log.rows("customMetrics", name="ProcessingDuration"))  # the outcome is known before all is tidied up
    tries = log.rows("dependencies", operation_Id="twice", name="embed", type="activity")
    assert [(row["customDimensions"]["attempt"], row["resultCode"], row["success"]) for row in tries] == [
        ("1", "embedding_failed", "False"),
        ("2", "embedding_failed", "False"),
        ("3", "0", "True"),
    ]
    assert {row["target"] for row in tries} == {row["customDimensions"]["instance_id"] for row in tries} == {instance}
    assert tries[0]["customDimensions"]["message"] == "the server is busy"
    models = log.rows("dependencies", operation_Id="twice", type="model")
    assert [row["resultCode"] for row in models] == ["embedding_failed", "embedding_failed", "0"]
    assert [row["operation_ParentId"] for row in models] == [row["id"] for row in tries]
    failed = log.rows("traces", operation_Id="twice", message="activity failed")
    assert [row["customDimensions"]["code"] for row in failed] == ["embedding_failed"] * 2 and failed[0]["severityLevel"] == 2
    assert not log.rows("exceptions"), "an error that says what it is needs no stack"
    (duration,) = log.rows("customMetrics", name="ProcessingDuration")
    assert duration["customDimensions"]["outcome"] == "indexed"


async def test_a_file_that_failed_for_good_tells_of_every_try_and_of_the_stack_of_an_unexpected_error(tmp_path: Path) -> None:
    log = CollectingLog()
    change = with_embedder(lambda inner: FailingEmbedder(inner, 99, ZeroDivisionError("nobody expected this")))
    async with observed_core(tmp_path, log, change=change, first_retry_seconds=0.01, activity_attempts=2) as (core, _):
        await _upload(core, "a.txt", "never")
        await log.until(lambda: log.rows("customMetrics", name="ProcessingDuration"))  # the outcome is known before all is tidied up
    assert [each for each in _activities(log, operation_Id="never") if each[0] == "embed"] == [
        ("embed", "1", "ZeroDivisionError"),
        ("embed", "2", "ZeroDivisionError"),
    ]
    assert ("refuse", "1", "0") in _activities(log, operation_Id="never")
    errors = log.rows("exceptions", operation_Id="never")
    assert [(row["type"], row["message"]) for row in errors] == [("ZeroDivisionError", "nobody expected this")] * 2
    stack = errors[0]["details"][0]["parsedStack"]
    assert (stack[0]["method"], stack[0]["assembly"]) == ("embed", "test_observation")
    assert errors[0]["operation_ParentId"] in {row["id"] for row in log.rows("dependencies", name="embed", type="activity")}
    (duration,) = log.rows("customMetrics", name="ProcessingDuration")
    assert duration["customDimensions"]["outcome"] == "failed"
    (rate,) = [row for row in log.rows("customMetrics", name="activity_success_rate") if row["customDimensions"]["activity"] == "embed"]
    assert rate["value"] == 0 and rate["valueCount"] == 2 and rate["project"] == "p"


async def test_work_that_goes_on_after_a_restart_keeps_its_operation_id_and_project(tmp_path: Path) -> None:
    before, after = CollectingLog(), CollectingLog()
    async with observed_core(tmp_path, before, change=with_embedder(lambda inner: HangingEmbedder(inner, 0, Exception()))) as (core, _):
        await _upload(core, "a.txt", "survives", project="acme")
        await before.until(lambda: [row for row in before.rows("traces") if row["customDimensions"].get("activity") == "embed"])
    (cut_short,) = [row for row in before.rows("dependencies", type="activity") if row["name"] == "embed"]
    assert (cut_short["success"], cut_short["resultCode"]) == ("False", "cancelled")
    async with observed_core(tmp_path, after) as (core, _):
        await core.dispatcher.until_idle()
    assert ("embed", "1", "0") in _activities(after, operation_Id="survives") and ("persist", "1", "0") in _activities(after)
    assert {(row["operation_Id"], row["project"]) for row in after.rows("dependencies")} == {("survives", "acme")}


async def test_two_programs_in_one_process_each_tell_of_themselves_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = CollectingLog(), CollectingLog()
    collect_from_programs(monkeypatch, one, two)
    async with (
        http_api(tmp_path / "one", environment="first", first_retry_seconds=0.01) as first,
        http_api(tmp_path / "two", environment="second", first_retry_seconds=0.01) as second,
    ):
        documents = await asyncio.gather(first.upload("1.txt", TEXT), second.upload("2.txt", TEXT), first.upload("3.txt", TEXT))
        # each of them logs a warning in the course of a request
        for api in (first, second):
            api.replace("search", _Broken())
            assert (await api.client.post("/search", json={"query": "x"})).status_code == 500
    of_first, of_second = {documents[0]["correlation_id"], documents[2]["correlation_id"]}, {documents[1]["correlation_id"]}
    for log, own, other, environment in ((one, of_first, of_second, "first"), (two, of_second, of_first, "second")):
        told = {row.get("operation_Id") for row in log.rows()}
        assert own <= told and not other & told
        assert {row["environment"] for row in log.rows()} == {environment}
        assert len([row for row in log.rows("traces") if "broke off" in row["message"]]) == 1
        assert {row["type"] for row in log.rows("exceptions")} == {"RuntimeError"}
    assert not [handler for handler in logging.getLogger("forebay").handlers if isinstance(handler, LogLines)]


async def _broken(*_: Any, **__: Any) -> None:
    raise RuntimeError("a bug")


class _Broken:
    search = staticmethod(_broken)


async def test_nothing_of_a_secret_is_in_any_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = CollectingLog()
    collect_from_programs(monkeypatch, log)
    secrets = {"api_key": "configured-secret-1", "ingestion_api_key": "ingestion-secret-2"}
    async with http_api(tmp_path, **secrets, rate_limit=1000.0, rate_limit_burst=1000) as api:
        made = (await api.client.post("/keys", json={"name": "agent", "scopes": ["read"]})).json()
        rotated = (await api.client.post(f"/keys/{made['id']}/rotate")).json()
        await api.client.delete(f"/keys/{rotated['id']}")
        await api.upload("a.txt", TEXT)
        for key in (*secrets.values(), made["key"], "guessed-secret-3"):
            async with api.stranger(Authorization=f"Bearer {key}") as client:
                await client.get(
                    "/documents", params={"code": "management-secret-4", "sig": "signed-secret-5", "api_key": key, "limit": "1"}
                )
                await client.post("/nowhere", headers={"X-API-Key": key}, content=key)
        asked = [
            api.admin_key,
            made["key"],
            rotated["key"],
            *secrets.values(),
            "guessed-secret-3",
            "management-secret-4",
            "signed-secret-5",
        ]
    told = b"".join(entry.payload + repr(entry.headers).encode() for entry in log.entries)
    assert b"/documents?code=***&sig=***&api_key=***&limit=1" in told
    for secret in asked:
        assert secret.encode() not in told
    events = [(row["name"], row["customDimensions"]["actor"]) for row in log.rows("customEvents") if row["name"].startswith("key_")]
    assert events == [("key_created", "admin"), ("key_rotated", "admin"), ("key_revoked", "admin")]


@pytest.mark.parametrize("how", ["refuses", "hangs"])
async def test_a_log_that_takes_nothing_holds_up_nothing(tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "LAST_FLUSH_SECONDS", 0.5)
    log = CollectingLog()
    setattr(log, how, True)
    async with asyncio.timeout(30):
        async with observed_core(tmp_path, log) as (core, observation):
            for number in range(5):
                await _upload(core, f"{number}.txt", f"id-{number}")
            await core.dispatcher.until_idle()
            if how == "refuses":
                await log.until(lambda: observation.dropped_count > 0)
                log.refuses = False
    if how == "refuses":
        (dropped,) = log.rows("customMetrics", name="telemetry_dropped")
        assert dropped["value"] == observation.dropped_count > 0
    else:
        assert not log.entries


async def test_sampling_keeps_whole_traces_and_every_one_that_failed(tmp_path: Path) -> None:
    log = CollectingLog()
    names_of = [f"trace-{number}" for number in range(12)]
    kept = {name for name in names_of if sample_score(name) < 0.5}
    assert 0 < len(kept) < 12
    failing = next(name for name in names_of if name not in kept)
    async with observed_core(tmp_path, log, telemetry_sampling=0.5) as (core, _):
        for name in names_of:
            # an unsupported type is refused by an activity that fails
            await _upload(core, f"{name}.bin", name, content_type=None if name == failing else "text/plain")
        await core.dispatcher.until_idle()
        await log.until(lambda: core.engine.live_count == 0)
    told = {name: log.rows(operation_Id=name) for name in names_of}
    assert {name for name, rows in told.items() if rows} == kept | {failing}
    for name in kept:
        assert [each[0] for each in _activities(log, operation_Id=name)][:2] == ["begin", "read_and_chunk"]
        assert {row["itemCount"] for row in told[name]} == {2}
    assert {row["itemCount"] for row in told[failing]} == {1}
    assert told[failing][0]["message"].startswith("Ingestion started"), "also what came before the failure"
    assert [each for each in _activities(log, operation_Id=failing) if each[2] != "0"] == [("read_and_chunk", "1", "unsupported_type")]
    assert ("refuse", "1", "0") in _activities(log, operation_Id=failing), "and what came after it"


async def test_switched_off_the_program_says_nothing_and_leaves_the_loggers_alone(tmp_path: Path) -> None:
    log = CollectingLog()
    async with observed_core(tmp_path, log, telemetry=False) as (core, observation):
        await _upload(core, "a.txt", "silent")
        await core.dispatcher.until_idle()
        assert not observation.is_on and logging.getLogger("forebay").level == logging.NOTSET
        assert not [handler for handler in logging.getLogger("forebay").handlers if isinstance(handler, LogLines)]
    assert not log.entries


async def test_requests_that_move_telemetry_or_ask_for_health_are_figures_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = CollectingLog()
    collect_from_programs(monkeypatch, log)
    async with http_api(tmp_path) as api:
        for _ in range(3):
            await api.client.get("/health")
        await api.client.post("/logs", json={"entries": [{"message": "m", "service": "s"}]})
        await api.client.post("/query", json={"query": "requests | count"})
        await api.client.get("/docs")
        await api.client.get("/documents/nothing-here")
    assert [(row["name"], row["resultCode"], row["success"]) for row in log.rows("requests")] == [
        ("GET /documents/{document_id}", "404", "False")
    ]
    counts = {row["customDimensions"]["request"]: row["valueCount"] for row in log.rows("customMetrics", name="http_request_duration")}
    assert counts == {"GET /health": 3, "POST /logs": 1, "POST /query": 1, "GET /docs": 1, "GET /documents/{document_id}": 1}


async def test_refusals_for_the_rate_are_one_event_for_each_key_and_second_with_their_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = CollectingLog()
    collect_from_programs(monkeypatch, log)
    async with http_api(tmp_path, rate_limit=0.01, rate_limit_burst=2) as api:
        statuses = [(await api.client.get("/documents")).status_code for _ in range(22)]
    assert statuses.count(429) == 20
    events = log.rows("customEvents", name="rate_limit_exceeded")
    assert sum(row["customMeasurements"]["count"] for row in events) == 20 and len(events) <= 3
    assert events[0]["customDimensions"] == {"key": "admin", "path": "/documents", "method": "GET", "client_ip": "127.0.0.1"}
    assert events[0]["customMeasurements"]["expires_in_seconds"] == 100


async def test_start_stop_counters_and_queues_are_told_and_everything_names_its_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = CollectingLog()
    collect_from_programs(monkeypatch, log)
    async with http_api(tmp_path, telemetry_counters_seconds=0.1, environment="staging", role_name="intake") as api:
        await api.upload("a.txt", TEXT)
        await log.until(lambda: log.rows("performanceCounters") and log.rows("customMetrics", name="database_commit_duration"))
        api.parts.observation.stop_reason = "SIGTERM"
    assert [row["name"] for row in log.rows("customEvents")] == ["application_started", "application_stopped"]
    assert log.rows("customEvents")[-1]["customDimensions"] == {"reason": "SIGTERM"}
    counters = {row["name"]: row["value"] for row in log.rows("performanceCounters")}
    assert set(counters) == {"% Processor Time", "Private Bytes", "Free Megabytes"}
    assert counters["Private Bytes"] > 10_000_000 and counters["Free Megabytes"] > 0
    queues = {row["customDimensions"]["queue"] for row in log.rows("customMetrics", name="queue_depth")}
    assert queues == {"writer.journal", "writer.bulk", "arrivals", "instances", "room.read_and_chunk", "room.embed", "room.embed_texts"}
    (startup,) = log.rows("customMetrics", name="application_startup_time")
    assert 0 < startup["value"] < 60_000
    everything = log.rows()
    assert {(row["environment"], row["cloud_RoleName"]) for row in everything} == {("staging", "intake")}
    assert all(row["cloud_RoleInstance"] and row["sdkVersion"].startswith("forebay:") and row["timestamp"] for row in everything)
    assert len({row["itemId"] for row in everything}) == len(everything)


async def test_every_row_fits_its_table_and_every_name_and_dimension_is_documented(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = CollectingLog()
    collect_from_programs(monkeypatch, log)
    async with http_api(tmp_path, telemetry_counters_seconds=0.1, rate_limit=0.01, rate_limit_burst=12, activity_attempts=1) as api:
        made = (await api.client.post("/keys", json={"name": "agent", "scopes": ["read"]})).json()
        await api.client.post(f"/keys/{made['id']}/rotate")
        await api.client.delete(f"/keys/{made['id']}")
        await api.upload("a.txt", TEXT)
        await api.upload("b.exe", TEXT)
        await log.until(lambda: log.rows("performanceCounters") and log.rows("customMetrics", name="database_commit_duration"))
        while (await api.client.get("/documents")).status_code != 429:
            pass
    columns = {table.name: {column.name for column in table.columns} for table in TABLES}
    server_only = {column.name for column in SERVER_COLUMNS}
    for row in log.rows():
        assert row.keys() - {"table", "project"} <= columns[row["table"]], row
        assert not row.keys() & server_only
    for table, documented in (
        ("customEvents", names.EVENTS),
        ("customMetrics", names.METRICS),
        ("performanceCounters", names.COUNTERS),
    ):
        known = {each.name: each for each in documented}
        told = log.rows(table)
        assert {row["name"] for row in told} <= known.keys()
        for row in told:
            assert row.get("customDimensions", {}).keys() <= known[row["name"]].dimensions.keys(), row
            assert row.get("customMeasurements", {}).keys() <= known[row["name"]].measurements.keys(), row
    rare = {"replay_diverged"}  # a defect of an orchestrator: shown where dead letters are tested
    assert {row["name"] for row in log.rows("customEvents")} == {each.name for each in names.EVENTS} - rare
    assert {each.name for each in names.METRICS} - {row["name"] for row in log.rows("customMetrics")} == {"telemetry_dropped"}
    kinds = {each.name: each for each in names.DEPENDENCIES}
    assert {row["type"] for row in log.rows("dependencies")} == kinds.keys()
    for row in log.rows("dependencies"):
        assert row["customDimensions"].keys() <= kinds[row["type"]].dimensions.keys() if "customDimensions" in row else True
    lines = {each.name: each for each in names.LINES}
    for row in log.rows("traces"):
        if row["message"] in lines:
            assert row["customDimensions"].keys() <= lines[row["message"]].dimensions.keys()


async def test_a_request_within_a_trace_takes_over_its_id_and_names_its_parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = CollectingLog()
    collect_from_programs(monkeypatch, log)
    trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    async with http_api(tmp_path) as api:
        answer = await api.client.get("/documents", headers={"traceparent": f"00-{trace}-{span}-01"})
        assert answer.headers["X-Correlation-ID"] == trace
        broken = await api.client.get("/documents", headers={"traceparent": f"00-{'0' * 32}-{span}-01"})
        assert broken.headers["X-Correlation-ID"] != "0" * 32
    (request,) = log.rows("requests", operation_Id=trace)
    assert request["operation_ParentId"] == span


async def test_log_lines_of_work_carry_its_operation_id_and_reach_the_log_whatever_the_level_of_the_console(tmp_path: Path) -> None:
    log = CollectingLog()
    async with observed_core(tmp_path, log) as (core, _):
        logging.getLogger("forebay.intake").info("between %s and %s", 1, 2, extra={"dimensions": {"folder": "f"}})
        logging.getLogger("forebay.telemetry.drainer").warning("would feed itself")
        logging.getLogger("elsewhere").error("not ours")
        logging.getLogger("forebay.intake").debug("too fine")
        assert core.engine.live_count == 0
    lines = log.rows("traces")
    assert [(row["message"], row["severityLevel"], row["customDimensions"]) for row in lines] == [
        ("between 1 and 2", 1, {"logger": "forebay.intake", "folder": "f"})
    ]
    assert logging.getLogger("forebay").level == logging.NOTSET
