"""Errors as rows of the table `exceptions`."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CHAIN_LIMIT = 5  # errors that caused one another
FRAME_LIMIT = 50  # of each
MESSAGE_LIMIT_CHARACTERS = 4000


def exception_columns(error: BaseException) -> dict[str, Any]:
    """The columns that describe an error, with the errors that caused it and their stacks.

    The shape of `details` is that of Application Insights: a list of `{id, outerId, type, message, parsedStack}`, the outermost
    error first, in each stack the innermost frame first.
    """
    chain = list(_chain(error))
    frames = [_frames(each) for each in chain]
    methods = [found[0]["method"] if found else None for found in frames]
    return {
        "problemId": f"{_type(chain[0])} at {methods[0] or 'unknown'}",
        "type": _type(chain[0]),
        "message": _message(chain[0]),
        "method": methods[0],
        "assembly": frames[0][0]["assembly"] if frames[0] else None,
        "outerType": _type(chain[0]),
        "outerMessage": _message(chain[0]),
        "outerMethod": methods[0],
        "innermostType": _type(chain[-1]),
        "innermostMessage": _message(chain[-1]),
        "innermostMethod": methods[-1],
        "handledAt": "Platform",
        "severityLevel": 3,
        "details": [
            {"id": str(number), "outerId": str(number - 1), "type": _type(each), "message": _message(each), "parsedStack": stack}
            for number, (each, stack) in enumerate(zip(chain, frames, strict=True), 1)
        ],
    }


def _chain(error: BaseException) -> Iterator[BaseException]:
    each: BaseException | None = error
    for _ in range(CHAIN_LIMIT):
        if each is None:
            return
        yield each
        each = each.__cause__ or (None if each.__suppress_context__ else each.__context__)


def _frames(error: BaseException) -> list[dict[str, Any]]:
    found = traceback.extract_tb(error.__traceback__, limit=-FRAME_LIMIT)
    return [
        {"level": level, "method": frame.name, "assembly": Path(frame.filename).stem, "fileName": frame.filename, "line": frame.lineno}
        for level, frame in enumerate(reversed(found))
    ]


def _type(error: BaseException) -> str:
    kind = type(error)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _message(error: BaseException) -> str:
    try:
        message = str(error)
    except Exception:  # an error whose text cannot be made is one that must be reported all the same
        message = ""
    return text(message)[:MESSAGE_LIMIT_CHARACTERS]


def text(value: str) -> str:
    """The text such that it can be written as UTF-8, whatever names of files or messages hold."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return value.encode(errors="backslashreplace").decode()
    return value
