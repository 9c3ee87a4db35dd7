"""`forebay doctor`: whether this machine and these settings can run Forebay."""

from __future__ import annotations

import typer

from forebay.cli.execution import FAILED, run
from forebay.cli.options import AsJson, DataDirectory, settings_with
from forebay.cli.output import print_json, styled, visible

MARKS = {"ok": ("ok  ", "32"), "warn": ("warn", "33"), "fail": ("FAIL", "1;31")}


def doctor(as_json: AsJson = False, data_dir: DataDirectory = None) -> None:
    """Check whether this machine can run Forebay.

    Python, SQLite, data directory, disk, embedder, parser, port and watch limits. Exit status 1 when a check fails.
    """
    from forebay.cli.diagnosis import diagnose

    findings = run(diagnose(settings_with(data_dir=data_dir)))
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
