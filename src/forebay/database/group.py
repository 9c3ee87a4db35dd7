"""Group commit: many units of writing, one transaction, one fdatasync."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterable
from typing import Any

from forebay.database.transaction import Transaction
from forebay.effects import Clock
from forebay.errors import ForebayError

Unit = Callable[[Transaction], Any]

# what a statement meets that is the file's, the disk's or the memory's fault and never that of the unit that ran it
_ENVIRONMENT_CODES = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_READONLY,
}


class GroupCommitter:
    """Runs units in savepoints of one transaction and commits them together."""

    def __init__(self, connection: sqlite3.Connection, clock: Clock) -> None:
        self._connection = connection
        self._clock = clock
        self._last_us = 0
        self._floor_us = 0  # apart from `_last_us`, which belongs to the thread that commits

    def not_before(self, time_us: int) -> None:
        """Make every later transaction time greater than `time_us`."""
        self._floor_us = max(self._floor_us, time_us)

    def commit(self, units: Iterable[Unit]) -> list[Any | BaseException]:
        """Run the units in order; the answer holds what each returned, or the exception that it raised.

        Guarantees: the units that did not raise are durable when this returns, or none is and every one holds an
        exception. A unit that raises leaves no trace and disturbs no other.
        """
        self._last_us = max(self._last_us + 1, self._floor_us + 1, self._clock.now_us())
        transaction = Transaction(self._connection, self._last_us)
        try:
            self._roll_back()
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            return [database_unavailable(error) for _ in units]
        outcomes: list[Any | BaseException] = []
        begun = 0
        try:
            for unit in units:
                begun += 1
                outcomes.append(self._run(unit, transaction))
            self._connection.execute("COMMIT")
        except BaseException as error:
            with contextlib.suppress(sqlite3.Error):  # the next commit tries again
                self._roll_back()
            if not isinstance(error, sqlite3.Error):
                raise
            own = [outcome if isinstance(outcome, BaseException) else database_unavailable(error) for outcome in outcomes]
            return own + [database_unavailable(error)] * (begun - len(own))
        return outcomes

    def _run(self, unit: Unit, transaction: Transaction) -> Any | BaseException:
        self._connection.execute("SAVEPOINT unit")
        try:
            outcome = unit(transaction)
        except BaseException as error:  # also what is no `Exception`, such as a panic of an extension: the writer must live on
            if not self._connection.in_transaction:
                # a full disk or an I/O error makes SQLite roll the whole transaction back, neighbours included
                raise sqlite3.OperationalError(str(error)) from error
            self._connection.execute("ROLLBACK TO unit")
            is_environment = isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", 0) & 0xFF in _ENVIRONMENT_CODES
            outcome = database_unavailable(error) if is_environment else error
            if isinstance(error, StopIteration) or not isinstance(error, Exception):
                # neither could travel through a future: the first is refused, the others would end the caller's loop
                outcome = RuntimeError(f"a unit raised {error!r}")
                outcome.__cause__ = error
        self._connection.execute("RELEASE unit")
        return outcome

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")


def database_unavailable(error: BaseException) -> ForebayError:
    """The error of a write that did not become durable."""
    return ForebayError(
        "database_unavailable",
        f"the database could not commit: {error}",
        retryable=True,
        hint="check free space and permissions of the data directory; work goes on by itself when writes succeed again",
        status=503,
    )
