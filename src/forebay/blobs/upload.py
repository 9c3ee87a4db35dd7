"""A blob on its way in: bytes under a private name, until they become visible."""

from __future__ import annotations

import hashlib
from pathlib import Path
from threading import Lock

from forebay.effects import Files, FileStat, FileWriter


class Upload:
    """A temporary file and the hash of what was written to it.

    Methods block and may come from different threads: a request can be cancelled while a write is still running,
    and then `discard` waits for that write.
    """

    def __init__(self, files: Files, path: Path) -> None:
        self.path = path
        self._files = files
        self._lock = Lock()
        self._writer: FileWriter | None = None
        self._hash = hashlib.sha256()
        self._is_discarded = False

    @property
    def sha256(self) -> str:
        """SHA-256 of the content, in hexadecimal."""
        return self._hash.hexdigest()

    def write(self, data: bytes) -> None:
        """Append `data`; nothing happens after `discard`."""
        with self._lock:
            if self._is_discarded:
                return
            if self._writer is None:
                self._writer = self._files.create(self.path)
            self._writer.write(data)
            self._hash.update(data)

    def finish(self) -> FileStat:
        """Bring everything to stable storage. The stat's ETag is final: it survives the rename."""
        self.write(b"")
        with self._lock:
            writer, self._writer = self._writer, None
            if writer is not None:
                writer.close()
            return self._files.stat(self.path)

    def discard(self) -> None:
        """Remove what was written, at any stage."""
        with self._lock:
            self._is_discarded = True
            writer, self._writer = self._writer, None
            if writer is not None:
                writer.abandon()
                return
            try:
                self._files.remove(self.path)
            except FileNotFoundError:
                return
