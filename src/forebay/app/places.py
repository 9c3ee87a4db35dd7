"""Where files are looked for: the intake container and the watched folders."""

from __future__ import annotations

import re
from pathlib import Path

from forebay.errors import ForebayError
from forebay.intake.excludes import Excludes
from forebay.intake.places import Place
from forebay.settings import Settings
from forebay.values.arrival import INCOMING_SOURCE


def places(settings: Settings, blob_root: Path) -> list[Place]:
    """The intake container and the watched folders. Blobs are excluded by nothing: somebody put them there on purpose."""
    everything = Excludes(exclude=(), include=(), respect_gitignore=False)
    intake = settings.intake
    patterns = intake.exclude_patterns
    project = settings.default_project
    incoming = Place(
        project=project,
        source=INCOMING_SOURCE,
        root=blob_root / intake.container,
        container=intake.container,
        prefix=intake.prefix,
        excludes=everything,
    )
    folders = []
    for folder in dict.fromkeys(each.resolve() for each in intake.watch):
        if folder.is_relative_to(settings.data_dir.resolve()):
            raise ForebayError(
                "invalid_setting",
                f"{folder} cannot be watched: it is the data directory, or part of it",
                hint="watch a folder of your own, or drop files into the intake container",
            )
        own = _own_data(folder, settings.data_dir.resolve())
        excludes = Excludes(exclude=(*patterns, *own), include=intake.include, respect_gitignore=intake.respect_gitignore)
        folders.append(Place(project=project, source=str(folder), root=folder, container=None, prefix="", excludes=excludes))
    return [incoming, *folders]


def _own_data(folder: Path, data_dir: Path) -> list[str]:
    """The pattern that keeps a folder's watch from indexing this program's own data directory below it."""
    if not data_dir.is_relative_to(folder):
        return []
    return ["/" + re.sub(r"([*?\[\]\\!# ])", r"\\\1", data_dir.relative_to(folder).as_posix()) + "/"]
