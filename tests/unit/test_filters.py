from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from forebay.errors import ForebayError
from forebay.search.filters import SearchFilters

characters = st.characters(exclude_categories=["Cs"], exclude_characters="\0") | st.sampled_from("aA%_é\ud7ff\ue000\uffff\U0010ffff")
names = st.text(characters.filter(lambda character: not "\ud800" <= character <= "\udfff"), max_size=5)


@pytest.fixture(scope="module")
def documents() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("CREATE TABLE documents (name TEXT, content_type TEXT, language TEXT, source TEXT, created_at INTEGER)")
    yield connection
    connection.close()


def selected(documents: sqlite3.Connection, filters: SearchFilters, rows: list[tuple[str, str | None, str | None, str, int]]) -> list[str]:
    documents.execute("DELETE FROM documents")
    documents.executemany("INSERT INTO documents VALUES (?, ?, ?, ?, ?)", rows)
    conditions = [("1 = ?", 1), *filters.conditions()]
    where = " AND ".join(condition for condition, _ in conditions)
    return [name for (name,) in documents.execute(f"SELECT d.name FROM documents d WHERE {where}", [value for _, value in conditions])]


@given(names, names)
@example("a%c", "a%")
@example("abc", "a_")
@example("A", "a")
@example("\ud7ff\ue000", "\ud7ff")
@example("\U0010ffff\U0010ffffa", "\U0010ffff")
@example("b", "a\U0010ffff")
@example("e\u0301", "\u00e9")
def test_a_prefix_selects_exactly_the_names_that_begin_with_it(documents: sqlite3.Connection, name: str, prefix: str) -> None:
    found = selected(documents, SearchFilters(name_prefix=prefix), [(name, None, None, "upload", 0)])
    assert found == ([name] if name.startswith(prefix) else [])


def test_each_filter_selects_by_its_column(documents: sqlite3.Connection) -> None:
    rows: list[tuple[str, str | None, str | None, str, int]] = [
        ("a.md", "text/markdown", "en", "upload", 0),
        ("b.py", "text/x-python", "de", "/home/notes", 0),
        ("c", None, None, "upload", 0),
    ]
    assert selected(documents, SearchFilters(), rows) == ["a.md", "b.py", "c"]
    assert selected(documents, SearchFilters(name="c"), rows) == ["c"]
    assert selected(documents, SearchFilters(content_type="text/markdown"), rows) == ["a.md"]
    assert selected(documents, SearchFilters(language="de"), rows) == ["b.py"]
    assert selected(documents, SearchFilters(source="upload"), rows) == ["a.md", "c"]
    assert selected(documents, SearchFilters(source="upload", language="en"), rows) == ["a.md"]
    assert selected(documents, SearchFilters(name="c", language="en"), rows) == []


def test_times_are_half_open_and_exact_to_the_microsecond(documents: sqlite3.Connection) -> None:
    start = datetime(2026, 11, 1, 12, tzinfo=UTC)
    first = round(start.timestamp()) * 1_000_000
    rows: list[tuple[str, str | None, str | None, str, int]] = [
        (str(offset), None, None, "upload", first + offset) for offset in (-1, 0, 1)
    ]
    assert selected(documents, SearchFilters(created_after=start), rows) == ["0", "1"]
    assert selected(documents, SearchFilters(created_before=start), rows) == ["-1"]
    elsewhere = start.astimezone(timezone(timedelta(hours=-5)))
    assert selected(documents, SearchFilters(created_after=elsewhere, created_before=elsewhere + timedelta(microseconds=1)), rows) == ["0"]


def test_values_are_parameters() -> None:
    assert SearchFilters(name="' OR 1=1 --").conditions() == [("d.name = ?", "' OR 1=1 --")]


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ForebayError, match="created_after with a time zone") as raised:
        SearchFilters(created_after=datetime(2026, 1, 1))  # noqa: DTZ001 -- naive on purpose
    assert (raised.value.code, raised.value.status) == ("invalid_filter", 422)


def test_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(ForebayError, match="lone surrogate") as raised:
        SearchFilters(name_prefix="\udc80")
    assert raised.value.status == 422
