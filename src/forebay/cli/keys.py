"""`forebay keys`: who may call, and what that may do."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer

from forebay.cli.connection import connect
from forebay.cli.execution import run
from forebay.cli.options import AsJson, DataDirectory, Project, settings_with
from forebay.cli.output import bold, print_facts, print_json, print_table, visible
from forebay.errors import ForebayError

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

keys = typer.Typer(help="API keys: make, list, rotate, revoke.", no_args_is_help=True, rich_markup_mode=None)

Identity = Annotated[str, typer.Argument(help="The key's id, as `forebay keys list` shows it.")]


@keys.command()
def create(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    scope: Annotated[list[str], typer.Option("--scope", help="read, ingest, write, manage or admin; several with several options.")],
    project: Project = None,
    expires: Annotated[str | None, typer.Option("--expires", help="After which time it opens nothing more: 90d, 12h.")] = None,
    as_json: AsJson = False,
    data_dir: DataDirectory = None,
) -> None:
    """Make a key. It is printed this once: only its hash is kept."""
    body: dict[str, Any] = {"name": name, "scopes": scope, "project": project}
    if expires is not None:
        body["expires_in_seconds"] = seconds_of(expires)
    _print_new(_ask(data_dir, "POST", "/keys", json=body), as_json=as_json)


@keys.command("list")
def list_(project: Project = None, as_json: AsJson = False, data_dir: DataDirectory = None) -> None:
    """List keys, with what they may do and when they were used last."""
    body = _ask(data_dir, "GET", "/keys", params={"project": project} if project else {})
    if as_json:
        print_json(body)
        return
    if not body["keys"]:
        print("No keys besides the admin key; `forebay keys create NAME --scope read` makes one.")
        return
    print_table(
        ("ID", "NAME", "PROJECT", "SCOPES", "STATE", "LAST USED"),
        [
            (
                each["id"],
                visible(each["name"]),
                visible(each["project"]),
                " ".join(each["scopes"]),
                _state(each),
                _minute(each["last_used_at"]) if each["last_used_at"] else "never",
            )
            for each in body["keys"]
        ],
    )


@keys.command()
def rotate(
    identity: Identity,
    overlap: Annotated[str, typer.Option("--overlap", help="How long the old key goes on opening: 24h, 0s.")] = "24h",
    as_json: AsJson = False,
    data_dir: DataDirectory = None,
) -> None:
    """Make the key that follows another, which goes on opening for a while."""
    body = {"overlap_seconds": seconds_of(overlap)}
    _print_new(_ask(data_dir, "POST", f"/keys/{identity}/rotate", json=body), as_json=as_json)


@keys.command()
def revoke(identity: Identity, as_json: AsJson = False, data_dir: DataDirectory = None) -> None:
    """Let a key open nothing any more, at once."""
    body = _ask(data_dir, "DELETE", f"/keys/{identity}")
    if as_json:
        print_json(body)
    else:
        print(f"Revoked {bold(visible(body['name']))} ({body['id']}).")


def seconds_of(text: str) -> float:
    """`90d`, `12h`, `30m`, `45s` in seconds. Raises `ForebayError` (`invalid_duration`)."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text.strip())
    if found is None:
        raise ForebayError("invalid_duration", f"expected a time such as 90d, 12h, 30m or 45s, got {text!r}", status=422)
    return float(found[1]) * _UNITS[found[2]]


def _ask(data_dir: Any, method: str, path: str, **options: Any) -> dict[str, Any]:
    async def ask() -> dict[str, Any]:
        async with connect(settings_with(data_dir=data_dir)) as connection:
            body: dict[str, Any] = await connection.body(method, path, **options)
            return body

    return run(ask())


def _print_new(body: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(body)
        return
    print(body["key"])
    facts = [("id", body["id"]), ("project", visible(body["project"])), ("scopes", " ".join(body["scopes"]))]
    print_facts([*facts, ("expires", body["expires_at"] or "never")])
    print("Keep it now: it is not shown again.")


def _state(key: dict[str, Any]) -> str:
    if key["revoked_at"]:
        return "revoked"
    return f"until {_minute(key['expires_at'])}" if key["expires_at"] else "valid"


def _minute(time: str) -> str:
    """An RFC 3339 time in UTC, to the minute."""
    return f"{time[:16]}Z"
