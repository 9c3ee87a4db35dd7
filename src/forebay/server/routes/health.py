"""Whether the program is well; these routes need no key and ignore a bad one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import fields, replace

from fastapi import APIRouter, Response

from forebay.errors import ForebayError
from forebay.server.access import KnownCaller, PartsOf
from forebay.server.answers import json_answer
from forebay.server.parts import Parts
from forebay.server.shapes import Health, HealthJson, InformationJson, ServiceHealth, StatusJson
from forebay.values.blob import INCOMING
from forebay.values.times import rfc3339

SERVICE = "forebay"
PROBE_TIMEOUT_SECONDS = 5.0


def router() -> APIRouter:
    """`/` and the routes below `/health`."""
    routes = APIRouter(tags=["health"])
    routes.get("/", response_model=InformationJson)(information)
    routes.get("/health", response_model=HealthJson, responses={503: {"description": "unhealthy", "model": HealthJson}})(health)
    routes.get("/health/live", response_model=StatusJson)(live)
    routes.get("/health/ready", response_model=StatusJson, responses={503: {"description": "not ready"}})(ready)
    return routes


async def information(parts: PartsOf) -> Response:
    """What this is, and where to go on."""
    return json_answer(InformationJson(service=SERVICE, version=parts.version, docs="/docs", openapi="/openapi.json", health="/health"))


async def live() -> Response:
    """200 as long as requests are answered at all."""
    return json_answer(StatusJson(status="healthy"))


async def ready(parts: PartsOf) -> Response:
    """200 once everything is recovered and arrivals are accepted, 503 before, and while stopping."""
    if not parts.state.is_ready or parts.state.is_stopping:
        doing = "stopping" if parts.state.is_stopping else "starting"
        raise ForebayError("not_ready", f"the server is {doing}", retryable=True, status=503)
    return json_answer(StatusJson(status="healthy"))


async def health(parts: PartsOf, caller: KnownCaller) -> Response:
    """How the program is; with a key also each dependency with its state and latency, and with one of all projects what is wrong."""
    services = await _services(parts, with_embedder=caller is not None)
    # counting what is missing costs work that callers without a key cannot ask for
    index = await parts.index.state() if caller is not None and services["database"].state == "healthy" else None
    message = index.message if index is not None else None
    status = _overall(parts, services, message)
    if caller is not None and caller.project is not None:  # messages may be about any project
        services = {name: replace(each, message=None) for name, each in services.items()}
        message = None if message is None else "the index is not what the settings ask for"
    answer = HealthJson(
        status=status,
        service=SERVICE,
        version=parts.version,
        timestamp=rfc3339(parts.effects.clock.now()),
        services=services if caller is not None else None,
        message=message,
    )
    body = {field.name: value for field in fields(answer) if (value := getattr(answer, field.name)) is not None}
    return json_answer(body, status=503 if status == "unhealthy" else 200, headers={"Cache-Control": "no-store"})


async def _services(parts: Parts, *, with_embedder: bool) -> dict[str, ServiceHealth]:
    # embedding costs work that callers without a key cannot ask for
    probes: dict[str, Callable[[], Awaitable[object]]] = {
        "database": lambda: parts.readers.run(lambda connection: connection.execute("SELECT count(*) FROM sqlite_master").fetchone()),
        "blobs": lambda: parts.blobs.list(INCOMING, limit=1),
        "telemetry": lambda: _drains(parts),
    }
    if with_embedder:
        probes["embedder"] = lambda: parts.embedder.embed(["How are you?"])
    found = await asyncio.gather(*(_probe(parts, probe) for probe in probes.values()))
    return dict(zip(probes, found, strict=True))


async def _drains(parts: Parts) -> None:
    """Raise what keeps telemetry from the tables."""
    error = parts.telemetry.drainer.state().error
    if error is not None:
        raise error


async def _probe(parts: Parts, probe: Callable[[], Awaitable[object]]) -> ServiceHealth:
    started = parts.effects.clock.monotonic()
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_SECONDS):
            await probe()
    except TimeoutError:
        return ServiceHealth(state="degraded", latency_ms=None, message=f"no answer within {PROBE_TIMEOUT_SECONDS:g} s")
    except ForebayError as error:
        return ServiceHealth(state="unhealthy", latency_ms=None, message=error.message)
    except Exception as error:
        return ServiceHealth(state="unhealthy", latency_ms=None, message=type(error).__name__)
    return ServiceHealth(state="healthy", latency_ms=round((parts.effects.clock.monotonic() - started) * 1000, 3))


def _overall(parts: Parts, services: dict[str, ServiceHealth], message: str | None) -> Health:
    states = {name: service.state for name, service in services.items()}
    if not parts.state.is_ready or "unhealthy" in (states["database"], states["blobs"]):
        return "unhealthy"
    # without its embedder the program still takes files, and still searches by words
    is_degraded = parts.state.is_stopping or message is not None or set(states.values()) != {"healthy"}
    return "degraded" if is_degraded else "healthy"
