"""Writing for several instances in one unit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from forebay.database import Transaction, Writer
from forebay.errors import ForebayError

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


async def write_together(
    writer: Writer, items: list[Item], unit_for: Callable[[list[Item]], Callable[[Transaction], list[Outcome]]]
) -> list[Outcome | BaseException]:
    """What the unit for these items answers for each once that is durable, or why it could not be written.

    An item that cannot be written disturbs no other: when their unit raises, each gets one of its own.
    """
    try:
        return [*await writer.submit(unit_for(items))]
    except Exception as error:
        if len(items) == 1 or (isinstance(error, ForebayError) and error.code == "database_unavailable"):
            return [error] * len(items)
    alone = [writer.submit(unit_for([each])) for each in items]
    outcomes = await asyncio.gather(*alone, return_exceptions=True)
    return [outcome if isinstance(outcome, BaseException) else outcome[0] for outcome in outcomes]
