"""Health, documentation and checks over HTTP."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tests.integration.http_api import http_api

from forebay import __version__


class ScriptedChecks:
    """Checks that remember how they were called."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, bool]] = []

    async def index(self, repair: bool) -> dict[str, Any]:
        self.calls.append(("index", repair))
        return {"ok": True, "checked": {"chunks": 3}, "problems": []}

    async def history(self, repair: bool) -> dict[str, Any]:
        self.calls.append(("history", repair))
        problem = {"code": "version_differs", "document_id": "d", "message": "it differs"}
        return {"ok": False, "checked": {"events": 5}, "problems": [problem]}


async def test_health_needs_no_key_and_ignores_a_bad_one(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        for headers in ({}, {"X-API-Key": "wrong"}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic eDp5"}):
            async with api.stranger(**headers) as stranger:
                answer = await stranger.get("/health")
                assert answer.status_code == 200
                assert set(answer.json()) == {"status", "service", "version", "timestamp"}
                assert (answer.json()["status"], answer.json()["service"], answer.json()["version"]) == ("healthy", "forebay", __version__)
                for path in ("/", "/health/live", "/health/ready", "/docs", "/openapi.json"):
                    assert (await stranger.get(path)).status_code == 200


async def test_health_with_a_key_tells_of_every_dependency(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        services = (await api.client.get("/health")).json()["services"]
        assert set(services) == {"database", "blobs", "telemetry", "embedder"}
        assert {service["state"] for service in services.values()} == {"healthy"}
        assert all(service["latency_ms"] >= 0 for service in services.values())


async def test_health_is_degraded_without_the_embedder(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        await api.parts.embedder.close()
        health = (await api.client.get("/health")).json()
        assert (health["status"], health["services"]["embedder"]["state"]) == ("degraded", "unhealthy")


async def test_health_is_unhealthy_without_blobs(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        incoming = tmp_path / "containers" / "incoming"
        incoming.rmdir()
        answer = await api.client.get("/health")
        assert (answer.status_code, answer.json()["status"], answer.json()["services"]["blobs"]["state"]) == (503, "unhealthy", "unhealthy")


async def test_ready_means_started_and_not_stopping(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        api.parts.state.is_ready = False
        answer = await api.client.get("/health/ready")
        assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")
        assert (await api.client.get("/health/live")).status_code == 200
        api.parts.state.is_ready = True
        assert (await api.client.get("/health/ready")).status_code == 200
        api.parts.state.stopping.set()
        assert (await api.client.get("/health/ready")).status_code == 503


async def test_the_docs_page_describes_every_route_without_scripts_or_other_hosts(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        description = (await api.client.get("/openapi.json")).json()
        page = (await api.client.get("/docs")).text
        for path, operations in description["paths"].items():
            for method, operation in operations.items():
                assert f'<span class="method">{method.upper()}</span> <code>{path}</code>' in page
                assert operation["description"], path
        assert "<script" not in page
        assert not re.findall(r"""(?:src|href)=["']?(?:https?:)?//""", page)


async def test_the_description_tells_of_answers_and_errors(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        description = (await api.client.get("/openapi.json")).json()
        upload = description["paths"]["/documents"]["post"]
        always = {"408", "413", "415", "421", "422", "431", "500", "503"}
        assert set(upload["responses"]) == {"202", "401", "403", "429"} | always
        assert upload["security"] == [{"APIKeyHeader": ["write"]}, {"HTTPBearer": ["write"]}]
        problem = upload["responses"]["401"]["content"]["application/problem+json"]["schema"]["$ref"]
        assert problem.rpartition("/")[2] in description["components"]["schemas"]
        accepted = upload["responses"]["202"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        assert set(description["components"]["schemas"][accepted]["properties"]) == {"id", "instance_id", "blob", "correlation_id"}
        references = set(re.findall(r'"#/components/schemas/([^"]+)"', (await api.client.get("/openapi.json")).text))
        assert references <= set(description["components"]["schemas"])


async def test_checks_repair_only_by_post(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        checks = ScriptedChecks()
        api.replace("checks", checks)
        assert (await api.client.get("/check/index")).json() == {"ok": True, "checked": {"chunks": 3}, "problems": []}
        assert (await api.client.get("/check/history")).json()["problems"][0]["code"] == "version_differs"
        assert (await api.client.get("/check/index/repair")).status_code == 405
        assert (await api.client.post("/check/index")).status_code == 405
        assert (await api.client.post("/check/index/repair")).status_code == 200
        assert (await api.client.post("/check/history/repair")).status_code == 200
        assert checks.calls == [("index", False), ("history", False), ("index", True), ("history", True)]


async def test_the_real_checks_find_nothing_wrong(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        await api.upload("a.md", "some text")
        for target in ("index", "history"):
            answer = (await api.client.get(f"/check/{target}")).json()
            assert (answer["ok"], answer["problems"]) == (True, [])
            assert answer["checked"]
