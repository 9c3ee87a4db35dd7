"""`forebay documents`: what came in, and what became of it."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer

from forebay.cli.connection import Connection, connect
from forebay.cli.execution import run
from forebay.cli.options import AsJson, DataDirectory, Project, settings_with
from forebay.cli.output import bold, dim, print_facts, print_json, print_table, size_text, visible
from forebay.cli.put import costs_text
from forebay.cli.search import place_of
from forebay.errors import ForebayError
from forebay.settings import Settings
from forebay.values.reasons import REASONS

_SHOWN_VALUES = 5  # of each field; --json has all

documents = typer.Typer(help="List documents, or show one with its history.", no_args_is_help=True)


@documents.command("list")
def list_documents(
    *,
    project: Project = None,
    status: Annotated[str | None, typer.Option(metavar="STATUS", help="received, processing, indexed, skipped, failed or deleted.")] = None,
    name_prefix: Annotated[str | None, typer.Option(metavar="TEXT", help="Only names that begin with this.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at a time.")] = 50,
    everything: Annotated[bool, typer.Option("--all", help="All of them, not only the first page.")] = False,
    as_json: AsJson = False,
    data_dir: DataDirectory = None,
) -> None:
    """List documents with their status, chunks and size."""
    given = {"project": project, "status": status, "name_prefix": name_prefix, "limit": 1000 if everything else limit}
    settings = settings_with(data_dir=data_dir)
    body = run(_list(settings, {name: value for name, value in given.items() if value is not None}, everything=everything))
    if as_json:
        print_json(body)
        return
    if not body["documents"]:
        print("No documents match." if status or name_prefix else "No documents yet; `forebay put PATH` sends some.")
        return
    rows = [
        (
            each["status"],
            f"{each['chunk_count']:,}",
            size_text(each["size_bytes"]),
            str(each["updated_at"])[:19].replace("T", " "),
            each["id"],
            each.get("reason") or "",
            visible(each["name"]),
        )
        for each in body["documents"]
    ]
    print_table(("STATUS", "CHUNKS", "SIZE", "UPDATED (UTC)", "ID", "REASON", "NAME"), rows, right=(1, 2))
    if body["next_cursor"]:
        print(dim(f"The first {len(rows)}; --all lists the rest."))


@documents.command("show")
def show_document(
    document: Annotated[str, typer.Argument(metavar="ID-OR-NAME", help="The document's id, or its whole name.")],
    *,
    project: Project = None,
    chunks: Annotated[bool, typer.Option("--chunks", help="Show its chunks instead of its history.")] = False,
    as_json: AsJson = False,
    data_dir: DataDirectory = None,
) -> None:
    """Show one document: what is known of it, and what happened to it."""
    body = run(_show(settings_with(data_dir=data_dir), document, project, chunks=chunks))
    if as_json:
        print_json(body)
    elif chunks:
        _print_chunks(body["chunks"])
    else:
        _print_document(body)


async def _list(settings: Settings, parameters: dict[str, Any], *, everything: bool) -> dict[str, Any]:
    async with connect(settings) as connection:
        body: dict[str, Any] = await connection.body("GET", "/documents", params=parameters)
        while everything and body["next_cursor"]:
            page = await connection.body("GET", "/documents", params=parameters | {"cursor": body["next_cursor"]})
            body = {"documents": body["documents"] + page["documents"], "next_cursor": page["next_cursor"]}
        return body


async def _show(settings: Settings, given: str, project: str | None, *, chunks: bool) -> dict[str, Any]:
    async with connect(settings) as connection:
        document_id = await _document_id(connection, given, project)
        body: dict[str, Any] = await connection.body(
            "GET", f"/documents/{document_id}{'/chunks' if chunks else ''}", params=_scope(project)
        )
        while chunks and body.get("next_cursor"):
            page = await connection.body(
                "GET", f"/documents/{document_id}/chunks", params=_scope(project) | {"cursor": body["next_cursor"]}
            )
            body = {"chunks": body["chunks"] + page["chunks"], "next_cursor": page.get("next_cursor")}
        return body


def _scope(project: str | None) -> dict[str, str]:
    return {"project": project} if project else {}


async def _document_id(connection: Connection, given: str, project: str | None) -> str:
    """The id of the document that `given` is the id or the name of."""
    answer = await connection.send("GET", f"/documents/{quote(given, safe='')}", params=_scope(project))
    if answer.is_success:
        return str(answer.json()["id"])
    listed = await connection.body("GET", "/documents", params=_scope(project) | {"name_prefix": given, "limit": 1000})
    named = [each for each in listed["documents"] if each["name"] == given]
    if len(named) > 1:
        choices = "; ".join(f"{each['id']} from {each['source']}" for each in named)
        raise ForebayError("ambiguous_name", f"Several documents have the name {given}: {choices}.", hint="Give the id.", status=409)
    if not named:
        near = [each["name"] for each in listed["documents"][:3]]
        raise ForebayError(
            "document_not_found",
            f"There is no document with the id or the name {given}.",
            hint=f"Names that begin so: {', '.join(near)}." if near else "`forebay documents list` shows what is there.",
            status=404,
        )
    return str(named[0]["id"])


def _print_document(body: dict[str, Any]) -> None:
    print(bold(visible(body["name"])))
    reason = body.get("reason")
    blob = body.get("blob") or {}
    facts = [
        ("status", body["status"] + (f" ({reason}: {REASONS[reason].meaning})" if reason in REASONS else "")),
        ("what to do", REASONS[reason].remedy if reason in REASONS else None),
        ("id", body["id"]),
        ("project", body["project"]),
        ("source", body["source"]),
        ("blob", "/".join(part for part in (blob.get("container"), blob.get("name")) if part)),
        ("version", body["version"]),
        ("chunks", f"{body['chunk_count']:,}"),
        ("size", size_text(body["size_bytes"])),
        ("type", body["content_type"]),
        ("language", body["language"]),
        ("sha256", body["sha256"]),
        ("instance", body["instance_id"]),
        ("correlation", body["correlation_id"]),
        ("created", body["created_at"]),
        ("updated", body["updated_at"]),
    ]
    print_facts((name, visible(str(value))) for name, value in facts if value not in (None, ""))
    print_facts(_field_facts(body.get("fields") or []))
    events = body.get("events") or []
    if events:
        print()
        print_table(
            ("WHEN (UTC)", "EVENT", "BY", "DETAILS"),
            [
                (str(event["at"])[:23].replace("T", " ").rstrip("Z"), event["type"], visible(event["actor"]), _details(event["data"]))
                for event in events
            ],
        )


def _field_facts(fields: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """The first values of each name; the language is among the facts already."""
    values: dict[str, list[str]] = {}
    for each in fields:
        values.setdefault(str(each["name"]), []).append(visible(str(each["value"])))
    values.pop("language", None)
    return [
        (name, ", ".join(found[:_SHOWN_VALUES]) + (f" and {len(found) - _SHOWN_VALUES} more" if len(found) > _SHOWN_VALUES else ""))
        for name, found in values.items()
    ]


def _details(data: dict[str, Any]) -> str:
    told = {name: f"({costs_text(value)})" if name == "costs" else value for name, value in data.items() if value not in (None, "", [], {})}
    return visible("  ".join(f"{name}={value}" for name, value in told.items()))


def _print_chunks(chunks: list[dict[str, Any]]) -> None:
    for chunk in chunks:
        first, last = chunk["lines"]
        symbol = f"  {visible(chunk['symbol'])}" if chunk.get("symbol") else ""
        place = f"  {visible(place_of(chunk['location']))}" if chunk.get("location") else ""
        print(bold(f"chunk {chunk['ordinal']}  lines {first}-{last}{place}") + dim(symbol))
        print(visible(chunk["text"], keep_newlines=True))
        print()
    if not chunks:
        print("No chunks: nothing of this document is searchable.")
