"""docs/kql.md: what there is of the query language, with examples whose answers are found out by asking."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from forebay.cli.reference_language import code, language, text
from forebay.cli.reference_probes import ROWS, SECTIONS, Probe
from forebay.cli.reference_store import WRITTEN_AT, temporary_tables
from forebay.errors import ForebayError
from forebay.server.routes.query import answer_of
from forebay.telemetry.log.port import Entry, StoredEntry
from forebay.telemetry.query.engine import QueryEngine
from forebay.values.times import to_microseconds

PROJECT = "docs"
INTRODUCTION = """
`forebay query`, and `POST /query`, take KQL, the language of Application Insights and Log Analytics; the tables are in
[telemetry.md](telemetry.md). A query only reads, sees one project, and is bounded: 30 seconds, 10,000 rows (up to 500,000 with `limit`),
64 MiB, 4 at a time.

What is named below is supported, and answers what Kusto answers; where it may differ, **approximate** says by how much. What is not
supported is refused, with its place in the text. `forebay query --explain`, and `POST /query/explain`, show how a query is understood, and
its SQL; `POST /query/complete` says what may be written at a place, for editors.

## What differs from Kusto everywhere

- **Values.** A datetime has microseconds; a decimal has 17 digits after the point. See [Types](#types).
- **Sums** beyond 64 bits are null.
- **`dcount` and `percentile`**, with their families, are exact, where Kusto estimates; only states that are kept (`hll`, `tdigest`) are
  approximate. An accuracy is accepted and changes nothing.
- **The order of rows** is that of the last `sort` or `top`; without one, and among equals, it is any. `take`, `make_list`, `take_any` and
  `join kind=innerunique` choose accordingly.
- **Columns that depend on data** (`pivot`, `bag_unpack` without the columns that they make) are read from it before the query runs, so
  such a query reads twice, and can be explained only when it names them: `evaluate pivot(a) : (name: type, ...)`.
- **Limits.** A text of 64 KiB; brackets and pipes nested 100 deep; 2,000 tables and operators, and 20,000 expressions, those of functions
  counted at each call; functions that call each other 20 deep; values up to 4,096 times as long as those of the tables.
- **Names.** A query sees the tables of its project. Other clusters, databases, files and addresses cannot be named.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What became of a probe."""

    probe: Probe
    state: Literal["works", "refused", "differs"]
    told: str  # the answer, or the error


def kql_page(generated: str) -> str:
    """The page, with the line `generated` below its title."""
    findings = asyncio.run(probe_all())
    return f"# KQL\n\n{generated}\n{INTRODUCTION}" + "\n".join((*language(), *_examples(findings))) + "\n"


async def probe_all() -> dict[str, list[Finding]]:
    """Ask everything, by section."""
    async with temporary_tables() as (store, engine):
        headers = {"project": PROJECT, "source": PROJECT, "received": str(to_microseconds(WRITTEN_AT))}
        count = sum(len(rows) for rows in ROWS.values())
        entry = Entry(topic="logs.raw", payload=json.dumps(ROWS).encode(), record_count=count, headers=headers)
        await store.insert([StoredEntry(partition=PROJECT, offset=1, entry=entry)])
        return {title: [await probe(engine, each) for each in probes] for title, probes in SECTIONS}


async def probe(engine: QueryEngine, asked: Probe) -> Finding:
    """Ask one query and compare the answer with Kusto's."""
    try:
        result = await engine.query(asked.query, project=PROJECT)
    except ForebayError as error:
        return Finding(probe=asked, state="refused", told=error.message.partition("\n")[0])
    table = answer_of(result).tables[0]
    told = "; ".join(", ".join(_text(value) for value in row) for row in table.rows)
    return Finding(probe=asked, state="works" if told == asked.answer else "differs", told=told)


def _text(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:.10g}"
    return str(value).replace(".000000Z", "Z")


def _examples(findings: dict[str, list[Finding]]) -> Iterator[str]:
    yield "\n## Examples\n"
    yield "Each of these queries has been run to write this page, over the few rows at its end, and answers what Kusto answers."
    for title, found in findings.items():
        yield f"\n### {title}\n"
        yield "| of | query | answer |"
        yield "|---|---|---|"
        yield from (
            f"| {text(each.probe.name)} | {code(each.probe.query)} | {code(each.told)} |" for each in found if each.state == "works"
        )
    everything = [each for found in findings.values() for each in found]
    for title, state in (("Refused", "refused"), ("Answered otherwise than by Kusto", "differs")):
        others = [each for each in everything if each.state == state]
        if others:
            yield f"\n### {title}\n"
            yield f"| of | query | {'error' if state == 'refused' else 'answer'} |"
            yield "|---|---|---|"
            yield from (f"| {text(each.probe.name)} | {code(each.probe.query)} | {text(each.told)} |" for each in others)
    yield "\n### The rows of the examples\n"
    yield "```json"
    yield "{\n" + ",\n".join(f'"{table}": [\n  ' + ",\n  ".join(map(json.dumps, rows)) + "\n]" for table, rows in ROWS.items()) + "\n}"
    yield "```"
