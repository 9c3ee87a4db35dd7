"""Which traces are kept when not all of them are: whole ones, and every one in which something failed."""

from __future__ import annotations

from collections import OrderedDict
from functools import lru_cache
from typing import Generic, TypeVar

Item = TypeVar("Item")

REMEMBERED_TRACES = 4096  # whose rows are held back, in case they fail yet; and as many that have failed
HELD_ROWS = 20_000


@lru_cache(maxsize=8192)
def sample_score(operation_id: str) -> float:
    """Where an operation stands in [0, 1]: it is kept when that is less than the share that is.

    The hash (djb2 in 32 bits) is that of Application Insights' samplers, so that an application and this program keep the same traces.
    Source: azure-monitor-opentelemetry-exporter, `_get_DJB2_sample_score`.
    """
    value = 5381
    for character in operation_id:
        value = (value * 33 + ord(character)) & 0xFFFFFFFF
    signed = value - (1 << 32) if value & 0x80000000 else value
    return min(abs(signed), 0x7FFFFFFF) / 0x7FFFFFFF


class Sampler(Generic[Item]):
    """Decides by operation id, and changes its mind when something fails.

    *Guarantees*: of an operation all rows are kept or none; of one that fails all, as long as no more than `HELD_ROWS` rows of
    operations that are not kept have come between.
    """

    def __init__(self, ratio: float) -> None:
        self._ratio = ratio
        self._held: OrderedDict[str, list[Item]] = OrderedDict()
        self._held_count = 0
        self._failed: OrderedDict[str, None] = OrderedDict()
        self.item_count = max(1, round(1 / ratio)) if ratio > 0 else 1  # how many items a row of a kept operation stands for

    def is_kept(self, operation_id: str | None) -> bool:
        """Whether the operation is one of the share that is kept; rows of no operation always are."""
        return self._ratio >= 1 or operation_id is None or sample_score(operation_id) < self._ratio

    def rescued(self, operation_id: str, item: Item, *, is_failure: bool) -> list[Item]:
        """What is to be kept now of an operation that is not one of the share: nothing, or everything that is known of it."""
        if operation_id in self._failed:
            self._failed.move_to_end(operation_id)
            return [item]
        if not is_failure:
            self._hold(operation_id, item)
            return []
        self._failed[operation_id] = None
        if len(self._failed) > REMEMBERED_TRACES:
            self._failed.popitem(last=False)
        held = self._held.pop(operation_id, [])
        self._held_count -= len(held)
        return [*held, item]

    def _hold(self, operation_id: str, item: Item) -> None:
        self._held.setdefault(operation_id, []).append(item)
        self._held.move_to_end(operation_id)
        self._held_count += 1
        while self._held_count > HELD_ROWS or len(self._held) > REMEMBERED_TRACES:
            _, oldest = self._held.popitem(last=False)
            self._held_count -= len(oldest)
