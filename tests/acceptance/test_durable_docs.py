"""docs/durable.md is true: its tutorial runs as a reader would paste it, and its tables say what the program has."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import fields
from pathlib import Path

import pytest
from tests.oracle.differences import DIFFERENCES, MISSING

from forebay.durable import DurableClient, EngineLimits
from program import clean_environment, eventually

PAGE_PATH = Path(__file__).parents[2] / "docs/durable.md"
PAGE = PAGE_PATH.read_text(encoding="utf-8")
PORT = "8765"  # of the tutorial's server
SERVER = " &"  # how a command ends that is to go on beside the next ones


def section(title: str) -> str:
    """The text below a heading, up to the next one of its level."""
    level = title.split(" ", maxsplit=1)[0]
    return re.split(rf"^{level} ", PAGE.split(f"\n{title}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def table(title: str) -> list[list[str]]:
    """The cells of the table below a heading, without its head."""
    rows = re.findall(r"^\| (.*) \|$", section(title), re.MULTILINE)
    assert rows, title
    return [row.split(" | ") for row in rows[1:]]


def blocks(text: str) -> list[tuple[str, str]]:
    """Language and content of each block, in order."""
    return re.findall(r"^```(\w+)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def dialogue(block: str) -> Iterator[tuple[str, str]]:
    """What is typed, and what is then to be seen."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, answer = part.partition("\n")
        yield command, answer


def fits(shown: str, seen: str) -> bool:
    """Whether an answer is the one that is shown, where `...` stands for anything."""
    return re.fullmatch(".*".join(map(re.escape, shown.strip().split("..."))), seen.strip(), re.DOTALL) is not None


@contextmanager
def shell(folder: Path) -> Iterator[Shell]:
    """A reader's shell in this folder; what it has left running ends with the block."""
    reader = Shell(folder)
    try:
        yield reader
    finally:
        reader.end()


class Shell:
    """Types commands, one after the other."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._environment = clean_environment(PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        self._server: subprocess.Popen[bytes] | None = None

    def type(self, command: str) -> str:
        """What a command prints; one that ends with ` &` runs on, and listens when this returns."""
        if command.endswith(SERVER):
            self._server = subprocess.Popen(shlex.split(command.removesuffix(SERVER)), cwd=self._folder, env=self._environment)
            port = int(re.search(r"--port (\d+)", command).group(1))  # type: ignore[union-attr]
            eventually(lambda: _listens(port), f"{command} listens")
            return ""
        if command == "kill %1":
            assert self._server is not None
            self._server.send_signal(signal.SIGTERM)
            self._server.wait(timeout=60)
            return ""
        done = subprocess.run(
            ["bash", "-c", command], cwd=self._folder, env=self._environment, stdout=subprocess.PIPE, timeout=120, text=True, check=False
        )
        return done.stdout

    def end(self) -> None:
        """End the server, if it still runs."""
        if self._server is not None and self._server.poll() is None:
            self._server.kill()
            self._server.wait()


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return str(listener.getsockname()[1])


def test_everything_on_the_page_runs_as_a_reader_pastes_it(tmp_path: Path) -> None:
    commands = 0
    with shell(tmp_path) as reader:
        for language, content in blocks(PAGE.replace(PORT, _free_port())):
            if language == "python":
                name = re.match(r"# (\w+\.py)\n", content)
                assert name is not None, content
                (tmp_path / name.group(1)).write_text(content, encoding="utf-8")
                continue
            assert language == "console", content
            for command, shown in dialogue(content):
                seen = reader.type(command)
                assert fits(shown, seen), f"$ {command}\n{seen}"
                commands += 1
    assert commands >= 20


def test_the_differences_in_orchestrators_are_those_that_are_tested() -> None:
    assert table("### In orchestrators") == [[each.title, each.why] for each in DIFFERENCES]


def test_the_names_that_are_not_there_are_those_that_are_tested() -> None:
    assert table("### Not there") == [[f"`{name}`", why] for name, why in MISSING.items()]


def test_every_limit_is_listed_with_its_default() -> None:
    defaults = EngineLimits()
    shown = {name.strip("`"): default for name, default, _ in table("### Limits")}
    assert list(shown) == [each.name for each in fields(EngineLimits)]
    for name, default in shown.items():
        if name != "blocking_processes":  # as many as there are processors
            assert float(default) == getattr(defaults, name), name


def test_every_operation_of_the_client_has_a_place_on_the_page() -> None:
    operations = [name for name in vars(DurableClient) if not name.startswith("_")]
    assert [name for name in operations if not re.search(rf"\b{name}\b", PAGE)] == []


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)]+)\)", PAGE))))
def test_every_link_leads_somewhere(link: str) -> None:
    file, _, anchor = link.partition("#")
    text = (PAGE_PATH.parent / file).read_text(encoding="utf-8") if file else PAGE
    headings = [heading.lower().replace(" ", "-") for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)]
    assert not anchor or anchor in headings
