"""Places on the axis of `make-series`: internal functions that its binding uses."""

from __future__ import annotations

from collections.abc import Callable

from forebay.telemetry.kql.functions.argument import Argument
from forebay.telemetry.kql.functions.registry import scalar
from forebay.telemetry.kql.types import DUCKDB_TYPES, TICKS_PER_MICROSECOND

_DISTANCE = "(CAST({value} AS HUGEINT) - {origin})"
# (places before a value, places before an end that is excluded), by type; `//` rounds to 0
_PLACES = {
    # no row that is counted is below the origin, and no date below that of year 1
    "datetime": (
        "(epoch_us({value}) - epoch_us({origin})) // {step}",
        "greatest(0, (epoch_us({value}) - epoch_us({origin}) + {step} - 1) // {step})",
    ),
    "long": (
        f"TRY_CAST({_DISTANCE} // {{step}} - CAST({_DISTANCE} % {{step}} < 0 AS INTEGER) AS BIGINT)",
        f"TRY_CAST(greatest(0, ({_DISTANCE} + {{step}} - 1) // {{step}}) AS BIGINT)",
    ),
    "real": (
        "TRY_CAST(floor(({value} - {origin}) / {step}) AS BIGINT)",
        "TRY_CAST(greatest(0, ceil(({value} - {origin}) / {step})) AS BIGINT)",
    ),
}
_PLACES["timespan"] = _PLACES["long"]


def _step(step: Argument, *, is_of_datetimes: bool) -> str:
    """The step, in microseconds between datetimes. One that comes when the query runs is checked then, a constant one was."""
    least = TICKS_PER_MICROSECOND if is_of_datetimes else 0
    checked = str(step)
    if not step.is_constant:
        refusal = f"error('make-series: expected a step above 0')::{DUCKDB_TYPES[step.type]}"
        checked = f"CASE WHEN {step} > 0 AND {step} >= {least} THEN {step} ELSE {refusal} END"
    return f"({checked} // {TICKS_PER_MICROSECOND})" if is_of_datetimes else f"({checked})"


def _writer(template: str, *, is_of_datetimes: bool) -> Callable[[Argument, Argument, Argument], str]:
    def write(value: Argument, origin: Argument, step: Argument) -> str:
        return template.format(value=value, origin=origin, step=_step(step, is_of_datetimes=is_of_datetimes))

    return write


for _type, (_place, _length) in _PLACES.items():
    _is_datetime = _type == "datetime"
    _parameters = f"value: {_type}, origin: {_type}, step: {'timespan' if _is_datetime else _type}"
    for _name, _template, _summary in (
        ("_series_place", f"({_place})", "Internal: how many places are before a value."),
        ("_series_end", f"({_place} + 1)", "Internal: the place behind that of a value."),
        ("_series_length", _length, "Internal: how many places are before the end."),
    ):
        scalar(f"{_name}({_parameters}) -> long", _writer(_template, is_of_datetimes=_is_datetime), _summary)
