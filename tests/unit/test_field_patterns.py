from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from forebay.pipeline.field_patterns import Match, dates, emails, money, urls

Search = Callable[[str], Iterator[Match]]


def found(search: Search, text: str) -> list[tuple[str, str]]:
    """(value, text of the span) of every match."""
    return [(value, text[start:end]) for value, start, end, _ in search(text)]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on 2024-03-01, then", "2024-03-01"),
        ("at 2024-03-01T10:00:00Z", "2024-03-01"),
        ("2024/3/1", "2024-03-01"),
        ("5 January 2024", "2024-01-05"),
        ("the 3rd of March 1999.", "1999-03-03"),
        ("Jan. 5, 2024", "2024-01-05"),
        ("September 30 2024", "2024-09-30"),
        ("am 5. März 2023", "2023-03-05"),
        ("le 1er août 2022", "2022-08-01"),
        ("3 de mayo de 2021", "2021-05-03"),
        ("12 dicembre 2020", "2020-12-12"),
        ("7 maart 2019", "2019-03-07"),
        ("24.12.2019", "2019-12-24"),
        ("13/04/2020", "2020-04-13"),
        ("04/13/2020", "2020-04-13"),
        ("2024年1月5日", "2024-01-05"),
    ],
)
def test_dates_come_out_as_iso_days(text: str, value: str) -> None:
    assert [each for each, _ in found(dates, text)] == [value]


@pytest.mark.parametrize(
    "text", ["03/04/2020", "2024-02-30", "31 June 2024", "version 1.2.2020.1", "12024-01-05", "2024-01-05-7", "in May 2024", "20240105"]
)
def test_what_is_no_day_or_could_be_two_is_no_date(text: str) -> None:
    assert found(dates, text) == []


@pytest.mark.parametrize(
    ("text", "value", "span"),
    [
        ("costs $1,200.50.", "USD 1200.50", "$1,200.50"),
        ("US$ 9.99", "USD 9.99", "$ 9.99"),
        ("1.200,50 € netto", "EUR 1200.50", "1.200,50 €"),
        ("EUR 1.200", "EUR 1200", "EUR 1.200"),
        ("$1.200", "USD 1.200", "$1.200"),
        ("£3.5bn", "GBP 3500000000", "£3.5bn"),
        ("USD 5 million", "USD 5000000", "USD 5 million"),
        *((f"12 {code}", f"{code} 12", f"12 {code}") for code in ("USD", "EUR", "GBP", "JPY", "CHF", "CAD", "AUD")),
        ("¥1,500,000", "JPY 1500000", "¥1,500,000"),
        ("CHF 1'234.50", "CHF 1234.50", "CHF 1'234.50"),
        ("€0,05", "EUR 0.05", "€0,05"),
    ],
)
def test_amounts_come_out_with_currency_and_plain_number(text: str, value: str, span: str) -> None:
    assert found(money, text) == [(value, span)]


@pytest.mark.parametrize("text", ["A$7", "EUR 1 200", "1 200 €", "$HOME", "EUROPE 1992", "$5.5.5", "100 AUDITS"])
def test_what_is_no_amount_or_could_be_two_is_no_money(text: str) -> None:
    assert found(money, text) == []


def test_a_single_digit_after_a_dollar_is_hardly_sure() -> None:
    assert [confidence for *_, confidence in money("$1 and $100")] == [0.5, 0.7]


def test_addresses_end_before_the_punctuation_of_the_sentence() -> None:
    text = "See (https://en.wikipedia.org/wiki/A_(b)), <http://a.b/c?d=e#f>. ftp://h.i/j! Not: xhttp://k.l, file://m, https:// n"
    assert found(urls, text) == [(url, url) for url in ("https://en.wikipedia.org/wiki/A_(b)", "http://a.b/c?d=e#f", "ftp://h.i/j")]
    text = "Write a.b+c@example.co.uk, <d@x.org>. Not: @e, f@g, h@@i.com, .@j.com, 'k@l.m_n'"
    assert found(emails, text) == [(mail, mail) for mail in ("a.b+c@example.co.uk", "d@x.org")]


NOISE = st.lists(
    st.sampled_from(
        [
            "2024",
            "19",
            "-",
            "/",
            ".",
            ",",
            " ",
            "05",
            "1",
            "May",
            "de",
            "$",
            "€",
            "EUR",
            "USD",
            "million",
            "k",
            "@",
            "a",
            "x.org",
            "://",
            "http",
            "https",
            *(")", "(", "'", "年", "月", "日", "\u00a0", "é", "\n", "%", "😀"),
        ]
    ),
    max_size=30,
).map("".join)


@given(NOISE)
@example("$1.5.5")
@example("2024-05-052024-05-05")
def test_a_span_by_itself_gives_the_same_value(text: str) -> None:
    for search in (dates, emails, money, urls):
        for value, start, end, confidence in search(text):
            assert value in [each for each, _ in found(search, text[start:end])], search
            assert 0 < confidence <= 1


@pytest.mark.parametrize(
    "unit",
    [
        "http://",
        "http://a",
        "http://a)",
        "@",
        "a@",
        "a@b.",
        "a.",
        "20",
        "2024",
        "2024-",
        "1 May 2024 ",
        "$",
        "$1",
        "1$",
        "1,",
        "1,234",
        "EUR",
        "€1,111",
        "(",
        ".-_",
    ],
)
def test_the_time_grows_no_faster_than_the_text(unit: str) -> None:
    text = (unit * 300_000)[:300_000]
    for search in (dates, emails, money, urls):
        started = time.process_time()
        for _ in search(text):
            pass
        assert time.process_time() - started < 2, search  # quadratic time would be minutes
