"""Text into tokens.

Source of the lexical rules: https://learn.microsoft.com/kusto/query/ (string, scalar data types, entity names). Every pattern is
possessive or bounded, so that the time is linear in the text, whatever it holds.
"""

from __future__ import annotations

import re

# kinds of tokens
WORD = "word"
SYMBOL = "symbol"
STRING = "string"
LONG = "long"
REAL = "real"
TIMESPAN = "timespan"
TYPED = "typed"  # `datetime(...)`, `long(...)`, ...: what is in the brackets is no expression
UNCLOSED = "unclosed"  # a text without its end
DIRECTIVE = "directive"  # `#connect ...`
BAD = "bad"
END = "end"

# names of operators and the like that a minus does not take apart
_HYPHENATED = (
    "assert-schema execute-and-cache graph-mark-components graph-match graph-shortest-paths graph-to-table graph-where-edges "
    "graph-where-nodes granny-asc granny-desc macro-expand make-graph make-series materialized-view-combine mv-apply mv-expand "
    "parse-kv parse-where project-away project-by-names project-keep project-rename project-reorder project-smart "
    "sample-distinct top-hitters top-nested"
).replace(" ", "|")

TIMESPAN_TICKS = {
    **dict.fromkeys(("tick", "ticks"), 1),
    **dict.fromkeys(("micro", "micros", "microsec", "microsecond", "microseconds"), 10),
    **dict.fromkeys(("ms", "milli", "millis", "millisec", "millisecond", "milliseconds"), 10_000),
    **dict.fromkeys(("s", "sec", "second", "seconds"), 10_000_000),
    **dict.fromkeys(("m", "min", "minute", "minutes"), 600_000_000),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 36_000_000_000),
    **dict.fromkeys(("d", "day", "days"), 864_000_000_000),
}
# of 1/100 tick: what is said in nanoseconds may be no whole number of ticks
NANOSECOND_NAMES = ("nano", "nanos", "nanosec", "nanosecond", "nanoseconds")

_SPACE = r"\s\u180e\u200b\ufeff"  # Kusto's white space is Unicode's and these
_NO_NAME = r"(?![A-Za-z0-9_])"
# the frequent ones first: a word that cannot be the beginning of anything else, and symbols
_PATTERNS = (
    (WORD, r"[A-Za-z_$][A-Za-z0-9_]*+(?![-(~\"'@`])"),
    (SYMBOL, r"\.\.|[=!]~|[=!<>]=|<>|=>|[-+*/%<>=|,;:.()\[\]{}]"),
    (
        STRING,
        r"""[hH]?(?:"[^"\\\r\n]*+(?:\\[^\r\n][^"\\\r\n]*+)*+" | '[^'\\\r\n]*+(?:\\[^\r\n][^'\\\r\n]*+)*+'
        | @"[^"\r\n]*+(?:""[^"\r\n]*+)*+" | @'[^'\r\n]*+(?:''[^'\r\n]*+)*+' | ```(?s:.*?)``` | ~~~(?s:.*?)~~~)""",
    ),
    (UNCLOSED, r"""[hH]?(?:@?["'][^\r\n]*+|(?:```|~~~)(?s:.*+))"""),
    # no value is nearly as long, and a bound keeps the time linear
    (TYPED, r"(?:bool|date|datetime|decimal|double|guid|int32|int64|int|long|real|timespan|time)\([^)\r\n]{0,200}+\)"),
    (
        WORD,
        rf"""(?:{_HYPHENATED}){_NO_NAME} | !?in~ | [A-Za-z_$][A-Za-z0-9_]*+
        | !(?:between|in|(?:contains|endswith|hasprefix|hassuffix|has|startswith)(?:_cs)?){_NO_NAME}""",
    ),
    (REAL, rf"[0-9]++(?:\.(?!\.(?!\.))[0-9]*+(?:[eE][-+]?[0-9]++)?|[eE][-+]?[0-9]++){_NO_NAME}"),
    (TIMESPAN, rf"[0-9]++(?:\.[0-9]++)?(?:{'|'.join((*TIMESPAN_TICKS, *NANOSECOND_NAMES))}){_NO_NAME}"),
    (LONG, rf"(?:0[xX][0-9a-fA-F]++|[0-9]++){_NO_NAME}"),
    (WORD, r"[0-9]++[A-Za-z_][A-Za-z0-9_]*+"),  # a name may begin with digits: `2xx`
    (DIRECTIVE, r"\#[^\r\n]*+"),
    (END, r"\Z"),
    (BAD, r"(?s:.)"),
)
_KINDS = ("", *(kind for kind, _ in _PATTERNS))
_TOKENS = re.compile(
    rf"[{_SPACE}]*+(?://[^\n\r\u2028\u2029]*+[{_SPACE}]*+)*+(?:{'|'.join(f'({pattern})' for _, pattern in _PATTERNS)})",
    re.VERBOSE,
)


class Tokens:
    """The tokens of a text, as columns; the last three are `END`, so that looking two tokens ahead needs no care.

    `symbols` holds the text of words and symbols, and '' for all others, so that a comparison with it never meets the inside of a string.
    """

    __slots__ = ("ends", "kinds", "starts", "symbols")

    def __init__(self, text: str) -> None:
        kinds: list[str] = []
        symbols: list[str] = []
        starts: list[int] = []
        ends: list[int] = []
        for match in _TOKENS.finditer(text):
            group = match.lastindex or 0
            kind = _KINDS[group]
            kinds.append(kind)
            start, end = match.span(group)
            starts.append(start)
            ends.append(end)
            symbols.append(text[start:end] if kind is WORD or kind is SYMBOL else "")
            if kind is END:
                break
        kinds += (END, END)
        symbols += ("", "")
        starts += (len(text), len(text))
        ends += (len(text), len(text))
        self.kinds, self.symbols, self.starts, self.ends = kinds, symbols, starts, ends
