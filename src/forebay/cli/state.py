"""`forebay` alone: the state of the data directory, and what to do next."""

from __future__ import annotations

from typing import Any

from forebay import __version__
from forebay.cli.connection import connect
from forebay.cli.execution import run
from forebay.cli.options import settings_with
from forebay.cli.output import bold, print_facts, print_steps, size_text, visible
from forebay.errors import ForebayError
from forebay.settings import Settings


def show_state() -> None:
    """Print where the data is, what is in it, whether a server runs, and the next step."""
    settings = settings_with()
    data_dir = settings.data_dir.absolute()
    print(bold(f"Forebay {__version__}: ingestion that loses nothing and can explain itself"))
    if not (data_dir / "catalog.db").exists():
        print_facts([("data directory", f"{visible(str(data_dir))} (nothing in it yet)")])
        _next_steps(
            ("forebay demo", "see it work, in a temporary directory"),
            ("forebay up --watch DIR", "index a folder and keep up with it"),
            ("forebay --help", "all commands"),
        )
        return
    try:
        server, summary, index = run(_look(settings))
    except ForebayError as error:
        print_facts([("data directory", visible(str(data_dir))), ("state", visible(error.message))])
        _next_steps(("forebay doctor", "find out what is wrong"))
        return
    used = sum(path.stat().st_size for path in data_dir.glob("catalog.db*"))
    facts = [("data directory", f"{visible(str(data_dir))} (catalog {size_text(used)})"), ("server", server or "not running")]
    facts.append(("arrivals", f"{summary['arrivals']:,}, {summary['in_flight']:,} of them in work"))
    facts.append(("outcomes", ", ".join(f"{count:,} {name}" for name, count in summary["outcomes"].items() if count) or "none yet"))
    facts.append(("searchable", f"{summary['chunks']:,} chunks"))
    if index["message"]:
        facts.append(("index", visible(index["message"])))
    print_facts(facts)
    steps = [] if server else [("forebay up", "run the server, the watched folders and the pipeline")]
    if not summary["arrivals"]:
        steps.append(("forebay put PATH", "send files or folders"))
    else:
        steps.append(('forebay search "..."', "find passages, with citations"))
    if summary["outcomes"].get("failed") or summary["outcomes"].get("skipped"):
        steps.append(("forebay documents list --status skipped", "see what was not read, and why"))
    _next_steps(*steps)


async def _look(settings: Settings) -> tuple[str | None, dict[str, Any], dict[str, Any]]:
    async with connect(settings) as connection:
        server = str(connection.client.base_url) if connection.place == "server" else None
        return server, await connection.body("GET", "/documents/summary"), await connection.body("GET", "/reindex")


def _next_steps(*steps: tuple[str, str]) -> None:
    print("\nNext:")
    print_steps(steps)
