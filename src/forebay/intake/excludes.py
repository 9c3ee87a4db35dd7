"""Which files of a watched folder are none of our business."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from forebay.intake.patterns import PatternList

# exact, so that `secrets.py` is indexed
SECRET_PATTERNS = (".git/", ".env*", "*.pem", "*.key", "id_rsa*", ".netrc", "credentials.json", ".aws/", ".ssh/")


@dataclass(frozen=True, slots=True)
class Scope:
    """The rules that hold for the entries of one directory."""

    prefix: str  # the directory's path relative to the source with a trailing `/`; empty for the source itself
    ignores: tuple[tuple[PatternList, int], ...]  # .gitignore files, nearest first, with the length of their folder's prefix
    is_included: bool  # whether an include pattern matched a directory above


class Excludes:
    """Secrets, the exclude and include patterns of the settings, and `.gitignore` files; all mean what they would in a `.gitignore`.

    `exclude` comes after the patterns for secrets, and both decide before `.gitignore` files do: `!.env.example` re-includes a file.
    Without include patterns everything is included, else what one of them matches and all below a matched directory.
    As in git, nothing below an excluded directory can be re-included.
    """

    def __init__(self, *, exclude: Sequence[str], include: Sequence[str], respect_gitignore: bool) -> None:
        self.respects_gitignore = respect_gitignore
        self._explicit = PatternList((*SECRET_PATTERNS, *exclude))
        self._include = PatternList(include)
        self._parsed = lru_cache(maxsize=256)(PatternList.of_text)

    def top(self) -> Scope:
        """The scope of the source itself, before its `.gitignore`."""
        return Scope("", (), not self._include)

    def below(self, scope: Scope, name: str) -> Scope:
        """The scope of a directory that is not excluded, before its `.gitignore`."""
        path = scope.prefix + name
        decision = self._include.decide(path, name, True)
        return Scope(path + "/", scope.ignores, scope.is_included if decision is None else decision)

    def with_gitignore(self, scope: Scope, text: str) -> Scope:
        """The scope once the directory's own `.gitignore` is known."""
        patterns = self._parsed(text)
        ignores = ((patterns, len(scope.prefix)), *scope.ignores) if patterns else scope.ignores
        return Scope(scope.prefix, ignores, scope.is_included)

    def touched(self, scope: Scope, names: Sequence[str]) -> set[str]:
        """Those entries of a directory that `is_excluded` has to decide about; the others are not excluded."""
        if self._include:
            return set(names)
        found = self._explicit.touched(scope.prefix, names)
        for patterns, length in scope.ignores:
            found |= patterns.touched(scope.prefix[length:], names)
        return found

    def is_excluded(self, scope: Scope, name: str, is_directory: bool) -> bool:
        """Whether an entry is excluded; a directory that is not may still hold nothing that is included."""
        path = scope.prefix + name
        excluded = self._explicit.decide(path, name, is_directory)
        if excluded is None:
            for patterns, length in scope.ignores:
                excluded = patterns.decide(path[length:], name, is_directory)
                if excluded is not None:
                    break
        if excluded or is_directory:
            return bool(excluded)
        if not self._include:
            return False
        included = self._include.decide(path, name, False)
        return not (scope.is_included if included is None else included)

    def is_explicitly_excluded(self, path: str) -> bool:
        """Whether a file, or a directory above it, is excluded by name, whatever `.gitignore` files say."""
        parts = path.split("/")
        return any(
            self._explicit.decide("/".join(parts[: depth + 1]), part, depth + 1 < len(parts)) is True for depth, part in enumerate(parts)
        )
