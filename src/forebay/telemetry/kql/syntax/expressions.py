"""Values: constants, names, calls and what stands between them.

The powers of the operators follow Kusto's own grammar: https://github.com/microsoft/Kusto-Query-Language/blob/master/grammar/Kql.g4
"""

from __future__ import annotations

from forebay.telemetry.kql.syntax.constants import ConstantReader
from forebay.telemetry.kql.syntax.lexer import LONG, REAL, STRING, TIMESPAN, TYPED, WORD
from forebay.telemetry.kql.syntax.nodes import (
    Between,
    Binary,
    Call,
    Expression,
    In,
    Index,
    Member,
    Name,
    Named,
    SearchTerm,
    Unary,
    Wildcard,
)
from forebay.telemetry.kql.syntax.reader import MAX_DEPTH
from forebay.telemetry.kql.syntax.words import NOT_FOR_DEFINITIONS, NOT_FOR_REFERENCES

_OR, _AND, _EQUALITY, _RELATION, _SUM, _PRODUCT, _TEXT = range(1, 8)
_LIST_OPERATORS = frozenset("in !in in~ !in~ has_any has_all".split())
_POWERS = {
    "or": _OR,
    "and": _AND,
    **dict.fromkeys(("==", "!=", "<>", "between", "!between", *_LIST_OPERATORS), _EQUALITY),
    **dict.fromkeys(("<", ">", "<=", ">="), _RELATION),
    **dict.fromkeys("+-", _SUM),
    **dict.fromkeys("*/%", _PRODUCT),
    **dict.fromkeys(
        "=~ !~ has !has has_cs !has_cs hasprefix !hasprefix hasprefix_cs !hasprefix_cs hassuffix !hassuffix hassuffix_cs "
        "!hassuffix_cs contains !contains contains_cs !contains_cs startswith !startswith startswith_cs !startswith_cs endswith "
        "!endswith endswith_cs !endswith_cs like notlike likecs notlikecs notcontains containscs notcontainscs matches".split(),
        _TEXT,
    ),
}
_SINGLE = frozenset((_EQUALITY, _RELATION, _TEXT))  # `a == b == c` says nothing
_BALANCED_FROM = 16  # terms of `and` or `or`: then a tree of their logarithm's height, so that a thousand terms are no depth
_NUMBERS = frozenset((LONG, REAL, TIMESPAN))
_SCALARS = frozenset((STRING, LONG, REAL, TIMESPAN, TYPED))
_SPECIAL_CALLS = frozenset(("column_names_of", "dynamic", "typeof", "toscalar", "totable", "materialize"))
_BOOLEANS = frozenset(("true", "false", "True", "False", "TRUE", "FALSE"))


class ExpressionReader(ConstantReader):
    """Reads expressions."""

    is_searching = False  # inside the predicate of `search` or `find`: `column: term` is an expression there

    def expression(self, minimum: int = 0) -> Expression:
        """Read what binds more tightly than `minimum`."""
        start = self.starts[self.index]
        sign = self.symbols[self.index]
        node = self._signed(sign) if sign in ("-", "+") else self.path()
        ceiling = _TEXT + 1
        while True:
            symbol = self.symbols[self.index]
            power = _POWERS.get(symbol, 0)
            if power <= minimum:
                if symbol != ":" or not self.is_searching or not isinstance(node, Name):
                    break
                node = self._search_term(node)
            elif power >= ceiling:
                raise self.failure("'and', 'or' or an end", "comparisons cannot be chained: use 'and' or brackets")
            elif power <= _AND:
                node = self._chain(start, node, symbol, power)
            else:
                node = self._comparison(start, node, symbol, power)
                if power in _SINGLE:
                    ceiling = power
        self.peak = max(self.peak, self.height)
        return node

    def named(self) -> Expression:
        """Read `name = value`, `(a, b) = value` or a value."""
        index = self.index
        if self.symbols[index + 1] == "=" or self.symbols[self.after_brackets(index)] == "=":
            name = self.new_name()
            self.index += 1
            value = self.expression()
            return Named(self.starts[index], self.end(), (name,), value)
        if self.symbols[index] == "(" and self._is_name_list(index + 1):
            return self._named_list()
        return self.expression()

    def named_list(self) -> tuple[Expression, ...]:
        """Read one or more, with commas."""
        nodes = [self.named()]
        while self.accept(","):
            nodes.append(self.named())
        return tuple(nodes)

    def expressions(self) -> tuple[Expression, ...]:
        """Read one or more values without names, with commas."""
        nodes = [self.expression()]
        while self.accept(","):
            nodes.append(self.expression())
        return tuple(nodes)

    def arguments(self) -> tuple[Expression, ...]:
        """Read `(a, name = b, *)`."""
        peak = self.open("(")
        nodes: list[Expression] = []
        while not (self.at(")") and not nodes):
            index = self.index
            if self.symbols[index + 1] == "=":
                name = self.new_name("the name of a parameter")
                self.index += 1
                value = self.expression()
                nodes.append(Named(self.starts[index], self.end(), (name,), value))
            elif self.symbols[index] == "*" and self.symbols[index + 1] in (",", ")"):
                self.index = index + 1
                nodes.append(Wildcard(self.starts[index], self.ends[index], "*"))
            else:
                nodes.append(self.expression())
            if not self.accept(","):
                break
        self.close(")", peak)
        return tuple(nodes)

    def call(self) -> Call:
        """Read `f(a)`, which may have `database('d').` before it."""
        start = self.start()
        node = self.path()
        if not isinstance(node, Call):
            raise self.failed_since(start, f"expected a call such as f(x), found '{self.text[start : self.end()]}'")
        return node

    def path(self) -> Expression:
        """Read a name, a constant, a call or brackets, and what is taken from it with `.b`, `[0]` and `.f()`."""
        start = self.starts[self.index]
        node = self._primary()
        while True:
            symbol = self.symbols[self.index]
            if symbol == ".":
                self.index += 1
                if self.symbols[self.index] == "[":
                    node = self._index(start, node)
                else:
                    name = self.name(expected="a name after the dot")
                    if self.symbols[self.index] == "(":
                        height = self.height
                        node = Call(start, 0, name, self.arguments(), node)
                        node = Call(start, self.end(), name, node.arguments, node.object)
                        self.height = max(height, self.height)
                    else:
                        node = Member(start, self.end(), node, name)
            elif symbol == "[":
                node = self._index(start, node)
            else:
                return node
            self.height += 1
            if self.height > MAX_DEPTH:
                raise self.too_deep()

    def _signed(self, sign: str) -> Expression:
        """`-x`; a number with a sign is a constant, for -9223372036854775808 has no other form."""
        index = self.index
        self.index = index + 1
        if self.kinds[index + 1] in _NUMBERS and self.symbols[index + 2] not in (".", "["):
            return self.scalar(index, sign)
        self.depth += 1
        operand = self.path()
        self.depth -= 1
        self.height += 1
        return Unary(self.starts[index], self.end(), sign, operand)

    def _primary(self) -> Expression:
        index = self.index
        kind = self.kinds[index]
        if kind is WORD:
            word = self.symbols[index]
            if self.symbols[index + 1] == "(":
                if word in _SPECIAL_CALLS:
                    return self._special_call(word)
                self.name(expected="an expression")
                arguments = self.arguments()
                return Call(self.starts[index], self.end(), word, arguments)
            if word in _BOOLEANS:
                return self.boolean()
            if word in NOT_FOR_REFERENCES:
                raise self.failure("an expression", f"'{word}' is a word of the language; as a name it is ['{word}']")
            self.index = index + 1
            self.height = 0
            return Name(self.starts[index], self.ends[index], word)
        if kind in _SCALARS:
            if kind is TYPED and self.token() in ("datetime()", "date()"):  # the time of the query
                self.index = index + 1
                self.height = 0
                return Call(self.starts[index], self.ends[index], "now", ())
            return self.scalar(index)
        symbol = self.symbols[index]
        if symbol == "(":
            peak = self.open("(")
            node = self.pipeline()
            self.close(")", peak)
            return node
        if symbol == "[":
            name = self.name(expected="a name in quotes")
            self.height = 0
            return Name(self.starts[index], self.end(), name)
        if symbol == "*" and _POWERS.get(self.symbols[index + 1]) in (_EQUALITY, _TEXT):
            self.index = index + 1
            self.height = 0
            return Wildcard(self.starts[index], self.ends[index], "*")
        raise self.failure("an expression")

    def _special_call(self, name: str) -> Expression:
        if name == "dynamic":
            return self.dynamic()
        if name == "typeof":
            return self.type_of()
        start = self.start()
        self.index += 1
        peak = self.open("(")
        argument = self.pipeline()
        self.close(")", peak)
        return Call(start, self.end(), name, (argument,))

    def _index(self, start: int, node: Expression) -> Index:
        height = self.height
        peak = self.open("[")
        index = self.expression()
        self.close("]", peak)
        self.height = max(height, self.height)
        return Index(start, self.end(), node, index)

    def _comparison(self, start: int, left: Expression, operator: str, power: int) -> Expression:
        height = self.height
        self.index += 1
        self.depth += 1
        node: Expression
        if operator in _LIST_OPERATORS:
            items = self._items()
            node = In(start, self.end(), operator, left, items)
        elif operator in ("between", "!between"):
            peak = self.open("(")
            low = self.expression()
            self.expect("..")
            high = self.expression()
            self.close(")", peak)
            node = Between(start, self.end(), left, low, high, operator == "!between")
        else:
            if operator == "matches":
                self.expect("regex")
                operator = "matches regex"
            right = self.expression(power)
            node = Binary(start, self.end(), "!=" if operator == "<>" else operator, left, right)
        self.depth -= 1
        self.height = max(height, self.height) + 1
        if self.height > MAX_DEPTH:
            raise self.too_deep()
        return node

    def _items(self) -> tuple[Expression, ...]:
        """`(a, b)` or `(table | ...)`."""
        peak = self.open("(")
        items = [self.pipeline()]
        while self.accept(","):
            items.append(self.expression())
        self.close(")", peak)
        return tuple(items)

    def _chain(self, start: int, first: Expression, operator: str, power: int) -> Expression:
        """`a and b and c`."""
        terms = [(start, first, self.end())]
        height = self.height
        self.depth += 1
        while self.accept(operator):
            start = self.start()
            terms.append((start, self.expression(power), self.end()))
            height = max(height, self.height)
        self.depth -= 1
        if len(terms) >= _BALANCED_FROM:
            self.height = height + len(terms).bit_length()
            return _balanced(operator, terms)
        start, node, _ = terms[0]
        for _, term, end in terms[1:]:
            node = Binary(start, end, operator, node, term)
        self.height = height + len(terms) - 1
        return node

    def _search_term(self, column: Name) -> SearchTerm:
        self.index += 1
        term = self.path()
        self.height += 1
        return SearchTerm(column.start, self.end(), column.name, term)

    def _is_name_list(self, index: int) -> bool:
        """Whether `a, b) =` comes at the token `index`."""
        while self.kinds[index] is WORD and self.symbols[index] not in NOT_FOR_DEFINITIONS:
            index += 1
            if self.symbols[index] == ")":
                return self.symbols[index + 1] == "="
            if self.symbols[index] != ",":
                return False
            index += 1
        return False

    def _named_list(self) -> Named:
        start = self.start()
        self.index += 1
        names = [self.new_name()]
        while self.accept(","):
            names.append(self.new_name())
        self.expect(")")
        self.expect("=")
        value = self.expression()
        return Named(start, self.end(), tuple(names), value, is_list=True)


def _balanced(operator: str, terms: list[tuple[int, Expression, int]]) -> Expression:
    while len(terms) > 1:
        pairs: list[tuple[int, Expression, int]] = [
            (start, Binary(start, end, operator, left, right), end)
            for (start, left, _), (_, right, end) in zip(terms[::2], terms[1::2], strict=False)
        ]
        terms = [*pairs, *terms[len(pairs) * 2 :]]
    return terms[0][1]
