"""`scan`: steps that rows are matched with."""

from __future__ import annotations

from forebay.telemetry.kql.syntax.nodes import Expression, Named, Scan, ScanStep, SortKey
from forebay.telemetry.kql.syntax.row_operators import RowOperatorReader
from forebay.telemetry.kql.types import KqlType


class ScanReader(RowOperatorReader):
    """Reads `scan`; its name was read before, and `start` is where it begins."""

    def scan(self, start: int) -> Scan:
        parameters = self.parameters("kind", "with_match_id", "with_step_name")
        order: tuple[SortKey, ...] = ()
        partition: tuple[Expression, ...] = ()
        if self.accept("order"):
            self.expect("by")
            order = self.sort_keys()
        if self.accept("partition"):
            self.expect("by")
            partition = self.expressions()
        declarations = self._declarations() if self.accept("declare") else ()
        self.expect("with")
        peak = self.open("(")
        steps = [self._step()]
        while not self.at(")"):
            steps.append(self._step())
        self.close(")", peak)
        return Scan(start, self.end(), declarations, tuple(steps), order, partition, parameters)

    def _declarations(self) -> tuple[tuple[str, KqlType, Expression | None], ...]:
        self.expect("(")
        declarations: list[tuple[str, KqlType, Expression | None]] = []
        while True:
            name = self.new_name()
            self.expect(":")
            kind = self.type_name()
            declarations.append((name, kind, self.constant() if self.accept("=") else None))
            if not self.accept(","):
                break
        self.expect(")")
        return tuple(declarations)

    def _step(self) -> ScanStep:
        start = self.start()
        self.expect("step")
        name = self.new_name()
        is_optional = self.accept("optional")
        output = "all"
        if self.accept("output"):
            self.expect("=")
            output = self.symbols[self.index]
            if output not in ("all", "last", "none"):
                raise self.failure("'all', 'last' or 'none'")
            self.index += 1
        self.expect(":")
        condition = self.expression()
        assignments: list[Named] = []
        if self.accept("=>"):
            assignments.append(self._assignment())
            while self.accept(","):
                assignments.append(self._assignment())
        self.expect(";")
        return ScanStep(start, self.end(), name, condition, tuple(assignments), is_optional, output)

    def _assignment(self) -> Named:
        start = self.start()
        name = self.new_name()
        self.expect("=")
        value = self.expression()
        return Named(start, self.end(), (name,), value)
