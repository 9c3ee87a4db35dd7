"""Which documents a search may answer from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from forebay.errors import ForebayError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchFilters:
    """Conditions that all have to hold; None stands for any."""

    name: str | None = None  # exact
    name_prefix: str | None = None  # a folder, say; case and accents count
    content_type: str | None = None
    language: str | None = None
    source: str | None = None
    created_after: datetime | None = None  # inclusive
    created_before: datetime | None = None  # exclusive

    def __post_init__(self) -> None:
        """Refuse instants without a time zone and texts that no document can have."""
        for field in ("created_after", "created_before"):
            instant: datetime | None = getattr(self, field)
            if instant is not None and instant.tzinfo is None:
                raise ForebayError(
                    "invalid_filter",
                    f"expected {field} with a time zone, got {instant.isoformat()}",
                    hint="Append Z for UTC.",
                    status=422,
                )
        for field in ("name", "name_prefix", "content_type", "language", "source"):
            text: str | None = getattr(self, field)
            if text is not None and not is_unicode(text):
                raise ForebayError("invalid_filter", f"expected valid Unicode in {field}, got a lone surrogate", status=422)

    def conditions(self) -> list[tuple[str, str | int]]:
        """SQL conditions over `documents d`, each with the value of its one parameter."""
        found: list[tuple[str, str | int]] = []
        for column in ("name", "content_type", "language", "source"):
            value: str | None = getattr(self, column)
            if value is not None:
                found.append((f"d.{column} = ?", value))
        if self.name_prefix:
            found.append(("d.name >= ?", self.name_prefix))
            end = _after_prefix(self.name_prefix)
            if end is not None:
                found.append(("d.name < ?", end))
        if self.created_after is not None:
            found.append(("d.created_at >= ?", _microseconds(self.created_after)))
        if self.created_before is not None:
            found.append(("d.created_at < ?", _microseconds(self.created_before)))
        return found


def is_unicode(text: str) -> bool:
    """Whether the text can be stored and compared, that is, has no lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _after_prefix(prefix: str) -> str | None:
    """The smallest text greater than all that begin with `prefix`; None when there is none.

    SQLite compares UTF-8 bytes, whose order is that of code points. LIKE would know wildcards, and `substr` uses no index.
    """
    stem = prefix.rstrip("\U0010ffff")
    if not stem:
        return None
    # surrogates are no characters, so their range is stepped over
    following = 0xE000 if ord(stem[-1]) == 0xD7FF else ord(stem[-1]) + 1
    return stem[:-1] + chr(following)


def _microseconds(instant: datetime) -> int:
    return (instant - _EPOCH) // timedelta(microseconds=1)
