"""What instances cost that have ended, wait, or begin anew for ever."""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.integration.durable_bench import Bench, rows
from tests.integration.waiting_stage import Setting, Stage, Steps, until_waiting

from forebay.durable import OrchestrationContext

WAITING_COUNT = 10_000
FINISHED_COUNT = 100_000
ROUND_COUNT = 10_000


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path / "test.db", Setting(1024))


def test_ten_thousand_waiting_and_a_hundred_thousand_finished_instances_cost_next_to_nothing(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "tests.integration.waiting_memory_process",
        tmp_path / "test.db",
        str(WAITING_COUNT),
        str(FINISHED_COUNT),
    ]
    process = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=300, check=True)
    found = json.loads(process.stdout)
    print(found)

    assert found["live_count"] == 1024
    assert found["waiting_bytes"] < 30_000_000  # about 8 kB for each in memory, and an alarm for each other
    assert found["reopened_bytes"] < 10_000_000
    assert found["final_bytes"] < 30_000_000
    assert found["idle_cpu_seconds"] < 0.05
    assert found["reopened_idle_cpu_seconds"] < 0.05
    assert found["open_seconds"] + found["first_answer_seconds"] < 1


def test_an_instance_that_begins_anew_ten_thousand_times_leaves_nothing_behind(stage: Stage) -> None:
    """Each round hears an event and leaves a timer, a wait and a child behind."""

    def left(context: OrchestrationContext) -> Steps:
        return (yield context.call_activity("echo", 0))

    def eternal(context: OrchestrationContext) -> Steps:
        number = context.get_input()
        event, late = context.wait_for_external_event("x"), context.create_timer(context.current_utc_datetime + timedelta(days=1))
        waits = [event, late, context.wait_for_external_event("never")]
        if number % 10 == 0:
            waits.append(context.call_sub_orchestrator("left"))
        yield context.task_any(waits)
        context.set_custom_status(number)
        context.continue_as_new(number + 1)

    async def story(bench: Bench) -> int:
        await bench.client.start_new("eternal", "i", 0)

        async def go_on(count: int) -> None:
            for _ in range(count):
                await bench.client.raise_event("i", "x")
            await asyncio.sleep(1)
            stage.calls.clear()
            gc.collect()

        await go_on(ROUND_COUNT // 10)
        before_count = len(gc.get_objects())
        await go_on(ROUND_COUNT)
        after_count = len(gc.get_objects())
        await until_waiting(bench, "i", "timer")
        status = await bench.client.get_status("i")
        assert status is not None
        assert status.input_ >= ROUND_COUNT
        return after_count - before_count

    assert stage.live(story, left, eternal) < ROUND_COUNT / 10
    assert rows(stage.path, "SELECT count(*) < 5 FROM history h JOIN instances i ON h.instance = i.key WHERE i.id = 'i'") == [(1,)]
    assert rows(stage.path, "SELECT count(*) FROM messages") == [(0,)]


def test_a_loop_that_races_timers_a_thousand_times_keeps_no_alarm_of_those_it_has_cancelled(stage: Stage) -> None:
    def looping(context: OrchestrationContext) -> Steps:
        for number in range(1000):
            late = context.create_timer(context.current_utc_datetime + timedelta(days=1))
            yield context.task_any([late, context.call_activity("echo", number)])
            late.cancel()
        yield context.wait_for_external_event("end")

    async def story(bench: Bench) -> tuple[int, Any]:
        await bench.client.start_new("looping", "i")
        await until_waiting(bench, "i", "event")
        (run,) = bench.engine.mover.runs.values()
        status = await bench.client.get_status("i")
        assert status is not None
        return len(run.timers), status.waits

    timer_count, waits = stage.live(story, looping)
    assert timer_count < 3
    assert waits["waits"] == [{"kind": "event", "name": "end"}]
