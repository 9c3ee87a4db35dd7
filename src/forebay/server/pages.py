"""Lists in pages: `?limit=&cursor=`."""

from __future__ import annotations

import base64
from typing import Annotated

from fastapi import Query

from forebay.errors import ForebayError

LARGEST_LIMIT = 1000

Limit = Annotated[int, Query(ge=1, le=LARGEST_LIMIT, description="How many, at most.")]
Cursor = Annotated[str | None, Query(description="The `next_cursor` of the page before.")]


def encode_cursor(text: str) -> str:
    """`text` as an opaque cursor."""
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> str:
    """The inverse. Raises `ForebayError` (`invalid_cursor`) for what no list has returned."""
    try:
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except ValueError:
        raise invalid_cursor() from None


def invalid_cursor() -> ForebayError:
    """422: a cursor that no list has returned."""
    return ForebayError("invalid_cursor", "the cursor is not one that a list has returned", hint="Pass next_cursor unchanged.", status=422)
