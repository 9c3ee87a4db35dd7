"""Two corpora for retrieval, found on every machine that can run the benchmark: one small document for each docstring.

`standard_library` has docstrings of Python's own modules, `packages` those of libraries that Forebay is developed with, and
their documents (`*.md`, `*.rst`). A document's name is the dotted name of what it describes with slashes, and `.txt`.
"""

from __future__ import annotations

import ast
import sysconfig
from collections.abc import Iterator
from pathlib import Path

STANDARD_LIBRARY_MODULES = (
    "argparse ast asyncio base64 bisect calendar codecs collections concurrent configparser contextlib copy csv ctypes dataclasses "
    "datetime difflib email enum fileinput fnmatch fractions ftplib functools getpass gettext glob gzip heapq hmac html http imaplib "
    "importlib inspect ipaddress json linecache locale logging mailbox mimetypes multiprocessing netrc numbers operator os pathlib pdb "
    "pickle platform poplib posixpath pprint profile queue random re reprlib sched secrets selectors shelve shlex shutil signal smtplib "
    "socket socketserver sqlite3 ssl statistics string stringprep subprocess tarfile tempfile textwrap threading timeit tokenize "
    "trace traceback types typing unittest urllib uuid warnings wave weakref webbrowser wsgiref xml xmlrpc zipapp zipfile zoneinfo"
).split()
PACKAGES = "anyio click fastapi httpx hypothesis networkx pluggy pydantic rich sqlalchemy starlette tqdm typer uvicorn watchfiles".split()
LENGTHS_CHARACTERS = range(60, 4001)  # shorter ones say too little, longer ones are manuals that answer everything
MARKUP = (".md", ".rst")


def standard_library() -> dict[str, str]:
    """Texts by name."""
    root = Path(sysconfig.get_path("stdlib"))
    return dict(_docstrings(root, STANDARD_LIBRARY_MODULES))


def packages() -> dict[str, str]:
    """Texts by name."""
    root = Path(sysconfig.get_path("purelib"))
    texts = dict(_docstrings(root, PACKAGES))
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*")):
            if path.suffix in MARKUP and path.is_file():
                texts[path.relative_to(root).as_posix()] = path.read_text(encoding="utf-8", errors="replace")
    return texts


def _docstrings(root: Path, names: tuple[str, ...] | list[str]) -> Iterator[tuple[str, str]]:
    for name in names:
        single = root / f"{name}.py"
        for path in [single] if single.is_file() else sorted((root / name).rglob("*.py")):
            module = path.relative_to(root).with_suffix("").as_posix().removesuffix("/__init__")
            if "/test" in module or "/dialects" in module or ("/_" in module and name in PACKAGES):
                continue
            tree = ast.parse(path.read_text(encoding="utf-8", errors="replace"))
            yield from _of(tree, module)


def _of(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, place: str) -> Iterator[tuple[str, str]]:
    text = ast.get_docstring(node)
    if text and len(text) in LENGTHS_CHARACTERS:
        yield f"{place}.txt", text
    if isinstance(node, ast.Module | ast.ClassDef):
        for child in node.body:
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not child.name.startswith("_"):
                yield from _of(child, f"{place}/{child.name}")
