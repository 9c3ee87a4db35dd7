"""What is told of each request: a row of `requests`, or figures alone."""

from __future__ import annotations

import asyncio
import re
from typing import Any
from urllib.parse import parse_qsl, urlencode

from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from forebay.effects import Clock
from forebay.errors import ForebayError
from forebay.telemetry.observe.observation import Observation, Request
from forebay.values.correlation import Correlation

# these are asked all the time, and those that move telemetry would make more of it than they move
_FIGURES_ONLY = re.compile(r"/+(?:|health(?:/.*)?|docs|openapi\.json|logs|metrics|events|query|stats|v[0-9.]+/.*)")
_SECRET = re.compile(r"key|code|sig|token|secret|password|auth|credential|cursor", re.IGNORECASE)
CLIENT_WENT_AWAY = 499  # nginx' status for it


class ObservationMiddleware:
    """Times requests, and makes their log lines lines of this program, under their correlation id.

    It stands inside the middleware that gives the correlation id. Whose work a request is, `access.concern` says.
    """

    def __init__(self, app: ASGIApp, *, observation: Observation, clock: Clock) -> None:
        self._app = app
        self._observation = observation
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self._observation.is_on:
            await self._app(scope, receive, send)
            return
        state: dict[str, Any] = scope["state"]
        self._observation.own_this_task()
        began_at, began = self._clock.now(), self._clock.monotonic()
        status = 500

        async def watched_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched_send)
        except (ClientDisconnect, asyncio.CancelledError):
            status = CLIENT_WENT_AWAY
            raise
        except Exception:
            status = 500  # whatever has been sent of it
            raise
        finally:
            answered = Request(
                name=f"{scope['method']} {_route(scope)}",
                url=shown_url(scope),
                began_at=began_at,
                duration_milliseconds=(self._clock.monotonic() - began) * 1000,
                status=status,
                client_ip=scope["client"][0] if scope.get("client") else None,
                parent_id=state.get("parent_span_id"),
                is_told=_FIGURES_ONLY.fullmatch(scope["path"]) is None,
            )
            self._observation.request(answered, correlation=Correlation(id=state["correlation_id"], project=state.get("project")))


def tell_rate_limit(observation: Observation, request: HttpRequest, actor: str, refused: ForebayError) -> None:
    """Tell that a request was refused for the rate of its key: one event for each key and second, with how many there were."""
    client_ip = request.client.host if request.client is not None else ""
    dimensions = {"path": request.url.path, "method": request.method, "client_ip": client_ip}
    seconds = refused.retry_after_seconds or 0.0
    observation.repeated_event("rate_limit_exceeded", actor, dimensions, {"expires_in_seconds": seconds}, project=request.state.project)


def _route(scope: Scope) -> str:
    """The template of the route; requests that found none have one name, so that there are not as many as there are addresses."""
    path = getattr(scope.get("route"), "path", None)
    return path if isinstance(path, str) else "(no route)"


def shown_url(scope: Scope) -> str:
    """Path and query as they came, but for the values of parameters that look like secrets, and cursors, which hold names."""
    path: str = scope["path"]
    query = scope["query_string"].decode("utf-8", "replace")
    if not query:
        return path
    shown = [(name, "***" if _SECRET.search(name) else value) for name, value in parse_qsl(query, keep_blank_values=True)]
    return f"{path}?{urlencode(shown, safe='*/:,')}"
