"""What embedding costs where somebody charges for it: requests, tokens, waiting, money."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

_COUNTING: ContextVar[EmbeddingCosts | None] = ContextVar("embedding_costs", default=None)
_DIGITS = {"waited_seconds": 3, "usd": 9}


@dataclass(slots=True, kw_only=True)
class EmbeddingCosts:
    """A running sum; all zero for an embedder that asks nobody."""

    requests: int = 0  # sent, retries included
    retries: int = 0  # requests that had to be sent again, whatever the reason
    tokens: int = 0  # as the server counts them
    waited_seconds: float = 0.0  # of all requests, for rate limits and before retries; requests wait side by side
    usd: float | None = None  # None without a price

    def add(self, *, requests: int = 0, retries: int = 0, tokens: int = 0, waited_seconds: float = 0.0, usd: float | None = None) -> None:
        """Count some more."""
        self.requests += requests
        self.retries += retries
        self.tokens += tokens
        self.waited_seconds += waited_seconds
        if usd is not None:
            self.usd = (self.usd or 0.0) + usd

    def to_json(self) -> dict[str, float]:
        """The sums by name, `usd` only with a price; empty when nothing was asked of anybody."""
        if not self.requests:
            return {}
        return sum_of_costs([{name: value for name in self.__slots__ if (value := getattr(self, name)) is not None}])


@contextmanager
def counting_costs() -> Iterator[EmbeddingCosts]:
    """Count what the embedders cost that are called in the block, by this task and those that it starts."""
    costs = EmbeddingCosts()
    token = _COUNTING.set(costs)
    try:
        yield costs
    finally:
        _COUNTING.reset(token)


def costs_being_counted() -> EmbeddingCosts | None:
    """Those of the innermost `counting_costs` around the caller."""
    return _COUNTING.get()


def sum_of_costs(parts: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """The sum of several `to_json`, name by name."""
    total: dict[str, float] = {}
    for part in parts:
        for name, value in part.items():
            total[name] = round(total.get(name, 0) + value, _DIGITS.get(name, 0) or None)
    return total
