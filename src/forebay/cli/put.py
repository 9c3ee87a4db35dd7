"""`forebay put`: send files and folders, and wait until each is indexed, skipped or failed."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer

from forebay.cli.connection import Connection, connect, problem
from forebay.cli.execution import FAILED, run
from forebay.cli.options import AsJson, DataDirectory, Project, settings_with
from forebay.cli.output import bold, counted, duration_text, print_json, print_table, visible
from forebay.cli.progress import Progress, Tally, progress
from forebay.errors import ForebayError
from forebay.pipeline.embedders.costs import sum_of_costs
from forebay.settings import Settings
from forebay.values.reasons import REASONS

CONCURRENCY = 8
PATIENCE_SECONDS = 1800.0  # how long one file waits for a server that asks to come back later
LONGEST_PAUSE_SECONDS = 60.0
LONG_POLL_SECONDS = 20
POLL_PAUSE_SECONDS = 0.1  # a server that stops answers at once
READ_BYTES = 1 << 18
SETTLED = ("indexed", "skipped", "failed", "deleted")


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file to send."""

    name: str  # of the document
    path: Path


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What became of the files so far."""

    tally: Tally = field(default_factory=Tally)
    excluded: int = 0
    sent: int = 0
    received: int = 0  # stored, and not waited for
    costs: dict[str, float] = field(default_factory=dict)  # of a remote embedder
    documents: list[dict[str, Any]] = field(default_factory=list)  # as the API describes them; failed uploads look alike
    started: float = field(default_factory=time.perf_counter)

    def record(self, document: dict[str, Any]) -> None:
        """Count what became of one file."""
        self.documents.append(document)
        self.tally.chunks += int(document.get("chunk_count") or 0)
        self.costs = sum_of_costs([self.costs, costs_of(document)])
        match document["status"]:
            case "skipped":
                self.tally.skipped += 1
            case "failed":
                self.tally.failed += 1
            case "received":
                self.received += 1
            case _:
                self.tally.indexed += 1

    def summary(self) -> dict[str, Any]:
        """The counts as `--json` prints them."""
        return {
            "files": self.tally.total,
            "sent": self.sent,
            "indexed": self.tally.indexed,
            "skipped": self.tally.skipped,
            "failed": self.tally.failed,
            "received": self.received,
            "excluded": self.excluded,
            "chunks": self.tally.chunks,
            "seconds": round(time.perf_counter() - self.started, 3),
        } | ({"costs": self.costs} if self.costs else {})


def put(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Files and folders.", exists=True)],
    *,
    project: Project = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until every file is indexed, skipped or failed.")] = True,
    as_json: AsJson = False,
    data_dir: DataDirectory = None,
) -> None:
    """Send files and folders, and wait for what becomes of them.

    A file's document is named as the file, one below a folder as its path from the folder's parent. The same name again is a new version.
    Exit status 1 when any file failed.
    """
    settings = settings_with(data_dir=data_dir)
    uploads, outcome = _collect(paths, settings)
    run(_put(settings, uploads, outcome, project, wait=wait))
    if as_json:
        print_json({"documents": outcome.documents, "summary": outcome.summary()})
    else:
        _report(outcome)
    if outcome.tally.failed:
        raise typer.Exit(FAILED)


def visible_name(name: str) -> str:
    r"""A file name as text: bytes that are not UTF-8 show as `\xNN`."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _problem(path: Path) -> str | None:
    """Why a single path cannot be sent; a missing file is told by the attempt itself."""
    if visible_name(path.name) != path.name:
        return "name_not_utf8"
    return "not_a_file" if path.exists() and not path.is_file() else None


def _collect(paths: Sequence[Path], settings: Settings) -> tuple[list[Upload], Outcome]:
    """The files to send, and an outcome that knows already of those that cannot be."""
    from forebay.effects import DiskFiles
    from forebay.intake.excludes import Excludes
    from forebay.intake.scan import scan_source

    intake = settings.intake
    excludes = Excludes(exclude=intake.exclude_patterns, include=intake.include, respect_gitignore=intake.respect_gitignore)
    uploads: list[Upload] = []
    outcome = Outcome()
    for path in paths:
        if not path.is_dir():
            problem = _problem(path)
            if problem is None:
                uploads.append(Upload(name=path.name, path=path))
            else:
                outcome.record({"name": visible_name(path.name), "status": "skipped", "reason": problem})
            continue
        root = path.resolve()
        scan = scan_source(DiskFiles(), root, excludes)
        outcome.excluded += scan.excluded_count
        for entry in scan:
            upload = Upload(name=f"{root.name}/{entry.name}" if root.name else entry.name, path=root / entry.name)
            if entry.problem:
                outcome.record({"name": upload.name, "status": "skipped", "reason": entry.problem})
            else:
                uploads.append(upload)
    outcome.tally.total = len(uploads) + len(outcome.documents)
    twice = [name for name, count in Counter(upload.name for upload in uploads).items() if count > 1]
    if twice:
        raise ForebayError(
            "wrong_usage",
            f"Two of the files would have the name {twice[0]}, and the second would replace the first.",
            hint="Put the folder above them instead, or send them one after the other.",
        )
    return uploads, outcome


async def _put(settings: Settings, uploads: Sequence[Upload], outcome: Outcome, project: str | None, *, wait: bool) -> None:
    try:
        async with connect(settings) as connection:
            with progress() as shown:
                await _send_all(connection, uploads, outcome, project, shown, wait=wait)
    except (asyncio.CancelledError, BaseExceptionGroup) as error:
        if outcome.sent:
            _report_interruption(outcome)
        raise _cause(error) from None


async def _send_all(
    connection: Connection, uploads: Sequence[Upload], outcome: Outcome, project: str | None, shown: Progress, *, wait: bool
) -> None:
    """Upload and wait with bounded concurrency; waiting for one file does not hold up the sending of others."""
    accepted: asyncio.Queue[tuple[Upload, dict[str, Any]] | None] = asyncio.Queue()
    remaining = iter(uploads)

    async def send() -> None:
        for upload in remaining:
            try:
                answer = await _send(connection, upload, project)
            except (ForebayError, OSError) as error:
                if isinstance(error, ForebayError) and error.code == "unreachable":
                    raise
                outcome.record(_failed(upload, error))
            else:
                outcome.sent += 1
                if wait:
                    accepted.put_nowait((upload, answer))
                else:
                    outcome.record({"name": upload.name, "status": "received", **answer})
            shown.show(outcome.tally)

    async def follow() -> None:
        while (item := await accepted.get()) is not None:
            upload, answer = item
            try:
                outcome.record(await _settled(connection, answer["id"], project))
            except ForebayError as error:
                if error.code == "unreachable":
                    raise
                outcome.record(_failed(upload, error))
            shown.show(outcome.tally)

    async with asyncio.TaskGroup() as everything:
        followers = [everything.create_task(follow()) for _ in range(CONCURRENCY)]
        async with asyncio.TaskGroup() as senders:
            for _ in range(CONCURRENCY):
                senders.create_task(send())
        for _ in followers:
            accepted.put_nowait(None)


async def _send(connection: Connection, upload: Upload, project: str | None) -> dict[str, Any]:
    parameters = {"name": upload.name} | ({"project": project} if project else {})

    async def send() -> dict[str, Any]:
        with await asyncio.to_thread(upload.path.open, "rb") as stream:
            answer = await connection.send("POST", "/documents", params=parameters, content=_pieces(stream))
        if answer.is_error:
            raise problem(answer)
        body: dict[str, Any] = answer.json()
        return body

    return await _patiently(send)


async def _patiently(ask: Callable[[], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
    """The answer, however often the server asks to come back later, for half an hour."""
    began, tried = time.perf_counter(), 0
    while True:
        tried += 1
        try:
            return await ask()
        except ForebayError as error:
            pause_seconds = _pause_seconds(error.retry_after_seconds, tried)
            is_over = time.perf_counter() - began + pause_seconds > PATIENCE_SECONDS
            if is_over or not error.retryable or error.code == "unreachable":
                raise
        await asyncio.sleep(pause_seconds)


async def _pieces(stream: BinaryIO) -> AsyncIterator[bytes]:
    while piece := await asyncio.to_thread(stream.read, READ_BYTES):
        yield piece


def _pause_seconds(asked_seconds: float | None, tried: int) -> float:
    """What the server asked for, else 0.5 1 2 4 ...; bounded."""
    return min(0.5 * 2 ** min(tried - 1, 10) if asked_seconds is None else asked_seconds, LONGEST_PAUSE_SECONDS)


async def _settled(connection: Connection, document_id: str, project: str | None) -> dict[str, Any]:
    parameters: dict[str, Any] = {"wait_seconds": LONG_POLL_SECONDS} | ({"project": project} if project else {})
    while True:
        document = await _patiently(lambda: connection.body("GET", f"/documents/{document_id}", params=parameters))
        if document["status"] in SETTLED:
            return document
        await asyncio.sleep(POLL_PAUSE_SECONDS)


def _failed(upload: Upload, error: ForebayError | OSError) -> dict[str, Any]:
    code = error.code if isinstance(error, ForebayError) else "unreadable"
    message = str(error) if isinstance(error, ForebayError) else f"{os.strerror(error.errno or 0)}"
    return {"name": upload.name, "status": "failed", "reason": code, "message": message}


def _cause(error: BaseException) -> BaseException:
    """The first error of a group, which ended the others."""
    return _cause(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


def _report(outcome: Outcome) -> None:
    summary = outcome.summary()
    words = [f"{summary[status]:,} {status}" for status in ("indexed", "skipped", "failed", "received") if summary[status]]
    print(
        bold(f"{counted(summary['files'], 'file')}: {', '.join(words) or 'nothing to do'}")
        + f", {counted(summary['chunks'], 'chunk')} in {duration_text(summary['seconds'])}"
        + (f" ({summary['excluded']:,} excluded)" if summary["excluded"] else "")
    )
    if outcome.costs:
        print(f"Embedding took {costs_text(outcome.costs)}.")
    if summary["received"]:
        print("They are stored and will be indexed by the running server, or by the next `forebay up`.")
    print_unindexed(outcome.documents)


def costs_of(document: dict[str, Any]) -> dict[str, float]:
    """What embedding the newest arrival of a document cost, as its history has it; empty where nobody charges."""
    arrivals = (event for event in document.get("events", ()) if event["correlation_id"] == document["correlation_id"])
    told = [event["data"]["costs"] for event in arrivals if event["type"] == "ChunksEmbedded" and "costs" in event["data"]]
    return dict(told[-1]) if told else {}


def costs_text(costs: dict[str, float]) -> str:
    """`12 requests (1 of them again), 3,400 tokens, 2.0 s of waiting, 0.0001 USD`, as far as it applies."""
    again = f" ({costs['retries']:,} of them again)" if costs["retries"] else ""
    words = [f"{counted(int(costs['requests']), 'request')}{again}", counted(int(costs["tokens"]), "token")]
    if costs["waited_seconds"] >= 0.1:
        words.append(f"{duration_text(costs['waited_seconds'])} of waiting")
    if "usd" in costs:
        words.append(f"{costs['usd']:.4g} USD")
    return ", ".join(words)


def print_unindexed(documents: Sequence[dict[str, Any]]) -> None:
    """A table of what was skipped or failed, with why and what to do."""
    rows = []
    for document in sorted(documents, key=lambda each: (each["status"], each["name"])):
        if document["status"] in ("skipped", "failed"):
            reason = str(document.get("reason") or "")
            remedy = REASONS[reason].remedy if reason in REASONS else ""
            # the reason of a skipped file says enough; a failure has a story of its own
            message = _message(document) if document["status"] == "failed" or not remedy else ""
            advice = "; ".join(part for part in (message, remedy) if part)
            rows.append((document["status"], visible(str(document["name"])), reason, visible(advice)))
    if rows:
        print()
        print_table(("STATUS", "NAME", "REASON", "WHY, AND WHAT TO DO"), rows)


def _message(document: dict[str, Any]) -> str:
    """What the upload, or the newest event that tells, says about a failure."""
    told = [event["data"]["message"] for event in document.get("events", ()) if "message" in event["data"]]
    return str(document.get("message") or (told[-1] if told else ""))


def _report_interruption(outcome: Outcome) -> None:
    summary = outcome.summary()
    print(
        f"Interrupted: {summary['sent']:,} of {summary['files']:,} files are stored, {summary['indexed']:,} of them indexed so far.\n"
        "What is stored goes on in the running server, or with the next `forebay up`; nothing of it is lost.\n"
        "The same command again sends the rest; unchanged files cost next to nothing.",
        file=sys.stderr,
    )
