"""Functions of a row and its neighbours, in the order of the rows.

Rows come in their order, so `OVER ()` goes by it and nothing is sorted again; `{order}` is '' then, and says which rows and how ordered
where windows look at a group only. What starts anew within the rows is made of these and others by `binding/windows.py`.

Source: https://learn.microsoft.com/kusto/query/window-functions
"""

from __future__ import annotations

from forebay.telemetry.kql.functions.registry import window
from forebay.telemetry.kql.types import DUCKDB_TYPES, KqlType

window(
    "row_number(const start: long = 1, restart: bool?) -> long",
    "TRY_CAST(row_number() OVER ({order}) + {start}::HUGEINT - 1 AS BIGINT)",
    "The number of a row, from `start`; again from there where `restart` is true.",
    nulls="propagate",
)
_SUMMABLE: tuple[KqlType, ...] = ("int", "long", "real", "decimal", "timespan")
for _type in _SUMMABLE:
    window(
        f"row_cumsum(term: {_type}, restart: bool?) -> {_type}",
        f"TRY_CAST(coalesce(sum({{term.raw}}) OVER ({{order}} ROWS UNBOUNDED PRECEDING), 0) AS {DUCKDB_TYPES[_type]})",
        "The sum of all rows up to this one; again from 0 where `restart` is true.",
    )
window(
    "row_rank_dense(term: any, restart: bool?) -> long",
    "",
    "How many runs of one value there are up to a row; again from 1 where `restart` is true.",
    aliases=("row_rank",),
)
window(
    "row_rank_min(term: any, restart: bool?) -> long",
    "",
    "The number of the row in which the run of its value begins; again from 1 where `restart` is true.",
)
window(
    "row_window_session(time: datetime, longest: timespan, gap: timespan, restart: bool?) -> datetime",
    "",
    "When the session of a row began: a new one begins `longest` after that, `gap` after the row before, and where `restart` is true.",
)
window(
    "prev(value: T, const offset: long = 1, default: T?) -> T",
    "lag({value.raw}, {offset}) OVER ({order})",
    "The value some rows before; where there is none, null or what is given.",
)
window(
    "next(value: T, const offset: long = 1, default: T?) -> T",
    "lead({value.raw}, {offset}) OVER ({order})",
    "The value some rows after; where there is none, null or what is given.",
)
