"""Operators over the rows of one table: `where`, `project`, `summarize`, `order by`, ..."""

from __future__ import annotations

from forebay.telemetry.kql.syntax.nodes import (
    AssertSchema,
    Consume,
    Count,
    Distinct,
    Expression,
    Extend,
    GetSchema,
    Name,
    Project,
    ProjectAway,
    ProjectByNames,
    ProjectKeep,
    ProjectRename,
    ProjectReorder,
    ReorderKey,
    Sample,
    SampleDistinct,
    Serialize,
    Sort,
    SortKey,
    Summarize,
    Take,
    Top,
    TopHitters,
    TopNested,
    TopNestedLevel,
    Where,
    Wildcard,
)
from forebay.telemetry.kql.syntax.sources import SourceReader

_ENDS = frozenset(("|", ";", ")", "}", ""))
_DIRECTIONS = ("asc", "desc")
_REORDER_DIRECTIONS = ("asc", "desc", "granny-asc", "granny-desc")


class RowOperatorReader(SourceReader):
    """Reads operators; their names were read before, and `start` is where these begin."""

    def is_at_end(self) -> bool:
        """Whether the operator ends here."""
        return self.symbols[self.index] in _ENDS and self.kinds[self.index] in ("symbol", "end")

    def where(self, start: int) -> Where:
        self.parameters()
        predicate = self.expression()
        return Where(start, self.end(), predicate)

    def project(self, start: int) -> Project:
        outputs = () if self.is_at_end() else self.named_list()
        return Project(start, self.end(), outputs)

    def extend(self, start: int) -> Extend:
        outputs = self.named_list()
        return Extend(start, self.end(), outputs)

    def project_away(self, start: int) -> ProjectAway:
        columns = self._columns()
        return ProjectAway(start, self.end(), columns)

    def project_keep(self, start: int) -> ProjectKeep:
        columns = self._columns()
        return ProjectKeep(start, self.end(), columns)

    def project_by_names(self, start: int) -> ProjectByNames:
        names = self.expressions()
        return ProjectByNames(start, self.end(), names)

    def project_rename(self, start: int) -> ProjectRename:
        outputs = self.named_list()
        return ProjectRename(start, self.end(), outputs)

    def project_reorder(self, start: int) -> ProjectReorder:
        keys = [self._reorder_key()]
        while self.accept(","):
            keys.append(self._reorder_key())
        return ProjectReorder(start, self.end(), tuple(keys))

    def summarize(self, start: int) -> Summarize:
        parameters = self.parameters()
        aggregates: tuple[Expression, ...] = ()
        if not self.at("by") and not self.is_at_end():
            aggregates = self.named_list()
        keys = self.named_list() if self.accept("by") else ()
        return Summarize(start, self.end(), aggregates, keys, parameters)

    def distinct(self, start: int) -> Distinct:
        self.parameters()
        columns = [self._distinct_column()]
        while self.accept(","):
            columns.append(self._distinct_column())
        return Distinct(start, self.end(), tuple(columns))

    def count(self, start: int) -> Count:
        name = self.new_name() if self.accept("as") else None
        return Count(start, self.end(), name)

    def take(self, start: int) -> Take:
        self.parameters()
        count = self.expression()
        return Take(start, self.end(), count)

    def sort(self, start: int) -> Sort:
        self.parameters()
        self.expect("by")
        keys = self.sort_keys()
        return Sort(start, self.end(), keys)

    def top(self, start: int) -> Top:
        self.parameters()
        count = self.expression()
        self.expect("by")
        key = self._sort_key()
        return Top(start, self.end(), count, (key,))

    def top_nested(self, start: int) -> TopNested:
        levels = [self._top_nested_level(start)]
        while self.accept(","):
            level_start = self.start()
            self.expect("top-nested")
            levels.append(self._top_nested_level(level_start))
        return TopNested(start, self.end(), tuple(levels))

    def top_hitters(self, start: int) -> TopHitters:
        count = self.expression()
        self.expect("of")
        key = self.named()
        weight = self.named() if self.accept("by") else None
        return TopHitters(start, self.end(), count, key, weight)

    def sample(self, start: int) -> Sample:
        count = self.expression()
        return Sample(start, self.end(), count)

    def sample_distinct(self, start: int) -> SampleDistinct:
        count = self.expression()
        self.expect("of")
        key = self.named()
        return SampleDistinct(start, self.end(), count, key)

    def serialize(self, start: int) -> Serialize:
        self.parameters()
        outputs = () if self.is_at_end() else self.named_list()
        return Serialize(start, self.end(), outputs)

    def get_schema(self, start: int) -> GetSchema:
        return GetSchema(start, self.end())

    def consume(self, start: int) -> Consume:
        self.parameters("decodeblocks")
        return Consume(start, self.end())

    def assert_schema(self, start: int) -> AssertSchema:
        columns = self.columns()
        return AssertSchema(start, self.end(), columns)

    def sort_keys(self) -> tuple[SortKey, ...]:
        """Read `a asc nulls first, b`."""
        keys = [self._sort_key()]
        while self.accept(","):
            keys.append(self._sort_key())
        return tuple(keys)

    def _sort_key(self) -> SortKey:
        start = self.start()
        expression = self.named()
        direction = self._one_of(_DIRECTIONS)
        nulls = ""
        if self.accept("nulls"):
            nulls = self._one_of(("first", "last"))
            if not nulls:
                raise self.failure("'first' or 'last'")
        return SortKey(start, self.end(), expression, direction, nulls)

    def _one_of(self, words: tuple[str, ...]) -> str:
        word = self.symbols[self.index]
        if word not in words:
            return ""
        self.index += 1
        return word

    def _columns(self) -> tuple[Name | Wildcard, ...]:
        columns = [self.wildcard_name()]
        while self.accept(","):
            columns.append(self.wildcard_name())
        return tuple(columns)

    def _reorder_key(self) -> ReorderKey:
        start = self.start()
        column = self.wildcard_name()
        direction = self._one_of(_REORDER_DIRECTIONS)
        return ReorderKey(start, self.end(), column, direction)

    def _distinct_column(self) -> Expression:
        if self.at("*"):
            self.index += 1
            return Wildcard(self.starts[self.index - 1], self.end(), "*")
        return self.named()

    def _top_nested_level(self, start: int) -> TopNestedLevel:
        count = None if self.at("of") else self.expression()
        self.expect("of")
        key = self.named()
        others = None
        if self.accept("with"):
            self.expect("others")
            self.expect("=")
            others = self.expression()
        self.expect("by")
        aggregate = self.named()
        direction = self._one_of(_DIRECTIONS)
        return TopNestedLevel(start, self.end(), count, key, others, aggregate, direction)
