"""The seam between KQL and SQL: text in, SQL and what it needs out. What translates can be replaced behind it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from forebay.telemetry.kql.text import ChartHint
from forebay.telemetry.tables import KqlType

Schema = Mapping[str, tuple[str, ...]]  # table -> its columns, in order
CACHE_ENTRIES = 512
CACHE_CHARACTERS = 16 << 20  # of SQL and texts


@dataclass(frozen=True, slots=True, kw_only=True)
class Translation:
    """A query in SQL. It is known to read nothing but `tables`."""

    sql: str
    tables: frozenset[str]
    now_parameter: str | None  # the name of the parameter that takes the query's time
    fixed_now: datetime | None  # when the text itself says which time it is
    declared: tuple[Any, ...]  # parameters that the text declares, in the translator's form
    slots: frozenset[str]  # the parameters that the SQL has
    ranges: tuple[str, ...]  # queries for the start, the stop and the step of each `range`, to be checked before
    columns: tuple[tuple[str, KqlType], ...] | None  # of the result, where the translator knows them
    chart: ChartHint | None


class TranslationCache:
    """The most recently used translations. Safe to use from several threads."""

    def __init__(self, translate: Callable[[str], Translation]) -> None:
        self._translate = translate
        self._known: OrderedDict[str, Translation] = OrderedDict()
        self._characters = 0
        self._lock = threading.Lock()

    def find(self, text: str) -> Translation | None:
        """The translation, if it is known."""
        with self._lock:
            known = self._known.get(text)
            if known is not None:
                self._known.move_to_end(text)
            return known

    def translate(self, text: str) -> Translation:
        """The translation. Raises `ForebayError` as `library.translate` does."""
        known = self.find(text)
        if known is not None:
            return known
        made = self._translate(text)
        with self._lock:
            if text not in self._known:
                self._known[text] = made
                self._characters += len(text) + len(made.sql)
            while len(self._known) > CACHE_ENTRIES or self._characters > CACHE_CHARACTERS:
                old_text, old = self._known.popitem(last=False)
                self._characters -= len(old_text) + len(old.sql)
        return made
