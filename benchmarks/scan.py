"""How much longer a scan of a folder takes than a bare `os.walk` with `os.stat` of every file: when nothing is known, and when all is.

python benchmarks/scan.py [folder]      the standard library without installed packages, unless one is named
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from forebay.effects import DiskFiles
from forebay.intake.excludes import Excludes
from forebay.intake.scan import scan_source
from forebay.settings import NOISE_PATTERNS

ROUNDS = 21
GITIGNORE = "*.pyc\n__pycache__/\nbuild/\n*.so\n/dist\ndocs/_build/\n*.egg-info/\n.venv\n*~\n*.py[cod]\n"


def main() -> None:
    if len(sys.argv) > 1:
        compare(Path(sys.argv[1]))
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "library"
        shutil.copytree(sysconfig.get_path("stdlib"), copy, ignore=shutil.ignore_patterns("site-packages", "__pycache__"))
        (copy / ".gitignore").write_text(GITIGNORE, encoding="utf-8")
        compare(copy)


def excludes(respect_gitignore: bool) -> Excludes:
    return Excludes(exclude=NOISE_PATTERNS, include=[], respect_gitignore=respect_gitignore)


def compare(root: Path) -> None:
    def walk() -> int:
        count = 0
        for directory, _, names in os.walk(root):
            for name in names:
                os.stat(os.path.join(directory, name))  # noqa: PTH116 - the yardstick is the bare call
                count += 1
        return count

    def scan(respect_gitignore: bool) -> int:
        return len(scan_source(DiskFiles(), root, excludes(respect_gitignore)).entries)

    known: dict[str, str | None] = {entry.name: entry.stat.etag for entry in scan_source(DiskFiles(), root, excludes(True))}

    def unchanged() -> int:
        assert not scan_source(DiskFiles(), root, excludes(True), known=known).entries
        return len(known)

    def bare_scan() -> int:
        files, count, waiting = DiskFiles(), 0, [root]
        while waiting:
            directory = waiting.pop()
            for name, stat in files.scan(directory):
                if stat.kind == "directory":
                    waiting.append(directory / name)
                else:
                    count += 1
        return count

    kinds: dict[str, Callable[[], int]] = {
        "os.walk and os.stat": walk,
        "Files.scan of every directory": bare_scan,
        "scan_source": lambda: scan(False),
        "scan_source with .gitignore": lambda: scan(True),
        "the same when all is known": unchanged,
    }
    seconds: dict[str, list[float]] = {kind: [] for kind in kinds}
    counts: dict[str, int] = {}
    for _ in range(ROUNDS):
        for kind, function in kinds.items():
            started = time.perf_counter()
            counts[kind] = function()
            seconds[kind].append(time.perf_counter() - started)
    yardstick = statistics.median(seconds["os.walk and os.stat"])
    for kind, taken in seconds.items():
        median = statistics.median(taken)
        print(f"{kind:32} {counts[kind]:6} files  {median * 1000:8.2f} ms  {median / yardstick:5.2f} x")


if __name__ == "__main__":
    main()
