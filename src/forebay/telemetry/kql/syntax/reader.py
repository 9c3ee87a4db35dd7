"""Reads tokens one after the other, and says what is wrong with them."""

from __future__ import annotations

import re

from forebay.telemetry.kql.errors import Code, Diagnostic
from forebay.telemetry.kql.syntax.lexer import BAD, DIRECTIVE, END, STRING, TYPED, UNCLOSED, WORD, Tokens
from forebay.telemetry.kql.syntax.literals import LiteralError, string_value
from forebay.telemetry.kql.syntax.nodes import Expression, Operator
from forebay.telemetry.kql.syntax.words import NOT_FOR_DEFINITIONS, NOT_FOR_REFERENCES
from forebay.telemetry.kql.types import TYPE_NAMES, KqlType

MAX_DEPTH = 100  # of brackets, and of the tree: what comes after may recurse over it
MAX_DIAGNOSTICS = 20
_HINTS = {
    "&": "a logical and is written 'and'",
    "!": "what is negated is written not(...), and a few operators have a form with '!', such as !has and !in",
    "?": "a choice is written iff(condition, a, b)",
}
_OPENING = frozenset("([{")


_PLACEHOLDER = r"\{[A-Za-z_]\w*(?::[A-Za-z_$][\w.]*)?\}"  # of Azure's workbooks, which put values there before they ask


class Failure(Exception):
    """Ends the reading of a part; caught where reading can go on."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__(diagnostic.message)
        self.diagnostic = diagnostic


class Reader:
    """A position in the tokens of a text, and what was found to be wrong so far."""

    def __init__(self, text: str) -> None:
        self.text = text
        tokens = Tokens(text)
        self.kinds, self.symbols, self.starts, self.ends = tokens.kinds, tokens.symbols, tokens.starts, tokens.ends
        self.index = 0
        self.diagnostics: list[Diagnostic] = []
        self.resumed_at = -1  # where reading went on after an error: no second one is reported there
        self.depth = 0  # of open brackets, operators and right operands: each takes a few frames of Python's stack
        self.height = 0  # of the tree of the expression that was read last
        self.peak = 0  # the highest in the bracket that is being read

    # what the parts of the grammar need of each other

    def expression(self, minimum: int = 0) -> Expression:
        """A value."""
        raise NotImplementedError

    def pipeline(self) -> Expression:
        """A value, a table, or a table and operators."""
        raise NotImplementedError

    def operators(self) -> tuple[Operator, ...]:
        """Operators with a bar between them."""
        raise NotImplementedError

    # tokens

    def at(self, symbol: str) -> bool:
        """Whether a word or symbol comes next."""
        return self.symbols[self.index] == symbol

    def accept(self, symbol: str) -> bool:
        """Read a word or symbol if it comes next."""
        if self.symbols[self.index] == symbol:
            self.index += 1
            return True
        return False

    def expect(self, symbol: str) -> None:
        """Read a word or symbol; Failure if something else comes."""
        if self.symbols[self.index] != symbol:
            raise self.failure(f"'{symbol}'")
        self.index += 1

    def start(self) -> int:
        """Where in the text the next token begins."""
        return self.starts[self.index]

    def end(self) -> int:
        """Where in the text the last token ended."""
        return self.ends[self.index - 1]

    def token(self) -> str:
        """The next token as written."""
        return self.text[self.starts[self.index] : self.ends[self.index]]

    def open(self, symbol: str) -> int:
        """Read an opening bracket. Returns what `close` must be given."""
        self.expect(symbol)
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.too_deep()
        peak, self.peak = self.peak, 0
        return peak

    def close(self, symbol: str, peak: int) -> None:
        """Read the closing bracket of what `open` began."""
        self.expect(symbol)
        self.depth -= 1
        self.height = self.peak + 1
        self.peak = max(peak, self.height)
        if self.height > MAX_DEPTH:
            raise self.too_deep()

    # names

    def is_name(self, excluded: frozenset[str] = NOT_FOR_REFERENCES) -> bool:
        """Whether a name comes next."""
        if self.kinds[self.index] is WORD:
            return self.symbols[self.index] not in excluded
        return self.after_brackets(self.index) > 0

    def name(self, excluded: frozenset[str] = NOT_FOR_REFERENCES, expected: str = "a name") -> str:
        """Read a name, which may be `['in brackets']`."""
        index = self.index
        if self.kinds[index] is WORD:
            word = self.symbols[index]
            if word in excluded:
                raise self.failure(expected, f"'{word}' is a word of the language; as a name it is ['{word}']")
            self.index = index + 1
            return word
        if self.after_brackets(index) > 0:
            self.index = index + 1
            name = self.string()
            while not self.accept("]"):
                name += self.string()
            return name
        raise self.failure(expected)

    def after_brackets(self, index: int) -> int:
        """The index of the token after a name in brackets, `['a name']`; -1, which is `END`, if there is none at `index`."""
        if self.symbols[index] != "[" or self.kinds[index + 1] is not STRING:
            return -1
        index += 1
        while self.kinds[index] is STRING:
            index += 1
        return index + 1 if self.symbols[index] == "]" else -1

    def new_name(self, expected: str = "a name") -> str:
        """Read a name that something is given."""
        return self.name(NOT_FOR_DEFINITIONS, expected)

    def type_name(self) -> KqlType:
        """Read the name of a type."""
        kind = TYPE_NAMES.get(self.symbols[self.index])
        if kind is None:
            raise self.failure("a type", "the types are bool, int, long, real, decimal, datetime, timespan, string, guid and dynamic")
        self.index += 1
        return kind

    def string(self) -> str:
        """Read one string token."""
        if self.kinds[self.index] is not STRING:
            raise self.failure("a text in quotes")
        try:
            value = string_value(self.token())
        except LiteralError as error:
            raise self.wrong_constant(error) from None
        self.index += 1
        return value

    def columns(self) -> tuple[tuple[str, KqlType], ...]:
        """Read `(a: long, b: string)`."""
        self.expect("(")
        columns: list[tuple[str, KqlType]] = []
        while not self.at(")"):
            name = self.new_name("a column")
            self.expect(":")
            columns.append((name, self.type_name()))
            if not self.accept(","):
                break
        self.expect(")")
        return tuple(columns)

    # errors

    def failure(self, expected: str, hint: str = "") -> Failure:
        """That something else was expected than what comes next."""
        kind = self.kinds[self.index]
        if kind is UNCLOSED:
            return self.failed("this text has no closing quote" if self.text[self.end_of_prefix()] in "'\"" else "this text has no end")
        if kind is BAD:
            return self.failed(f"unexpected character '{self.token()}'", _HINTS.get(self.token(), ""))
        if kind is DIRECTIVE:
            name = self.token().split(maxsplit=1)[0]
            return self.failed(f"the directive '{name}' is not supported", code="unsupported", construct=name)
        placeholder = re.compile(_PLACEHOLDER).match(self.text, self.starts[self.index])
        if placeholder:
            return Failure(
                Diagnostic("syntax", f"'{placeholder[0]}' is a parameter of a workbook", *placeholder.span(), "put its value there")
            )
        found = "the end" if kind is END else f"'{_shortened(self.token())}'"
        return self.failed(f"expected {expected}, found {found}", hint)

    def end_of_prefix(self) -> int:
        """Where the quotes of a string token begin."""
        start = self.starts[self.index]
        while self.text[start] in "hH@":
            start += 1
        return start

    def failed(self, message: str, hint: str = "", *, code: Code = "syntax", construct: str = "") -> Failure:
        """An error at the next token."""
        return Failure(Diagnostic(code, message, self.starts[self.index], self.ends[self.index], hint, construct))

    def failed_since(self, start: int, message: str, hint: str = "", *, code: Code = "syntax", construct: str = "") -> Failure:
        """An error from an offset to the end of the last token."""
        return Failure(Diagnostic(code, message, start, max(start, self.end()), hint, construct))

    def is_placeholder(self) -> bool:
        """Whether a parameter of a workbook comes next."""
        return re.compile(_PLACEHOLDER).match(self.text, self.start()) is not None

    def wrong_constant(self, error: LiteralError) -> Failure:
        """That the next token is a constant that says no value."""
        placeholder = re.search(_PLACEHOLDER, self.token())
        if placeholder and self.kinds[self.index] is TYPED:
            return self.failed(f"'{placeholder[0]}' is a parameter of a workbook", "put its value there")
        return self.failed(str(error))

    def too_deep(self) -> Failure:
        """That the query is nested too deeply; nothing more is read."""
        failure = self.failed(f"the query is nested more than {MAX_DEPTH} deep", "split it with let", code="too_complex")
        self.index = len(self.kinds) - 3
        return failure

    def resume(self, failure: Failure, since: int, depth: int) -> None:
        """Note what is wrong, and skip to the next bar, semicolon or closing bracket at the depth of the token `since`."""
        if self.index != self.resumed_at:
            self.diagnostics.append(failure.diagnostic)
        failed_at = self.index
        if len(self.diagnostics) >= MAX_DIAGNOSTICS:
            failed_at = len(self.kinds) - 3
        self.depth = depth
        self.index = self.resumed_at = self._end_of_part(since, failed_at)

    def _end_of_part(self, index: int, failed_at: int) -> int:
        if self.symbols[failed_at] == "|" or self.kinds[failed_at] is END:
            return failed_at
        round_depth = curly_depth = 0
        while self.kinds[index] is not END:
            symbol = self.symbols[index]
            if symbol == "{":
                curly_depth += 1
            elif symbol == "}":
                curly_depth -= 1
            elif symbol in _OPENING:
                round_depth += 1
            elif symbol and symbol in ")]":
                round_depth -= 1
            if index >= failed_at and (
                curly_depth < 0
                or (round_depth < 0 and not curly_depth)
                or (symbol == ";" and not curly_depth)
                or (symbol == "|" and not curly_depth and not round_depth)
            ):
                return index
            index += 1
        return index


def _shortened(text: str) -> str:
    line = text.split("\n", 1)[0]
    return line if len(line) <= 40 else line[:37] + "..."
