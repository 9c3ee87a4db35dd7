"""One setting: a field of the tree that carries its own documentation."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

PREFIX = "FOREBAY_"
METADATA_KEY = "leaf"
CLEARED = "none"  # as the value of a list: no items; an empty variable counts as not set


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """What is known of one setting besides its value."""

    name: str
    group: str  # the field of `Settings` that holds it; empty for its own fields
    unit: str
    help: str
    default_text: str  # in words where the default depends on the machine
    aliases: tuple[str, ...]  # other variables that set it, weaker ones later
    parse: Callable[[str], Any]  # raises ValueError with what it expected
    separator: str | None  # between the items of a list; None for a single value

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return PREFIX + self.name.upper()

    def convert(self, value: object) -> object:
        """The typed value of a text, or of the items of a list."""
        if self.separator is None:
            return self.parse(str(value))
        if value == CLEARED:
            return ()
        if isinstance(value, str):
            return tuple(self.parse(item.strip()) for item in value.split(self.separator) if item.strip())
        return tuple(self.parse(str(item)) for item in cast("Iterable[object]", value))

    def value_in(self, settings: object) -> object:
        """The value in this tree."""
        return getattr(getattr(settings, self.group) if self.group else settings, self.name)


def setting(
    default: Any,
    help: str,
    parse: Callable[[str], Any],
    *,
    unit: str,
    aliases: tuple[str, ...] = (),
    separator: str | None = None,
    default_text: str | None = None,
) -> Any:
    """A dataclass field that carries its own documentation; a callable default is a factory."""
    facts = {"help": help, "parse": parse, "unit": unit, "aliases": aliases, "separator": separator}
    if callable(default):
        return field(default_factory=default, metadata={METADATA_KEY: facts | {"default_text": default_text}})
    return field(default=default, metadata={METADATA_KEY: facts | {"default_text": default_text or display(default)}})


def display(value: object) -> str:
    """The value as one line of text, as an environment variable would hold it; secrets are masked."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):
        separator = os.pathsep if any(isinstance(item, Path) for item in value) else ","
        return separator.join(str(item) for item in value)
    return str(value)
