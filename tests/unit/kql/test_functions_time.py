"""Dates, times, time zones and their texts: what an expression answers."""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random

import pytest
from running import Tables, run

from forebay.telemetry.kql.errors import KqlError


def value(expression: str) -> object:
    return run(f"print x = {expression}").rows[0][0]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("startofday(datetime(2024-02-29 13:14:15), -1)", "2024-02-28"),
        ("startofweek(datetime(2024-05-05))", "2024-05-05"),  # a Sunday
        ("startofweek(datetime(2024-05-04 23:59))", "2024-04-28"),
        ("startofweek(datetime(1969-12-30), 1)", "1970-01-04"),
        ("startofmonth(datetime(2024-03-31), -1)", "2024-02-01"),
        ("startofyear(datetime(1600-06-01))", "1600-01-01"),
        ("endofday(datetime(2024-02-29 13:14:15), 1)", "2024-03-01 23:59:59.999999"),
        ("endofweek(datetime(2024-05-05), -1)", "2024-05-04 23:59:59.999999"),
        ("endofmonth(datetime(2024-01-31), 1)", "2024-02-29 23:59:59.999999"),
        ("endofyear(datetime(9999-12-31))", "9999-12-31 23:59:59.999999"),
        ("datetime_add('month', 1, datetime(2023-01-31))", "2023-02-28"),
        ("datetime_add('Year', -1, datetime(2024-02-29))", "2023-02-28"),
        ("datetime_add('quarter', 3, datetime(2023-05-31 01:02:03))", "2024-02-29 01:02:03"),
        ("datetime_add('week', -2, datetime(0001-01-15))", "0001-01-01"),
        ("datetime_add('hour', 25, datetime(2024-12-31))", "2025-01-01 01:00:00"),
        ("datetime_add('microsecond', -1, datetime(1970-01-01))", "1969-12-31 23:59:59.999999"),
        ("datetime_add('nanosecond', 1999, datetime(1970-01-01))", "1970-01-01 00:00:00.000001"),
        ("make_datetime(2024, 2, 29)", "2024-02-29"),
        ("make_datetime(9999, 12, 31, 23, 59, 59.9999999)", "9999-12-31 23:59:59.999999"),
        ("make_datetime(1, 1, 1, 0, 0, 1.001)", "0001-01-01 00:00:01.001"),
        ("unixtime_seconds_todatetime(-1)", "1969-12-31 23:59:59"),
        ("unixtime_seconds_todatetime(253402300799)", "9999-12-31 23:59:59"),
        ("unixtime_seconds_todatetime(0.25)", "1970-01-01 00:00:00.25"),
        ("unixtime_milliseconds_todatetime(decimal(0.5))", "1970-01-01 00:00:00.0005"),
        ("unixtime_milliseconds_todatetime(1700000000123)", "2023-11-14 22:13:20.123"),
        ("unixtime_microseconds_todatetime(-62135596800000000)", "0001-01-01"),
        ("unixtime_nanoseconds_todatetime(-1)", "1969-12-31 23:59:59.999999"),
        ("datetime_utc_to_local(datetime(2024-07-01 12:00), 'Asia/Kolkata')", "2024-07-01 17:30:00"),
        ("datetime_local_to_utc(datetime(2024-07-01 12:00), 'America/New_York')", "2024-07-01 16:00:00"),
    ],
)
def test_datetimes(expression: str, expected: str) -> None:
    assert value(expression) == at(expected)


@pytest.mark.parametrize(
    "expression",
    [
        "startofday(datetime(null))",
        "endofmonth(datetime(2024-01-01), long(null))",
        "startofyear(datetime(2024-01-01), 9223372036854775807)",
        "endofday(datetime(2024-01-01), 9223372036854775807)",
        "datetime_add('day', 9223372036854775807, datetime(2024-01-01))",
        "datetime_add('hour', 9223372036854775807, datetime(2024-01-01))",
        "datetime_add('year', 9999, " * 40 + "datetime(2024-01-01)" + ")" * 40,
        "datetime_add('second', tolong(strcat('92233720368547', '75807')), datetime(2024-01-01))",
        "datetime_add('year', tolong('2000000000'), datetime(2024-01-01))",
        "make_datetime(2023, 2, 29)",
        "make_datetime(0, 1, 1)",
        "make_datetime(2024, 1, 1, 24, 0)",
        "make_datetime(2024, 1, 1, 0, 0, 60)",
        "make_datetime(2024, 1, 1, 0, 0, real(nan))",
        "make_timespan(24, 0)",
        "make_timespan(0, 60)",
        "make_timespan(9223372036854775807, 0, 0, 0)",
        "unixtime_seconds_todatetime(253402300800)",
        "unixtime_seconds_todatetime(real(nan))",
        "unixtime_milliseconds_todatetime(1e300)",
        "datetime_diff('nanosecond', datetime(9999-01-01), datetime(0001-01-01))",
        "datetime_diff('day', datetime(null), datetime(2024-01-01))",
        "getyear(datetime(null))",
        "dayofweek(datetime(null))",
        "datetime_utc_to_local(datetime(null), 'Europe/Paris')",
        "datetime_utc_to_local(datetime(2024-01-01), tolower('NOWHERE'))",
    ],
)
def test_what_is_no_date_is_null(expression: str) -> None:
    assert value(expression) is None


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("week_of_year(datetime(2021-01-03))", 53),
        ("dayofweek(datetime(2024-05-04))", timedelta(days=6)),
        ("dayofyear(datetime(2024-12-31))", 366),
        ("monthofyear(datetime(0001-02-03))", 2),
        ("getmonth(datetime(2024-02-03)) + dayofmonth(datetime(2024-02-03)) + hourofday(datetime(2024-02-03 23:59))", 28),
        ("datetime_part('Quarter', datetime(1969-12-31))", 4),
        ("datetime_part('millisecond', datetime(1969-12-31 23:59:58.987654))", 987),
        ("datetime_part('microsecond', datetime(1969-12-31 23:59:58.987654))", 987654),
        ("datetime_part('nanosecond', datetime(1969-12-31 23:59:58.9876543))", 987654300),
        ("datetime_diff('week', datetime(2024-05-05), datetime(2024-05-04))", 1),
        ("datetime_diff('week', datetime(0001-01-06), datetime(0001-01-07))", -1),
        ("datetime_diff('Year', datetime(2023-12-31), datetime(2024-01-01))", -1),
        ("datetime_diff('quarter', datetime(2024-04-01), datetime(2023-03-31))", 5),
        ("datetime_diff('hour', datetime(1969-12-31 23:00), datetime(1969-12-31 22:59:59.9))", 1),
        ("datetime_diff('nanosecond', datetime(2024-01-01 00:00:00.0000003), datetime(2024-01-01))", 300),
        ("make_timespan(2, 3)", timedelta(hours=2, minutes=3)),
        ("make_timespan(1, 2, 3, 4.5)", timedelta(days=1, hours=2, minutes=3, seconds=4.5)),
    ],
)
def test_parts_and_differences(expression: str, expected: object) -> None:
    assert value(expression) == expected


def test_differences_count_the_periods_that_begin_in_between() -> None:
    random = Random(7)
    first = at("0001-01-01")
    pairs = [tuple(first + timedelta(seconds=random.randrange(315_000_000_000)) for _ in "ab") for _ in range(300)]
    pairs += [(a, a + timedelta(seconds=random.randrange(-2_000_000, 2_000_000))) for a, _ in pairs if 2 < a.year < 9998]
    units = {"day": timedelta(days=1), "hour": timedelta(hours=1), "minute": timedelta(minutes=1)}
    asked = ", ".join(f"{unit} = datetime_diff('{unit}', a, b)" for unit in ("week", "month", *units))
    answer = run(f"T | project a, b, {asked}", {"T": Tables([("a", "datetime"), ("b", "datetime")], pairs)})
    for a, b, weeks, months, *others in answer.rows:
        sundays = [(each - first).days + 1 for each in (a, b)]
        assert weeks == sundays[0] // 7 - sundays[1] // 7
        assert months == (a.year - b.year) * 12 + a.month - b.month
        assert others == [(a - first) // unit - (b - first) // unit for unit in units.values()]


def test_a_local_time_that_clocks_skip_is_taken_with_the_later_offset_and_one_that_comes_twice_as_the_second() -> None:
    assert value("datetime_local_to_utc(datetime(2024-03-31 02:30), 'Europe/Berlin')") == at("2024-03-31 00:30:00")
    assert value("datetime_local_to_utc(datetime(2024-10-27 02:30), 'Europe/Berlin')") == at("2024-10-27 01:30:00")


def test_time_zones_of_columns_answer_what_constant_ones_do() -> None:
    moments = [at("1950-06-01"), at("2024-03-31 02:30"), at("2024-10-27 02:30"), at("2024-11-03 01:30"), at("2199-07-01 12:00")]
    zones = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC")
    rows = [(moment, zone) for moment in moments for zone in zones]
    table = {"T": Tables([("t", "datetime"), ("z", "string")], rows)}
    by_row = run("T | project z, t, a = datetime_utc_to_local(t, z), b = datetime_local_to_utc(t, z)", table).rows
    for zone in zones:
        constant = f"T | where z == '{zone}' | project z, t, a = datetime_utc_to_local(t, '{zone}'), b = datetime_local_to_utc(t, '{zone}')"
        assert run(constant, table).rows == [row for row in by_row if row[0] == zone]


def test_a_time_zone_may_come_with_the_query() -> None:
    query = "declare query_parameters(zone: string = 'Asia/Tokyo'); print local = datetime_utc_to_local(datetime(2024-01-01), zone)"
    assert run(query).rows == [(at("2024-01-01 09:00"),)]
    assert run(query.replace("utc_to_local", "local_to_utc")).rows == [(at("2023-12-31 15:00"),)]


def test_every_listed_time_zone_can_be_used() -> None:
    zones = value("datetime_list_timezones()")
    assert isinstance(zones, list)
    assert len(zones) > 500 and zones == sorted(zones)
    columns = ", ".join(f"c{index} = datetime_utc_to_local(now(), '{zone}')" for index, zone in enumerate(zones))
    assert None not in run(f"print {columns}").rows[0]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("format_datetime(datetime(0987-06-05 04:03:02.1), 'y-M-d H:m:s.f')", "87-6-5 4:3:2.1"),
        ("format_datetime(datetime(0007-06-05 14:03:02), 'yyyy/MM/dd [hh,h] tt')", "0007/06/05 [02,2] PM"),
        ("format_datetime(datetime(2024-01-01 00:30), 'yy_hh h HH tt')", "24_12 12 00 AM"),
        ("format_datetime(datetime(1969-12-31 23:59:59.0204567), 'ff fff ffff fffff ffffff fffffff')", "02 020 0204 02045 020456 0204567"),
        ("format_datetime(datetime(2024-01-01 00:00:00.0204), 'F FF FFF FFFFFFF')", " 02 02 0204"),
        ("format_datetime(datetime(null), 'yyyy')", ""),
        ("format_timespan(3d + 4h + 5m + 6s + 70ms, 'd.hh:mm:ss.ffff')", "3.04:05:06.0700"),
        ("format_timespan(123456789s, 'dddddd H:m:s')", "001428 21:33:9"),
        ("format_timespan(70ms, 'ss [FFF]')", "00 [07]"),
        ("format_timespan(-90m, 'h:mm')", "1:30"),
        ("format_timespan(timespan(null), 'dd')", ""),
        ("format_bytes(1023)", "1023 Bytes"),
        ("format_bytes(1536, 1)", "1.5 KB"),
        ("format_bytes(1610612736, 2)", "1.5 GB"),
        ("format_bytes(123456789, 3, 'GB')", "0.115 GB"),
        ("format_bytes(1e21, 1)", "867.4 EB"),
        ("format_bytes(real(nan))", ""),
        ("format_bytes(long(null), 2)", ""),
    ],
)
def test_formats(expression: str, expected: str) -> None:
    assert value(expression) == expected


def test_the_longest_timespans_have_texts() -> None:
    table = {"T": Tables([("s", "timespan")], [[2**63 - 1], [1 - 2**63]])}
    assert run("T | project x = format_timespan(s, 'd.hh:mm:ss.fffffff')", table).rows == [("10675199.02:48:05.4775807",)] * 2
    assert run("T | project x = format_timespan(s, 'd')", {"T": Tables([("s", "timespan")], [[-(2**63)]])}).rows == [("",)]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("datetime_add('decade', 1, now())", "'decade' is not a period"),
        ("datetime_part('weekofyear', now())", "'weekofyear' is not a part of a date"),
        ("format_datetime(now(), 'yyyy-MM-ddTHH:mm')", "'T' cannot stand in a format"),
        ("format_datetime(now(), 'MMM')", "'MMM' cannot stand in a format"),
        ("format_datetime(now(), '')", "a format must not be empty"),
        ("format_datetime(now(), 'ss.FFF')", "'.FFF' in a format is not supported"),
        ("format_timespan(1h, 'MM')", "'MM' cannot stand in a format"),
        ("datetime_utc_to_local(now(), 'Europe')", "'Europe' is not a time zone"),
        ("weekofyear(now())", "weekofyear() is not supported"),
        ("ingestion_time()", "ingestion_time() is not supported"),
        ("current_principal()", "current_principal() is not supported"),
        ("geo_line_buffer(dynamic(1), 2.0)", "geo_line_buffer() is not supported"),
    ],
)
def test_what_cannot_be_right_is_refused(expression: str, expected: str) -> None:
    with pytest.raises(KqlError) as refused:
        run(f"print {expression}")
    assert expected in refused.value.diagnostics[0].message
    assert refused.value.diagnostics[0].hint
    assert refused.value.diagnostics[0].start == len("print ")
