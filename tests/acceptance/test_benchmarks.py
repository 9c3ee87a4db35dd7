"""The benchmarks of size and of steady arrival, much smaller: that they run, and that nothing is lost in them."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from benchmarks import profile, scale, sustained, telemetry_http
from benchmarks.parts import part_of

FACTS = ("cpu", "wall", "chunks", "files")


def test_a_tree_of_files_is_indexed_edited_renamed_and_deleted_and_compared_after_a_restart(tmp_path: Path) -> None:
    found = scale.measure(tmp_path, files=200, edit_count=2, idle_seconds=0.5)
    assert found["chunks"] >= 2 * (200 + scale.SMALL_FILES)
    scale.report(found)
    # the same work, not the same time: what an edit costs must not grow with the folder; the bound leaves room for noise
    assert found["edit_large_median_ms"] < 5 * found["edit_small_median_ms"] + 500


def test_files_that_arrive_steadily_by_three_ways_are_all_found_and_the_ledger_balances(tmp_path: Path) -> None:
    found = sustained.measure(tmp_path, minutes=0.05, per_hour=36_000, embedder="mock")
    assert found["sent"] > 10
    assert found["searchable"] == found["sent"]
    assert set(found["seconds"]) == {"all", *sustained.WAYS}
    assert found["is_balanced"], found
    assert found["outcomes"] == {"indexed": found["sent"] + 1}


@pytest.mark.skipif(shutil.which("wrk") is None, reason="the load generator wrk is not installed")
def test_log_lines_that_were_acknowledged_under_load_are_in_the_tables(tmp_path: Path) -> None:
    load = telemetry_http.send(tmp_path, batch=100, seconds=1, connections=4)  # ends the test where the counts differ
    assert load.accepted >= load.acknowledged > 0 == load.refused


def test_the_parts_of_a_profile_add_up_to_the_cpu_time_of_all_processes() -> None:
    found = profile.profile(["json", "logging"])
    parts = {part: seconds for part, seconds in found.items() if part not in FACTS}
    assert abs(sum(parts.values()) - found["cpu"]) < 0.1 * found["cpu"]
    assert {"cutting", "engine and event loop"} <= set(parts)


def test_a_stack_counts_as_its_innermost_known_part() -> None:
    def seen(path: str, function: str, body: str = "look()") -> str:
        namespace: dict[str, Any] = {"look": lambda: part_of(sys._getframe(1))}
        exec(compile(f"def {function}():\n    return {body}", path, "exec"), namespace)
        return str(namespace[function]())

    assert seen("/x/forebay/pipeline/content_scan.py", "anything") == "scan for secrets"
    assert seen("/x/forebay/values/chunk.py", "text_sha256") == "hashing"
    assert seen("/x/forebay/catalog/versions.py", "_text_ids") == "SQLite writes: texts"
    assert seen("/x/forebay/cli/main.py", "main") == "engine and event loop"
    assert seen("/x/elsewhere.py", "main") == "thread pools and libraries"
