"""`forebay deadletters`: what failed for good, and how to have it done after all."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Annotated, Any

import typer

from forebay.cli.connection import connect
from forebay.cli.execution import FAILED, run
from forebay.cli.keys import seconds_of
from forebay.cli.options import AsJson, DataDirectory, Project, settings_with
from forebay.cli.output import bold, counted, dim, print_error, print_facts, print_json, print_table, visible
from forebay.effects import SystemClock
from forebay.errors import ForebayError

deadletters = typer.Typer(help="What failed for good: list, show, replay, purge.", no_args_is_help=True, rich_markup_mode=None)

Ids = Annotated[list[int] | None, typer.Argument(metavar="ID...", help="Their ids, as `forebay deadletters list` shows them.")]
Everything = Annotated[bool, typer.Option("--all", help="Every open one, or every open one that fits the options below.")]
Kind = Annotated[str | None, typer.Option("--kind", metavar="KIND", help="Only `activity` or `orchestrator`: what failed.")]
Name = Annotated[str | None, typer.Option("--name", metavar="NAME", help="Only this activity or orchestrator.")]
Orchestrator = Annotated[str | None, typer.Option("--orchestrator", metavar="NAME", help="Only instances of this orchestrator.")]
Code = Annotated[str | None, typer.Option("--code", metavar="CODE", help="Only with this code of error.")]
Since = Annotated[str | None, typer.Option("--since", metavar="AGE", help="Only what failed in the last 12h, 7d, ...")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Change nothing; say what would happen.")]


@deadletters.command("list")
def list_(
    *,
    kind: Kind = None,
    name: Name = None,
    orchestrator: Orchestrator = None,
    code: Code = None,
    since: Since = None,
    status: Annotated[str, typer.Option("--status", metavar="STATUS", help="open, replayed, purged or all.")] = "open",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at a time.")] = 50,
    cursor: Annotated[str | None, typer.Option("--cursor", metavar="TEXT", help="The `next_cursor` of the page before.")] = None,
    project: Project = None,
    as_json: AsJson = False,
    data_dir: DataDirectory = None,
) -> None:
    """List dead letters, newest first; the open ones unless asked for others."""
    given = _filter(kind, name, orchestrator, code, since) | {"status": status, "limit": limit, "cursor": cursor}
    body = _ask(data_dir, project, "GET", "/deadletters", params={key: value for key, value in given.items() if value is not None})
    if as_json:
        print_json(body)
        return
    found = body["deadletters"]
    if not found:
        print("No dead letters: nothing has failed for good." if status == "open" else f"No dead letters are {status}.")
        return
    print_table(
        ("ID", "FAILED (UTC)", "STATUS", "TRIES", "NAME", "CODE", "INSTANCE", "REASON"),
        [
            (
                str(each["id"]),
                _second(each["last_failed_at"]),
                each["status"],
                str(each["attempts"]),
                visible(each["name"]),
                visible(each["code"]),
                visible(each["instance_id"]),
                visible(each["reason"]),
            )
            for each in found
        ],
        right=(0, 3),
    )
    if body["next_cursor"]:
        print(dim(f"The first {len(found)}; --cursor {body['next_cursor']} lists the next."))
    elif status == "open":
        print(dim("`forebay deadletters show ID` tells more; `forebay deadletters replay ID` has it done again."))


@deadletters.command()
def show(
    letter: Annotated[int, typer.Argument(metavar="ID", help="The dead letter's id.")],
    project: Project = None,
    as_json: AsJson = False,
    data_dir: DataDirectory = None,
) -> None:
    """Show one dead letter: what failed with which payload, every try, and what became of it."""
    body = _ask(data_dir, project, "GET", f"/deadletters/{letter}")
    if as_json:
        print_json(body)
        return
    print(bold(f"dead letter {body['id']}: {body['kind']} {visible(body['name'])}"))
    facts = [
        ("status", body["status"]),
        ("code", body["code"]),
        ("reason", body["reason"]),
        ("orchestrator", body["orchestrator"]),
        ("instance", body["instance_id"]),
        ("correlation", body["correlation_id"]),
        ("project", body["project"]),
        ("payload", json.dumps(body["payload"], ensure_ascii=False)),
        ("settled", _settlement(body)),
    ]
    print_facts((name, visible(str(value))) for name, value in facts if value)
    if body["tries"]:
        print()
        rows = [(str(each["attempt"]), _second(each["at"]), visible(each["code"]), visible(each["message"])) for each in body["tries"]]
        print_table(("TRY", "FAILED (UTC)", "CODE", "MESSAGE"), rows, right=(0,))
    if body["status"] == "open":
        print(dim(f"\n`forebay deadletters replay {letter}` has it done again; `forebay deadletters purge {letter}` puts it away."))


@deadletters.command()
def replay(
    ids: Ids = None,
    *,
    everything: Everything = False,
    kind: Kind = None,
    name: Name = None,
    orchestrator: Orchestrator = None,
    code: Code = None,
    since: Since = None,
    dry_run: DryRun = False,
    project: Project = None,
    as_json: AsJson = False,
    data_dir: DataDirectory = None,
) -> None:
    """Have done again what failed: some, or all that fit.

    Exit status 1 when one stays open.
    """
    wanted = _wanted(ids, _filter(kind, name, orchestrator, code, since), everything=everything)
    body = _ask(data_dir, project, "POST", "/deadletters/replay", json=wanted | {"dry_run": dry_run}, timeout=None)
    if as_json:
        print_json(body)
    elif dry_run:
        print(f"{counted(body['would_replay'], 'dead letter')} would be replayed; nothing was changed.")
    else:
        for each in body["letters"]:
            print(f"dead letter {each['id']}: {visible(each['instance_id'])} does it again")
        print(f"{counted(body['replayed'], 'dead letter')} replayed; what fails again appears in `forebay deadletters list`.")
    _end(body, as_json=as_json)


@deadletters.command()
def purge(
    ids: Ids = None,
    *,
    everything: Everything = False,
    kind: Kind = None,
    name: Name = None,
    orchestrator: Orchestrator = None,
    code: Code = None,
    since: Since = None,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it is kept.")] = "",
    dry_run: DryRun = False,
    project: Project = None,
    as_json: AsJson = False,
    data_dir: DataDirectory = None,
) -> None:
    """Put away what need not be done any more: some, or all that fit. Who did so, and why, is kept.

    Exit status 1 when one stays open.
    """
    wanted = _wanted(ids, _filter(kind, name, orchestrator, code, since), everything=everything)
    body = _ask(data_dir, project, "POST", "/deadletters/purge", json=wanted | {"reason": reason, "dry_run": dry_run}, timeout=None)
    if as_json:
        print_json(body)
    elif dry_run:
        print(f"{counted(body['would_purge'], 'dead letter')} would be purged; nothing was changed.")
    else:
        print(f"{counted(body['purged'], 'dead letter')} purged; `forebay deadletters list --status purged` lists them.")
    _end(body, as_json=as_json)


def _filter(kind: str | None, name: str | None, orchestrator: str | None, code: str | None, since: str | None) -> dict[str, Any]:
    given: dict[str, Any] = {"kind": kind, "name": name, "orchestrator": orchestrator, "code": code}
    if since is not None:
        given["since"] = (SystemClock().now() - timedelta(seconds=seconds_of(since))).isoformat()
    return {key: value for key, value in given.items() if value is not None}


def _wanted(ids: list[int] | None, which: dict[str, Any], *, everything: bool) -> dict[str, Any]:
    """Raises `ForebayError` (`wrong_usage`) unless it is clear which dead letters are meant."""
    if ids and (everything or which):
        raise ForebayError("wrong_usage", "expected either ids, or --all and what fits, got both")
    if not ids and not (everything or which):
        raise ForebayError(
            "wrong_usage",
            "expected the ids of dead letters, or --all, --code, --name, ... for those that fit",
            hint="`forebay deadletters list` shows what is there; --dry-run changes nothing.",
        )
    return {"ids": ids} if ids else {"filter": which}


def _end(body: dict[str, Any], *, as_json: bool) -> None:
    if not body["errors"]:
        return
    if not as_json:
        for each in body["errors"]:
            print_error(f"dead letter {each['id']}: {each['message']}", each["hint"])
    raise typer.Exit(FAILED)


def _settlement(body: dict[str, Any]) -> str | None:
    found = body["settlement"]
    if found is None:
        return None
    more = f", as instance {found['instance_id']}" if found.get("instance_id") else f": {found['reason']}" if found.get("reason") else ""
    return f"{body['status']} by {found['by']} at {_second(body['status_at'])}{more}"


def _ask(data_dir: Any, project: str | None, method: str, path: str, **options: Any) -> dict[str, Any]:
    params = options.pop("params", {}) | ({"project": project} if project else {})

    async def ask() -> dict[str, Any]:
        async with connect(settings_with(data_dir=data_dir)) as connection:
            body: dict[str, Any] = await connection.body(method, path, params=params, **options)
            return body

    return run(ask())


def _second(time: str) -> str:
    """An RFC 3339 time in UTC, to the second."""
    return time[:19].replace("T", " ")
