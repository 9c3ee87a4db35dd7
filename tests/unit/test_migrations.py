from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from forebay.database import migrate
from forebay.database.database import open_writer_connection
from forebay.errors import ForebayError


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    yield connection
    connection.close()


def version(connection: sqlite3.Connection, component: str) -> int:
    found: int = connection.execute("SELECT version FROM schema_versions WHERE component = ?", (component,)).fetchone()[0]
    return found


def tables(connection: sqlite3.Connection) -> set[str]:
    return {row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}


def test_each_step_is_taken_once_and_in_order(connection: sqlite3.Connection) -> None:
    taken: list[int] = []
    steps = [
        "CREATE TABLE a (x)",
        lambda connection: taken.append(connection.execute("SELECT count(*) FROM a").fetchone()[0]),
        "ALTER TABLE a ADD COLUMN y",
    ]

    assert migrate(connection, "one", steps[:1]) == 1
    connection.execute("INSERT INTO a VALUES (1)")
    assert migrate(connection, "one", steps) == 3
    assert migrate(connection, "one", steps) == 3

    assert taken == [1]
    assert version(connection, "one") == 3
    assert connection.execute("SELECT x, y FROM a").fetchall() == [(1, None)]


def test_components_have_versions_of_their_own(connection: sqlite3.Connection) -> None:
    migrate(connection, "one", ["CREATE TABLE a (x)"])
    migrate(connection, "two", ["CREATE TABLE b (x)", "CREATE TABLE c (x)"])

    assert (version(connection, "one"), version(connection, "two")) == (1, 2)


def test_a_failing_step_leaves_the_version_before_it(connection: sqlite3.Connection) -> None:
    steps = ["CREATE TABLE a (x)", "CREATE TABLE b (x); INSERT INTO nowhere VALUES (1)"]

    with pytest.raises(sqlite3.OperationalError, match="nowhere"):
        migrate(connection, "one", steps)

    assert version(connection, "one") == 1
    assert "b" not in tables(connection)
    assert not connection.in_transaction
    assert migrate(connection, "one", [steps[0], "CREATE TABLE b (x)"]) == 2


def test_a_step_that_makes_sqlite_roll_back_says_why_it_failed(connection: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
        migrate(connection, "one", ["CREATE TABLE a (x UNIQUE); INSERT INTO a VALUES (1); INSERT OR ROLLBACK INTO a VALUES (1)"])

    assert "a" not in tables(connection)


def test_a_file_of_a_newer_program_is_refused_and_left_alone(connection: sqlite3.Connection) -> None:
    migrate(connection, "one", ["CREATE TABLE a (x)", "CREATE TABLE b (x)"])

    with pytest.raises(ForebayError) as refused:
        migrate(connection, "one", ["CREATE TABLE a (x)"])

    assert refused.value.code == "schema_too_new"
    assert "version 2 of its one tables" in refused.value.message
    assert version(connection, "one") == 2


def test_scripts_may_hold_several_statements_a_line_comments_strings_and_triggers(connection: sqlite3.Connection) -> None:
    script = """
    -- a comment; with a semicolon
    CREATE TABLE a (x TEXT DEFAULT 'one; two'); CREATE TABLE b (x); /* three; */ CREATE TABLE log (x);
    CREATE TRIGGER t AFTER INSERT ON b BEGIN
      INSERT INTO log VALUES (new.x); INSERT INTO log VALUES ('again;');
    END;
    INSERT INTO a DEFAULT VALUES;
    INSERT INTO b VALUES (1) -- no semicolon; at the end
    """

    migrate(connection, "one", [script])

    assert connection.execute("SELECT x FROM a").fetchall() == [("one; two",)]
    assert connection.execute("SELECT x FROM log").fetchall() == [(1,), ("again;",)]


def test_a_trailing_comment_is_no_statement(connection: sqlite3.Connection) -> None:
    assert migrate(connection, "one", ["CREATE TABLE a (x);\n-- the end\n"]) == 1


def test_a_file_that_is_no_database_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "test.db"
    path.write_bytes(b"this is a letter, not a database" * 100)

    with pytest.raises(ForebayError) as refused:
        open_writer_connection(path, {}, synchronous="OFF")

    assert refused.value.code == "database_damaged"


def test_a_directory_that_is_not_there_is_not_called_a_damaged_database(tmp_path: Path) -> None:
    with pytest.raises(ForebayError) as refused:
        open_writer_connection(tmp_path / "nowhere" / "test.db", {}, synchronous="OFF")

    assert refused.value.code == "database_unavailable"


def test_a_locked_file_is_not_called_a_damaged_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "test.db"
    open_writer_connection(path, {}, synchronous="OFF").close()
    connect = sqlite3.connect
    other = connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    monkeypatch.setattr(sqlite3, "connect", lambda *arguments, **options: connect(*arguments, **options, timeout=0))

    with pytest.raises(ForebayError) as refused:
        open_writer_connection(path, {"one": ["CREATE TABLE a (x)"]}, synchronous="OFF")

    other.close()
    assert refused.value.code == "database_unavailable"
    assert "locked" in refused.value.message
