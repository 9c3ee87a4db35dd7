"""What the text of a variable may be: each parser gives the value, or raises `ValueError` with what it expected."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit


class Secret:
    """A value that never shows by accident: only `reveal()` gives it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself."""
        return self._value

    def __repr__(self) -> str:
        return "********"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


def whole(at_least: int, at_most: int = 2**31) -> Callable[[str], int]:
    """A whole number within bounds, both inclusive."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"[+-]?\d{1,12}", text.strip()) or not at_least <= int(text) <= at_most:
            raise ValueError(f"a whole number from {at_least} to {at_most}")
        return int(text)

    return parse


def number(at_least: float, at_most: float) -> Callable[[str], float]:
    """A number within bounds, both inclusive."""

    def parse(text: str) -> float:
        expected = f"a number from {at_least:g} to {at_most:g}"
        try:
            number = float(text)
        except ValueError:
            raise ValueError(expected) from None
        if not at_least <= number <= at_most:  # false for nan as well
            raise ValueError(expected)
        return number

    return parse


def one_of(*choices: str, upper: bool = False) -> Callable[[str], str]:
    """One of a few words, in any case."""

    def parse(text: str) -> str:
        chosen = text.strip().upper() if upper else text.strip().lower()
        if chosen not in choices:
            raise ValueError("one of " + ", ".join(choices))
        return chosen

    return parse


def flag(text: str) -> bool:
    """A switch."""
    meaning = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if text.strip().lower() not in meaning:
        raise ValueError("1 or 0 (also true, false, yes, no, on, off)")
    return meaning[text.strip().lower()]


def path(text: str) -> Path:
    """A path; `~` is the home directory."""
    if "\0" in text:
        raise ValueError("a path without NUL")
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError("a path whose home directory is known") from None


def matching(pattern: str, expected: str) -> Callable[[str], str]:
    """A text that an expression matches as a whole."""

    def parse(text: str) -> str:
        if not re.fullmatch(pattern, text.strip()):
            raise ValueError(expected)
        return text.strip()

    return parse


def secret(text: str) -> Secret:
    """A secret that can travel in a header."""
    if not re.fullmatch(r"[!-~]+", text):
        raise ValueError("printable ASCII characters without spaces")
    return Secret(text)


def url(text: str) -> str:
    """A base URL, without a trailing slash."""
    expected = "a URL such as https://forebay.example.org"
    try:
        parts = urlsplit(text.strip())
    except ValueError:
        raise ValueError(expected) from None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(expected)
    return text.strip().rstrip("/")


def service_url(text: str) -> str:
    """The base URL of a service that gets its key in a header, so that the URL may be shown."""
    base = url(text)
    if "@" in urlsplit(base).netloc:
        raise ValueError("a URL without user name and password")
    return base


def container(text: str) -> str:
    """A container, optionally with a prefix of names."""
    name, _, prefix = text.strip().partition("/")
    if not re.fullmatch(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", name) or ".." in prefix.split("/") or prefix.startswith("/"):
        raise ValueError("a container (a-z, 0-9 and -), optionally with a prefix, such as incoming or incoming/contracts/")
    if name in ("processed", "failed", "archive"):
        raise ValueError(f"a container that handled files do not move to, such as incoming; {name} is one")
    return text.strip()
