"""Values decoded from `dynamic`, in python functions."""

from __future__ import annotations

from typing import Any


def text_of_dynamic(value: Any) -> str:
    """The text that a dynamic value is: a text itself, '' for null, else JSON."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    import msgspec

    return msgspec.json.encode(value).decode()
