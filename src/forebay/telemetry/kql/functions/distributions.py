"""Functions of distributions: the error function, the beta distribution, Welch's t-test.

Source: https://learn.microsoft.com/kusto/query/beta-cdf-function and the pages of the others
"""

from __future__ import annotations

from forebay.telemetry.kql.functions import distributions_python
from forebay.telemetry.kql.functions.registry import operator, scalar

scalar("erf(value: real) -> real", None, "The error function.", python=distributions_python.erf)
scalar("erfc(value: real) -> real", None, "One minus the error function.", python=distributions_python.erfc)

# what queries cannot call is declared as operators; in SQL what is NaN, for DuckDB takes a NaN that Python answers for null
_IN_RANGE = "{alpha.once} > 0 AND {alpha.once} <= 10000 AND {beta.once} > 0 AND {beta.once} <= 10000"
_CDF = operator(
    "_beta_probability(x: real, alpha: real, beta: real) -> real", "", "Of beta_cdf, in range.", python=distributions_python.beta_cdf
)
_PDF = operator(
    "_beta_density(x: real, alpha: real, beta: real) -> real", "", "Of beta_pdf, in range.", python=distributions_python.beta_pdf
)
_INVERSE = operator(
    "_beta_place(p: real, alpha: real, beta: real) -> real", "", "Of beta_inv, in range.", python=distributions_python.beta_inv
)
for _signature, _condition, _function, _summary in (
    (
        "beta_cdf(x: real, alpha: real, beta: real)",
        f"{{x.once}} BETWEEN 0 AND 1 AND {_IN_RANGE}",
        _CDF,
        "The beta distribution's probability of at most x.",
    ),
    (
        "beta_pdf(x: real, alpha: real, beta: real)",
        f"{{x.once}} BETWEEN 0 AND 1 AND {_IN_RANGE}",
        _PDF,
        "The beta distribution's density at x.",
    ),
    ("beta_inv(p: real, alpha: real, beta: real)", _IN_RANGE, _INVERSE, "Where the beta distribution reaches a probability."),
):
    _first = _signature.partition("(")[2].partition(":")[0]
    _call = f"{_function.python_name}({{{_first}.once}}, {{alpha.once}}, {{beta.once}})"
    scalar(f"{_signature} -> real", f"CASE WHEN NOT ({_condition}) THEN 'nan'::DOUBLE ELSE {_call} END", _summary)

scalar(
    "welch_test(mean1: real, variance1: real, count1: real, mean2: real, variance2: real, count2: real) -> real",
    None,
    "The probability that two samples of populations with equal means differ so much (Welch's t-test, two-sided).",
    python=distributions_python.welch_test,
)
