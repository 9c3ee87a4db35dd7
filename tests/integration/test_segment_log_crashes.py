"""The segments on a machine whose power fails at every possible point, and on disks that fail."""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forebay.effects import Blocking, ThreadBlocking
from forebay.errors import ForebayError
from forebay.telemetry.log.files import AppendFile
from forebay.telemetry.log.frames import encode_body
from forebay.telemetry.log.port import Entry, StoredEntry
from forebay.telemetry.log.segment_log import PARTITION, SegmentLimits, SegmentLog
from forebay.testing.telemetry_log_contract import REFUSALS, number_of, numbered, read_all, until
from forebay.testing.virtual_log_files import CHANGES, Choose, VirtualLogFiles

DIRECTORY = Path("/data/telemetry-log")
LIMITS = SegmentLimits(segment_bytes=250, log_bytes=1 << 20, waiting_bytes=1 << 16)


class InlineBlocking:
    """Everything at once: no test here needs more threads than the writing one."""

    async def run(self, function: Callable[..., object], *arguments: object) -> object:
        return function(*arguments)

    def close(self) -> None: ...


@dataclass
class Ledger:
    """What senders and readers were told."""

    attempted: set[int] = field(default_factory=set)
    acknowledged: dict[int, int] = field(default_factory=dict)  # offset -> number
    seen: dict[int, int] = field(default_factory=dict)
    released: int = 0
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    @property
    def position(self) -> int:
        return max(self.seen, default=0)


class Machine:
    """A log on virtual files, whose processes come and go."""

    def __init__(self, files: VirtualLogFiles, ledger: Ledger, blocking: Blocking, limits: SegmentLimits = LIMITS) -> None:
        self.files = files
        self.ledger = ledger
        self.blocking = blocking
        self.limits = limits
        self.log: SegmentLog | None = None

    async def start(self, after: int = 0) -> None:
        log = SegmentLog(DIRECTORY, self.blocking, files=self.files, limits=self.limits)
        try:
            await log.open({PARTITION: after})
        except ForebayError as error:
            assert error.code in REFUSALS
            self.log = None
        else:
            self.log = log

    async def stop(self) -> None:
        if self.log is not None:
            await self.log.close()
            self.log = None

    async def append(self, count: int, size_bytes: int = 20) -> None:
        if self.log is None:
            return
        entries = [numbered(next(self.ledger.numbers), size_bytes) for _ in range(count)]
        self.ledger.attempted |= {int(each.headers["number"]) for each in entries}
        for result in await asyncio.gather(*(self.log.append(each) for each in entries), return_exceptions=True):
            if isinstance(result, StoredEntry):
                assert result.offset not in self.ledger.acknowledged, "an offset was used twice"
                self.ledger.acknowledged[result.offset] = number_of(result)
            else:
                assert isinstance(result, ForebayError), result
                assert result.code in REFUSALS
                assert result.retryable

    async def read(self) -> None:
        if self.log is not None:
            try:
                found = await read_all(self.log, {PARTITION: self.ledger.position}, limit_bytes=100)
            except ForebayError as error:
                assert error.code in REFUSALS
            else:
                self.ledger.seen |= {each.offset: number_of(each) for each in found}

    async def release(self) -> None:
        if self.log is not None:
            self.ledger.released = self.ledger.position
            await self.log.release({PARTITION: self.ledger.released})

    async def check(self, *, is_honest: bool = True) -> None:
        """The log, just started, holds what it promised, and goes on behind it."""
        assert self.log is not None
        ledger = self.ledger
        found = await read_all(self.log, limit_bytes=100)
        offsets = [each.offset for each in found]
        there = {each.offset: number_of(each) for each in found}
        assert offsets == sorted(set(offsets))
        assert set(there.values()) <= ledger.attempted
        assert len(set(there.values())) == len(there), "an entry is there twice"
        promised = ledger.acknowledged | (ledger.seen if is_honest else {})
        assert {offset: number for offset, number in promised.items() if offset > ledger.released and there.get(offset) != number} == {}
        if promised:
            assert self.log.ends()[PARTITION] >= max(ledger.acknowledged, default=0)
        await self.append(1)
        assert max(ledger.acknowledged) > max([0, *offsets, *ledger.seen])


async def story(machine: Machine) -> None:
    """Everything that a log does in its life, over three processes."""
    await machine.start()
    await machine.append(1)
    await machine.append(5)
    await machine.read()
    for _ in range(3):
        await machine.append(2)
    await machine.release()
    await machine.append(2, size_bytes=300)
    await machine.stop()
    await machine.start()
    await machine.read()
    await machine.append(3)
    await machine.read()
    await machine.release()
    await machine.append(4)
    await machine.stop()
    await machine.start()
    await machine.stop()
    await machine.start()
    await machine.append(2)
    await machine.stop()


class Always:
    """Choices of one kind: what becomes of names, of contents, and where things are cut."""

    def __init__(self, keeps_names: bool, content: int, cut_ratio: float = 0.5) -> None:
        self.keeps_names = keeps_names
        self.content = content
        self.cut_ratio = cut_ratio

    def __call__(self, bound: int) -> int:
        match bound:
            case 2:
                return int(self.keeps_names)
            case 5:
                return self.content
            case _:
                return int(bound * self.cut_ratio)


LOSSES = [
    Always(False, 0),
    Always(True, 0),
    Always(True, 1),
    *(Always(True, 2, ratio) for ratio in (0, 0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99)),
    Always(True, 3),
    Always(True, 4, 0.1),
    Always(True, 4, 0.9),
]


async def change_count() -> int:
    files = VirtualLogFiles()
    await story(Machine(files, Ledger(), InlineBlocking()))
    return files.change_count


async def losses_at_every_point(prepare: Callable[[VirtualLogFiles], None], losses: list[Always]) -> tuple[int, list[AssertionError]]:
    """Cut the power after every single change, and look at every kind of loss: how many were tried, and which broke a promise."""
    tried_count, broken = 0, []
    for survived_count in range(await change_count() + 1):
        files, ledger = VirtualLogFiles(), Ledger()
        prepare(files)
        files.halt_after(survived_count)
        await story(Machine(files, ledger, InlineBlocking()))
        for loss in losses:
            tried_count += 1
            copy = Ledger(set(ledger.attempted), dict(ledger.acknowledged), dict(ledger.seen), ledger.released, itertools.count(1000))
            machine = Machine(files.after_power_loss(loss), copy, InlineBlocking())
            await machine.start()
            try:
                await machine.check()
            except AssertionError as error:
                broken.append(error)
            finally:
                await machine.stop()
    return tried_count, broken


async def test_the_power_may_fail_after_every_single_change_and_nothing_acknowledged_or_read_is_lost() -> None:
    operations: set[str] = set()

    def listen(files: VirtualLogFiles) -> None:
        files.before = lambda operation, path: operations.add(operation)

    tried_count, broken = await losses_at_every_point(listen, LOSSES)
    assert broken == []
    assert tried_count > 500
    assert operations >= set(CHANGES) - {"truncate"}  # which only failures need


async def kills_at_every_point(prepare: Callable[[VirtualLogFiles], None]) -> tuple[int, list[AssertionError]]:
    """Kill the process after every change, let another read, then cut the power: how many were read that nobody had been told of."""
    seen_count, broken = 0, []
    for survived_count in range(await change_count() + 1):
        machine = Machine(VirtualLogFiles(), Ledger(), InlineBlocking())
        machine.files.halt_after(survived_count)
        await story(machine)
        machine.files.resume()
        prepare(machine.files)
        await machine.start()
        await machine.read()
        seen_count += len(machine.ledger.seen.keys() - machine.ledger.acknowledged.keys())
        await machine.stop()
        machine.files = machine.files.after_power_loss(Always(False, 0))
        await machine.start()
        try:
            await machine.check()
        except AssertionError as error:
            broken.append(error)
        finally:
            await machine.stop()
    return seen_count, broken


async def test_what_a_killed_process_had_written_is_durable_before_the_next_one_shows_it_to_readers() -> None:
    seen_count, broken = await kills_at_every_point(lambda files: None)
    assert broken == []
    assert seen_count, "some were read that nobody had been told of"


@pytest.mark.parametrize("lie", ["ignores_sync", "ignores_sync_directory"])
async def test_a_disk_that_lies_about_a_sync_is_noticed_by_the_same_test(lie: str) -> None:
    _, broken = await losses_at_every_point(lambda files: setattr(files, lie, True), [Always(False, 0)])
    assert broken


def without_sync_of_entries(files: VirtualLogFiles) -> None:
    """As if the log acknowledged what it has only written."""
    create = files.create

    def create_unsynced(path: Path) -> AppendFile:
        file = create(path)
        file.sync = lambda: None  # type: ignore[method-assign]
        return file

    files.create = create_unsynced  # type: ignore[method-assign]


def without_sync_of_names(directory: Path, files: VirtualLogFiles) -> None:
    """As if the log began a file, or its directory, and did not care whether that has a name after a crash."""
    sync_directory = files.sync_directory

    def sync_others(path: Path) -> None:
        if path != directory:
            sync_directory(path)

    files.sync_directory = sync_others  # type: ignore[method-assign]


@pytest.mark.parametrize(
    "forget",
    [without_sync_of_entries, partial(without_sync_of_names, DIRECTORY), partial(without_sync_of_names, DIRECTORY.parent)],
    ids=["entries", "names of segments", "name of the directory"],
)
async def test_a_log_that_forgets_a_single_sync_is_noticed_by_the_same_test(forget: Callable[[VirtualLogFiles], None]) -> None:
    _, broken = await losses_at_every_point(forget, [Always(False, 0), Always(True, 0)])
    assert broken


async def test_a_log_that_forgets_to_sync_what_it_has_recovered_is_noticed_by_the_same_test() -> None:
    def forget(files: VirtualLogFiles) -> None:
        files.sync = lambda path: None  # type: ignore[method-assign]

    _, broken = await kills_at_every_point(forget)
    assert broken


async def test_what_is_torn_at_any_byte_costs_only_what_was_not_acknowledged() -> None:
    files, ledger = VirtualLogFiles(), Ledger()
    machine = Machine(files, ledger, InlineBlocking(), SegmentLimits())
    await machine.start()
    await machine.append(2)
    files.halt_after(files.change_count + 1)  # a write, without its sync
    await machine.append(3)
    await machine.stop()
    whole_entries_count = set()
    for cut, begins_with_zeros in itertools.product(range(400), (2, 4)):
        after = files.after_power_loss(lambda bound, cut=cut, kind=begins_with_zeros: kind if bound == 5 else min(cut, bound - 1))
        again = Machine(after, Ledger(set(ledger.attempted), dict(ledger.acknowledged), numbers=itertools.count(1000)), InlineBlocking())
        await again.start()
        assert again.log is not None
        found = await read_all(again.log)
        assert sum(each.size_bytes for each in again.log.discarded) + frame_bytes(found) == again.log.stored_bytes
        assert all(each.is_tail or begins_with_zeros == 4 for each in again.log.discarded)
        whole_entries_count.add(len(found))
        await again.check()
        await again.stop()
    assert whole_entries_count >= {2, 3, 4}


def frame_bytes(entries: list[StoredEntry]) -> int:
    return sum(24 + len(encode_body(each.entry)) for each in entries)


ACTIONS = st.one_of(
    st.tuples(st.just("append"), st.integers(1, 6), st.integers(0, 400)),
    st.tuples(st.just("read")),
    st.tuples(st.just("release")),
    st.tuples(st.just("restart")),
    st.tuples(st.just("fail"), st.integers(0, 8), st.integers(1, 6), st.sampled_from([errno.EIO, errno.ENOSPC])),
    st.tuples(st.just("power loss"), st.integers(0, 6)),
)


class FailingSometimes:
    """A disk whose operations fail, from one on and for a while."""

    def __init__(self) -> None:
        self.good_count = 0
        self.bad_count = 0
        self.error_number = 0

    def __call__(self, operation: str, path: Path) -> None:
        if self.bad_count == 0:
            return
        if self.good_count:
            self.good_count -= 1
            return
        self.bad_count -= 1
        raise OSError(self.error_number, "as the test wants it")


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(actions=st.lists(ACTIONS, min_size=3, max_size=25), choices=st.data())
def test_no_history_of_crashes_and_failures_loses_what_was_acknowledged(actions: list[tuple[str, ...]], choices: st.DataObject) -> None:
    def choose(bound: int) -> int:
        return choices.draw(st.integers(0, bound - 1))

    asyncio.run(live_through(actions, choose))


async def live_through(actions: list[tuple], choose: Choose) -> None:
    disk = FailingSometimes()
    machine = Machine(VirtualLogFiles(), Ledger(), InlineBlocking())
    machine.files.before = disk
    has_failed = False
    await machine.start()
    for action, *arguments in [*actions, ("power loss", 0)]:
        match action:
            case "append":
                await machine.append(*arguments)
            case "read":
                await machine.read()
            case "release":
                await machine.release()
            case "restart":
                await machine.stop()
                # what a kernel forgot after a failed sync may have been read: then the reader's position has to be told
                await machine.start(machine.ledger.position if has_failed else 0)
            case "fail":
                has_failed = True
                disk.good_count, disk.bad_count, disk.error_number = arguments
            case _:
                machine.files.halt_after(machine.files.change_count + arguments[0])
                await machine.append(3)
                await machine.stop()
                disk.bad_count = 0
                machine.files = machine.files.after_power_loss(choose)
                machine.files.before = disk
                await machine.start(machine.ledger.position if has_failed else 0)
                await machine.check(is_honest=not has_failed)
    await machine.stop()


@pytest.mark.parametrize("error_number", [errno.ENOSPC, errno.EIO])
async def test_every_operation_may_fail_once_and_then_it_goes_on_by_itself(error_number: int) -> None:
    calls: list[str] = []
    files = VirtualLogFiles()
    files.before = lambda operation, path: calls.append(operation)
    await story(Machine(files, Ledger(), InlineBlocking()))
    for failing in range(len(calls)):
        disk = FailingSometimes()
        disk.good_count, disk.bad_count, disk.error_number = failing, 1, error_number
        machine = Machine(VirtualLogFiles(), Ledger(), InlineBlocking())
        machine.files.before = disk
        await story(machine)
        assert disk.bad_count == 0
        told_count = len(machine.ledger.attempted) - len(machine.ledger.acknowledged)
        assert told_count <= 6, "one failure costs no more than what was being written"
        await machine.start()
        await machine.check()
        await machine.stop()


@pytest.mark.parametrize("failing", ["create", "write", "sync", "sync_directory"])
async def test_a_disk_that_stays_full_gathers_no_files_and_no_memory_and_goes_on_when_it_has_room(failing: str) -> None:
    machine = Machine(VirtualLogFiles(), Ledger(), InlineBlocking(), SegmentLimits(waiting_bytes=1000, segment_bytes=100))
    await machine.start()
    await machine.append(3)

    def refuse(operation: str, path: Path) -> None:
        if operation == failing:
            raise OSError(errno.ENOSPC, "No space left on device")

    machine.files.before = refuse
    assert machine.log is not None
    for _ in range(50):
        acknowledged_count = len(machine.ledger.acknowledged)
        await machine.append(20, size_bytes=50)
        assert len(machine.ledger.acknowledged) == acknowledged_count
        assert machine.log.waiting_bytes == 0
    assert len(machine.files.paths()) == 1
    with pytest.raises(ForebayError) as caught:
        await machine.log.append(numbered(0))
    assert (caught.value.code, caught.value.retry_after_seconds) == ("disk_full", 10)
    removed: list[Path] = []
    machine.files.before = lambda operation, path: removed.append(path) if operation == "remove" else None
    for _ in range(3):
        await machine.append(1, size_bytes=100)
    assert len(machine.ledger.acknowledged) == 6
    there = machine.files.paths()
    await machine.read()
    await machine.release()
    assert removed == there[:-1], "nothing is left of the failed ones, neither files nor memory"
    await machine.stop()
    await machine.start()
    await machine.check()
    await machine.stop()


async def test_what_a_failed_write_left_behind_is_cut_off_so_that_a_retry_is_there_once() -> None:
    machine = Machine(VirtualLogFiles(), Ledger(), InlineBlocking())
    await machine.start()
    await machine.append(1)
    disk = FailingSometimes()
    machine.files.before = disk
    disk.good_count, disk.bad_count, disk.error_number = 1, 1, errno.EIO  # the write succeeds, its sync does not
    await machine.append(1)
    assert len(machine.ledger.acknowledged) == 1
    await machine.append(1)
    await machine.stop()
    await machine.start()
    assert machine.log is not None
    assert [number_of(each) for each in await read_all(machine.log)] == [0, 2]
    assert machine.log.discarded == []
    await machine.stop()


async def test_offsets_of_a_failed_write_are_not_used_again_so_that_its_remains_stand_in_nobodys_way() -> None:
    machine = Machine(VirtualLogFiles(), Ledger(), InlineBlocking())
    await machine.start()
    disk = FailingSometimes()
    machine.files.before = disk
    # the name, the write, then a sync that fails, and a file that cannot be removed
    disk.good_count, disk.bad_count, disk.error_number = 3, 2, errno.EIO
    await machine.append(1)
    assert machine.ledger.acknowledged == {}
    assert len(machine.files.paths()) == 1
    await machine.append(2)
    assert min(machine.ledger.acknowledged) > 1
    await machine.stop()
    await machine.start()
    await machine.check()
    await machine.stop()


async def test_the_last_entries_are_not_removed_before_a_later_segment_holds_some_or_their_offsets_would_be_used_again() -> None:
    machine = Machine(VirtualLogFiles(), Ledger(), InlineBlocking())
    await machine.start()
    await machine.append(1, size_bytes=400)
    await machine.read()
    is_syncing, may_fail = threading.Event(), threading.Event()

    def fail_late(operation: str, path: Path) -> None:
        if operation == "sync":
            is_syncing.set()
            assert may_fail.wait(20)
            raise OSError(errno.EIO, "Input/output error")

    machine.files.before = fail_late
    sender = asyncio.create_task(machine.append(1))
    await until(is_syncing.is_set)
    await machine.release()
    may_fail.set()
    await sender
    machine.files.before = lambda operation, path: None
    await machine.stop()
    await machine.start()
    await machine.check()
    await machine.stop()


async def test_each_segment_has_a_marker_that_nobody_can_guess() -> None:
    machine = Machine(VirtualLogFiles(), Ledger(), InlineBlocking())
    await machine.start()
    for _ in range(5):
        await machine.append(1, size_bytes=400)
    await machine.stop()
    markers = {path.stem.partition("-")[2] for path in machine.files.paths()}
    assert len(markers) == 5
    assert all(len(set(bytes.fromhex(each))) > 2 for each in markers)


async def test_one_large_segment_never_fills_the_log_for_good() -> None:
    machine = Machine(VirtualLogFiles(), Ledger(), InlineBlocking(), SegmentLimits(segment_bytes=1000, log_bytes=1500, waiting_bytes=2000))
    await machine.start()
    await machine.append(1, size_bytes=1400)
    await machine.read()
    await machine.release()
    await machine.append(1, size_bytes=1400)
    assert len(machine.ledger.acknowledged) == 2
    await machine.append(1)
    assert len(machine.ledger.acknowledged) == 2, "now it is full"
    await machine.read()
    await machine.release()
    await machine.append(1)
    assert len(machine.ledger.acknowledged) == 3
    await machine.stop()


async def test_a_disk_that_cannot_be_read_is_told_as_something_to_try_again() -> None:
    machine = Machine(VirtualLogFiles(), Ledger(), InlineBlocking())
    await machine.start()
    await machine.append(1)

    def refuse(operation: str, path: Path) -> None:
        if operation in ("read", "remove"):
            raise OSError(errno.EIO, "Input/output error")

    machine.files.before = refuse
    assert machine.log is not None
    with pytest.raises(ForebayError) as caught:
        await machine.log.read({}, limit_bytes=1)
    assert (caught.value.code, caught.value.retryable) == ("telemetry_log_unavailable", True)
    await machine.append(9, size_bytes=300)
    await machine.append(9, size_bytes=300)
    await machine.log.release(machine.log.ends())
    machine.files.before = lambda operation, path: None
    await machine.log.release(machine.log.ends())
    assert len(machine.files.paths()) == 1
    await machine.stop()


async def test_a_log_whose_files_were_lost_goes_on_behind_what_its_reader_has_seen() -> None:
    machine = Machine(VirtualLogFiles(), Ledger(), InlineBlocking())
    await machine.start()
    await machine.append(10)
    await machine.read()
    await machine.stop()
    machine.files = VirtualLogFiles()
    await machine.start(machine.ledger.position)
    assert machine.log is not None
    assert machine.log.ends() == {PARTITION: 10}
    later = await machine.log.append(numbered(100))
    assert later.offset > 10
    assert await read_all(machine.log, {PARTITION: 10}) == [later]
    await machine.stop()


async def test_the_real_files_are_synced_in_the_order_that_durability_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, str]] = []

    def listen(name: str) -> None:
        real = getattr(os, name)

        def call(target: int | str | Path, *arguments: object, **options: object) -> object:
            path = Path(f"/proc/self/fd/{target}").readlink() if isinstance(target, int) else Path(target)
            if path.is_relative_to(tmp_path):
                calls.append((name, "directory" if path.suffix == "" else "segment"))
            return real(target, *arguments, **options)

        monkeypatch.setattr(os, name, call)

    for name in ("fsync", "fdatasync", "writev", "mkdir"):
        listen(name)
    blocking = ThreadBlocking(1)
    log = SegmentLog(tmp_path / "log", blocking)
    await log.open()
    assert calls == [("mkdir", "directory"), ("fsync", "directory")]
    calls.clear()
    await log.append(Entry(topic="logs.raw", payload=b"1", record_count=1))
    assert calls == [("fsync", "directory"), ("writev", "segment"), ("fdatasync", "segment")]
    await log.close()
    calls.clear()
    again = SegmentLog(tmp_path / "log", blocking)
    await again.open()
    assert calls == [("mkdir", "directory"), ("fsync", "directory"), ("fdatasync", "segment")]
    await again.close()
    assert [oct(path.stat().st_mode & 0o777) for path in (tmp_path / "log", *(tmp_path / "log").iterdir())] == ["0o700", "0o600"]
    blocking.close()


@pytest.mark.parametrize("short_bytes", [0, 1, 24, 30, 5000])
async def test_a_write_that_the_system_cuts_short_is_finished(short_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "writev", lambda descriptor, parts: os.write(descriptor, b"".join(parts)[:short_bytes]))
    blocking = ThreadBlocking(1)
    log = SegmentLog(tmp_path / "log", blocking)
    await log.open()
    appended = await asyncio.gather(*(log.append(numbered(number, 20)) for number in range(3000)))
    assert await read_all(log, limit_bytes=1 << 30) == appended
    assert log.discarded == []
    await log.close()
    blocking.close()
