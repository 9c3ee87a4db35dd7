"""Logs, metrics and events over HTTP: what is taken, what is refused, and how that is said."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from tests.integration.http_api import Api, http_api

LOG = {"message": "the gate is open", "service": "gate"}
METRIC = {"name": "level", "value": 1.5, "service": "gate"}
EVENT = {"name": "opened"}


async def sent(api: Api, kind: str, entries: list[Any], **headers: str) -> Any:
    return await api.client.post(f"/{kind}", json={"entries": entries, "agent_version": "1.0"}, headers=headers)


@pytest.mark.parametrize(("kind", "entry"), [("logs", LOG), ("metrics", METRIC), ("events", EVENT)])
async def test_a_batch_is_accepted_with_its_count(kind: str, entry: dict[str, Any], tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        answer = await sent(api, kind, [entry, entry])
        assert answer.status_code == 202
        body = answer.json()
        assert (body["status"], body[f"{kind}_received"], body["service"]) == ("accepted", 2, "forebay")
        assert body["message"]
        stats = (await api.client.get("/stats")).json()
        assert (stats["status"], stats["producer_type"], stats[f"{kind}_sent"]) == ("healthy", "segments", 2)


async def test_a_compressed_batch_is_inflated(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        body = gzip.compress(json.dumps({"entries": [LOG] * 1000}).encode())
        answer = await api.client.post("/logs", content=body, headers={"Content-Encoding": "gzip"})
        assert (answer.status_code, answer.json()["logs_received"]) == (202, 1000)


async def test_a_compressed_batch_is_bounded_by_its_inflated_size(tmp_path: Path) -> None:
    async with http_api(tmp_path, telemetry_batch_mb=1) as api:
        body = gzip.compress(b'{"entries": [' + b" " * (200 << 20) + b"]}")
        answer = await api.client.post("/logs", content=body, headers={"Content-Encoding": "gzip"})
        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


@pytest.mark.parametrize("body", [b"no gzip", gzip.compress(b"{}", mtime=0)[:-3], gzip.compress(b"{}", mtime=0) + b"more"])
async def test_a_damaged_compressed_batch_is_refused(body: bytes, tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        answer = await api.client.post("/logs", content=body, headers={"Content-Encoding": "gzip"})
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_gzip")


async def test_every_bad_entry_is_named_and_nothing_of_the_batch_is_taken(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        answer = await sent(
            api, "logs", [LOG, {"service": "x"}, {**LOG, "timestamp": "yesterday"}, {**LOG, "lebels": {}}, {**LOG, "service": ""}]
        )
        assert answer.status_code == 422
        assert [(each["index"], each["field"]) for each in answer.json()["errors"]] == [
            (1, "message"),
            (2, "timestamp"),
            (3, "lebels"),
            (4, "service"),
        ]
        assert (await api.client.get("/stats")).json()["logs_sent"] == 0


@pytest.mark.parametrize("metric_type", ["counter", "Gauge", "HISTOGRAM"])
async def test_the_type_of_a_metric_may_be_in_any_case(metric_type: str, tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        assert (await sent(api, "metrics", [{**METRIC, "metric_type": metric_type}])).status_code == 202


async def test_an_unknown_type_of_a_metric_is_refused(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        answer = await sent(api, "metrics", [METRIC, {**METRIC, "metric_type": "thermometer"}])
        (error,) = answer.json()["errors"]
        assert (answer.status_code, error["index"], error["field"]) == (422, 1, "metric_type")
        assert "counter" in error["reason"]


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"{", 400, "invalid_json"),
        (b"\xff", 400, "invalid_json"),
        (b"[]", 422, "invalid_request"),
        (b"{}", 422, "invalid_request"),
        (b'{"entries": {}}', 422, "invalid_request"),
        (b'{"entries": [], "other": 1}', 422, "invalid_request"),
        (b"[" * 100_000, 422, "invalid_request"),
    ],
)
async def test_what_is_no_batch_is_refused(content: bytes, status: int, code: str, tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        answer = await api.client.post("/logs", content=content)
        assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_more_entries_than_allowed_are_refused(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        assert (await sent(api, "logs", [LOG] * 1000)).status_code == 202
        answer = await sent(api, "logs", [LOG] * 1001)
        assert (answer.status_code, answer.json()["code"]) == (422, "batch_too_large")


async def test_an_empty_batch_is_accepted(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        assert (await sent(api, "logs", [])).json()["logs_received"] == 0


async def test_an_ingestion_key_sends_telemetry_and_nothing_else(tmp_path: Path) -> None:
    async with http_api(tmp_path, ingestion_api_key="i" * 40) as api, api.stranger(**{"X-API-Key": "i" * 40}) as agent:
        assert (await agent.post("/logs", json={"entries": [LOG]})).status_code == 202
        assert (await agent.get("/stats")).status_code == 200
        for path in ("/documents", "/keys", "/containers/incoming/blobs"):
            assert (await agent.get(path)).status_code == 403, path


@pytest.mark.parametrize("key", ["", "a" * 256, "with space"])
async def test_an_idempotency_key_that_is_none_is_refused(key: str, tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        answer = await sent(api, "logs", [LOG], **{"Idempotency-Key": key})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_idempotency_key")


async def test_an_idempotency_key_counts_for_one_project(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        for project in ("water", "wind"):
            for _ in range(2):
                answer = await api.client.post(
                    "/logs", params={"project": project}, json={"entries": [LOG]}, headers={"Idempotency-Key": "one"}
                )
                assert answer.status_code == 202
        for project in ("water", "wind"):
            question = {"query": "traces | where cloud_RoleName == 'gate' | count", "project": project}
            assert (await api.client.post("/query", json=question)).json()["tables"][0]["rows"] == [[1]]


@pytest.mark.parametrize(("kind", "entry"), [("logs", LOG), ("metrics", METRIC), ("events", EVENT)])
async def test_a_time_that_is_in_no_year_of_utc_is_refused(kind: str, entry: dict[str, Any], tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        for time in ("0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59-12:00"):
            answer = await sent(api, kind, [entry, {**entry, "timestamp": time}])
            assert answer.status_code == 422
            assert [(each["index"], each["field"]) for each in answer.json()["errors"]] == [(1, "timestamp")]
        for time in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"):
            assert (await sent(api, kind, [{**entry, "timestamp": time}])).status_code == 202


async def test_a_level_of_several_digits_is_a_label_and_no_severity(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        assert (await sent(api, "logs", [{**LOG, "level": "12"}, {**LOG, "level": "2"}])).status_code == 202
        question = {"query": "traces | where cloud_RoleName == 'gate' | project severityLevel, level = tostring(customDimensions.level)"}
        rows = (await api.client.post("/query", json=question)).json()["tables"][0]["rows"]
        assert sorted(rows, key=str) == [[2, ""], [None, "12"]]


@pytest.mark.parametrize(("kind", "entry"), [("logs", LOG), ("metrics", METRIC), ("events", EVENT)])
async def test_labels_are_taken_or_refused_at_every_depth(kind: str, entry: dict[str, Any], tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        start = json.dumps({"entries": [entry]})[: -len("}]}")]
        statuses = []
        for depth in range(700, 1101, 4):
            content = f'{start}, "labels": ' + '{"a":' * depth + "1" + "}" * depth + "}]}"
            answer = await api.client.post(f"/{kind}", content=content)
            statuses.append(answer.status_code)
            assert answer.status_code == 202 or answer.json()["code"] in ("invalid_request", "invalid_entries"), depth
        assert (statuses[0], statuses[-1]) == (202, 422)
