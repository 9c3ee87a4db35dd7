"""Headers of conditional and partial requests."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.errors import ForebayError
from forebay.server.ranges import ByteRange, byte_range, is_named, required_etag, requires_absence


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", ByteRange(0, 1)),
        ("bytes=2-", ByteRange(2, 10)),
        ("bytes=-3", ByteRange(7, 10)),
        ("bytes=-30", ByteRange(0, 10)),
        ("bytes=5-500", ByteRange(5, 10)),
        ("bytes= 1 - 2", ByteRange(1, 3)),
    ],
)
def test_a_range_is_what_the_standard_says(header: str, expected: ByteRange) -> None:
    assert byte_range(header, 10) == expected


@pytest.mark.parametrize("header", [None, "", "bytes=", "bytes=-", "bytes=5-2", "bytes=0-1,3-4", "lines=0-1", "bytes=a-b", "bytes=٣-"])
def test_what_is_no_single_range_asks_for_the_whole(header: str | None) -> None:
    assert byte_range(header, 10) is None


@pytest.mark.parametrize(("header", "size_bytes"), [("bytes=10-", 10), ("bytes=-0", 10), ("bytes=0-", 0), ("bytes=-5", 0)])
def test_a_range_outside_is_not_satisfiable(header: str, size_bytes: int) -> None:
    with pytest.raises(ForebayError) as caught:
        byte_range(header, size_bytes)
    assert (caught.value.code, caught.value.status) == ("range_not_satisfiable", 416)


@given(
    st.text(max_size=30).map(lambda text: f"bytes={text}") | st.from_regex(r"bytes=[0-9]{0,20}-[0-9]{0,20}", fullmatch=True),
    st.integers(0, 100),
)
def test_no_header_asks_for_bytes_that_are_not_there(header: str, size_bytes: int) -> None:
    try:
        part = byte_range(header, size_bytes)
    except ForebayError as error:
        assert error.status == 416
    else:
        assert part is None or 0 <= part.start < part.end <= size_bytes


def test_if_match_takes_an_etag_with_and_without_quotes() -> None:
    assert [required_etag(header) for header in ('"a-1"', "a-1", " * ", None, '""')] == ["a-1", "a-1", "*", None, ""]


@pytest.mark.parametrize("header", ['"a", "b"', 'W/"a"', "a b", "", '"a'])
def test_if_match_that_cannot_be_kept_is_refused(header: str) -> None:
    with pytest.raises(ForebayError) as caught:
        required_etag(header)
    assert caught.value.status == 422


def test_a_write_can_demand_absence_only() -> None:
    assert (requires_absence(None), requires_absence("*")) == (False, True)
    with pytest.raises(ForebayError):
        requires_absence('"a"')


def test_a_read_names_the_etags_it_knows() -> None:
    assert [is_named(header, "a") for header in ('"a"', 'W/"a"', '"b", "a"', "*", '"b"', "a", None)] == [
        True,
        True,
        True,
        True,
        False,
        False,
        False,
    ]
