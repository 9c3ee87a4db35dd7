"""What is wrong with a query, and where."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Code = Literal["syntax", "unknown_table", "unknown_column", "unknown_function", "type", "unsupported", "too_complex", "parameter"]

DIAGNOSTICS_LIMIT = 20  # of one query: nobody reads more


class Diagnostic(Struct, frozen=True):
    """One finding: what was expected and what came, at `start` to `end` (offsets in characters), and what may be meant."""

    code: Code
    message: str
    start: int
    end: int
    hint: str = ""
    construct: str = ""  # for `unsupported`: the operator, function or plugin, as queries write it


class KqlError(Exception):
    """A query that cannot be answered; all that is wrong with it, at least one."""

    def __init__(self, *diagnostics: Diagnostic) -> None:
        super().__init__("; ".join(diagnostic.message for diagnostic in diagnostics))
        self.diagnostics = diagnostics

    @property
    def construct(self) -> str:
        """What is not supported, where that is what is wrong."""
        return next((diagnostic.construct for diagnostic in self.diagnostics if diagnostic.construct), "")


def line_and_column(text: str, offset: int) -> tuple[int, int]:
    """A position for people, both from 1."""
    line = text.count("\n", 0, offset) + 1
    return line, offset - (text.rfind("\n", 0, offset) + 1) + 1
