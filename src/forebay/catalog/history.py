"""Rebuilds documents and versions from their events: the proof that the history is the truth."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from typing import Any

import msgspec

from forebay.database import Transaction


@dataclass(slots=True)
class Rebuilt:
    """A document as its events tell it."""

    status: str = "received"
    reason: str | None = None
    sha256: str | None = None
    chunk_count: int = 0
    language: str | None = None
    current_number: int | None = None
    newest_arrival: int = 0
    versions: dict[int, tuple[str, int, int, int | None]] = field(default_factory=dict)  # number: sha256, chunks, from, to

    def apply(self, kind: str, arrival_sequence: int, at: int, data: dict[str, Any]) -> None:
        """Take one event into account; a document shows the status of its newest arrival only."""
        is_newest = arrival_sequence >= self.newest_arrival
        if kind in ("DocumentUploaded", "DeletionRequested"):
            self.newest_arrival = arrival_sequence
            self.status, self.reason = "received", None
            return
        if kind == "DocumentIndexed":
            self._close(at)
            self.current_number = data["version"]
            self.versions[data["version"]] = (data["sha256"], data["chunks"], at, None)
            self.sha256, self.chunk_count, self.language = data["sha256"], data["chunks"], data["language"]
        elif kind in ("DocumentSkipped", "DocumentDeleted"):
            self._close(at)
            self.current_number = None
            self.sha256, self.chunk_count, self.language = None, 0, None
        if not is_newest:
            return
        new_status = {
            "ProcessingStarted": "processing",
            "DocumentIndexed": "indexed",
            "DocumentUnchanged": "indexed",
            "DocumentSkipped": "skipped",
            "DocumentFailed": "failed",
            "DocumentDeleted": "deleted",
        }.get(kind)
        if new_status is not None:
            self.status = new_status
            self.reason = data.get("reason")

    def _close(self, at: int) -> None:
        if self.current_number is not None:
            sha256, chunks, valid_from, _ = self.versions[self.current_number]
            self.versions[self.current_number] = (sha256, chunks, valid_from, at)


def rebuild(connection: sqlite3.Connection) -> dict[str, Rebuilt]:
    """Every document, folded from its events in their order."""
    found: dict[str, Rebuilt] = {}
    rows = connection.execute("SELECT document_id, type, arrival_sequence, at, data FROM events ORDER BY sequence")
    for document_id, kind, arrival_sequence, at, data in rows:
        found.setdefault(document_id, Rebuilt()).apply(kind, arrival_sequence, at, msgspec.json.decode(data))
    return found


def check_history(connection: sqlite3.Connection) -> dict[str, Any]:
    """Compare the tables of documents and versions with what the events tell.

    Returns `{"ok", "checked": {...}, "problems": [{"code", "document_id", "message"}]}`.
    """
    rebuilt = rebuild(connection)
    problems: list[dict[str, Any]] = []
    documents = connection.execute(
        "SELECT d.id, d.status, d.reason, d.sha256, d.chunk_count, d.language, v.number, d.newest_arrival"
        " FROM documents d LEFT JOIN versions v ON v.id = d.current_version"
    ).fetchall()
    for identity, *stored in documents:
        told = rebuilt.get(identity, Rebuilt())
        expected = [told.status, told.reason, told.sha256, told.chunk_count, told.language, told.current_number, told.newest_arrival]
        if stored != expected:
            problems.append(_problem("document_differs", identity, f"the table has {stored}, the events tell {expected}"))
    versions: dict[str, dict[int, tuple[str, int, int, int | None]]] = {}
    for identity, number, sha256, chunks, valid_from, valid_to in connection.execute(
        "SELECT document_id, number, sha256, chunk_count, valid_from, valid_to FROM versions WHERE valid_from IS NOT NULL"
    ):
        versions.setdefault(identity, {})[number] = (sha256, chunks, valid_from, valid_to)
    for identity in versions.keys() | rebuilt.keys():
        told_versions = rebuilt[identity].versions if identity in rebuilt else {}
        if versions.get(identity, {}) != told_versions:
            problems.append(_problem("versions_differ", identity, "the table of versions is not what the events tell"))
    missing = rebuilt.keys() - {row[0] for row in documents}
    problems += [
        _problem("document_missing", identity, "the events tell of a document that the table does not have") for identity in missing
    ]
    event_count = connection.execute("SELECT count(*) FROM events").fetchone()[0]
    checked = {"documents": len(documents), "versions": sum(len(each) for each in versions.values()), "events": event_count}
    return {"ok": not problems, "checked": checked, "problems": problems}


def _problem(code: str, document_id: str, message: str) -> dict[str, Any]:
    return {"code": code, "document_id": document_id, "message": message}


def repair_documents(tx: Transaction) -> None:
    """Make the table of documents what the events tell; versions are left alone, for they name chunks."""
    for identity, told in rebuild(tx.connection).items():
        tx.execute(
            "UPDATE documents SET status = ?, reason = ?, sha256 = ?, chunk_count = ?, language = ?, newest_arrival = ?, current_version ="
            " (SELECT id FROM versions WHERE document_id = documents.id AND number = ? AND valid_from IS NOT NULL) WHERE id = ?",
            (
                told.status,
                told.reason,
                told.sha256,
                told.chunk_count,
                told.language,
                told.newest_arrival,
                told.current_number,
                identity,
            ),
        )
