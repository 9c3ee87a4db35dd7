"""`forebay check`: prove that the index and the history are what they should be."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from forebay.cli.connection import connect
from forebay.cli.execution import FAILED, run
from forebay.cli.options import AsJson, DataDirectory, settings_with
from forebay.cli.output import print_json, print_table, styled, visible
from forebay.settings import Settings

Target = Literal["index", "history"]
PROVED: dict[Target, str] = {
    "index": "chunks, full text and vectors agree with the stored files",
    "history": "documents and versions follow from the events",
}


def check(
    target: Annotated[Target | None, typer.Argument(help="What to check; both without it.")] = None,
    repair: Annotated[bool, typer.Option("--repair", help="Mend what can be mended.")] = False,
    as_json: AsJson = False,
    data_dir: DataDirectory = None,
) -> None:
    """Check the index and the history for contradictions.

    Exit status 1 when there is one.
    """
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
