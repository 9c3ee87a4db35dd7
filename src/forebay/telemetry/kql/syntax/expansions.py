"""Operators that make rows of arrays, and arrays of rows: `mv-expand`, `mv-apply`, `make-series`."""

from __future__ import annotations

from forebay.telemetry.kql.syntax.nodes import ExpandColumn, Expression, Literal, MakeSeries, MvApply, MvExpand, SeriesAggregate
from forebay.telemetry.kql.syntax.sources import SourceReader
from forebay.telemetry.kql.types import KqlType

_OLD_LIMIT = 128  # rows that `mvexpand`, the old spelling, makes of a row


class ExpansionReader(SourceReader):
    """Reads operators; their names were read before, and `start` is where these begin."""

    def mv_expand(self, start: int) -> MvExpand:
        is_old = self.symbols[self.index - 1] == "mvexpand"
        name_end = self.end()
        parameters = self.parameters("kind", "bagexpansion", "with_itemindex")
        columns = self._expand_columns()
        limit = self.expression() if self.accept("limit") else None
        if is_old and limit is None:
            limit = Literal(start, name_end, "long", _OLD_LIMIT)
        return MvExpand(start, self.end(), columns, limit, parameters)

    def mv_apply(self, start: int) -> MvApply:
        parameters = self.parameters("kind", "bagexpansion", "with_itemindex")
        columns = self._expand_columns()
        limit = self.expression() if self.accept("limit") else None
        self.expect("on")
        peak = self.open("(")
        body = self.operators()
        self.close(")", peak)
        return MvApply(start, self.end(), columns, limit, body, parameters)

    def make_series(self, start: int) -> MakeSeries:
        parameters = self.parameters("kind")
        aggregates = [self._series_aggregate()]
        while self.accept(","):
            aggregates.append(self._series_aggregate())
        self.expect("on")
        axis = self._axis()
        first = last = step = None
        is_range = self.accept("in")
        if is_range:
            self.expect("range")
            peak = self.open("(")
            first = self.expression()
            self.expect(",")
            last = self.expression()
            self.expect(",")
            step = self.expression()
            self.close(")", peak)
        else:
            first = self.expression() if self.accept("from") else None
            last = self.expression() if self.accept("to") else None
            self.expect("step")
            step = self.expression()
        keys = self.named_list() if self.accept("by") else ()
        return MakeSeries(start, self.end(), tuple(aggregates), axis, first, last, step, keys, is_range, parameters)

    def _axis(self) -> Expression:
        """The axis is followed by `in range(...)`, which is no comparison."""
        return self.path() if self.symbols[self.index + 1] == "in" else self.named()

    def _series_aggregate(self) -> SeriesAggregate:
        start = self.start()
        expression = self.named()
        default = None
        if self.accept("default"):
            self.expect("=")
            default = self.expression()
        return SeriesAggregate(start, self.end(), expression, default)

    def _expand_columns(self) -> tuple[ExpandColumn, ...]:
        columns = [self._expand_column()]
        while self.accept(","):
            columns.append(self._expand_column())
        return tuple(columns)

    def _expand_column(self) -> ExpandColumn:
        start = self.start()
        expression = self.named()
        kind: KqlType | None = None
        if self.accept("to"):
            self.expect("typeof")
            self.expect("(")
            kind = self.type_name()
            self.expect(")")
        return ExpandColumn(start, self.end(), expression, kind)
