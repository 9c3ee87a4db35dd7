"""The entry point of `forebay`."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Annotated

import typer

from forebay import __version__
from forebay.cli.bench import bench
from forebay.cli.check import check
from forebay.cli.deadletters import deadletters
from forebay.cli.demo import demo
from forebay.cli.doctor import doctor
from forebay.cli.documents import documents
from forebay.cli.execution import exit_status
from forebay.cli.instances import instances
from forebay.cli.keys import keys
from forebay.cli.output import print_error
from forebay.cli.put import put
from forebay.cli.query import query
from forebay.cli.reindex import reindex
from forebay.cli.search import search
from forebay.cli.settings import settings
from forebay.cli.state import show_state
from forebay.cli.up import up
from forebay.errors import ForebayError


def application() -> typer.Typer:
    """The command tree; what a command needs beyond its options is imported when it runs."""
    tree = typer.Typer(name="forebay", add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    tree.callback(invoke_without_command=True)(_alone)
    for command in (demo, up, put, search, query, check, reindex, settings, doctor, bench):
        tree.command()(command)
    tree.add_typer(documents, name="documents")
    tree.add_typer(deadletters, name="deadletters")
    tree.add_typer(instances, name="instances")
    tree.add_typer(keys, name="keys")
    return tree


def _alone(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    """Event-driven ingestion that loses nothing and can explain itself.

    Without a command: the state of the data directory and the next step.
    """
    if version:
        print(__version__)
        raise typer.Exit
    if context.invoked_subcommand is None:
        show_state()


def main() -> None:
    """Run the command line; never a traceback for an error that Forebay knows."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        application()()
    except ForebayError as error:
        print_error(error.message, error.hint)
        sys.exit(exit_status(error))
    except UnicodeEncodeError as error:
        # an argument that is no UTF-8: it could not be part of any request
        print_error(f"expected UTF-8 in the arguments, got {error.object!r}", "Check the encoding of your terminal, or rename the file.")
        sys.exit(2)
    except BrokenPipeError:
        # the reader went away (`forebay documents list | head`); keep the interpreter from flushing into the void
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


if __name__ == "__main__":
    main()
