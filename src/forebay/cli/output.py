"""What is printed: plain text that no file name or document can turn into terminal commands."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

# joiners that scripts and emoji need, and the soft hyphen; every other format character is made visible
_HARMLESS_FORMAT = "\u200c\u200d\u00ad"
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_SUSPECT = re.compile(r"[^\x20-\x7e\u00a1-\u00ac\u00ae-\u02ff\u0370-\u05ff]")


def visible(text: str, *, keep_newlines: bool = False) -> str:
    r"""The text with control, format and unassigned characters written as escapes such as `\x1b`.

    Terminal commands, direction overrides and invisible characters lose their effect; letters of every script stay.
    """

    def escape(found: re.Match[str]) -> str:
        character = found.group()
        if keep_newlines and character == "\n":
            return character
        if unicodedata.category(character) in _HIDDEN and character not in _HARMLESS_FORMAT:
            return character.encode("unicode_escape").decode("ascii")
        return character

    return _SUSPECT.sub(escape, text)


def is_styled(stream: TextIO) -> bool:
    """Whether the stream is a terminal that takes colours."""
    return stream.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def styled(text: str, code: str, *, stream: TextIO | None = None) -> str:
    """The text in an ANSI style (`1` bold, `2` dim, `32` green, ...) where the stream takes colours."""
    return f"\x1b[{code}m{text}\x1b[0m" if text and is_styled(stream or sys.stdout) else text


def bold(text: str) -> str:
    """The text in bold, on a terminal."""
    return styled(text, "1")


def dim(text: str) -> str:
    """The text dimmed, on a terminal."""
    return styled(text, "2")


def width(stream: TextIO | None = None) -> int:
    """The columns of the terminal; 120 where there is none."""
    return shutil.get_terminal_size((120, 24)).columns if (stream or sys.stdout).isatty() else 120


def cell_width(text: str) -> int:
    """How many columns the text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def clipped(text: str, columns: int) -> str:
    """The text cut to so many columns, with an ellipsis where something is missing."""
    if cell_width(text) <= columns:
        return text
    kept = text[: max(0, columns - 1)]
    while kept and cell_width(kept) > columns - 1:
        kept = kept[:-1]
    return kept.rstrip() + "…"


def print_json(body: Any) -> None:
    """Print one JSON object; characters that could act on a terminal are JSON escapes."""

    def escape(found: re.Match[str]) -> str:
        character = found.group()
        return json.dumps(character)[1:-1] if unicodedata.category(character) in _HIDDEN else character

    text = json.dumps(body, ensure_ascii=False, indent=2)
    print(re.sub(r"[^\x0a\x20-\x7e]", escape, text))


def print_table(headers: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[int] = (), indent: str = "") -> None:
    """Print aligned columns; on a terminal the last column is clipped to its width. Cells must be visible text."""
    lines = [list(row) for row in rows]
    widths = [max(cell_width(line[column]) for line in (list(headers), *lines)) for column in range(len(headers))]
    room = max(20, width() - len(indent) - sum(widths[:-1]) - 2 * (len(widths) - 1)) if sys.stdout.isatty() else None

    def line_of(cells: Sequence[str]) -> str:
        padded = []
        for column, cell in enumerate(cells):
            shown = clipped(cell, room) if room is not None and column == len(cells) - 1 else cell
            gap = " " * (widths[column] - cell_width(shown))
            padded.append(gap + shown if column in right else shown + gap)
        return (indent + "  ".join(padded)).rstrip()

    print(bold(line_of(headers)))
    for line in lines:
        print(line_of(line))


def print_facts(facts: Iterable[tuple[str, str]], *, indent: str = "  ") -> None:
    """Print names and values in two columns. Values must be visible text."""
    pairs = list(facts)
    longest = max((len(name) for name, _ in pairs), default=0)
    for name, value in pairs:
        print(f"{indent}{dim(name.ljust(longest))}  {value}".rstrip())


def print_steps(steps: Iterable[tuple[str, str]]) -> None:
    """Print commands to try, each with what it does. Both must be visible text."""
    pairs = list(steps)
    longest = max((len(command) for command, _ in pairs), default=0)
    for command, effect in pairs:
        print(f"  {command.ljust(longest)}  {dim(effect)}")


def print_error(message: str, hint: str = "") -> None:
    """Print an error, and what to do about it, on standard error."""
    print(f"{styled('error:', '1;31', stream=sys.stderr)} {visible(message, keep_newlines=True)}", file=sys.stderr)
    if hint:
        print(f"{styled('hint:', '1', stream=sys.stderr)} {visible(hint, keep_newlines=True)}", file=sys.stderr)


def counted(count: int, noun: str) -> str:
    """The number with its noun: `1 file`, `1,790 files`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def size_text(size_bytes: float) -> str:
    """A size as people read it: `812 B`, `14.2 KiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size_bytes < 1024:
            return f"{size_bytes:.0f} {unit}" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1024
    return f"{size_bytes:.1f} TiB"


def duration_text(seconds: float) -> str:
    """A duration as people read it: `0.4 s`, `1:05`, `2:03:10`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
