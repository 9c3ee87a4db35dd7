"""A flood by all three ways at once, and a person who uploads single files meanwhile; the short form of benchmarks/flood.py."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest
from benchmarks.flood import Target, flood, single_upload
from benchmarks.program import pss_megabytes

from program import assert_sound, running

FILES = 600
MEMORY_MEGABYTES = 250  # above the idle program; a file that waited in memory, with all that belongs to it, would cost 50 KB


@pytest.mark.alone
def test_a_flood_is_taken_completely_while_single_uploads_go_on(tmp_path: Path) -> None:
    data_dir, folder = tmp_path / "data", tmp_path / "folder"
    folder.mkdir()
    # so few that uploads are refused, and have to come back
    with running(data_dir, watch=(folder,), FOREBAY_BACKLOG_LIMIT="150") as program, program.client() as client:
        target = Target(url=str(client.base_url), key=client.headers["X-API-Key"], pid=program.pid, data_dir=data_dir, folder=folder)
        for number in range(3):
            single_upload(client, number)
        idle_megabytes = pss_megabytes(target.pid)
        found = flood(target, FILES, client_count=32)
        assert found.problems == []
        assert found.summary["outcomes"]["indexed"] == FILES
        assert found.uploads.refusals.get("backlog_full", 0) > 0
        assert all(1 <= pause <= 60 for pause in found.uploads.pauses)
        # what waits is worth several seconds of work; who sends one file waits for what is in flight
        assert found.most_waiting > FILES / 4
        assert found.single_refused_count == 0
        assert statistics.median(found.single_seconds) < found.seconds / 3
        assert max(found.memory_megabytes) < idle_megabytes + MEMORY_MEGABYTES
        assert program.stop() == 0
    assert_sound(data_dir)


def test_a_client_that_is_refused_while_it_sends_reads_why(tmp_path: Path) -> None:
    with running(tmp_path / "data", FOREBAY_MIN_FREE_DISK_MB=str(1 << 30)) as program, program.client() as client:
        for path in ("/documents?name=a.md", "/documents?name=b.md"):
            refused = client.post(path, content=b"x" * (8 << 20))
            assert (refused.status_code, refused.json()["code"]) == (503, "disk_full")
            assert int(refused.headers["Retry-After"]) > 0
        assert client.get("/documents/summary").json()["arrivals"] == 0
