"""Which project a blob belongs to: containers are flat, projects are not."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

# where it arrived, or where it was moved to; the newest arrival decides
_PROJECTS = """
    SELECT j.value, coalesce(
        (SELECT project FROM arrivals WHERE place = :container AND blob_name = j.value ORDER BY sequence DESC LIMIT 1),
        (SELECT project FROM arrivals WHERE target_name = j.value ORDER BY sequence DESC LIMIT 1))
    FROM json_each(:names) j"""


def projects_of_blobs(connection: sqlite3.Connection, container: str, names: Sequence[str]) -> dict[str, str | None]:
    """The project of each blob; None for one that never arrived, as whatever is stored outside the intake container."""
    return dict(connection.execute(_PROJECTS, {"container": container, "names": json.dumps(list(names))}).fetchall())
