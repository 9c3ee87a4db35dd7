"""gitignore patterns, matched the way git's own walk does it.

A pattern is compared with one path at a time; what lies below an excluded directory is never looked at, so no pattern
has to match it. That, names with newlines, and patterns that were made to be slow are why this is not a library:
translated with atomic groups (git's wildmatch.c gives the rules), no pattern backtracks more than a few times
over a name. Unlike git, `?` and `[...]` stand for a character, not for a byte.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal, TypeAlias

_SPECIAL = re.compile(r"[*?\[\\]")
_PATTERN_LIMIT = 4096  # longer than any path
_CLASSES = {
    "alnum": "a-zA-Z0-9",
    "alpha": "a-zA-Z",
    "blank": r" \t",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": r"\x21-\x7e",
    "lower": "a-z",
    "print": r"\x20-\x7e",
    "punct": r"\x21-\x2f\x3a-\x40\x5b-\x60\x7b-\x7e",
    "space": r" \t-\r",
    "upper": "A-Z",
    "xdigit": "0-9a-fA-F",
}

Kind: TypeAlias = Literal["one", "star", "folders", "rest"]


class PatternList:
    """The patterns of one ignore file; the last one that matches a path decides about it."""

    def __init__(self, lines: Iterable[str]) -> None:
        patterns = [pattern for line in lines if (pattern := _parse(line)) is not None]
        self._groups = tuple(
            (not negated, _Matcher([one for one in group if not one.directory_only]), _Matcher(group))
            for negated, group in ((negated, list(group)) for negated, group in groupby(reversed(patterns), lambda one: one.negated))
        )
        self._all = _Matcher(patterns)

    @classmethod
    def of_text(cls, text: str) -> PatternList:
        """The patterns of an ignore file's content."""
        lines = text.removeprefix("\ufeff").split("\n")
        return cls(line.removesuffix("\r") for line in lines)

    def __bool__(self) -> bool:
        return bool(self._groups)

    def touched(self, prefix: str, names: Sequence[str]) -> set[str]:
        """Those names of the directory `prefix` (empty or ending in `/`) about which `decide` may have a verdict."""
        return self._all.among(prefix, names)

    def decide(self, path: str, name: str, is_directory: bool) -> bool | None:
        """True when `path` (relative to the ignore file, ending in `name`) is matched, False when re-included, None when neither."""
        for verdict, any_kind, directories in self._groups:
            if (directories if is_directory else any_kind).matches(path, name):
                return verdict
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pattern:
    glob: str
    negated: bool
    directory_only: bool
    is_path: bool  # compared with the whole path, not with the name alone


class _Matcher:
    """Whether any of several patterns matches. The plain shapes, which most patterns have, need no expression."""

    def __init__(self, patterns: Sequence[_Pattern]) -> None:
        names: set[str] = set()
        paths: set[str] = set()
        prefixes: list[str] = []
        suffixes: list[str] = []
        name_expressions: list[str] = []
        path_expressions: list[str] = []
        for pattern in patterns:
            glob = pattern.glob
            if not _SPECIAL.search(glob):
                (paths if pattern.is_path else names).add(glob)
            elif not pattern.is_path and glob[0] == "*" and not _SPECIAL.search(glob[1:]):
                suffixes.append(glob[1:])
            elif not pattern.is_path and glob[-1] == "*" and not _SPECIAL.search(glob[:-1]):
                prefixes.append(glob[:-1])
            elif (expression := _translate(glob, is_path=pattern.is_path)) is not None:
                (path_expressions if pattern.is_path else name_expressions).append(expression)
        self._names = frozenset(names)
        self._paths = frozenset(paths)
        self._prefixes = tuple(prefixes)
        self._suffixes = tuple(suffixes)
        self._name_expression = _joined(name_expressions)
        self._path_expression = _joined(path_expressions)

    def matches(self, path: str, name: str) -> bool:
        return (
            name in self._names
            or name.endswith(self._suffixes)
            or name.startswith(self._prefixes)
            or path in self._paths
            or (self._name_expression is not None and self._name_expression.match(name) is not None)
            or (self._path_expression is not None and self._path_expression.match(path) is not None)
        )

    def among(self, prefix: str, names: Sequence[str]) -> set[str]:
        """The names that match; one pass over all of them costs a fraction of a call for each."""
        plain, suffixes, prefixes = self._names, self._suffixes, self._prefixes
        found = {name for name in names if name in plain or name.endswith(suffixes) or name.startswith(prefixes)}
        if self._name_expression is not None:
            found.update(filter(self._name_expression.match, names))
        if self._paths:
            found.update({path[len(prefix) :] for path in self._paths if path.startswith(prefix)}.intersection(names))
        if (expression := self._path_expression) is not None:
            found.update(name for name in names if expression.match(prefix + name))
        return found


def _joined(expressions: Sequence[str]) -> re.Pattern[str] | None:
    return re.compile("|".join(expressions), re.DOTALL) if expressions else None


def _parse(line: str) -> _Pattern | None:
    """One line of an ignore file, as `parse_path_pattern` of git's dir.c reads it."""
    if line.startswith("#"):
        return None
    glob = _without_trailing_spaces(line.partition("\0")[0])
    negated = glob.startswith("!")
    glob = glob.removeprefix("!")
    directory_only = glob.endswith("/")
    glob = glob.removesuffix("/")
    is_path = "/" in glob
    glob = glob.removeprefix("/")
    if not glob or len(glob) > _PATTERN_LIMIT:
        return None
    return _Pattern(glob=glob, negated=negated, directory_only=directory_only, is_path=is_path)


def _without_trailing_spaces(line: str) -> str:
    stripped = line.rstrip(" ")
    backslashes = len(stripped) - len(stripped.rstrip("\\"))
    return stripped + " " if backslashes % 2 and stripped != line else stripped


def _translate(glob: str, *, is_path: bool) -> str | None:
    """An expression for `match` that ends at the end of the text; None for a pattern that never matches."""
    items: list[tuple[Kind, str]] = []
    first = _SPECIAL.search(glob)
    position = 0
    while position < len(glob):
        character = glob[position]
        if character == "*":
            end = position
            while end < len(glob) and glob[end] == "*":
                end += 1
            # git matches the plain beginning by itself, so that `**` right after it counts as a beginning
            starts = position == 0 or glob[position - 1] == "/" or (first is not None and position == first.start())
            if not is_path or end - position == 1 or not starts:
                items.append(("star", ""))
            elif end == len(glob):
                items.append(("rest", ""))
            elif glob[end] == "/":
                items.append(("folders", "(?:.*?/)??"))
                end += 1
            elif glob.startswith("\\/", end):
                items.append(("folders", ".*?/"))
                end += 2
            else:
                items.append(("star", ""))
            position = end
        elif character == "?":
            items.append(("one", "[^/]"))
            position += 1
        elif character == "[":
            bracket = _bracket(glob, position + 1)
            if bracket is None:
                return None
            expression, position = bracket
            items.append(("one", expression))
        elif character == "\\":
            if position + 1 == len(glob):
                return None
            items.append(("one", re.escape(glob[position + 1])))
            position += 2
        else:
            items.append(("one", re.escape(character)))
            position += 1
    return _assembled(items)


def _assembled(items: list[tuple[Kind, str]]) -> str:
    """Each star takes as little as lets what follows match, and never reconsiders once the next star is reached."""
    parts: list[str] = []
    depth = 0  # of the atomic group of a run of folders
    index = 0
    later_folders = sum(kind == "folders" for kind, _ in items)
    while index < len(items):
        kind, expression = items[index]
        index += 1
        if kind == "one":
            parts.append(expression)
        elif kind == "rest":
            parts.append(".*")
        elif kind == "folders":
            later_folders -= 1
            parts.append(")" * depth)
            depth = 1 if later_folders else 0
            parts.append(("(?>" if depth else "") + expression)
        else:
            following = index
            while following < len(items) and items[following][0] == "one":
                following += 1
            text = "".join(expression for _, expression in items[index:following])
            is_last = following == len(items)
            parts.append(f"[^/]*{text}" if is_last else f"(?>[^/]*?{text})")
            index = following
    return "".join(parts) + r"\Z"


def _bracket(glob: str, position: int) -> tuple[str, int] | None:
    """The expression for a `[...]` whose content starts at `position`, and where it ends; None when it never ends well."""
    negated = glob.startswith(("!", "^"), position)
    position += negated
    members: list[str] = []
    previous = ""  # what a range could start with
    start = position
    while position < len(glob):
        character = glob[position]
        if character == "]" and position > start:
            return _bracket_expression(members, negated), position + 1
        if character == "\\":
            position += 1
            if position == len(glob):
                return None
            character = glob[position]
            members.append(re.escape(character))
        elif character == "-" and previous and position + 1 < len(glob) and glob[position + 1] != "]":
            position += 1
            if glob[position] == "\\":
                position += 1
                if position == len(glob):
                    return None
            if previous <= glob[position]:
                members.append(f"{re.escape(previous)}-{re.escape(glob[position])}")
            character = ""
        elif glob.startswith("[:", position):
            end = glob.find("]", position + 2)
            if end < 0:
                return None
            if end > position + 2 and glob[end - 1] == ":":
                name = glob[position + 2 : end - 1]
                if name not in _CLASSES:
                    return None
                members.append(_CLASSES[name])
                position, character = end, ""
            else:
                members.append(r"\[")
        else:
            members.append(re.escape(character))
        previous = character
        position += 1
    return None


def _bracket_expression(members: Sequence[str], negated: bool) -> str:
    if not members:  # only ranges that run backwards
        return "[^/]" if negated else r"(?!)"
    return f"(?!/)[{'^' if negated else ''}{''.join(members)}]"
