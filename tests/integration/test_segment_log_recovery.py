"""What is read from segments that are torn, damaged, swapped or gone."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forebay.effects import Blocking, ThreadBlocking
from forebay.errors import ForebayError
from forebay.telemetry.log.files import DiskLogFiles
from forebay.telemetry.log.frames import Damage, Frame, encode_body, encode_head, scan
from forebay.telemetry.log.port import Entry, StoredEntry
from forebay.telemetry.log.segment_log import PARTITION, SegmentLimits, SegmentLog
from forebay.telemetry.log.segments import new_segment, read_frames
from forebay.testing.telemetry_log_contract import append_each, number_of, numbered, read_all
from forebay.testing.virtual_log_files import VirtualLogFiles

DIRECTORY = Path("/data/telemetry-log")
MARKER = bytes.fromhex("f00ba71e5eed1234")
HEAD_BYTES = 24


class InlineBlocking:
    async def run(self, function, *arguments):  # type: ignore[no-untyped-def]
        return function(*arguments)

    def close(self) -> None: ...


@pytest.fixture
def blocking() -> Iterator[Blocking]:
    blocking = ThreadBlocking(2)
    yield blocking
    blocking.close()


def frame(offset: int, entry: Entry, marker: bytes = MARKER) -> bytes:
    body = encode_body(entry)
    return encode_head(marker, offset, body) + body


def segment_of(count: int, *, first: int = 1, size_bytes: int = 10) -> bytes:
    return b"".join(frame(offset, numbered(offset, size_bytes)) for offset in range(first, first + count))


def scanned(data: bytes, after: int = 0, before: int = 1 << 64) -> list[Frame | Damage]:
    return list(scan(data, marker=MARKER, position=0, after_offset=after, before_offset=before))


def check_parts(data: bytes, parts: list[Frame | Damage], written: dict[int, bytes]) -> list[int]:
    """Every byte is accounted for once, every frame is one that was written, in order; returns the offsets."""
    position, offsets = 0, [0]
    for part in parts:
        assert part.start == position < part.end
        position = part.end
        if isinstance(part, Frame):
            assert bytes(part.body) == written[part.offset]
            assert part.offset > offsets[-1]
            offsets.append(part.offset)
    assert position == len(data)
    for one, two in itertools.pairwise(parts):
        assert isinstance(one, Frame) or isinstance(two, Frame), "damage in one piece is reported once"
    return offsets[1:]


PAYLOADS = st.one_of(st.binary(max_size=60), st.just(MARKER), st.binary(max_size=9).map(lambda each: MARKER + each + MARKER))


@st.composite
def damaged_segments(draw: st.DrawFn) -> tuple[bytes, dict[int, bytes]]:
    offsets = sorted(draw(st.sets(st.integers(1, 1 << 40), min_size=1, max_size=8)))
    entries = [Entry(topic="t", payload=draw(PAYLOADS), record_count=1) for _ in offsets]
    written = {offset: encode_body(entry) for offset, entry in zip(offsets, entries, strict=True)}
    frames = [frame(offset, entry) for offset, entry in zip(offsets, entries, strict=True)]
    for _ in range(draw(st.integers(0, 3))):
        match draw(st.sampled_from(["duplicate", "shuffle", "drop"])):
            case "duplicate":
                frames.insert(draw(st.integers(0, len(frames))), draw(st.sampled_from(frames)))
            case "shuffle":
                frames = draw(st.permutations(frames))
            case _ if len(frames) > 1:
                frames.pop(draw(st.integers(0, len(frames) - 1)))
    data = bytearray(b"".join(frames))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, max(len(data) - 1, 0)))
        end = draw(st.integers(start, min(len(data), start + 80)))
        match draw(st.sampled_from(["flip", "zeros", "cut", "insert", "remove", "copy"])):
            case "flip" if data:
                data[start] ^= 1 << draw(st.integers(0, 7))
            case "zeros":
                data[start:end] = bytes(end - start)
            case "cut":
                del data[start:]
            case "insert":
                data[start:start] = draw(st.binary(max_size=40))
            case "remove":
                del data[start:end]
            case "copy":
                data[start:start] = data[start:end]
    return bytes(data), written


@settings(max_examples=300, deadline=None)
@given(damaged_segments())
def test_whatever_happens_to_a_segment_only_what_was_written_is_read_and_every_byte_is_accounted_for(
    case: tuple[bytes, dict[int, bytes]],
) -> None:
    data, written = case
    check_parts(data, scanned(data), written)


@settings(max_examples=150, deadline=None)
@given(damaged_segments(), st.integers(1, 300))
def test_reading_in_pieces_finds_the_same_as_reading_at_once(case: tuple[bytes, dict[int, bytes]], piece_bytes: int) -> None:
    data, written = case
    files = VirtualLogFiles()
    segment = new_segment(DIRECTORY, 1, MARKER)
    files.make_directory(DIRECTORY)
    files.create(segment.path)
    files.damage(segment.path, data)
    segment = type(segment)(segment.path, 1, MARKER, len(data))
    parts = list(read_frames(files, segment, position=0, after_offset=0, before_offset=1 << 64, piece_bytes=piece_bytes))
    assert check_parts(data, parts, written) == [each.offset for each in scanned(data) if isinstance(each, Frame)]


def test_any_flipped_bit_costs_the_entry_that_it_is_in_and_no_other() -> None:
    whole = segment_of(5)
    size_bytes = len(whole) // 5
    for position in range(len(whole)):
        for bit in (0, 3, 7):
            data = bytearray(whole)
            data[position] ^= 1 << bit
            hit = position // size_bytes
            parts = scanned(bytes(data))
            assert [each.offset for each in parts if isinstance(each, Frame)] == [offset for offset in range(1, 6) if offset != hit + 1]
            assert [each for each in parts if isinstance(each, Damage)] == [Damage(hit * size_bytes, (hit + 1) * size_bytes)]


def test_every_cut_keeps_the_whole_entries_before_it() -> None:
    whole = segment_of(5)
    size_bytes = len(whole) // 5
    for cut in range(len(whole) + 1):
        parts = scanned(whole[:cut])
        assert len([each for each in parts if isinstance(each, Frame)]) == cut // size_bytes
        assert [each for each in parts if isinstance(each, Damage)] == ([Damage(cut - cut % size_bytes, cut)] if cut % size_bytes else [])


def test_a_payload_that_looks_like_a_frame_is_never_read_as_one_when_what_is_around_it_is_torn() -> None:
    forged = frame(2, Entry(topic="logs.raw", payload=b"forged", record_count=1, headers={"source": "platform"}), marker=b"guessed!")
    data = frame(1, Entry(topic="logs.raw", payload=forged * 3, record_count=1))
    for cut in range(len(data)):
        assert [each for each in scanned(data[:cut]) if isinstance(each, Frame)] == []


def test_offsets_outside_of_the_segment_are_damage() -> None:
    data = segment_of(5)
    assert [each.offset for each in scanned(data, after=2, before=5) if isinstance(each, Frame)] == [3, 4]
    size_bytes = len(data) // 5
    assert [each for each in scanned(data, after=2, before=5) if isinstance(each, Damage)] == [
        Damage(0, 2 * size_bytes),
        Damage(4 * size_bytes, 5 * size_bytes),
    ]


def test_much_damage_takes_no_more_time_than_little() -> None:
    whole = bytearray(segment_of(20_000, size_bytes=200))
    size_bytes = len(whole) / 20_000
    started = time.process_time()  # others may use the machine as well
    scanned(bytes(whole))
    healthy_seconds = time.process_time() - started
    for index in range(0, 20_000, 2):
        whole[int(index * size_bytes) + 60] ^= 1
    started = time.process_time()
    assert len([each for each in scanned(bytes(whole)) if isinstance(each, Damage)]) > 9000
    assert time.process_time() - started < 20 * healthy_seconds + 0.2


async def log_on(files: VirtualLogFiles, *, segment_bytes: int = 300) -> SegmentLog:
    log = SegmentLog(DIRECTORY, InlineBlocking(), files=files, limits=SegmentLimits(segment_bytes=segment_bytes))
    await log.open()
    return log


async def filled(count: int = 20, *, segment_bytes: int = 300) -> tuple[VirtualLogFiles, list[StoredEntry]]:
    files = VirtualLogFiles()
    log = await log_on(files, segment_bytes=segment_bytes)
    appended = await append_each(log, count, size_bytes=30)
    await log.close()
    return files, appended


def accounted_bytes(log: SegmentLog, entries: list[StoredEntry]) -> int:
    return sum(each.size_bytes for each in log.discarded) + sum(HEAD_BYTES + len(encode_body(each.entry)) for each in entries)


WHOLE_FILES = ["swap", "copy", "zero", "empty", "remove", "cut", "flip", "extend", "reverse"]


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(st.sampled_from(WHOLE_FILES), st.integers(0, 100), st.integers(0, 100)), min_size=1, max_size=5))
def test_a_log_with_damaged_segments_opens_reads_the_rest_in_order_reports_all_and_goes_on(damages: list[tuple[str, int, int]]) -> None:
    logging.getLogger("forebay").setLevel(logging.CRITICAL)
    try:
        asyncio.run(open_damaged(damages))
    finally:
        logging.getLogger("forebay").setLevel(logging.NOTSET)


async def open_damaged(damages: list[tuple[str, int, int]]) -> None:
    files, appended = await filled()
    for damage, one, two in damages:
        paths = files.paths()
        if not paths:
            break
        path, other = paths[one % len(paths)], paths[two % len(paths)]
        content = files.content(path)
        match damage:
            case "swap":
                replaced = files.content(other)
                files.damage(other, content)
                files.damage(path, replaced)
            case "copy":
                files.damage(other, content)
            case "zero":
                files.damage(path, bytes(len(content)))
            case "empty":
                files.damage(path, b"")
            case "remove":
                files.remove(path)
            case "cut":
                files.damage(path, content[: len(content) * two // 100])
            case "flip" if content:
                at = len(content) * two // 101
                files.damage(path, content[:at] + bytes([content[at] ^ 64]) + content[at + 1 :])
            case "extend":
                files.damage(path, content + bytes(two))
            case "reverse":
                files.damage(path, content[::-1])
    log = await log_on(files)
    found = await read_all(log, limit_bytes=1)
    assert [each for each in appended if each in found] == found
    assert accounted_bytes(log, found) == log.stored_bytes
    later = await log.append(numbered(1000))
    assert later.offset > max([0, *(each.offset for each in found)])
    assert await read_all(log, {PARTITION: later.offset - 1}) == [later]
    assert (await read_all(log))[-1] == later
    await log.close()


async def test_damage_is_reported_once_with_its_place_and_whether_a_crash_explains_it(caplog: pytest.LogCaptureFixture) -> None:
    files, appended = await filled(4, segment_bytes=1 << 20)
    (path,) = files.paths()
    content = bytearray(files.content(path))
    size_bytes = len(content) // 4
    content[size_bytes + 40] ^= 1
    files.damage(path, bytes(content[:-1]))
    log = await log_on(files)
    for _ in range(3):
        assert [number_of(each) for each in await read_all(log)] == [0, 2]
    assert [(each.segment, each.start, each.size_bytes, each.is_tail) for each in log.discarded] == [
        (path.name, size_bytes, size_bytes, False),
        (path.name, 3 * size_bytes, size_bytes - 1, True),
    ]
    assert [each.levelname for each in caplog.records] == ["ERROR", "WARNING"]
    assert (await log.append(numbered(9))).offset > appended[2].offset
    await log.close()


async def test_the_report_forgets_what_has_been_released() -> None:
    files, _ = await filled()
    files.damage(files.paths()[0], files.content(files.paths()[0])[:-1])
    log = await log_on(files)
    await read_all(log)
    assert len(log.discarded) == 1
    await log.append(numbered(100))
    await log.release(log.ends())
    assert log.discarded == []
    await log.close()


async def test_nobody_waits_in_circles_for_an_entry_that_was_damaged_after_it_was_written() -> None:
    files, log = VirtualLogFiles(), None
    log = await log_on(files, segment_bytes=1 << 20)
    appended = await append_each(log, 3)
    (path,) = files.paths()
    files.damage(path, files.content(path)[:-1] + b"!")
    found = await read_all(log)
    assert [number_of(each) for each in found] == [0, 1]
    assert log.ends() == {PARTITION: appended[1].offset}
    waiter = asyncio.create_task(log.wait(log.ends()))
    later = await log.append(numbered(3))
    await asyncio.wait_for(waiter, 10)
    assert later.offset > appended[2].offset
    assert [number_of(each) for each in await read_all(log)] == [0, 1, 3]
    await log.close()


async def test_a_file_that_shrinks_or_vanishes_under_an_open_log_is_damage_and_no_obstacle() -> None:
    files = VirtualLogFiles()
    log = await log_on(files)
    await append_each(log, 20, size_bytes=30)
    first, second = files.paths()[:2]
    files.remove(first)
    files.damage(second, files.content(second)[:100])
    found = await read_all(log)
    assert 10 < len(found) < 20
    assert accounted_bytes(log, found) == log.stored_bytes
    await log.release(log.ends())
    await log.close()


async def test_a_body_that_is_no_entry_is_damage_and_no_obstacle() -> None:
    files, _ = await filled(2, segment_bytes=1 << 20)
    (path,) = files.paths()
    marker = bytes.fromhex(path.name.removesuffix(".segment").partition("-")[2])
    strange = [encode_head(marker, offset, body) + body for offset, body in ((3, b"\xc0"), (4, b"\x94\xa1\xff\x01\x80\xc4\0"), (5, b""))]
    files.damage(path, files.content(path) + b"".join(strange) + frame(6, numbered(6), marker))
    log = await log_on(files)
    assert [number_of(each) for each in await read_all(log)] == [0, 1, 6]
    assert len(log.discarded) == 3
    await log.close()


async def test_an_empty_segment_keeps_its_offset_from_being_used_again() -> None:
    files, appended = await filled(3)
    files.create(new_segment(DIRECTORY, 100, MARKER).path)
    log = await log_on(files)
    assert log.ends() == {PARTITION: appended[-1].offset}
    assert (await log.append(numbered(3))).offset > 100
    assert [number_of(each) for each in await read_all(log)] == [0, 1, 2, 3]
    await log.close()


@pytest.mark.parametrize("name", ["1.segment", "00000000000000000001.segment", "x.segment", f"{1:020}-{0:016x}.segment2"])
async def test_a_name_that_is_no_segments_is_refused_and_other_files_are_left_alone(name: str, tmp_path: Path, blocking: Blocking) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    log = SegmentLog(tmp_path, blocking)
    await log.open()
    await log.append(numbered(0))
    await log.close()
    (tmp_path / name).write_text("")
    with pytest.raises(ForebayError) as caught:
        await SegmentLog(tmp_path, blocking).open()
    assert (caught.value.code, caught.value.retryable) == ("telemetry_log_damaged", False)
    assert name in caught.value.message


async def test_a_log_that_never_opened_refuses_and_can_be_closed(tmp_path: Path, blocking: Blocking) -> None:
    (tmp_path / "log").write_text("a file where the directory should be")
    log = SegmentLog(tmp_path / "log", blocking)
    with pytest.raises(ForebayError, match="could not be read"):
        await log.open()
    with pytest.raises(ForebayError, match="closed"):
        await log.append(numbered(0))
    await log.close()


async def test_a_log_of_many_small_entries_is_open_again_in_two_seconds(tmp_path: Path, blocking: Blocking) -> None:
    segment = new_segment(tmp_path, 1, MARKER)
    segment.path.write_bytes(segment_of(200_000))
    log = SegmentLog(tmp_path, blocking)
    started = time.process_time()
    await log.open()
    assert time.process_time() - started < 2
    assert log.ends() == {PARTITION: 200_000}
    await log.close()


async def test_a_gibibyte_of_segments_is_open_again_in_two_seconds(tmp_path: Path, blocking: Blocking) -> None:
    body_bytes = 16 << 20
    content = b"".join(frame(offset, numbered(offset, body_bytes)) for offset in range(1, 5))
    for index in range(16):
        path = new_segment(tmp_path, 4 * index + 1, MARKER).path
        if index < 15:
            path.touch()
            with path.open("r+b") as file:
                file.truncate(len(content))  # sparse: recovery does not read what is not at the end
        else:
            path.write_bytes(b"".join(frame(offset, numbered(offset, body_bytes)) for offset in range(61, 65)))
    log = SegmentLog(tmp_path, blocking)
    started = time.process_time()
    await log.open()
    assert time.process_time() - started < 2
    assert log.ends() == {PARTITION: 64}
    assert log.stored_bytes > 1 << 30
    await log.close()


async def test_two_readers_at_once_do_not_disturb_each_other(tmp_path: Path, blocking: Blocking) -> None:
    log = SegmentLog(tmp_path, blocking, files=DiskLogFiles(), limits=SegmentLimits(segment_bytes=2000))
    await log.open()
    appended = await append_each(log, 100, size_bytes=100)
    results = await asyncio.gather(*(read_all(log, limit_bytes=limit_bytes) for limit_bytes in (1, 150, 700, 5000)))
    assert all(each == appended for each in results)
    await log.close()
