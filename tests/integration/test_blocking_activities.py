from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from opentelemetry.trace import INVALID_SPAN_CONTEXT, NonRecordingSpan, Tracer
from tests.integration import blocking_functions as functions

from forebay.durable import (
    DurableEngine,
    EngineLimits,
    OrchestrationContext,
    OrchestrationStatus,
    Registry,
    RetryOptions,
    Task,
    current_activity,
)
from forebay.durable.activities.process_protocol import Call
from forebay.durable.activities.processes import ProcessPool
from forebay.effects import SystemClock
from forebay.errors import ForebayError
from forebay.values.correlation import Correlation, current_correlation

Steps = Generator[Task[Any], Any, Any]


class Program:
    """An engine and what is asked of it."""

    def __init__(self, engine: DurableEngine) -> None:
        self.engine = engine
        self.client = engine.client

    async def call(self, name: str, value: Any = None, *, attempts: int = 1, correlation: Correlation | None = None) -> OrchestrationStatus:
        """One activity, in an instance of its own."""
        instance_id = await self.client.start_new("one", None, [name, value, attempts], correlation=correlation)
        return await self.client.wait_for_completion(instance_id, 60)

    async def failure(self, name: str, value: Any = None, *, attempts: int = 1) -> tuple[str, str]:
        status = await self.call(name, value, attempts=attempts)
        assert status.runtime_status == "Failed"
        (letter,) = await self.engine.database.readers.run(
            lambda connection: connection.execute("SELECT code, reason FROM dead_letters ORDER BY id DESC LIMIT 1").fetchall()
        )
        return letter


def with_orchestrators(registry: Registry) -> Registry:
    if "one" in registry.orchestrator_names:
        return registry

    @registry.orchestrator
    def one(context: OrchestrationContext) -> Steps:
        name, value, attempts = context.get_input()
        return (yield context.call_activity_with_retry(name, RetryOptions(1, attempts), value))

    @registry.orchestrator
    def many(context: OrchestrationContext) -> Steps:
        name, values = context.get_input()
        return (yield context.task_all([context.call_activity(name, value) for value in values]))

    return registry


@asynccontextmanager
async def program(registry: Registry, path: Path, **limits: Any) -> AsyncIterator[Program]:
    async with DurableEngine(with_orchestrators(registry), path / "test.db", limits=EngineLimits(**limits)) as engine:
        yield Program(engine)


def in_processes(*names: str, **options: Any) -> Registry:
    registry = Registry()
    for name in names:
        registry.activity(process=True, **options)(getattr(functions, name))
    return registry


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


def workers() -> list[psutil.Process]:
    """The processes of activities that this one has."""
    found = []
    for child in psutil.Process().children():
        try:
            if "forebay.durable.activities.process_worker" in child.cmdline():
                found.append(child)
        except psutil.Error:
            continue
    return found


def activity_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("forebay-activity")]


# -- threads --------------------------------------------------------------------------------------------------------


async def test_what_blocks_runs_in_threads_of_the_engine_within_their_number(tmp_path: Path) -> None:
    registry, both, names = Registry(), threading.Barrier(2), []

    @registry.activity
    def block(value: int) -> int:
        both.wait(30)
        names.append(threading.current_thread().name)
        return value

    async with program(registry, tmp_path, blocking_threads=2) as it:
        instance_id = await it.client.start_new("many", None, ["block", list(range(8))])
        status = await it.client.wait_for_completion(instance_id, 60)
        assert len(activity_threads()) == 2

    assert status.output == list(range(8))
    assert set(names) == {"forebay-activity-1", "forebay-activity-2"}
    await until(lambda: not activity_threads())


async def test_waiting_for_a_thread_is_shown_and_is_not_counted_as_running(tmp_path: Path) -> None:
    registry, go_on = Registry(), threading.Event()

    @registry.activity(timeout_seconds=1.0)
    def block(value: int) -> int:
        if value == 0:
            while not go_on.wait(0.1):
                current_activity().heartbeat()
        return value

    async with program(registry, tmp_path, blocking_threads=1) as it:
        instance_id = await it.client.start_new("many", None, ["block", [0, 1]])
        await until(lambda: any(room.waiting for room in it.engine.rooms()))
        (room,) = it.engine.rooms()
        assert (room.activity, room.limit, room.running_count, room.waiting[0].instance_id) == ("blocking_threads", 1, 1, instance_id)
        await asyncio.sleep(1.2)  # longer than a try may take: it is the waiting that this is about
        go_on.set()
        status = await it.client.wait_for_completion(instance_id, 60)

    assert status.output == [0, 1]


async def test_a_thread_knows_its_activity_and_what_it_works_for(tmp_path: Path) -> None:
    registry = Registry()

    @registry.activity
    def tell(value: Any) -> list[Any]:
        info, correlation = current_activity(), current_correlation()
        assert correlation is not None
        return [info.name, info.attempt, correlation.id, correlation.project, value]

    async with program(registry, tmp_path) as it:
        status = await it.call("tell", 5, correlation=Correlation(id="c1", project="p1"))

    assert status.output == ["tell", 1, "c1", "p1", 5]


async def test_a_thread_that_is_over_its_time_fails_the_try_and_keeps_its_place_until_it_ends(tmp_path: Path) -> None:
    registry, go_on, tries = Registry(), threading.Event(), []

    @registry.activity(timeout_seconds=0.2)
    def block(value: Any) -> str:
        tries.append(current_activity().attempt)
        if len(tries) == 1:
            go_on.wait(60)
            return "late"
        return "in time"

    async with program(registry, tmp_path, blocking_threads=1) as it:
        code, message = await it.failure("block")
        assert code == "timeout"
        assert "ran longer than 0.2 s; its thread goes on" in message
        waiting = asyncio.create_task(it.call("block"))
        await until(lambda: any(room.waiting for room in it.engine.rooms()))
        assert tries == [1]
        go_on.set()
        status = await waiting

    assert status.output == "in time"
    assert tries == [1, 1]


async def test_the_late_result_of_a_thread_is_ignored(tmp_path: Path) -> None:
    registry, go_on, tries, ended = Registry(), threading.Event(), [], threading.Event()

    @registry.activity(timeout_seconds=0.2)
    def block(value: Any) -> str:
        tries.append(current_activity().attempt)
        if len(tries) == 1:
            go_on.wait(60)
            ended.set()
            return "late"
        go_on.set()
        ended.wait(60)
        return "in time"

    async with program(registry, tmp_path, blocking_threads=2) as it:
        status = await it.call("block", attempts=2)

    assert (status.output, tries) == ("in time", [1, 2])


async def test_heartbeats_from_a_thread_let_the_time_limit_begin_anew(tmp_path: Path) -> None:
    registry = Registry()
    registry.activity(timeout_seconds=1)(functions.beat)
    registry.activity(timeout_seconds=1)(functions.silent)

    async with program(registry, tmp_path) as it:
        alive, silent = await asyncio.gather(it.call("beat", 20), it.call("silent", 2))

    assert alive.output == "alive"
    assert silent.runtime_status == "Failed"


@pytest.mark.parametrize(
    ("what", "code"),
    [("quit", "SystemExit"), ("panic", "NativePanic"), ("stop iteration", "RuntimeError"), ("value", "ValueError"), ("refuse", "too_odd")],
)
async def test_whatever_a_function_raises_in_a_thread_fails_its_try(tmp_path: Path, what: str, code: str) -> None:
    registry = Registry()
    registry.activity(functions.misbehave)

    async with program(registry, tmp_path) as it:
        assert (await it.failure("misbehave", what))[0] == code
        assert (await it.call("misbehave", "nothing")).output == "nothing"


async def test_a_stop_waits_for_threads_no_longer_than_its_deadline(tmp_path: Path) -> None:
    registry, go_on, begun = Registry(), threading.Event(), threading.Event()

    @registry.activity
    def block(value: Any) -> None:
        begun.set()
        go_on.wait(60)

    async with program(registry, tmp_path, stop_deadline_seconds=0.1) as it:
        instance_id = await it.client.start_new("one", None, ["block", None, 1])
        await until(begun.is_set)
        stopping = time.monotonic()
    assert time.monotonic() - stopping < 10
    assert len(activity_threads()) == 1
    go_on.set()
    await until(lambda: not activity_threads())
    async with program(registry, tmp_path) as it:
        assert (await it.client.wait_for_completion(instance_id, 60)).runtime_status == "Completed"


def test_a_thread_that_never_ends_keeps_no_interpreter_from_exiting(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import asyncio, sys, threading\n"
        "from forebay.durable import DurableEngine, EngineLimits, Registry\n"
        "registry, begun = Registry(), threading.Event()\n"
        "@registry.orchestrator\n"
        "def one(context):\n"
        "    yield context.call_activity('block')\n"
        "@registry.activity\n"
        "def block(value):\n"
        "    begun.set()\n"
        "    threading.Event().wait()\n"
        "async def main():\n"
        "    async with DurableEngine(registry, sys.argv[1], limits=EngineLimits(stop_deadline_seconds=0)) as engine:\n"
        "        await engine.client.start_new('one')\n"
        "        await asyncio.to_thread(begun.wait)\n"
        "asyncio.run(main())\n"
    )
    ended = subprocess.run([sys.executable, script, tmp_path / "test.db"], timeout=60, capture_output=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, b"")


# -- processes ------------------------------------------------------------------------------------------------------


async def test_a_process_knows_its_activity_and_is_used_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with program(in_processes("describe"), tmp_path, blocking_processes=1) as it:
        first = await it.call("describe", {"part": "é"})
        second = await it.call("describe", 2)
        assert [each.pid for each in workers()] == [first.output["pid"]]

    assert first.output["pid"] == second.output["pid"] != os.getpid()
    assert first.output["value"] == {"part": "é"}
    assert (first.output["name"], first.output["attempt"], first.output["instance_id"]) == ("describe", 1, first.instance_id)
    assert first.output["activity_id"].startswith(f"{first.instance_id}:")
    assert first.output["session"]
    assert first.output["descriptors"] <= 5  # the standard ones, the socket, and the one that looks
    assert not workers()


async def test_what_a_process_logs_is_logged_here_under_the_correlation_of_the_call(tmp_path: Path) -> None:
    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            correlation = current_correlation()
            seen.append((record, self.format(record), correlation and (correlation.id, correlation.project)))

    seen: list[tuple[logging.LogRecord, str, Any]] = []
    collector = Collector()
    functions.log.addHandler(collector)
    try:
        async with program(in_processes("describe", "complain"), tmp_path, blocking_processes=1) as it:
            told = await it.call("describe", 1, correlation=Correlation(id="c1", project="p1"))
            await it.call("complain", 2, correlation=Correlation(id="c2"))
    finally:
        functions.log.removeHandler(collector)

    (record, text, correlation), (_, complaint, other) = seen
    assert (text, correlation, other) == ("working on 1", ("c1", "p1"), ("c2", None))
    assert (record.levelno, record.process, record.funcName) == (logging.WARNING, told.output["pid"], "describe")
    assert record.dimensions == {"part": "7"}  # type: ignore[attr-defined]
    assert complaint.startswith("it went wrong\nTraceback")
    assert "KeyError: 2" in complaint


async def test_the_span_of_a_try_has_the_error_of_the_process_with_its_stack(tmp_path: Path) -> None:
    class Span(NonRecordingSpan):
        def record_exception(self, exception: BaseException, *_: Any, **__: Any) -> None:
            recorded.append(exception)

    class RecordingTracer(Tracer):
        def start_span(self, name: str, *_: Any, **__: Any) -> Span:
            return Span(INVALID_SPAN_CONTEXT)

        def start_as_current_span(self, *_: Any, **__: Any) -> Any:
            raise NotImplementedError

    recorded: list[BaseException] = []
    registry = with_orchestrators(in_processes("misbehave"))
    async with DurableEngine(registry, tmp_path / "test.db", tracer=RecordingTracer()) as engine:
        it = Program(engine)
        for what in ("value", "refuse", "exit"):
            await it.call("misbehave", what)

    (error,) = recorded
    assert "in misbehave\n" in str(error.__cause__)


@pytest.mark.parametrize(
    ("what", "code", "message"),
    [
        ("segfault", "worker_crashed", "by SIGSEGV"),
        ("exit", "worker_crashed", "with exit status 3"),
        ("last words", "worker_crashed", "by SIGABRT: it was the disk"),
        ("babble", "worker_crashed", "broke the protocol"),
        ("quit", "SystemExit", "enough"),
        ("panic", "NativePanic", "index out of bounds"),
        ("value", "ValueError", "no such thing: \\udcff"),
        ("stop iteration", "StopIteration", "1"),
        ("odd result", "payload_not_json", "the result of misbehave must be a JSON value"),
        ("large result", "payload_too_large", "the result of misbehave has 100,002 bytes"),
    ],
)
async def test_what_goes_wrong_in_a_process_costs_that_try_alone(tmp_path: Path, what: str, code: str, message: str) -> None:
    async with program(in_processes("misbehave"), tmp_path, blocking_processes=1) as it:
        failure = await it.failure("misbehave", what)
        assert failure[0] == code
        assert message in failure[1]
        assert (await it.call("misbehave", "nothing")).output == "nothing"
    assert not workers()


async def test_what_a_process_prints_and_reads_disturbs_nobody(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    async with program(in_processes("misbehave"), tmp_path) as it:
        assert (await it.call("misbehave", "print")).output == ""
    assert capfd.readouterr().out == ""


async def test_a_crash_is_tried_again_and_a_refusal_is_not(tmp_path: Path) -> None:
    async with program(in_processes("misbehave"), tmp_path, blocking_processes=1) as it:
        crashed = await it.call("misbehave", "exit", attempts=3)
        refused = await it.call("misbehave", "refuse", attempts=3)
        counts = await it.engine.database.readers.run(
            lambda connection: dict(connection.execute("SELECT instance_id, attempts FROM dead_letters").fetchall())
        )
    assert (counts[crashed.instance_id], counts[refused.instance_id]) == (3, 1)


async def test_a_crash_leaves_the_processes_beside_it_alone(tmp_path: Path) -> None:
    async with program(in_processes("misbehave", "beat"), tmp_path, blocking_processes=2) as it:
        beating = asyncio.create_task(it.call("beat", 10))
        assert (await it.failure("misbehave", "segfault"))[0] == "worker_crashed"
        assert not beating.done()
        assert (await beating).output == "alive"


async def test_a_hang_is_ended_by_the_time_limit_with_every_process_that_it_has_started(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    async with program(in_processes("hang_with_child", timeout_seconds=1.5), tmp_path) as it:
        code, message = await it.failure("hang_with_child", str(path))
        child = int(path.read_text())
        await until(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE)
        await until(lambda: not workers())

    assert (code, message) == ("timeout", "activity 'hang_with_child' ran longer than 1.5 s; its process was ended")


async def test_heartbeats_from_a_process_let_the_time_limit_begin_anew(tmp_path: Path) -> None:
    async with program(in_processes("beat", "silent", timeout_seconds=1), tmp_path, blocking_processes=2) as it:
        alive, silent = await asyncio.gather(it.call("beat", 20), it.call("silent", 2))

    assert alive.output == "alive"
    assert silent.runtime_status == "Failed"


async def test_there_are_never_more_processes_than_allowed(tmp_path: Path) -> None:
    async with program(in_processes("ask_pid"), tmp_path, blocking_processes=2) as it:
        instance_id = await it.client.start_new("many", None, ["ask_pid", list(range(40))])
        status = await it.client.wait_for_completion(instance_id, 60)
        assert {each.pid for each in workers()} == set(status.output)

    assert 1 <= len(set(status.output)) <= 2


async def test_a_stop_ends_the_processes_and_the_try_is_none(tmp_path: Path) -> None:
    registry, path = in_processes("hang_with_child"), tmp_path / "pid"
    async with program(registry, tmp_path, stop_deadline_seconds=0.1) as it:
        instance_id = await it.client.start_new("one", None, ["hang_with_child", str(path), 1])
        await until(lambda: path.exists() and bool(path.read_text()))
    assert not workers()
    path.unlink()
    async with program(in_processes("hang_with_child"), tmp_path, stop_deadline_seconds=0.1) as it:
        await until(path.exists)  # it runs again, though it is tried only once
        status = await it.client.get_status(instance_id)
        assert status is not None
        assert status.runtime_status == "Running"


async def test_an_ended_instance_ends_the_process_of_its_activity(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    async with program(in_processes("hang_with_child"), tmp_path) as it:
        instance_id = await it.client.start_new("one", None, ["hang_with_child", str(path), 1])
        await until(path.exists)
        await it.client.terminate(instance_id, "enough")
        await until(lambda: not workers())


def test_processes_do_not_outlive_an_engine_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import asyncio, sys\n"
        "from forebay.durable import DurableEngine, Registry\n"
        "from tests.integration import blocking_functions\n"
        "registry = Registry()\n"
        "@registry.orchestrator\n"
        "def one(context):\n"
        "    yield context.call_activity('hang_with_child', sys.argv[2])\n"
        "registry.activity(process=True)(blocking_functions.hang_with_child)\n"
        "async def main():\n"
        "    async with DurableEngine(registry, sys.argv[1]) as engine:\n"
        "        await engine.client.wait_for_completion(await engine.client.start_new('one'))\n"
        "asyncio.run(main())\n"
    )
    path = tmp_path / "pid"
    engine = subprocess.Popen(
        [sys.executable, script, tmp_path / "test.db", path], env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    )
    try:
        deadline = time.monotonic() + 60
        while not (path.exists() and path.read_text()):
            assert engine.poll() is None
            assert time.monotonic() < deadline
        (worker,) = psutil.Process(engine.pid).children()
    finally:
        engine.kill()
        engine.wait()
    worker.wait(30)
    os.kill(int(path.read_text()), signal.SIGKILL)


async def test_a_function_that_is_not_there_is_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(functions.ask_pid, "__qualname__", "moved_away")
    async with program(in_processes("ask_pid"), tmp_path) as it:
        code, message = await it.failure("ask_pid", attempts=3)
    assert code == "activity_not_importable"
    assert "cannot import tests.integration.blocking_functions.moved_away" in message


async def test_a_static_method_runs_in_a_process(tmp_path: Path) -> None:
    registry = Registry()
    registry.activity(process=True)(functions.Methods.double)
    async with program(registry, tmp_path) as it:
        assert (await it.call("double", 21)).output == 42


@pytest.mark.parametrize("executable", ["/bin/false", "/nonexistent"])
async def test_a_process_that_cannot_start_fails_the_try(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, executable: str) -> None:
    async with program(in_processes("ask_pid"), tmp_path) as it:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "executable", executable)
            code, message = await it.failure("ask_pid")
        assert (code, "could not start" in message) == ("worker_crashed", True)
        assert (await it.call("ask_pid")).runtime_status == "Completed"


# -- the pool by itself ---------------------------------------------------------------------------------------------


def call_of(function: Callable[[Any], Any], value: str) -> Call:
    return Call(
        module=function.__module__,
        qualified_name=function.__qualname__,
        input_json=value.encode(),
        payload_limit_bytes=1000,
        name="a",
        instance_id="i",
        activity_id="i:0",
        attempt=1,
        correlation=None,
    )


@asynccontextmanager
async def pool_of(**options: Any) -> AsyncIterator[Callable[..., Any]]:
    pool = ProcessPool(1, SystemClock(), **options)

    async def run(function: Callable[[Any], Any], value: str = "null") -> str:
        return await pool.run(call_of(function, value), on_begun=lambda: None, on_beat=lambda: None)

    try:
        yield run
    finally:
        await pool.close()
        assert pool.process_ids == []


async def test_a_process_is_replaced_after_its_share_of_calls() -> None:
    async with pool_of(recycle_after_calls=2) as run:
        pids = [await run(functions.ask_pid) for _ in range(5)]
    assert pids[0] == pids[1] != pids[2] == pids[3] != pids[4]


async def test_a_process_that_dies_before_it_looks_at_a_call_costs_nothing() -> None:
    async with pool_of() as run:
        first = int(await run(functions.ask_pid))
        os.kill(first, signal.SIGSTOP)
        second = asyncio.create_task(run(functions.ask_pid))
        await asyncio.sleep(0)  # the call is on its way
        os.kill(first, signal.SIGKILL)
        assert int(await second) != first


async def test_a_process_that_dies_while_it_is_idle_is_replaced() -> None:
    async with pool_of() as run:
        first = int(await run(functions.ask_pid))
        os.kill(first, signal.SIGKILL)
        await until(lambda: not workers())
        assert int(await run(functions.ask_pid)) != first


async def test_a_function_that_leaves_its_process_unsound_is_its_last() -> None:
    async with pool_of() as run:
        first = int(await run(functions.ask_pid))
        with pytest.raises(ForebayError, match="index out of bounds") as caught:
            await run(functions.misbehave, '"panic"')
        assert "in misbehave" in str(caught.value.__cause__)
        assert int(await run(functions.ask_pid)) != first
