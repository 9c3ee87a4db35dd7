from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.integration.telemetry_rows import entry, open_store, select, stored

ROOT = Path(__file__).parents[2]
KILLS = 5


async def test_what_was_committed_survives_a_kill_and_nothing_is_there_twice(tmp_path: Path):
    path = tmp_path / "t.duckdb"
    acknowledged = 0
    for kill in range(KILLS):
        command = [sys.executable, "-m", "tests.integration.telemetry_store_process", str(path)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _ in range(3 + kill * 4):  # killed in the middle of whatever comes after
                acknowledged = int(process.stdout.readline())
            process.kill()
            for line in process.stdout:
                acknowledged = int(line)
    async with open_store(path) as store:
        await store.open()
        position = store.positions["local"]
        assert position >= acknowledged
        ((rows, distinct),) = await select(store, "SELECT count(*), count(DISTINCT message) FROM store.traces")
        assert rows == distinct == position * 20
        # the log reads again from its beginning
        again = [entry({"traces": [{"message": f"{number}-0"}]}) for number in range(1, position + 1)]
        assert (await store.insert(stored(1, *again))).row_count == 0
