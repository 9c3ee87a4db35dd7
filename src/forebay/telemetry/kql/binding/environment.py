"""What names mean: what `let` has named, from the inside out."""

from __future__ import annotations

from msgspec import Struct

from forebay.telemetry.kql.binding import bound
from forebay.telemetry.kql.errors import KqlError
from forebay.telemetry.kql.syntax import nodes


class ScalarBinding(Struct, frozen=True):
    """A name for a value, which counts as so many expressions wherever it is read."""

    expression: bound.Expr
    size: int = 1


class TableBinding(Struct, frozen=True):
    """A name for rows."""

    name: str
    relation: bound.Relation
    is_materialized: bool


class FunctionBinding(Struct, frozen=True):
    """A name for a function of the query's own, with what its body sees."""

    name: str
    function: nodes.Lambda
    environment: Environment


class PatternBinding(Struct, frozen=True):
    """A name for tables, one for each combination of texts, with what these see."""

    pattern: nodes.DeclarePattern
    environment: Environment


class Broken(Struct, frozen=True):
    """A name for what is wrong: whoever reads it repeats that, and nothing else is said about it."""

    wrong: KqlError


Binding = ScalarBinding | TableBinding | FunctionBinding | PatternBinding | Broken


class _Entry(Struct, frozen=True):
    """A meaning, the number of names that were set before it in its environment, and what the name meant there until then."""

    number: int
    binding: Binding
    before: _Entry | None


class Environment:
    """Names and their meanings; what is not here is looked for in the one around it, as that was when this one was made."""

    __slots__ = ("_around", "_around_count", "_count", "_names")

    def __init__(self, around: Environment | None = None) -> None:
        self._around = around
        self._around_count: int = around._count if around is not None else 0
        self._count: int = 0
        self._names: dict[str, _Entry] = {}

    def find(self, name: str) -> Binding | None:
        """The nearest meaning of a name. Raises `KqlError` for one whose `let` is wrong."""
        here, count = self, self._count
        while True:
            found = here._meaning(name, count)
            if isinstance(found, Broken):
                raise found.wrong
            if found is not None or here._around is None:
                return found
            here, count = here._around, here._around_count

    def set(self, name: str, binding: Binding) -> None:
        """Give a name a meaning, from now on."""
        self._names[name] = _Entry(self._count, binding, self._names.get(name))
        self._count += 1

    def is_set(self, name: str) -> bool:
        """Whether the name was given its meaning here, and not around."""
        return name in self._names

    def names(self) -> dict[str, Binding]:
        """All names in sight with what they mean."""
        return self._names_until(self._count)

    def _meaning(self, name: str, count: int) -> Binding | None:
        entry = self._names.get(name)
        while entry is not None and entry.number >= count:
            entry = entry.before
        return None if entry is None else entry.binding

    def _names_until(self, count: int) -> dict[str, Binding]:
        found = {} if self._around is None else self._around._names_until(self._around_count)
        for name in self._names:
            meaning = self._meaning(name, count)
            if meaning is not None:
                found[name] = meaning
        return found
