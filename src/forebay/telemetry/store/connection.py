"""Opens the DuckDB file, closed to everything outside it, and says what its errors mean."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from forebay.errors import ForebayError
from forebay.telemetry.store.schema import migrate

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


# parts of DuckDB's messages
_DAMAGE = ("not a valid DuckDB", "Could not read enough bytes", "checksum", "orrupt", "erializ", "storage version", "replaying WAL")
_FULL = ("No space left", "File too large", "Disk quota")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreLimits:
    """What the tables may use of the machine."""

    memory_bytes: int = 512 << 20  # of inserts and queries together; more spills to disk, or the query fails
    threads: int = 2
    spill_bytes: int = 2 << 30  # of the disk, beside the file, while queries run
    checkpoint_bytes: int = 64 << 20  # of the write-ahead log; then it is written into the file


def connect(path: Path, limits: StoreLimits) -> DuckDBPyConnection:
    """Open or create the file, migrate it and lock its configuration.

    No connection to it can reach other files, the network, extensions or settings. Raises `ForebayError`: `telemetry_store_damaged`,
    `telemetry_store_locked`, `telemetry_store_unavailable`, `schema_too_new`.
    """
    import duckdb

    _remove_unbegun(path)
    try:
        connection = duckdb.connect(
            str(path),
            config={
                "enable_external_access": "false",
                "autoload_known_extensions": "false",
                "autoinstall_known_extensions": "false",
                "allow_community_extensions": "false",
                "memory_limit": f"{limits.memory_bytes >> 20}MiB",
                "threads": str(limits.threads),
                "max_temp_directory_size": f"{limits.spill_bytes >> 20}MiB",
                "checkpoint_threshold": f"{limits.checkpoint_bytes >> 20}MiB",
            },
        )
    except (duckdb.Error, OSError) as error:
        raise store_error(error, path) from error
    try:
        connection.execute("SET GLOBAL TimeZone = 'UTC'")
        connection.execute("SET lock_configuration = true")
        migrate(connection)
        protect(path)
    except duckdb.Error as error:
        connection.close()
        raise store_error(error, path) from error
    except BaseException:
        connection.close()
        raise
    return connection


def _remove_unbegun(path: Path) -> None:
    """DuckDB refuses the empty file that a full disk, or a kill, leaves of a first start."""
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size == 0 and not path.with_name(path.name + ".wal").exists():
            path.unlink()


def protect(path: Path) -> None:
    """Let only the owner read the file and its write-ahead log, which DuckDB makes anew after checkpoints."""
    for name in (path, path.with_name(path.name + ".wal")):
        with contextlib.suppress(FileNotFoundError):
            if name.stat().st_mode & 0o077:
                name.chmod(0o600)


def store_error(error: Exception, path: Path) -> ForebayError:
    """What an error of DuckDB outside of queries means to a user."""
    text = str(error).split("\n", 1)[0][:500]
    if "lock on file" in text:
        return ForebayError(
            "telemetry_store_locked",
            f"expected to be the only user of {path}, another process has it open: {text}",
            hint="stop the other program, such as a DuckDB shell that has the file open",
            retryable=True,
            status=503,
        )
    if any(sign in text for sign in _DAMAGE) and not any(sign in text for sign in _FULL):
        return ForebayError(
            "telemetry_store_damaged",
            f"{path} could not be opened as a telemetry store: {text}",
            hint="restore it from a backup, or move it and its .wal away: a new one is begun with what the telemetry log still holds",
            status=503,
        )
    return ForebayError(
        "telemetry_store_unavailable",
        f"the telemetry store could not be used: {text}",
        hint="check the disk's free space and the permissions of the data directory; it is tried again",
        retryable=True,
        status=503,
    )
