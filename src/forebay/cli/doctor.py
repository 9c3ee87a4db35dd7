"""`forebay doctor`: whether this machine and these settings can run Forebay."""

from __future__ import annotations

from typing import Annotated

import typer

from forebay.cli.execution import FAILED, run
from forebay.cli.options import AsJson, DataDirectory, settings_with
from forebay.cli.output import print_json, styled, visible

MARKS = {"ok": ("ok  ", "32"), "warn": ("warn", "33"), "fail": ("FAIL", "1;31")}


def doctor(
    embedder: Annotated[
        bool, typer.Option("--embedder", help="Look at the embedder alone, and measure how many texts it does a second.")
    ] = False,
    as_json: AsJson = False,
    data_dir: DataDirectory = None,
) -> None:
    """Check whether this machine can run Forebay.

    Python, SQLite, data directory, disk, embedder, parser, port and watch limits. Exit status 1 when a check fails.
    """
    from forebay.cli.diagnosis import diagnose, diagnose_embedder

    settings = settings_with(data_dir=data_dir)
    findings = run(diagnose_embedder(settings) if embedder else diagnose(settings))
    failed = [finding for finding in findings if finding.state == "fail"]
    if as_json:
        keys = ("name", "state", "detail", "advice")
        print_json({"ok": not failed, "checks": [{key: getattr(finding, key) for key in keys} for finding in findings]})
    else:
        longest = max(len(finding.name) for finding in findings)
        for finding in findings:
            mark, style = MARKS[finding.state]
            print(f"{styled(mark, style)}  {finding.name.ljust(longest)}  {visible(finding.detail)}")
            if finding.advice:
                print(f"{' ' * (longest + 6)}  -> {visible(finding.advice)}")
    if failed:
        raise typer.Exit(FAILED)
