"""The keys in catalog.db, and the record of every change."""

from __future__ import annotations

import json
import sqlite3
from importlib.resources import files
from typing import Any

from forebay.database import Transaction
from forebay.database.migrations import Migration
from forebay.errors import ForebayError
from forebay.server.keys.key import Key

_COLUMNS = "id, name, project, scopes, digest, created_at, expires_at, revoked_at, replaced_by, last_used_at"


def schema() -> list[Migration]:
    """The migrations of the keys' tables."""
    return [files("forebay.server.keys").joinpath("schema.sql").read_text()]


def all_keys(connection: sqlite3.Connection) -> list[Key]:
    """Every key that ever was, oldest first."""
    rows = connection.execute(f"SELECT {_COLUMNS} FROM api_keys ORDER BY created_at, id")
    return [_key(row) for row in rows]


def insert_key(tx: Transaction, key: Key, actor: str) -> None:
    """Add a key."""
    tx.execute(
        f"INSERT INTO api_keys ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            key.id,
            key.name,
            key.project,
            " ".join(sorted(key.scopes)),
            key.digest,
            key.created_at,  # by the clock that ends its life, too; the time of commits may be ahead of it
            key.expires_at,
            None,
            None,
            None,
        ),
    )
    data = {"name": key.name, "project": key.project, "scopes": sorted(key.scopes), "expires_at": key.expires_at}
    _record(tx, key.id, "KeyCreated", actor, data)


def replace_key(tx: Transaction, old_id: str, new: Key, actor: str, until_us: int) -> None:
    """Add the key that follows another, which opens until a time, at most until its own end.

    Raises `ForebayError` (`key_not_found`), also for a key that has a successor: only that one still has the lifetime of both.
    """
    _valid_key(tx, old_id)
    (successor,) = tx.execute("SELECT replaced_by FROM api_keys WHERE id = ?", (old_id,)).fetchone()
    if successor is not None:
        raise ForebayError(
            "key_not_found",
            f"expected a key that has not been rotated, {old_id!r} was replaced by {successor!r}",
            hint=f"Rotate {successor} instead.",
            status=404,
        )
    insert_key(tx, new, actor)
    tx.execute(
        "UPDATE api_keys SET replaced_by = ?, expires_at = min(coalesce(expires_at, ?), ?) WHERE id = ?",
        (new.id, until_us, until_us, old_id),
    )
    _record(tx, old_id, "KeyRotated", actor, {"replaced_by": new.id, "until": until_us})


def revoke_key(tx: Transaction, key_id: str, actor: str) -> None:
    """Let a key open nothing from now on. Raises `ForebayError` (`key_not_found`)."""
    _valid_key(tx, key_id)
    tx.execute("UPDATE api_keys SET revoked_at = ? WHERE id = ?", (tx.now_us, key_id))
    _record(tx, key_id, "KeyRevoked", actor, {})


def note_use(tx: Transaction, key_id: str, at_us: int) -> None:
    """Remember when a key was used last."""
    tx.execute("UPDATE api_keys SET last_used_at = max(coalesce(last_used_at, 0), ?) WHERE id = ?", (at_us, key_id))


def _valid_key(tx: Transaction, key_id: str) -> None:
    if tx.execute("SELECT 1 FROM api_keys WHERE id = ? AND revoked_at IS NULL", (key_id,)).fetchone() is None:
        raise ForebayError(
            "key_not_found", f"there is no valid key with the id {key_id!r}", hint="`forebay keys list` shows the ids", status=404
        )


def _record(tx: Transaction, key_id: str, kind: str, actor: str, data: dict[str, Any]) -> None:
    tx.execute(
        "INSERT INTO api_key_events (key_id, type, at, actor, data) VALUES (?, ?, ?, ?, ?)",
        (key_id, kind, tx.now_us, actor, json.dumps(data)),
    )


def _key(row: tuple[Any, ...]) -> Key:
    identity, name, project, scopes, digest, created_at, expires_at, revoked_at, replaced_by, last_used_at = row
    return Key(
        id=identity,
        name=name,
        project=project,
        scopes=frozenset(scopes.split()),
        digest=digest,
        created_at=created_at,
        expires_at=expires_at,
        revoked_at=revoked_at,
        replaced_by=replaced_by,
        last_used_at=last_used_at,
    )
