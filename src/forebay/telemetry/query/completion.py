"""What may be written at a place of a query, for editors, with what is wrong in the words of the program's errors."""

from __future__ import annotations

from dataclasses import dataclass

from forebay.telemetry.kql.complete import Item, complete
from forebay.telemetry.kql.errors import Diagnostic, KqlError, line_and_column
from forebay.telemetry.kql.syntax.parser import MAX_TEXT_BYTES
from forebay.telemetry.kql.types import Schema
from forebay.telemetry.query.translation import refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that is wrong, from `start` to before `end` in characters; `line` and `column` of the start, from 1."""

    code: str
    message: str
    hint: str
    start: int
    end: int
    line: int
    column: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """What may be written in place of the characters from `start` to before `end`, the likely first."""

    items: tuple[Item, ...]
    start: int
    end: int
    findings: tuple[Finding, ...]


def complete_query(text: str, cursor: int, schema: Schema) -> Completion:
    """What may be written at `cursor`, an offset in characters; beyond the text it is the end.

    Raises `ForebayError` (`query_too_complex`) for a text that is longer than queries may be.
    """
    size = len(text.encode(errors="surrogatepass"))
    if size > MAX_TEXT_BYTES:
        message = f"the query has {size} bytes; at most {MAX_TEXT_BYTES} are read"
        raise refusal(KqlError(Diagnostic("too_complex", message, 0, 0)), text)
    found = complete(text, cursor, schema)
    findings = tuple(_finding(text, each) for each in found.diagnostics)
    return Completion(items=found.items, start=found.start, end=found.end, findings=findings)


def _finding(text: str, diagnostic: Diagnostic) -> Finding:
    line, column = line_and_column(text, diagnostic.start)
    error = refusal(KqlError(diagnostic), text)
    return Finding(
        code=error.code,
        message=diagnostic.message,
        hint=error.hint,
        start=diagnostic.start,
        end=diagnostic.end,
        line=line,
        column=column,
    )
