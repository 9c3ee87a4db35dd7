"""JSON answers, encoded by msgspec: three times as fast as the standard encoder, and strict about what it takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from fastapi import Response

from forebay.errors import ForebayError


def json_answer(body: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """`body` (dataclasses, dictionaries, lists and plain values) as an answer."""
    return Response(msgspec.json.encode(body), status_code=status, headers=headers, media_type="application/json")


def not_available_yet(what: str) -> ForebayError:
    """422: part of the interface, but not of this version."""
    return ForebayError(
        "not_available_yet",
        f"{what} is not available in this version",
        hint="Leave it out: answers are then about the present.",
        status=422,
    )
