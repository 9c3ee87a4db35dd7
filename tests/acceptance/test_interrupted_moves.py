"""A blob whose document is indexed and whose move is still to come is no news, however long the move takes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from test_edits import client_of, opened, until

from forebay.app import places


async def test_a_blob_that_is_about_to_be_moved_does_not_arrive_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It did a minute after its outcome, was moved on meanwhile, and its document was said to have vanished."""
    monkeypatch.setattr("forebay.intake.reconcile.LEFTOVER_SECONDS", -1)
    async with opened(tmp_path) as program, client_of(program) as client:
        sources, reconciler = program.core.pipeline.sources, program.core.reconciler
        place, *_ = places(program.settings, program.settings.data_dir / "containers")
        move, may_move = sources.move, asyncio.Event()

        async def move_late(arrival: Any, container: str) -> str | None:
            await may_move.wait()
            return await move(arrival, container)

        sources.move = move_late  # type: ignore[method-assign]
        file = place.root / "slow.txt"
        file.write_text("indexed at once, moved late")
        await until(client, {"slow.txt": "indexed"})
        assert file.exists()
        assert (await reconciler.reconcile(place, actor="reconciler")).recorded_count == 0
        may_move.set()
        async with asyncio.timeout(20):
            while file.exists() or program.core.engine.live_count:
                await asyncio.sleep(0.02)
        assert (await reconciler.reconcile(place, actor="reconciler")).recorded_count == 0
        await until(client, {"slow.txt": "indexed"})


async def test_a_blob_whose_move_was_given_up_arrives_again_and_is_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forebay.intake.reconcile.LEFTOVER_SECONDS", -1)
    settings: dict[str, Any] = {"activity_attempts": 2, "first_retry_seconds": 0.01, "reconcile_interval_seconds": 1}
    async with opened(tmp_path, **settings) as program, client_of(program) as client:
        sources = program.core.pipeline.sources
        move, failures = sources.move, [OSError("the disk has a moment of weakness")] * settings["activity_attempts"]

        async def fail_twice(arrival: Any, container: str) -> str | None:
            if failures:
                raise failures.pop()
            return await move(arrival, container)

        sources.move = fail_twice  # type: ignore[method-assign]
        file = program.settings.data_dir / "containers" / "incoming" / "shy.txt"
        file.write_text("moved at the second time")
        await until(client, {"shy.txt": "indexed"})
        async with asyncio.timeout(20):
            while file.exists():
                await asyncio.sleep(0.02)
        await until(client, {"shy.txt": "indexed"})
