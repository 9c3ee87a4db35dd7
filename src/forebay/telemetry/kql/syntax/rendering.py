"""`render`: how a result is drawn."""

from __future__ import annotations

from forebay.telemetry.kql.syntax.lexer import STRING, SYMBOL, WORD
from forebay.telemetry.kql.syntax.nodes import Render
from forebay.telemetry.kql.syntax.sources import SourceReader

CHARTS = (
    "table list barchart piechart ladderchart timechart linechart anomalychart pivotchart areachart stackedareachart "
    "scatterchart timepivot columnchart timeline 3Dchart card treemap plotly graph sankey"
).split()
PROPERTIES = (
    "title xcolumn series ycolumns anomalycolumns kind xtitle ytitle xaxis yaxis legend ysplit accumulate ymin ymax xmin xmax".split()
)
_OLD_PROPERTIES = frozenset(("title", "kind", "accumulate", "by", "with"))


class RenderReader(SourceReader):
    """Reads `render`; its name was read before, and `start` is where it begins."""

    def render(self, start: int) -> Render:
        chart = self.symbols[self.index]
        if chart not in CHARTS and not (self.kinds[self.index] is WORD and self.is_name()):
            raise self.failure("a chart", f"the charts are {', '.join(CHARTS)}")
        self.index += 1
        properties: list[tuple[str, str]] = []
        if self.at("with") and self.symbols[self.index + 1] == "(":
            self.index += 2
            while not self.at(")"):
                properties.append(self._property())
                if not self.accept(","):
                    break
            self.expect(")")
        else:
            while self.symbols[self.index] in _OLD_PROPERTIES:
                properties.append(self._old_property())
        return Render(start, self.end(), chart, tuple(properties))

    def _property(self) -> tuple[str, str]:
        name = self.symbols[self.index]
        if name not in PROPERTIES:
            raise self.failure("a property of charts", f"the properties are {', '.join(PROPERTIES)}")
        self.index += 1
        self.expect("=")
        return name, self._value()

    def _old_property(self) -> tuple[str, str]:
        name = self.symbols[self.index]
        self.index += 1
        if name not in ("by", "with"):
            self.expect("=")
        return name, self._value()

    def _value(self) -> str:
        """A text, a constant, or names with commas: as written, without quotes."""
        if self.kinds[self.index] is STRING:
            return self.string()
        values = [self._word()]
        while self.at(",") and self.symbols[self.index + 2] != "=":
            self.index += 1
            values.append(self._word())
        return ", ".join(values)

    def _word(self) -> str:
        if self.symbols[self.index] == "[":
            return self.name()
        start = self.start()
        if not (self.accept("-") or self.accept("+")) and self.kinds[self.index] is SYMBOL:
            raise self.failure("a value")
        self.index += 1
        if self.at("("):
            self.skip_nested()
        return self.text[start : self.end()]
