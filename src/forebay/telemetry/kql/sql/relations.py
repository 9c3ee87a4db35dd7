"""Sources, and operators that choose, order and compute."""

from __future__ import annotations

from forebay.telemetry.kql.binding import bound
from forebay.telemetry.kql.binding.operators.sources import RANGE_LIMIT
from forebay.telemetry.kql.binding.parts import has_window, used
from forebay.telemetry.kql.sql.expressions import ExpressionWriter
from forebay.telemetry.kql.sql.generator import Generator, writes
from forebay.telemetry.kql.sql.literals import literal, quoted_name
from forebay.telemetry.kql.sql.select import Select, Slot
from forebay.telemetry.kql.types import DUCKDB_TYPES, TICKS_PER_MICROSECOND

FEW_ROWS = 50  # DuckDB's late_materialization_max_rows
MANY_ROWS = 100_000  # beyond, sorting twice costs more than reading all columns
FEW_COLUMNS = 6


@writes(bound.Table)
def _table(generator: Generator, relation: bound.Table) -> Select:
    slots = {column.id: Slot(quoted_name(column.name), column.is_nullable) for column in relation.columns}
    select = Select(relation.table.sql, relation.columns, slots)
    select.has_rowid = relation.table.has_rowid
    if relation.table.condition:
        select.where.append(relation.table.condition)
    return select


@writes(bound.Rows)
def _rows(generator: Generator, relation: bound.Rows) -> Select:
    if not relation.columns:
        return Select("", (), {})
    width = range(len(relation.columns))
    types = [column.type for column in relation.columns]
    names = ", ".join(quoted_name(f"c{index}") for index in width)
    rows = relation.rows or ((None,) * len(types),)
    # the first row tells DuckDB the types, unless it has a null there that tells them as well
    lines = [
        "(" + ", ".join(literal(types[index], row[index], is_typed=number == 0) for index in width) + ")" for number, row in enumerate(rows)
    ]
    values = ",\n".join(generator.measured(line) for line in lines)
    slots = {column.id: Slot(quoted_name(f"c{index}"), False) for index, column in enumerate(relation.columns)}
    for index, column in enumerate(relation.columns):
        if column.type != "string" and any(row[index] is None for row in rows):
            slots[column.id] = Slot(slots[column.id].sql, True)
    select = Select(f"(VALUES\n{values}\n) AS rows({names})", relation.columns, slots)
    if not relation.rows:
        select.where.append("false")
    return select


@writes(bound.RangeRows)
def _range(generator: Generator, relation: bound.RangeRows) -> Select:
    (column,) = relation.columns
    first, last, step = (generator.standalone(each) for each in (relation.first, relation.last, relation.step))
    kind = DUCKDB_TYPES[column.type]
    if column.type == "datetime":
        width = f"(epoch_us({last}) - epoch_us({first}))::DOUBLE"
        steps = f"floor({width} / ({step} // {TICKS_PER_MICROSECOND}))"
        value = f"{first} + to_microseconds(i * ({step} // {TICKS_PER_MICROSECOND}))"
    elif column.type == "real":
        steps = f"floor(({last} - {first}) / {step})"
        value = f"{first} + i * {step}"
    else:
        steps = f"(({last}::HUGEINT - {first}) // {step})"
        value = f"({first} + i * {step})::{kind}"
    # a step away from the last value, or of nothing, makes no rows; a range that is too long is refused when it is known
    goes = f"coalesce(({last} >= {first}) = ({step} > 0) OR {last} = {first}, false)"
    if column.type == "real":
        goes += f" AND NOT isnan({last} - {first} + {step})"
    count = (
        f"CASE WHEN NOT ({goes}) OR {step} = 0 THEN 0"
        f" WHEN {steps} >= {RANGE_LIMIT} THEN error('expected a range of at most {RANGE_LIMIT} steps, got more')::BIGINT"
        f" ELSE {steps}::BIGINT + 1 END"
    )
    return Select(f"range({count}) AS steps(i)", relation.columns, {column.id: Slot(value, False, is_name=False)})


@writes(bound.Filter)
def _filter(generator: Generator, relation: bound.Filter) -> Select:
    select = generator.select(relation.source)
    if not select.is_plain or not all(select.slots[each].is_name for each in used(relation.predicate) if each in select.slots):
        select = select.nested()
    select = hoistable(generator, select, [relation.predicate])
    select.where += generator.writer(select).conditions(relation.predicate)
    return select


@writes(bound.Compute)
def _compute(generator: Generator, relation: bound.Compute) -> Select:
    select = generator.select(relation.source)
    computed = [each for each in relation.outputs if not isinstance(each, bound.ColumnRef)]
    uses = used(*computed)
    has_windows = has_window(*computed)
    if select.keys == [] and not relation.outputs:
        select = select.nested()  # one row, which only its aggregates make one
    if computed and (
        select.keys is not None
        or select.qualify
        # windows look at the rows in their order, which is that of what they read
        or (has_windows and (select.order or not select.is_plain))
        or not all(select.slots[each].is_name for each in uses)
    ):
        select = select.nested()
    if computed:
        select = hoistable(generator, select, computed)
    writer = generator.writer(select)
    slots = {column.id: writer.slot(each) for column, each in zip(relation.columns, relation.outputs, strict=True)}
    select.columns, select.slots = relation.columns, slots
    select.has_windows = select.has_windows or has_windows
    return select


def numbered(generator: Generator, select: Select) -> Select:
    """The rows with a number in their order, which they are ordered by."""
    select = select.nested()
    name = generator.hoisted_name()
    select.source = f"(SELECT *, row_number() OVER () AS {name} FROM {select.source})"
    select.order = [name]
    return select


def hoistable(generator: Generator, select: Select, expressions: list[bound.Expr]) -> Select:
    """The same, or one around it where something has to be computed below and cannot be."""
    if select.can_hoist:
        return select
    hoisted: dict[str, str] = {}
    writer = ExpressionWriter(generator, select.slots, hoisted)
    for each in expressions:
        writer.value(each)
    return select.nested() if hoisted else select


@writes(bound.Sort)
def _sort(generator: Generator, relation: bound.Sort) -> Select:
    select = generator.select(relation.source)
    uses = used(*(key.expression for key in relation.keys))
    if select.limit is not None or select.qualify or not all(select.slots[each].is_name for each in uses):
        select = select.nested()
    if select.keys is not None:
        select = select.nested()
    select = hoistable(generator, select, [key.expression for key in relation.keys])
    select.order = generator.writer(select).order_by(relation.keys)
    return select


@writes(bound.Serialize)
def _serialize(generator: Generator, relation: bound.Serialize) -> Select:
    return generator.select(relation.source)


@writes(bound.Take)
def _take(generator: Generator, relation: bound.Take) -> Select:
    select = generator.select(relation.source)
    if select.limit is not None:
        select = select.nested()
    select.limit = _row_count(generator, relation.count)
    if select.has_rowid and select.order and not select.has_windows and select.keys is None and _is_large(relation):
        select.keep("\n".join(["SELECT rowid", *select.from_where(), f"ORDER BY {', '.join(select.order)}", f"LIMIT {select.limit}"]))
    return select


def _is_large(relation: bound.Take) -> bool:
    """Whether it pays to choose the rows by few columns and then read all of them; of a few rows, DuckDB does so by itself."""
    count = relation.count.value if isinstance(relation.count, bound.Constant) else None
    return count is not None and FEW_ROWS < count <= MANY_ROWS and len(relation.columns) > FEW_COLUMNS


def _row_count(generator: Generator, count: bound.Expr) -> str:
    """A number of rows; LIMIT takes NULL for no limit, and fails below 0."""
    written = generator.standalone(count)
    return written if isinstance(count, bound.Constant) else f"greatest(coalesce({written}, 0), 0)"


@writes(bound.Sample)
def _sample(generator: Generator, relation: bound.Sample) -> Select:
    select = generator.select(relation.source)
    if select.limit is not None or select.keys is not None:
        select = select.nested()
    select.order = ["random()"]
    select.limit = _row_count(generator, relation.count)
    return select


@writes(bound.Shared)
def _shared(generator: Generator, relation: bound.Shared) -> Select:
    return generator.shared(relation)
