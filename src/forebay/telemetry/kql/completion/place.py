"""Where in a query the cursor is: which operator, which brackets, and whether a value or a word goes on."""

from __future__ import annotations

import re
import string
from typing import Literal

from msgspec import Struct

from forebay.telemetry.kql.completion.vocabulary import KEYWORDS, OPERATORS, PARAMETERS, SOURCES
from forebay.telemetry.kql.syntax.lexer import LONG, REAL, STRING, TIMESPAN, TYPED, UNCLOSED, WORD, Tokens

_NAME_CHARACTERS = string.ascii_letters + string.digits + "_$"
_HYPHENATED = frozenset(name.split("-")[0] for name in OPERATORS if "-" in name)
_WORD_REST = re.compile(r"[\w~]*")
_VALUES = frozenset((WORD, STRING, LONG, REAL, TIMESPAN, TYPED))
# after these words a value comes
_BEFORE_VALUES = frozenset(
    "and or not by on of from to step where filter in has has_any has_all contains startswith endswith matches regex between with limit "
    "default as !has !contains !startswith !endswith !in in~ !in~ hasprefix hassuffix has_cs contains_cs startswith_cs endswith_cs".split()
)
_TABLE_CALLS = frozenset(("toscalar", "totable", "materialize"))


Holds = Literal["statements", "tables", "operators", "values"]


class Level(Struct):
    """A bracket that is open at the cursor, or the whole text."""

    opening: int  # the index of its token; -1 for the text
    statement: int  # the index of the first token of the statement in it
    holds: Holds
    owner: int  # the index of the innermost level, itself included, that holds more than values
    bar: int = -1  # the index of the last bar of that statement
    statements: list[tuple[int, int]] = []  # those before, as offsets

    @property
    def first(self) -> int:
        """The index of the first token of the operator or source in it."""
        return self.bar + 1 if self.bar >= 0 else self.statement


class Place(Struct):
    """Where the cursor is."""

    tokens: Tokens  # of the text before the word that is being written
    last: int  # the index of the last of them; -1 if there is none
    levels: list[Level]  # from the outermost
    start: int  # of the word that is being written
    end: int
    word: str  # as far as the cursor
    is_in_text: bool  # in quotes or in a comment: nothing can be offered

    def symbol(self, index: int) -> str:
        """A word or symbol; '' for all else, and before the text."""
        return self.tokens.symbols[index] if index >= 0 else ""

    @property
    def number(self) -> int:
        """The index of the level whose operator or source the cursor is in; brackets of values are passed over."""
        return self.levels[-1].owner

    @property
    def level(self) -> Level:
        """That level."""
        return self.levels[self.number]

    @property
    def operator(self) -> str:
        """The name of the operator or source at the cursor; '' for a source that is none of the language."""
        return operator_word(self.tokens, self.level)


Role = Literal[
    "operator", "statement", "source", "value", "after value", "type", "parameter", "chart", "property", "plugin", "side", "nothing"
]


def place_of(text: str, cursor: int) -> Place:
    """Where the cursor is, an offset in characters."""
    before = text[:cursor]
    start = _word_start(before)
    rest = _WORD_REST.match(text, cursor)
    tokens = Tokens(before[:start])
    last = len(tokens.kinds) - 4
    gap = before[tokens.ends[last] if last >= 0 else 0 : start]
    is_in_text = UNCLOSED in tokens.kinds or "//" in gap.rsplit("\n", 1)[-1] or _is_unclosed(before)
    return Place(tokens, last, _levels(tokens, last), start, rest.end() if rest else cursor, before[start:], is_in_text)


def _word_start(before: str) -> int:
    """Where the word begins that ends at the end of the text."""
    start = len(before.rstrip(_NAME_CHARACTERS + "-"))
    if before[start:].lower().partition("-")[0] not in _HYPHENATED:  # `a-b` is a difference, `project-a` is not
        start = len(before.rstrip(_NAME_CHARACTERS))
    return start - 1 if before[start - 1 : start] == "!" else start


def _is_unclosed(before: str) -> bool:
    kinds = Tokens(before).kinds
    return len(kinds) > 3 and kinds[-4] == UNCLOSED


def _levels(tokens: Tokens, last: int) -> list[Level]:
    levels = [Level(-1, 0, "statements", 0)]
    for index in range(last + 1):
        match tokens.symbols[index]:
            case "(" | "[" | "{":
                holds = _held(tokens, index, levels)
                levels.append(Level(index, index + 1, holds, levels[-1].owner if holds == "values" else len(levels)))
            case ")" | "]" | "}":
                if len(levels) > 1:
                    levels.pop()
            case "|":
                levels[-1].bar = index
                levels[-1].owner = len(levels) - 1
            case ";":
                level = levels[-1]
                level.statements.append((tokens.starts[level.statement], tokens.starts[index]))
                level.statement, level.bar = index + 1, -1
    return levels


def _held(tokens: Tokens, opening: int, levels: list[Level]) -> Holds:
    """What stands in a bracket."""
    symbol, before, before_that = tokens.symbols[opening], tokens.symbols[opening - 1], tokens.symbols[opening - 2]
    if symbol == "{":
        return "statements"
    if symbol == "[":
        return "values"
    level = levels[levels[-1].owner]
    operator = operator_word(tokens, level)
    is_own = levels[-1] is level
    if (operator == "mv-apply" and before == "on") or (operator == "partition" and before_that in ("by", ".")):
        return "operators"
    begins = opening == level.statement or (tokens.symbols[level.statement] == "let" and opening == level.statement + 3)
    follows = before == operator or before_that == "=" or (operator == "union" and before == ",")
    if before in _TABLE_CALLS or begins or (is_own and operator in ("join", "lookup", "union") and follows):
        return "tables"
    return "values"


def operator_word(tokens: Tokens, level: Level) -> str:
    """The name of the operator or source that a level is in; '' for a source that is none of the language."""
    word = tokens.symbols[level.first]
    if level.bar >= 0 or level.holds == "operators":
        return {"filter": "where", "mvexpand": "mv-expand", "mvapply": "mv-apply", "order": "sort"}.get(word, word)
    return word if word in SOURCES else ""


def role(place: Place) -> Role:
    """What may be written at the cursor."""
    level, operator = place.level, place.operator
    previous = place.symbol(place.last)
    inner = place.levels[-1]
    before_bracket = place.symbol(inner.opening - 1) if inner.opening >= 0 else ""
    if previous == ".":
        return "side" if place.symbol(place.last - 1) in ("$left", "$right") else "nothing"
    if previous == "|" or (place.last == level.opening and level.holds == "operators"):
        return "operator"
    if _is_type(place, operator, previous, before_bracket):
        return "type"
    if place.last < level.first:
        return "source" if level.holds == "tables" else "statement"
    if operator == "render":
        return _role_in_render(place, level, previous)
    if operator == "evaluate" and inner is level:
        return "plugin" if previous == "evaluate" else "nothing"
    if previous == "=" and _is_parameter(place, operator):
        return "parameter"
    if operator in ("join", "lookup", "union") and inner is level and not _has(place, level, "on") and not _follows_table(place):
        return "source"
    if previous == "=" and place.symbol(level.statement) == "let" and place.last == level.statement + 2 and inner is level:
        return "source"
    if operator in ("as", "count", "getschema", "consume", "sample", "take", "limit") and inner is level:
        return (
            "after value"
            if operator == "count" and previous == "count"
            else "value"
            if operator in ("take", "limit", "sample")
            else "nothing"
        )
    if place.last == level.first and level.bar >= 0:
        return "value"
    return "after value" if _follows_value(place, operator) else "value"


def _role_in_render(place: Place, level: Level, previous: str) -> Role:
    if place.last == level.first:
        return "chart"
    if place.levels[-1] is level:
        return "after value"
    return "property" if previous in ("(", ",", "=") else "nothing"


def _is_type(place: Place, operator: str, previous: str, before_bracket: str) -> bool:
    if previous == "(" and before_bracket == "typeof":
        return True
    return previous == ":" and operator not in ("search", "evaluate")


def _is_parameter(place: Place, operator: str) -> bool:
    return place.symbol(place.last - 1) in PARAMETERS.get(operator, {})


def _has(place: Place, level: Level, word: str) -> bool:
    return word in place.tokens.symbols[level.first : place.last + 1]


def _follows_table(place: Place) -> bool:
    """Whether a table of join or union was just written."""
    if place.symbol(place.last) in (")", "]"):
        return True
    return (
        place.tokens.kinds[place.last] == WORD
        and place.symbol(place.last - 1) != "="
        and place.symbol(place.last) not in ("join", "lookup", "union")
    )


def _follows_value(place: Place, operator: str) -> bool:
    if place.symbol(place.last) in (")", "]", "}"):
        return True
    if place.tokens.kinds[place.last] not in _VALUES:
        return place.symbol(place.last) == "*" and operator == ""
    word = place.symbol(place.last)
    return not (word in _BEFORE_VALUES or word in KEYWORDS.get(operator, ()) or word in SOURCES)
