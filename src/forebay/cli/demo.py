"""`forebay demo`: index a folder in a temporary data directory, ask it three questions, and ask in KQL what happened."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

import forebay
from forebay.cli.connection import Connection, connect
from forebay.cli.execution import FAILED, run
from forebay.cli.options import settings_with
from forebay.cli.output import bold, counted, dim, duration_text, print_facts, print_steps, print_table, styled, visible
from forebay.cli.progress import Tally, progress
from forebay.cli.put import print_unindexed
from forebay.cli.query import ask_kql, print_result
from forebay.cli.questions import questions_from
from forebay.cli.search import ask, print_hit
from forebay.errors import ForebayError
from forebay.settings import Settings
from forebay.values.reasons import REASONS

WHAT_HAPPENED = "documentEvents | summarize events = count() by type | order by events desc | render barchart"
POLL_SECONDS = 0.2
HITS = 2
SAMPLED_DOCUMENTS = 8
SHOWN_FAILURES = 5
OWN_FOLDERS = ("docs", "src")
OWN_QUESTIONS = (
    "What stops a hostile file from crashing the program?",
    "How is a file that is still growing kept from being read too early?",
    "How are full text and vectors fused into one result?",
)


def demo(
    folder: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="The folder to index; this project's docs and sources without it.")
    ] = None,
) -> None:
    """Show Forebay at work: index a folder, search it, and ask in KQL what happened.

    Nothing in the folder is changed, and what is kept of it goes away at the end.
    """
    own = folder is None
    root = _own_checkout() if folder is None else folder
    if root is None or not root.is_dir():
        raise ForebayError("wrong_usage", f"{folder or 'The demo'} needs a folder to index.", hint="Try `forebay demo DIR`.")
    with tempfile.TemporaryDirectory(prefix="forebay-demo-") as temporary:
        settings = settings_with(
            data_dir=Path(temporary) / "forebay-data",
            watch=[root.resolve()],
            include=[f"/{name}/" for name in OWN_FOLDERS] if own else None,
            exclude=["/src/forebay/cli/demo.py"] if own else None,  # the questions would find themselves
        )
        print(
            bold("Forebay demo") + f": every file in {visible(str(root.resolve()))}{' (docs and src)' if own else ''} becomes searchable."
        )
        print(dim(f"Read-only there; everything it keeps is in {settings.data_dir.parent}, which goes away afterwards."), flush=True)
        indexed = run(_demo(settings, OWN_QUESTIONS if own else None))
    if not indexed:
        print("\nNothing became searchable.")
        print_steps([("forebay doctor", "find out what is wrong with this machine"), ("forebay demo DIR", "try another folder")])
        raise typer.Exit(FAILED)
    _print_next(root)


def _own_checkout() -> Path | None:
    """The folder of this project, when the program runs from a checkout."""
    root = Path(forebay.__file__).resolve().parents[2]
    return root if (root / "pyproject.toml").is_file() and all((root / name).is_dir() for name in OWN_FOLDERS) else None


async def _demo(settings: Settings, questions: Sequence[str] | None) -> int:
    """Index, report and ask; returns how many documents were indexed."""
    started = time.perf_counter()
    try:
        async with connect(settings) as connection:
            opened = time.perf_counter()
            summary = await _index(connection)
            indexed = int(summary["outcomes"].get("indexed", 0))
            await _report(
                connection,
                summary,
                opening_seconds=opened - started,
                indexing_seconds=time.perf_counter() - opened,
                own=questions is not None,
            )
            asked = questions or questions_from(await _sample(connection))
            for number, question in enumerate(asked if indexed else (), 1):
                answer = await ask(connection, {"query": question, "k": HITS})
                took = f"{answer['took_ms']:.0f} ms"
                print(f"\n{styled(f'Question {number}', '36')}  {bold(visible(question))}  {dim(took)}")
                for place, hit in enumerate(answer["hits"], 1):
                    print_hit(place, hit, indent="  ")
            if indexed:
                await _print_what_happened(connection)
            return indexed
    except asyncio.CancelledError:
        print("\nInterrupted. The demo's data was temporary, and nothing in the folder was changed.")
        raise


async def _index(connection: Connection) -> dict[str, Any]:
    """Show progress until every file that is there has its outcome."""
    with progress() as shown:
        while True:
            summary: dict[str, Any] = await connection.body("GET", "/documents/summary")
            outcomes = summary["outcomes"]
            skipped, failed = outcomes.get("skipped", 0), outcomes.get("failed", 0)
            shown.show(
                Tally(
                    total=summary["arrivals"],
                    indexed=sum(outcomes.values()) - skipped - failed,
                    skipped=skipped,
                    failed=failed,
                    chunks=summary["chunks"],
                )
            )
            if summary["reconciled"] and not summary["in_flight"]:
                return summary
            await asyncio.sleep(POLL_SECONDS)


async def _report(connection: Connection, summary: dict[str, Any], *, opening_seconds: float, indexing_seconds: float, own: bool) -> None:
    outcomes, chunks = summary["outcomes"], summary["chunks"]
    indexed = outcomes.get("indexed", 0)
    found = f"{counted(indexed, 'document')}, {counted(chunks, 'chunk')}"
    print(f"\n{styled('Indexed', '32')} {bold(found)} in {duration_text(indexing_seconds)}")
    stages = sorted(((seconds, name.removesuffix("_seconds")) for name, seconds in summary["stages"].items()), reverse=True)
    work_seconds = sum(seconds for seconds, _ in stages) or 1.0
    facts = [
        ("rate", f"{indexed / indexing_seconds:,.1f} documents/s, {chunks / indexing_seconds:,.0f} chunks/s"),
        ("opened in", duration_text(opening_seconds)),
        ("time went to", ", ".join(f"{name} {seconds / work_seconds:.0%}" for seconds, name in stages)),
        (
            "excluded",
            f"{summary['excluded']:,} (secrets, .gitignore, what tools leave behind{', what is in other folders' if own else ''})",
        ),
        ("skipped", f"{outcomes.get('skipped', 0):,}"),
        ("failed", f"{outcomes.get('failed', 0):,}"),
    ]
    print_facts(facts)
    if summary["skipped_reasons"]:
        print()
        rows = [
            (f"{count:,}", code, REASONS[code].meaning if code in REASONS else "") for code, count in summary["skipped_reasons"].items()
        ]
        print_table(("FILES", "REASON", "MEANING"), rows, right=(0,), indent="  ")
    if outcomes.get("failed"):
        listed = await connection.body("GET", "/documents", params={"status": "failed", "limit": SHOWN_FAILURES})
        print_unindexed([await connection.body("GET", f"/documents/{each['id']}") for each in listed["documents"]])


async def _sample(connection: Connection) -> list[tuple[str, list[dict[str, Any]]]]:
    """Documents from all over the folder, each with its name and its first chunks."""
    listed = (await connection.body("GET", "/documents", params={"status": "indexed", "limit": 1000}))["documents"]
    chosen = listed[:: max(1, len(listed) // SAMPLED_DOCUMENTS)][:SAMPLED_DOCUMENTS]
    return [
        (document["name"], (await connection.body("GET", f"/documents/{document['id']}/chunks", params={"limit": 5}))["chunks"])
        for document in chosen
    ]


async def _print_what_happened(connection: Connection) -> None:
    answer = await ask_kql(connection, {"query": WHAT_HAPPENED})
    took = f"{answer['took_ms']:.0f} ms"
    print(f"\n{styled('KQL', '36')}  {bold(WHAT_HAPPENED)}  {dim(took)}")
    print_result(answer, indent="  ")


def _print_next(root: Path) -> None:
    print("\nWhat to try next:")
    print_steps(
        [
            (f"forebay up --watch {visible(str(root))}", "the same, kept, and kept up to date"),
            ("forebay put FILE...", "send single files or folders"),
            ('forebay search "..." --json', "the same answers for programs"),
            ("forebay documents show NAME", "what happened to a document, step by step"),
            ('forebay query "documents | summarize count() by status"', "what happened to all of them, in KQL"),
        ]
    )
