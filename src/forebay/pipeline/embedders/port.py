"""The port that every embedder stands behind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from forebay.errors import ForebayError


class Embedder(Protocol):
    """Turns texts into vectors whose dot product says how near their meanings are.

    `forebay.testing.embedder_contract` holds what every adapter must do.
    """

    @property
    def model_id(self) -> str:
        """Names model and recipe; only vectors of the same id may be compared."""
        ...

    @property
    def dimensions(self) -> int:
        """The length of every vector."""
        ...

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The vectors of `texts`: an array of shape (len(texts), dimensions), every row of unit length.

        Raises `ForebayError` `embedding_failed`; `retryable` says whether the same texts may succeed later.

        *Guarantees*: row i belongs to text i; the same text gives the same vector on the same machine, whatever it is
        embedded with; nothing is returned unless every row is real; safe to call from several tasks at once.
        """
        ...

    async def close(self) -> None:
        """Free threads and memory. Calls under way, and later ones, fail as `embedding_failed`. May be called twice."""
        ...


def closed_error() -> ForebayError:
    """What a closed embedder answers: the work is to be done again by the next process."""
    return ForebayError("embedding_failed", "expected an open embedder, but it has been closed", retryable=True, status=503)
