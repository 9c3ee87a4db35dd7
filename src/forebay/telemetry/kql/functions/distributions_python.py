"""Distributions in Python: the incomplete beta function, its inverse, and Welch's test.

The incomplete beta function is its continued fraction, evaluated with Lentz's method.
Source: Numerical Recipes, 3rd edition, 6.4; https://dlmf.nist.gov/8.17.22
"""

from __future__ import annotations

import math

_MAXIMUM_PARAMETER = 10_000  # as Kusto has it
_TINY = 1e-300
_LARGEST_EXPONENT = 709.0  # exp() of more is no double
_NEARLY_NORMAL = 1e7  # degrees of freedom from which on the t distribution is the normal one, to 1e-8
_STEPS = 10_000  # about sqrt(alpha + beta) are needed


def erf(value: float | None) -> float | None:
    """The error function."""
    return None if value is None else math.erf(value)


def erfc(value: float | None) -> float | None:
    """One minus the error function, exact also where that is near 1."""
    return None if value is None else math.erfc(value)


def beta_cdf(x: float | None, alpha: float | None, beta: float | None) -> float | None:
    """The probability of at most x, which is from 0 to 1; parameters are positive and at most 10,000. Else null."""
    if x is None or alpha is None or beta is None or not _is_in_range(x, alpha, beta):
        return None
    return _regularized(x, alpha, beta)


def beta_pdf(x: float | None, alpha: float | None, beta: float | None) -> float | None:
    """The probability's density at x; arguments as for `beta_cdf`."""
    if x is None or alpha is None or beta is None or not _is_in_range(x, alpha, beta):
        return None
    if x in (0, 1):
        power, other = (alpha, beta) if x == 0 else (beta, alpha)
        return 0.0 if power > 1 else math.inf if power < 1 else other
    logarithm = (alpha - 1) * math.log(x) + (beta - 1) * math.log1p(-x) - _log_beta(alpha, beta)
    return math.exp(logarithm) if logarithm < _LARGEST_EXPONENT else math.inf


def beta_inv(probability: float | None, alpha: float | None, beta: float | None) -> float | None:
    """The x up to which lies so much probability; null for a probability outside 0 (excluded) to 1. Parameters as for `beta_cdf`."""
    if probability is None or alpha is None or beta is None or probability == 0 or not _is_in_range(probability, alpha, beta):
        return None
    low, high = 0.0, 1.0
    while probability < 1:  # as often as a double has bits, or so
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if _regularized(middle, alpha, beta) < probability:
            low = middle
        else:
            high = middle
    return high


def welch_test(
    mean1: float | None, variance1: float | None, count1: float | None, mean2: float | None, variance2: float | None, count2: float | None
) -> float | None:
    """The probability that samples of populations with equal means differ so much (Welch's t-test, two-sided); null where undefined."""
    if None in (mean1, variance1, count1, mean2, variance2, count2):
        return None
    assert mean1 is not None and variance1 is not None and count1 is not None
    assert mean2 is not None and variance2 is not None and count2 is not None
    if not (count1 > 1 and count2 > 1 and variance1 >= 0 and variance2 >= 0):
        return None
    first, second, difference = variance1 / count1, variance2 / count2, mean1 - mean2
    try:
        squared = difference * difference / (first + second)
        freedom = (first + second) * (first + second) / (first * first / (count1 - 1) + second * second / (count2 - 1))
    except ZeroDivisionError:  # both variances are zero, or their squares too small for a double
        return None
    if not (math.isfinite(squared) and math.isfinite(freedom)):
        return None
    if freedom > _NEARLY_NORMAL:
        return math.erfc(math.sqrt(squared / 2))
    return _regularized(freedom / (freedom + squared), freedom / 2, 0.5)


def _is_in_range(x: float, alpha: float, beta: float) -> bool:
    return 0 <= x <= 1 and 0 < alpha <= _MAXIMUM_PARAMETER and 0 < beta <= _MAXIMUM_PARAMETER


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _regularized(x: float, a: float, b: float) -> float:
    """The regularized incomplete beta function I_x(a, b)."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    front = math.exp(a * math.log(x) + b * math.log1p(-x) - _log_beta(a, b))
    if x < (a + 1) / (a + b + 2):
        return front * _continued_fraction(x, a, b) / a
    return 1 - front * _continued_fraction(1 - x, b, a) / b


def _continued_fraction(x: float, a: float, b: float) -> float:
    c, d = 1.0, _inverse(1 - (a + b) * x / (a + 1))
    fraction = d
    for m in range(1, _STEPS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d, c = _inverse(1 + even * d), _nonzero(1 + even / c)
        fraction *= d * c
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d, c = _inverse(1 + odd * d), _nonzero(1 + odd / c)
        fraction *= d * c
        if abs(d * c - 1) < 1e-15:
            break
    return fraction


def _nonzero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY


def _inverse(value: float) -> float:
    return 1 / _nonzero(value)
