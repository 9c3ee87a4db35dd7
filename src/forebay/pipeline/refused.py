"""The answer for a file that will not be read, or whose parsing failed."""

from __future__ import annotations

from forebay.errors import ForebayError
from forebay.values.reasons import REASONS


class Refused(ForebayError):
    """The file will not be read, and trying again would not help; `reason` is a code of `values.reasons`."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(reason, message, hint=REASONS[reason].remedy, status=422)
        self.reason = reason


class ParserFailed(ForebayError):
    """The parser gave no answer for this file; `reason` is `parser_crashed`, `parser_timeout`, `parser_memory` or `internal`.

    A crash is worth another try, since a process can also be killed by someone else; the others would repeat themselves.
    """

    def __init__(self, reason: str, message: str, *, retryable: bool | None = None) -> None:
        if retryable is None:
            retryable = reason == "parser_crashed"
        super().__init__(reason, message, retryable=retryable, hint=REASONS[reason].remedy, status=500)
        self.reason = reason
