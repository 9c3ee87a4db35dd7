"""Operators that bring tables together or hand them to others: `join`, `union`, `search`, `evaluate`, `partition`, ..."""

from __future__ import annotations

from forebay.telemetry.kql.syntax.lexer import END
from forebay.telemetry.kql.syntax.nodes import (
    As,
    Binary,
    Call,
    Evaluate,
    EvaluateSource,
    Expression,
    Invoke,
    Join,
    Literal,
    Lookup,
    Member,
    Name,
    Partition,
    Pipeline,
    Search,
    SearchSource,
    SearchTerm,
    Union,
    UnionSource,
    Wildcard,
)
from forebay.telemetry.kql.syntax.row_operators import RowOperatorReader

_AFTER_STAR = frozenset(("and", "|", ";", ")", "}"))  # else it is compared: `search * has 'x'`


class TableOperatorReader(RowOperatorReader):
    """Reads operators; their names were read before, and `start` is where these begin."""

    def join(self, start: int) -> Join:
        parameters = self.parameters("kind", "withsource")
        right = self.path()
        conditions = self.expressions() if self.accept("on") else ()
        return Join(start, self.end(), right, conditions, parameters)

    def lookup(self, start: int) -> Lookup:
        parameters = self.parameters("kind")
        right = self.path()
        self.expect("on")
        conditions = self.expressions()
        return Lookup(start, self.end(), right, conditions, parameters)

    def union(self, start: int) -> Union:
        parameters = self.parameters("kind", "withsource", "with_source", "isfuzzy")
        tables = [self._union_table()]
        while self.accept(","):
            tables.append(self._union_table())
        return Union(start, self.end(), tuple(tables), parameters)

    def union_source(self) -> UnionSource:
        """Read a `union` that begins a query."""
        start = self.start()
        self.index += 1
        union = self.union(start)
        return UnionSource(start, union.end, union)

    def search(self, start: int) -> Search:
        parameters = self.parameters("kind")
        tables = self.table_names() if self.accept("in") else ()
        if self.at("*") and (self.symbols[self.index + 1] in _AFTER_STAR or self.kinds[self.index + 1] is END):
            self.index += 1
            predicate: Expression = Wildcard(self.starts[self.index - 1], self.end(), "*")
            if self.accept("and"):
                predicate = _with_terms(self.searched_expression())
        else:
            predicate = _with_terms(self.searched_expression())
        return Search(start, self.end(), predicate, tables, parameters)

    def search_source(self) -> SearchSource:
        """Read a `search` that begins a query."""
        start = self.start()
        self.index += 1
        search = self.search(start)
        return SearchSource(start, search.end, search)

    def evaluate(self, start: int) -> Evaluate:
        parameters = self.parameters()
        plugin = self.name(expected="the name of a plugin")
        arguments = self.arguments()
        schema = None
        if self.accept(":"):
            self.expect("(")
            schema = self.open_columns()
        return Evaluate(start, self.end(), plugin, arguments, schema, parameters)

    def evaluate_source(self) -> EvaluateSource:
        """Read an `evaluate` that begins a query."""
        start = self.start()
        self.index += 1
        evaluate = self.evaluate(start)
        return EvaluateSource(start, evaluate.end, evaluate)

    def invoke(self, start: int) -> Invoke:
        call = self.call()
        if call.object is not None:
            raise self.failed_since(
                call.start, "functions of other databases are not supported", code="unsupported", construct="database()"
            )
        return Invoke(start, self.end(), call.name, call.arguments)

    def as_operator(self, start: int) -> As:
        self.parameters()
        name = self.name()
        return As(start, self.end(), name)

    def partition(self, start: int) -> Partition:
        parameters = self.parameters()
        self.expect("by")
        key = self._partition_key()
        if self.at("{"):
            peak = self.open("{")
            made = self.pipeline()
            self.close("}", peak)
            source, body = (made.source, made.operators) if isinstance(made, Pipeline) else (made, ())
            return Partition(start, self.end(), key, body, parameters, source)
        peak = self.open("(")
        operators = self.operators()
        self.close(")", peak)
        return Partition(start, self.end(), key, operators, parameters)

    def _partition_key(self) -> Expression:
        """A name, or a path of names: the bracket after it does not make it a call."""
        start = self.start()
        name = self.name()
        node: Expression = Name(start, self.end(), name)
        while self.accept("."):
            name = self.name()
            node = Member(start, self.end(), node, name)
        return node

    def _union_table(self) -> Expression:
        if self.at("("):
            return self.path()
        return self.table_name()


def _with_terms(node: Expression) -> Expression:
    """The predicate of `search`, with its texts alone as terms."""
    if isinstance(node, Literal) and node.type == "string":
        return SearchTerm(node.start, node.end, None, node)
    if isinstance(node, Binary) and node.operator in ("and", "or"):
        return Binary(node.start, node.end, node.operator, _with_terms(node.left), _with_terms(node.right))
    if isinstance(node, Call) and node.name == "not":
        return Call(node.start, node.end, node.name, tuple(_with_terms(argument) for argument in node.arguments))
    return node
