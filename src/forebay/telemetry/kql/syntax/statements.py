"""Statements: `let`, `set`, `declare query_parameters`, and queries."""

from __future__ import annotations

from contextlib import suppress

from forebay.telemetry.kql.syntax.lexer import DIRECTIVE, END, WORD
from forebay.telemetry.kql.syntax.nodes import (
    DeclareParameters,
    DeclarePattern,
    Expression,
    Lambda,
    LambdaParameter,
    Let,
    Name,
    PatternEntry,
    Program,
    QueryStatement,
    RestrictAccess,
    SetOption,
    Statement,
    UnsupportedStatement,
)
from forebay.telemetry.kql.syntax.reader import Failure
from forebay.telemetry.kql.syntax.sources import SourceReader


class StatementReader(SourceReader):
    """Reads programs."""

    def program(self) -> Program:
        """Read all statements; what is wrong is in `diagnostics`."""
        statements: list[Statement] = []
        while self.kinds[self.index] is not END:
            since = self.index
            try:
                statements.append(self._statement())
                if self.kinds[self.index] is not END and not self.accept(";"):
                    raise self.failure("'|', ';' or the end")
            except Failure as failure:
                self.resume(failure, since, 0)
                with suppress(Failure):  # a bracket without its end: all was skipped
                    self._skip_statement()
        if not statements and not self.diagnostics:
            self.diagnostics.append(self.failure("a query").diagnostic)
        return Program(0, len(self.text), tuple(statements))

    def _statement(self) -> Statement:
        start = self.start()
        word = self.symbols[self.index]
        following = self.index + 1
        if self._is_let():
            return self._let()
        if word == "set" and self.kinds[following] is WORD:
            return self._set()
        if word == "declare" and self.symbols[following] == "query_parameters":
            self.index += 2
            parameters = self._lambda_parameters()
            return DeclareParameters(start, self.end(), parameters)
        if word == "declare" and self.symbols[following] == "pattern":
            self.index += 2
            return self._pattern(start)
        if word == "restrict" and self.symbols[following] == "access":
            self.index += 2
            self.expect("to")
            tables = self.table_names()
            return RestrictAccess(start, self.end(), tables)
        if word == "alias" and self.symbols[following] == "database":
            while self.kinds[self.index] is not END and not self.at(";"):
                self.skip_nested()
            return UnsupportedStatement(start, self.end(), "alias database")
        if word == "." and self.kinds[following] is WORD:
            command = f".{self.symbols[following]}"
            raise self.failed(f"the control command '{command}' is not supported: only queries are", code="unsupported", construct=command)
        if self.kinds[self.index] is DIRECTIVE:
            raise self.failure("a statement")
        expression = self.pipeline()
        return QueryStatement(start, self.end(), expression)

    def _is_let(self) -> bool:
        following = self.index + 1
        return self.at("let") and (self.kinds[following] is WORD or self.symbols[following] == "[")

    def _let(self) -> Let:
        start = self.start()
        self.index += 1
        name = self.name()
        self.expect("=")
        value = self._lambda() if self._is_lambda() else self.pipeline()
        if self.at("{"):
            raise self.failure("'|', ';' or the end", "the parameters of a function have types: (x: long) { ... }")
        return Let(start, self.end(), name, value)

    def _set(self) -> SetOption:
        start = self.start()
        self.index += 1
        name = self.name()
        value: Expression | None = None
        if self.accept("="):
            index = self.index
            if self.is_name():
                option = self.name()
                value = Name(self.starts[index], self.end(), option)
            else:
                value = self.constant()
        return SetOption(start, self.end(), name, value)

    def _is_lambda(self) -> bool:
        """Whether `(a: long) {`, `() {` or `view (` comes."""
        index = self.index
        if self.symbols[index] == "view" and self.symbols[index + 1] == "(":
            return True
        if self.symbols[index] != "(":
            return False
        following = self.symbols[index + 1]
        return following == ")" or self.symbols[index + 2] == ":" or self.symbols[self.after_brackets(index + 1)] == ":"

    def _lambda(self) -> Lambda:
        start = self.start()
        is_view = self.accept("view")
        parameters = self._lambda_parameters()
        peak = self.open("{")
        lets: list[Let] = []
        while self._is_let():
            lets.append(self._let())
            self.expect(";")
        body = self.pipeline()
        self.accept(";")
        self.close("}", peak)
        return Lambda(start, self.end(), parameters, tuple(lets), body, is_view)

    def _lambda_parameters(self) -> tuple[LambdaParameter, ...]:
        self.expect("(")
        parameters: list[LambdaParameter] = []
        if not self.at(")"):
            parameters.append(self._lambda_parameter())
            while self.accept(","):
                parameters.append(self._lambda_parameter())
        self.expect(")")
        return tuple(parameters)

    def _lambda_parameter(self) -> LambdaParameter:
        start = self.start()
        name = self.new_name("a parameter")
        self.expect(":")
        if self.at("("):
            if self.symbols[self.index + 1] == "*" and self.symbols[self.index + 2] == ")":
                self.index += 3
                return LambdaParameter(start, self.end(), name, None, columns=(), is_open=True)
            columns = self.columns()
            return LambdaParameter(start, self.end(), name, None, columns=columns)
        kind = self.type_name()
        default = self.constant() if self.accept("=") else None
        return LambdaParameter(start, self.end(), name, kind, default)

    def _pattern(self, start: int) -> DeclarePattern:
        name = self.new_name("the name of a pattern")
        if not self.accept("="):
            return DeclarePattern(start, self.end(), name, ())
        count = len(self._lambda_parameters())
        has_path = self.accept("[")
        if has_path:
            self._lambda_parameter()
            self.expect("]")
        peak = self.open("{")
        entries: list[PatternEntry] = []
        while not self.at("}"):
            entries.append(self._pattern_entry(count, has_path))
            if not self.accept(";"):
                break
        self.close("}", peak)
        return DeclarePattern(start, self.end(), name, tuple(entries))

    def _pattern_entry(self, count: int, has_path: bool) -> PatternEntry:
        start = self.start()
        self.expect("(")
        arguments = [self.string()]
        while self.accept(","):
            arguments.append(self.string())
        self.expect(")")
        if len(arguments) != count:
            raise self.failed_since(start, f"expected {count} values, as the pattern has parameters, found {len(arguments)}")
        path = None
        if has_path:
            self.expect(".")
            self.expect("[")
            path = self.string()
            self.expect("]")
        self.expect("=")
        peak = self.open("{")
        body = self.pipeline()
        self.accept(";")
        self.close("}", peak)
        return PatternEntry(start, self.end(), tuple(arguments), path, body)

    def _skip_statement(self) -> None:
        """Skip what cannot be read, but look into the operators that follow: they may have errors of their own."""
        while self.kinds[self.index] is not END and not self.accept(";"):
            if self.accept("|"):
                self.operators()
            else:
                self.skip_nested()
