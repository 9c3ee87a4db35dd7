"""The JSON of inputs and results, within its limit."""

from __future__ import annotations

from typing import Any

import msgspec

from forebay.errors import ForebayError


def encode_payload(value: Any, what: str, limit_bytes: int) -> bytes:
    """A value as JSON; raises `ForebayError` (`payload_too_large`, `payload_not_json`)."""
    try:
        encoded = msgspec.json.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ForebayError(
            "payload_not_json", f"{what} must be a JSON value: {error}", hint="return plain dicts, lists, strings"
        ) from error
    if len(encoded) > limit_bytes:
        refuse_too_large(encoded, what, limit_bytes)
    return encoded


def refuse_too_large(encoded: bytes, what: str, limit_bytes: int) -> None:
    """Raises `ForebayError` (`payload_too_large`)."""
    if len(encoded) > limit_bytes:
        raise ForebayError(
            "payload_too_large",
            f"{what} has {len(encoded):,} bytes; payload_bytes allows {limit_bytes:,}",
            hint="store the data and pass its key, or raise EngineLimits.payload_bytes (FOREBAY_PAYLOAD_LIMIT_KB)",
            status=413,
        )
