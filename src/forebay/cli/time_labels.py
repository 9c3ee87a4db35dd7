"""Times as short as they can be told apart."""

from __future__ import annotations

import re
from collections.abc import Sequence

_RFC3339 = re.compile(r"(?P<date>(?P<year>\d{4})-\d\d-\d\d)T(?P<minute>\d\d:\d\d):(?P<second>\d\d)(?:\.(?P<fraction>\d+))?Z")


def trimmed_times(texts: Sequence[str]) -> list[str]:
    """RFC 3339 times in UTC, all with as many digits of a second as the one that needs most. Other texts stay as they are."""
    digits = max((len(_fraction(found)) for found in map(_RFC3339.fullmatch, texts) if found), default=0)
    return [_trimmed(text, digits) for text in texts]


def short_times(texts: Sequence[str]) -> tuple[list[str], str]:
    """Labels for RFC 3339 times in UTC, and what is common to all of them: their date, their year, or nothing.

    Zeros that all of them have are left out. A text that is no such time stays, and then so do all.
    """
    found = [_RFC3339.fullmatch(text) for text in texts]
    times = [each for each in found if each is not None]
    if not times or len(times) < len(texts):
        return list(texts), ""
    digits = max(len(_fraction(each)) for each in times)
    has_seconds = digits > 0 or any(each["second"] != "00" for each in times)
    clocks = [
        each["minute"] + (f":{each['second']}" if has_seconds else "") + (f".{_digits(each, digits)}" if digits else "") for each in times
    ]
    dates = {each["date"] for each in times}
    if len(dates) == 1:
        return (clocks, dates.pop()) if set(clocks) != {"00:00"} else ([each["date"] for each in times], "")
    is_one_year = len({each["year"] for each in times}) == 1
    days = [each["date"][5:] if is_one_year else each["date"] for each in times]
    labels = days if set(clocks) == {"00:00"} else [f"{day} {clock}" for day, clock in zip(days, clocks, strict=True)]
    return labels, times[0]["year"] if is_one_year else ""


def _fraction(time: re.Match[str]) -> str:
    return (time["fraction"] or "").rstrip("0")


def _digits(time: re.Match[str], count: int) -> str:
    return (time["fraction"] or "")[:count].ljust(count, "0")


def _trimmed(text: str, digits: int) -> str:
    time = _RFC3339.fullmatch(text)
    if time is None:
        return text
    return f"{time['date']}T{time['minute']}:{time['second']}{f'.{_digits(time, digits)}' if digits else ''}Z"
