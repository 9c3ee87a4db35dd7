"""API keys and whoever calls with one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal, get_args

from forebay.effects import Randomness
from forebay.errors import ForebayError

Scope = Literal["read", "ingest", "write", "manage", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)

ID_BYTES = 6
SECRET_BYTES = 32  # random, so that SHA-256 is enough
_PREFIX = "fb"


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A key without its secret. Times are microseconds since the epoch."""

    id: str
    name: str
    project: str
    scopes: frozenset[Scope]
    digest: bytes
    created_at: int
    expires_at: int | None
    revoked_at: int | None
    replaced_by: str | None
    last_used_at: int | None

    def is_valid_at(self, now_us: int) -> bool:
        """Whether it opens anything."""
        return self.revoked_at is None and (self.expires_at is None or now_us < self.expires_at)

    def caller(self) -> Caller:
        """Who calls with it."""
        return Caller(actor=f"key:{self.id}", project=self.project, scopes=self.scopes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who calls, and what that may do."""

    actor: str  # as the history names it
    project: str | None  # None: any
    scopes: frozenset[Scope]

    def may(self, scope: Scope) -> bool:
        """Whether `scope` is given, or all are."""
        return scope in self.scopes or "admin" in self.scopes


def new_secret(random: Randomness) -> tuple[str, str]:
    """A new key's id, and the key itself: `fb_<id>_<secret>`."""
    identity = random.hex(ID_BYTES)
    return identity, f"{_PREFIX}_{identity}_{random.hex(SECRET_BYTES)}"


def id_in(presented: str) -> str | None:
    """The id in something that looks like one of our keys."""
    prefix, _, rest = presented.partition("_")
    identity, separator, _ = rest.partition("_")
    return identity if prefix == _PREFIX and separator else None


def digest_of(presented: str) -> bytes:
    """What is kept of a key."""
    return hashlib.sha256(presented.encode("utf-8", "surrogatepass")).digest()


def checked_scopes(scopes: list[str]) -> frozenset[Scope]:
    """Raise `ForebayError` (`invalid_scope`) for what is no scope, and for none."""
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown or not scopes:
        raise ForebayError(
            "invalid_scope", f"expected scopes out of {', '.join(SCOPES)}, got {', '.join(map(repr, unknown)) or 'none'}", status=422
        )
    return frozenset(scope for scope in SCOPES if scope in scopes)
