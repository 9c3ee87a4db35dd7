"""The compiler as an engine that answers `(columns, rows, types)`."""

from __future__ import annotations

from typing import Any

from running import run as run_query

from forebay.telemetry.kql.errors import KqlError

REFUSALS = (KqlError,)


def run(text: str) -> tuple[list[str], list[tuple[Any, ...]], list[str]]:
    answer = run_query(text)
    return answer.columns, answer.rows, list(answer.types)
