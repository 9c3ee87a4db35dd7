"""`MakeSeries`."""

from __future__ import annotations

from forebay.telemetry.kql.binding import bound
from forebay.telemetry.kql.functions.json_values import jsonable
from forebay.telemetry.kql.sql.expressions import ExpressionWriter
from forebay.telemetry.kql.sql.generator import Generator, writes
from forebay.telemetry.kql.sql.literals import quoted_name
from forebay.telemetry.kql.sql.select import Select, Slot
from forebay.telemetry.kql.types import DUCKDB_TYPES, TICKS_PER_MICROSECOND, KqlType

LENGTH_LIMIT = 1_048_576  # of a series, as in Kusto
_TOO_LONG = f"make-series: expected at most {LENGTH_LIMIT} steps, got more: make the step longer or the range shorter"


class _FixedWriter(ExpressionWriter):
    """Writes what is the same for all rows, all in one place."""

    def _hoist(self, sql: str) -> str:
        return sql


@writes(bound.MakeSeries)
def _make_series(generator: Generator, relation: bound.MakeSeries) -> Select:
    """Each value becomes a list of itself and the defaults behind it, up to the next value; the lists of a group are put together."""
    source, names = generator.select(relation.source).as_source()
    axis = _write_axis(generator, relation)
    place, keys = names[relation.place.id], [names[key.id] for key in relation.keys]
    partition = f"PARTITION BY {', '.join(keys)} " if keys else ""
    following = f"lead({place}) OVER ({partition}ORDER BY {place})"
    following = f"coalesce({following}, {place} + 1)" if relation.end is None else f'coalesce({following}, "end")'
    # a series that is too long is refused once its places are made: until then it must not become too large
    beginning = f"min({place}) OVER ({partition})" if relation.first is None else '"first"'
    width = f"greatest(0, least({following}, {beginning} + {LENGTH_LIMIT}) - {place})"

    fillings = [
        _Filling(generator, names[value.id], value.type, default) for value, default in zip(relation.values, relation.defaults, strict=True)
    ]
    gathered = [f'min({place}) AS "$least"', f'max({place}) AS "$greatest"', *(f"{key} AS k{index}" for index, key in enumerate(keys))]
    gathered += [f"{filling.gathered(place)} AS v{index}" for index, filling in enumerate(fillings)]
    grouping = f"GROUP BY {', '.join(keys)}" if keys else "" if relation.is_never_empty else "HAVING count(*) > 0"

    least = '"$least"' if relation.first is None or not relation.is_never_empty else 'coalesce("$least", "end", "first")'
    before = None if relation.first is None else f'{least} - "first"'
    outputs = [f"k{index}" for index in range(len(keys))]
    outputs += [filling.array(f"v{index}", before) for index, filling in enumerate(fillings)]
    if relation.first is not None and relation.end is not None:
        outputs.append('"places"')
    else:
        outputs.append(
            _places(relation, '"$least"' if relation.first is None else '"first"', '"$greatest" + 1' if relation.end is None else '"end"')
        )

    written = ", ".join(f"{output} AS {quoted_name(f'c{index}')}" for index, output in enumerate(outputs))
    text = (
        f"(\nSELECT {written}\nFROM (\nSELECT {', '.join(gathered)}\n"
        f'FROM (SELECT *, {width} AS "$width" FROM {source}, (SELECT "first", "end" FROM {axis})) {grouping}\n), {axis}\n)'
    )
    slots = {
        column.id: Slot(quoted_name(f"c{index}"), index < len(keys) and relation.keys[index].is_nullable)
        for index, column in enumerate(relation.columns)
    }
    return Select(text, relation.columns, slots)


def _write_axis(generator: Generator, relation: bound.MakeSeries) -> str:
    """The name of a table of one row: origin, step and, as far as they are known, the first place, the one behind the last, all places."""
    writer = _FixedWriter(generator, {}, {})
    origin, step = writer.value(relation.origin), writer.value(relation.step)
    if relation.origin.type == "datetime":
        origin, step = f"epoch_us({origin})", f"{step} // {TICKS_PER_MICROSECOND}"
    columns = [f'{origin} AS "origin"', f'{step} AS "step"']
    columns += [
        f'{"NULL::BIGINT" if place is None else writer.value(place)} AS "{name}"'
        for name, place in (("first", relation.first), ("end", relation.end))
    ]
    sql = f"SELECT {', '.join(columns)}"
    if relation.first is not None and relation.end is not None:
        places = _places(relation, '"first"', '"end"')
        sql = f'SELECT *, {places} AS "places" FROM ({sql})'
    return generator.define(sql)


def _places(relation: bound.MakeSeries, first: str, end: str) -> str:
    """The array of the values at the places."""
    value = '"origin" + place * "step"'
    if relation.origin.type == "datetime":
        value = f"make_timestamp({value})"
    end = f"CASE WHEN {end} - {first} > {LENGTH_LIMIT} THEN error('{_TOO_LONG}')::BIGINT ELSE {end} END"
    values = f"list_transform(range({first}, {end}), lambda place: {value})"
    each = jsonable("each", relation.origin.type)
    values = values if each == "each" else f"list_transform({values}, lambda each: {each})"
    return f"to_json(coalesce({values}, []))"


class _Filling:
    """One value of the groups, with what stands where a group has none."""

    def __init__(self, generator: Generator, name: str, kind: KqlType, default: bound.Expr) -> None:
        filling = _FixedWriter(generator, {}, {}).value(default)
        self._value, self._type, self._element = name, DUCKDB_TYPES[kind], jsonable("each", kind)
        self._default = f"{filling}::{self._type}"
        if default.type != kind:
            self._value, self._type, self._element = f"to_json({jsonable(name, kind)})", "JSON", "each"
            self._default = f"to_json({jsonable(filling, default.type)})"

    def gathered(self, place: str) -> str:
        """The list of a group, from its first value on."""
        return f'flatten(list(list_resize([{self._value}], "$width", {self._default}) ORDER BY {place}))'

    def array(self, gathered: str, before: str | None) -> str:
        """The array, with so many defaults before the first value."""
        values = f"coalesce({gathered}, [])"
        if before is not None:
            values = f"list_concat(list_resize([]::{self._type}[], {before}, {self._default}), {values})"
        return f"to_json({values})" if self._element == "each" else f"to_json(list_transform({values}, lambda each: {self._element}))"
