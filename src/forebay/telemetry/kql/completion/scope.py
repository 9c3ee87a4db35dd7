"""What can be named at the cursor: columns, and what `let` has named."""

from __future__ import annotations

from forebay.telemetry.kql.binding import bound
from forebay.telemetry.kql.binding.binder import Binder
from forebay.telemetry.kql.binding.environment import Environment, ScalarBinding, TableBinding
from forebay.telemetry.kql.completion.place import Place, operator_word
from forebay.telemetry.kql.errors import KqlError
from forebay.telemetry.kql.syntax import nodes
from forebay.telemetry.kql.syntax.parser import parse_tolerant
from forebay.telemetry.kql.types import Schema


class Scope:
    """The names at a place of a query."""

    def __init__(self, text: str, place: Place, schema: Schema) -> None:
        self._text = text
        self._place = place
        self._binder = Binder(schema)
        self._starts = place.tokens.starts
        self.environment = self._environment()

    def columns(self) -> tuple[bound.Column, ...]:
        """The columns that the operator at the cursor can use; none for a source."""
        found = self._source_of(self._place.number)
        return found.columns if found is not None else ()

    def right_columns(self) -> tuple[bound.Column, ...]:
        """The columns of `$right` in a join."""
        level = self._place.level
        symbols = self._place.tokens.symbols
        ends = [index for index in range(level.first, self._place.last + 1) if symbols[index] == "on"]
        if not ends:
            return ()
        begin = level.first + 1
        while symbols[begin + 1] == "=":
            begin += 3
        found = self._relation(self._text[self._starts[begin] : self._starts[ends[0]]])
        return found.columns if found is not None else ()

    def _source_of(self, number: int) -> bound.Relation | None:
        """What comes into the operator at the cursor."""
        level = self._place.levels[number]
        start = self._starts[level.statement]
        written = self._text[start : self._starts[level.bar]] if level.bar >= 0 else ""
        if level.holds == "operators":
            source = self._source_of(self._place.levels[number - 1].owner)
            expanded = self._expansion(number) if source is not None else ""
            operators = " | ".join(part for part in (expanded, written) if part)
            return self._piped(source, f"T | {operators}") if source is not None and operators else source
        if level.bar < 0:
            return None
        return self._relation(written)

    def _expansion(self, number: int) -> str:
        """`mv-apply x to typeof(long)` as the `mv-expand` that its body sees; '' for partition."""
        around = self._place.levels[self._place.levels[number - 1].owner]
        if operator_word(self._place.tokens, around) != "mv-apply":
            return ""
        written = self._text[self._starts[around.first + 1] : self._starts[self._place.levels[number].opening - 1]]
        return f"mv-expand {written}"

    def _relation(self, text: str) -> bound.Relation | None:
        """What a pipeline answers, without its operators that are wrong."""
        program, _ = parse_tolerant(text)
        if not program.statements:
            return None
        statement = program.statements[-1]
        expression = statement.value if isinstance(statement, nodes.Let) else getattr(statement, "expression", None)
        if not isinstance(expression, nodes.Expression):
            return None
        source = expression.source if isinstance(expression, nodes.Pipeline) else expression
        try:
            relation = self._binder.relation(source, self.environment)
        except KqlError:
            return None
        return self._through(relation, expression)

    def _piped(self, relation: bound.Relation, text: str) -> bound.Relation:
        statement = parse_tolerant(text)[0].statements[0]
        assert isinstance(statement, nodes.QueryStatement), "it begins with a name"
        return self._through(relation, statement.expression)

    def _through(self, relation: bound.Relation, expression: nodes.Expression) -> bound.Relation:
        for operator in expression.operators if isinstance(expression, nodes.Pipeline) else ():
            try:
                relation = self._binder.pipe(relation, (operator,), self.environment)
            except KqlError:
                continue
        return relation

    def _environment(self) -> Environment:
        """What was named before the cursor, in the text and in the functions around it."""
        environment = Environment()
        for level in self._place.levels:
            if level.opening >= 0 and level.holds == "statements":
                self._define_parameters(level.opening, environment)
            for start, end in level.statements:
                for statement in parse_tolerant(self._text[start:end])[0].statements:
                    self._define(statement, environment)
        return environment

    def _define(self, statement: nodes.Statement, environment: Environment) -> None:
        try:
            if isinstance(statement, nodes.Let):
                self._binder.define(statement, environment)
            elif isinstance(statement, nodes.DeclareParameters):
                self._set_parameters(statement.parameters, environment)
        except KqlError:
            pass  # the diagnostics say it

    def _define_parameters(self, opening: int, environment: Environment) -> None:
        """The parameters of the function whose body begins at the token `opening`."""
        symbols = self._place.tokens.symbols
        begin = next((index for index in range(opening, -1, -1) if symbols[index] == "let"), None)
        if begin is None:
            return
        program, _ = parse_tolerant(self._text[self._starts[begin] : self._starts[opening]] + "{ 1 }")
        for statement in program.statements:
            if isinstance(statement, nodes.Let) and isinstance(statement.value, nodes.Lambda):
                self._set_parameters(statement.value.parameters, environment)

    def _set_parameters(self, parameters: tuple[nodes.LambdaParameter, ...], environment: Environment) -> None:
        for parameter in parameters:
            if parameter.columns is None:
                environment.set(parameter.name, ScalarBinding(bound.Constant(parameter.type or "string", None)))
            else:
                columns = tuple(self._binder.column(name, kind) for name, kind in parameter.columns)
                environment.set(parameter.name, TableBinding(parameter.name, bound.Rows(columns, ()), False))
