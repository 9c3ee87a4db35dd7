"""Which dead letters: by what they say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from forebay.durable.journal.dead_letters import LetterKind, LetterStatus
from forebay.values.times import to_microseconds


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterFilter:
    """Which dead letters; None: any."""

    kind: LetterKind | None = None
    name: str | None = None  # of what failed
    orchestrator: str | None = None
    code: str | None = None
    projects: Sequence[str | None] | None = None  # None among them: of no project
    since: datetime | None = None  # whose last try failed then or later
    status: LetterStatus | None = "open"

    def where(self) -> tuple[str, list[Any]]:
        """A condition on `dead_letters`, and its parameters."""
        exact = {"kind": self.kind, "name": self.name, "orchestrator": self.orchestrator, "code": self.code, "status": self.status}
        texts = [f"{column} = ?" for column, value in exact.items() if value is not None]
        values: list[Any] = [value for value in exact.values() if value is not None]
        if self.since is not None:
            texts.append("last_failed_at >= ?")
            values.append(to_microseconds(self.since))
        if self.projects is not None:
            named = [each for each in self.projects if each is not None]
            is_projectless = " OR project IS NULL" if None in self.projects else ""
            texts.append(f"(project IN ({', '.join('?' * len(named))}){is_projectless})")
            values += named
        return " AND ".join(texts) or "1", values
