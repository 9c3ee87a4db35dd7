"""Pairs of keys and values in texts, for `parse-kv`.

Source: https://learn.microsoft.com/kusto/query/parse-kv-operator
"""

from __future__ import annotations

from typing import Any


def pairs_of(text: str | None, settings: Any) -> Any:
    """The first value of each key in a text, by key; keys and values without white space around them.

    `settings`: `pair` and `kv` (what separates pairs, and keys from values), `quotes` (pairs of characters), `escapes` (characters),
    `greedy` (whether a value goes on to the next key).
    """
    if text is None:
        return None
    reader = _Reader(text, settings["pair"], settings["kv"], dict(settings["quotes"]), settings["escapes"])
    found: dict[str, str] = {}
    while reader.at < len(text):
        key = reader.part((reader.kv, reader.pair))
        if not reader.accept(reader.kv):
            reader.accept(reader.pair)
            continue
        value = reader.greedy_value() if settings["greedy"] else reader.part((reader.pair,))
        reader.accept(reader.pair)
        found.setdefault(key, value)
    return found


class _Reader:
    def __init__(self, text: str, pair: str, kv: str, quotes: dict[str, str], escapes: str) -> None:
        self.text, self.pair, self.kv = text, pair, kv
        self.at = 0
        self._quotes, self._escapes = dict(quotes), escapes

    def accept(self, delimiter: str) -> bool:
        if not self.text.startswith(delimiter, self.at):
            return False
        self.at += len(delimiter)
        return True

    def part(self, delimiters: tuple[str, ...]) -> str:
        """Up to the first delimiter, or what is quoted: then what is between the quote and the delimiter does not count."""
        quoted = self.quoted()
        end = self._find(delimiters)
        part, self.at = self.text[self.at : end], end
        return part.strip() if quoted is None else quoted

    def greedy_value(self) -> str:
        """Up to the delimiter after which the next key stands."""
        quoted = self.quoted()
        next_kv = self.text.find(self.kv, self.at)
        end = len(self.text) if next_kv < 0 else self.text.rfind(self.pair, self.at, next_kv)
        end = self._find((self.pair,)) if end < 0 else end
        value, self.at = self.text[self.at : end], end
        return value.strip() if quoted is None else quoted

    def _find(self, delimiters: tuple[str, ...]) -> int:
        # what is looked for last is looked for in what is left before the others: the text is read over once
        end = len(self.text)
        for each in reversed(delimiters):
            place = self.text.find(each, self.at, end + len(each) - 1)
            end = end if place < 0 else place
        return end

    def quoted(self) -> str | None:
        """What is quoted here, if something is; read over then."""
        begin = self.at
        while begin < len(self.text) and self.text[begin].isspace() and not self.text.startswith(self.pair, begin):
            begin += 1
        closing = self._quotes.get(self.text[begin : begin + 1])
        if closing is None:
            return None
        made: list[str] = []
        place = begin + 1
        while place < len(self.text):
            character = self.text[place]
            if character in self._escapes and place + 1 < len(self.text):
                made.append(self.text[place + 1])
                place += 2
                continue
            if character == closing:
                self.at = place + 1
                return "".join(made)
            made.append(character)
            place += 1
        self._quotes = {opening: each for opening, each in self._quotes.items() if each != closing}  # nothing closes it from here on
        return None


def tokens_of(text: str | None, settings: Any) -> Any:
    """The same where nothing says what separates keys and values: the value of a key of `keys` is the next word, or what is quoted."""
    if text is None:
        return None
    quotes, wanted = dict(settings["quotes"]), frozenset(settings["keys"])
    found: dict[str, str] = {}
    key: str | None = None
    reader = _Reader(text, "\0", "\0", quotes, settings["escapes"])
    while reader.at < len(text):
        word = reader.quoted() if text[reader.at] in quotes else None
        if word is None:
            if not text[reader.at].isalnum():
                reader.at += 1
                continue
            end = reader.at
            while end < len(text) and text[end].isalnum():
                end += 1
            word, reader.at = text[reader.at : end], end
        if key is not None:
            found.setdefault(key, word)
            key = None
        elif word in wanted:
            key = word
    return found
