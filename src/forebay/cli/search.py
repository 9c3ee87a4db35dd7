"""`forebay search`: passages with citations."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Annotated, Any, Literal

import typer

from forebay.cli.connection import Connection, connect
from forebay.cli.execution import run
from forebay.cli.options import AsJson, DataDirectory, Project, settings_with
from forebay.cli.output import bold, cell_width, dim, print_json, styled, visible, width
from forebay.settings import Settings

PASSAGE_ROWS = 4
MATCH_STYLE = "1;33"

Row = list[tuple[str, bool]]  # what is printed for each character, and whether it belongs to a match


def search(
    query: Annotated[str, typer.Argument(help='Words or a question; "quoted words" have to occur side by side. Nothing else is syntax.')],
    *,
    k: Annotated[int, typer.Option("-k", "--k", min=1, max=1000, help="How many hits.")] = 10,
    project: Project = None,
    mode: Annotated[Literal["hybrid", "text", "vector"], typer.Option(help="Full text and vectors fused, or one of them.")] = "hybrid",
    name_prefix: Annotated[str | None, typer.Option(metavar="TEXT", help="Only documents whose names begin with this.")] = None,
    language: Annotated[str | None, typer.Option(metavar="NAME", help="Only documents in this language, such as python or en.")] = None,
    content_type: Annotated[str | None, typer.Option(metavar="TYPE", help="Only documents of this type, such as text/markdown.")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Show what each hit was ranked by.")] = False,
    as_json: AsJson = False,
    data_dir: DataDirectory = None,
) -> None:
    """Find passages, with citations.

    A citation is the document's name with the first and the last line, name:first-last, and where the file has them the
    page, slide, sheet and cell range (Budget!A3:F17), cells or headings.
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
    if body.get("warning"):  # an older server sends none
        print(styled(f"Note: {visible(body['warning'])}", "33"), file=sys.stderr)
    if not body["hits"]:
        print("Nothing found; `forebay documents list` shows what there is to find.")
    for number, hit in enumerate(body["hits"], 1):
        print_hit(number, hit)
        if explain:
            print(f"    {dim(explanation(hit, mode))}")


async def _search(settings: Settings, request: dict[str, Any]) -> dict[str, Any]:
    async with connect(settings) as connection:
        return await ask(connection, request)


async def ask(connection: Connection, request: dict[str, Any]) -> dict[str, Any]:
    """The answer of `POST /search`."""
    body: dict[str, Any] = await connection.body("POST", "/search", json=request)
    return body


def print_hit(number: int, hit: dict[str, Any], *, indent: str = "") -> None:
    """Print a citation with its score, and its snippet with the matches in bold on a terminal."""
    ranks = hit.get("ranks") or {}
    found_by = f"score {hit['score']:.4f}  " + " ".join(f"{name} #{rank}" for name, rank in ranks.items() if rank is not None)
    symbol = f"  {visible(hit['symbol'])}" if hit.get("symbol") else ""
    place = f" {visible(place_of(hit['location']))}" if hit.get("location") else ""
    print(f"{indent}{number:>2}. {bold(visible(citation(hit)) + place)}{symbol}  {dim(found_by)}")
    for row in passage(hit["snippet"], hit["highlights"], columns=width() - len(indent) - 6):
        shown = "".join(_styled(list(cells), is_match) for is_match, cells in groupby(row, key=lambda cell: cell[1]))
        print(f"{indent}    {dim('|')} {shown}")


def explanation(hit: dict[str, Any], mode: str) -> str:
    """Why the hit stands where it stands: ranks, BM25, cosine, and the words that match."""
    ranks, scores = hit["ranks"], hit["scores"]
    reasons = []
    if scores["text"] is not None:
        reasons.append(f"text #{ranks['text']}: BM25 {scores['text']:.2f}")
    if scores["vector"] is not None:
        reasons.append(f"vector #{ranks['vector']}: cosine {scores['vector']:.4f}")
    if mode == "hybrid" and scores["text"] is not None and scores["vector"] is not None:
        reasons.append(f"the words add {max(0.0, hit['score'] - scores['vector']):.4f}")
    words = dict.fromkeys(visible(hit["snippet"][first:last]).lower() for first, last in hit["highlights"])
    return "; ".join([*reasons, f"matches: {', '.join(words)}" if words else "no word of the query in the snippet"])


def citation(hit: dict[str, Any]) -> str:
    """`name:first-last`, in lines from 1."""
    first, last = hit["lines"]
    return f"{hit['name']}:{first}-{last}"


def place_of(location: dict[str, Any]) -> str:
    """Where to look in the program that opens the file: `page 3`, `Sales!A2:D9`, `Guide > Install`."""
    words = [f"{name} {location[name]}" for name in ("page", "slide") if name in location]
    if "cell_range" in location:
        words.append(_cell_range(location))
    elif "sheet" in location:
        words.append(str(location["sheet"]))
    numbered = ("cells",) if "cell_range" in location else ("rows", "cells")
    words += [_range(name, *location[name]) for name in numbered if name in location]
    if "headings" in location:
        words.append(" > ".join(location["headings"]))
    return " ".join(words)


def _cell_range(location: dict[str, Any]) -> str:
    """As a spreadsheet program takes it for a place to go to: `Budget!A3:F17`, `'Sales 2024'!A1`, `A3:F17` of an only sheet."""
    if "sheet" not in location:
        return str(location["cell_range"])
    sheet = str(location["sheet"])
    if not re.fullmatch(r"[^\W\d]\w*", sheet):
        sheet = "'" + sheet.replace("'", "''") + "'"
    return f"{sheet}!{location['cell_range']}"


def _range(name: str, first: int, last: int) -> str:
    return f"{name.removesuffix('s')} {first}" if first == last else f"{name} {first}-{last}"


def passage(snippet: str, highlights: Sequence[Sequence[int]], *, columns: int) -> list[Row]:
    """Up to four rows of a snippet that fit into so many columns, from the first that has a match, without their common indentation."""
    matches = {place for first, last in highlights for place in range(first, last)}
    rows = [row for row in _lines(snippet, matches) if any(not character.isspace() for character, _ in row)]
    first = next((number for number, row in enumerate(rows) if any(is_match for _, is_match in row)), 0)
    chosen = rows[first : first + PASSAGE_ROWS]
    # the first line of a snippet may have lost its indentation
    margin = min((_indentation(row) for row in chosen if row is not rows[0] or _indentation(row)), default=0)
    return [_window(row[min(margin, _indentation(row)) :], columns) for row in chosen]


def _lines(text: str, matches: set[int]) -> Iterator[Row]:
    place = 0
    for line in text.splitlines(keepends=True):
        content = line.splitlines()[0]
        yield [("    " if character == "\t" else visible(character), place + at in matches) for at, character in enumerate(content)]
        place += len(line)


def _indentation(row: Row) -> int:
    return next((count for count, (character, _) in enumerate(row) if not character.isspace()), len(row))


def _window(row: Row, columns: int) -> Row:
    """The part of a long row around its first match; its beginning where that shows the match."""
    if _cells(row) <= columns:
        return row
    match = next((at for at, (_, is_match) in enumerate(row) if is_match), 0)
    if match >= columns * 2 // 3:
        start = match - columns // 3
        start = next((at + 1 for at in range(start, match) if row[at][0] == " "), start)
        row = [("…", False), *row[start:]]
    kept = len(row)
    while _cells(row[:kept]) > columns - (kept < len(row)):
        kept -= 1
    return row if kept == len(row) else [*row[:kept], ("…", False)]


def _cells(row: Row) -> int:
    return cell_width("".join(character for character, _ in row))


def _styled(cells: Row, is_match: bool) -> str:
    text = "".join(character for character, _ in cells)
    return styled(text, MATCH_STYLE) if is_match else text
