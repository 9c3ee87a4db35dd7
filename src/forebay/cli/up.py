"""`forebay up`: run the server."""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

from forebay import __version__
from forebay.cli.options import settings_with
from forebay.cli.output import bold, print_facts, visible
from forebay.errors import ForebayError
from forebay.settings import Settings


def up(
    data_dir: Annotated[Path | None, typer.Option(metavar="DIR", help="Where everything is kept.")] = None,
    host: Annotated[str | None, typer.Option(metavar="H", help="The address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(metavar="N", help="The port to listen on; 0 takes a free one.")] = None,
    watch: Annotated[
        list[Path] | None, typer.Option(metavar="DIR", help="A folder to read from, again for more; nothing in it is ever changed.")
    ] = None,
) -> None:
    """Run the server, the watched folders and the pipeline.

    Stops at Ctrl-C or SIGTERM: it finishes what it can within FOREBAY_STOP_DEADLINE_SECONDS, and goes on with the rest at the next start.
    """
    settings = settings_with(data_dir=data_dir, host=host, port=port, watch=watch or None)
    for folder in settings.intake.watch:
        if not folder.is_dir():
            raise ForebayError("wrong_usage", f"{folder} is not a folder that can be watched.", hint="Give a folder that exists.")
    logging.basicConfig(
        level=settings.log_level, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s", datefmt="%Y-%m-%dT%H:%M:%S%z"
    )
    for handler in logging.getLogger().handlers:
        handler.setLevel(settings.log_level)  # the loggers themselves let through what telemetry takes
    logging.getLogger("watchfiles").setLevel(logging.WARNING)  # it counts every change
    asyncio.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    from forebay.app import open_forebay
    from forebay.server.serve import serve

    async with open_forebay(settings) as program:
        await serve(program.asgi, program.parts, ready=lambda url: _announce(settings, url))


def _announce(settings: Settings, url: str) -> None:
    data_dir = settings.data_dir.absolute()
    print(bold(f"Forebay {__version__} is ready"))
    facts = [("address", url), ("try it", f"{url}/docs"), ("data directory", str(data_dir)), ("key", str(data_dir / "admin.key"))]
    facts.append(("drop files into", str(data_dir / "containers" / settings.intake.container)))
    facts += [("watching", str(folder.absolute())) for folder in settings.intake.watch]
    facts.append(("stop", "Ctrl-C"))
    print_facts((name, visible(value)) for name, value in facts)
    sys.stdout.flush()
