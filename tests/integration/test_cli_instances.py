"""`forebay instances` on the real API and a real engine, one process after the other: each command opens them anew."""

from __future__ import annotations

import json
import os
import re
import sys
import types
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from tests.integration.durable_works import Works

from forebay.cli.instances import instances
from forebay.cli.main import main
from forebay.durable import DurableEngine, ManagementUrls
from forebay.durable.http import durable_router
from forebay.settings import Settings


class Commands:
    """Runs command lines; returns exit status, standard output and standard error."""

    def __init__(self, works: Works, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.works = works
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        self._monkeypatch.setattr(sys, "argv", ["forebay", "instances", *arguments])
        with pytest.raises(SystemExit) as exited:
            main()
        captured = self._capsys.readouterr()
        return int(exited.value.code or 0), captured.out, captured.err

    def json(self, *arguments: str) -> Any:
        return json.loads(self(*arguments, "--json")[1])

    def failed(self, *arguments: str) -> str:
        status, _, err = self(*arguments)
        assert status != 0
        return err


@pytest.fixture
def forebay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Commands:
    works = Works()

    @asynccontextmanager
    async def open_forebay(settings: Settings) -> AsyncIterator[Any]:
        engine = DurableEngine(works.registry, tmp_path / "jobs.db")
        engine.client.urls = ManagementUrls("http://127.0.0.1:8000", b"s" * 32)
        asgi = FastAPI()
        asgi.include_router(durable_router(engine.client))
        async with engine:
            yield types.SimpleNamespace(asgi=asgi, admin_key="the-admin-key", settings=settings)

    monkeypatch.setitem(sys.modules, "forebay.app", types.SimpleNamespace(open_forebay=open_forebay))
    for name in [name for name in os.environ if name.startswith("FOREBAY_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return Commands(works, monkeypatch, capsys)


def test_an_empty_list_names_the_next_step(forebay: Commands):
    assert forebay("list")[1] == "No instances yet; `forebay put PATH` starts one for each file.\n"
    assert forebay("list", "--status", "Failed")[1] == "No instances match.\n"
    assert forebay.json("list") == []


def test_a_start_follows_the_instance_and_tells_what_happens(forebay: Commands):
    status, out, err = forebay("start", "echo", "--input", '{"a": "\\u001b[31m"}', "--id", "first")
    assert status == 0
    assert "Completed" in out
    assert re.search(r"activity say completed: .* \(\d+ ms\)\n", err)
    assert "\x1b" not in out + err
    assert forebay.json("start", "echo", "--input", "7")["output"] == 7


def test_a_timeline_has_activities_tries_and_durations_and_says_what_helps(forebay: Commands):
    status, out, _ = forebay("start", "break_once", "--id", "broken")
    assert status == 1
    assert "forebay instances rewind broken" in out
    shown = forebay("show", "broken")[1]
    assert re.search(r"\d+ ms  activity break_while_broken failed, try 1: it is broken \[broken\]\n", shown)
    assert re.search(r"ended: Failed\n", shown)
    assert re.search(r"Failed +break_once +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  broken  broken\n", forebay("list")[1])


def test_an_instance_that_waits_says_for_what_since_when_and_how_it_goes_on(forebay: Commands):
    assert "forebay instances watch waiting" in forebay("start", "wait", "--id", "waiting", "--no-wait")[1]
    shown = forebay("show", "waiting")[1]
    assert re.search(r"Since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} it waits for:\n  the event go\n", shown)
    assert "forebay instances raise waiting go --data JSON" in shown
    assert "the event go" in forebay("list", "--status", "Running,Pending")[1]
    assert forebay("suspend", "waiting", "--reason", "a rest")[1].startswith("Suspended; `forebay instances resume waiting`")
    assert "somebody to resume it" in forebay("show", "waiting")[1]
    assert forebay("resume", "waiting")[0] == 0
    assert forebay("raise", "waiting", "go", "--data", '"12"')[1].startswith("Sent.\n")
    assert forebay.json("watch", "waiting")["output"] == "12"  # a text stays one
    assert "event go came" in forebay("show", "waiting")[1]
    assert "has ended: it is Completed" in forebay.failed("raise", "waiting", "go")


def test_an_instance_is_terminated_restarted_rewound_and_purged(forebay: Commands):
    forebay("start", "wait", "--id", "a", "--no-wait")
    assert "terminate it first" in forebay.failed("purge", "a")
    assert forebay("terminate", "a", "--reason", "enough")[1] == "Terminated.\nNext: forebay instances show a\n"
    status, out, _ = forebay("watch", "a")
    assert (status, "enough" in out) == (1, True)
    assert forebay.json("restart", "a", "--in-place")["id"] == "a"
    assert forebay.json("terminate", "a")["runtimeStatus"] == "Terminated"
    assert forebay.json("restart", "a")["id"] != "a"
    forebay("start", "break_once", "--id", "b")
    forebay.works.is_broken = False
    assert forebay("rewind", "b")[1].startswith("Rewound.\n")
    assert forebay.json("watch", "b")["output"] == "mended"
    assert "'restart' runs an instance again" in forebay.failed("rewind", "b")
    assert forebay("purge", "a")[1] == "Forgot 1 instance.\n"
    assert "there is no instance 'a'" in forebay.failed("show", "a")
    assert forebay.json("purge", "--older-than", "0s", "--status", "Completed") == {"instancesDeleted": 1}
    assert "no instance that has ended fits" in forebay.failed("purge", "--older-than", "0s")


def test_pages_are_listed_one_at_a_time_or_all(forebay: Commands):
    for number in range(3):
        forebay("start", "echo", "--id", f"echo-{number}")
    assert [each["instanceId"] for each in forebay.json("list", "--limit", "2")] == ["echo-2", "echo-1"]
    assert "The newest 2; --all lists the rest." in forebay("list", "--limit", "2")[1]
    assert len(forebay.json("list", "--all", "--prefix", "echo-")) == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("start", "nobody"), "registered orchestrators: break_once, echo, versioned, wait"),
        (("start", "echo", "--input", "{"), "expected JSON after --input"),
        (("raise", "a", "go", "--data", "text"), "A text is JSON in quotes"),
        (("purge",), "expected an instance's id or --older-than"),
        (("purge", "a", "--older-than", "1d"), "and not both"),
        (("list", "--status", "Odd"), "expected statuses out of Pending, Running"),
        (("show", "nobody"), "`forebay instances list` shows what there is"),
        (("start", "echo", "--id", "@a"), "expected an instance id of 1 to 100 characters"),
    ],
)
def test_what_cannot_be_is_refused_in_words(forebay: Commands, arguments: tuple[str, ...], said: str):
    assert said in forebay.failed(*arguments)


def test_every_command_has_a_line_of_help():
    assert {command.name or command.callback.__name__ for command in instances.registered_commands if command.callback} == {
        *("list", "show", "watch", "start", "raise", "terminate", "suspend", "resume", "rewind", "restart", "purge")
    }
    assert all(command.callback is not None and command.callback.__doc__ for command in instances.registered_commands)
