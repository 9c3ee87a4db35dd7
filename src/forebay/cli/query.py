"""`forebay query`: ask in KQL what happened."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import typer

from forebay.cli.chart import ASCII, chart_lines
from forebay.cli.connection import Connection, connect
from forebay.cli.execution import run
from forebay.cli.options import AsJson, DataDirectory, Project, settings_with
from forebay.cli.output import bold, cell_width, clipped, counted, print_json, print_table, styled, visible, width
from forebay.cli.time_labels import trimmed_times
from forebay.errors import ForebayError
from forebay.settings import Settings

WIDEST_CELL = 60  # on a terminal
LEAST_CELL = 8  # to which a column of text may be cut so that all columns fit
_NUMBERS = ("int", "long", "real")
_WHOLE = (*_NUMBERS, "datetime", "timespan", "bool")  # what means something else when it is cut
_PLACE = re.compile(r"\bline (\d+), column (\d+)\b")


def query(
    text: Annotated[str, typer.Argument(metavar="KQL", help="The query; - reads it from standard input.")],
    *,
    project: Project = None,
    timespan: Annotated[str | None, typer.Option(metavar="TIME", help="Only rows of this time: PT1H, P7D, START/END.")] = None,
    limit: Annotated[int | None, typer.Option(min=0, help="How many rows, at most.")] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the rows as CSV.")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Show how the query is understood, and its SQL; run nothing.")] = False,
    as_json: AsJson = False,
    data_dir: DataDirectory = None,
) -> None:
    """Ask in KQL what happened to files, and what was sent as telemetry.

    A `render` at the end draws a chart: barchart, columnchart, piechart, timechart. Quotes around the query keep its bars from the shell.

    \b
      forebay query 'documents | summarize count() by status'
      forebay query "arrivals | where outcome == 'failed' | project name, reason"
      forebay query --timespan PT1H 'requests | summarize avg(duration) by name'
      forebay query 'traces | summarize count() by bin(timestamp, 5m) | render timechart'
      forebay query --explain 'requests | summarize avg(duration) by bin(timestamp, 1h)'
      forebay query - < question.kql
    """  # noqa: D301 - this escape keeps the lines after it as they are
    if as_csv and as_json:
        raise ForebayError("wrong_usage", "expected --csv or --json, got both")
    if explain and (as_csv or limit is not None):
        raise ForebayError("wrong_usage", f"--explain runs nothing: there are no rows for {'--csv' if as_csv else '--limit'}")
    asked = _standard_input() if text == "-" else text
    given = {"query": asked, "project": project, "timespan": timespan, "limit": limit}
    request = {name: value for name, value in given.items() if value is not None}
    try:
        body = run(_query(settings_with(data_dir=data_dir), request, "/query/explain" if explain else "/query"))
    except ForebayError as error:
        raise _pointed(error, asked) from error
    if as_json:
        print_json(body)
    elif explain:
        _print_explanation(body)
    elif as_csv:
        _print_csv(body["tables"][0])
    else:
        print_answer(body)
    sys.stdout.flush()  # a reader that went away is noticed here, where it is handled


async def _query(settings: Settings, request: dict[str, Any], path: str) -> dict[str, Any]:
    async with connect(settings) as connection:
        return await _asked(connection, request, path)


async def ask_kql(connection: Connection, request: dict[str, Any]) -> dict[str, Any]:
    """The answer of `POST /query`."""
    return await _asked(connection, request, "/query")


async def _asked(connection: Connection, request: dict[str, Any], path: str) -> dict[str, Any]:
    body: dict[str, Any] = await connection.body("POST", path, json=request, timeout=None)
    return body


def print_answer(body: dict[str, Any]) -> None:
    """Print a table, or the chart that the query asks for; on standard error, what it took and what is missing."""
    print_result(body)
    took = f"{counted(len(body['tables'][0]['rows']), 'row')} in {body['took_ms']:.0f} ms"
    print(styled(took, "2", stream=sys.stderr), file=sys.stderr)
    if body["truncated"]:
        more = "; --limit asks for more" if body["truncated"] == "rows" else ""
        _note(f"the answer was cut short by its limit of {body['truncated']}{more}.")
    if body["lag_seconds"]:
        _note(f"what came in the last {body['lag_seconds']:.1f} s may be missing.")


def print_result(body: dict[str, Any], *, indent: str = "") -> None:
    """Print the table or the chart alone."""
    table = body["tables"][0]
    lines = chart_lines(table, body["render"], columns=width() - len(indent)) if body["render"] else None
    if not table["rows"]:
        print(f"{indent}No rows.")
    elif lines is None:
        _print_rows(table, indent)
    else:
        for line in lines:
            print(f"{indent}{line if _has_blocks() else line.translate(ASCII)}".rstrip())


def _print_explanation(body: dict[str, Any]) -> None:
    """The bound tree, and below it the SQL."""
    for title, text in (("tree", body["tree"]), ("SQL", body["sql"])):
        print(bold(title))
        for line in text.splitlines():
            print(f"  {visible(line)}")


def _note(text: str) -> None:
    print(styled(f"Note: {text}", "33", stream=sys.stderr), file=sys.stderr)


def _standard_input() -> str:
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        raise ForebayError("wrong_usage", f"expected UTF-8 on standard input, but: {error}") from None


def _pointed(error: ForebayError, text: str) -> ForebayError:
    """The error with the line that it is about, and a mark below the place."""
    place = _PLACE.search(error.message)
    lines = text.splitlines()
    if place is None or not 1 <= int(place[1]) <= len(lines):
        return error
    line, column = lines[int(place[1]) - 1], int(place[2]) - 1
    start = max(0, column - 40)
    before = visible(line[start:column])
    after = clipped(visible(line[column:]), max(10, width(sys.stderr) - cell_width(before) - 4))
    shown = f"{error.message}\n  {before}{after}\n  {' ' * cell_width(before)}^"
    return ForebayError(error.code, shown, hint=error.hint, status=error.status, retryable=error.retryable)


def _has_blocks() -> bool:
    """Whether the output can show the characters that charts are made of."""
    try:
        "█▁▏".encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _print_rows(table: dict[str, Any], indent: str) -> None:
    """A table, or where its columns do not fit beside each other, a block of lines for each row."""
    names = [visible(column["name"]) for column in table["columns"]]
    kinds = [column["type"] for column in table["columns"]]
    columns = [_cells([row[place] for row in table["rows"]], kind) for place, kind in enumerate(kinds)]
    natural = [max(cell_width(cell) for cell in (name, *cells)) for name, cells in zip(names, columns, strict=True)]
    room = width() - len(indent)
    widths = _fitting([min(each, WIDEST_CELL) for each in natural], kinds, room)
    if widths is None:
        _print_records(names, columns, indent)
        return
    if sys.stdout.isatty():
        names = [clipped(name, limit) for name, limit in zip(names, widths, strict=True)]
        columns = [[clipped(cell, limit) for cell in cells] for cells, limit in zip(columns, widths, strict=True)]
    rows = list(zip(*columns, strict=True))
    print_table(names, rows, right=[place for place, kind in enumerate(kinds) if kind in _NUMBERS], indent=indent)


def _fitting(natural: Sequence[int], kinds: Sequence[str], room: int) -> list[int] | None:
    """Widths that fit, by cutting the widest columns of text; None when there is no room for all."""
    widths = list(natural)
    least = [each if kind in _WHOLE else min(each, LEAST_CELL) for each, kind in zip(natural, kinds, strict=True)]
    gaps = 2 * (len(widths) - 1)
    if sum(least) + gaps > room:
        return widths if len(widths) == 1 else None
    while sum(widths) + gaps > room:
        widest = max((place for place in range(len(widths)) if widths[place] > least[place]), key=widths.__getitem__)
        widths[widest] -= 1
    return widths


def _print_records(names: Sequence[str], columns: Sequence[Sequence[str]], indent: str) -> None:
    longest = max(map(cell_width, names))
    room = max(20, width() - len(indent) - longest - 2) if sys.stdout.isatty() else None
    for number, row in enumerate(zip(*columns, strict=True), 1):
        print(bold(f"{indent}row {number}"))
        for name, cell in zip(names, row, strict=True):
            if cell:
                print(f"{indent}{name}{' ' * (longest - cell_width(name))}  {cell if room is None else clipped(cell, room)}")


def _cells(values: Sequence[Any], kind: str) -> list[str]:
    texts = [visible(_plain(value)) for value in values]
    return trimmed_times(texts) if kind == "datetime" else texts


def _plain(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _print_csv(table: dict[str, Any]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(list(_csv_values(column["name"] for column in table["columns"])))
    writer.writerows(list(_csv_values(row)) for row in table["rows"])


def _csv_values(values: Any) -> Iterator[Any]:
    """What is printed for programs is exact; on a terminal nothing may act on it."""
    for value in values:
        text = "" if value is None else str(value).lower() if isinstance(value, bool) else value
        yield visible(text) if isinstance(text, str) and sys.stdout.isatty() else text
