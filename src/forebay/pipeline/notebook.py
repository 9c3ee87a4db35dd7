"""Jupyter notebooks as Markdown: cells in order, code and its printed output fenced."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from forebay.pipeline.parts import Part
from forebay.pipeline.refused import Refused
from forebay.values.chunk import ChunkLocation

_ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def notebook_to_markdown(text: str) -> tuple[str, tuple[Part, ...]]:
    """The cells that say something, and one part that knows their numbers in the notebook (from 1).

    Raises `Refused`: `corrupt` for what is not JSON, `content_mismatch` for JSON that is no notebook.
    """
    try:
        notebook = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Refused("corrupt", f"expected a notebook in JSON: {error}"[:300]) from error
    language = _language(notebook)
    pieces: list[str] = []
    offsets: list[int] = []
    numbers: list[int] = []
    position = 0
    for number, cell in enumerate(_cells(notebook), 1):
        shown = "\n\n".join(_shown(cell, language))
        if shown.strip():
            offsets.append(position)
            numbers.append(number)
            pieces.append(shown)
            position += len(shown) + 2
    if not pieces:
        return "", ()
    part = Part(start=0, location=ChunkLocation(), unit="cells", offsets=tuple(offsets), numbers=tuple(numbers))
    return "\n\n".join(pieces), (part,)


def _cells(notebook: Any) -> list[dict[str, Any]]:
    """The cells of a notebook of format 4, or of format 3 with its worksheets."""
    if isinstance(notebook, dict):
        sheets = [notebook] if "cells" in notebook else notebook.get("worksheets")
        if isinstance(sheets, list) and all(isinstance(sheet, dict) and isinstance(sheet.get("cells"), list) for sheet in sheets):
            return [cell for sheet in sheets for cell in sheet["cells"] if isinstance(cell, dict)]
    raise Refused("content_mismatch", "expected a notebook with a list of cells, got other JSON")


def _language(notebook: Any) -> str:
    metadata = notebook.get("metadata") if isinstance(notebook, dict) else None
    info = metadata.get("language_info") if isinstance(metadata, dict) else None
    name = info.get("name") if isinstance(info, dict) else None
    return name if isinstance(name, str) and re.fullmatch(r"[\w+#.-]{1,30}", name) else ""


def _shown(cell: dict[str, Any], language: str) -> Iterator[str]:
    source = _text(cell.get("source", cell.get("input")))
    if cell.get("cell_type") == "heading":  # format 3
        level = cell.get("level")
        yield "#" * (min(max(level, 1), 6) if isinstance(level, int) else 1) + " " + source
    elif cell.get("cell_type") != "code":
        yield source
    else:
        if source.strip():
            yield _fenced(source, language)
        outputs = cell.get("outputs")
        for output in outputs if isinstance(outputs, list) else ():
            if isinstance(output, dict) and (printed := _printed(output)).strip():
                yield _fenced(printed, "")


def _printed(output: dict[str, Any]) -> str:
    if output.get("output_type") in ("error", "pyerr"):
        return f"{_text(output.get('ename'))}: {_text(output.get('evalue'))}"
    data = output.get("data")
    printed = data.get("text/plain") if isinstance(data, dict) else output.get("text")
    return _ESCAPES.sub("", _text(printed))


def _text(value: Any) -> str:
    """Text that is stored whole or as a list of lines; a lone surrogate, which JSON can spell, is replaced."""
    whole = "".join(line for line in value if isinstance(line, str)) if isinstance(value, list) else value
    return whole.encode("utf-8", "replace").decode() if isinstance(whole, str) else ""


def _fenced(code: str, language: str) -> str:
    longest = max((len(run) for run in re.findall(r"`{3,}", code)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{code.strip(chr(10))}\n{fence}"
