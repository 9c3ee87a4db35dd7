"""Rows on their way to the tables: how they are put into the telemetry log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from forebay.telemetry.log.port import Entry
from forebay.values.times import to_microseconds

Row = Mapping[str, Any]  # column -> JSON value; an absent column is null
Rows = Mapping[str, Sequence[Any]]  # table -> rows; or another shape that the store knows -> what has it

_ENCODER = msgspec.json.Encoder(order=None)


def entry_of(
    topic: str, rows: Rows, *, project: str, source: str, received: datetime, key: str | None = None, agent: str | None = None
) -> Entry:
    """Rows as an entry of the log; entries with the same `key` get into the tables once, `agent` is the `sdkVersion` of rows without."""
    headers = {"project": project, "source": source, "received": str(to_microseconds(received))}
    if key is not None:
        headers["key"] = key
    if agent is not None:
        headers["agent"] = agent
    return Entry(topic=topic, payload=_ENCODER.encode(rows), record_count=sum(map(len, rows.values())), headers=headers)


def time_text(moment: datetime) -> str:
    """A time as rows have it: UTC, to the microsecond, without a zone. A time without a zone is taken for UTC."""
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    return moment.isoformat(timespec="microseconds")
