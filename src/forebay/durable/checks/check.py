"""Replays every instance of a journal or an export against registered code, before that code is deployed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from forebay.database.readers import open_reader, read_snapshot
from forebay.durable.checks.export import is_export, read_export
from forebay.durable.checks.shadow import Divergence, shadow_replay
from forebay.durable.journal import journal
from forebay.durable.journal.journal import INSTANCE_COLUMNS, History, InstanceRow, instance_row
from forebay.durable.registry import Registry
from forebay.errors import ForebayError

BATCH = 100  # instances of one snapshot: a longer one would keep the write-ahead log of a running engine from being reused

Instances = Iterator[tuple[InstanceRow, History]]


@dataclass(slots=True, kw_only=True)
class ReplayReport:
    """What a check has looked at, and what it found."""

    total: int | None = None  # instances there were when it began, where that is known
    instance_count: int = 0  # replayed
    running_count: int = 0  # of these: not ended
    unregistered_count: int = 0  # ended ones whose orchestrator is not registered any more: nothing can go wrong with them
    divergences: list[Divergence] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether no instance would diverge."""
        return not self.divergences


def check_replay(registry: Registry, path: Path | str, *, shown: Callable[[ReplayReport], None] | None = None) -> ReplayReport:
    """Replay all instances of an engine's SQLite file, or of an export, against the orchestrators of `registry`.

    Reads only, also while an engine runs on the file; each instance is seen as of one moment. Activities are not called. `shown` gets
    the report as far as it is after each instance. Raises `ForebayError`: `journal_unreadable`, `invalid_export`.
    """
    report = ReplayReport()
    with recorded_instances(Path(path)) as (total, instances):
        report.total = total
        for row, history in instances:
            found = shadow_replay(registry, row, history)
            report.instance_count += 1
            report.running_count += not row.is_over
            report.unregistered_count += found == "unregistered"
            if isinstance(found, Divergence):
                report.divergences.append(found)
            if shown is not None:
                shown(report)
    return report


@contextmanager
def recorded_instances(path: Path) -> Iterator[tuple[int | None, Instances]]:
    """The instances of a SQLite file, oldest first, or of an export; how many there are, where that is known.

    Raises `ForebayError`: `journal_unreadable`, `invalid_export`.
    """
    with ExitStack() as stack:
        with _readable(path):
            file = stack.enter_context(path.open("rb"))
            beginning = file.read(64)
            file.seek(0)
        if is_export(beginning):
            yield None, read_export(file)
            return
        with _readable(path):
            connection = stack.enter_context(closing(open_reader(path)))
            (count,) = connection.execute("SELECT count(*) FROM instances").fetchone()
        yield count, _of_journal(path, connection)


def _of_journal(path: Path, connection: sqlite3.Connection) -> Instances:
    after = 0
    while True:
        with _readable(path):
            batch = _batch(connection, after)
        if not batch:
            return
        yield from batch
        after = batch[-1][0].key


def _batch(connection: sqlite3.Connection, after: int) -> list[tuple[InstanceRow, History]]:
    def read(connection: sqlite3.Connection) -> list[tuple[InstanceRow, History]]:
        query = f"SELECT {INSTANCE_COLUMNS} FROM instances i WHERE i.key > ? ORDER BY i.key LIMIT {BATCH}"
        rows = [instance_row(row) for row in connection.execute(query, (after,)).fetchall()]
        return [(row, journal.load_history(connection, row.key)) for row in rows]

    return read_snapshot(connection, read)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        raise ForebayError(
            "journal_unreadable",
            f"expected the journal of an engine, or an export, in {path}, but: {error}",
            hint="Name the SQLite file of an engine; if an older version wrote it, start the engine on it once.",
            status=422,
        ) from error
