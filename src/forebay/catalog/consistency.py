"""What must be true between the catalog's own tables whenever nothing is in flight."""

from __future__ import annotations

import sqlite3
from typing import Any

# code: a query of (document id, what is wrong); no rows, no problem
_CHECKS = {
    "chunk_missing": """
        SELECT d.id, v.chunk_count || ' chunks expected, ' || count(c.id) || ' found'
        FROM documents d JOIN versions v ON v.id = d.current_version LEFT JOIN chunks c ON c.version_id = v.id
        GROUP BY d.id HAVING count(c.id) != v.chunk_count""",
    "text_missing": """
        SELECT v.document_id, 'a chunk has no text'
        FROM chunks c JOIN versions v ON v.id = c.version_id LEFT JOIN texts t ON t.id = c.text_id WHERE t.id IS NULL""",
    "full_text_missing": """
        SELECT d.id, 'a chunk is not in the full text'
        FROM documents d JOIN chunks c ON c.version_id = d.current_version WHERE c.in_search = 0""",
    "full_text_stale": """
        SELECT v.document_id, 'a chunk of another version is in the full text'
        FROM chunks c JOIN versions v ON v.id = c.version_id JOIN documents d ON d.id = v.document_id
        WHERE c.in_search = 1 AND v.id IS NOT d.current_version AND v.valid_from IS NOT NULL""",
    "version_open": """
        SELECT v.document_id, 'a version is valid but not current'
        FROM versions v JOIN documents d ON d.id = v.document_id
        WHERE v.valid_from IS NOT NULL AND v.valid_to IS NULL AND v.id IS NOT d.current_version""",
}


def check_tables(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    """Every contradiction between documents, versions, chunks, texts and full text."""
    problems: list[dict[str, Any]] = []
    for code, sql in _CHECKS.items():
        problems += [{"code": code, "document_id": identity, "message": message} for identity, message in connection.execute(sql)]
    indexed = connection.execute("SELECT count(*) FROM chunk_search_docsize").fetchone()[0]
    flagged = connection.execute("SELECT count(*) FROM chunks WHERE in_search = 1").fetchone()[0]
    if indexed != flagged:
        message = f"the full text has {indexed} rows, {flagged} chunks are marked as being in it"
        problems.append({"code": "full_text_differs", "document_id": None, "message": message})
    return problems
