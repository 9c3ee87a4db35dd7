from __future__ import annotations

import csv
import io
import json
import os
import sys
from typing import Any

import pytest

from forebay.cli import query as module
from forebay.cli.output import cell_width
from forebay.cli.query import print_answer, query
from forebay.errors import ForebayError


class Terminal(io.StringIO):
    """Standard output that is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def on_terminal(monkeypatch: pytest.MonkeyPatch, columns: int = 80) -> Terminal:
    """Print to a terminal from here on."""
    printed = Terminal()
    monkeypatch.setattr(sys, "stdout", printed)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(columns))
    return printed


def answer(columns: dict[str, str], *rows: list[Any], **other: Any) -> dict[str, Any]:
    table = {"name": "PrimaryResult", "columns": [{"name": name, "type": kind} for name, kind in columns.items()], "rows": list(rows)}
    return {"tables": [table], "took_ms": 3.4, "lag_seconds": 0, "truncated": None, "render": None} | other


def asked(monkeypatch: pytest.MonkeyPatch, given: dict[str, Any] | ForebayError) -> list[dict[str, Any]]:
    """Let every query have this answer; the requests."""
    requests: list[dict[str, Any]] = []

    async def ask(_: object, request: dict[str, Any], path: str) -> dict[str, Any]:
        requests.append(request | ({} if path == "/query" else {"path": path}))
        if isinstance(given, ForebayError):
            raise given
        return given

    monkeypatch.setattr(module, "_query", ask)
    return requests


WIDE = answer({"timestamp": "datetime", "message": "string", "n": "long"}, ["2026-11-22T05:00:00.000000Z", "word " * 40, 12_345_678])


def test_a_table_has_numbers_to_the_right_and_times_without_needless_zeros(capsys: pytest.CaptureFixture[str]):
    rows = ["2026-11-22T05:00:00.500000Z", 7, True, None, 0.1 + 0.2], ["2026-11-22T05:01:00.000000Z", 1234, False, "x", None]
    print_answer(answer({"at": "datetime", "n": "long", "ok": "bool", "text": "string", "share": "real"}, *rows))
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [
        "at                         n  ok     text  share",
        "2026-11-22T05:00:00.5Z     7  true           0.3",
        "2026-11-22T05:01:00.0Z  1234  false  x",
    ]
    assert captured.err == "2 rows in 3 ms\n"


def test_what_is_missing_is_said(capsys: pytest.CaptureFixture[str]):
    print_answer(answer({"n": "long"}, [1], truncated="rows", lag_seconds=2.04))
    said = capsys.readouterr().err
    assert "cut short by its limit of rows; --limit asks for more" in said
    assert "the last 2.0 s may be missing" in said


def test_nothing_is_said_to_be_nothing(capsys: pytest.CaptureFixture[str]):
    print_answer(answer({"n": "long"}, render={"visualization": "timechart"}))
    assert capsys.readouterr() == ("No rows.\n", "0 rows in 3 ms\n")


def test_cells_cannot_act_on_the_terminal(capsys: pytest.CaptureFixture[str]):
    print_answer(answer({"a\x1b[2J": "string"}, ["b\x1b]0;x\x07\nc"]))
    assert capsys.readouterr().out == "a\\x1b[2J\nb\\x1b]0;x\\x07\\nc\n"


@pytest.mark.parametrize("columns", [50, 80])
def test_a_table_fits_the_terminal_by_cutting_text_and_never_numbers(columns: int, monkeypatch: pytest.MonkeyPatch):
    terminal = on_terminal(monkeypatch, columns)
    print_answer(WIDE)
    lines = terminal.getvalue().splitlines()
    assert max(map(cell_width, lines)) <= columns
    assert "…" in lines[1]
    assert lines[1].endswith("12345678")


def test_without_a_terminal_nothing_is_cut(capsys: pytest.CaptureFixture[str]):
    print_answer(WIDE)
    assert "word " * 39 in capsys.readouterr().out


def test_rows_that_do_not_fit_become_blocks_of_lines(monkeypatch: pytest.MonkeyPatch):
    terminal = on_terminal(monkeypatch, 40)
    columns = {"timestamp": "datetime"} | {f"column{number}": "string" for number in range(9)}
    print_answer(answer(columns, ["2026-11-22T05:00:00Z", "文" * 60, *[None] * 7, "last"]))
    lines = terminal.getvalue().splitlines()
    assert [line.split()[0] for line in lines] == ["row", "timestamp", "column0", "column8"]
    assert max(map(cell_width, lines)) <= 40


def test_a_chart_is_written_with_what_the_output_has(monkeypatch: pytest.MonkeyPatch):
    printed = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", printed)
    print_answer(answer({"type": "string", "n": "long"}, ["a", 3], render={"visualization": "barchart"}))
    printed.seek(0)
    assert printed.read().startswith("a 3 ####")


def test_csv_is_exact(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    values = ['say "no",\nor \r', None, 0.1 + 0.2, True, "\x1b[31m", 2**62]
    names = {f"c{number}": "string" for number in range(6)}
    asked(monkeypatch, answer(names, values))
    query("requests", as_csv=True)
    with io.StringIO(capsys.readouterr().out, newline="") as printed:
        rows = list(csv.reader(printed))
    assert rows == [list(names), ['say "no",\nor \r', "", "0.30000000000000004", "true", "\x1b[31m", str(2**62)]]


def test_csv_cannot_act_on_a_terminal(monkeypatch: pytest.MonkeyPatch):
    terminal = on_terminal(monkeypatch)
    asked(monkeypatch, answer({"a": "string"}, ["\x1b[31m"]))
    query("requests", as_csv=True)
    assert terminal.getvalue() == "a\n\\x1b[31m\n"


def test_an_error_shows_the_place_in_the_query(monkeypatch: pytest.MonkeyPatch):
    asked(monkeypatch, ForebayError("query_syntax", "line 2, column 5: mismatched input", hint="try this", status=422))
    with pytest.raises(ForebayError) as raised:
        query("requests\n| 文 wher\x1b x > 1")
    assert raised.value.message == "line 2, column 5: mismatched input\n  | 文 wher\\x1b x > 1\n       ^"
    assert (raised.value.hint, raised.value.status) == ("try this", 422)


def test_the_place_in_a_long_line_is_shown_with_what_is_around_it(monkeypatch: pytest.MonkeyPatch):
    asked(monkeypatch, ForebayError("query_syntax", "line 1, column 301: no", status=422))
    with pytest.raises(ForebayError) as raised:
        query("a" * 300 + "!" + "b" * 300)
    _, shown, mark = raised.value.message.splitlines()
    assert shown[mark.index("^")] == "!"
    assert len(shown) <= 122


@pytest.mark.parametrize("message", ["no position at all", "line 9, column 1: beyond the text"])
def test_an_error_without_a_place_stays_as_it_is(message: str, monkeypatch: pytest.MonkeyPatch):
    asked(monkeypatch, ForebayError("query_failed", message))
    with pytest.raises(ForebayError) as raised:
        query("requests")
    assert raised.value.message == message


def test_a_dash_reads_the_query_from_standard_input(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    requests = asked(monkeypatch, answer({"n": "long"}, [1]))
    monkeypatch.setattr(sys, "stdin", io.StringIO("requests\n| count\n"))
    query("-", timespan="PT1H", limit=0)
    assert requests == [{"query": "requests\n| count\n", "timespan": "PT1H", "limit": 0}]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff"), encoding="utf-8"))
    with pytest.raises(ForebayError, match="expected UTF-8 on standard input"):
        query("-")
    assert len(requests) == 1


EXPLAINED = {"tree": "take 1\n  table t\x1b[2J (a: long)", "sql": "SELECT 1\nLIMIT 1", "columns": [{"name": "a", "type": "long"}]}


def test_how_a_query_is_understood_is_shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    requests = asked(monkeypatch, EXPLAINED)
    query("t | take 1", explain=True, timespan="PT1H")
    assert requests == [{"query": "t | take 1", "timespan": "PT1H", "path": "/query/explain"}]
    assert capsys.readouterr().out == "tree\n  take 1\n    table t\\x1b[2J (a: long)\nSQL\n  SELECT 1\n  LIMIT 1\n"
    query("t | take 1", explain=True, as_json=True)
    assert json.loads(capsys.readouterr().out) == EXPLAINED


@pytest.mark.parametrize("given", [{"as_csv": True}, {"limit": 3}])
def test_what_is_about_rows_is_wrong_usage_where_nothing_is_run(given: dict[str, Any]):
    with pytest.raises(ForebayError) as raised:
        query("t", explain=True, **given)
    assert raised.value.code == "wrong_usage"


def test_csv_and_json_at_once_are_wrong_usage():
    with pytest.raises(ForebayError) as raised:
        query("requests", as_csv=True, as_json=True)
    assert raised.value.code == "wrong_usage"


def test_a_reader_that_goes_away_is_noticed_within_the_command(monkeypatch: pytest.MonkeyPatch):
    asked(monkeypatch, answer({"n": "long"}, [1]))
    reading, writing = os.pipe()
    os.close(reading)
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", gone := os.fdopen(writing, "w", encoding="utf-8"))
        with pytest.raises(BrokenPipeError):
            query("requests")
    with pytest.raises(BrokenPipeError):
        gone.close()
