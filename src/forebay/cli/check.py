"""`forebay check`: prove that the index and the history are what they should be, and that recorded orchestrations fit the code."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from forebay.cli.check_replay import export_instances, replay_instances
from forebay.cli.connection import connect
from forebay.cli.execution import FAILED, run
from forebay.cli.options import AsJson, DataDirectory, settings_with
from forebay.cli.output import print_json, print_table, styled, visible
from forebay.errors import ForebayError
from forebay.settings import Settings

Target = Literal["index", "history"]
AnyTarget = Literal["index", "history", "replay", "export-replay"]
PROVED: dict[Target, str] = {
    "index": "chunks, full text and vectors agree with the stored files",
    "history": "documents and versions follow from the events",
}


def check(
    target: Annotated[AnyTarget | None, typer.Argument(help="What to check; `index` and `history` without it.")] = None,
    path: Annotated[
        Path | None, typer.Argument(help="For `replay` a data directory or an export, for `export-replay` the file to write.")
    ] = None,
    *,
    repair: Annotated[bool, typer.Option("--repair", help="Mend what can be mended.")] = False,
    export: Annotated[
        Path | None, typer.Option("--export", metavar="FILE", help="For `replay`: an export instead of a data directory.")
    ] = None,
    as_json: AsJson = False,
    data_dir: DataDirectory = None,
) -> None:
    """Check the index and the history for contradictions, or recorded orchestrations against this version's code.

    `replay` runs the orchestrators of this version along the recorded history of every orchestration, and names those that would do
    something else. It only reads, also while a server runs: use it before you deploy a new version. `export-replay` writes the
    histories to a file for that. Exit status 1 when something is wrong.
    """
    if target == "replay":
        replay_instances(settings_with(data_dir=data_dir), path or export, as_json=as_json)
        return
    if target == "export-replay":
        export_instances(settings_with(data_dir=data_dir), path, as_json=as_json)
        return
    if path is not None or export is not None:
        raise ForebayError("wrong_usage", f"expected no path for `check {target or ''}`".rstrip(), hint="`check replay PATH` takes one.")
    targets: tuple[Target, ...] = (target,) if target else ("index", "history")
    answers = run(_check(settings_with(data_dir=data_dir), targets, repair=repair))
    ok = all(answer["ok"] for answer in answers.values())
    if as_json:
        print_json(answers[target] if target else {"ok": ok, **answers})
    else:
        for name, answer in answers.items():
            _print(name, answer)
    if not ok:
        raise typer.Exit(FAILED)


async def _check(settings: Settings, targets: tuple[Target, ...], *, repair: bool) -> dict[Target, dict[str, Any]]:
    async with connect(settings) as connection:
        method, end = ("POST", "/repair") if repair else ("GET", "")
        return {target: await connection.body(method, f"/check/{target}{end}", timeout=None) for target in targets}


def _print(target: Target, answer: dict[str, Any]) -> None:
    counts = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in answer["checked"].items())
    verdict = styled("ok", "32") if answer["ok"] else styled("not ok", "1;31")
    print(f"{target}: {verdict} ({counts})" + (f": {PROVED[target]}" if answer["ok"] else ""))
    if answer["problems"]:
        print_table(
            ("CODE", "DOCUMENT", "PROBLEM"),
            [(each["code"], str(each["document_id"] or ""), visible(each["message"])) for each in answer["problems"]],
            indent="  ",
        )
