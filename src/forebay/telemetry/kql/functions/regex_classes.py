"""Classes of characters in regular expressions: Unicode's categories and ranges of codes."""

from __future__ import annotations

from functools import cache

_LAST = 0x10FFFF
_Ranges = tuple[tuple[int, int], ...]
_CATEGORIES = {
    "letter": "L",
    "uppercaseletter": "Lu",
    "lowercaseletter": "Ll",
    "titlecaseletter": "Lt",
    "modifierletter": "Lm",
    "otherletter": "Lo",
    "mark": "M",
    "nonspacingmark": "Mn",
    "spacingmark": "Mc",
    "enclosingmark": "Me",
    "number": "N",
    "decimalnumber": "Nd",
    "digit": "Nd",
    "letternumber": "Nl",
    "othernumber": "No",
    "punctuation": "P",
    "punct": "P",
    "connectorpunctuation": "Pc",
    "dashpunctuation": "Pd",
    "openpunctuation": "Ps",
    "closepunctuation": "Pe",
    "symbol": "S",
    "mathsymbol": "Sm",
    "currencysymbol": "Sc",
    "modifiersymbol": "Sk",
    "othersymbol": "So",
    "separator": "Z",
    "spaceseparator": "Zs",
    "lineseparator": "Zl",
    "paragraphseparator": "Zp",
    "control": "Cc",
    "cntrl": "Cc",
    "format": "Cf",
}
_SHORT_CATEGORIES = frozenset("L Lu Ll Lt Lm Lo M Mn Mc Me N Nd Nl No P Pc Pd Ps Pe Pi Pf Po S Sm Sc Sk So Z Zs Zl Zp Cc Cf Co".split())
_SCRIPTS = {
    name.lower(): name
    for name in (
        "Arabic Armenian Bengali Bopomofo Braille Cherokee Coptic Cyrillic Devanagari Ethiopic Georgian Greek Gujarati Gurmukhi Han Hangul "
        "Hebrew Hiragana Kannada Katakana Khmer Lao Latin Malayalam Mongolian Myanmar Oriya Runic Sinhala Syriac Tamil Telugu Thaana Thai "
        "Tibetan"
    ).split()
}
# what the circled and squared letters have that are no letters to the categories, and what joins letters
_WORD_RANGES: _Ranges = (
    (0x200C, 0x200D),
    (0x24B6, 0x24E9),
    (0x1F130, 0x1F149),
    (0x1F150, 0x1F169),
    (0x1F170, 0x1F189),
)
_SPACE_RANGES: _Ranges = (
    (9, 13), (32, 32), (0x85, 0x85), (0xA0, 0xA0), (0x1680, 0x1680), (0x2000, 0x200A), (0x2028, 0x2029), (0x202F, 0x202F), (0x205F, 0x205F),
    (0x3000, 0x3000),
)  # fmt: skip


class CharacterSet:
    """Characters: ranges of codes and Unicode's categories or scripts, or all others."""

    __slots__ = ("categories", "is_negated", "ranges")

    def __init__(self, ranges: _Ranges = (), categories: tuple[str, ...] = (), *, is_negated: bool = False) -> None:
        self.ranges = ranges
        self.categories = categories
        self.is_negated = is_negated

    def negated(self) -> CharacterSet:
        """All other characters."""
        return CharacterSet(self.ranges, self.categories, is_negated=not self.is_negated)

    def united(self, other: CharacterSet) -> CharacterSet:
        """What is in one of both."""
        if not self.ranges and not self.categories and not self.is_negated:
            return other
        if self.is_negated or other.is_negated:
            return CharacterSet(_union(self._codes(), other._codes()))
        return CharacterSet(self.ranges + other.ranges, self.categories + other.categories)

    def combined(self, operation: str, other: CharacterSet) -> CharacterSet:
        """What is in both (`&&`), not in the other (`--`), or in one only (`~~`)."""
        left, right = self._codes(), other._codes()
        if operation == "&&":
            return CharacterSet(_both(left, right))
        if operation == "--":
            return CharacterSet(_both(left, _others(right)))
        return CharacterSet(_union(_both(left, _others(right)), _both(right, _others(left))))

    def written(self) -> str:
        """The class in RE2."""
        if not self.ranges and len(self.categories) == 1:
            return f"\\{'P' if self.is_negated else 'p'}{{{self.categories[0]}}}"
        inside = "".join(f"\\p{{{category}}}" for category in self.categories) + "".join(map(_written_range, self.ranges))
        if not inside:
            return f"[{'' if self.is_negated else '^'}\\x00-\\x{{10FFFF}}]"
        return f"[{'^' if self.is_negated else ''}{inside}]"

    def _codes(self) -> _Ranges:
        found = self.ranges
        for category in self.categories:
            found += _category_codes(category)
        return _others(_union(found, ())) if self.is_negated else _union(found, ())


class UnknownCodesError(ValueError):
    """The codes of a script are not known here."""


def property_class(letter: str) -> CharacterSet:
    r"""`\d`, `\s` or `\w`, of all Unicode."""
    if letter == "d":
        return CharacterSet((), ("Nd",))
    if letter == "s":
        return CharacterSet(_SPACE_RANGES)
    return CharacterSet(_WORD_RANGES, ("L", "M", "Nd", "Nl", "Pc"))


def category_set(name: str) -> CharacterSet | None:
    """A category or script by its short or long name; None if it is not known."""
    if name in _SHORT_CATEGORIES:
        return CharacterSet((), (name,))
    plain = name.lower().replace("_", "")
    known = _CATEGORIES.get(plain) or _SCRIPTS.get(plain)
    return None if known is None else CharacterSet((), (known,))


def _written_range(ends: tuple[int, int]) -> str:
    first, last = ends
    return f"\\x{{{first:X}}}" if first == last else f"\\x{{{first:X}}}-\\x{{{last:X}}}"


def _union(left: _Ranges, right: _Ranges) -> _Ranges:
    merged: list[tuple[int, int]] = []
    for first, last in sorted(left + right):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return tuple(merged)


def _others(ranges: _Ranges) -> _Ranges:
    """The complement of sorted ranges."""
    found: list[tuple[int, int]] = []
    after = 0
    for first, last in ranges:
        if first > after:
            found.append((after, first - 1))
        after = last + 1
    if after <= _LAST:
        found.append((after, _LAST))
    return tuple(found)


def _both(left: _Ranges, right: _Ranges) -> _Ranges:
    return _others(_union(_others(left), _others(right)))


def _category_codes(category: str) -> _Ranges:
    """All characters of a category, for the classes that RE2 cannot say by categories."""
    if category not in _SHORT_CATEGORIES:
        raise UnknownCodesError(category)
    return tuple(ends for name, ranges in _all_categories().items() if name.startswith(category) for ends in ranges)


@cache
def _all_categories() -> dict[str, list[tuple[int, int]]]:
    """The ranges of each category: 30 ms, once. Characters are in planes 0 to 3 and at the start of plane 14; the last two are private."""
    from unicodedata import category

    found: dict[str, list[tuple[int, int]]] = {"Co": [(0xF0000, 0xFFFFD), (0x100000, 0x10FFFD)]}
    for codes in (range(0x34000), range(0xE0000, 0xE0200)):
        for code in codes:
            ranges = found.setdefault(category(chr(code)), [])
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1] = (ranges[-1][0], code)
            else:
                ranges.append((code, code))
    return found


def _ascii(*ranges: str) -> CharacterSet:
    return CharacterSet(tuple((ord(each[0]), ord(each[-1])) for each in ranges))


ASCII_CLASSES = {
    "d": _ascii("09"),
    "s": _ascii("\t\r", " "),
    "w": _ascii("09", "AZ", "_", "az"),
    "alnum": _ascii("09", "AZ", "az"),
    "alpha": _ascii("AZ", "az"),
    "ascii": _ascii("\x00\x7f"),
    "blank": _ascii("\t", " "),
    "cntrl": _ascii("\x00\x1f", "\x7f"),
    "digit": _ascii("09"),
    "graph": _ascii("!~"),
    "lower": _ascii("az"),
    "print": _ascii(" ~"),
    "punct": _ascii("!/", ":@", "[`", "{~"),
    "space": _ascii("\t\r", " "),
    "upper": _ascii("AZ"),
    "word": _ascii("09", "AZ", "_", "az"),
    "xdigit": _ascii("09", "AF", "af"),
}
