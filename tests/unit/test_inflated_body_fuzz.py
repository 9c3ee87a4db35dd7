"""Bodies in gzip, in any pieces: exactly what was compressed, or a refusal, and never more in memory than the limit."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Sequence
from typing import cast

import pytest
from fastapi import Request
from hypothesis import given, settings
from hypothesis import strategies as st

from forebay.errors import ForebayError
from forebay.server.bodies import inflated_body

LIMIT_BYTES = 1000


class Sending:
    """The part of a request that is read."""

    def __init__(self, pieces: Sequence[bytes], coding: str) -> None:
        self.headers = {"content-encoding": coding} if coding else {}
        self.taken_count = 0
        self._pieces = pieces

    async def stream(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            self.taken_count += 1
            yield piece


def inflated(*pieces: bytes, coding: str = "gzip", limit_bytes: int = LIMIT_BYTES) -> bytes | str:
    """The body, or the code of the refusal."""
    try:
        return asyncio.run(inflated_body(cast(Request, Sending(pieces, coding)), limit_bytes=limit_bytes))
    except ForebayError as error:
        assert error.message and error.hint and error.status in (400, 413)
        return error.code


def cut(content: bytes, places: Sequence[int]) -> list[bytes]:
    bounds = [0, *sorted(place % (len(content) + 1) for place in places), len(content)]
    return [content[start:end] for start, end in itertools.pairwise(bounds)]


contents = st.binary(max_size=LIMIT_BYTES + 40) | st.integers(LIMIT_BYTES - 3, LIMIT_BYTES + 3).map(bytes)


@settings(max_examples=200, deadline=None)
@given(
    content=contents,
    places=st.lists(st.integers(0, 2000), max_size=6),
    level=st.integers(1, 9),
    coding=st.sampled_from(["", "gzip", "GZIP "]),
)
def test_a_body_is_inflated_exactly_up_to_the_limit_in_any_pieces(content: bytes, places: list[int], level: int, coding: str) -> None:
    # one that grows by compression counts as it comes, too
    sent = gzip.compress(content, level) if coding else content
    expected = content if max(len(content), len(sent)) <= LIMIT_BYTES else "body_too_large"
    assert inflated(*cut(sent, places), coding=coding) == expected


@settings(max_examples=200, deadline=None)
@given(content=st.binary(max_size=300), places=st.lists(st.integers(0, 2000), max_size=4), data=st.data())
def test_a_damaged_body_is_refused_or_is_what_was_compressed(content: bytes, places: list[int], data: st.DataObject) -> None:
    sent = bytearray(gzip.compress(content))
    match data.draw(st.sampled_from(["cut", "flip", "append", "again"])):
        case "cut":
            del sent[data.draw(st.integers(0, len(sent) - 1)) :]
            assert inflated(*cut(bytes(sent), places)) == "invalid_gzip"
        case "append":
            sent += data.draw(st.binary(min_size=1, max_size=20))
            assert inflated(*cut(bytes(sent), places)) == "invalid_gzip"
        case "again":
            sent += gzip.compress(data.draw(st.binary(max_size=20)))
            assert inflated(*cut(bytes(sent), places)) == "invalid_gzip"
        case _:
            sent[data.draw(st.integers(0, len(sent) - 1))] ^= 1 << data.draw(st.integers(0, 7))
            assert inflated(*cut(bytes(sent), places)) in (content, "invalid_gzip")


@pytest.mark.parametrize("piece_bytes", [1 << 10, 1 << 30])
def test_a_bomb_is_given_up_at_the_limit_and_takes_no_more_memory_than_that(piece_bytes: int) -> None:
    limit_bytes = 1 << 20
    bomb = gzip.compress(bytes(256 << 20), 1)
    pieces = [bomb[start : start + piece_bytes] for start in range(0, len(bomb), piece_bytes)]
    tracemalloc.start()
    try:
        assert inflated(*pieces, limit_bytes=limit_bytes) == "body_too_large"
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 8 * limit_bytes


def test_gzip_that_goes_on_for_ever_without_content_is_given_up_at_the_limit() -> None:
    compressor = zlib.compressobj(wbits=31)
    endless_name = b"\x1f\x8b\x08\x08" + bytes(6)  # a header with a file name, whose end never comes
    for start, filler in ((compressor.compress(b"a") + compressor.flush(zlib.Z_SYNC_FLUSH), b"\0\0\0\xff\xff"), (endless_name, b"n")):
        sending = Sending([start, *[filler * 20] * 1000], "gzip")
        with pytest.raises(ForebayError, match="at most") as refusal:
            asyncio.run(inflated_body(cast(Request, sending), limit_bytes=LIMIT_BYTES))
        assert refusal.value.code == "body_too_large"
        assert sending.taken_count < 60
