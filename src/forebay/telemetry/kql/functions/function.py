"""What a function is: how it is called, what it answers, and its SQL. Each is declared in one place, with `scalar`, `aggregate`, `window`.

A declaration reads as its documentation does:

    scalar("strlen(text: string) -> long", "length({text})", "Characters of a text.")
    scalar("substring(source: string, start: long, length: long?) -> string", _substring, "A part of a text, from 0.")

The signature. Types are those of KQL, several with `|`; `number` is any number, `integer` int or long, `any` anything. `T` is any type and
`N` any number, the same (after widening) wherever they stand in one signature, and the answer's type where it stands there. `name: type?`
may be left out (None), `name: type = value` may be left out for that constant, `name: type...` may be repeated (also not at all), `const
name: type` has to be a constant. The same name may be declared several times: the first one that takes the arguments' types as they are is
chosen, else the first one that takes them after conversion (numbers widen; `dynamic` becomes anything).

The SQL is a template with the parameters' names, or a function of `Argument`s that answers SQL. In it, `{text}` is a safe operand (in
brackets where needed; a string is never NULL), `{text.raw}` may be NULL where a string is '', which is faster and right wherever NULL does
as '' does; `{text.once}` is short however long the argument is, for what stands in the SQL more than once. `{predicate.condition}` is a
bool for where NULL counts as false. A repeated parameter is joined by ", ". What a value of each type is in SQL: `types.DUCKDB_TYPES`. SQL
must not fail for any value: TRY_CAST and TRY, not CAST.

`nulls` says what the SQL answers: "propagate", NULL only where an argument that was taken `raw` (or is not a string) is NULL; "some", also
otherwise (of a string answer: NULL stands for ''); "never".

`condition` is another template, for where NULL counts as false, such as in `where`: without the handling of nulls.

`key` answers a part of the SQL that differs wherever the whole does, for `summarize` to group by as it takes less; or '' for the whole.

`python` is for what SQL cannot say: a function of Python values (dynamic decoded from JSON, datetime as naive UTC datetime, timespan as
ticks, guid as text, a repeated parameter as one list; None for null) that is called row by row, must not raise, and must bound its own
work. Its SQL is then made by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from msgspec import Struct

from forebay.telemetry.kql.types import DUCKDB_TYPES, INTEGERS, NUMBERS, KqlType

Kind = Literal["scalar", "aggregate", "window", "operator"]
Nulls = Literal["propagate", "some", "never"]

_CLASSES: dict[str, frozenset[KqlType]] = {
    "any": frozenset(DUCKDB_TYPES),
    "number": NUMBERS,
    "integer": INTEGERS,
    "T": frozenset(DUCKDB_TYPES),
    "N": NUMBERS,
}


class Parameter(Struct, frozen=True):
    """What a function takes at one place."""

    name: str
    types: frozenset[KqlType]
    variable: str = ""  # T or N
    is_optional: bool = False
    default: str | None = None  # as KQL writes it
    is_repeated: bool = False
    is_constant: bool = False


class Function(Struct, frozen=True, eq=False):
    """One way to call a function."""

    name: str
    kind: Kind
    signature: str
    parameters: tuple[Parameter, ...]
    returns: KqlType | Literal["T", "N"] | Callable[..., KqlType]  # the last: of the arguments' types (None for one that was left out)
    sql: str | Callable[..., str]
    summary: str
    aliases: tuple[str, ...] = ()
    nulls: Nulls = "some"
    condition: str | Callable[..., str] | None = None
    key: Callable[..., str] | None = None
    approximate: str = ""  # in what the answer may differ from Kusto's, and by how much
    python: Callable[..., Any] | None = None
    python_name: str = ""  # its name in SQL


def parse_signature(signature: str) -> tuple[str, tuple[Parameter, ...], str]:
    """The name, the parameters and what is answered ('' where the signature does not say)."""
    head, _, returns = signature.partition("->")
    name, _, inside = head.strip().rstrip(")").partition("(")
    return name, tuple(_parameter(each) for each in inside.split(",") if each.strip()), returns.strip()


def _parameter(text: str) -> Parameter:
    name, _, rest = text.partition(":")
    words = name.split()
    kind, _, default = rest.partition("=")
    kind = kind.strip()
    is_optional, is_repeated = kind.endswith("?"), kind.endswith("...")
    kind = kind.rstrip("?.")
    types: frozenset[KqlType] = frozenset()
    for each in kind.split("|"):
        types |= _CLASSES.get(each) or frozenset({each})  # type: ignore[arg-type]
    return Parameter(
        words[-1],
        types,
        kind if kind in ("T", "N") else "",
        is_optional or bool(default),
        default.strip() or None,
        is_repeated,
        words[0] == "const" and len(words) > 1,
    )
