from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from forebay.blobs.directory import DirectoryBlobStore
from forebay.blobs.port import BlobStore
from forebay.effects import real_effects
from forebay.testing.blob_contract import BlobStoreContract


class TestDirectoryBlobStore(BlobStoreContract):
    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[BlobStore]:
        effects = real_effects()
        store = DirectoryBlobStore(tmp_path / "containers", effects)
        await store.open()
        yield store
        await store.close()
        effects.blocking.close()
