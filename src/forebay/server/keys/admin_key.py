"""The key that the first start makes, and what it takes to listen for other machines."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

from forebay.effects import Effects
from forebay.errors import ForebayError
from forebay.server.hosts import is_loopback
from forebay.settings import Settings

KEY_FILE = "admin.key"
KEY_BYTES = 32
SHORTEST_OPEN_KEY = 32  # characters; a key that strangers may guess at
_KEY_FILE_LIMIT_BYTES = 4096
_SHORTEST_STORED_KEY = 16


def load_or_create_admin_key(effects: Effects, data_dir: Path) -> str:
    """The key in `<data_dir>/admin.key`; on the first start a random one is written there, mode 0600.

    Raises `ForebayError` `admin_key_damaged` when the file holds something else than a key.

    *Guarantees*: the file appears whole or not at all, and one that exists is never overwritten.
    """
    path = effects.files.resolve(data_dir) / KEY_FILE
    try:
        stored, _ = effects.files.read(path, limit_bytes=_KEY_FILE_LIMIT_BYTES)
    except FileNotFoundError:
        key = effects.random.hex(KEY_BYTES)
        _write(effects, path, key)
        return key
    key = stored.decode("ascii", "replace").strip()
    if len(key) < _SHORTEST_STORED_KEY or not all("!" <= character <= "~" for character in key):
        raise ForebayError(
            "admin_key_damaged",
            f"expected {path} to hold one line with a key of at least {_SHORTEST_STORED_KEY} printable characters, but it does not",
            hint="Remove the file; the next start writes a new key.",
            status=503,
        )
    return key


def url_secret(admin_key: str) -> bytes:
    """What the codes in the URLs of instances are made with: a new admin key lets older URLs open nothing any more."""
    return hmac.digest(admin_key.encode(), b"forebay: codes in the URLs of instances", hashlib.sha256)


def check_binding(settings: Settings) -> None:
    """Refuse to listen for other machines without a key that the user has chosen to share.

    Raises `ForebayError` (`key_required`).
    """
    if is_loopback(settings.server.host):
        return
    key = settings.server.api_key
    if key is None or len(key.reveal()) < SHORTEST_OPEN_KEY:
        came = "there is none" if key is None else f"it has {len(key.reveal())}"
        raise ForebayError(
            "key_required",
            f"Listening on {settings.server.host} opens Forebay to other machines. That needs a key of your own of at least "
            f"{SHORTEST_OPEN_KEY} characters, but {came}.",
            hint="Set FOREBAY_API_KEY, for example to the output of `openssl rand -hex 32`, or listen on 127.0.0.1.",
        )


def _write(effects: Effects, path: Path, key: str) -> None:
    unfinished = path.with_name(f"{path.name}.{effects.random.hex(4)}")
    writer = effects.files.create(unfinished)
    try:
        writer.write(f"{key}\n".encode())
    except BaseException:
        writer.abandon()
        raise
    writer.close()
    effects.files.rename(unfinished, path, replace=False)
