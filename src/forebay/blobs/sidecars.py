"""Content type and metadata of blobs, which a file system has no place for.

A sidecar is named by the ETag alone. That names one file in one state on this file system, so that a sidecar follows
its blob through moves without being touched, and one whose blob was replaced by another program belongs to nobody.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path

from forebay.effects import Files

_FILE_LIMIT_BYTES = 128 * 1024  # JSON escapes make six bytes of one


class Sidecars:
    """One directory of `<etag>.json` files. Methods block."""

    def __init__(self, files: Files, directory: Path) -> None:
        self._files = files
        self._directory = directory

    def write(self, etag: str, content_type: str | None, metadata: Mapping[str, str]) -> None:
        """Keep these durably; nothing is written when there is nothing to keep."""
        self.remove(etag)
        if content_type is None and not metadata:
            return
        writer = self._files.create(self._path(etag))
        try:
            writer.write(json.dumps({"content_type": content_type, "metadata": dict(metadata)}).encode())
        except BaseException:
            writer.abandon()
            raise
        try:
            writer.close()
        except BaseException:
            self.remove(etag)
            raise

    def read(self, etag: str) -> tuple[str | None, dict[str, str]]:
        """Content type and metadata; None and empty when nothing (or half of something, after a crash) is kept."""
        try:
            data, _ = self._files.read(self._path(etag), limit_bytes=_FILE_LIMIT_BYTES)
            kept = json.loads(data)
            return kept["content_type"], kept["metadata"]
        except (OSError, ValueError, KeyError, TypeError):
            return None, {}

    def remove(self, etag: str) -> None:
        """Forget what is kept for this ETag."""
        path = self._path(etag)
        with contextlib.suppress(FileNotFoundError):
            self._files.stat(path)  # far cheaper than a failing durable removal
            self._files.remove(path)

    def _path(self, etag: str) -> Path:
        return self._directory / f"{etag}.json"
