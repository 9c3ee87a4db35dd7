"""How columns are called that a query gives no name.

Source: the rules of Microsoft's parser (https://github.com/microsoft/Kusto-Query-Language) and answers of the Kusto emulator.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from itertools import count
from typing import Any

from forebay.telemetry.kql.syntax import nodes

# functions whose answer is called as their first argument is
FIRST_ARGUMENT = frozenset(
    (
        "todynamic toobject tolong toint toreal todouble todatetime totimespan totime tobool toboolean todecimal toguid tostring tohex "
        "split parse_csv parsejson parse_json parse_xml format_datetime format_timespan format_bytes startofday bin floor bin_at bin_auto "
        "binary_and binary_or binary_xor binary_not binary_shift_right binary_shift_left bitset_count_ones "
        "series_fir series_iir series_outliers series_fill_backward series_fill_forward series_fill_const series_fill_linear "
        "round ceiling pow sqrt log log2 log10 exp exp2 exp10 cos sin tan acos asin atan atan2 abs rand gamma loggamma erf erfc "
        "take_anyif binary_all_or binary_all_and binary_all_xor"
    ).split()
)

# the same, where that is the only argument
ONLY_ARGUMENT = frozenset({"make_datetime", "make_timespan"})

# a prefix, `_`, and the first argument's name: `avg(x)` is `avg_x`, `count()` is `count_`
PREFIXES = {
    **{
        name: name
        for name in (
            "strlen string_size repeat percentile_tdigest dcount_hll "
            "sum sumif cnt count countif dcount dcountif count_distinct count_distinctif min minif max maxif avg avgif any anyif "
            "stdev stdevif stdevp variance varianceif variancep variancepif tdigest hll hll_if hll_merge"
        ).split()
    },
    **dict.fromkeys(("make_list", "make_list_if", "make_list_with_nulls", "makelist"), "list"),
    **dict.fromkeys(("make_set", "make_set_if", "makeset"), "set"),
    **dict.fromkeys(("make_bag", "make_bag_if"), "bag"),
    "make_dictionary": "dictionary",
    "buildschema": "schema",
    "tdigest_merge": "merge_tdigests",
    "merge_tdigest": "merge_tdigests",
    "gettype": "type",
    "treepath": "tree",
    "percentiles_array": "percentiles",
    "percentilesw_array": "percentiles",
    "percentiles_array_tdigest": "percentile_tdigest",
}

# the same, with the names of both arguments
PREFIX_AND_TWO_ARGUMENTS = frozenset({"covariance", "covarianceif", "covariancep", "covariancepif"})

# a name of their own; for the merges, as functions of several values
FIXED = {"ingestion_time": "$IngestionTime"}
FIXED_OF_SEVERAL = {"tdigest_merge": "tdigests_merge_result", "merge_tdigest": "tdigests_merge_result", "hll_merge": "hll_merged_result"}

NAME_OF_COLUMN = frozenset({"column_ifexists", "columnifexists"})

# functions that answer several columns: `series_stats(x)` has `series_stats_x_min`, ...
_LINE = "rsquare slope variance rvariance interception"
SPREAD = {
    name: tuple(parts.split())
    for name, parts in {
        "series_stats": "min min_idx max max_idx avg stdev variance",
        "series_fit_line": f"{_LINE} line_fit",
        "series_fit_2lines": "rsquare split_idx variance rvariance line_fit right_rsquare right_slope right_interception right_variance "
        "right_rvariance left_rsquare left_slope left_interception left_variance left_rvariance",
        "series_fit_poly": "rsquare coefficients variance rvariance poly_fit",
        "series_decompose": "baseline seasonal trend residual",
        "series_decompose_anomalies": "ad_flag ad_score baseline",
        "series_decompose_forecast": "baseline seasonal trend residual",
        "series_periods_detect": "periods scores",
        "series_periods_validate": "periods scores",
        "series_fft": "real imag",
        "series_ifft": "real imag",
    }.items()
}

# where the percentiles begin among the arguments
_PERCENTILES = {"percentile": 1, "percentiles": 1, "percentilew": 2, "percentilesw": 2}

# functions that answer columns of the rows they pick, by what stands before their names
_PICK = {"take_any": "any", "any": "any", "arg_min": "min", "arg_max": "max", "argmin": "min", "argmax": "max"}


def _literal(expression: nodes.Expression) -> Any:
    return expression.value if isinstance(expression, nodes.Literal) else None


Constants = Callable[[nodes.Expression], Any]


def result_name(expression: nodes.Expression, columns: Container[str] = (), constant: Constants = _literal) -> str | None:
    """The name of the column that an expression makes; None for `Column1`, `Column2`, ..., and in `print` always `print_0`, `print_1`, ...

    `columns` are those that there are, of which `column_ifexists` may name one. `constant` answers the value of a constant, else None.
    An expression of several columns is one for `result_names`.
    """
    match expression:
        case nodes.Name(name=name):
            return name
        case nodes.Named(names=names):
            return names[0]
        case nodes.Member(object=nodes.Name(name="$left" | "$right"), name=name):
            return name
        case nodes.Member(object=inner, name=name):
            return _joined(result_name(inner), name)
        case nodes.Index(object=inner, index=nodes.Literal(type="string" | "int" | "long", value=value)):
            return _joined(result_name(inner), str(value))
        case nodes.Index(object=inner):
            return _joined(result_name(inner), "")
        case nodes.Call(name=function, arguments=arguments, object=None):
            return _name_of_call(function, arguments, columns, constant)
    return None


def _name_of_call(function: str, arguments: tuple[nodes.Expression, ...], columns: Container[str], constant: Constants) -> str | None:
    if function in FIXED:
        return FIXED[function]
    if function in NAME_OF_COLUMN and arguments:
        name = constant(arguments[0])
        return name if name in columns else result_name(arguments[-1], columns, constant)
    if function in FIXED_OF_SEVERAL and len(arguments) > 1:
        return FIXED_OF_SEVERAL[function]
    if arguments and (function in FIRST_ARGUMENT or (function in ONLY_ARGUMENT and len(arguments) == 1)):
        return result_name(arguments[0])
    if function in PREFIXES:
        return f"{PREFIXES[function]}_{_name_or_nothing(arguments[0]) if arguments else ''}"
    if function in PREFIX_AND_TWO_ARGUMENTS:
        return "_".join((function, *map(_name_or_nothing, arguments[:2])))
    return None


def result_names(call: nodes.Call, constant: Constants = _literal) -> tuple[str, ...] | None:
    """The names of the columns of a function that answers several, or picks some (`percentile` too); None for any other.

    `arg_max`, `take_any` and their like have one name for each argument; that of `*` has a `*` where the name of each of its columns goes.
    `constant` answers the value of a constant, else None.
    """
    arguments = call.arguments
    first = _name_or_nothing(arguments[0]) if arguments else ""
    if call.name in SPREAD:
        return tuple(f"{call.name}_{first}_{part}" for part in SPREAD[call.name])
    if call.name in _PERCENTILES:
        return tuple(f"percentile_{first}_{_fragment(constant(each))}" for each in arguments[_PERCENTILES[call.name] :])
    if call.name in _PICK and not (call.name == "any" and len(arguments) == 1 and not isinstance(arguments[0], nodes.Wildcard)):
        return tuple(_picked(call.name, first, place, each) for place, each in enumerate(arguments))
    return None


def _picked(function: str, first: str, place: int, argument: nodes.Expression) -> str:
    prefix = _PICK[function]
    name = "*" if isinstance(argument, nodes.Wildcard) else result_name(argument)
    if function in ("argmin", "argmax"):  # the old ones
        return f"{prefix}_{first}_{name or f'arg{place}'}" if place else f"{prefix}_{first}"
    if function == "any":
        return f"any_{name or f'arg{place}'}"
    if name:
        return name
    if function == "take_any":
        return f"any_arg{place}"
    return f"{prefix}_{first}_arg{place}" if place else f"{prefix}_"


def unique(name: str, taken: Container[str], numbers: dict[str, int] | None = None) -> str:
    """The name itself, or with the first number behind it that makes it one that is not taken: `x1`, `x2`, ...

    For `join` and `lookup`, all names of both sides are taken. `numbers` remembers between calls which numbers were tried.
    """
    return name if name not in taken else _numbered(name, taken, numbers)


def unnamed(taken: Container[str], numbers: dict[str, int] | None = None) -> str:
    """The name of a column that nothing names: `Column1`, `Column2`, ..."""
    return _numbered("Column", taken, numbers)


def _numbered(name: str, taken: Container[str], numbers: dict[str, int] | None) -> str:
    tried = {} if numbers is None else numbers
    for number in count(tried.get(name, 0) + 1):
        if (numbered := f"{name}{number}") not in taken:
            break
    tried[name] = number
    return numbered


def _joined(left: str | None, right: str) -> str:
    return f"{left}_{right}" if left else right


def _name_or_nothing(expression: nodes.Expression) -> str:
    return result_name(expression) or ""


def _fragment(value: Any) -> str:
    """A number as a part of a name: 99.9 is `99_9`, 5.0 is `5`."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = "" if value is None else str(value).upper()
    return "".join(character if character.isalnum() else "_" for character in text)
