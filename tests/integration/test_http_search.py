"""Search over HTTP: what is asked, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.integration.http_api import http_api


async def test_hits_carry_everything_a_citation_needs(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        document = await api.upload("dam.md", "The sluice gate closes within a minute.\n")
        answer = (await api.client.post("/search", json={"query": "sluice gate"})).json()
        assert set(answer) == {"hits", "took_ms", "warning"}
        (hit,) = answer["hits"]
        assert hit == {
            "document_id": document["id"],
            "name": "dam.md",
            "project": "default-project",
            "version": 1,
            "chunk_id": f"{document['id']}-1-0",
            "score": hit["score"],
            "ranks": {"text": 1, "vector": 1},
            "text": "The sluice gate closes within a minute.",
            "lines": [1, 1],
            "characters": [0, 39],
            "symbol": None,
            "location": None,
            "scores": hit["scores"],
            "snippet": "The sluice gate closes within a minute.",
            "highlights": [[4, 15]],
        }
        assert hit["scores"]["text"] > 0
        assert hit["score"] >= hit["scores"]["vector"] > 0


async def test_modes_and_filters_are_passed_on(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        for name in ("a/dam.md", "b/dam.md"):
            await api.upload(name, "The sluice gate closes.\n")

        async def names(**request: Any) -> list[str]:
            answer = await api.client.post("/search", json={"query": "sluice", **request})
            assert answer.status_code == 200, answer.text
            return sorted(hit["name"] for hit in answer.json()["hits"])

        assert await names() == ["a/dam.md", "b/dam.md"]
        assert len(await names(k=1)) == 1
        assert await names(filters={"name_prefix": "b/"}) == ["b/dam.md"]
        assert await names(filters={"created_before": "2020-01-01T00:00:00Z"}) == []
        for mode in ("text", "vector"):
            answer = await api.client.post("/search", json={"query": "sluice", "mode": mode})
            other = "vector" if mode == "text" else "text"
            assert {hit["ranks"][other] for hit in answer.json()["hits"]} == {None}


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        ('{"query": 5}', "query", "invalid_request"),
        ('{"query": "x", "k": "ten"}', "k", "invalid_request"),
        ('{"query": "x", "mode": "magic"}', "mode", "invalid_request"),
        ('{"query": "x", "limit": 3}', "limit", "invalid_request"),
        ('{"query": "x", "filters": {"path": "a"}}', "filters.path", "invalid_request"),
        ('{"query": "x", "filters": {"created_after": "yesterday"}}', "filters.created_after", "invalid_request"),
        ("{}", "query", "invalid_request"),
        ("[]", "", "invalid_request"),
    ],
)
async def test_a_field_that_is_not_what_it_may_be_is_named(tmp_path: Path, body: str, field: str, code: str) -> None:
    async with http_api(tmp_path) as api:
        answer = await api.client.post("/search", content=body)
        assert (answer.status_code, answer.json()["code"]) == (422, code)
        assert [each["field"] for each in answer.json()["errors"]] == [field]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ("", 400, "invalid_json"),
        ("{", 400, "invalid_json"),
        (b'{"query": "\xff"}', 400, "invalid_json"),
        ('{"query": "\\ud800"}', 400, "invalid_json"),
        ("[" * 100_000, 422, "invalid_request"),
        ('{"query": "x", "a": ' + '{"a":' * 100_000, 422, "invalid_request"),
        ('{"query": "' + "x" * (1 << 20) + '"}', 413, "body_too_large"),
        ('{"query": " "}', 422, "empty_query"),
        ('{"query": "x", "k": 0}', 422, "invalid_k"),
        ('{"query": "x", "k": 1001}', 422, "invalid_k"),
        ('{"query": "x", "project": "a b"}', 422, "invalid_project"),
        ('{"query": "x", "filters": {"created_after": "2026-01-01T00:00:00"}}', 422, "invalid_filter"),
    ],
)
async def test_what_cannot_be_asked_is_refused_with_a_code(tmp_path: Path, body: str | bytes, status: int, code: str) -> None:
    async with http_api(tmp_path) as api:
        answer = await api.client.post("/search", content=body)
        assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_two_different_projects_are_a_contradiction(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        answer = await api.client.post("/search?project=blue", json={"query": "x", "project": "green"})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_project")


async def test_nothing_in_a_query_is_syntax(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        await api.upload("dam.md", "The sluice gate closes.\n")
        for query in ('"sluice', "sluice AND", "NEAR(", "text:sluice*", "'; DROP TABLE documents; --", "sluice\0gate"):
            answer = await api.client.post("/search", json={"query": query})
            assert answer.status_code == 200, query
