"""Where files come from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from forebay.intake.excludes import Excludes


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A folder whose files become documents: the intake container, or one that the user watches."""

    project: str
    source: str  # `incoming`, or the folder's absolute path
    root: Path
    container: str | None  # None for a watched folder
    prefix: str  # only names that begin with it count
    excludes: Excludes

    @property
    def key(self) -> str:
        """How the arrivals table names it."""
        return self.container or self.source

    @property
    def absence_deletes(self) -> bool:
        """Whether a file that is gone takes its document out of the index: blobs leave the intake container by themselves."""
        return self.container is None
