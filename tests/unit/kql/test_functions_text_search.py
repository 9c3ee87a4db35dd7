import pytest
from expressions import column, kept, values
from running import Tables, run

from forebay.telemetry.kql.errors import KqlError

TEXTS = ["", None, "disk", "Disk full", "disks", "a disk", "DISK_0", "ündisk", "50%", "back\\slash"]


def test_a_term_is_a_run_of_letters_and_digits_of_any_language():
    expected = {
        "'Disk full' has 'disk'": True,
        "'disks' has 'disk'": False,
        "'disk_0' has 'disk'": True,  # an underscore parts terms
        "'disk0' has 'disk'": False,
        "'ündisk' has 'disk'": False,
        "'日本 disk' has '日本'": True,
        "'日本語' has '日本'": False,
        "'(disk)' has 'DISK'": True,
    }
    assert values(expected) == expected


def test_only_a_letter_or_digit_at_the_edge_of_what_is_searched_needs_the_edge_of_a_term():
    expected = {
        "'a-b' has '-'": True,
        "'xa -' has 'a -'": False,
        "'a -x' has 'a -'": True,
        "'path/to' has '/t'": False,
        "'path/t.' has '/t'": True,
        "'anything' has ''": True,
        "'' has ''": True,
    }
    assert values(expected) == expected


def test_prefix_and_suffix_need_one_edge_of_a_term_only():
    expected = {
        "'full disks' hasprefix 'DISK'": True,
        "'subdisk' hasprefix 'disk'": False,
        "'subdisk' hassuffix 'DISK'": True,
        "'disks' hassuffix 'disk'": False,
        "'disks' !hassuffix 'disk'": True,
        "'Disks' hasprefix_cs 'disk'": False,
        "'subDisk' hassuffix_cs 'Disk'": True,
    }
    assert values(expected) == expected


def test_case_counts_with_cs_only():
    expected = {
        "'ÄRGER' contains 'ärg'": True,
        "'ÄRGER' contains_cs 'ärg'": False,
        "'Error' has_cs 'error'": False,
        "'Error' !has_cs 'error'": True,
        "'Error' startswith 'eR'": True,
        "'Error' startswith_cs 'eR'": False,
        "'Error' endswith 'OR'": True,
        "'Error' endswith_cs 'OR'": False,
        "'straße' =~ 'STRAßE'": True,
        "'a' !~ 'A'": False,
        "'404' =~ '404'": True,
    }
    assert values(expected) == expected


def test_characters_of_patterns_are_themselves():
    assert kept("x contains '%'", "string", TEXTS) == ["50%"]
    assert kept(r"x has '\\slash'", "string", TEXTS) == ["back\\slash"]
    assert values(["'a_b' contains 'a%b'", "'aXb' has 'a.b'", "'(x)' has '(x'"]) == {
        "'a_b' contains 'a%b'": False,
        "'aXb' has 'a.b'": False,
        "'(x)' has '(x'": True,
    }


@pytest.mark.parametrize("operator", ["has", "contains", "startswith", "endswith", "hasprefix", "hassuffix", "=~", "has_cs", "contains_cs"])
def test_a_contrary_keeps_just_the_other_rows_null_as_empty(operator):
    negated = "!~" if operator == "=~" else f"!{operator}"
    found, rest = kept(f"x {operator} 'disk'", "string", TEXTS), kept(f"x {negated} 'disk'", "string", TEXTS)
    assert found
    assert rest[:2] == ["", None]
    assert sorted(map(str, found + rest)) == sorted(map(str, TEXTS))
    assert column(f"x {operator} 'disk'", "string", TEXTS) == [text in found for text in TEXTS]
    assert column(f"x {negated} 'disk'", "string", TEXTS) == [text not in found for text in TEXTS]


@pytest.mark.parametrize("operator", ["has", "hasprefix", "hassuffix", "contains", "startswith", "endswith", "=~", "has_cs", "contains_cs"])
def test_what_is_searched_may_be_in_the_rows_too(operator):
    searched = ["disk", "", "DISK", "-", "é"]
    table = Tables([("text", "string"), ("needle", "string")], [[text, needle] for text in TEXTS for needle in searched])
    columns = ", ".join(f"c{place} = text {operator} '{needle}'" for place, needle in enumerate(searched))
    for text, needle, computed, *constant in run(f"T | project text, needle, text {operator} needle, {columns}", {"T": table}).rows:
        assert computed == constant[searched.index(needle)], (text, needle)


def test_lists_search_for_one_or_all_of_their_elements():
    expected = {
        "'two words' has_any ('three', 'WORDS')": True,
        "'two words' has_any ('wo', 'ord')": False,
        "'two words' has_any (dynamic(['x', ['two']]))": True,
        "'two words' has_any (dynamic([]))": False,
        "'two words' has_any (dynamic([null]))": True,
        "'a - b' has_any ('x', '-')": True,
        "'two words' has_all ('words', 'two')": True,
        "'two words' has_all ('words', 'three')": False,
        "'two words' has_all (dynamic([]))": True,
        "'two words' has_all (dynamic(['two', null]))": True,
        "'Two' in~ ('x', 'tWO')": True,
        "'Two' in~ (dynamic(['x', 'tWO']))": True,
        "'Two' !in~ ('x', 'three')": True,
        "'Two' !in~ (dynamic({'Two': 1}), dynamic(null))": True,
        "'' in~ (dynamic(null))": True,
        "has_any_index('two words', dynamic(['three', 'words', 'two']))": 1,
        "has_any_index('two words', dynamic(['wor']))": -1,
        "has_any_index('two words', dynamic([]))": -1,
        "has_any_index('version 7', range(6, 8))": 1,
    }
    assert values(expected) == expected


def test_lists_may_be_in_the_rows():
    lists = ['["disk","cpu"]', "[]", "[null]", '"disk"', None, "[5]"]
    assert column("'disk 5' has_any (x)", "dynamic", lists) == [True, False, True, True, True, True]
    assert column("'disk 5' has_all (x)", "dynamic", lists) == [False, True, True, True, True, True]
    assert column("'DISK' in~ (x)", "dynamic", lists) == [True, False, False, True, False, False]
    assert column("has_any_index('disk 5', x)", "dynamic", lists) == [0, -1, 0, None, None, 0]


def test_what_is_searched_may_be_a_table():
    tables = {
        "T": Tables([("x", "string")], [["disk full"], ["cpu hot"], ["fine"], [None]]),
        "Words": Tables([("word", "string"), ("n", "long")], [["CPU", 1], ["disk", 2]]),
    }
    assert run("T | where x has_any (Words) | project x", tables).rows == [("disk full",), ("cpu hot",)]
    assert run("T | where x has_all (Words | where n == 1) | project x", tables).rows == [("cpu hot",)]
    assert run("T | where x has_any (Words | where n == 3) | project x", tables).rows == []
    assert run("T | where x has_all (Words | where n == 3) | count", tables).rows == [(4,)]


def test_in_without_case_finds_empty_texts_where_they_are_null():
    assert kept("x in~ ('', 'DISKS')", "string", TEXTS) == ["", None, "disks"]
    assert kept("x !in~ ('', 'DISKS')", "string", TEXTS) == [text for text in TEXTS if text not in ("", None, "disks")]


def test_a_long_list_of_terms_is_searched_too():
    terms = ", ".join(f"'term{number:05d}{'x' * 20}'" for number in range(500))
    assert kept(f"x has_any ({terms})", "string", ["a term00499" + "x" * 20, "term00499", None]) == ["a term00499" + "x" * 20]


def test_a_text_that_looks_like_a_function_of_ours_is_searched_for():
    assert kept("x has 'kql_nothing_0'", "string", ["a kql_nothing_0", "b"]) == ["a kql_nothing_0"]


def test_numbers_have_no_terms():
    with pytest.raises(KqlError, match="does not take long, string"):
        run("print 5 has '5'")
