"""The one error of Forebay."""

from __future__ import annotations


class ForebayError(Exception):
    """What went wrong, in a form that people, retry logic and problem details can all read.

    The message says what was expected and what came, `hint` says what to do next, `code` is stable and
    explained in docs/troubleshooting.md. Retry logic reads `retryable`, never a class name.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        retryable: bool = False,
        hint: str = "",
        status: int = 400,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retryable = retryable
        self.hint = hint
        self.status = status  # the HTTP status that fits, where the error reaches a client
        self.retry_after_seconds = retry_after_seconds  # when trying again may help, where that is known

    def __str__(self) -> str:
        return self.message
