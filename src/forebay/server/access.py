"""What a route asks of a request before its own work: the key, the project, and whether anything is accepted now."""

from __future__ import annotations

import re
from typing import Annotated, cast

from fastapi import Depends, Query, Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from forebay.errors import ForebayError
from forebay.intake.intake import Sender
from forebay.server.parts import Parts

_API_KEY = APIKeyHeader(name="X-API-Key", auto_error=False, description="The key in `admin.key`, or the one in FOREBAY_API_KEY.")
_BEARER = HTTPBearer(auto_error=False, description="The same key.")
_PROJECT = re.compile(r"[A-Za-z0-9._-]{1,64}")


def parts_of(request: Request) -> Parts:
    """The program behind the routes."""
    return cast("Parts", request.app.state.parts)


PartsOf = Annotated[Parts, Depends(parts_of)]


async def known_actor(
    parts: PartsOf,
    api_key: Annotated[str | None, Security(_API_KEY)] = None,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)] = None,
) -> str | None:
    """Whose key the request carries; None without a key, and with one that opens nothing."""
    presented = api_key if api_key is not None else bearer.credentials if bearer is not None else None
    return None if presented is None else parts.keys.actor_of(presented)


KnownActor = Annotated[str | None, Depends(known_actor)]


async def require_actor(actor: KnownActor) -> str:
    """Whose key the request carries. Raises `ForebayError` (`invalid_key`, 401)."""
    if actor is None:
        raise ForebayError(
            "invalid_key",
            "Invalid API key",
            hint="Send the key in admin.key of the data directory, or the one in FOREBAY_API_KEY, as X-API-Key or as a bearer token.",
            status=401,
        )
    return actor


Actor = Annotated[str, Depends(require_actor)]


def checked_project(parts: Parts, project: str | None) -> str:
    """The project that a request names, or the default one. Raises `ForebayError` (`invalid_project`)."""
    if project is None or project == parts.settings.default_project:
        return parts.settings.default_project
    if not _PROJECT.fullmatch(project):
        raise ForebayError(
            "invalid_project",
            f"expected a project of 1 to 64 letters (a-z), digits, '.', '_' and '-', got {project[:80]!r}",
            hint="Leave it out for the default project.",
            status=422,
        )
    return project


async def require_project(
    parts: PartsOf,
    actor: Actor,
    project: Annotated[str | None, Query(description="The project; without it the default one.")] = None,
) -> str:
    """The project of a request that has a key."""
    return checked_project(parts, project)


Project = Annotated[str, Depends(require_project)]


async def require_sender(request: Request, actor: Actor, project: Project) -> Sender:
    """Who sends something, for which project, under which correlation id."""
    return Sender(project=project, actor=actor, correlation_id=request.state.correlation_id)


SenderOf = Annotated[Sender, Depends(require_sender)]


async def require_accepting(parts: PartsOf) -> None:
    """Raise `ForebayError` (`starting`, `stopping`: 503) while nothing new can be taken."""
    if parts.state.is_stopping:
        raise ForebayError("stopping", "the server is stopping and takes nothing new", retryable=True, hint="Try again.", status=503)
    if not parts.state.is_ready:
        raise ForebayError("starting", "the server is starting and takes nothing yet", retryable=True, hint="Try again.", status=503)


Accepting = Depends(require_accepting)
