"""The keys that open the API: those of the settings, and those that were made."""

from __future__ import annotations

import asyncio
import dataclasses
import hmac
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from forebay.database import Database, Transaction
from forebay.effects import Effects
from forebay.errors import ForebayError
from forebay.server.keys import store
from forebay.server.keys.key import Caller, Key, Scope, digest_of, id_in, new_secret
from forebay.settings import Settings
from forebay.telemetry.observe.observation import Observation

log = logging.getLogger(__name__)

ADMIN, CONFIGURED, INGESTION = "admin", "configured", "ingestion"  # what the history calls whoever has a key of the settings
USE_NOTED_EVERY_US = 60_000_000
NAME_LIMIT = 200  # characters
KEY_LIMIT = 10_000  # that are kept in memory


class KeyRing:
    """Knows every key. Open it before use; it is changed only through this object."""

    def __init__(
        self, database: Database, effects: Effects, fixed: Mapping[str, Caller], *, observation: Observation | None = None
    ) -> None:
        """`fixed` has the callers of the keys that the settings give; changes are told to `observation`."""
        self._observation = observation or Observation()
        self._database = database
        self._effects = effects
        self._fixed = [(digest_of(key), caller) for key, caller in fixed.items()]
        self._keys: dict[str, Key] = {}
        self._uses: set[asyncio.Task[None]] = set()
        self._changing = asyncio.Lock()  # lest a look from before another change replaces what came after it

    async def open(self) -> None:
        """Load what was made earlier."""
        self._keys = {key.id: key for key in await self._database.readers.run(store.all_keys)}

    def caller_of(self, presented: str) -> Caller | None:
        """Who calls with this key, if it opens anything; takes as long for a key that is nearly right as for any other."""
        digest = digest_of(presented)
        found = [caller for known, caller in self._fixed if hmac.compare_digest(digest, known)]
        if found:
            return found[0]
        key = self._keys.get(id_in(presented) or "")
        if key is None or not hmac.compare_digest(digest, key.digest):
            return None
        now_us = self._effects.clock.now_us()
        if not key.is_valid_at(now_us):
            return None
        if now_us - (key.last_used_at or 0) > USE_NOTED_EVERY_US:
            self._note_use(key, now_us)
        return key.caller()

    def keys(self, project: str | None = None) -> Sequence[Key]:
        """Every key, or those of a project, oldest first."""
        return [key for key in self._keys.values() if project is None or key.project == project]

    def project_of(self, key_id: str) -> str | None:
        """The project of a key; None when there is no such key."""
        return self._keys[key_id].project if key_id in self._keys else None

    async def create(
        self, *, name: str, project: str, scopes: frozenset[Scope], lifetime_seconds: float | None, actor: str
    ) -> tuple[Key, str]:
        """A new key, and its secret, which is shown this once. Raises `ForebayError` (`invalid_key_name`, `too_many_keys`)."""
        if not 1 <= len(name.strip()) <= NAME_LIMIT or not name.isprintable():
            raise ForebayError(
                "invalid_key_name", f"expected a name of 1 to {NAME_LIMIT} printable characters, got {name!r:.80}", status=422
            )
        if len(self._keys) >= KEY_LIMIT:
            raise ForebayError("too_many_keys", f"there are {len(self._keys)} keys, and {KEY_LIMIT} is the limit", status=409)
        expires_at = None if lifetime_seconds is None else self._effects.clock.now_us() + int(lifetime_seconds * 1e6)
        key, secret = self._new(name, project, scopes, expires_at)
        await self._change(lambda tx: store.insert_key(tx, key, actor))
        self._tell("key_created", key, actor, scopes=" ".join(sorted(scopes)))
        return self._keys[key.id], secret

    async def rotate(self, key_id: str, *, overlap_seconds: float, actor: str, project: str | None = None) -> tuple[Key, str]:
        """A key that follows another, with the same name, project, scopes and lifetime; the old one opens for a while yet.

        Raises `ForebayError` (`key_not_found`).
        """
        old = self._known(key_id, project)
        lifetime_us = None if old.expires_at is None else old.expires_at - old.created_at
        now_us = self._effects.clock.now_us()
        new, secret = self._new(old.name, old.project, old.scopes, None if lifetime_us is None else now_us + lifetime_us)
        until_us = now_us + int(overlap_seconds * 1e6)
        await self._change(lambda tx: store.replace_key(tx, key_id, new, actor, until_us))
        self._tell("key_rotated", old, actor, replaced_by=new.id)
        return self._keys[new.id], secret

    async def revoke(self, key_id: str, *, actor: str, project: str | None = None) -> Key:
        """Let a key open nothing any more. Raises `ForebayError` (`key_not_found`)."""
        key = self._known(key_id, project)
        await self._change(lambda tx: store.revoke_key(tx, key_id, actor))
        self._tell("key_revoked", key, actor)
        return self._keys[key_id]

    async def _change(self, unit: Callable[[Transaction], None]) -> None:
        async with self._changing:
            await self._database.writer.submit(unit)
            await self.open()

    def _tell(self, event: str, key: Key, actor: str, **more: str) -> None:
        self._observation.event(event, {"key_id": key.id, "key_name": key.name, "actor": actor, **more}, project=key.project)

    def _known(self, key_id: str, project: str | None) -> Key:
        key = self._keys.get(key_id)
        if key is None or (project is not None and key.project != project):
            raise ForebayError(
                "key_not_found", f"there is no key with the id {key_id!r}", hint="`forebay keys list` shows the ids", status=404
            )
        return key

    def _new(self, name: str, project: str, scopes: frozenset[Scope], expires_at: int | None) -> tuple[Key, str]:
        identity, secret = new_secret(self._effects.random)
        key = Key(
            id=identity,
            name=name,
            project=project,
            scopes=scopes,
            digest=digest_of(secret),
            created_at=self._effects.clock.now_us(),
            expires_at=expires_at,
            revoked_at=None,
            replaced_by=None,
            last_used_at=None,
        )
        return key, secret

    def _note_use(self, key: Key, at_us: int) -> None:
        self._keys[key.id] = dataclasses.replace(key, last_used_at=at_us)
        task = asyncio.get_running_loop().create_task(self._record_use(key.id, at_us))
        self._uses.add(task)
        task.add_done_callback(self._uses.discard)

    async def _record_use(self, key_id: str, at_us: int) -> None:
        try:
            await self._database.writer.submit(partial(store.note_use, key_id=key_id, at_us=at_us), bulk=True)
        except ForebayError as error:
            log.warning("the use of key %s was not noted: %s", key_id, error)


def fixed_keys(settings: Settings, admin_key: str) -> dict[str, Caller]:
    """The admin key, and those that the settings give."""
    everything: frozenset[Scope] = frozenset({"admin"})
    fixed: dict[str, Caller] = {}
    if settings.server.ingestion_api_key is not None:
        ingest = Caller(actor=INGESTION, project=settings.default_project, scopes=frozenset({"ingest"}))
        fixed[settings.server.ingestion_api_key.reveal()] = ingest
    if settings.server.api_key is not None:
        fixed[settings.server.api_key.reveal()] = Caller(actor=CONFIGURED, project=None, scopes=everything)
    fixed[admin_key] = Caller(actor=ADMIN, project=None, scopes=everything)
    return fixed
