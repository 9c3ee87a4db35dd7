from datetime import datetime, timedelta

from expressions import column, values
from running import run

at = datetime.fromisoformat


def test_values_of_each_type_as_text():
    expected = {
        "tostring(42)": "42",
        "tostring(-1.5)": "-1.5",
        "tostring(3.0)": "3.0",
        "tostring(real(nan))": "NaN",
        "tostring(1.0 / 0.0)": "Infinity",
        "tostring(true)": "True",
        "tostring(false)": "False",
        "tostring(datetime(2023-05-06 07:08:09.25))": "2023-05-06T07:08:09.2500000Z",
        "tostring(90s)": "00:01:30",
        "tostring(-26h)": "-1.02:00:00",
        "tostring(15ms)": "00:00:00.0150000",
        "tostring(guid(A0A0A0A0-1111-2222-3333-444444444444))": "a0a0a0a0-1111-2222-3333-444444444444",
        "tostring(decimal(2.50))": "2.5",
        "tostring(dynamic('plain'))": "plain",
        "tostring(dynamic({'a': [1, 'b', null]}))": '{"a":[1,"b",null]}',
        "tostring(dynamic(true))": "true",
    }
    assert values(expected) == expected


def test_null_of_each_type_is_the_empty_text():
    kinds = ("bool", "int", "long", "real", "decimal", "datetime", "timespan", "guid", "dynamic")
    expressions = [f"tostring({kind}(null))" for kind in kinds]
    assert values(expressions) == dict.fromkeys(expressions, "")
    assert column("strlen(tostring(x))", "real", [None, 2.5]) == [0, 3]


def test_integers_in_texts_are_whole_decimal_or_hexadecimal():
    texts = ["7", " -8\t", "+9", "0x10", "1.5", "1e2", "1_000", "0b1", "", None, "x", "9223372036854775808", "-9223372036854775808"]
    expected = [7, -8, 9, 16, None, None, None, None, None, None, None, None, -(2**63)]
    assert column("tolong(x)", "string", texts) == expected
    assert column("toint(x)", "string", ["7", "2147483648", "-2147483648"]) == [7, None, -(2**31)]


def test_a_real_loses_what_is_after_the_point_and_stays_within_bounds():
    reals = [1.9, -1.9, 1e30, -1e30, float("nan"), float("inf"), None]
    assert column("tolong(x)", "real", reals) == [1, -1, 2**63 - 1, -(2**63), None, None, None]
    assert column("toint(x)", "real", reals) == [1, -1, 2**31 - 1, -(2**31), None, None, None]


def test_a_long_becomes_an_int_by_its_lowest_bits():
    assert column("toint(x)", "long", [5, -5, 2**31, 2**32 + 3, -(2**63), None]) == [5, -5, -(2**31), 3, 0, None]


def test_times_are_numbers_of_ticks():
    expected = {
        "tolong(2s)": 20_000_000,
        "toreal(1ms)": 10_000.0,
        "tolong(datetime(0001-01-02))": 864_000_000_000,
        "totimespan(10000)": timedelta(milliseconds=1),
        "totimespan(25000.7)": timedelta(milliseconds=2.5),
        "todatetime(864000000000)": at("0001-01-02"),
        "todatetime(-1)": None,
        "todatetime(9223372036854775807)": None,
    }
    assert values(expected) == expected


def test_reals_in_texts():
    texts = ["1.25", " 2 ", ".5", "-1e3", "1_0", "0x10", "1,5", "", "x", None]
    assert column("todouble(x)", "string", texts) == [1.25, 2.0, 0.5, -1000.0, None, None, None, None, None, None]
    assert column("todecimal(x)", "string", ["1.25", "1_0", "x"]) == ["1.25000000000000000", None, None]
    assert values(["todecimal(0.1) == decimal(0.1)"]) == {"todecimal(0.1) == decimal(0.1)": True}


def test_bools_in_texts_are_words_or_integers():
    texts = ["true", " FALSE\n", "0", "-2", "0003", "1.5", "yes", "t", "", None]
    assert column("tobool(x)", "string", texts) == [True, False, False, True, True, None, None, None, None, None]
    assert column("tobool(x)", "real", [0.5, 0.0, None]) == [True, False, None]


def test_dynamic_values_convert_as_what_they_hold():
    cells = ["5", '"6"', "7.9", '"7.9"', "true", "null", "[1]", "1e300", "5000000000", None]
    assert column("tolong(x)", "dynamic", cells) == [5, 6, 7, None, 1, None, None, 2**63 - 1, 5_000_000_000, None]
    assert column("toint(x)", "dynamic", cells) == [5, 6, 7, None, 1, None, None, 2**31 - 1, 705_032_704, None]
    assert column("toreal(x)", "dynamic", cells) == [5.0, 6.0, 7.9, 7.9, 1.0, None, None, 1e300, 5e9, None]
    assert column("tobool(x)", "dynamic", ["true", '"false"', "2", "0.5", '"0.5"', "null"]) == [True, False, True, True, None, None]
    assert column("totimespan(x)", "dynamic", ['"00:00:02"', "20000000", "[]"]) == [timedelta(seconds=2), timedelta(seconds=2), None]
    moments = ['"2023-01-02"', '"2 Jan 2023 03:04"', "864000000000", "2023", "true"]
    assert column("todatetime(x)", "dynamic", moments) == [
        at("2023-01-02"), at("2023-01-02 03:04:00"), at("0001-01-02"), at("0001-01-01 00:00:00.000202"), None,
    ]  # fmt: skip


def test_dates_are_read_in_every_form_and_offsets_count():
    texts = {
        "2023-07-08": at("2023-07-08"),
        "2023-07-08T09:10": at("2023-07-08 09:10:00"),
        "2023-07-08 09:10:11.1234567Z": at("2023-07-08 09:10:11.123456"),
        "2023-07-08T09:10:11-03:30": at("2023-07-08 12:40:11"),
        "Sat, 8 Jul 2023 09:10:11 GMT": at("2023-07-08 09:10:11"),
        "07/08/2023": at("2023-07-08"),
        "2023-02-29": None,
        "2023-07-08T24:00:00": None,
        "2023-07-08T09:10:61": None,
        "2023-07-08 tomorrow": None,
        "0001-01-01T00:00:00+01:00": None,
        "9999-12-31T23:59:59.9999999Z": at("9999-12-31 23:59:59.999999"),
        "": None,
    }
    assert column("todatetime(x)", "string", list(texts)) == list(texts.values())


def test_durations_are_read_with_days_or_units():
    texts = {
        "01:02:03": timedelta(hours=1, minutes=2, seconds=3),
        "-2.00:00:01": -timedelta(days=2, seconds=1),
        "00:00:00.0000005": timedelta(0),  # of 5 ticks, Python shows no microsecond
        "90m": timedelta(minutes=90),
        " 1.00:00:00 ": timedelta(days=1),
        "1.00:00:00 and more": None,
        "25:00:00": None,
        "": None,
        "99999999.00:00:00": None,
    }
    assert column("totimespan(x)", "string", list(texts)) == list(texts.values())
    assert column("tolong(totimespan(x))", "string", ["00:00:00.0000005"]) == [5]


def test_a_guid_is_read_with_and_without_hyphens_and_what_follows_does_not_count():
    texts = [
        "00112233445566778899AABBCCDDEEFF",
        "{00112233-4455-6677-8899-aabbccddeeff}",
        "00112233-4455-6677-8899-aabbccddeeff-x",
        "0011",
        None,
    ]
    guid = "00112233-4455-6677-8899-aabbccddeeff"
    assert column("toguid(x)", "string", texts) == [guid, guid, guid, None, None]


def test_a_text_that_is_no_json_is_a_dynamic_text():
    texts = ['{"a": {"b": 1}}', "[1, 2]", "5", '"x"', "plain", "{a", "", None]
    assert column("parse_json(x)", "string", texts) == [{"a": {"b": 1}}, [1, 2], 5, "x", "plain", "{a", None, None]
    assert column("tolong(parse_json(x).a.b)", "string", texts) == [1, None, None, None, None, None, None, None]
    assert column("tostring(parse_json(x))", "string", texts) == ['{"a":{"b":1}}', "[1,2]", "5", "x", "plain", "{a", "", ""]


def test_names_of_types():
    expected = {
        "gettype(1)": "long",
        "gettype(int(1))": "int",
        "gettype('')": "string",
        "gettype(long(null))": "long",
        "gettype(dynamic(null))": "null",
        "gettype(dynamic({}))": "dictionary",
        "gettype(dynamic(1.5))": "double",
        "gettype(dynamic([1])[0])": "long",
        "gettype(parse_json('nothing').x)": "null",
        "gettype(dynamic(datetime(2023-01-02)))": "datetime",
    }
    assert values(expected) == expected


def test_old_names_still_work():
    answer = run("print a = toobject('[1]'), b = parsejson('[1]'), c = toboolean('true'), d = todouble(1), e = totime('1h')")
    assert answer.rows == [([1], [1], True, 1.0, timedelta(hours=1))]
