from __future__ import annotations

import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from forebay.cli.chart import ASCII, BAR_LIMIT, SERIES_LIMIT, amount_text, chart_lines
from forebay.cli.output import cell_width, visible
from forebay.cli.time_labels import short_times, trimmed_times


def at(minute: int, second: int = 0, day: int = 22, fraction: str = "000000") -> str:
    return f"2026-11-{day}T05:{minute:02}:{second:02}.{fraction}Z"


def chart(kind: str, columns: dict[str, str], *rows: list[Any], width: int = 60, **properties: str) -> list[str] | None:
    table = {"columns": [{"name": name, "type": type} for name, type in columns.items()], "rows": list(rows)}
    return chart_lines(table, {"visualization": kind, **properties}, columns=width)


BY_TYPE = {"type": "string", "n": "long"}
OVER_TIME = {"timestamp": "datetime", "n": "long"}


def test_bars_are_as_long_as_their_numbers():
    assert chart("barchart", BY_TYPE, ["indexed", 20], ["failed", 5], ["none", 0], width=30) == [
        "indexed 20 " + "█" * 19,
        "failed   5 ████▊",
        "none     0",
    ]


def test_something_small_is_not_shown_as_nothing():
    assert (chart("barchart", BY_TYPE, ["much", 100_000], ["little", 1], width=30) or [])[1] == "little       1 ▏"


def test_a_pie_tells_shares_of_the_whole():
    lines = chart("piechart", BY_TYPE, ["a", 3], ["b", 1], width=30) or []
    assert [line.split()[:3] for line in lines] == [["a", "3", "75%"], ["b", "1", "25%"]]


def test_negative_bars_lead_left_from_a_common_zero():
    assert chart("columnchart", BY_TYPE, ["down", -5], ["up", 10], width=38) == [
        "down -5 " + "█" * 10,
        "up   10 " + " " * 10 + "█" * 20,
    ]


def test_every_column_of_numbers_has_its_bars_unless_the_query_chooses():
    columns = {"type": "string", "n": "long", "seconds": "real"}
    assert (chart("barchart", columns, ["a", 1, 0.5]) or [])[::2] == ["n", "seconds"]
    assert len(chart("barchart", columns, ["a", 1, 0.5], ycolumns="seconds") or []) == 1


def test_what_is_null_or_no_number_has_a_row_without_a_bar():
    assert chart("barchart", BY_TYPE, [None, 1], ["b", None], ["c", "NaN"], width=20) == ["(none)   1 " + "█" * 9, "b", "c      NaN"]


def test_wide_characters_count_as_two_columns():
    lines = chart("barchart", BY_TYPE, ["文書", 1], ["abc", 1], width=20) or []
    assert [cell_width(line) for line in lines] == [20, 20]
    assert lines[1].startswith("abc  1 ")


def test_a_title_and_labels_cannot_act_on_the_terminal():
    lines = chart("barchart", BY_TYPE, ["\x1b[2J", 1], title="\x1b]0;x") or []
    assert lines[0] == r"\x1b]0;x"
    assert lines[1].startswith(r"\x1b[2J 1 ")


def test_more_bars_than_fit_on_a_screen_are_counted():
    lines = chart("barchart", BY_TYPE, *(["x", 1] for _ in range(BAR_LIMIT + 1234))) or []
    assert (len(lines), lines[-1]) == (BAR_LIMIT + 1, "... and 1,234 more")


def test_a_table_says_it_better():
    assert chart("table", BY_TYPE, ["a", 1]) is None
    assert chart("barchart", BY_TYPE) is None
    assert chart("barchart", {"a": "string"}, ["x"]) is None
    assert chart("timechart", OVER_TIME, [at(0), None]) is None


def test_a_chart_over_time_leaves_gaps_where_nothing_happened():
    lines = chart("timechart", OVER_TIME, [at(0), 8], [at(5), 4], [at(15), 8], width=14) or []
    assert lines[0] == "n"
    assert lines[1] == "8 ███      ███"
    assert lines[8] == "0 ██████   ███"
    assert lines[9:] == ["  05:00  05:15", "  2026-11-22"]


def test_a_chart_over_time_takes_values_of_another_column_as_series():
    columns = {"timestamp": "datetime", "name": "string", "n": "long"}
    lines = chart("timechart", columns, *([at(minute), name, 1] for minute in range(3) for name in ("a", "b"))) or []
    assert [line for line in lines if line in ("a", "b")] == ["a", "b"]
    many = chart("timechart", columns, *([at(0), f"s{number}", 1] for number in range(SERIES_LIMIT + 3))) or []
    assert many[-1] == "... and 3 more series"


def test_more_moments_than_columns_show_the_greatest_of_each_column():
    rows = [[at(second // 60, second % 60), 100 if second == 333 else 1] for second in range(600)]
    lines = chart("timechart", OVER_TIME, *rows, width=40) or []
    assert lines[1].count("█") == 1
    assert "columns show maxima" in lines[-1]


def test_negative_values_over_time_stand_on_the_least_one():
    lines = chart("timechart", OVER_TIME, [at(0), -8], [at(1), 8], width=10) or []
    assert lines[1] == " 8    ███"
    assert lines[8] == "-8    ███"


def test_one_moment_is_a_chart():
    lines = chart("timechart", OVER_TIME, [at(7), 3]) or []
    assert lines[-1].split() == ["05:07", "2026-11-22"]


def test_numbers_without_a_time_are_bars():
    assert chart("timechart", OVER_TIME, [at(7), None], [None, 1], width=20) == ["2026-11-2…", "(none)     1 ███████"]


def test_charts_can_be_written_in_ascii():
    lines = (chart("timechart", OVER_TIME, [at(0), 8], [at(1), 3]) or []) + (chart("barchart", BY_TYPE, ["a", 3], ["b", 1]) or [])
    assert all(line.translate(ASCII).isascii() for line in lines)
    assert "#" in lines[1].translate(ASCII)


KINDS = st.sampled_from(["string", "datetime", "long", "real"])
CELLS = {
    "string": st.one_of(st.none(), st.text(max_size=40)),
    "datetime": st.one_of(st.none(), st.builds(at, st.integers(0, 59), st.integers(0, 59), st.integers(10, 30))),
    "long": st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
    "real": st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(["NaN", "Infinity"])),
}


@given(st.data(), st.lists(KINDS, min_size=1, max_size=4), st.sampled_from(["timechart", "piechart", "barchart"]), st.integers(48, 100))
def test_every_chart_fits_and_is_harmless(data: st.DataObject, kinds: list[str], kind: str, width: int):
    rows = data.draw(st.lists(st.tuples(*(CELLS[each] for each in kinds)).map(list), max_size=8))
    for line in chart(kind, {f"c{place}": each for place, each in enumerate(kinds)}, *rows, width=width) or []:
        assert cell_width(line) <= width
        assert visible(line) == line


@given(st.floats(min_value=-1e300, max_value=1e300))
def test_amounts_are_short_and_near(value: float):
    text = amount_text(value)
    assert len(text) <= 22
    assert math.isclose(float(text.replace(",", "")), value, rel_tol=0.01)


def test_times_are_as_short_as_they_can_be_told_apart():
    assert short_times([at(0), at(5)]) == (["05:00", "05:05"], "2026-11-22")
    assert short_times([at(0), at(5, 30)]) == (["05:00:00", "05:05:30"], "2026-11-22")
    assert short_times([at(0, fraction="250000"), at(5)]) == (["05:00:00.25", "05:05:00.00"], "2026-11-22")
    assert short_times([at(0, day=21), at(5)]) == (["11-21 05:00", "11-22 05:05"], "2026")
    assert short_times(["2026-11-21T00:00:00Z", "2026-11-22T00:00:00.000000Z"]) == (["11-21", "11-22"], "2026")
    assert short_times(["2025-11-21T00:00:00Z", "2026-11-22T00:00:00Z"]) == (["2025-11-21", "2026-11-22"], "")
    assert short_times(["2026-11-22T00:00:00Z"]) == (["2026-11-22"], "")
    assert short_times([at(0), ""]) == ([at(0), ""], "")
    assert short_times([]) == ([], "")


def test_a_column_of_times_has_no_needless_zeros():
    assert trimmed_times([at(0), "", at(1, fraction="120000")]) == ["2026-11-22T05:00:00.00Z", "", "2026-11-22T05:01:00.12Z"]
    assert trimmed_times([at(0)]) == ["2026-11-22T05:00:00Z"]
