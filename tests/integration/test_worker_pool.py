from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.errors import ForebayError
from forebay.pipeline.parse import Parsed, ParseRequest, parse
from forebay.pipeline.refused import ParserFailed, Refused
from forebay.pipeline.workers.pool import WorkerPool
from forebay.pipeline.workers.protocol import Done, Failed, Ready, answer_decoder
from forebay.workers.frames import FrameReader, frame

MISBEHAVING = "tests.integration.misbehaving_worker"
MEBIBYTE = 1024 * 1024


def request(text: str | bytes, name: str = "a.txt") -> ParseRequest:
    return ParseRequest(
        name=name,
        content_type=None,
        data=text.encode() if isinstance(text, str) else text,
        max_blob_bytes=20 * MEBIBYTE,
        accept_unknown_text=False,
        chunk_size=800,
        chunker="auto",
        max_text_characters=10_000_000,
    )


@asynccontextmanager
async def pool_of(
    worker_count: int = 1,
    *,
    module: str = MISBEHAVING,
    timeout_seconds: float = 30,
    memory_bytes: int = 512 * MEBIBYTE,
    recycle_after_count: int = 1000,
    queue_limit_count: int = 1000,
) -> AsyncIterator[WorkerPool]:
    pool = WorkerPool(
        worker_count=worker_count,
        timeout_seconds=timeout_seconds,
        memory_bytes=memory_bytes,
        recycle_after_count=recycle_after_count,
        queue_limit_count=queue_limit_count,
        worker_module=module,
    )
    try:
        yield pool
    finally:
        await pool.close()
        assert pool.process_ids == []


async def reason_of(parsing: Awaitable[Parsed]) -> str:
    with pytest.raises((Refused, ParserFailed)) as caught:
        await parsing
    return caught.value.reason


def text_of(parsed: Parsed) -> str:
    return "".join(chunk.text for chunk in parsed.chunks)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_worker_answers_what_parse_answers() -> None:
    source = request("class A:\n    def f(self):\n        return 'ü'\n" * 50, "a.py")
    async with pool_of(module="forebay.pipeline.workers.worker") as pool:
        assert await pool.parse(source) == parse(source)


async def test_workers_start_only_when_there_is_work_and_no_more_than_allowed(tmp_path: Path) -> None:
    async with pool_of(2) as pool:
        assert pool.process_ids == []
        await pool.parse(request("one"))
        assert len(pool.process_ids) == 1
        gate = tmp_path / "gate"
        waiting = [asyncio.ensure_future(pool.parse(request(f"wait {gate}"))) for _ in range(6)]
        await until(lambda: len(pool.process_ids) == 2)
        gate.touch()
        await asyncio.gather(*waiting)
        assert len(pool.process_ids) == 2


async def test_many_files_at_once_each_get_their_own_answer() -> None:
    texts = [f"file {number} " * (1 + number % 50) for number in range(400)]
    async with pool_of(2) as pool:
        answers = await asyncio.gather(*(pool.parse(request(text)) for text in texts))
    assert [text_of(answer) for answer in answers] == [text.strip() for text in texts]


async def test_a_large_file_passes_through() -> None:
    text = "A line of a large file.\n" * 400_000
    async with pool_of() as pool:
        parsed = await pool.parse(request(text))
    assert parsed.chunks[-1].last_line == 400_000


async def test_a_refusal_comes_back_as_a_refusal() -> None:
    async with pool_of() as pool:
        assert await reason_of(pool.parse(request(b"\x00\x01"))) == "content_mismatch"
        assert await reason_of(pool.parse(request("  \n"))) == "empty"
        assert await reason_of(pool.parse(request(b"%PDF-1.4 nothing", "a.pdf"))) == "corrupt"
        assert len(pool.process_ids) == 1


@pytest.mark.parametrize("command", ["segfault", "exit", "panic", "babble"])
async def test_a_crash_costs_only_the_file_that_caused_it(command: str) -> None:
    async with pool_of() as pool:
        parsings = [pool.parse(request(text)) for text in ("before", f"{command} now", "after one", "after two", "after three")]
        answers = await asyncio.gather(*parsings, return_exceptions=True)
    crash = answers.pop(1)
    assert isinstance(crash, ParserFailed)
    assert (crash.code, crash.reason, crash.retryable) == ("parser_crashed", "parser_crashed", True)
    assert [text_of(answer) for answer in answers if isinstance(answer, Parsed)] == ["before", "after one", "after two", "after three"]


async def test_two_crashes_in_a_row_are_blamed_on_their_own_files() -> None:
    async with pool_of() as pool:
        parsings = [pool.parse(request(text)) for text in ("segfault a", "good", "exit b", "fine")]
        answers = await asyncio.gather(*parsings, return_exceptions=True)
    assert [type(answer) for answer in answers] == [ParserFailed, Parsed, ParserFailed, Parsed]
    assert "SIGSEGV" in str(answers[0])
    assert "exit status 3" in str(answers[2])


@pytest.mark.parametrize("command", ["hang now", "spin"])
async def test_a_hanging_parser_is_killed_and_the_files_behind_it_are_parsed(command: str) -> None:
    async with pool_of(timeout_seconds=0.5) as pool:
        hanging = asyncio.ensure_future(pool.parse(request(command)))
        behind = asyncio.ensure_future(pool.parse(request("behind")))
        with pytest.raises(ParserFailed) as caught:
            await hanging
        assert (caught.value.reason, caught.value.retryable) == ("parser_timeout", False)
        assert text_of(await behind) == "behind"


async def test_a_parser_that_somebody_has_stopped_is_replaced_and_its_file_may_be_tried_again() -> None:
    async with pool_of(timeout_seconds=0.5) as pool:
        await pool.parse(request("first"))
        (process_id,) = pool.process_ids
        os.kill(process_id, signal.SIGSTOP)
        with pytest.raises(ParserFailed, match="stopped") as caught:
            await pool.parse(request("second"))
        assert (caught.value.reason, caught.value.retryable) == ("parser_timeout", True)
        assert text_of(await pool.parse(request("second"))) == "second"
        assert process_id not in pool.process_ids


async def test_a_program_that_was_stopped_itself_does_not_blame_its_parsers(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    async with pool_of(timeout_seconds=1.5) as pool:
        await pool.parse(request("first"))
        parsing = asyncio.ensure_future(pool.parse(request(f"wait {gate}")))
        await asyncio.sleep(0.1)
        time.sleep(3)  # nothing runs in this program, the clock included
        asyncio.get_running_loop().call_later(0.1, gate.touch)
        assert text_of(await parsing).startswith("wait")


async def test_the_kernel_ends_a_task_that_uses_more_cpu_time_than_its_limit() -> None:
    ours, theirs = socket.socketpair()
    arguments = [sys.executable, "-m", MISBEHAVING, str(512 * MEBIBYTE), "1", str(os.getpid())]
    environment = {"PYTHONPATH": os.pathsep.join(sys.path)}
    with ours, theirs, subprocess.Popen(arguments, stdin=theirs, env=environment) as worker:
        ours.sendall(frame(request("spin")))
        try:
            assert worker.wait(timeout=30) == -signal.SIGXCPU
        finally:
            worker.kill()


async def test_too_much_cpu_time_is_a_timeout() -> None:
    async with pool_of() as pool:
        assert await reason_of(pool.parse(request("overrun"))) == "parser_timeout"


async def test_a_parser_over_its_memory_limit_fails_with_that_reason() -> None:
    async with pool_of(memory_bytes=200 * MEBIBYTE) as pool:
        parsings = [pool.parse(request(text)) for text in (f"allocate {400 * MEBIBYTE}", "behind")]
        failure, answer = await asyncio.gather(*parsings, return_exceptions=True)
        assert isinstance(failure, ParserFailed)
        assert failure.reason == "parser_memory"
        assert isinstance(answer, Parsed)
        assert await reason_of(pool.parse(request("complain loudly"))) == "parser_memory"
        assert text_of(await pool.parse(request(f"allocate {10 * MEBIBYTE}"))).startswith("allocate")


async def test_the_last_words_of_a_parser_are_heard_while_it_is_sent_more() -> None:
    """Now and then the next request broke the connection before the answer had been read, and the reason was lost."""
    for _ in range(8):
        async with pool_of(memory_bytes=256 * MEBIBYTE) as pool:
            parsings = [pool.parse(request(text)) for text in ("before", f"allocate {2 << 30}", "behind", "behind again")]
            answers = await asyncio.gather(*parsings, return_exceptions=True)
        assert [getattr(answer, "reason", None) for answer in answers] == [None, "parser_memory", None, None]


async def test_a_bug_in_the_parser_is_internal_and_the_worker_lives_on() -> None:
    async with pool_of() as pool:
        await pool.parse(request("first"))
        before = pool.process_ids
        assert await reason_of(pool.parse(request("raise it"))) == "internal"
        assert pool.process_ids == before


async def test_what_a_library_prints_does_not_disturb_the_answers() -> None:
    async with pool_of() as pool:
        for _ in range(3):
            assert text_of(await pool.parse(request("print noise"))) == "print noise"


async def test_a_worker_has_no_secrets_no_inherited_descriptors_and_its_own_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOREBAY_API_KEY", "secret")
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    reading, writing = os.pipe()
    os.set_inheritable(reading, True)
    try:
        async with pool_of() as pool:
            facts = dict(line.split("=", 1) for line in text_of(await pool.parse(request("tell me"))).split("\n"))
    finally:
        os.close(reading)
        os.close(writing)
    assert "KEY" not in facts["environment"]
    assert facts["descriptors"] == "4"  # standard input, output and error, and the channel
    assert facts["session"] == "True"
    assert facts["path"] == "True"


async def test_a_worker_is_replaced_after_its_share() -> None:
    async with pool_of(recycle_after_count=3) as pool:
        seen = set()
        for number in range(7):
            await pool.parse(request(f"file {number}"))
            seen.update(pool.process_ids)
        answers = await asyncio.gather(*(pool.parse(request(f"file {number}")) for number in range(20)))
        assert len(answers) == 20
    assert len(seen) >= 3


async def test_cancelling_a_caller_disturbs_nobody(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    async with pool_of(queue_limit_count=4) as pool:
        running = asyncio.ensure_future(pool.parse(request(f"wait {gate}")))
        pipelined = [asyncio.ensure_future(pool.parse(request(f"file {number}"))) for number in range(3)]
        beyond_the_limit = asyncio.ensure_future(pool.parse(request("late")))
        await until(lambda: len(pool.process_ids) == 1)
        await asyncio.sleep(0)
        for cancelled in (running, pipelined[1], beyond_the_limit):
            cancelled.cancel()
        gate.touch()
        answers = await asyncio.gather(running, *pipelined, beyond_the_limit, return_exceptions=True)
        assert [isinstance(answer, asyncio.CancelledError) for answer in answers] == [True, False, True, False, True]
        assert text_of(await pool.parse(request("afterwards"))) == "afterwards"


async def test_a_full_pool_makes_callers_wait(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    async with pool_of(queue_limit_count=2) as pool:
        parsings = [asyncio.ensure_future(pool.parse(request(f"wait {gate}"))) for _ in range(5)]
        await until(lambda: len(pool.process_ids) == 1)
        assert pool._room.locked()
        gate.touch()
        assert len(await asyncio.gather(*parsings)) == 5


async def test_a_worker_that_was_killed_from_outside_is_replaced() -> None:
    async with pool_of() as pool:
        await pool.parse(request("first"))
        (process_id,) = pool.process_ids
        os.kill(process_id, signal.SIGKILL)
        await until(lambda: pool.process_ids == [])
        assert text_of(await pool.parse(request("second"))) == "second"


async def test_a_worker_that_cannot_start_says_why() -> None:
    async with pool_of(module="forebay.no_such_module") as pool:
        answers = await asyncio.gather(*(pool.parse(request("x")) for _ in range(3)), return_exceptions=True)
    for answer in answers:
        assert isinstance(answer, ParserFailed)
        assert answer.reason == "internal"
        assert answer.retryable
        assert "No module named" in answer.message


async def test_closing_ends_every_worker_fails_what_waits_and_leaves_no_zombie() -> None:
    async with pool_of(2) as pool:
        parsings = [asyncio.ensure_future(pool.parse(request("hang on"))) for _ in range(8)]
        await until(lambda: len(pool.process_ids) == 2)
        processes = [psutil.Process(process_id) for process_id in pool.process_ids]
        await pool.close()
        for answer in await asyncio.gather(*parsings, return_exceptions=True):
            assert isinstance(answer, ForebayError)
            assert (answer.code, answer.retryable) == ("parser_closed", True)
        assert not any(process.is_running() for process in processes)
        with pytest.raises(ForebayError, match="stopped"):
            await pool.parse(request("late"))
        await pool.close()


async def test_a_worker_does_not_outlive_a_parent_that_was_killed(tmp_path: Path) -> None:
    spinning = tmp_path / "spinning"
    scratch = f"__import__('pathlib').Path({str(tmp_path)!r})"
    program = (
        "import asyncio\n"
        "from tests.integration.test_worker_pool import request\n"
        "from forebay.pipeline.workers.pool import WorkerPool\n"
        "async def main():\n"
        f"    pool = WorkerPool(worker_count=1, timeout_seconds=60, memory_bytes={512 * MEBIBYTE}, "
        f"worker_module={MISBEHAVING!r}, scratch_directory={scratch})\n"
        "    await pool.parse(request('first'))\n"
        "    print(pool.process_ids[0], flush=True)\n"
        f"    await pool.parse(request('spin {spinning}'))\n"
        "asyncio.run(main())\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout is not None
        worker = psutil.Process(int(parent.stdout.readline()))
        await until(spinning.exists)
        parent.kill()
    await until(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE)


answers = st.one_of(
    st.just(Ready()),
    st.builds(Failed, st.text(), st.text(), st.booleans(), st.booleans()),
    st.text(st.characters(exclude_categories=("C",))).map(lambda text: Done(parse(request("x" + text)))),
)


@given(st.lists(answers, max_size=6), st.data())
def test_answers_are_put_together_from_pieces_of_any_size(sent: list[Ready | Done | Failed], data: st.DataObject) -> None:
    stream = b"".join(frame(answer) for answer in sent)
    reader = FrameReader(answer_decoder)
    received = []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        received.extend(reader.feed(stream[:size]))
        stream = stream[size:]
    assert received == sent


@given(st.binary(min_size=1))
def test_what_is_no_answer_is_refused_and_never_run(noise: bytes) -> None:
    with pytest.raises(ValueError, match="expected"):
        list(FrameReader(answer_decoder).feed(len(noise).to_bytes(4, "little") + b"\xc1" + noise[1:]))
