r"""Regular expressions of Kusto as those of DuckDB (RE2).

Kusto's dialect is that of Rust's `regex` crate: classes such as `\d`, `\w` and `\s` are Unicode's, classes may nest and intersect, there
are octal and `\u` escapes. A `{` that begins no repetition is read as itself, as RE2, which Kusto had before, does. One thing is said in
RE2 by less: `\b` sees the letters, digits and `_` of ASCII only.
Source: https://learn.microsoft.com/kusto/query/regex
"""

from __future__ import annotations

import re
from typing import NamedTuple

from forebay.telemetry.kql.functions.regex_classes import ASCII_CLASSES, CharacterSet, UnknownCodesError, category_set, property_class

_LONGEST = 10_000  # characters
_DEEPEST = 50  # groups within groups
_MOST_REPETITIONS = 1_000  # RE2 has no more, also of repetitions of repetitions
_LARGEST = 250_000  # of 8 MiB that RE2 has for a program, a category such as \pL takes 20 KiB
_REPETITION = re.compile(r"\{(\d{1,9})(?:(,)(\d{1,9})?)?\}")
_GROUP_NAME = re.compile(r"\?P?<([\w.\[\]]+)>")
_FLAGS = re.compile(r"\?([imsUxuR]*)(?:-([imsUxuR]+))?([:)])")
_HEX = re.compile(r"\{([0-9A-Fa-f]{1,8})\}")
_PROPERTY = re.compile(r"([A-Za-z])|\{(\^?)([A-Za-z_]+)\}")
_SMALL_CATEGORIES = frozenset(["Nd", "Nl", "Pc", "Pd", "Ps", "Pe", "Zs", "Lt", "Cc"])
_SIMPLE_ESCAPES = {"a": 7, "f": 12, "t": 9, "n": 10, "r": 13, "v": 11}
_HEX_LENGTHS = {"x": 2, "u": 4, "U": 8}
_LOOKAROUND = ("?=", "?!", "?<=", "?<!")


class _Part(NamedTuple):
    """What was read, for RE2."""

    pattern: str
    is_empty: bool  # whether it may match ''
    size: int = 1  # of RE2's program, roughly
    repetitions: int = 1  # the most, one in another, that it has


class RegexError(ValueError):
    """What is wrong with a regular expression; the message is for people."""


class Regex:
    """A regular expression: `sql_pattern` for RE2, how many groups capture, the numbers of those that have names, whether it may match ''.

    With `captures`, only the group of that number captures in `sql_pattern`, so as its first one. Raises `RegexError`.
    """

    def __init__(self, pattern: str, *, captures: int | None = None) -> None:
        if len(pattern) > _LONGEST:
            raise RegexError(f"a regular expression may have {_LONGEST:,} characters, got {len(pattern):,}")
        self.group_count = 0
        self.group_numbers: dict[str, int] = {}
        self._pattern = pattern
        self._captures = captures
        self._at = 0
        self._depth = 0
        self._is_verbose = False
        self._is_unicode = True
        try:
            whole = self._alternatives()
        except UnknownCodesError as unknown:
            raise self._error(f"the class {unknown} cannot be combined with others") from None
        if self._at < len(pattern):
            raise self._error("unopened group: there is no '(' for this ')'")
        if whole.size > _LARGEST:
            raise RegexError("the regular expression is too large for RE2: it repeats large classes of characters too often")
        self.sql_pattern, self.matches_nothing = whole.pattern, whole.is_empty

    def _error(self, message: str) -> RegexError:
        return RegexError(f"{message}, at character {self._at + 1} of the regular expression")

    def _next(self) -> str:
        return self._pattern[self._at] if self._at < len(self._pattern) else ""

    def _starts(self, text: str) -> bool:
        return self._pattern.startswith(text, self._at)

    # sequences

    def _alternatives(self) -> _Part:
        """Up to the end, or the bracket that closes the group."""
        is_verbose, is_unicode = self._is_verbose, self._is_unicode
        parts: list[_Part] = []
        may_be_empty, is_empty_so_far = False, True
        while (character := self._next()) and character != ")":
            if character == "|":
                self._at += 1
                parts.append(_Part("|", False))
                may_be_empty, is_empty_so_far = may_be_empty or is_empty_so_far, True
            elif self._is_verbose and (character.isspace() or character == "#"):
                self._skip_comment(character)
            else:
                parts.append(self._repeated(self._atom()))
                is_empty_so_far = is_empty_so_far and parts[-1].is_empty
        self._is_verbose, self._is_unicode = is_verbose, is_unicode
        repetitions = max((part.repetitions for part in parts), default=1)
        pattern = "".join(part.pattern for part in parts)
        return _Part(pattern, may_be_empty or is_empty_so_far, sum(part.size for part in parts), repetitions)

    def _skip_comment(self, character: str) -> None:
        end = self._pattern.find("\n", self._at) if character == "#" else self._at
        self._at = len(self._pattern) if end < 0 else end + 1

    def _repeated(self, atom: _Part) -> _Part:
        is_repeated = False
        while (found := self._repetition()) is not None:
            repetition, least, most = found
            times = max(most, least, 1)
            if atom.repetitions * times > _MOST_REPETITIONS:
                raise self._error(f"repetitions of repetitions may be {_MOST_REPETITIONS} at most")
            inside = f"(?:{atom.pattern})" if is_repeated else atom.pattern
            atom = _Part(inside + repetition, atom.is_empty or least == 0, atom.size * times, atom.repetitions * times)
            is_repeated = True
        return atom

    def _repetition(self) -> tuple[str, int, int] | None:
        """A repetition, and the least and the most that it says; 0 where it has no bound."""
        while self._is_verbose and (self._next().isspace() or self._next() == "#"):
            self._skip_comment(self._next())
        written = self._next()
        if written and written in "*+?":
            self._at += 1
            least, most = int(written == "+"), int(written == "?")
        elif match := _REPETITION.match(self._pattern, self._at):
            least = int(match[1])
            most = int(match[3]) if match[3] else 0 if match[2] else least
            if max(least, most) > _MOST_REPETITIONS or (match[3] and least > most):
                raise self._error(f"a repetition may be from 0 to {_MOST_REPETITIONS} times, the least first")
            self._at, written = match.end(), match[0]
        else:
            return None
        if self._next() == "?":
            self._at += 1
            written += "?"
        return written, least, most

    def _atom(self) -> _Part:
        character = self._next()
        if character == "(":
            return self._group()
        if character == "[":
            return _class_part(self._class())
        if character == "\\":
            return self._escape()
        if character in "*+?":
            raise self._error("nothing to repeat")
        self._at += 1
        if character in ".^$":
            return _Part(character, character != ".")
        return _Part(_literal(ord(character)), False)

    # groups

    def _group(self) -> _Part:
        self._at += 1
        if any(self._starts(each) for each in _LOOKAROUND):
            raise self._error("look-around is not supported")
        if name := _GROUP_NAME.match(self._pattern, self._at):
            self._at = name.end()
            self.group_count += 1
            if name[1] in self.group_numbers:
                raise self._error(f"two groups are called {name[1]}")
            self.group_numbers[name[1]] = self.group_count
            return self._closed(self._opening(self.group_count))
        if self._next() != "?":
            self.group_count += 1
            return self._closed(self._opening(self.group_count))
        return self._flags()

    def _opening(self, number: int) -> str:
        return "(" if self._captures in (None, number) else "(?:"

    def _flags(self) -> _Part:
        match = _FLAGS.match(self._pattern, self._at)
        if match is None:
            raise self._error("unknown kind of group: expected (?:...), (?i), (?i:...) or (?P<name>...)")
        on, off, ending = match[1], match[2] or "", match[3]
        if "R" in on:
            raise self._error("the flag R is not supported")
        self._at = match.end()
        before = self._is_verbose, self._is_unicode
        self._is_verbose = ("x" in on or self._is_verbose) and "x" not in off
        self._is_unicode = ("u" in on or self._is_unicode) and "u" not in off
        written = "".join(each for each in on if each in "imsU") + "".join(["-", *(each for each in off if each in "imsU")]).rstrip("-")
        if ending == ")":
            if self._repetition() is not None:
                raise self._error("nothing to repeat")
            return _Part(f"(?{written})" if written else "(?:)", True)
        group = self._closed(f"(?{written}:")
        self._is_verbose, self._is_unicode = before
        return group

    def _closed(self, opening: str) -> _Part:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._error(f"more than {_DEEPEST} groups within one another")
        inside = self._alternatives()
        self._depth -= 1
        if self._next() != ")":
            raise self._error("unclosed group: expected ')'")
        self._at += 1
        return inside._replace(pattern=f"{opening}{inside.pattern})")

    # escapes

    def _escape(self) -> _Part:
        following = self._pattern[self._at + 1 : self._at + 2]
        if following == "B":  # RE2 finds it within characters, too
            raise self._error("\\B is not supported")
        if following in ("A", "z", "b"):
            self._at += 2
            if self._starts("{"):
                raise self._error("\\b{...} is not supported")
            return _Part(f"\\{following}", True)
        if following in ("<", ">"):
            raise self._error(f"\\{following} is not supported")
        found = self._class_escape()
        return _class_part(found) if isinstance(found, CharacterSet) else _Part(_literal(found), False)

    def _class_escape(self) -> CharacterSet | int:
        """What a backslash and what comes after it say, in a class or elsewhere: characters, or the code of one."""
        self._at += 1
        letter = self._next()
        self._at += 1
        if letter in _SIMPLE_ESCAPES:
            return _SIMPLE_ESCAPES[letter]
        if letter and letter in "dDsSwW":
            found = ASCII_CLASSES[letter.lower()] if not self._is_unicode else property_class(letter.lower())
            return found.negated() if letter.isupper() else found
        if letter and letter in "pP":
            return self._property(letter)
        if letter in _HEX_LENGTHS:
            return self._hex(_HEX_LENGTHS[letter])
        if letter and letter in "01234567":
            digits = re.compile("[0-7]{1,3}").match(self._pattern, self._at - 1)
            assert digits is not None, "there is at least the digit that was seen"
            self._at = digits.end()
            return int(digits[0], 8)
        if letter and (not letter.isascii() or letter.isalnum()):
            self._at -= 2
            raise self._error(f"unknown escape: \\{letter}")
        if not letter:
            raise self._error("nothing after the last backslash")
        return ord(letter)

    def _hex(self, length: int) -> int:
        match = _HEX.match(self._pattern, self._at) or re.compile(f"([0-9A-Fa-f]{{{length}}})").match(self._pattern, self._at)
        if match is None or int(match[1], 16) > 0x10FFFF:
            raise self._error("expected the code of a character, in hexadecimal digits")
        self._at = match.end()
        return int(match[1], 16)

    def _property(self, letter: str) -> CharacterSet:
        match = _PROPERTY.match(self._pattern, self._at)
        found = category_set(match[1] or match[3]) if match is not None else None
        if match is None or found is None:
            raise self._error("unknown class of characters: there are categories such as \\pL and \\p{Lu}, and scripts such as \\p{Greek}")
        self._at = match.end()
        return found.negated() if (letter == "P") != bool(match[2]) else found

    # classes

    def _class(self) -> CharacterSet:
        """`[...]`, with classes in it, `&&`, `--` and `~~`."""
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._error(f"more than {_DEEPEST} groups within one another")
        self._at += 1
        is_negated = self._next() == "^"
        self._at += is_negated
        result = self._union(is_first=True)
        while (operation := self._pattern[self._at : self._at + 2]) in ("&&", "--", "~~"):
            self._at += 2
            result = result.combined(operation, self._union(is_first=False))
        self._at += 1  # the bracket
        self._depth -= 1
        return result.negated() if is_negated else result

    def _union(self, *, is_first: bool) -> CharacterSet:
        found = CharacterSet()
        start = self._at
        while not (self._next() == "]" and not (is_first and self._at == start)):
            if not self._next():
                raise self._error("unclosed class of characters: expected ']'")
            if any(self._starts(each) for each in ("&&", "~~")) or (self._starts("--") and self._at > start):
                break
            if self._starts("[:") and (posix := re.compile(r"\[:(\^?)(\w+):\]").match(self._pattern, self._at)):
                if posix[2] not in ASCII_CLASSES:
                    raise self._error(f"unknown class of characters: [:{posix[2]}:]")
                self._at = posix.end()
                found = found.united(ASCII_CLASSES[posix[2]].negated() if posix[1] else ASCII_CLASSES[posix[2]])
            elif self._next() == "[":
                found = found.united(self._class())
            elif self._is_verbose and self._next().isspace():
                self._at += 1
            else:
                found = found.united(self._range())
        return found

    def _range(self) -> CharacterSet:
        first = self._one()
        if not self._starts("-") or self._pattern[self._at + 1 : self._at + 2] in ("]", "-", "") or isinstance(first, CharacterSet):
            return first if isinstance(first, CharacterSet) else CharacterSet(((first, first),))
        self._at += 1
        last = self._one()
        if isinstance(last, CharacterSet) or last < first:
            raise self._error("a range of characters goes from one to a later one")
        return CharacterSet(((first, last),))

    def _one(self) -> CharacterSet | int:
        if self._next() == "\\":
            return self._class_escape()
        self._at += 1
        return ord(self._pattern[self._at - 1])


def _class_part(found: CharacterSet) -> _Part:
    return _Part(found.written(), False, size=4 * len(found.ranges) + sum(_category_size(each) for each in found.categories) + 1)


def _category_size(category: str) -> int:
    return 100 if category in _SMALL_CATEGORIES else 800


def _literal(code: int) -> str:
    character = chr(code)
    if character.isalnum() or code > 127 or character == "_":
        return character
    return "\\" + character if 32 <= code < 127 else f"\\x{code:02X}"
