import pytest
from expressions import column, values
from running import Tables, run

from forebay.telemetry.kql.errors import KqlError


def test_characters_are_counted_not_bytes():
    expected = {
        "strlen('añ😀')": 3,
        "string_size('añ😀')": 7,
        "reverse('añ😀')": "😀ña",
        "substring('añ😀', 1, 1)": "ñ",
        "indexof('añ😀', '😀')": 2,
    }
    assert values(expected) == expected


def test_a_part_of_a_text_is_cut_where_the_text_ends():
    expected = {
        "substring('kettle', 4)": "le",
        "substring('kettle', 6)": "",
        "substring('kettle', 2, 100)": "ttle",
        "substring('kettle', 2, -1)": "",
        "substring('kettle', -2)": "le",
        "substring('kettle', -3, 2)": "tl",
        "substring('kettle', -7)": "",
        "substring('kettle', 9223372036854775807)": "",
        "substring(20235, 1, 2)": "02",
        "substring(dynamic('kettle'), 1, 1)": "e",
    }
    assert values(expected) == expected
    starts = [0, 4, 6, -2, -7, 2**63 - 1, -(2**63), None]
    assert column("substring('kettle', x)", "long", starts) == ["kettle", "le", "", "le", "", "", "", ""]
    assert column("substring('kettle', 1, x)", "long", starts) == ["", "ettl", "ettle", "", "", "ettle", "", ""]


def test_null_is_the_empty_text_to_every_function():
    expressions = {
        "strlen(x)": 0,
        "tolower(x)": "",
        "isempty(x)": True,
        "isnotempty(x)": False,
        "strcat(x, 'a', x)": "a",
        "strcat_delim('-', x, 'a', x)": "-a-",
        "split(x, ',')": [""],
        "substring(x, 1)": "",
        "replace_string(x, 'a', 'b')": "",
        "extract('a(b)', 1, x)": "",
        "trim('a', x)": "",
        "countof(x, 'a')": 0,
        "indexof(x, 'a')": -1,
        "strcmp(x, '')": 0,
        "parse_csv(x)": [""],
        "isascii(x)": True,
        "base64_encode_tostring(x)": "",
        "url_encode(x)": "",
    }
    answer = run(
        "T | project " + ", ".join(f"v{place} = {each}" for place, each in enumerate(expressions)),
        {"T": Tables([("x", "string")], [[None]])},
    )
    assert dict(zip(expressions, answer.rows[0], strict=True)) == expressions


def test_emptiness_of_other_types_is_null():
    assert column("isempty(x)", "dynamic", ["[]", '""', "null", None, "0"]) == [False, True, True, True, False]
    assert column("isnotempty(x)", "dynamic", ["[]", '""', "null", None, "0"]) == [True, False, False, False, True]
    assert column("isnotempty(x)", "long", [0, None]) == [True, False]


def test_parts_and_repetitions():
    expected = {
        "split('10.0.0.7', '.')": ["10", "0", "0", "7"],
        "split('10.0.0.7', '.', 3)": ["7"],
        "split('10.0.0.7', '.', 4)": [],
        "split('10.0.0.7', '.', -1)": [],
        "split('plain', '')": ["plain"],
        "split('a--b', '--')": ["a", "b"],
        "tostring(split('x/y/z', '/')[1])": "y",
        "tostring(split('x/y/z', '/')[-1])": "z",
        "tostring(split('x/y/z', '/')[3])": "",
        "split('x/y/z', '/')[3]": None,
        "strrep('ab', 3)": "ababab",
        "strrep('ab', 3, '/')": "ab/ab/ab",
        "strrep('ab', 0)": "",
        "strlen(strrep('a', 5000))": 1024,
        "strrep(true, 2, 1)": "True1True",
    }
    assert values(expected) == expected
    assert column("split('x/y/z', '/', x)", "long", [0, 2, 3, -1, 2**63 - 1, None]) == [["x"], ["z"], [], [], [], []]
    assert column("split('a.b', x)", "string", [".", "", None]) == [["a", "b"], ["a.b"], ["a.b"]]


def test_several_values_in_one_text():
    expected = {
        "strcat('n', 1, 2.5, true, 3s, dynamic([1, 'a']), int(null))": 'n12.5True00:00:03[1,"a"]',
        "strcat_delim('; ', 1, int(null), 'x')": "1; ; x",
        "strcat_array(dynamic([1, 'two', null, true, {'a': 1}]), '|')": '1|two||true|{"a":1}',
        "strcat_array(dynamic('single'), '|')": "single",
        "strcat_array(dynamic([]), '|')": "",
        "strcat_array(dynamic(null), '|')": "",
    }
    assert values(expected) == expected
    assert column("strcat_array(dynamic(['a', 'b']), x)", "string", ["-", "", None]) == ["a-b", "ab", "ab"]
    with pytest.raises(KqlError, match="2 to 64"):
        run("print strcat_delim('-', 'a')")


def test_texts_compare_by_code_points():
    assert values(["strcmp('b', 'a')", "strcmp('B', 'a')", "strcmp('a', 'a')", "strcmp('z', 'é')"]) == {
        "strcmp('b', 'a')": 1, "strcmp('B', 'a')": -1, "strcmp('a', 'a')": 0, "strcmp('z', 'é')": -1,
    }  # fmt: skip


def test_places_of_texts_in_texts():
    expected = {
        "indexof('to be or not to be', 'be')": 3,
        "indexof('to be or not to be', 'been')": -1,
        "indexof('to be or not to be', 'be', 4)": 16,
        "indexof('to be or not to be', 'be', -2)": 16,
        "indexof('to be or not to be', 'be', 0, 3)": -1,
        "indexof('to be or not to be', 'be', 0, 4)": 3,  # begins at the last of the four
        "indexof('to be or not to be', 'be', 0, -1, 2)": 16,
        "indexof('to be or not to be', 'be', 0, -1, 3)": -1,
        "indexof('to be or not to be', 'be', 0, -2)": None,
        "indexof('to be or not to be', 'be', 0, -1, -1)": None,
        "indexof(31415, 14)": 1,
        "indexof('short', 'x', 100)": -1,
        "indexof('short', 's', -100)": 0,
    }
    assert values(expected) == expected


def test_counts_of_texts_may_overlap():
    expected = {
        "countof('banana', 'ana')": 2,
        "countof('banana', 'an')": 2,
        "countof('banana', 'ana', 'regex')": 1,
        "countof('banana', '')": 0,
        "countof('', 'a')": 0,
        "countof('a.b', '.')": 1,
        "countof('ab ab', '[ab]*', 'regex')": 2,
    }
    assert values(expected) == expected
    assert column("countof('banana', x)", "string", ["ana", "an", "", None]) == [2, 2, 0, 0]
    with pytest.raises(KqlError, match="'normal' or 'regex'"):
        run("print countof('a', 'b', 'fuzzy')")


def test_replacements():
    expected = {
        "replace_string('aXbXc', 'X', '--')": "a--b--c",
        "replace_string('abc', '', 'x')": "abc",
        "replace_strings('left right', dynamic(['left', 'right']), dynamic(['right', 'left']))": "right left",
        "replace_strings('aabb', dynamic(['ab', 'a']), dynamic(['', 'x']))": "xb",
        "replace_strings('aabb', dynamic(['a', 'b']), dynamic([1, 'x']))": "aaxx",
        "replace_strings('aabb', dynamic(['b', 'a']), dynamic(['a']))": "aaaa",
        "translate('abc', 'xyz', 'aabbcc')": "xxyyzz",
        "translate('abc', 'xy', 'aabbcc')": "xxyyyy",
        "translate('abc', '', 'xaxbxc')": "xxx",
        "translate('', 'x', 'abc')": "abc",
    }
    assert values(expected) == expected


def test_forms_of_texts_that_rows_decide():
    table = Tables([("a", "string"), ("b", "string")], [["ab", "x"], ["", "x"], ["ab", ""], [None, None]])
    rows = run("T | project translate(a, b, 'aXbX'), replace_string('abab', a, b), countof('abab', a)", {"T": table}).rows
    assert rows == [("xXxX", "xx", 2), ("aXbX", "abab", 0), ("XX", "", 2), ("aXbX", "abab", 0)]
