"""Options that several commands share, and the settings that come of them."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from forebay.settings import Settings, load_settings

DataDirectory = Annotated[Path | None, typer.Option("--data-dir", metavar="DIR", help="The data directory, instead of FOREBAY_DATA_DIR.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Project = Annotated[str | None, typer.Option("--project", metavar="NAME", help="The project, instead of the default one.")]


def settings_with(**overrides: object) -> Settings:
    """The settings of this run; what the command line gives wins. Warnings go to standard error."""
    settings = load_settings(os.environ, overrides)
    for warning in settings.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return settings
