from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.blobs.names import check_name, decoded_name, encoded_parts, path_parts, reserved_name
from forebay.errors import ForebayError

NOW = datetime(2026, 11, 3, 7, 5, 9, tzinfo=UTC)
components = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0/"), min_size=1, max_size=120)
valid_names = st.lists(components.filter(lambda part: part not in {".", ".."}), min_size=1, max_size=9).map("/".join)
valid_names = valid_names.filter(lambda name: len(name.encode()) <= 1024)


@given(valid_names)
def test_an_encoded_name_is_decoded_to_itself(name: str) -> None:
    assert decoded_name(encoded_parts(name)) == name


@given(valid_names)
def test_every_encoded_part_is_a_file_name_that_every_file_system_takes(name: str) -> None:
    for part in encoded_parts(name):
        assert part.isascii()
        assert part not in {"", ".", ".."}
        assert not set(part) & {"/", "\0", "\n"}
        assert len(part) <= 255


@given(st.lists(valid_names, min_size=2, max_size=5, unique=True))
def test_no_encoded_name_is_another_or_a_folder_of_another(names: list[str]) -> None:
    encoded = [encoded_parts(name) for name in names]
    for index, one in enumerate(encoded):
        for other in encoded[index + 1 :]:
            shared = min(len(one), len(other))
            assert one[:shared] != other[:shared]


@pytest.mark.parametrize("length", [199, 200, 201, 255, 256, 400, 401, 600, 1024])
def test_names_around_the_length_of_a_piece_neither_clash_nor_nest(length: int) -> None:
    one, other = encoded_parts("x" * length), encoded_parts("x" * (length - 1))
    assert decoded_name(one) == "x" * length
    assert one != other[: len(one)]
    assert other != one[: len(other)]


def test_a_long_name_whose_last_piece_is_dots_stays_in_its_folder() -> None:
    assert encoded_parts("y" * 398 + "..") == ("+" + "y" * 200, "=" + "y" * 198 + "..")
    assert encoded_parts("y" * 400 + "..")[-1] == "=.."


@pytest.mark.parametrize(
    "parts", [("a b",), ("%41",), ("a%2f",), ("%zz",), ("%",), ("%ff",), ("..%2Fx",), ("+a", "=b"), ("a", "b"), ("%00",)]
)
def test_a_file_that_the_encoding_never_makes_is_no_blob(parts: tuple[str, ...]) -> None:
    assert decoded_name(parts) is None


def test_usual_names_stay_readable() -> None:
    assert encoded_parts("20261103070509_0a1b2c3d_Annual-Report_v2.pdf") == ("20261103070509_0a1b2c3d_Annual-Report_v2.pdf",)
    assert encoded_parts("dir/my file.txt") == ("dir%2Fmy%20file.txt",)


@given(st.text(max_size=30))
def test_checking_a_name_accepts_it_or_says_it_is_invalid(name: str) -> None:
    try:
        check_name(name)
    except ForebayError as error:
        assert (error.code, error.status) == ("invalid_name", 422)
    else:
        assert all(part not in {"", ".", ".."} for part in name.split("/"))


def test_a_component_of_256_bytes_is_invalid_only_where_names_are_paths() -> None:
    assert path_parts("a/" + "x" * 255) == ("a", "x" * 255)
    with pytest.raises(ForebayError):
        path_parts("a/" + "x" * 256)
    encoded_parts("a/" + "x" * 256)


def test_a_reserved_name_has_the_documented_form() -> None:
    assert reserved_name(NOW, "0a1b2c3d", "report.pdf") == "20261103070509_0a1b2c3d_report.pdf"
    assert reserved_name(NOW, "0a1b2c3d", "sub/report.pdf") == "20261103070509_0a1b2c3d_sub/report.pdf"


@given(valid_names, st.sampled_from(["", ".pdf", ".tar.gz", ".md"]))
def test_a_reserved_name_is_always_valid_in_the_intake_container_and_keeps_the_suffix(name: str, suffix: str) -> None:
    original = name + suffix if len((name + suffix).encode()) <= 1024 else name
    reserved = reserved_name(NOW, "0a1b2c3d", original)
    path_parts(reserved)
    assert reserved.startswith("20261103070509_0a1b2c3d_")
    if original.endswith(".pdf"):
        assert reserved.endswith(".pdf")


@pytest.mark.parametrize("original", ["", "../x", "/x", "x/", "x\0", "x" * 1025])
def test_a_reserved_name_of_an_invalid_original_is_refused(original: str) -> None:
    with pytest.raises(ForebayError) as caught:
        reserved_name(NOW, "0a1b2c3d", original)
    assert caught.value.code == "invalid_name"
