"""Functions of a row and its neighbours: which rows they may be asked of, and those that SQL cannot say at once.

In SQL a window may stand neither within another nor within TRY: those that are within something move into a `Compute` below (`lift`). What
a function with a `restart` means is said with windows that go by the rows' order: the number of a row, and the last one where a condition
was true.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from forebay.telemetry.kql.binding import bound, calls
from forebay.telemetry.kql.binding.expressions import SPECIAL, ExpressionBinder, error
from forebay.telemetry.kql.binding.parts import has_window
from forebay.telemetry.kql.errors import Diagnostic, KqlError
from forebay.telemetry.kql.functions.function import Function, parse_signature
from forebay.telemetry.kql.syntax import nodes
from forebay.telemetry.kql.types import DUCKDB_TYPES, KqlType

if TYPE_CHECKING:
    from forebay.telemetry.kql.binding.binder import Binder


def _internal(signature: str, sql: str) -> Function:
    name, parameters, returns = parse_signature(signature)
    return Function(name, "window", signature, parameters, returns, sql, "")  # type: ignore[arg-type]


_POSITION = _internal("position() -> long", "row_number() OVER ({order})")
_LATEST = _internal(
    "latest(value: long, condition: bool) -> long",
    "max(CASE WHEN {condition} THEN {value} END) OVER ({order} ROWS UNBOUNDED PRECEDING)",
)
_COUNT = _internal("count(condition: bool) -> long", "count(CASE WHEN {condition} THEN 1 END) OVER ({order} ROWS UNBOUNDED PRECEDING)")
_IS_CHANGED = _internal(
    "is_changed(value: any) -> bool", "({value} IS DISTINCT FROM lag({value}) OVER ({order}) OR row_number() OVER ({order}) = 1)"
)
_HAS_BEFORE = _internal("has_before(offset: long) -> bool", "lag(true, {offset}, false) OVER ({order})")
_HAS_AFTER = _internal("has_after(offset: long) -> bool", "lead(true, {offset}, false) OVER ({order})")
_SESSION = _internal("row_window_session(time: datetime, longest: timespan, gap: timespan, restart: bool?) -> datetime", "")
_SUMS_OF_PART = {
    kind: _internal(
        f"sum_of_part(value: {kind}, part: long, position: long) -> {kind}",
        "TRY_CAST(coalesce(sum({value.raw}) OVER (PARTITION BY {part}{group} ORDER BY {position} ROWS UNBOUNDED PRECEDING), 0)"
        f" AS {duckdb_type})",
    )
    for kind, duckdb_type in DUCKDB_TYPES.items()
}


def _window(function: Function, kind: KqlType, *arguments: bound.Expr) -> bound.Expr:
    return bound.WindowCall(kind, function, arguments)


def _long(value: int) -> bound.Expr:
    return bound.Constant("long", value)


def _call(name: str, *arguments: bound.Expr) -> bound.Expr:
    return calls.call(name, arguments, 0, 0)


_position = bound.WindowCall("long", _POSITION, ())


def _start(restart: bound.Expr | None) -> bound.Expr:
    """The number of the row with which a row's part begins."""
    if restart is None:
        return _long(1)
    return _call("coalesce", _window(_LATEST, "long", _position, restart), _long(1))


def _row_number(call: bound.WindowCall) -> bound.Expr:
    start, restart = call.arguments
    if restart is None or start is None:
        return _position if start == _long(1) else call
    return _call("+", _call("-", _position, _start(restart)), start)


def _row_rank_min(call: bound.WindowCall) -> bound.Expr:
    run = _window(_LATEST, "long", _position, _is_run_begin(call))
    return _call("+", _call("-", run, _start(call.arguments[1])), _long(1))


def _row_rank_dense(call: bound.WindowCall) -> bound.Expr:
    runs = _window(_COUNT, "long", _is_run_begin(call))
    if call.arguments[1] is None:
        return runs
    first = _call("coalesce", _window(_LATEST, "long", runs, call.arguments[1]), _long(1))
    return _call("+", _call("-", runs, first), _long(1))


def _is_run_begin(call: bound.WindowCall) -> bound.Expr:
    term, restart = call.arguments
    assert term is not None, "the term has no default"
    changed = _window(_IS_CHANGED, "bool", term)
    return changed if restart is None else _call("or", changed, restart)


def _row_cumsum(call: bound.WindowCall) -> bound.Expr:
    term, restart = call.arguments
    if restart is None or term is None:
        return call
    return _window(_SUMS_OF_PART[call.type], call.type, term, _start(restart), _position)


def _neighbour(call: bound.WindowCall) -> bound.Expr:
    value, offset, default = call.arguments
    if default is None or offset is None:
        return call
    exists = _HAS_BEFORE if call.function.name == "prev" else _HAS_AFTER
    return _call("iff", _window(exists, "bool", offset), bound.WindowCall(call.type, call.function, (value, offset, None)), default)


_MEANINGS: dict[str, Callable[[bound.WindowCall], bound.Expr]] = {
    "row_number": _row_number,
    "row_cumsum": _row_cumsum,
    "row_rank": _row_rank_dense,
    "row_rank_dense": _row_rank_dense,
    "row_rank_min": _row_rank_min,
    "row_window_session": lambda call: bound.WindowCall("datetime", _SESSION, call.arguments),
    "prev": _neighbour,
    "next": _neighbour,
}


def _bind(self: ExpressionBinder, node: nodes.Call) -> bound.Expr:
    call = self.declared(node)
    assert isinstance(call, bound.WindowCall), "the registry says that it is one"
    if call.function.name in ("prev", "next"):
        offset = call.arguments[1]
        if not isinstance(offset, bound.Constant) or offset.value is None or offset.value < 0:
            raise error(node, "type", f"{node.name}(): expected a constant number of rows of 0 or more")
    return _MEANINGS[node.name](call)


for _name in _MEANINGS:
    SPECIAL[_name] = _bind


def lift(binder: Binder, source: bound.Relation, expressions: Sequence[bound.Expr]) -> tuple[bound.Relation, list[bound.Expr]]:
    """The same expressions, in which no window is within something else (in SQL, it may not be): it is a column of the relation now.

    Raises `KqlError` where the rows have no order to go by.
    """
    if not has_window(*expressions):
        return source, list(expressions)
    _check_serialized(source)
    return _lifted(binder, source, expressions, may_mix=False)


def _lifted(
    binder: Binder, source: bound.Relation, expressions: Sequence[bound.Expr], *, may_mix: bool
) -> tuple[bound.Relation, list[bound.Expr]]:
    moved: list[tuple[bound.Expr, bound.Column]] = []
    lifted = []
    for each in expressions:
        stays = isinstance(each, bound.WindowCall) and not _is_session(each) and (may_mix or not _mixes(each))
        lifted.append(_without_nested(binder, each, moved, is_inside=not stays))
    return _below(binder, source, moved), lifted


def extracted(binder: Binder, source: bound.Relation, expressions: Sequence[bound.Expr]) -> tuple[bound.Relation, list[bound.Expr]]:
    """The same expressions without windows, which are columns of the relation now: for where none may stand, such as in keys of groups."""
    if not has_window(*expressions):
        return source, list(expressions)
    _check_serialized(source)
    moved: list[tuple[bound.Expr, bound.Column]] = []
    replaced = [_without_nested(binder, each, moved, is_inside=True) for each in expressions]
    return _below(binder, source, moved), replaced


def filtered(binder: Binder, source: bound.Relation, predicate: bound.Expr) -> bound.Relation:
    """The rows for which a predicate with windows is true: they look at the rows before any is left out."""
    below, (condition,) = extracted(binder, source, [predicate])
    passed = tuple(bound.ColumnRef(column.type, column) for column in source.columns)
    return bound.Compute(source.columns, bound.Filter(below.columns, below, condition), passed)


def _below(binder: Binder, source: bound.Relation, moved: list[tuple[bound.Expr, bound.Column]]) -> bound.Relation:
    """The relation with the columns that have moved into it."""
    if not moved:
        return source
    sessions = [(each, column) for each, column in moved if _is_session(each)]
    if sessions:
        (call, column), others = sessions[0], [each for each in moved if each[1] is not sessions[0][1]]
        assert isinstance(call, bound.WindowCall), "a session is one"
        arguments = tuple(None if each is None else _without_nested(binder, each, others, is_inside=True) for each in call.arguments)
        return _with_sessions(binder, _below(binder, source, others), bound.WindowCall(call.type, call.function, arguments), column)
    below, expressions = _lifted(binder, source, [each for each, _ in moved], may_mix=True)
    passed = [bound.ColumnRef(column.type, column) for column in below.columns]
    made = bound.Compute((*below.columns, *(column for _, column in moved)), below, (*passed, *expressions))
    for each in expressions:
        if _mixes(each) and isinstance(each, bound.WindowCall) and each.arguments[2] is not None:
            return bound.Sort(made.columns, made, (bound.SortKey(each.arguments[2], is_descending=False, is_nulls_first=True),))
    return made


def _with_sessions(binder: Binder, source: bound.Relation, call: bound.WindowCall, begin: bound.Column) -> bound.Relation:
    """The rows with the time at which the session of each begins: each depends on the row before, as in `scan`."""
    time, longest, gap, restart = call.arguments
    assert time is not None, "the time has no default"
    last = binder.column("last", "datetime")
    states = tuple(bound.ScanState(binder.column("state", "datetime"), 0, origin) for origin in (begin, last))
    begun, before = (bound.ColumnRef("datetime", state.column) for state in states)
    is_new = _call("or", _call("isnull", begun), _call("isnull", before))
    for since, most in ((begun, longest), (before, gap)):
        is_new = _call("or", is_new, _call(">=", time, calls.call("+", [since, most], 0, 0)))
    if restart is not None:
        is_new = _call("or", is_new, restart)
    step = bound.ScanStep(bound.Constant("bool", True), (_call("iff", is_new, time, begun), time), is_shown=True)
    columns = (*source.columns, begin, last, binder.column("match", "long"))
    none = bound.Constant("datetime", None)
    return bound.Scan(columns, source, (step,), states, (none, none))


def _is_session(expression: bound.Expr | None) -> bool:
    return isinstance(expression, bound.WindowCall) and expression.function is _SESSION


def _mixes(expression: bound.Expr | None) -> bool:
    """Whether the rows are in another order after it."""
    return isinstance(expression, bound.WindowCall) and expression.function in _SUMS_OF_PART.values()


def _without_nested(binder: Binder, expression: bound.Expr, moved: list[tuple[bound.Expr, bound.Column]], *, is_inside: bool) -> bound.Expr:
    if isinstance(expression, bound.WindowCall) and is_inside:
        known = next((column for each, column in moved if each == expression), None)
        if known is None:
            known = binder.column("window", expression.type)
            moved.append((expression, known))
        return bound.ColumnRef(expression.type, known)
    is_inside = is_inside or isinstance(expression, bound.WindowCall)
    if isinstance(expression, (bound.Call, bound.AggregateCall, bound.WindowCall)):
        arguments = tuple(
            None if each is None else _without_nested(binder, each, moved, is_inside=is_inside) for each in expression.arguments
        )
        return type(expression)(expression.type, expression.function, arguments)
    if isinstance(expression, bound.Widen):
        return bound.Widen(expression.type, _without_nested(binder, expression.operand, moved, is_inside=is_inside))
    if isinstance(expression, bound.InQuery):
        operand = _without_nested(binder, expression.operand, moved, is_inside=is_inside)
        return bound.InQuery(expression.type, operand, expression.relation, expression.is_caseless, expression.is_negated)
    return expression


def is_serialized(relation: bound.Relation) -> bool:
    """Whether the rows have an order: they were sorted, or said to be in the order in which they come, and nothing has mixed them since."""
    while True:
        if isinstance(relation, (bound.Sort, bound.Serialize, bound.Rows, bound.RangeRows)):
            return True
        if isinstance(relation, bound.Shared):
            relation = relation.relation
        elif isinstance(relation, (bound.Compute, bound.Filter, bound.Take, bound.Parse, bound.Expand, bound.Scan)):
            relation = relation.source
        else:
            return False


def _check_serialized(source: bound.Relation) -> None:
    if not is_serialized(source):
        message = "the functions row_number(), prev(), next(), ... expected rows in an order, got rows without one"
        raise KqlError(Diagnostic("type", message, 0, 0, hint="`sort by ...` or `serialize` before"))
