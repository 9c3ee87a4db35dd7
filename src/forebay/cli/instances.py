"""`forebay instances`: orchestrations that run or have run, and what may be done to them."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from urllib.parse import quote

import typer

from forebay.cli.connection import Connection, connect, problem
from forebay.cli.execution import FAILED, run
from forebay.cli.instance_output import print_instance, print_instances, print_news
from forebay.cli.keys import seconds_of
from forebay.cli.options import AsJson, DataDirectory, Project, settings_with
from forebay.cli.output import bold, counted, dim, print_json, visible
from forebay.errors import ForebayError
from forebay.settings import Settings

INSTANCES = "/runtime/webhooks/durabletask/instances"
CONTINUATION = "x-ms-continuation-token"
FIRST_LOOK_SECONDS = 0.1
LONGEST_LOOK_SECONDS = 1.0  # between two looks of `watch`
ENDED = ("Completed", "Failed", "Terminated")

instances = typer.Typer(help="Orchestrations: list, follow and manage their instances.", no_args_is_help=True, rich_markup_mode=None)

Identity = Annotated[str, typer.Argument(metavar="ID", help="The instance's id, as `forebay instances list` shows it.")]
ReasonText = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; the history says so.")]
StatusNames = Annotated[
    str | None,
    typer.Option("--status", metavar="STATUS", help="Pending, Running, Suspended, Completed, Failed or Terminated; several with commas."),
]


@instances.command("list")
def list_(
    *,
    status: StatusNames = None,
    prefix: Annotated[str | None, typer.Option("--prefix", metavar="TEXT", help="Only ids that begin with this.")] = None,
    project: Annotated[str | None, typer.Option("--project", metavar="NAME", help="Only those of a project.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at a time.")] = 50,
    everything: Annotated[bool, typer.Option("--all", help="All of them, not only the first page.")] = False,
    as_json: AsJson = False,
    data_dir: DataDirectory = None,
) -> None:
    """List instances, newest first, with what they wait for or have failed of."""
    given = {"runtimeStatus": status, "instanceIdPrefix": prefix, "project": project, "top": 1000 if everything else limit}
    wanted = {name: value for name, value in given.items() if value is not None}
    found, has_more = run(_list(settings_with(data_dir=data_dir), wanted, everything=everything))
    if as_json:
        print_json(found)
        return
    if not found:
        is_filtered = status or prefix or project
        print("No instances match." if is_filtered else "No instances yet; `forebay put PATH` starts one for each file.")
        return
    print_instances(found)
    if has_more:
        print(dim(f"The newest {len(found)}; --all lists the rest."))


@instances.command()
def show(identity: Identity, as_json: AsJson = False, data_dir: DataDirectory = None) -> None:
    """Show an instance: what happened when, how long it took, and what it waits for."""

    state = _with(data_dir, lambda connection: _state(connection, identity))
    if as_json:
        print_json(state)
    else:
        print_instance(state)


@instances.command()
def watch(identity: Identity, as_json: AsJson = False, data_dir: DataDirectory = None) -> None:
    """Follow an instance until it ends. The exit status is 1 if it fails or is terminated."""
    _end(_with(data_dir, lambda connection: _followed(connection, identity)), as_json=as_json)


@instances.command()
def start(
    name: Annotated[str, typer.Argument(help="The orchestrator: `embeddings` is the one that takes requests.")],
    *,
    value: Annotated[
        str, typer.Option("--input", metavar="JSON", help='Its input, such as \'{"name": "a.md", "text": "..."}\'; `-` reads it.')
    ] = "null",
    identity: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="An id of your own, free or of an instance that has ended.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Follow it until it ends, or return at once.")] = True,
    as_json: AsJson = False,
    data_dir: DataDirectory = None,
) -> None:
    """Start an instance."""
    body = _json(sys.stdin.read() if value == "-" else value, "--input")

    async def begin(connection: Connection) -> dict[str, Any]:
        path = f"/api/orchestrators/{_quoted(name)}" + ("" if identity is None else f"/{_quoted(identity)}")
        started: dict[str, Any] = await connection.body("POST", path, json=body)
        return await _followed(connection, started["id"]) if wait else started

    answer = _with(data_dir, begin)
    if wait:
        _end(answer, as_json=as_json)
    elif as_json:
        print_json(answer)
    else:
        _say(f"Started {bold(visible(answer['id']))}.", f"forebay instances watch {answer['id']}")


@instances.command("raise")
def raise_(
    identity: Identity,
    event: Annotated[str, typer.Argument(metavar="EVENT", help="The name that it waits for.")],
    data: Annotated[str, typer.Option("--data", metavar="JSON", help="The event's data; a text is JSON in quotes.")] = "null",
    as_json: AsJson = False,
    data_dir: DataDirectory = None,
) -> None:
    """Send an event to an instance, which reads it when it waits for that name."""
    body = json.dumps(json.dumps(_json(data, "--data")))  # a text that is JSON arrives as that JSON, so it is one
    _change(data_dir, identity, f"raiseEvent/{_quoted(event)}", "Sent.", as_json=as_json, content=body)


@instances.command()
def terminate(identity: Identity, reason: ReasonText = "", as_json: AsJson = False, data_dir: DataDirectory = None) -> None:
    """End an instance, and the sub-orchestrations that it waits for."""
    _change(data_dir, identity, "terminate", "Terminated.", as_json=as_json, reason=reason)


@instances.command()
def suspend(identity: Identity, reason: ReasonText = "", as_json: AsJson = False, data_dir: DataDirectory = None) -> None:
    """Let an instance rest until it is resumed."""
    _change(
        data_dir, identity, "suspend", f"Suspended; `forebay instances resume {identity}` lets it go on.", as_json=as_json, reason=reason
    )


@instances.command()
def resume(identity: Identity, reason: ReasonText = "", as_json: AsJson = False, data_dir: DataDirectory = None) -> None:
    """Let a suspended instance go on."""
    _change(data_dir, identity, "resume", "Resumed.", as_json=as_json, reason=reason)


@instances.command()
def rewind(identity: Identity, reason: ReasonText = "", as_json: AsJson = False, data_dir: DataDirectory = None) -> None:
    """Let a failed instance go on from before its failure: what had succeeded is not done again."""
    _change(data_dir, identity, "rewind", "Rewound.", as_json=as_json, reason=reason)


@instances.command()
def restart(
    identity: Identity,
    in_place: Annotated[bool, typer.Option("--in-place", help="Under its own id, which needs it to have ended.")] = False,
    as_json: AsJson = False,
    data_dir: DataDirectory = None,
) -> None:
    """Run an instance again from its beginning, with its input, as a new one."""

    async def again(connection: Connection) -> dict[str, Any]:
        params = {"restartWithNewInstanceId": json.dumps(not in_place)}
        started: dict[str, Any] = await connection.body("POST", f"{INSTANCES}/{_quoted(identity)}/restart", params=params)
        return started

    answer = _with(data_dir, again)
    if as_json:
        print_json(answer)
    else:
        _say(f"Started {bold(visible(answer['id']))}.", f"forebay instances watch {answer['id']}")


@instances.command()
def purge(
    identity: Annotated[str | None, typer.Argument(metavar="[ID]", help="One instance; without it, those of --older-than.")] = None,
    *,
    older_than: Annotated[
        str | None, typer.Option("--older-than", metavar="TIME", help="Created so long ago or earlier: 30d, 12h.")
    ] = None,
    status: StatusNames = None,
    project: Project = None,
    as_json: AsJson = False,
    data_dir: DataDirectory = None,
) -> None:
    """Forget instances that have ended, with their history. Documents stay."""
    if (identity is None) == (older_than is None):
        raise ForebayError("wrong_usage", "expected an instance's id or --older-than, and not both", hint="forebay instances purge --help")

    async def forget(connection: Connection) -> dict[str, Any]:
        if older_than is None:
            path, params = f"{INSTANCES}/{_quoted(identity or '')}", {}
        else:
            until = datetime.now(UTC) - timedelta(seconds=seconds_of(older_than))  # noqa: TID251 - of the terminal, not of the program
            given = {"createdTimeTo": until.isoformat(), "runtimeStatus": status, "project": project}
            path, params = INSTANCES, {name: value for name, value in given.items() if value} | {"createdTimeFrom": "1970-01-01T00:00:00Z"}
        purged: dict[str, Any] = await connection.body("DELETE", path, params=params)
        return purged

    answer = _with(data_dir, forget)
    if as_json:
        print_json(answer)
    else:
        print(f"Forgot {counted(answer['instancesDeleted'], 'instance')}.")


# -- parts ----------------------------------------------------------------------------------------------------------------


def _with(data_dir: Any, work: Any) -> dict[str, Any]:
    async def ask() -> dict[str, Any]:
        async with connect(settings_with(data_dir=data_dir)) as connection:
            body: dict[str, Any] = await work(connection)
            return body

    return run(ask())


async def _list(settings: Settings, wanted: dict[str, Any], *, everything: bool) -> tuple[list[dict[str, Any]], bool]:
    found: list[dict[str, Any]] = []
    headers: dict[str, str] = {}
    async with connect(settings) as connection:
        while True:
            answer = await connection.send("GET", INSTANCES, params=wanted, headers=headers)
            if answer.is_error:
                raise problem(answer)
            found += answer.json()
            token = answer.headers.get(CONTINUATION)
            if token is None or not everything:
                return found, token is not None
            headers = {CONTINUATION: token}


async def _state(connection: Connection, identity: str) -> dict[str, Any]:
    params = {"showHistory": "true", "showHistoryOutput": "true"}
    try:
        body: dict[str, Any] = await connection.body("GET", f"{INSTANCES}/{_quoted(identity)}", params=params)
    except ForebayError as error:
        if error.code == "instance_not_found":
            error.hint = "`forebay instances list` shows what there is; instances that have ended are purged after a while."
        raise
    return body


async def _followed(connection: Connection, identity: str) -> dict[str, Any]:
    """The state of an instance once it has ended; what happens until then is told on standard error."""
    told = 0
    pause_seconds = FIRST_LOOK_SECONDS
    while True:
        state = await _state(connection, identity)
        told = print_news(state, told)
        if state["runtimeStatus"] in ENDED:
            return state
        await asyncio.sleep(pause_seconds)
        pause_seconds = min(LONGEST_LOOK_SECONDS, pause_seconds * 1.5)


def _change(
    data_dir: Any, identity: str, operation: str, said: str, *, as_json: bool, reason: str = "", content: str | None = None
) -> None:
    async def change(connection: Connection) -> dict[str, Any]:
        options: dict[str, Any] = {"params": {"reason": reason}} if reason else {}
        if content is not None:
            options |= {"content": content, "headers": {"Content-Type": "application/json"}}
        answer = await connection.send("POST", f"{INSTANCES}/{_quoted(identity)}/{operation}", **options)
        if answer.is_error:
            raise problem(answer)
        return await _state(connection, identity)

    state = _with(data_dir, change)
    if as_json:
        print_json(state)
    else:
        _say(visible(said), f"forebay instances {'show' if state['runtimeStatus'] in ENDED else 'watch'} {identity}")


def _end(state: dict[str, Any], *, as_json: bool) -> None:
    """Print what has been followed to its end: its timeline has been told."""
    if as_json:
        print_json(state)
    else:
        print_instance(state, has_timeline=False)
    if state["runtimeStatus"] != "Completed":
        raise typer.Exit(FAILED)


def _say(what: str, next_step: str) -> None:
    print(what)
    print(dim(f"Next: {visible(next_step)}"))


def _json(text: str, option: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ForebayError(
            "wrong_usage", f"expected JSON after {option}, but: {error}", hint="A text is JSON in quotes: '\"text\"'.", status=422
        ) from None


def _quoted(text: str) -> str:
    return quote(text, safe="")
