"""What is known of the files at a place, for the comparison with what is there."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Known:
    """One arrival, as the newest at its place under its name."""

    sequence: int
    project: str
    source: str
    etag: str | None
    kind: str
    outcome: str | None
    reason: str | None
    settled_at_us: int  # 0 while it is in flight


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest arrival of every blob name that ever arrived at a place; the rest of them is read for what differs."""

    sequences: dict[str, int]  # by blob name
    etags: dict[str, str | None]  # by the same names; None where even a file with the same ETag may be news


def newest_at(
    connection: sqlite3.Connection, place: str, *, project: str, passing: Collection[str], only: Collection[str] | None = None
) -> Newest:
    """The newest arrivals at a place, or only those of some names and what is below them.

    Their ETag counts while the arrival belongs to `project` and did not end for one of the `passing` reasons, which may be
    over without any change of the file.
    """
    reasons = json.dumps(sorted(passing))
    etag = "CASE WHEN project = ? AND (reason IS NULL OR reason NOT IN (SELECT value FROM json_each(?))) THEN etag END"
    # the other columns are those of the row that has the maximum (sqlite.org/lang_select.html, "bare columns")
    newest = f"SELECT blob_name, max(sequence), {etag} FROM arrivals WHERE place = ?"
    rows: list[tuple[str, int, str | None]] = []
    if only is None:
        rows = connection.execute(f"{newest} GROUP BY blob_name", (project, reasons, place)).fetchall()
    for name in only or ():
        rows += connection.execute(f"{newest} AND blob_name = ? GROUP BY blob_name", (project, reasons, place, name)).fetchall()
        # "0" follows "/"
        below = (project, reasons, place, f"{name}/", f"{name}0")
        rows += connection.execute(f"{newest} AND blob_name > ? AND blob_name < ? GROUP BY blob_name", below).fetchall()
    return Newest({name: sequence for name, sequence, _ in rows}, {name: etag for name, _, etag in rows})


def known_arrivals(connection: sqlite3.Connection, sequences: Collection[int]) -> dict[int, Known]:
    """What is known of some arrivals, by sequence; their outcomes may be younger than the `Newest` that named them."""
    rows: list[tuple[Any, ...]] = connection.execute(
        "SELECT sequence, project, source, etag, kind, outcome, reason, coalesce(settled_at, 0) FROM arrivals"
        " WHERE sequence IN (SELECT value FROM json_each(?))",
        (json.dumps(list(sequences)),),
    ).fetchall()
    return {row[0]: Known(*row) for row in rows}
