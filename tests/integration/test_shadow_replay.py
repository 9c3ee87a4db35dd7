"""Code that is not deterministic, or does not fit what is recorded, shows without a crash and before a deploy."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Callable, Generator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.integration.durable_bench import Bench, open_engine, rows

from forebay.durable import Divergence, OrchestrationContext, Registry, ReplayReport, RetryOptions, Task, check_replay
from forebay.durable.checks.check import recorded_instances
from forebay.durable.checks.export import write_export
from forebay.durable.checks.shadow_replays import ShadowReplays
from forebay.durable.journal.journal import InstanceRow
from forebay.errors import ForebayError
from forebay.testing.virtual_loop import SeededRandomness, run_virtual

Steps = Generator[Task[Any], Any, Any]
Orchestrator = Callable[[OrchestrationContext], Any]


def registry_of(*orchestrators: Orchestrator, version: str | None = None) -> Registry:
    registry = Registry()

    @registry.activity
    async def echo(value: Any) -> Any:
        return value

    @registry.activity
    async def fail(value: Any) -> Any:
        raise ForebayError("broken", f"{value} is broken", retryable=True)

    for each in orchestrators:
        registry.orchestrator(version=version)(each)
    return registry


def one(context: OrchestrationContext) -> Steps:
    first = yield context.call_activity("echo", context.get_input())
    yield context.create_timer(context.current_utc_datetime + timedelta(seconds=5))
    found = yield context.task_all([context.call_activity("echo", each) for each in range(3)])
    return {"first": first, "found": found, "id": context.new_uuid()}


def waiting(context: OrchestrationContext) -> Steps:
    yield context.call_activity("echo", 1)
    return (yield context.wait_for_external_event("go"))


def broken(context: OrchestrationContext) -> Steps:
    yield context.call_activity_with_retry("fail", RetryOptions(1000, 2), 7)


def parent(context: OrchestrationContext) -> Steps:
    return (yield context.call_sub_orchestrator("one", "child"))


def again(context: OrchestrationContext) -> Steps:
    left = context.get_input()
    yield context.call_activity("echo", left)
    if left:
        context.continue_as_new(left - 1)
        return None
    return "done"


def huge(context: OrchestrationContext) -> Steps:
    yield context.call_activity("echo", 1)
    return "x" * 70_000


ALL = (one, waiting, broken, parent, again, huge)


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """A journal with instances of all kinds; `waiting` has not ended."""

    async def story(bench: Bench) -> None:
        for orchestrator, value in ((one, 1), (broken, None), (parent, None), (again, 3), (huge, None)):
            await bench.run(orchestrator.__name__, value, instance_id=orchestrator.__name__)
        await bench.client.start_new("waiting", "waiting")
        await bench.clock.sleep(5)

    record(registry_of(*ALL), tmp_path / "test.db", story)
    return tmp_path / "test.db"


def record(registry: Registry, path: Path, story: Callable[[Bench], Any], **options: Any) -> None:
    async def main() -> None:
        async with open_engine(registry, path, **options) as bench:
            await story(bench)

    run_virtual(main)


def changed(orchestrator: Orchestrator, name: str) -> Registry:
    """The registry with another function for a name."""
    orchestrator.__name__ = name
    return registry_of(*(each for each in ALL if each.__name__ != name), orchestrator)


def shape(report: ReplayReport) -> list[tuple[str, str, str | None]]:
    return [(each.instance_id, each.recorded, each.scheduled) for each in report.divergences]


def test_code_that_has_not_changed_fits_whatever_was_recorded(recorded: Path) -> None:
    seen: list[int] = []
    report = check_replay(registry_of(*ALL), recorded, shown=lambda report: seen.append(report.instance_count))
    assert report.ok, report.divergences
    # with the sub-orchestration of `parent`
    assert (report.total, report.instance_count, report.running_count, report.unregistered_count) == (7, 7, 1, 0)
    assert seen == list(range(1, 8))


def _another_activity(context: OrchestrationContext) -> Steps:
    yield context.call_activity("fail", 1)


def _another_input(context: OrchestrationContext) -> Steps:
    yield context.call_activity("echo", 2)


def _a_timer(context: OrchestrationContext) -> Steps:
    yield context.create_timer(context.current_utc_datetime + timedelta(seconds=1))


def _nothing(context: OrchestrationContext) -> Any:
    return 1


def _copied(code: Orchestrator) -> Orchestrator:
    def copy(context: OrchestrationContext) -> Any:
        return code(context)

    return copy


@pytest.mark.parametrize("name", ["one", "waiting"])
@pytest.mark.parametrize(
    ("code", "scheduled"),
    [
        (_another_activity, "activity 'fail'"),
        (_another_input, "activity 'echo' with another input"),
        (_a_timer, "a timer"),
        (_nothing, None),
    ],
)
def test_changed_code_is_named_with_what_is_recorded_and_what_it_does(
    recorded: Path, name: str, code: Orchestrator, scheduled: str | None
) -> None:
    report = check_replay(changed(_copied(code), name), recorded)
    expected = [(name, "activity 'echo'", scheduled)]
    found = [each for each in shape(report) if each[0] == name]
    assert (found, report.ok) == (expected, False)


def test_another_end_is_named_too(recorded: Path) -> None:
    def ends(context: OrchestrationContext) -> Steps:
        yield from broken_quietly(context)

    def broken_quietly(context: OrchestrationContext) -> Steps:
        try:
            yield context.call_activity_with_retry("fail", RetryOptions(1000, 2), 7)
        except Exception:
            return

    (found,) = check_replay(changed(ends, "broken"), recorded).divergences
    assert found.instance_id == "broken"
    assert found.recorded.startswith('Failed {"code":"broken"')
    assert found.scheduled == "Completed null"
    assert found.recorded in found.message and found.scheduled in found.message


def test_a_missing_orchestrator_matters_to_those_that_run_only(recorded: Path) -> None:
    report = check_replay(registry_of(parent), recorded)
    assert shape(report) == [("waiting", "orchestrator 'waiting'", None)]
    assert report.unregistered_count == 5
    report = check_replay(registry_of(*ALL, version="2"), recorded)
    assert shape(report) == [("waiting", "orchestrator 'waiting'", None)], "its version is none"


def test_a_journal_is_checked_while_an_engine_runs_on_it(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.client.start_new("waiting", "mine")
        await bench.clock.sleep(5)
        assert shape(check_replay(registry_of(), tmp_path / "test.db")) == [("mine", "orchestrator 'waiting'", None)]
        assert check_replay(registry_of(waiting), tmp_path / "test.db").ok
        await bench.client.raise_event("mine", "go", "on")
        assert (await bench.client.wait_for_completion("mine")).output == "on"

    record(registry_of(waiting), tmp_path / "test.db", story)


def test_an_export_is_replayed_like_the_journal_that_it_was_made_of(recorded: Path, tmp_path: Path) -> None:
    exported = tmp_path / "export.jsonl"
    with recorded_instances(recorded) as (_, instances), exported.open("wb") as file:
        assert write_export(instances, file) == 7
    first, *lines = exported.read_bytes().splitlines()
    assert json.loads(first) == {"format": "forebay-instances", "version": 1}
    assert {json.loads(line)["id"] for line in lines} >= {"one", "waiting", "broken", "parent", "again", "huge"}
    assert check_replay(registry_of(*ALL), exported).ok
    for registry in (registry_of(), changed(_copied(_another_activity), "one")):
        assert shape(check_replay(registry, exported)) == shape(check_replay(registry, recorded)) != []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"format": "forebay-instances", "version": 2}\n', "version 2"),
        (b'{"format": "other", "version": 1}\n', "'other'"),
        (b'{"format": "forebay-instances", "version": 1}\n{"id": 1}\n', "line 2"),
        (b'{"format": "forebay-instances", "version": 1}\n\xff\n', "line 2"),
        (b"{", "line 1"),
    ],
)
def test_what_is_no_export_is_refused_with_its_line(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "export").write_bytes(content)
    with pytest.raises(ForebayError, match=message) as raised:
        check_replay(registry_of(), tmp_path / "export")
    assert raised.value.code == "invalid_export"


def test_what_is_no_journal_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello " * 100, encoding="utf-8")
    sqlite3.connect(tmp_path / "empty.db").close()
    for name in ("text", "empty.db", "missing.db", "."):
        with pytest.raises(ForebayError) as raised:
            check_replay(registry_of(), tmp_path / name)
        assert raised.value.code == "journal_unreadable", name
    assert not (tmp_path / "missing.db").exists()


def test_an_instance_that_is_not_deterministic_is_told_when_it_has_ended_and_is_not_changed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[Divergence] = []
    calls: list[int] = []

    def moody(context: OrchestrationContext) -> Steps:
        calls.append(1)
        return (yield context.call_activity("echo" if len(calls) == 1 else "fail", len(calls)))

    async def story(bench: Bench) -> None:
        assert (await bench.run("moody", instance_id="mine")).output == 1
        await bench.clock.sleep(1)
        assert bench.engine.divergence_count == 1
        assert (await bench.client.wait_for_completion("mine")).output == 1

    with caplog.at_level(logging.ERROR):
        record(registry_of(moody), tmp_path / "test.db", story, diverged=told.append)
    ((instance_id, recorded, scheduled),) = [(each.instance_id, each.recorded, each.scheduled) for each in told]
    assert (instance_id, recorded, scheduled) == ("mine", "activity 'echo'", "activity 'fail'")
    assert "the journal has activity 'echo' as task 0; the replayed code scheduled activity 'fail'" in caplog.text
    assert rows(tmp_path / "test.db", "SELECT status, output FROM instances") == [("Completed", "1")]


def test_a_replay_for_comparison_calls_no_activity_and_says_that_it_is_a_replay(tmp_path: Path) -> None:
    said: list[str] = []
    registry = Registry()

    @registry.activity
    async def note(value: str) -> None:
        said.append(value)

    @registry.orchestrator
    def loud(context: OrchestrationContext) -> Steps:
        for number in range(3):
            if not context.is_replaying:
                said.append(f"before {number}")
            yield context.call_activity("note", str(number))

    async def story(bench: Bench) -> None:
        await bench.run("loud")
        await bench.clock.sleep(1)

    record(registry, tmp_path / "test.db", story)
    assert said == ["before 0", "0", "before 1", "1", "before 2", "2"]


@pytest.mark.parametrize(("ratio", "fewest", "most"), [(0, 0, 0), (0.01, 60, 140), (0.3, 2800, 3200), (1, 10_000, 10_000)])
async def test_the_share_that_was_asked_for_is_taken(ratio: float, fewest: int, most: int) -> None:
    row = InstanceRow(key=1, id="i", name="one", status="Completed", input_json="1", output_json="1", created_at=0, updated_at=0, lane="")
    taken: list[int] = []

    class NoReaders:
        async def run(self, _: Callable[[sqlite3.Connection], Any]) -> Any:
            return "same"

        async def close(self) -> None:
            pass

    shadows = ShadowReplays(Registry(), NoReaders(), SeededRandomness(1), ratio=ratio, diverged=lambda _: None)
    for number in range(10_000):
        if shadows.takes(row):
            taken.append(number)
            await shadows.run()
    assert fewest <= len(taken) <= most
