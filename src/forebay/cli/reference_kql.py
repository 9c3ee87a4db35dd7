"""docs/kql.md: what works of the query language, found out by asking."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from forebay.cli.reference_probes import ROWS, SECTIONS, Probe
from forebay.cli.reference_store import WRITTEN_AT, temporary_tables
from forebay.errors import ForebayError
from forebay.server.routes.query import answer_of
from forebay.telemetry.kql.engine import QueryEngine
from forebay.telemetry.log.port import Entry, StoredEntry
from forebay.values.times import to_microseconds

PROJECT = "docs"
INTRODUCTION = """
`forebay query`, and `POST /query`, take KQL, the language of Application Insights and Log Analytics; the tables are in
[telemetry.md](telemetry.md). A query only reads, sees one project, and is bounded: 30 seconds, 10,000 rows (up to 500,000 with `limit`),
64 MiB, 4 at a time. What is not supported is refused, with the place in the text where that is known.

Every query below has been run to write this page, over the few rows at its end.
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
    return f"# KQL\n\n{generated}\n{INTRODUCTION}" + "\n".join(_page(findings)) + "\n"


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


def _page(findings: dict[str, list[Finding]]) -> Iterator[str]:
    for title, found in findings.items():
        working = [each for each in found if each.state == "works"]
        yield f"\n## {title}\n"
        yield "| name | example | answer |"
        yield "|---|---|---|"
        yield from (f"| {_plain(each.probe.name)} | {_code(each.probe.query)} | {_code(each.told)} |" for each in working)
    yield "\n## Refused\n"
    yield "| name | example | error |"
    yield "|---|---|---|"
    everything = [each for found in findings.values() for each in found]
    yield from (
        f"| {_plain(each.probe.name)} | {_code(each.probe.query)} | {_plain(each.told)} |" for each in everything if each.state == "refused"
    )
    differing = [each for each in everything if each.state == "differs"]
    if differing:
        yield "\n## Answered otherwise than by Kusto\n"
        yield "| name | example | answer | Kusto's answer |"
        yield "|---|---|---|---|"
        yield from (
            f"| {_plain(each.probe.name)} | {_code(each.probe.query)} | {_code(each.told)} | {_code(each.probe.answer)} |"
            for each in differing
        )
    yield "\n## The rows of the examples\n"
    yield "```json"
    yield "{\n" + ",\n".join(f'"{table}": [\n  ' + ",\n  ".join(map(json.dumps, rows)) + "\n]" for table, rows in ROWS.items()) + "\n}"
    yield "```"


def _code(text: str) -> str:
    return f"`{text.replace('|', chr(92) + '|')}`" if text else ""


def _plain(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*").replace("<", "&lt;")
