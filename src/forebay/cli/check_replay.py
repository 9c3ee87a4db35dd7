"""`forebay check replay` and `export-replay`: recorded orchestrations against the code of this version."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from forebay.cli.execution import FAILED
from forebay.cli.output import counted, print_json, print_table, styled, visible
from forebay.cli.progress import progress
from forebay.errors import ForebayError
from forebay.settings import Settings

if TYPE_CHECKING:
    from forebay.durable import ReplayReport

JOURNAL = "catalog.db"  # in the data directory
SHOWN_EVERY = 64  # instances


class _Shown:
    """How far a check is."""

    def __init__(self, report: ReplayReport) -> None:
        self.done = report.instance_count
        self.total = report.total or report.instance_count
        self._diverging_count = len(report.divergences)

    def describe(self, elapsed_seconds: float) -> str:
        """One line of it."""
        rate = self.done / elapsed_seconds if elapsed_seconds > 0 else 0.0
        return f"{self.done:,}/{self.total:,} instances · {rate:,.0f} instances/s · {self._diverging_count:,} would diverge"


def replay_instances(settings: Settings, path: Path | None, *, as_json: bool) -> None:
    """Replay every instance of a data directory, a journal or an export, and say which would diverge."""
    from forebay.app import register_orchestrations
    from forebay.durable import Registry, check_replay

    registry = Registry()
    register_orchestrations(registry, settings)
    place = _journal(settings, path)
    with progress() as bar:

        def show(report: ReplayReport) -> None:
            if report.instance_count % SHOWN_EVERY == 0:
                bar.show(_Shown(report))

        report = check_replay(registry, place, shown=show)
    if as_json:
        print_json(_answer(report))
    else:
        _print(report, place)
    if not report.ok:
        raise typer.Exit(FAILED)


def export_instances(settings: Settings, path: Path | None, *, as_json: bool) -> None:
    """Write every instance with its history to a file. Raises `ForebayError`: `wrong_usage`, `export_failed`, `journal_unreadable`."""
    from forebay.durable.checks.check import recorded_instances
    from forebay.durable.checks.export import write_export

    if path is None:
        raise ForebayError("wrong_usage", "expected the file to write", hint="`forebay check export-replay FILE`")
    with recorded_instances(_journal(settings, None)) as (_, instances):
        try:
            with path.open("xb") as file:
                count = write_export(instances, file)
        except OSError as error:
            raise ForebayError(
                "export_failed", f"{path} cannot be written: {error.strerror}", hint="Name a file that does not exist yet."
            ) from error
    if as_json:
        print_json({"instances": count, "path": str(path)})
    else:
        print(f"{counted(count, 'instance')} written to {visible(str(path))}; `forebay check replay {visible(str(path))}` replays them.")


def _journal(settings: Settings, path: Path | None) -> Path:
    place = settings.data_dir if path is None else path
    return place / JOURNAL if place.is_dir() or path is None else place


def _answer(report: ReplayReport) -> dict[str, Any]:
    return {
        "ok": report.ok,
        "checked": {"instances": report.instance_count, "running": report.running_count, "unregistered": report.unregistered_count},
        "problems": [{"code": "diverges"} | dataclasses.asdict(each) for each in report.divergences],
    }


def _print(report: ReplayReport, place: Path) -> None:
    verdict = styled("ok", "32") if report.ok else styled("not ok", "1;31")
    counts = f"{counted(report.instance_count, 'instance')} of {visible(str(place))}, {report.running_count:,} of them running"
    print(f"replay: {verdict} ({counts})" + (": this version's code does what was recorded" if report.ok else ""))
    if report.unregistered_count:
        print(f"  {counted(report.unregistered_count, 'ended instance')} of orchestrators that this version does not have any more")
    if report.divergences:
        print_table(
            ("INSTANCE", "ORCHESTRATOR", "STATUS", "RECORDED", "NOW"),
            [
                (
                    visible(each.instance_id),
                    visible(each.name),
                    each.status,
                    visible(each.recorded),
                    "nothing" if each.scheduled is None else visible(each.scheduled),
                )
                for each in report.divergences
            ],
            indent="  ",
        )
        print("  Running ones would be held under this version: keep the code that they began with, registered as a version of its own.")
