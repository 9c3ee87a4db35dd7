"""Where rows come from: `datatable`, `externaldata`, `print`, `range`, `find`; and the parameters that operators have."""

from __future__ import annotations

from forebay.telemetry.kql.syntax.expressions import ExpressionReader
from forebay.telemetry.kql.syntax.lexer import END, STRING, SYMBOL, WORD
from forebay.telemetry.kql.syntax.nodes import (
    Datatable,
    Expression,
    ExternalData,
    Find,
    Member,
    Name,
    Parameter,
    Print,
    Range,
    Wildcard,
)


class SourceReader(ExpressionReader):
    """Reads sources."""

    def parameters(self, *names: str) -> tuple[Parameter, ...]:
        """Read `kind=inner hint.strategy=shuffle`: the names that are given, and hints."""
        parameters: list[Parameter] = []
        while True:
            index = self.index
            word = self.symbols[index]
            if word == "hint" and self.symbols[index + 1] == "." and self.kinds[index + 2] is WORD:
                word = f"hint.{self.symbols[index + 2]}"
                self.index += 3
            elif word in names and self.symbols[index + 1] == "=":
                self.index += 1
            else:
                return tuple(parameters)
            self.expect("=")
            value = self.parameter_value()
            parameters.append(Parameter(self.starts[index], self.end(), word, value))

    def parameter_value(self) -> str:
        """Read the value of a parameter: a word, a number or a text."""
        if self.kinds[self.index] is STRING:
            return self.string()
        if self.symbols[self.index] == "[":
            return self.name()
        if self.kinds[self.index] in (SYMBOL, END):
            raise self.failure("a value")
        self.index += 1
        return self.text[self.starts[self.index - 1] : self.end()]

    def wildcard_name(self, expected: str = "a column, or a pattern such as abc*") -> Name | Wildcard:
        """Read a name or a pattern with stars."""
        start = self.start()
        if self.at("*") or (self.symbols[self.index + 1] == "*" and self.starts[self.index + 1] == self.ends[self.index]):
            self.index += 1
            while self.starts[self.index] == self.ends[self.index - 1] and (
                self.at("*") or self.kinds[self.index] not in (SYMBOL, STRING, END)
            ):
                self.index += 1
            return Wildcard(start, self.end(), self.text[start : self.end()])
        name = self.name(expected=expected)
        return Name(start, self.end(), name)

    def datatable(self) -> Datatable:
        """Read `datatable(a: string) ['x']`."""
        start = self.start()
        self.index += 1
        columns = self.columns()
        peak = self.open("[")
        values: list[Expression] = []
        while not self.at("]"):
            values.append(self.constant())
            if not self.accept(","):
                break
        self.close("]", peak)
        if values and (not columns or len(values) % len(columns)):
            raise self.failed_since(start, f"expected values for {len(columns)} columns in each row, found {len(values)} values")
        return Datatable(start, self.end(), columns, tuple(values))

    def external_data(self) -> ExternalData:
        """Read `externaldata(a: string) ['...'] with (...)`."""
        start = self.start()
        self.index += 1
        self.parameters()
        self.columns()
        self.expect("[")
        self.string()
        while self.accept(",") and not self.at("]"):
            self.string()
        self.expect("]")
        if self.accept("with"):
            if not self.at("("):
                raise self.failure("'('")
            self.skip_nested()
        return ExternalData(start, self.end())

    def print_source(self) -> Print:
        """Read `print a = 1, 2`."""
        start = self.start()
        self.index += 1
        outputs = self.named_list()
        return Print(start, self.end(), outputs)

    def range_source(self) -> Range:
        """Read `range x from 1 to 3 step 1`."""
        start = self.start()
        self.index += 1
        name = self.name()
        self.expect("from")
        first = self.expression()
        self.expect("to")
        last = self.expression()
        self.expect("step")
        step = self.expression()
        return Range(start, self.end(), name, first, last, step)

    def find(self) -> Find:
        """Read `find in (a, b) where predicate project x`."""
        start = self.start()
        self.index += 1
        parameters = self.parameters("withsource", "with_source")
        tables: tuple[Expression, ...] = ()
        if self.accept("in"):
            tables = self.table_names()
            self.expect("where")
        else:
            self.accept("where")
        predicate = self.searched_expression()
        outputs: list[Expression] = []
        if not self.accept("project-smart") and self.accept("project"):
            outputs.append(self._find_output())
            while self.accept(","):
                outputs.append(self._find_output())
        return Find(start, self.end(), predicate, tables, tuple(outputs), parameters)

    def table_names(self) -> tuple[Expression, ...]:
        """Read `(a, b*, database('d').c)`."""
        peak = self.open("(")
        tables = [self.table_name()]
        while self.accept(","):
            tables.append(self.table_name())
        self.close(")", peak)
        return tuple(tables)

    def table_name(self) -> Expression:
        """Read a table, or a pattern for tables."""
        if self.symbols[self.index + 1] in (".", "("):
            return self.path()
        return self.wildcard_name("a table, or a pattern such as abc*")

    def searched_expression(self) -> Expression:
        """Read a predicate in which `column: term` may stand."""
        was_searching, self.is_searching = self.is_searching, True
        try:
            return self.expression()
        finally:
            self.is_searching = was_searching

    def skip_nested(self) -> None:
        """Read over one token, and if it opens a bracket over all to the end of it."""
        opened = 0
        while True:
            symbol = self.symbols[self.index]
            if symbol in ("(", "[", "{"):
                opened += 1
            elif symbol in (")", "]", "}"):
                opened -= 1
            elif self.kinds[self.index] is END:
                raise self.failure("a closing bracket")
            self.index += 1
            if opened <= 0:
                return

    def _find_output(self) -> Expression:
        start = self.start()
        if self.at("pack") and self.symbols[self.index + 1] == "(":
            return self.path()
        name = self.new_name("a column")
        if self.accept(":"):
            node = Name(start, self.end(), name)
            return Member(start, self.ends[self.index], node, self.type_name())
        return Name(start, self.end(), name)
