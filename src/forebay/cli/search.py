"""`forebay search`: passages with citations."""

from __future__ import annotations

import re
import sys
from typing import Annotated, Any, Literal

import typer

from forebay.cli.connection import Connection, connect
from forebay.cli.execution import run
from forebay.cli.options import AsJson, DataDirectory, Project, settings_with
from forebay.cli.output import bold, clipped, dim, is_styled, print_json, visible, width
from forebay.settings import Settings

EXCERPT_LINES = 3
WEAK_WORDS = frozenset(
    "about after because before does from have into that their then they this what when where which while with your".split()
)


def search(
    query: Annotated[str, typer.Argument(help="Words or a question; quotes and operators have no special meaning.")],
    *,
    k: Annotated[int, typer.Option("-k", "--k", min=1, max=1000, help="How many hits.")] = 10,
    project: Project = None,
    mode: Annotated[Literal["hybrid", "text", "vector"], typer.Option(help="Full text and vectors fused, or one of them.")] = "hybrid",
    name_prefix: Annotated[str | None, typer.Option(metavar="TEXT", help="Only documents whose names begin with this.")] = None,
    language: Annotated[str | None, typer.Option(metavar="NAME", help="Only documents in this language, such as python or en.")] = None,
    content_type: Annotated[str | None, typer.Option(metavar="TYPE", help="Only documents of this type, such as text/markdown.")] = None,
    as_json: AsJson = False,
    data_dir: DataDirectory = None,
) -> None:
    """Find passages, with citations.

    A citation is the document's name with the first and the last line: name:first-last.
    """
    filters = {"name_prefix": name_prefix, "language": language, "content_type": content_type}
    request: dict[str, Any] = {"query": query, "k": k, "mode": mode}
    if project:
        request["project"] = project
    if any(filters.values()):
        request["filters"] = {name: value for name, value in filters.items() if value}
    body = run(_search(settings_with(data_dir=data_dir), request))
    if as_json:
        print_json(body)
        return
    if not body["hits"]:
        print("Nothing found; `forebay documents list` shows what there is to find.")
    for number, hit in enumerate(body["hits"], 1):
        print_hit(number, hit, query)


async def _search(settings: Settings, request: dict[str, Any]) -> dict[str, Any]:
    async with connect(settings) as connection:
        return await ask(connection, request)


async def ask(connection: Connection, request: dict[str, Any]) -> dict[str, Any]:
    """The answer of `POST /search`."""
    body: dict[str, Any] = await connection.body("POST", "/search", json=request)
    return body


def print_hit(number: int, hit: dict[str, Any], query: str, *, indent: str = "") -> None:
    """Print a citation with its score, and the lines of the chunk that say most about the query."""
    ranks = hit.get("ranks") or {}
    found_by = f"score {hit['score']:.4f}  " + " ".join(f"{name} #{rank}" for name, rank in ranks.items() if rank is not None)
    symbol = f"  {visible(hit['symbol'])}" if hit.get("symbol") else ""
    print(f"{indent}{number:>2}. {bold(visible(citation(hit)))}{symbol}  {dim(found_by)}")
    for line in excerpt(str(hit["text"]), query, columns=width() - len(indent) - 6):
        print(f"{indent}    {dim('|')} {_highlighted(line, query)}")


def citation(hit: dict[str, Any]) -> str:
    """`name:first-last`, in lines from 1."""
    first, last = hit["lines"]
    return f"{hit['name']}:{first}-{last}"


def excerpt(text: str, query: str, *, columns: int) -> list[str]:
    """Up to three neighbouring lines of visible text, from the first to the last that has words of the query where most of them are.

    Long lines are cut around the first word; a text without any of the words gives its beginning.
    """
    words = _words(query)
    lines = [visible(line.expandtabs(4)).rstrip() for line in text.splitlines()]
    lines = [line for line in lines if line.strip()]
    weights = [len({word for word in words if word in line.lower()}) for line in lines]
    starts = range(max(1, len(lines) - EXCERPT_LINES + 1))
    best = max(starts, key=lambda start: (sum(weights[start : start + EXCERPT_LINES]), sum(weights[start : start + 1]), -start))
    telling = [number for number in range(best, min(best + EXCERPT_LINES, len(lines))) if weights[number]]
    chosen = lines[telling[0] : telling[-1] + 1] if telling else lines[:EXCERPT_LINES]
    # the first line of a chunk may have lost its indentation to the splitter
    margin = min((_indentation(line) for line in chosen if line is not lines[0] or line[0] == " "), default=0)
    return [_window(line[min(margin, _indentation(line)) :], words, columns) for line in chosen]


def _indentation(line: str) -> int:
    return len(line) - len(line.lstrip())


def _words(query: str) -> list[str]:
    words = re.findall(r"\w+", query.lower())
    return [word for word in words if len(word) > 3 and word not in WEAK_WORDS] or words


def _window(line: str, words: list[str], columns: int) -> str:
    """The part of a long line around the first of the words; its beginning where that shows the word."""
    first = min((place for word in words if (place := line.lower().find(word)) >= 0), default=0)
    if first < columns * 2 // 3 or len(line) <= columns:
        return clipped(line, columns)
    start = first - columns // 3
    start = line.find(" ", start) + 1 or start
    return clipped("…" + line[start:], columns)


def _highlighted(line: str, query: str) -> str:
    words = _words(query)
    if not words or not is_styled(sys.stdout):
        return line
    return re.sub("|".join(re.escape(word) for word in words), lambda found: f"\x1b[1;33m{found.group()}\x1b[0m", line, flags=re.IGNORECASE)
