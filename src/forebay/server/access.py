"""What a route asks of a request before its own work: the key and its scope, the project, and whether anything is accepted now."""

from __future__ import annotations

import base64
import re
from collections.abc import Awaitable, Callable
from typing import Annotated, cast

from fastapi import Depends, Query, Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from forebay.errors import ForebayError
from forebay.intake.intake import Sender
from forebay.server.keys.key import Caller, Scope
from forebay.server.observed import tell_rate_limit
from forebay.server.parts import Parts
from forebay.values.correlation import Correlation, correlate

_API_KEY = APIKeyHeader(
    name="X-API-Key", auto_error=False, description="A key of `forebay keys`, the one in `admin.key`, or FOREBAY_API_KEY."
)
_BEARER = HTTPBearer(auto_error=False, description="The same key.")
_PROJECT = re.compile(r"[A-Za-z0-9._-]{1,64}")


def parts_of(request: Request) -> Parts:
    """The program behind the routes."""
    return cast("Parts", request.app.state.parts)


async def _parts_of(request: Request) -> Parts:
    """The same as a coroutine: FastAPI calls anything else in a thread, for each request."""
    return parts_of(request)


PartsOf = Annotated[Parts, Depends(_parts_of)]


def concern(request: Request, project: str | None) -> None:
    """Say whose work a request is: what is told of it, log lines included, shows to that project; None: to the default one."""
    request.state.project = project
    correlate(Correlation(id=request.state.correlation_id, project=project))


async def known_caller(
    parts: PartsOf,
    api_key: Annotated[str | None, Security(_API_KEY)] = None,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)] = None,
) -> Caller | None:
    """Whose key the request carries; None without a key, and with one that opens nothing."""
    presented = api_key if api_key is not None else bearer.credentials if bearer is not None else None
    return None if presented is None else parts.keys.caller_of(presented)


KnownCaller = Annotated[Caller | None, Depends(known_caller)]


async def require_caller(request: Request, parts: PartsOf, caller: KnownCaller) -> Caller:
    """Whose key the request carries. Raises `ForebayError` (`invalid_key`, 401; `rate_limit_exceeded`, 429)."""
    if caller is None:
        raise ForebayError(
            "invalid_key",
            "Invalid API key",
            hint="Send a key of `forebay keys create`, the one in admin.key of the data directory, or FOREBAY_API_KEY, as X-API-Key or as a"
            " bearer token.",
            status=401,
        )
    concern(request, caller.project)
    take_turn(request, parts, caller.actor)
    return caller


def take_turn(request: Request, parts: Parts, actor: str) -> None:
    """Count a request. Raises `ForebayError` (`rate_limit_exceeded`, 429)."""
    try:
        parts.rates.take(actor)
    except ForebayError as refused:
        tell_rate_limit(parts.observation, request, actor, refused)
        raise


SomeCaller = Annotated[Caller, Depends(require_caller)]


def _requires(scope: Scope) -> Callable[[Caller], Awaitable[Caller]]:
    async def require_scope(caller: SomeCaller) -> Caller:
        """Whose key the request carries. Raises `ForebayError` (`out_of_scope`, 403)."""
        if not caller.may(scope):
            raise ForebayError(
                "out_of_scope",
                f"this needs a key with scope {scope}, this one has {', '.join(sorted(caller.scopes))}",
                hint=f"`forebay keys create --scope {scope}` makes one.",
                status=403,
            )
        return caller

    return require_scope


_require_ingest = _requires("ingest")
# the scopes are those of the description
Reader = Annotated[Caller, Security(_requires("read"), scopes=["read"])]
Writer = Annotated[Caller, Security(_requires("write"), scopes=["write"])]
Ingester = Annotated[Caller, Security(_require_ingest, scopes=["ingest"])]
Manager = Annotated[Caller, Security(_requires("manage"), scopes=["manage"])]
Administrator = Annotated[Caller, Security(_requires("admin"), scopes=["admin"])]


async def _require_all_projects(caller: Administrator) -> Caller:
    """Whose key the request carries. Raises `ForebayError` (`all_projects_needed`, 403) for one that belongs to a project."""
    if caller.project is not None:
        raise ForebayError(
            "all_projects_needed",
            f"this is about all projects, and this key belongs to the project {caller.project!r}",
            hint="Use the key in admin.key of the data directory, or FOREBAY_API_KEY.",
            status=403,
        )
    return caller


GlobalAdministrator = Annotated[Caller, Depends(_require_all_projects)]


async def ingester_of(request: Request) -> Caller:
    """What a parameter of type `Ingester` gets, for routes that resolve nothing by FastAPI."""
    parts = parts_of(request)
    caller = await known_caller(parts, await _API_KEY(request), await _BEARER(request))
    return await _require_ingest(await require_caller(request, parts, caller))


async def caller_with(request: Request, scope: Scope) -> Caller:
    """The same for any scope. A key may also come as the password of HTTP Basic: some clients can be given nothing but a URL."""
    parts = parts_of(request)
    api_key = await _API_KEY(request)
    caller = await known_caller(parts, api_key if api_key is not None else _basic_password(request), await _BEARER(request))
    return await _requires(scope)(await require_caller(request, parts, caller))


def _basic_password(request: Request) -> str | None:
    scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(encoded, validate=True).decode().partition(":")[2]
    except ValueError:
        return None


def project_of(parts: Parts, caller: Caller, project: str | None) -> str:
    """The project that a request is about: the one it names, else that of its key, else the default one.

    Raises `ForebayError` (`invalid_project`; `wrong_project` for one that the key does not belong to).
    """
    if project is None:
        return caller.project or parts.settings.default_project
    if project != parts.settings.default_project and not _PROJECT.fullmatch(project):
        raise ForebayError(
            "invalid_project",
            f"expected a project of 1 to 64 letters (a-z), digits, '.', '_' and '-', got {project[:80]!r}",
            hint="Leave it out for the project of the key.",
            status=422,
        )
    if caller.project not in (None, project):
        raise ForebayError(
            "wrong_project",
            f"this key belongs to the project {caller.project!r}, not to {project!r}",
            hint="Leave the project out, or use a key of that project.",
            status=403,
        )
    return project


PROJECT_SCHEMA = {"pattern": f"^{_PROJECT.pattern}$"}
NamedProject = Annotated[
    str | None, Query(description="The project; without it that of the key, or the default one.", json_schema_extra=PROJECT_SCHEMA)
]


async def _read_project(request: Request, parts: PartsOf, caller: Reader, project: NamedProject = None) -> str:
    named = project_of(parts, caller, project)
    concern(request, named)
    return named


async def _sender(request: Request, parts: PartsOf, caller: Writer, project: NamedProject = None) -> Sender:
    named = project_of(parts, caller, project)
    concern(request, named)
    return Sender(project=named, actor=caller.actor, correlation_id=request.state.correlation_id)


async def _manager(request: Request, parts: PartsOf, caller: Manager, project: NamedProject = None) -> Sender:
    named = project_of(parts, caller, project)
    concern(request, named)
    return Sender(project=named, actor=caller.actor, correlation_id=request.state.correlation_id)


ReadProject = Annotated[str, Depends(_read_project)]  # of a request that may read
ManagerOf = Annotated[Sender, Depends(_manager)]  # the same of who manages
SenderOf = Annotated[Sender, Depends(_sender)]  # who writes something, for which project, under which correlation id


async def require_accepting(parts: PartsOf) -> None:
    """Raise `ForebayError` (`starting`, `stopping`: 503) while nothing new can be taken."""
    if parts.state.is_stopping:
        raise ForebayError("stopping", "the server is stopping and takes nothing new", retryable=True, hint="Try again.", status=503)
    if not parts.state.is_ready:
        raise ForebayError("starting", "the server is starting and takes nothing yet", retryable=True, hint="Try again.", status=503)


Accepting = Depends(require_accepting)
