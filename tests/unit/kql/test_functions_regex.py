import duckdb
import pytest
from expressions import column, kept, values
from hypothesis import given, settings
from hypothesis import strategies as st
from running import run

from forebay.telemetry.kql.errors import KqlError
from forebay.telemetry.kql.functions.regex_syntax import Regex, RegexError


@pytest.fixture(scope="module")
def duckdb_cursor():
    with duckdb.connect() as connection:
        yield connection


def test_groups_of_the_first_match():
    expected = {
        "extract('([a-z]+)=([0-9]+)', 1, 'x=1 yy=22')": "x",
        "extract('([a-z]+)=([0-9]+)', 2, 'x=1 yy=22')": "1",
        "extract('([a-z]+)=([0-9]+)', 0, 'x=1 yy=22')": "x=1",
        "extract('([a-z]+)=([0-9]+)', 3, 'x=1')": "",
        "extract('([a-z]+)=([0-9]+)', -1, 'x=1')": "",
        "extract('([a-z]+)=([0-9]+)', 1, 'nothing')": "",
        "extract('(a)|(b)', 1, 'b')": "",
        "extract('=([0-9]+)', 1, 'x=0017', typeof(long))": 17,
        "extract('=(.+)', 1, 'x=no number', typeof(real))": None,
        "extract(@'(a)(b)(c)(d)(e)(f)(g)(h)(i)(j)(k)', 11, 'abcdefghijk')": "k",
    }
    assert values(expected) == expected


def test_groups_of_all_matches():
    expected = {
        "extract_all('([0-9])', 'a1b2')": ["1", "2"],
        "extract_all('([a-z])([0-9])', 'a1b2')": [["a", "1"], ["b", "2"]],
        "extract_all('([a-z])([0-9])', dynamic([2]), 'a1b2')": ["1", "2"],
        "extract_all('([a-z])([0-9])', dynamic([2, 1, 9]), 'a1b2')": [["1", "a"], ["2", "b"]],
        "extract_all('([a-z])([0-9])', dynamic([9]), 'a1b2')": [["a", "1"], ["b", "2"]],
        "extract_all('(?P<letter>[a-z])(?<digit>[0-9])', dynamic(['digit']), 'a1b2')": ["1", "2"],
        "extract_all('([0-9])', 'none')": None,
        "extract_all('([0-9]*)', '12 3')": ["12", "3"],
        "extract_all('(x*)', 'ab')": ["", "", ""],
        "extract_all('^(a|b)(c?)', 'ab')": [["a", ""]],  # matches do not begin again at what is left
    }
    assert values(expected) == expected
    with pytest.raises(KqlError, match="1 to 16 groups, got 0"):
        run("print extract_all('a', 'a')")


def test_replacement_refers_to_groups():
    expected = {
        r"replace_regex('2023-04', @'(\d+)-(\d+)', @'\2/\1')": "04/2023",
        r"replace_regex('ab', 'a', @'[\0]')": "[a]b",
        r"replace_regex('ab', 'a', @'\\0')": "\\0b",
        r"replace_regex('ab', 'a', @'\5\n$1')": "\\n$1b",  # there is no group 5, and \n is no group
        "replace_regex('ab', '', '-')": "-a-b-",
        "replace('b', 'c', 'abab')": "acac",
    }
    assert values(expected) == expected


def test_trim_takes_one_match_off_each_end():
    expected = {
        "trim('-', '--x--')": "-x-",
        "trim('-+', '--x--')": "x",
        "trim_start('-+', '--x--')": "x--",
        "trim_end('-+', '--x--')": "--x",
        "trim_start('a|b', 'bxa')": "xa",
        "trim_end('a|b', 'axb')": "ax",
        r"trim(@'\s+', '  two words ')": "two words",
    }
    assert values(expected) == expected
    with pytest.raises(KqlError, match="not an empty one"):
        run("print trim('', 'a')")


def test_places_of_matches():
    expected = {
        "indexof_regex('one two three', 't[a-z]+')": 4,
        "indexof_regex('one two three', 't[a-z]+', 5)": 8,
        "indexof_regex('one two three', 't[a-z]+', 0, -1, 2)": 8,
        "indexof_regex('one two three', 't[a-z]+', 0, -1, 3)": -1,
        "indexof_regex('one two three', 't[a-z]+', 0, 4)": -1,
        "indexof_regex('one two three', 't[a-z]+', 0, 5)": 4,
        "indexof_regex('one two three', 'x')": -1,
        "indexof_regex('one two three', 't', -1)": None,
        "indexof_regex('one two three', 't', 0, -2)": None,
        "indexof_regex('añb', 'b')": 2,
    }
    assert values(expected) == expected
    assert column("indexof_regex('abc', 'c', x)", "long", [0, 2, 3, 2**63 - 1, -1, None]) == [2, 2, -1, -1, None, None]


def test_whether_a_text_matches():
    assert kept("x matches regex '^[a-z]+$'", "string", ["abc", "ABC", "", None, "a\n"]) == ["abc"]
    assert kept("x matches regex '^$'", "string", ["abc", "", None]) == ["", None]


def test_a_quoted_text_matches_itself():
    text = r"(a+b)*[c]{2}\d^$.|-~&#"
    assert run(f"print q = regex_quote(@'{text}')").rows == [(r"\(a\+b\)\*\[c\]\{2\}\\d\^\$\.\|\-\~\&\#",)]
    assert run(rf"print extract(@'\(a\+b\)\*\[c\]\{{2\}}\\d\^\$\.\|\-\~\&\#', 0, @'x{text}x')").rows == [(text,)]


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        (r"^\w+$", "naïve_日本5", "a-b"),
        (r"^\d$", "٣", "²"),
        (r"^\s$", "\u00a0", "_"),
        (r"^\W$", "-", "ß"),
        (r"^[^\W_]+$", "aß", "a_"),
        (r"^[[:alpha:]]$", "z", "ß"),
        (r"^[[:^alpha:]]$", "ß", "z"),
        (r"^[a-z&&[^aeiou]]$", "b", "e"),
        (r"^[\pL--a-z]$", "Ä", "a"),
        (r"^[a-f~~d-k]+$", "ck", "e"),
        (r"^[]a]$", "]", "b"),
        (r"^[a-]$", "-", "b"),
        (r"^[\]\-\\]+$", "]-\\", "a"),
        (r"^\p{Greek}\p{Lowercase_Letter}$", "Ωω", "aω"),
        (r"^\PL$", "5", "a"),
        (r"^[\D]$", "a", "5"),
        (r"^\x41\x{42}\u0043\U00000044\105$", "ABCDE", "abcde"),
        (r"^(?x) a  b # comment", "ab", "a b"),
        (r"^(?i:a)b$", "Ab", "AB"),
        (r"^(?-u:\w)$", "a", "ß"),
        (r"^(?<year>\d{4})-(?P<a.b[0]>\d)$", "2023-1", "2023-x"),
        (r"^a**$", "aaa", "b"),
        (r"^x{2,3}?$", "xxx", "x"),
        (r"^{a,b}$", "{a,b}", "a"),
        (r"^a.c$", "abc", "a\nc"),
        (r"(?s)^a.c$", "a\nc", "ac"),
        (r"(?m)^b$", "a\nb", "ab"),
        (r"^(|a)b$", "b", "aa"),
        (r"\-\_\/\ \<".replace(r"\<", "<"), "-_/ <", "x"),
        ("^\x00é$", "\x00é", "é"),
    ],
)
def test_the_dialect_is_that_of_kusto(pattern, matching, other):
    literal = "'" + pattern.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\x00", "\\0") + "'"
    assert column(f"x matches regex {literal}", "string", [matching, other]) == [True, False]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(a", "unclosed group"),
        ("a)", "unopened group"),
        ("[a", "unclosed class"),
        ("[z-a]", "from one to a later one"),
        ("*a", "nothing to repeat"),
        ("a{3,2}", "the least first"),
        ("a{2000}", "1000 times"),
        ("a(?=b)", "look-around"),
        ("(?<!a)b", "look-around"),
        ("(?P=x)", "unknown kind of group"),
        ("(a{40}b){40}", "1000 at most"),
        (r"\w{900}", "too large"),
        ("(?i){2}", "nothing to repeat"),
        (r"\B", "not supported"),
        (r"\y", "unknown escape"),
        ("a\\", "after the last backslash"),
        (r"\x{110000}", "code of a character"),
        (r"\p{Klingon}", "unknown class"),
        ("[[:smile:]]", "unknown class"),
        (r"[\p{Greek}&&a]", "cannot be combined"),
        (r"\b{start}a", "not supported"),
        ("(?<a>x)(?<a>y)", "two groups"),
        ("(" * 60 + ")" * 60, "within one another"),
        ("[" * 60 + "a" + "]" * 60, "within one another"),
        ("a" * 10_001, "10,000 characters"),
    ],
)
def test_what_is_wrong_with_a_pattern_is_said(pattern, message):
    with pytest.raises(RegexError, match=message):
        Regex(pattern)


_PIECES = st.sampled_from(
    [
        *r"a b é 1 _ - . * + ? {2} {1,3} { } ( ) (?: (?i) (?x) (?-u) (?P<n> | [ [^ ] && -- ~~ \d \w \s \W \D \b ^ $ \A \z".split(),
        *r"\pL \p{Greek} \PN \x41 \101 \\ [:alpha:] ' #".split(),
        *" \n\x00",
    ]
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(_PIECES, max_size=9).map("".join))
def test_what_is_not_refused_is_a_pattern_to_duckdb(duckdb_cursor, pattern):
    try:
        regex = Regex(pattern)
    except RegexError:
        return
    texts = ["", "ab", "a1 b_é", "AÉ\n-a", "\x00"]
    query = "SELECT regexp_matches(x, $p), regexp_extract(x, $p), regexp_replace(x, $p, '-', 'g') FROM (SELECT unnest($texts) AS x)"
    found = duckdb_cursor.execute(query, {"p": regex.sql_pattern, "texts": texts}).fetchall()
    assert regex.matches_nothing or not found[0][0]


def test_a_wrong_pattern_is_refused_at_its_call():
    text = "print extract('(a', 1, 'a')"
    with pytest.raises(KqlError, match="unclosed group") as caught:
        run(text)
    assert text[caught.value.diagnostics[0].start :].startswith("extract(")


def test_a_pattern_has_to_be_constant():
    with pytest.raises(KqlError):
        column("extract(x, 1, 'a')", "string", ["a"])
