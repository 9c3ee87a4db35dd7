"""What failed for good: kept, looked at, done again once, put away with a record."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from tests.integration.durable_bench import Bench, open_engine, rows, run_until_crash

from forebay.database import Transaction
from forebay.durable import (
    ActivityFailed,
    DeadLetter,
    DeadLetters,
    EngineLimits,
    LetterFilter,
    OrchestrationContext,
    Registry,
    Replay,
    RetryOptions,
    SubOrchestrationFailed,
    Task,
)
from forebay.errors import ForebayError
from forebay.testing.inline import SimulatedCrash
from forebay.testing.virtual_loop import run_virtual

Steps = Generator[Task[Any], Any, Any]
Result = TypeVar("Result")
TWICE = RetryOptions(1000, 2)


class Works:
    """Orchestrators around an activity that fails until it is mended."""

    def __init__(self) -> None:
        self.registry = registry = Registry()
        self.is_broken = True
        self.calls: list[Any] = []

        @registry.activity
        async def echo(value: Any) -> Any:
            self.calls.append(("echo", value))
            return value

        @registry.activity(expected=["not_today"])
        async def fragile(value: Any) -> Any:
            self.calls.append(("fragile", value))
            if self.is_broken:
                raise ForebayError("not_today" if value == "expected" else "broken", f"{value} is broken", retryable=True)
            return value

        @registry.orchestrator
        def careless(context: OrchestrationContext) -> Steps:
            first = yield context.call_activity("echo", context.get_input())
            return (yield context.call_activity_with_retry("fragile", TWICE, first))

        @registry.orchestrator
        def careful(context: OrchestrationContext) -> Steps:
            try:
                return (yield context.call_activity("fragile", context.get_input()))
            except ActivityFailed as failed:
                return {"given up": failed.code}

        @registry.orchestrator
        def outer(context: OrchestrationContext) -> Steps:
            return (yield context.call_sub_orchestrator("careless", context.get_input(), "inner"))

        @registry.orchestrator
        def calm(context: OrchestrationContext) -> Steps:
            try:
                yield context.call_sub_orchestrator("careless", context.get_input(), "inner")
            except SubOrchestrationFailed:
                yield context.wait_for_external_event("go")
            return "calm"

        @registry.orchestrator
        def wrong(context: OrchestrationContext) -> Steps:
            yield context.call_activity("echo", 1)
            if self.is_broken:
                raise ValueError("wrong")
            return "right"

        @registry.orchestrator
        def patient(context: OrchestrationContext) -> Steps:
            try:
                yield context.call_activity("fragile", context.get_input())
            except ActivityFailed:
                yield context.wait_for_external_event("go")
            return "done"


@pytest.fixture
def works() -> Works:
    return Works()


def play(works: Works, tmp_path: Path, story: Callable[[Bench, DeadLetters], Awaitable[Result]], **options: Any) -> Result:
    async def main() -> Result:
        async with open_engine(works.registry, tmp_path / "test.db", records_transitions=True, **options) as bench:
            return await story(bench, DeadLetters(bench.engine))

    return run_virtual(main)


async def open_letters(letters: DeadLetters, **which: Any) -> list[DeadLetter]:
    found, _ = await letters.list_letters(LetterFilter(**which))
    return found


def codes(report: Any) -> dict[int, str]:
    return {each.id: each.error.code for each in report.problems}


def test_an_instance_that_failed_goes_on_from_before_its_failure(works: Works, tmp_path: Path) -> None:
    async def story(bench: Bench, letters: DeadLetters) -> None:
        assert (await bench.run("careless", 7, instance_id="mine")).runtime_status == "Failed"
        (letter,) = await open_letters(letters)
        assert (letter.kind, letter.name, letter.orchestrator, letter.code, letter.attempts) == (
            "activity", "fragile", "careless", "broken", 2,
        )  # fmt: skip
        works.is_broken = False
        report = await letters.replay([letter.id], by="me")
        assert (report.settled, report.problems) == ({letter.id: "mine"}, [])
        assert (await bench.client.wait_for_completion("mine")).output == 7
        assert works.calls == [("echo", 7), ("fragile", 7), ("fragile", 7), ("fragile", 7)], "what succeeded is not run again"
        settled, _ = await letters.show(letter.id)
        assert (settled.status, settled.settlement_json) == ("replayed", '{"by":"me","instance_id":"mine"}')
        assert await open_letters(letters) == []

    play(works, tmp_path, story)


def test_a_dead_letter_is_replayed_once_and_a_new_failure_makes_another(works: Works, tmp_path: Path) -> None:
    async def story(bench: Bench, letters: DeadLetters) -> None:
        await bench.run("careless", 7, instance_id="mine")
        await letters.replay([1], by="me")
        assert (await bench.client.wait_for_completion("mine")).runtime_status == "Failed"
        assert [letter.id for letter in await open_letters(letters)] == [2]
        assert codes(await letters.replay([1], by="me")) == {1: "dead_letter_not_open"}
        assert codes(await letters.purge([1, 3], by="me")) == {1: "dead_letter_not_open", 3: "dead_letter_not_found"}

    play(works, tmp_path, story)


def test_a_failure_in_a_sub_orchestration_makes_the_outermost_that_failed_of_it_go_on(works: Works, tmp_path: Path) -> None:
    async def story(bench: Bench, letters: DeadLetters) -> None:
        assert (await bench.run("outer", 7, instance_id="mine")).runtime_status == "Failed"
        (letter,) = await open_letters(letters)
        assert letter.instance_id == "inner"
        works.is_broken = False
        assert (await letters.replay([letter.id], by="me")).settled == {letter.id: "mine"}
        assert (await bench.client.wait_for_completion("mine")).output == 7

    play(works, tmp_path, story)


def test_a_sub_orchestration_whose_failure_was_dealt_with_goes_on_alone(works: Works, tmp_path: Path) -> None:
    async def story(bench: Bench, letters: DeadLetters) -> None:
        await bench.client.start_new("calm", "mine", 7)
        await asyncio.sleep(10)
        (letter,) = await open_letters(letters)
        works.is_broken = False
        assert (await letters.replay([letter.id], by="me")).settled == {letter.id: "inner"}
        assert (await bench.client.wait_for_completion("inner")).output == 7
        await bench.client.raise_event("mine", "go")
        assert (await bench.client.wait_for_completion("mine")).output == "calm"

    play(works, tmp_path, story)


def test_what_ended_well_all_the_same_is_started_once_more(works: Works, tmp_path: Path) -> None:
    async def story(bench: Bench, letters: DeadLetters) -> None:
        assert (await bench.run("careful", 7, instance_id="mine")).output == {"given up": "broken"}
        works.is_broken = False
        report = await letters.replay([1], by="me")
        (again,) = report.settled.values()
        assert again is not None and again != "mine"
        status = await bench.client.wait_for_completion(again)
        assert (status.name, status.input_, status.output) == ("careful", 7, 7)

    play(works, tmp_path, story)


def test_what_is_still_running_has_to_end_first(works: Works, tmp_path: Path) -> None:
    async def story(bench: Bench, letters: DeadLetters) -> None:
        await bench.client.start_new("patient", "mine", 7)
        await asyncio.sleep(1)
        assert codes(await letters.replay([1], by="me")) == {1: "instance_not_over"}
        assert [letter.id for letter in await open_letters(letters)] == [1]

    play(works, tmp_path, story)


def test_of_a_purged_instance_an_orchestrator_can_be_done_again_and_an_activity_cannot(works: Works, tmp_path: Path) -> None:
    async def story(bench: Bench, letters: DeadLetters) -> None:
        await bench.run("careless", 7, instance_id="one")
        await bench.run("wrong", 8, instance_id="two")
        for each in ("one", "two"):
            await bench.client.purge_instance_history(each)
        works.is_broken = False
        report = await letters.replay([1, 2], by="me")
        assert codes(report) == {1: "dead_letter_stale"}
        status = await bench.client.wait_for_completion(report.settled[2] or "")
        assert (status.name, status.input_, status.output) == ("wrong", 8, "right")
        assert [letter.id for letter in await open_letters(letters)] == [1], "it stays until somebody puts it away"

    play(works, tmp_path, story)


def test_a_letter_of_a_run_that_has_been_restarted_in_its_place_does_not_touch_the_new_one(works: Works, tmp_path: Path) -> None:
    async def story(bench: Bench, letters: DeadLetters) -> None:
        await bench.run("careless", 7, instance_id="mine")
        await asyncio.sleep(1)
        await bench.client.restart("mine", restart_with_new_instance_id=False)
        await bench.client.wait_for_completion("mine")
        assert codes(await letters.replay([1], by="me")) == {1: "dead_letter_stale"}
        (status,) = await bench.client.get_status_all()
        assert (status.instance_id, status.runtime_status) == ("mine", "Failed")

    play(works, tmp_path, story)


def test_rewinding_by_hand_settles_the_dead_letters(works: Works, tmp_path: Path) -> None:
    async def story(bench: Bench, letters: DeadLetters) -> None:
        await bench.run("outer", 7, instance_id="mine")
        works.is_broken = False
        await bench.client.rewind("mine", "mended")
        assert await open_letters(letters) == []
        assert (await bench.client.wait_for_completion("mine")).output == 7

    play(works, tmp_path, story)


def test_two_that_replay_at_once_have_it_done_once(works: Works, tmp_path: Path) -> None:
    async def story(bench: Bench, letters: DeadLetters) -> None:
        for instance in ("one", "two"):
            await bench.run("careful", instance, instance_id=instance)
        await bench.run("careless", "three", instance_id="three")
        works.is_broken, before = False, len(works.calls)
        reports = await asyncio.gather(*(letters.replay(LetterFilter(), by=f"person {number}") for number in range(8)))
        done = [letter for report in reports for letter in report.settled]
        assert sorted(done) == [1, 2, 3]
        assert {code for report in reports for code in codes(report).values()} <= {
            "dead_letter_not_open",
            "instance_not_failed",
            "instance_not_over",
        }
        await asyncio.sleep(100)
        assert sorted(value for name, value in works.calls[before:] if name == "fragile") == ["one", "three", "two"]

    play(works, tmp_path, story)


@pytest.mark.parametrize("orchestrator", ["careful", "careless"])
@pytest.mark.parametrize("is_durable", [False, True], ids=["before the commit", "after it"])
def test_a_crash_leaves_an_open_letter_or_work_that_goes_on(works: Works, tmp_path: Path, orchestrator: str, is_durable: bool) -> None:
    path = tmp_path / "test.db"
    crashed_at = []

    async def fail(bench: Bench) -> int:
        await bench.run(orchestrator, 7, instance_id="mine")
        return bench.writer.commit_count

    commits = asyncio_run(run_until_crash(fail, works.registry, path))
    works.is_broken = False

    def crash(number: int) -> None:
        crashed_at.append(number)
        raise SimulatedCrash

    async def replay(bench: Bench) -> None:
        await DeadLetters(bench.engine).replay([1], by="me")

    hook = {"after_commit" if is_durable else "before_commit": crash}
    assert asyncio_run(run_until_crash(replay, works.registry, path, **hook)) is None
    assert crashed_at == [1] and commits
    assert rows(path, "SELECT status FROM dead_letters") == [("replayed" if is_durable else "open",)]

    async def go_on(bench: Bench, letters: DeadLetters) -> None:
        await asyncio.sleep(10)
        report = await letters.replay([1], by="me")
        assert codes(report) == ({1: "dead_letter_not_open"} if is_durable else {})
        await asyncio.sleep(10)

    play(works, tmp_path, go_on)
    ended = rows(path, "SELECT count(*) FROM instances WHERE output = '7'")
    assert ended == [(1,)], "done, and once"


def asyncio_run(work: Any) -> Any:
    async def main() -> Any:
        return await work

    return run_virtual(main)


def test_a_dry_run_says_what_would_happen_and_changes_nothing(works: Works, tmp_path: Path) -> None:
    async def story(bench: Bench, letters: DeadLetters) -> None:
        await bench.run("careful", 1)
        await bench.run("careless", 2)
        await bench.client.start_new("patient", "mine", 3)
        await asyncio.sleep(1)
        before, calls = await open_letters(letters), list(works.calls)
        report = await letters.replay(LetterFilter(), by="me", dry_run=True)
        assert (report.settled, codes(report)) == ({1: None, 2: None}, {3: "instance_not_over"})
        assert (await letters.purge(LetterFilter(), by="me", dry_run=True)).settled == {1: None, 2: None, 3: None}
        await asyncio.sleep(10)
        assert (await open_letters(letters), works.calls) == (before, calls)

    play(works, tmp_path, story)


def test_letters_are_found_by_what_they_say_and_page_by_page(works: Works, tmp_path: Path) -> None:
    async def story(bench: Bench, letters: DeadLetters) -> None:
        for number in range(5):
            await bench.run("careful", number)
        await bench.run("wrong")
        await asyncio.sleep(3600)
        await bench.run("careless", "late")
        found = {
            "kind": ([6], {"kind": "orchestrator"}),
            "name": ([7, 5, 4, 3, 2, 1], {"name": "fragile"}),
            "orchestrator": ([7], {"orchestrator": "careless"}),
            "code": ([6], {"code": "ValueError"}),
            "since": ([7], {"since": bench.clock.now() - timedelta(minutes=1)}),
            "project": ([], {"projects": ["p"]}),
            "no project": ([7, 6, 5, 4, 3, 2, 1], {"projects": ["p", None]}),
        }
        for what, (expected, which) in found.items():
            assert [letter.id for letter in await open_letters(letters, **which)] == expected, what
        pages, before = [], None
        while True:
            page, before = await letters.list_letters(limit=3, before=before)
            pages.append([letter.id for letter in page])
            if before is None:
                break
        assert pages == [[7, 6, 5], [4, 3, 2], [1]]
        assert codes(await letters.replay([1], by="me", within=LetterFilter(status=None, projects=["p"]))) == {1: "dead_letter_not_found"}

    play(works, tmp_path, story)


def test_a_letter_shows_every_try_with_its_message(works: Works, tmp_path: Path) -> None:
    async def story(bench: Bench, letters: DeadLetters) -> None:
        await bench.run("careless", 7)
        letter, tries = await letters.show(1)
        assert [(each.attempt, each.failure.message) for each in tries] == [(1, "7 is broken"), (2, "7 is broken")]
        assert (tries[0].at, tries[1].at) == (letter.first_failed_at, letter.last_failed_at)
        assert tries[1].at - tries[0].at >= 1_000_000
        assert letter.input_json == "7"
        with pytest.raises(ForebayError, match="no dead letter 2"):
            await letters.show(2)

    play(works, tmp_path, story)


def test_what_is_put_away_keeps_who_did_so_and_why(works: Works, tmp_path: Path) -> None:
    async def story(bench: Bench, letters: DeadLetters) -> None:
        await bench.run("careless", 7)
        assert (await letters.purge(LetterFilter(code="broken"), by="key:1", reason="the source is gone")).settled == {1: None}
        letter, _ = await letters.show(1)
        assert letter.status == "purged"
        assert codes(await letters.replay([1], by="me")) == {1: "dead_letter_not_open"}

    play(works, tmp_path, story)
    events = rows(tmp_path / "test.db", "SELECT type, data ->> 'settlement' FROM instance_events WHERE type LIKE 'DeadLetter%'")
    assert events == [("DeadLettered", None), ("DeadLetterPurged", '{"by":"key:1","reason":"the source is gone"}')]


def test_an_expected_error_fails_its_call_and_makes_no_dead_letter(works: Works, tmp_path: Path) -> None:
    async def story(bench: Bench, letters: DeadLetters) -> None:
        assert (await bench.run("careful", "expected")).output == {"given up": "not_today"}
        assert await open_letters(letters) == []

    play(works, tmp_path, story)


def test_a_replayer_does_it_in_its_own_way_and_an_error_of_it_leaves_the_letter_open(works: Works, tmp_path: Path) -> None:
    told: list[str] = []

    async def replayer(letter: DeadLetter, by: str) -> Replay:
        if letter.input_json == '"gone"':
            raise ForebayError("source_changed", "it is gone")

        def write(tx: Transaction) -> str:
            tx.execute("INSERT INTO effects VALUES (?)", (letter.input_json,))
            return "elsewhere"

        return Replay(instance_ids=[letter.instance_id], write=write, then=lambda: told.append(by))

    async def story(bench: Bench, _: DeadLetters) -> None:
        letters = DeadLetters(bench.engine, {"careful": replayer})
        await bench.run("careful", "there")
        await bench.run("careful", "gone")
        report = await letters.replay(LetterFilter(), by="me")
        assert (report.settled, codes(report)) == ({1: "elsewhere"}, {2: "source_changed"})
        assert [letter.id for letter in await open_letters(letters)] == [2]

    play(works, tmp_path, story)
    assert rows(tmp_path / "test.db", "SELECT name FROM effects") == [('"there"',)]
    assert told == ["me"]


def test_a_call_that_was_scheduled_too_long_ago_is_not_tried_again(works: Works, tmp_path: Path) -> None:
    daily = RetryOptions(86_400_000, 100)

    @works.registry.orchestrator
    def stubborn(context: OrchestrationContext) -> Steps:
        return (yield context.call_activity_with_retry("fragile", daily, 7))

    async def story(bench: Bench, letters: DeadLetters) -> None:
        status = await bench.run("stubborn", timeout_seconds=1e8)
        assert (status.runtime_status, status.failure_code) == ("Failed", "expired")
        assert "14 days" in status.output
        (letter,) = await open_letters(letters)
        assert (letter.code, letter.attempts) == ("expired", 15)
        assert letter.last_failed_at - letter.first_failed_at > 14 * 86_400e6
        works.is_broken = False
        await letters.replay([letter.id], by="me")
        assert (await bench.client.wait_for_completion(letter.instance_id)).output == 7, "its life begins anew"

    play(works, tmp_path, story)
    assert works.calls == [("fragile", 7)] * 16


def test_a_sub_orchestration_that_was_scheduled_too_long_ago_is_not_tried_again(works: Works, tmp_path: Path) -> None:
    @works.registry.orchestrator
    def stubborn(context: OrchestrationContext) -> Steps:
        return (yield context.call_sub_orchestrator_with_retry("careful_not", RetryOptions(3_600_000, 1000)))

    @works.registry.orchestrator
    def careful_not(context: OrchestrationContext) -> Steps:
        return (yield context.call_activity("fragile", 7))

    async def story(bench: Bench, letters: DeadLetters) -> None:
        status = await bench.run("stubborn", timeout_seconds=1e8)
        assert status.runtime_status == "Failed"

    play(works, tmp_path, story, limits=EngineLimits(message_lifetime_seconds=86_400))
    assert 24 <= len(works.calls) <= 26
