"""Segment files: their names, what is in them, and what a crash or a bad disk has left of them.

A segment is named `<first offset>-<marker>.segment` and consists of frames, nothing else. It is written by one process only: every start
begins another, so that recovery has nothing to mend and only reads.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from forebay.errors import ForebayError
from forebay.telemetry.log.files import LogFiles
from forebay.telemetry.log.frames import MARKER_BYTES, Damage, Frame, scan
from forebay.telemetry.log.port import Entry

log = logging.getLogger(__name__)

PIECE_BYTES = 1 << 20  # read at a time, at least

_NAME = re.compile(rf"(\d{{20}})-([0-9a-f]{{{2 * MARKER_BYTES}}})\.segment")
_NO_OFFSET = 1 << 64  # above every offset


@dataclass(frozen=True, slots=True)
class Segment:
    """A file with the frames from an offset on, up to where the next segment begins."""

    path: Path
    first_offset: int
    marker: bytes
    size_bytes: int  # of what is durable

    @property
    def name(self) -> str:
        """The name of the file."""
        return self.path.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Discarded:
    """Bytes of a segment in which no whole entry was found."""

    segment: str  # the file's name
    start: int
    size_bytes: int
    is_tail: bool  # up to the segment's end: left by a crash, of entries that nobody was told of, unless the disk has damaged the last ones


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """What a directory holds."""

    segments: list[Segment]
    newest_offset: int  # of an entry that is there; 0 if none is
    next_offset: int  # above every offset that may have been used


def new_segment(directory: Path, first_offset: int, marker: bytes) -> Segment:
    """A segment that is empty; names sort as offsets do."""
    return Segment(directory / f"{first_offset:020}-{marker.hex()}.segment", first_offset, marker, 0)


def recover(files: LogFiles, directory: Path, reader: SegmentReader) -> Recovered:
    """Find out what there is, and where the log ends.

    What is found is made durable: an earlier process may have ended between a write and its sync, and what readers have seen must not
    vanish afterwards. Raises `ForebayError` `telemetry_log_damaged` for a name that is no segment's, `OSError`.
    """
    segments = sorted((_segment(files, directory / name) for name in files.names(directory) if ".segment" in name), key=_order)
    newest_offset, next_offset = 0, segments[-1].first_offset + 1 if segments else 1
    for segment, before_offset in reversed(list(_with_bounds(segments))):
        # only the newest segment can hold what was not synced: the others were, before their successor was begun
        files.sync(segment.path)
        newest_offset = reader.newest_offset(segment, before_offset)
        if newest_offset:
            break
    return Recovered(segments=segments, newest_offset=newest_offset, next_offset=max(next_offset, newest_offset + 1))


def _order(segment: Segment) -> int:
    return segment.first_offset


def _segment(files: LogFiles, path: Path) -> Segment:
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise ForebayError(
            "telemetry_log_damaged",
            f"expected only segments of the telemetry log of this version in {path.parent}, got {path.name}",
            hint="Move the file away, or give it its name back; entries that were not in the tables yet are in it alone.",
            status=500,
        )
    return Segment(path, int(match[1]), bytes.fromhex(match[2]), files.size_bytes(path))


def _with_bounds(segments: Sequence[Segment]) -> Iterator[tuple[Segment, int]]:
    """Each segment with the offset that its entries lie below."""
    begins = [*(segment.first_offset for segment in segments), _NO_OFFSET]
    return zip(segments, begins[1:], strict=True)


def read_frames(
    files: LogFiles, segment: Segment, *, position: int, after_offset: int, before_offset: int, piece_bytes: int = PIECE_BYTES
) -> Iterator[Frame | Damage]:
    """What `scan` finds in a segment from `position` on, read in pieces.

    *Guarantees*: every byte from `position` to the segment's durable end is in exactly one of what is yielded, in order, also where
    the file has become shorter or is gone. Raises `OSError`.
    """
    wanted_bytes = piece_bytes
    while position < segment.size_bytes:
        limit_bytes = min(wanted_bytes, segment.size_bytes - position)
        try:
            data = files.read(segment.path, position, limit_bytes)
        except FileNotFoundError:
            data = b""
        end = position + len(data)
        is_cut_short = len(data) < limit_bytes
        is_last = is_cut_short or end == segment.size_bytes
        next_position = end
        for part in scan(data, marker=segment.marker, position=position, after_offset=after_offset, before_offset=before_offset):
            if isinstance(part, Frame):
                after_offset = part.offset
            elif part.end == end and not is_last:
                next_position = part.start  # perhaps only cut by the end of the piece
                break
            yield part
        if is_cut_short:
            yield Damage(end, segment.size_bytes)
            return
        wanted_bytes = piece_bytes if next_position > position else 2 * wanted_bytes
        position = next_position


class SegmentReader:
    """Reads entries in order, keeping the place where it stopped and a report of what could not be read. For one thread at a time."""

    def __init__(self, files: LogFiles) -> None:
        self._files = files
        self._stop: tuple[Path | None, int, int] = (None, 0, 0)  # the segment, the position in it, and the offset before it
        self._discarded: dict[tuple[str, int], Discarded] = {}

    @property
    def discarded(self) -> list[Discarded]:
        """What could not be read so far."""
        return list(self._discarded.values())

    def newest_offset(self, segment: Segment, before_offset: int) -> int:
        """The offset of the last entry of a segment; 0 if there is none."""
        found = 0
        for part in read_frames(self._files, segment, position=0, after_offset=segment.first_offset - 1, before_offset=before_offset):
            if isinstance(part, Frame):
                found = part.offset
            else:
                self._discard(segment, part)
        return found

    def read(self, segments: Sequence[Segment], after: int, limit_bytes: int) -> list[tuple[int, Entry]]:
        """Entries with offsets above `after`: about `limit_bytes` of them, and at least one if there is one. Raises `OSError`."""
        found: list[tuple[int, Entry]] = []
        taken_bytes = 0
        for segment, before_offset in _with_bounds(segments):
            path, position, offset = self._stop
            if (path, offset) == (segment.path, after):
                after_offset = offset
            elif before_offset > after + 1:
                position, after_offset = 0, segment.first_offset - 1
            else:
                continue
            for part in read_frames(
                self._files,
                segment,
                position=position,
                after_offset=after_offset,
                before_offset=before_offset,
                piece_bytes=max(limit_bytes, PIECE_BYTES),
            ):
                if isinstance(part, Damage):
                    self._discard(segment, part)
                elif part.offset > after and (entry := self._decode(segment, part)) is not None:
                    found.append((part.offset, entry))
                    self._stop = (segment.path, part.end, part.offset)
                    taken_bytes += len(part.body)
                    if taken_bytes >= limit_bytes:
                        return found
        return found

    def forget(self, segment: Segment) -> None:
        """A segment is gone, and with it what its report said."""
        self._discarded = {key: each for key, each in self._discarded.items() if each.segment != segment.name}

    def _decode(self, segment: Segment, frame: Frame) -> Entry | None:
        try:
            return frame.entry()
        except (msgspec.MsgspecError, ValueError):
            self._discard(segment, Damage(frame.start, frame.end))
            return None

    def _discard(self, segment: Segment, damage: Damage) -> None:
        is_tail = damage.end == segment.size_bytes
        key = (segment.name, damage.start)
        size_bytes = damage.end - damage.start
        if key not in self._discarded:
            if is_tail:
                log.warning("%s: its last %d bytes hold no whole entry, as after a crash during a write", segment.name, size_bytes)
            else:
                log.error("%s: %d bytes from %d on are damaged; what was stored there is lost", segment.name, size_bytes, damage.start)
        self._discarded[key] = Discarded(segment=segment.name, start=damage.start, size_bytes=size_bytes, is_tail=is_tail)
