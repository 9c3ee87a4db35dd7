"""Charts of text: bars for what is compared, columns over time for what changes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from forebay.cli.output import cell_width, clipped, visible
from forebay.cli.time_labels import short_times

HEIGHT = 8  # lines of a chart over time
SMALL_HEIGHT = 4  # of each, when there are several
SERIES_LIMIT = 6  # charts over time
BAR_LIMIT = 40  # bars of a chart
LONGEST_LABEL = 30
LARGEST = 1e300
NOTHING = "(none)"  # the label of a null, or of an empty text
WIDEST_STEP = 6  # columns for one moment
_EIGHTHS = " ▁▂▃▄▅▆▇█"
_PARTS = " ▏▎▍▌▋▊▉█"
_NUMBERS = ("int", "long", "real")
_OVER_TIME = ("timechart", "areachart", "linechart", "scatterchart", "stackedareachart")
_TABLES = ("table", "card")
ASCII = str.maketrans(dict.fromkeys("▏▎▍▁▂▃", " ") | dict.fromkeys("▌▋▊▉█▄▅▆▇", "#") | {"…": "~"})  # where blocks cannot be written


def chart_lines(table: Mapping[str, Any], render: Mapping[str, str], *, columns: int) -> list[str] | None:
    """The lines of the chart that `render` asks for, at most `columns` wide; None where a table says it better."""
    names, kinds = [column["name"] for column in table["columns"]], [column["type"] for column in table["columns"]]
    wanted = {name.strip() for name in render.get("ycolumns", "").split(",")} & set(names)
    numbers = [place for place, kind in enumerate(kinds) if kind in _NUMBERS and (not wanted or names[place] in wanted)]
    times = [place for place, kind in enumerate(kinds) if kind == "datetime"]
    rows = table["rows"]
    numbered = [row for row in rows if any(_number(row[place]) is not None for place in numbers)]
    if render["visualization"] in _TABLES or not numbered:
        return None
    labels = [place for place, kind in enumerate(kinds) if kind not in _NUMBERS]
    if render["visualization"] in _OVER_TIME and times and any(row[times[0]] is not None for row in numbered):
        lines = _over_time(names, rows, times[0], [place for place in labels if place != times[0]], numbers, columns)
    else:
        lines = _bars(names, kinds, rows, labels, numbers, columns, has_shares=render["visualization"] == "piechart")
    return [clipped(visible(render["title"]), columns), *lines] if render.get("title") else lines


def _bars(
    names: Sequence[str],
    kinds: Sequence[str],
    rows: Sequence[Sequence[Any]],
    labels: Sequence[int],
    numbers: Sequence[int],
    columns: int,
    *,
    has_shares: bool,
) -> list[str]:
    """A block of bars for each column of numbers."""
    shown = rows[:BAR_LIMIT]
    told = [[_text(row[place]) for row in shown] for place in labels]
    told = [short_times(texts)[0] if kinds[place] == "datetime" else texts for place, texts in zip(labels, told, strict=True)]
    longest = max(4, min(LONGEST_LABEL, columns // 2))
    texts = [clipped(visible(" ".join(filter(None, (each[row] for each in told)))), longest) for row in range(len(shown))]
    texts = [text or NOTHING for text in texts] if labels else texts
    label_width = max(map(cell_width, texts))
    heads = [f"{text}{' ' * (label_width - cell_width(text))}{' ' if label_width else ''}" for text in texts]
    lines: list[str] = []
    for number in numbers:
        values = [_number(row[number]) for row in shown]
        if len(numbers) > 1:
            lines.append(clipped(visible(names[number]), columns))
        amounts = [_text(row[number]) if value is None else amount_text(value) for row, value in zip(shown, values, strict=True)]
        total = sum(value for value in map(_number, (row[number] for row in rows)) if value is not None)
        if has_shares and total > 0 and all(value is None or value >= 0 for value in values):
            amounts = [amount if value is None else f"{amount} {value / total:4.0%}" for amount, value in zip(amounts, values, strict=True)]
        amount_width = max(map(len, amounts))
        bars = _bar_texts(values, max(4, columns - cell_width(heads[0]) - amount_width - 1))
        lines += [f"{head}{amount:>{amount_width}} {bar}".rstrip() for head, amount, bar in zip(heads, amounts, bars, strict=True)]
    return lines + ([f"... and {len(rows) - BAR_LIMIT:,} more"] if len(rows) > BAR_LIMIT else [])


def _bar_texts(values: Sequence[float | None], room: int) -> list[str]:
    """Bars to the right of a common zero, and to its left for what is below it."""
    known = [value for value in values if value is not None]
    least, most = min([0.0, *known]), max([0.0, *known])
    span = (most - least) or 1.0
    below = min(max(1, int(room * -least / span)), room - 1 if most > 0 else room) if least < 0 else 0
    bars = []
    for value in values:
        if value is None:
            bars.append("")
        elif value < 0:
            bars.append(("█" * max(1, round(below * value / least))).rjust(below))
        else:
            length = value / most * (room - below) if most > 0 else 0.0
            whole, part = int(length), int(length % 1 * 8)
            smallest = 1 if value > 0 and not whole else 0  # something is not nothing
            bars.append(" " * below + "█" * whole + (_PARTS[max(part, smallest)] if part or smallest else ""))
    return bars


def _over_time(
    names: Sequence[str], rows: Sequence[Sequence[Any]], time: int, labels: Sequence[int], numbers: Sequence[int], columns: int
) -> list[str]:
    """One block for each series: a column of numbers, or a value of the columns beside time and number."""
    series: dict[str, dict[str, float]] = {}
    for row in rows:
        for number in numbers:
            value = _number(row[number])
            named = [_text(row[place]) for place in labels] + ([names[number]] if len(numbers) > 1 or not labels else [])
            if row[time] is not None and value is not None:
                series.setdefault(" ".join(named).strip() or NOTHING, {})[row[time]] = value
    everything = [value for values in series.values() for value in values.values()]
    least, most = min([0.0, *everything]), max([0.0, *everything])
    span = (most - least) or 1.0
    gutter = max(len(amount_text(least)), len(amount_text(most))) + 1
    moments = sorted({moment for values in series.values() for moment in values})
    places, width, is_crowded = _places(moments, max(4, columns - gutter))
    height = HEIGHT if len(series) == 1 else SMALL_HEIGHT
    lines: list[str] = []
    for name, values in list(series.items())[:SERIES_LIMIT]:
        lines.append(clipped(visible(name), columns))
        tops = [0.0] * width
        for moment, value in values.items():
            for place in places[moment]:
                tops[place] = max(tops[place], (value - least) / span * height)
        for line in range(height - 1, -1, -1):
            cells = "".join(_EIGHTHS[max(0, min(8, math.ceil((top - line) * 8 - 1e-9)))] for top in tops)
            mark = amount_text(most) if line == height - 1 else amount_text(least) if line == 0 else ""
            lines.append(f"{mark:>{gutter - 1}} {cells}".rstrip())
    lines += [" " * gutter + clipped(text, columns - gutter) for text in _axis(moments, width, columns - gutter, is_crowded=is_crowded)]
    return lines + ([f"... and {len(series) - SERIES_LIMIT:,} more series"] if len(series) > SERIES_LIMIT else [])


def _places(moments: Sequence[str], room: int) -> tuple[dict[str, range], int, bool]:
    """Which columns each moment takes, how many there are, and whether several moments share one."""
    seconds = [datetime.fromisoformat(moment).timestamp() for moment in moments]
    length = seconds[-1] - seconds[0]
    step = min((after - before for before, after in itertools.pairwise(seconds)), default=0.0)
    count = round(length / step) + 1 if step > 0 else 1
    if count <= room:
        wide = min(WIDEST_STEP, room // count)
        firsts = [round((at - seconds[0]) / step) * wide if step > 0 else 0 for at in seconds]
        return {moment: range(first, first + wide) for moment, first in zip(moments, firsts, strict=True)}, count * wide, False
    found = [min(room - 1, int((at - seconds[0]) / length * room)) for at in seconds]
    return {moment: range(place, place + 1) for moment, place in zip(moments, found, strict=True)}, room, len(set(found)) < len(found)


def _axis(moments: Sequence[str], width: int, room: int, *, is_crowded: bool) -> list[str]:
    """The first and the last time below the columns that they belong to, where that fits, and what else there is to know."""
    labels, common = short_times(moments)
    first, last = labels[0], labels[-1]
    if first == last:
        times = first
    elif len(first) + len(last) < width:
        times = f"{first}{last:>{width - len(first)}}"
    else:
        times = f"{first} to {last}"
    note = ", ".join(filter(None, (common, "columns show maxima" if is_crowded else "")))
    if not note:
        return [times]
    return [f"{times}  {note}"] if len(times) + len(note) + 2 <= room else [times, note]


def _number(value: Any) -> float | None:
    """The value, if it can be drawn: differences of larger ones are not finite."""
    is_drawn = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST
    return float(value) if is_drawn else None


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def amount_text(value: float) -> str:
    """A number as an axis shows it: whole ones with separators, others with three digits that count."""
    if value == int(value) and abs(value) < 1e15:
        return f"{value:,.0f}"
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e15 else f"{value:.3g}"
