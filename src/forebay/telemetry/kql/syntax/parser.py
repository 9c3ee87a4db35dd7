"""The text of a query into its syntax tree."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forebay.telemetry.kql.errors import Diagnostic, KqlError
from forebay.telemetry.kql.syntax.expansions import ExpansionReader
from forebay.telemetry.kql.syntax.lexer import WORD
from forebay.telemetry.kql.syntax.nodes import Expression, Name, Operator, Pipeline, Program, Unsupported
from forebay.telemetry.kql.syntax.patterns import PatternReader
from forebay.telemetry.kql.syntax.reader import Failure
from forebay.telemetry.kql.syntax.rendering import RenderReader
from forebay.telemetry.kql.syntax.scan import ScanReader
from forebay.telemetry.kql.syntax.statements import StatementReader
from forebay.telemetry.kql.syntax.table_operators import TableOperatorReader

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_TEXT_BYTES = 64 * 1024


def parse(text: str) -> Program:
    """Read a query.

    Raises:
        KqlError: With all that is wrong with it (at most 20 findings).
    """
    program, diagnostics = parse_tolerant(text)
    if diagnostics:
        raise KqlError(*diagnostics)
    return program


def parse_expression(text: str) -> Expression:
    """Read a single value.

    Raises:
        KqlError: With what is wrong with it.
    """
    parser = _Parser(text)
    try:
        expression = parser.expression()
        if not parser.is_at_end():
            raise parser.failure("the end")
    except Failure as failure:
        raise KqlError(failure.diagnostic) from None
    return expression


def parse_tolerant(text: str) -> tuple[Program, tuple[Diagnostic, ...]]:
    """What could be read of a query, and what is wrong with it; parts that could not be read are missing in the tree."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        return Program(0, len(text), ()), (Diagnostic("syntax", "half of a surrogate pair is no character", error.start, error.end),)
    if size > MAX_TEXT_BYTES:
        message = f"the query has {size} bytes; at most {MAX_TEXT_BYTES} are read"
        return Program(0, len(text), ()), (Diagnostic("too_complex", message, 0, len(text)),)
    parser = _Parser(text)
    program = parser.program()
    return program, tuple(parser.diagnostics)


class _Parser(ScanReader, TableOperatorReader, ExpansionReader, PatternReader, RenderReader, StatementReader):
    """All parts of the grammar together."""

    def pipeline(self) -> Expression:
        start, since, depth = self.start(), self.index, self.depth
        try:
            source = self._source()
        except Failure as failure:
            self.resume(failure, since, depth)
            if not self.at("|"):
                raise
            source = Name(start, start, "")
        if not self.accept("|"):
            return source
        operators = self.operators()
        return Pipeline(start, self.end(), source, operators)

    def operators(self) -> tuple[Operator, ...]:
        operators: list[Operator] = []
        depth = self.depth
        while True:
            since = self.index
            self.depth = depth + 1
            try:
                operators.append(self._operator())
                if not self.is_at_end():
                    raise self._no_end()
            except Failure as failure:
                self.resume(failure, since, depth)
            if not self.accept("|"):
                self.depth = depth
                return tuple(operators)

    def _source(self) -> Expression:
        word = self.symbols[self.index]
        read = _SOURCES.get(word)
        if read is None or (word in ("range", "evaluate") and self.kinds[self.index + 1] is not WORD):
            if word in ("macro-expand", "entity_group"):
                raise self.failed(f"'{word}' is not supported", code="unsupported", construct=word)
            return self.expression()
        self.depth += 1
        source = read(self)
        self.depth -= 1
        return source

    def _no_end(self) -> Failure:
        """What is wrong where an operator should have ended."""
        symbol = self.symbols[self.index]
        if symbol == "=":
            return self.failure("'|' or the end of the operator", "'=' gives a name; what compares is '=='")
        if self.symbols[self.index - 1] == "not":
            return self.failure("'|' or the end of the operator", "not is a function: not(...)")
        if symbol in _OPERATORS:
            return self.failure("'|' or the end of the operator", f"is a bar missing before '{symbol}'?")
        return self.failure("'|' or the end of the operator")

    def _operator(self) -> Operator:
        start = self.start()
        word = self.symbols[self.index]
        read = _OPERATORS.get(word)
        if read is not None:
            self.index += 1
            return read(self, start)
        if word in _UNSUPPORTED:
            self.index += 1
            while not self.is_at_end():
                self.skip_nested()
            return Unsupported(start, self.end(), word)
        if self.kinds[self.index] is WORD:
            from difflib import get_close_matches  # rarely needed, and slow to import

            near = get_close_matches(word.lower(), OPERATOR_NAMES, 1, 0.7)
            hint = f"did you mean {near[0]}?" if near else ""
            raise self.failed(f"there is no operator '{word}'{'; ' + hint if hint else ''}", hint)
        hint = "a logical or is written 'or'" if word == "|" else ""
        raise self.failure("an operator, such as where or summarize", hint)


_SOURCES: dict[str, Callable[[_Parser], Expression]] = {
    "datatable": _Parser.datatable,
    "evaluate": _Parser.evaluate_source,
    "external_data": _Parser.external_data,
    "externaldata": _Parser.external_data,
    "find": _Parser.find,
    "print": _Parser.print_source,
    "range": _Parser.range_source,
    "search": _Parser.search_source,
    "union": _Parser.union_source,
}
_OPERATORS: dict[str, Callable[[_Parser, int], Operator]] = {
    "as": _Parser.as_operator,
    "assert-schema": _Parser.assert_schema,
    "consume": _Parser.consume,
    "count": _Parser.count,
    "distinct": _Parser.distinct,
    "evaluate": _Parser.evaluate,
    "extend": _Parser.extend,
    "filter": _Parser.where,
    "getschema": _Parser.get_schema,
    "invoke": _Parser.invoke,
    "join": _Parser.join,
    "limit": _Parser.take,
    "lookup": _Parser.lookup,
    "make-series": _Parser.make_series,
    "mv-apply": _Parser.mv_apply,
    "mv-expand": _Parser.mv_expand,
    "mvapply": _Parser.mv_apply,
    "mvexpand": _Parser.mv_expand,
    "order": _Parser.sort,
    "parse": _Parser.parse,
    "parse-kv": _Parser.parse_kv,
    "parse-where": _Parser.parse_where,
    "partition": _Parser.partition,
    "project": _Parser.project,
    "project-away": _Parser.project_away,
    "project-by-names": _Parser.project_by_names,
    "project-keep": _Parser.project_keep,
    "project-rename": _Parser.project_rename,
    "project-reorder": _Parser.project_reorder,
    "render": _Parser.render,
    "sample": _Parser.sample,
    "sample-distinct": _Parser.sample_distinct,
    "scan": _Parser.scan,
    "search": _Parser.search,
    "serialize": _Parser.serialize,
    "sort": _Parser.sort,
    "summarize": _Parser.summarize,
    "take": _Parser.take,
    "top": _Parser.top,
    "top-hitters": _Parser.top_hitters,
    "top-nested": _Parser.top_nested,
    "union": _Parser.union,
    "where": _Parser.where,
}
# known, and refused by those who know what they would do
_UNSUPPORTED = frozenset(
    "execute-and-cache facet fork graph-mark-components graph-match graph-shortest-paths graph-to-table graph-where-edges "
    "graph-where-nodes macro-expand make-graph reduce".split()
)
OPERATOR_NAMES = tuple(sorted(_OPERATORS.keys() - {"filter", "mvapply", "mvexpand"} | _UNSUPPORTED))  # without older names
