"""How a command reaches Forebay: the running server, or the whole program inside this process."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from forebay.errors import ForebayError
from forebay.settings import Settings

if TYPE_CHECKING:
    import httpx

CONNECT_TIMEOUT_SECONDS = 5.0
HEALTH_TIMEOUT_SECONDS = 10.0
KEEP_ALIVE_SECONDS = 2.0  # after a longer pause, a server may be closing the connection that is used again
READ_TIMEOUT_SECONDS = 120.0  # far above the 20 s of a long poll


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """The HTTP API, wherever it runs."""

    client: httpx.AsyncClient
    place: Literal["server", "in-process"]

    async def send(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        """The answer, whatever its status.

        Raises `ForebayError` `unreachable` when there is none.
        """
        import httpx

        try:
            return await self.client.request(method, path, **arguments)
        except httpx.TransportError as error:
            raise ForebayError(
                "unreachable",
                f"{self.client.base_url} did not answer: {str(error) or type(error).__name__}.",
                hint="See whether the server still runs; without one, commands work in-process.",
                status=503,
                retryable=True,
            ) from error

    async def body(self, method: str, path: str, **arguments: Any) -> Any:
        """The decoded JSON body of a successful answer.

        Raises the `ForebayError` that the problem details describe.
        """
        answer = await self.send(method, path, **arguments)
        if answer.is_error:
            raise problem(answer)
        return answer.json()


@asynccontextmanager
async def connect(settings: Settings) -> AsyncIterator[Connection]:
    """Reach the live server of the data directory, or open the program in this process.

    Raises `ForebayError` `locked` when another process owns the data directory and no server answers.
    """
    import httpx

    server = await live_server(settings)
    if server is not None:
        async with _client(server, _stored_key(settings)) as client:
            yield Connection(client=client, place="server")
        return

    from forebay.app import open_forebay

    # nobody else shares this process, so there is nobody to protect
    alone = dataclasses.replace(settings, server=dataclasses.replace(settings.server, rate_limit=0))
    async with open_forebay(alone) as program:
        transport = httpx.ASGITransport(app=program.asgi, raise_app_exceptions=False)
        key = settings.server.api_key
        async with _client("http://127.0.0.1:8000", key.reveal() if key else program.admin_key, transport=transport) as client:
            yield Connection(client=client, place="in-process")


async def live_server(settings: Settings) -> str | None:
    """The URL of the server that `server.json` names, if its process lives and it answers as itself."""
    import httpx

    try:
        record = json.loads((settings.data_dir / "server.json").read_bytes())
        url, pid, version = str(record["url"]), int(record["pid"]), record["version"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not _is_alive(pid):
        return None
    try:
        async with _client(url, None) as client:
            health = (await client.get("/health", timeout=HEALTH_TIMEOUT_SECONDS)).json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError):
        return None
    # a number of a dead process may have been given to a stranger, who must not be sent the key
    return url if isinstance(health, dict) and health.get("version") == version else None


def problem(answer: httpx.Response) -> ForebayError:
    """The error that a failed answer describes."""
    try:
        details = answer.json()
    except ValueError:
        details = {}
    if not isinstance(details, dict):
        details = {}
    return ForebayError(
        str(details.get("code", "http_error")),
        str(details.get("detail") or details.get("title") or f"The server answered {answer.status_code} {answer.reason_phrase}."),
        hint=str(details.get("hint") or ""),
        status=answer.status_code,
        retryable=answer.status_code in (429, 503),
        retry_after_seconds=_asked_pause_seconds(answer.headers.get("Retry-After")),
    )


def _asked_pause_seconds(retry_after: str | None) -> float | None:
    """`Retry-After` in seconds (RFC 9110, 10.2.3); this server never sends a date."""
    return float(retry_after) if retry_after and retry_after.isascii() and retry_after.isdigit() else None


def _client(url: str, key: str | None, *, transport: httpx.AsyncBaseTransport | None = None) -> httpx.AsyncClient:
    import httpx

    return httpx.AsyncClient(
        base_url=url,
        transport=transport,
        headers={"X-API-Key": key} if key else {},
        timeout=httpx.Timeout(READ_TIMEOUT_SECONDS, connect=CONNECT_TIMEOUT_SECONDS),
        limits=httpx.Limits(keepalive_expiry=KEEP_ALIVE_SECONDS),
        trust_env=False,  # a proxy has no business between a command and its own machine
    )


def _stored_key(settings: Settings) -> str:
    if settings.server.api_key:
        return settings.server.api_key.reveal()
    path = settings.data_dir / "admin.key"
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ForebayError(
            "no_key",
            f"The server needs a key, and {path} cannot be read: {error.strerror}.",
            hint="Set FOREBAY_API_KEY, or run the command as the user who runs the server.",
            status=401,
        ) from error


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True
