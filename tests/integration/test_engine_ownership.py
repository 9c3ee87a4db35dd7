"""A journal belongs to one engine at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from forebay.durable import DurableEngine, Registry
from forebay.errors import ForebayError


async def test_a_second_engine_on_the_same_file_is_refused_and_the_file_is_free_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    async with DurableEngine(Registry(), path):
        with pytest.raises(ForebayError) as refused:
            async with DurableEngine(Registry(), path):
                pass
        assert refused.value.code == "locked"
        assert str(path) in str(refused.value)
    async with DurableEngine(Registry(), path):
        pass


async def test_a_refused_engine_can_be_opened_once_the_other_has_stopped(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    second = DurableEngine(Registry(), path)
    async with DurableEngine(Registry(), path):
        with pytest.raises(ForebayError):
            await second.__aenter__()
    async with second:
        pass
