"""Operators that take texts apart: `parse`, `parse-where`, `parse-kv`."""

from __future__ import annotations

from forebay.telemetry.kql.syntax.lexer import STRING
from forebay.telemetry.kql.syntax.nodes import Expression, Parse, ParseKv, ParsePart
from forebay.telemetry.kql.syntax.sources import SourceReader
from forebay.telemetry.kql.syntax.words import NOT_FOR_DEFINITIONS
from forebay.telemetry.kql.types import KqlType


class PatternReader(SourceReader):
    """Reads operators; their names were read before, and `start` is where these begin."""

    def parse(self, start: int) -> Parse:
        return self._parse(start, is_where=False)

    def parse_where(self, start: int) -> Parse:
        return self._parse(start, is_where=True)

    def parse_kv(self, start: int) -> ParseKv:
        expression = self.expression()
        self.expect("as")
        columns = self.columns()
        settings: tuple[Expression, ...] = ()
        if self.accept("with"):
            settings = self.arguments()
        return ParseKv(start, self.end(), expression, columns, settings)

    def _parse(self, start: int, *, is_where: bool) -> Parse:
        parameters = self.parameters("kind", "flags")
        expression = self.expression()
        self.expect("with")
        parts: list[ParsePart] = []
        while (part := self._part()) is not None:
            parts.append(part)
        if not parts:
            raise self.failure("a pattern: texts in quotes, columns and *")
        return Parse(start, self.end(), expression, tuple(parts), is_where, parameters)

    def _part(self) -> ParsePart | None:
        start = self.start()
        if self.accept("*"):
            return ParsePart(start, self.end())
        if self.kinds[self.index] is STRING:
            literal = self.string()
            while self.kinds[self.index] is STRING:
                literal += self.string()
            return ParsePart(start, self.end(), literal=literal)
        if not self.is_name(NOT_FOR_DEFINITIONS):
            return None
        name = self.new_name()
        kind: KqlType = self.type_name() if self.accept(":") else "string"
        return ParsePart(start, self.end(), name=name, type=kind)
