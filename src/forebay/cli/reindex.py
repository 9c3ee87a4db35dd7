"""`forebay reindex`: bring the index to the settings in force."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from forebay.cli.connection import Connection, connect
from forebay.cli.execution import FAILED, run
from forebay.cli.options import AsJson, DataDirectory, settings_with
from forebay.cli.output import bold, counted, duration_text, print_error, print_facts, print_json, visible
from forebay.cli.progress import progress
from forebay.settings import Settings

POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Remaining:
    """How many texts and documents there were to do, and are."""

    total: int
    left: int

    @property
    def done(self) -> int:
        """Those that need nothing any more."""
        return self.total - self.left

    def describe(self, elapsed_seconds: float) -> str:
        """One line: how many, the rate, the time left."""
        rate = self.done / elapsed_seconds if elapsed_seconds > 0 else 0.0
        left = f" · {duration_text(self.left / rate)} left" if rate and self.left else ""
        return f"{self.done:,}/{self.total:,} texts and documents · {rate:,.1f}/s{left}"


def reindex(
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Return when it is complete, or at once.")] = True,
    as_json: AsJson = False,
    data_dir: DataDirectory = None,
) -> None:
    """Bring the index to the settings in force: the embedder, the chunk size, the chunker.

    Searches go on beside it, by the old model until every text has a vector of the new one. What has been done survives an
    interruption; the server goes on with it by itself.
    """
    state = run(_reindex(settings_with(data_dir=data_dir), wait=wait))
    if as_json:
        print_json(state)
    else:
        _print(state)
    if state["status"] == "failed" or (wait and state["status"] != "current"):
        raise typer.Exit(FAILED)


async def _reindex(settings: Settings, *, wait: bool) -> dict[str, Any]:
    async with connect(settings) as connection:
        state: dict[str, Any] = await connection.body("POST", "/reindex")
        return await _until_over(connection, state) if wait else state


async def _until_over(connection: Connection, state: dict[str, Any]) -> dict[str, Any]:
    total = 0
    with progress() as shown:
        while state["status"] == "running":
            left = state["missing_texts"] + state["outdated_documents"]
            total = max(total, left)
            shown.show(Remaining(total, left))
            await asyncio.sleep(POLL_SECONDS)
            state = await connection.body("GET", "/reindex")
    return state


def _print(state: dict[str, Any]) -> None:
    if state["status"] == "current":
        print(f"The index is that of the settings: searches go by {bold(visible(state['searched_model']))}.")
        return
    print_facts(
        [
            ("searches go by", visible(state["searched_model"])),
            ("settings name", visible(state["configured_model"])),
            ("to do", f"{counted(state['missing_texts'], 'text')}, {counted(state['outdated_documents'], 'document')}"),
        ]
    )
    if state["status"] == "running":
        print("Under way; `forebay reindex` shows how it gets on.")
    elif state["message"]:
        print_error(visible(state["message"]))
