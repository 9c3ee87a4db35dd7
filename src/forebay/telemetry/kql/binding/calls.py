"""Chooses which function a call means, by the types of its arguments, and converts them to what it takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from msgspec import structs

from forebay.telemetry.kql.binding import bound
from forebay.telemetry.kql.errors import Diagnostic, KqlError
from forebay.telemetry.kql.functions import registry
from forebay.telemetry.kql.functions.function import Function, Parameter
from forebay.telemetry.kql.types import KqlType

_WIDTH: dict[str, int] = {"int": 0, "long": 1, "real": 2, "decimal": 3}
_CONVERSIONS: dict[KqlType, str] = {
    "bool": "tobool",
    "int": "toint",
    "long": "tolong",
    "real": "toreal",
    "decimal": "todecimal",
    "datetime": "todatetime",
    "timespan": "totimespan",
    "string": "tostring",
    "guid": "toguid",
    "dynamic": "todynamic",
}
_WIDENS = 1
_FROM_DYNAMIC = 100
_IMPOSSIBLE = 1_000_000


def call(name: str, arguments: Sequence[bound.Expr | None], start: int, end: int) -> bound.Expr:
    """The call of a function or operator that is declared.

    Raises `KqlError`: `unknown_function` without one of that name, `type` when no way to call it takes these arguments.
    """
    candidates = registry.find(name)
    best: tuple[int, Function, list[tuple[bound.Expr | None, KqlType | None]]] | None = None
    for candidate in candidates:
        matched = _match(candidate, arguments)
        if matched is not None and (best is None or matched[0] < best[0]):
            best = (matched[0], candidate, matched[1])
            if best[0] == 0:
                break
    if best is None:
        raise _no_match(name, candidates, arguments, start, end)
    # converted only now: to match `tolong(string)` with a dynamic value takes `tostring(dynamic)`, and so on
    converted = [each if each is None or kind is None else convert(each, kind) for each, kind in best[2]]
    return make(best[1], converted, start, end)


_NODES = {"aggregate": bound.AggregateCall, "window": bound.WindowCall}


def make(function: Function, arguments: Sequence[bound.Expr | None], start: int = 0, end: int = 0) -> bound.Expr:
    """The call of this very function, with arguments that it takes."""
    try:
        kind = _result_type(function, arguments)
    except KqlError as wrong:
        raise placed(wrong, start, end) from None
    return _NODES.get(function.kind, bound.Call)(kind, function, tuple(arguments), start, end)


def placed(wrong: KqlError, start: int, end: int) -> KqlError:
    """The same error, at this place where it has none."""
    return KqlError(*(each if each.end else structs.replace(each, start=start, end=end) for each in wrong.diagnostics))


def convert(expression: bound.Expr, kind: KqlType) -> bound.Expr:
    """The value as one of another type, as `tolong()` and its like do."""
    if expression.type == kind:
        return expression
    if is_wider(kind, expression.type):
        return widen(expression, kind)
    return call(_CONVERSIONS[kind], [expression], 0, 0)


def widen(expression: bound.Expr, kind: KqlType) -> bound.Expr:
    """A number as one of a wider type; constants are so at once."""
    if expression.type == kind:
        return expression
    if isinstance(expression, bound.Constant):
        return bound.Constant(kind, _wide_value(expression.value, kind))
    return bound.Widen(kind, expression)


def is_wider(kind: KqlType, than: KqlType) -> bool:
    """Whether every number of the type `than` is one of the type `kind`."""
    return kind in _WIDTH and than in _WIDTH and _WIDTH[kind] > _WIDTH[than]


def common_type(types: Sequence[KqlType]) -> KqlType | None:
    """The type that values of all these types become, or None."""
    found = types[0]
    for kind in types[1:]:
        if kind == found or is_wider(found, kind):
            continue
        if is_wider(kind, found):
            found = kind
        else:
            return None
    return found


def _wide_value(value: Any, kind: KqlType) -> Any:
    if value is None:
        return None
    if kind == "real":
        return float(value)
    if kind == "decimal":
        from decimal import Decimal

        return Decimal(str(value))
    return value


def _match(function: Function, arguments: Sequence[bound.Expr | None]) -> tuple[int, list[tuple[bound.Expr | None, KqlType | None]]] | None:
    """How far the arguments are from what the function takes, and each with the type that it has to become, if it is another."""
    parameters = _parameters(function.parameters, len(arguments))
    if parameters is None:
        return None
    variable = _variable_type(parameters, arguments)
    if variable == "":
        return None
    cost = 0
    matched: list[tuple[bound.Expr | None, KqlType | None]] = []
    for index, parameter in enumerate(parameters):
        argument = arguments[index] if index < len(arguments) else None
        if argument is None:
            if not parameter.is_optional:
                return None
            matched.append((None if parameter.default is None else _default(parameter), None))
            continue
        if parameter.is_constant and not isinstance(argument, (bound.Constant, bound.Parameter)):
            return None
        wanted = variable if parameter.variable else _nearest(argument.type, parameter.types)
        step = _distance(argument.type, wanted)
        if wanted is None or step == _IMPOSSIBLE:
            return None
        cost += step
        matched.append((argument, None if step == 0 else cast("KqlType", wanted)))
    return cost, matched


def _parameters(declared: tuple[Parameter, ...], count: int) -> Sequence[Parameter] | None:
    """One parameter for each argument, and those that were left out; None where the number does not fit."""
    repeated = _repeated(declared)
    if repeated is None:
        return declared if count <= len(declared) else None
    after = len(declared) - repeated - 1
    times = count - repeated - after
    if times < 0:
        return None
    return [*declared[:repeated], *[declared[repeated]] * times, *declared[repeated + 1 :]]


def _repeated(declared: tuple[Parameter, ...]) -> int | None:
    for index, parameter in enumerate(declared):  # a generator would take twice as long, and every call comes here
        if parameter.is_repeated:
            return index
    return None


def _variable_type(parameters: Sequence[Parameter], arguments: Sequence[bound.Expr | None]) -> KqlType | str | None:
    """The type that T or N stands for; None where there is none, "" where the arguments do not agree."""
    types = [
        argument.type for parameter, argument in zip(parameters, arguments, strict=False) if parameter.variable and argument is not None
    ]
    if not types:
        return None
    allowed = next(parameter.types for parameter in parameters if parameter.variable)
    known = [kind for kind in types if kind != "dynamic"] or types
    found = common_type(known)
    if found is None:
        return ""
    nearest = _nearest(found, allowed)
    return "" if nearest is None else nearest


def _nearest(kind: KqlType, allowed: frozenset[KqlType]) -> KqlType | None:
    if kind in allowed:
        return kind
    if kind in _WIDTH:
        return min((each for each in allowed if is_wider(each, kind)), key=lambda each: _WIDTH[each], default=None)
    if kind == "dynamic":
        for each in ("string", "real", "long", "int", "datetime", "timespan", "bool", "guid", "decimal"):
            if each in allowed:
                return each
    return None


def _distance(kind: KqlType, wanted: KqlType | str | None) -> int:
    if kind == wanted:
        return 0
    if kind in _WIDTH and wanted in _WIDTH:
        step = _WIDTH[wanted] - _WIDTH[kind]
        return _WIDENS * step if step > 0 else _IMPOSSIBLE
    return _FROM_DYNAMIC if kind == "dynamic" and wanted else _IMPOSSIBLE


_DEFAULTS: dict[str, bound.Constant] = {}


def _default(parameter: Parameter) -> bound.Constant:
    """What a parameter is when it is left out, from the text of its signature."""
    text = str(parameter.default)
    if text not in _DEFAULTS:
        from forebay.telemetry.kql.syntax.nodes import Literal, Unary
        from forebay.telemetry.kql.syntax.parser import parse_expression

        read = parse_expression(text)
        if isinstance(read, Unary):
            assert isinstance(read.operand, Literal), "a default is a literal"
            _DEFAULTS[text] = bound.Constant(read.operand.type, -read.operand.value)
        else:
            assert isinstance(read, Literal), "a default is a literal"
            _DEFAULTS[text] = bound.Constant(read.type, read.value)
    found = _DEFAULTS[text]
    nearest = _nearest(found.type, parameter.types)
    kind = next(iter(parameter.types)) if nearest is None else nearest
    widened = widen(found, kind) if found.type != kind and is_wider(kind, found.type) else bound.Constant(kind, found.value)
    assert isinstance(widened, bound.Constant), "a constant widens to one"
    return widened


def _result_type(function: Function, arguments: Sequence[bound.Expr | None]) -> KqlType:
    if callable(function.returns):
        return function.returns(*(None if argument is None else argument.type for argument in arguments))
    if function.returns in ("T", "N"):
        parameters = _parameters(function.parameters, len(arguments)) or ()
        for parameter, argument in zip(parameters, arguments, strict=False):
            if parameter.variable and argument is not None:
                return argument.type
        raise AssertionError(f"{function.signature}: nothing says what T is")
    return function.returns  # type: ignore[return-value]


def _no_match(name: str, candidates: Sequence[Function], arguments: Sequence[bound.Expr | None], start: int, end: int) -> KqlError:
    if not candidates:
        return unknown_function(name, start, end)
    came = ", ".join("nothing" if argument is None else argument.type for argument in arguments)
    ways = " or ".join(dict.fromkeys(candidate.signature for candidate in candidates[:4]))
    if candidates[0].kind == "operator":
        return KqlError(
            Diagnostic(
                "type", f"the operator {name} does not take {came}", start, end, hint="convert with tostring(), toreal(), todatetime(), ..."
            )
        )
    return KqlError(Diagnostic("type", f"{name}() does not take ({came}); expected {ways}", start, end))


def unknown_function(name: str, start: int, end: int) -> KqlError:
    """The refusal of a function by its name: unknown, or known and not supported."""
    if name in registry.REFUSED:
        return KqlError(Diagnostic("unsupported", f"{name}() is not supported", start, end, hint=registry.REFUSED[name], construct=name))
    import difflib

    nearest = difflib.get_close_matches(name.lower(), registry.names(), n=1)
    hint = f"did you mean {nearest[0]}()?" if nearest else "docs/kql.md lists the functions"
    return KqlError(Diagnostic("unknown_function", f"there is no function {name[:100]}()", start, end, hint=hint, construct=name))
