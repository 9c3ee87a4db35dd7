"""What requests may say, in path, query, headers and body."""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime
from typing import Annotated, Any, get_args

import msgspec
from fastapi import Header, Path, Query, Request
from pydantic import BeforeValidator

from forebay.durable.http.shapes import RuntimeStatusName
from forebay.durable.journal.journal import RuntimeStatus
from forebay.errors import ForebayError

LONGEST_WAIT_SECONDS = 230  # after which Azure's load balancer ends a request
LARGEST_PAGE = 1000
CONTINUATION = "x-ms-continuation-token"

# "Durable Functions: instance IDs": 1 to 100 characters, no `/`, `\`, `#`, `?`, no control characters, no `@` in front
_INSTANCE_ID = re.compile(r"[^@/\\#?\x00-\x1f\x7f-\x9f][^/\\#?\x00-\x1f\x7f-\x9f]{0,99}")
_STATUSES = (*get_args(RuntimeStatusName), "Canceled", "ContinuedAsNew")  # Azure knows the last two; here no instance has them
_STATUS = "|".join(_STATUSES)


def _boolean(text: Any) -> Any:
    if text in (True, False):
        return text
    if str(text).lower() not in ("true", "false"):
        raise ValueError(f"expected true or false, got {text!r}")
    return str(text).lower() == "true"


def _time(text: Any) -> Any:
    if not isinstance(text, str):
        return text
    try:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"expected a time such as 2026-01-31T12:00:00Z, got {text[:40]!r}") from None


Flag = Annotated[bool, BeforeValidator(_boolean)]
Time = Annotated[datetime, BeforeValidator(_time)]

Name = Annotated[str, Path(description="The orchestrator.")]
InstanceId = Annotated[str, Path(description="The instance's id.")]
EventName = Annotated[str, Path(description="The name that the instance waits for.")]
Code = Annotated[str | None, Query(description="The code of a URL from the answer to the start: it opens this instance without a key.")]
Reason = Annotated[str, Query(description="Why; the instance's history says so.", max_length=4000)]
Version = Annotated[str | None, Query(description="The version to begin with, instead of the one registered last.")]
Timeout = Annotated[
    float | None,
    Query(ge=0, le=LONGEST_WAIT_SECONDS, description="Seconds to wait for the end, which is then the answer, instead of the URLs at once."),
]
CreatedFrom = Annotated[Time, Query(alias="createdTimeFrom", description="Only instances created then or later.")]
CreatedTo = Annotated[Time | None, Query(alias="createdTimeTo", description="Only instances created then or earlier.")]
Statuses = Annotated[
    str | None,
    Query(
        alias="runtimeStatus",
        description=f"Only these, separated by commas: {', '.join(_STATUSES)}.",
        json_schema_extra={"pattern": rf"^({_STATUS})(,({_STATUS}))*$"},
    ),
]
Prefix = Annotated[str | None, Query(alias="instanceIdPrefix", description="Only ids that begin with this.")]
InProject = Annotated[str | None, Query(description="Only instances of this project.")]
Top = Annotated[int, Query(ge=1, le=LARGEST_PAGE, description="How many, at most.")]
Continuation = Annotated[str | None, Header(alias=CONTINUATION, description="That of the answer before, for what follows it.")]


def check_instance_id(instance_id: str) -> None:
    """Raise `ForebayError` (`invalid_instance_id`, 400) for an id that Azure does not take either."""
    if not _INSTANCE_ID.fullmatch(instance_id):
        raise ForebayError(
            "invalid_instance_id",
            f"expected an instance id of 1 to 100 characters without '/', '\\', '#', '?', control characters and a leading '@',"
            f" got {instance_id[:120]!r}",
            hint="Leave it out, and one is made up.",
            status=400,
        )


def journal_statuses(names: str | None) -> tuple[set[str] | None, list[RuntimeStatus] | None]:
    """The runtime statuses that are asked for, and those that the journal has for them: there, pending instances are running.

    Raises `ForebayError` (`invalid_runtime_status`, 422).
    """
    if names is None:
        return None, None
    wanted = set(names.split(","))
    if not wanted <= set(_STATUSES):
        raise ForebayError(
            "invalid_runtime_status",
            f"expected statuses out of {', '.join(_STATUSES)}, separated by commas, got {names[:200]!r}",
            hint="Leave it out for all.",
            status=422,
        )
    known: list[RuntimeStatus] = [each for each in get_args(RuntimeStatus) if each in wanted or (each == "Running" and "Pending" in wanted)]
    return wanted, known


def encode_continuation(before: int) -> str:
    """Where a page ends, opaque."""
    return base64.urlsafe_b64encode(str(before).encode()).decode()


def decode_continuation(token: str | None) -> int | None:
    """The inverse. Raises `ForebayError` (`invalid_continuation_token`, 400)."""
    if token is None:
        return None
    try:
        text = base64.b64decode(token, altchars=b"-_", validate=True).decode("ascii")
    except ValueError:
        text = ""
    if not (text.isdigit() and len(text) < 19):
        raise ForebayError(
            "invalid_continuation_token",
            f"the {CONTINUATION} header is not one that a list has answered",
            hint="Pass the header of the answer before unchanged.",
            status=400,
        )
    return int(text)


async def json_of(request: Request, *, limit_bytes: int, is_optional: bool = False) -> Any:
    """The body of a request, decoded; with `is_optional` None for an empty one.

    Raises `ForebayError`: `body_too_large` (413), `invalid_json` (400).
    """
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > limit_bytes:
            raise ForebayError("body_too_large", f"expected a JSON body of at most {limit_bytes} bytes, got more", status=413)
    if not body and is_optional:
        return None
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ForebayError("invalid_json", f"expected JSON, but: {error}", hint="A text is JSON in quotes.", status=400) from None


def unwrapped(value: Any) -> Any:
    """A text that is itself JSON as that JSON: Azure's Python client encodes what it sends twice."""
    if not isinstance(value, str):
        return value
    try:
        return msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return value
