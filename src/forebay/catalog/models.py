"""Whose vectors the index keeps: the model that searches go by, and the one that is being built to follow it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from forebay.database import Transaction

Recipe = Mapping[str, str | int | None]  # the settings that make an embedder again, without secrets

_WITHOUT_VECTOR = """
    FROM versions v CROSS JOIN documents d ON d.id = v.document_id AND d.current_version = v.id CROSS JOIN chunks c ON c.version_id = v.id
    WHERE v.valid_from > :after AND NOT EXISTS (SELECT 1 FROM vectors x WHERE x.text_id = c.text_id AND x.model = :model)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchedModel:
    """The model that searches go by."""

    id: str
    made_by: Recipe
    is_complete: bool  # False: it came into use before every text had a vector of it


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltModel:
    """The model whose vectors are being made."""

    id: str
    made_by: Recipe
    instance_id: str  # of the orchestration that makes them


def searched_model(connection: sqlite3.Connection) -> SearchedModel | None:
    """The model that searches go by; None before the first start."""
    row = connection.execute("SELECT id, made_by, is_complete FROM models WHERE role = 'searched'").fetchone()
    return None if row is None else SearchedModel(id=row[0], made_by=json.loads(row[1]), is_complete=bool(row[2]))


def built_model(connection: sqlite3.Connection) -> BuiltModel | None:
    """The model whose vectors are being made, if there is one."""
    row = connection.execute("SELECT id, made_by, instance_id FROM models WHERE role = 'built'").fetchone()
    return None if row is None else BuiltModel(id=row[0], made_by=json.loads(row[1]), instance_id=row[2])


def models_in_use(connection: sqlite3.Connection) -> list[str]:
    """The ids of the models of which new texts need vectors, the one that searches go by first."""
    return [model for (model,) in connection.execute("SELECT id FROM models GROUP BY id ORDER BY max(role) DESC")]


def search_by(tx: Transaction, model: str, made_by: Recipe, *, is_complete: bool) -> None:
    """Let searches go by `model` from this commit on."""
    tx.execute(
        "INSERT OR REPLACE INTO models (role, id, made_by, is_complete) VALUES ('searched', ?, ?, ?)",
        (model, json.dumps(made_by), is_complete),
    )


def build(tx: Transaction, model: str, made_by: Recipe, instance_id: str) -> None:
    """Let new texts get vectors of `model` too, from this commit on."""
    tx.execute(
        "INSERT OR REPLACE INTO models (role, id, made_by, instance_id) VALUES ('built', ?, ?, ?)",
        (model, json.dumps(made_by), instance_id),
    )


def stop_building(tx: Transaction) -> None:
    """What was being built is not wanted any more; its vectors stay until the next change of models."""
    tx.execute("DELETE FROM models WHERE role = 'built'")


def count_texts_without_vector(connection: sqlite3.Connection, model: str) -> int:
    """How many texts of current versions have no vector of `model`."""
    return int(connection.execute(f"SELECT count(DISTINCT c.text_id) {_WITHOUT_VECTOR}", {"model": model, "after": -1}).fetchone()[0])


def texts_without_vector(connection: sqlite3.Connection, model: str, *, after_us: int = -1, limit: int) -> list[int]:
    """The ids of at most `limit` of them, of versions that became current after a time."""
    rows = connection.execute(
        f"SELECT DISTINCT c.text_id {_WITHOUT_VECTOR} ORDER BY c.text_id LIMIT :limit", {"model": model, "after": after_us, "limit": limit}
    )
    return [text_id for (text_id,) in rows]


def newest_version_at(connection: sqlite3.Connection) -> int:
    """When the newest version became current, in microseconds since the epoch."""
    return int(connection.execute("SELECT coalesce(max(valid_from), 0) FROM versions").fetchone()[0])


def texts_by_id(connection: sqlite3.Connection, text_ids: Sequence[int], model: str) -> list[tuple[int, str]]:
    """(text id, text) of those that have no vector of `model`; ids of texts that are gone are left out."""
    return connection.execute(
        "SELECT t.id, t.text FROM json_each(?) j CROSS JOIN texts t ON t.id = j.value"
        " WHERE NOT EXISTS (SELECT 1 FROM vectors x WHERE x.text_id = t.id AND x.model = ?)",
        (json.dumps(list(text_ids)), model),
    ).fetchall()


def drop_unused_vectors(tx: Transaction, first_text_id: int, limit: int) -> int | None:
    """Remove at most `limit` vectors of models that are not in use, from a text on; return where to go on, None when done."""
    rows = tx.execute(
        "SELECT text_id, model FROM vectors WHERE text_id >= ? AND model NOT IN (SELECT id FROM models) ORDER BY text_id LIMIT ?",
        (first_text_id, limit),
    ).fetchall()
    tx.execute_many("DELETE FROM vectors WHERE text_id = ? AND model = ?", rows)
    return int(rows[-1][0]) if len(rows) == limit else None


def outdated_documents(connection: sqlite3.Connection, recipe: str, *, after_version: int, limit: int) -> list[tuple[int, str]]:
    """(version id, document id) of current versions that were cut by another recipe, from a version on, oldest first."""
    return connection.execute(
        "SELECT v.id, d.id FROM versions v CROSS JOIN documents d ON d.current_version = v.id AND d.id = v.document_id"
        " WHERE v.id > ? AND v.valid_to IS NULL AND v.recipe != ? AND d.status = 'indexed' ORDER BY v.id LIMIT ?",
        (after_version, recipe, limit),
    ).fetchall()


def count_outdated_documents(connection: sqlite3.Connection, recipe: str) -> int:
    """How many current versions were cut by another recipe."""
    found = connection.execute(
        "SELECT count(*) FROM documents d CROSS JOIN versions v ON v.id = d.current_version WHERE v.recipe != ? AND d.status = 'indexed'",
        (recipe,),
    )
    return int(found.fetchone()[0])
