"""How many queries of a collection are read, and how many of them are bound over the tables of Application Insights.

    python -m benchmarks.kql_queries COLLECTION.json [--list]

The collection is a JSON list of `{"source": ..., "kql": ..., "application_insights": bool}`; only those marked are bound. Queries of
Azure's workbooks have parameters (`{TimeRange}`), which Azure replaces before it asks; here each becomes the plausible value that carries
the query furthest, first through the parser, then through the binder. `--list` prints every refusal with its place.
"""

from __future__ import annotations

import argparse
import itertools
import re
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks.application_insights import application_insights
from forebay.telemetry.kql.binding.program import bind
from forebay.telemetry.kql.errors import Diagnostic, KqlError, line_and_column
from forebay.telemetry.kql.syntax.parser import parse
from forebay.telemetry.kql.types import Schema

_PARAMETER = re.compile(r"\{[A-Za-z_]\w*(?::[\w.:$]*)?\}")
_VALUES = (
    *(
        " > ago(1d)",
        "1h",
        "'x'",
        "1",
        "datetime(2024-01-01)",
        "timestamp",
        "name",
        "session_Id",
        "TimeGenerated",
        "",
        "where true",
        "| where true",
    ),
    *(
        "count()",
        "customEvents",
        "parse_json('[]')",
        "timechart",
        "'a': 1",
        "duration",
        "month",
        "bin(timestamp, 1d)",
        "2024-01-01",
        "| summarize count()",
    ),
)
_FIRST_VALUES = ("x", "1h", "session_Id", "1")
_COMPLETE = 2.0  # how far a query without errors goes
_MOST_PAIRS = 15
_KNOWN = {":start}": "datetime(2024-01-01)", ":end}": "datetime(2024-01-01)", ":grain}": "1h"}
_ROUNDS = 2  # of trying other values, for one may need another
_GIVEN = re.compile(r"\b_\w+(?:Start|End)Time\b")  # what Azure's portal declares before it asks


class CollectedQuery(msgspec.Struct):
    """A query of a collection."""

    source: str
    kql: str
    application_insights: bool = False


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("collection", type=Path)
    arguments.add_argument("--list", action="store_true", help="print every refusal")
    options = arguments.parse_args()
    queries = msgspec.json.decode(options.collection.read_bytes(), type=list[CollectedQuery])
    schema = application_insights()
    read: list[str] = []
    refused: list[tuple[CollectedQuery, str, Diagnostic]] = []
    bound = marked = 0
    for query in queries:
        text = with_values(_declared(query.kql), schema if query.application_insights else None)
        marked += query.application_insights
        wrong = _what_is_wrong(text, schema if query.application_insights else None)
        if wrong is None or _parse_error(text) is None:
            read.append(text)
        if wrong is None:
            bound += query.application_insights
        else:
            refused.append((query, text, wrong))
    print(f"read            {len(read):5} of {len(queries):5}  {len(read) / len(queries):7.1%}")
    print(f"bound           {bound:5} of {marked:5}  {bound / marked if marked else 1:7.1%}")
    print(f"time to read    {_milliseconds_per_query(read):8.3f} ms a query")
    for reason, count in Counter(_reason(wrong) for _, _, wrong in refused).most_common():
        print(f"{count:5}  {reason}")
    if options.list:
        for query, text, wrong in refused:
            line, column = line_and_column(text, wrong.start)
            print(f"\n{query.source}:{line}:{column}: {wrong.code}: {wrong.message}\n    {text.splitlines()[line - 1].strip()[:160]}")


def _declared(text: str) -> str:
    """A query with the parameters declared that the portal declares."""
    names = dict.fromkeys(_GIVEN.findall(text))
    if not names:
        return text
    return f"declare query_parameters({', '.join(f'{name}: datetime = datetime(2024-01-01)' for name in names)});\n{text}"


def with_values(text: str, schema: Schema | None) -> str:
    """A query with a value in the place of each parameter, the same wherever it stands; the schema is given where it will be bound."""
    names = list(dict.fromkeys(_PARAMETER.findall(text)))
    known = {name: value for name in names for ending, value in _KNOWN.items() if name.endswith(ending)}
    search = _Search(text, schema, [name for name in names if name not in known])
    best: tuple[float, dict[str, str]] = (-1.0, {})
    for first in _FIRST_VALUES:
        best = max(best, search.climbed(dict.fromkeys(names, first) | known), key=lambda found: found[0])
        if best[0] == _COMPLETE:
            break
    else:
        best = search.climbed_in_pairs(*best)
    return search.filled(best[1])


class _Search:
    """Looks for values that carry a query through the parser and, where a schema is given, the binder."""

    def __init__(self, text: str, schema: Schema | None, names: list[str]) -> None:
        self._text = text
        self._schema = schema
        self._names = names

    def filled(self, values: dict[str, str]) -> str:
        return _PARAMETER.sub(lambda parameter: values[parameter[0]], self._text)

    def reached(self, values: dict[str, str]) -> float:
        """How far the query is without an error."""
        candidate = self.filled(values)
        wrong = _what_is_wrong(candidate, self._schema)
        if wrong is None:
            return _COMPLETE
        return (1 if _parse_error(candidate) is None else 0) + wrong.start / len(candidate)

    def climbed(self, values: dict[str, str]) -> tuple[float, dict[str, str]]:
        """The values that carry it furthest, one parameter after the other."""
        return self._climbed(self.reached(values), values, [(name,) for name in self._names] * _ROUNDS)

    def climbed_in_pairs(self, best: float, values: dict[str, str]) -> tuple[float, dict[str, str]]:
        """The same, two parameters at once, for one value may need another."""
        return self._climbed(best, values, list(itertools.combinations(self._names, 2))[:_MOST_PAIRS])

    def _climbed(self, best: float, values: dict[str, str], groups: Sequence[tuple[str, ...]]) -> tuple[float, dict[str, str]]:
        for group in groups:
            for chosen in itertools.product(_VALUES, repeat=len(group)) if best < _COMPLETE else ():
                candidate = values | dict(zip(group, chosen, strict=True))
                at = self.reached(candidate)
                if at > best:
                    best, values = at, candidate
        return best, values


def _parse_error(text: str) -> int | None:
    try:
        parse(text)
    except KqlError as error:
        return min(found.start for found in error.diagnostics)
    return None


def _what_is_wrong(text: str, schema: Schema | None) -> Diagnostic | None:
    """The first error; of the parser alone where no schema is given."""
    try:
        program = parse(text)
        if schema is not None:
            bind(program, schema, explore=lambda _: [])
    except KqlError as error:
        return min(error.diagnostics, key=lambda found: found.start)
    return None


def _reason(wrong: Diagnostic) -> str:
    return f"{wrong.code}: {wrong.construct or wrong.message[:110]}"


def _milliseconds_per_query(texts: list[str]) -> float:
    start = time.perf_counter()
    for text in texts:
        parse(text)
    return (time.perf_counter() - start) / max(1, len(texts)) * 1000


if __name__ == "__main__":
    main()
