"""Dates, e-mail addresses, URLs and amounts of money in running text.

Each search begins at something rare that can be found fast (a year, `@`, `://`, a currency) and looks at a bounded window
around it, so that the time grows with the length of the text and no text is slow.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date

Match = tuple[str, int, int, float]  # value, start, end (code points), confidence

_CANDIDATE_LIMIT = 2000  # of each kind: what begins like one, but may be none

# --- URLs
_SCHEME_END = re.compile(r"://(?:(?<=https://)|(?<=http://)|(?<=ftp://))(?=[^\s/])")
_URL_REST = re.compile(r"[^\s<>\"'`{}|\\^\x00-\x1f\u3000-\u303f\uff00-\uffef]{1,2000}+")
_URL_TAIL = ".,;:!?*_"
_PAIRS = {")": "(", "]": "["}


def urls(text: str) -> Iterator[Match]:
    """`http`, `https` and `ftp` URLs, without the punctuation of the sentence around them."""
    for found in _limited(_SCHEME_END.finditer(text)):
        start = found.start() - (5 if text.endswith("https", 0, found.start()) else 4 if text.endswith("http", 0, found.start()) else 3)
        rest = _URL_REST.match(text, found.end())
        if rest is None or text[start - 1 : start].isalnum():
            continue
        end = found.end() + _length_without_tail(rest[0])
        if end > found.end():
            yield text[start:end], start, end, 0.95


def _length_without_tail(url: str) -> int:
    surplus = {closing: url.count(closing) - url.count(opening) for closing, opening in _PAIRS.items()}
    length = len(url)
    while length and ((last := url[length - 1]) in _URL_TAIL or surplus.get(last, 0) > 0):
        length -= 1
        if last in surplus:
            surplus[last] -= 1
    return length


# --- e-mail addresses
_AT_DOMAIN = re.compile(r"@(?<=[\w%+-]@)[A-Za-z0-9](?:[A-Za-z0-9-]{0,62}+\.(?=[A-Za-z0-9])){1,8}[A-Za-z]{2,24}(?![\w@-])")
_LOCAL_PART = re.compile(r"(?<![A-Za-z0-9._%+/:-])[A-Za-z0-9](?:[A-Za-z0-9_%+-]|\.(?!\.))*+\Z")
_LOCAL_PART_LIMIT = 64  # RFC 5321


def emails(text: str) -> Iterator[Match]:
    """E-mail addresses, ASCII only."""
    for found in _limited(_AT_DOMAIN.finditer(text)):
        at = found.start()
        local = _LOCAL_PART.search(text, max(0, at - _LOCAL_PART_LIMIT), at)
        if local is not None:
            yield text[local.start() : found.end()], local.start(), found.end(), 0.95


# --- dates
_MONTHS = {
    name: number
    for names in (
        "january february march april may june july august september october november december",
        "jan feb mar apr may jun jul aug sep oct nov dec",
        "januar februar märz april mai juni juli august september oktober november dezember",
        "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
        "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
        "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
        "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
        "januari februari maart april mei juni juli augustus september oktober november december",
    )
    for number, name in enumerate(names.split(), 1)
} | {"sept": 9}
_YEAR_ANCHORS = (re.compile(r"20(?<![0-9]20)[0-9][0-9](?![0-9])"), re.compile(r"19(?<![0-9]19)[0-9][0-9](?![0-9])"))
_AFTER_YEAR = re.compile(
    r"(?P<sep>[-/])(?P<month>[0-9]{1,2})(?P=sep)(?P<day>[0-9]{1,2})(?![0-9]|[-.][0-9])|年(?P<cjk_month>[0-9]{1,2})月(?P<cjk_day>[0-9]{1,2})日"
)
_BEFORE_YEAR = re.compile(
    r"""(?<![\w/.-])(?:
        (?P<day>[0-9]{1,2})(?:\.|st|nd|rd|th|er|º)?[ ](?:(?:de|of)[ ])?(?P<month>[^\W\d_]{3,10})\.?,?[ ](?:(?:de|of)[ ])?
      | (?P<month_first>[^\W\d_]{3,10})\.?[ ](?P<day_second>[0-9]{1,2})(?:st|nd|rd|th)?,?[ ]
      | (?P<dotted_day>[0-9]{1,2})\.[ ]?(?P<dotted_month>[0-9]{1,2})\.[ ]?
      | (?P<one>[0-9]{1,2})(?P<sep>[-/])(?P<two>[0-9]{1,2})(?P=sep)
    )\Z""",
    re.VERBOSE,
)
_BEFORE_YEAR_CHARACTERS = 32


def dates(text: str) -> Iterator[Match]:
    """Days of the years 1900 to 2099, as `YYYY-MM-DD`, in ISO form or as written in the languages of `natural_language`.

    `03/04/2024` is a different day in different countries and is left out; `13/04/2024` is not.
    """
    for anchor in _YEAR_ANCHORS:
        for found in _limited(anchor.finditer(text)):
            start, end = found.span()
            following = text[end : end + 1]
            if following in ("-", "/", "年") and (after := _AFTER_YEAR.match(text, end)):
                if text[start - 1 : start] in ("-", "."):
                    continue
                month, day = after["month"] or after["cjk_month"], after["day"] or after["cjk_day"]
                value = _iso_date(found[0], int(month), int(day))
                if value is not None:
                    yield value, start, after.end(), 0.95 if len(after[0]) == 6 and following != "/" else 0.9
            elif start and text[start - 1] in " ./-" and following not in ("-", "/"):
                yield from _written_date(text, start, end)


def _written_date(text: str, year_start: int, year_end: int) -> Iterator[Match]:
    if text[year_end : year_end + 1] == "." and text[year_end + 1 : year_end + 2].isdigit():
        return  # a version or an address
    found = _BEFORE_YEAR.search(text, max(0, year_start - _BEFORE_YEAR_CHARACTERS), year_start)
    if found is None:
        return
    year = text[year_start:year_end]
    if name := found["month"] or found["month_first"]:
        value, confidence = _iso_date(year, _MONTHS.get(name.lower(), 0), int(found["day"] or found["day_second"])), 0.9
    elif found["dotted_day"]:
        value, confidence = _iso_date(year, int(found["dotted_month"]), int(found["dotted_day"])), 0.85
    else:
        one, two = int(found["one"]), int(found["two"])
        if one <= 12 and two <= 12 and one != two:
            return
        value, confidence = _iso_date(year, min(one, two), max(one, two)), 0.8
    if value is not None:
        yield value, found.start(), year_end, confidence


def _iso_date(year: str, month: int, day: int) -> str | None:
    try:
        return date(int(year), month, day).isoformat()
    except ValueError:
        return None


# --- money
_SIGNS = {"$": "USD", "€": "EUR", "£": "GBP", "¥": "JPY", "₹": "INR", "₩": "KRW"}  # as is most likely: others write `$` too
# USD, EUR and AUD; GBP and JPY; CHF and CAD: each match ends where the code does
_CODE_ANCHORS = tuple(map(re.compile, (r"U(?:SD|(?<=EU)R|(?<=AU)D)", r"P(?:(?<=GBP)|(?<=JP)Y)", r"C(?:HF|AD)")))
_COMMA_DECIMALS = frozenset({"EUR"})  # where `1.200` is twelve hundred
_NUMBER = r"[0-9]{1,3}(?:[.,'\u00a0\u202f][0-9]{3}){1,5}(?:[.,][0-9]{1,2})?(?![0-9])|[0-9]{1,15}(?:[.,][0-9]{1,4})?(?![0-9])"
_SCALE = r"(?:[ \u00a0]?(?P<scale>million|billion|thousand|bn|mn|Mio\.?|Mrd\.?|[kKM])(?![\w]))?"
_SCALES = {"thousand": 3, "k": 3, "K": 3, "million": 6, "mn": 6, "M": 6, "Mio": 6, "Mio.": 6}
_AMOUNT_AFTER = re.compile(rf"[ \u00a0]?(?P<number>{_NUMBER}){_SCALE}(?![.,]?[0-9]|%|[ ][0-9]{{3}}(?![0-9]))")
_AMOUNT_BEFORE = re.compile(rf"(?<![\w.,'$€£¥-])(?<![0-9][ ])(?P<number>{_NUMBER}){_SCALE}[ \u00a0]?\Z")
_AMOUNT_BEFORE_CHARACTERS = 32


def money(text: str) -> Iterator[Match]:
    """Amounts with a currency sign or code, as `EUR 1200.50`.

    `1.200` is twelve hundred with currencies whose users write so, else one and two tenths.
    """
    for start, end in _currencies(text):
        mark = text[start:end]
        currency = _SIGNS.get(mark, mark)
        if found := _AMOUNT_AFTER.match(text, end):
            span = start, found.end()
        elif found := _AMOUNT_BEFORE.search(text, max(0, start - _AMOUNT_BEFORE_CHARACTERS), start):
            span = found.start(), end
        else:
            continue
        # `$1` is a parameter of a script as often as a dollar
        is_bare = mark == "$" and found["scale"] is None and len(found["number"]) == 1
        confidence = 0.5 if is_bare else 0.7 if mark in "$¥" else 0.9 if mark in _SIGNS else 0.95
        yield f"{currency} {_amount(found['number'], found['scale'], currency)}", *span, confidence


def _currencies(text: str) -> Iterator[tuple[int, int]]:
    """Where signs and codes stand that are not part of a word or of another country's dollar (`A$`)."""
    for sign in _SIGNS:
        position = -1
        for _ in range(_CANDIDATE_LIMIT):
            position = text.find(sign, position + 1)
            if position < 0:
                break
            before = text[max(0, position - 2) : position]
            if not before[-1:].isalpha() or before == "US":
                yield position, position + 1
    for anchor in _CODE_ANCHORS:
        for match in _limited(anchor.finditer(text)):
            end = match.end()
            if not (text[end : end + 1].isalpha() or text[end - 4 : end - 3].isalnum()):
                yield end - 3, end


def _amount(number: str, scale: str | None, currency: str) -> str:
    """The number with a point before its decimals, and nothing between its thousands."""
    digits = re.sub(r"['\u00a0\u202f]", "", number)
    last = max(digits.rfind("."), digits.rfind(","))
    if last >= 0:
        separator, decimals = digits[last], digits[last + 1 :]
        is_thousands = digits.count(separator) > 1 or (len(decimals) == 3 and (separator == "," or currency in _COMMA_DECIMALS))
        whole = re.sub(r"[.,]", "", digits if is_thousands else digits[:last])
        fraction = "" if is_thousands else decimals
    else:
        whole, fraction = digits, ""
    if scale is not None:
        power = _SCALES.get(scale, 9)
        whole, fraction = whole + fraction[:power].ljust(power, "0"), fraction[power:]
    return (whole.lstrip("0") or "0") + (f".{fraction}" if fraction else "")


def _limited(found: Iterator[re.Match[str]]) -> Iterator[re.Match[str]]:
    return (match for _, match in zip(range(_CANDIDATE_LIMIT), found, strict=False))
