"""What repeats in a series, what is left of it without that, and what is far from the rest.

Sources: https://learn.microsoft.com/kusto/query/series-decompose-function, series-periods-detect-function, series-outliers-function.
What they do not say was found from documented results: the score of a period is the circular autocorrelation, on a scale from its least
value to that at 0.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from forebay.telemetry.kql.functions.series_fits import Line
from forebay.telemetry.kql.functions.series_values import MAXIMUM_LENGTH, mean, number, numbers, percentile, real_array, reals

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_LEAST_PERIOD = 4
_SEASONAL_SCORE = 0.7
# how many times the range from the 10th to the 90th percentile counts, so that 1.5 is as far out as of the quartiles
_CUSTOM_TUKEY_SCALE = 2.772605605507915
_METHODS = {"ctukey": (10.0, 90.0, _CUSTOM_TUKEY_SCALE), "tukey": (25.0, 75.0, 1.0)}


def series_fft(series: Any, imaginary: Any) -> list[Any]:
    """Real and imaginary parts of the Fourier transform."""
    return _transformed(series, imaginary, is_inverse=False)


def series_ifft(series: Any, imaginary: Any) -> list[Any]:
    """Real and imaginary parts of the inverse Fourier transform."""
    return _transformed(series, imaginary, is_inverse=True)


def _transformed(series: Any, imaginary: Any, *, is_inverse: bool) -> list[Any]:
    real, imag = reals(series), reals(imaginary) if imaginary is not None else None
    if real is None or (imaginary is not None and (imag is None or len(imag) != len(real))):
        return [None, None]
    import numpy as np

    with np.errstate(all="ignore"):
        signal = np.array(real) + 1j * np.array(imag or [0.0] * len(real))
        found = np.fft.ifft(signal) if is_inverse else np.fft.fft(signal)
    return [real_array(found.real.tolist()), real_array(found.imag.tolist())]


def _scores(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The score of each period, from 0 on."""
    import numpy as np

    with np.errstate(all="ignore"):
        correlation = np.fft.ifft(np.abs(np.fft.fft(values)) ** 2).real
        least, span = correlation.min(), correlation[0] - correlation.min()
        return (correlation - least) / span if span > 0 else np.zeros(len(values))


def _is_hill(scores: NDArray[np.float64], period: int) -> bool:
    return bool(scores[period] > scores[period - 1] and scores[period] > scores[(period + 1) % len(scores)])


def _powers(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which frequencies stand out: a peak, and more than the mean of all."""
    import numpy as np

    with np.errstate(all="ignore"):
        power = np.abs(np.fft.rfft(values - values.mean())) ** 2
    stands_out = np.zeros(len(power), dtype=bool)
    if len(power) > 2:
        middle = power[1:-1]
        stands_out[1:-1] = (middle > power[1:].mean()) & (middle >= power[:-2]) & (middle >= power[2:])
    return stands_out


def series_periods_validate(series: Any, periods: Any) -> list[Any]:
    """The periods, and the score of each: 0 for one that does not stand out, is shorter than 4 or longer than half of the series."""
    values = reals(series)
    asked = [number(each) for each in periods]
    if values is None:
        return [None, None]
    import numpy as np

    signal = np.array(values)
    scores, stands_out, count = _scores(signal), _powers(signal), len(values)
    found = []
    for each in asked:
        period = round(each) if each is not None and math.isfinite(each) else 0
        is_possible = _LEAST_PERIOD <= period <= count / 2 and _is_hill(scores, period) and stands_out[round(count / period)]
        found.append(float(scores[period]) if is_possible else 0.0)
    return [real_array(asked), real_array(found)]


def _detected(values: NDArray[np.float64], least: float, greatest: float) -> list[tuple[float, int]]:
    """Scores and periods, the best first: hills of the autocorrelation near to frequencies that stand out."""
    count = len(values)
    scores, stands_out = _scores(values), _powers(values)
    found: dict[int, float] = {}
    for frequency in range(2, min(len(stands_out), count // _LEAST_PERIOD + 2)):
        if not stands_out[frequency]:
            continue
        first = max(_LEAST_PERIOD, math.floor(count / (frequency + 1)) + 1, math.ceil(least))
        last = min((count - 1) // 2, math.ceil(count / (frequency - 1)) - 1, math.floor(greatest))
        hills = [period for period in range(first, last + 1) if _is_hill(scores, period)]
        if hills:
            best = max(hills, key=lambda period: scores[period])
            found[best] = float(scores[best])
    return sorted(((score, period) for period, score in found.items()), key=lambda each: (-each[0], each[1]))


def series_periods_detect(series: Any, least: float | None, greatest: float | None, count: int | None) -> list[Any]:
    """The periods and their scores, the best first, and zeros where there are fewer."""
    values = reals(series)
    if values is None or least is None or greatest is None or count is None or not 0 < count <= MAXIMUM_LENGTH:
        return [None, None]
    if math.isnan(least) or math.isnan(greatest):
        return [None, None]
    import numpy as np

    bounded = max(0.0, min(least, float(len(values)))), max(0.0, min(greatest, float(len(values))))
    found = [(float(period), score) for score, period in _detected(np.array(values), *bounded)][:count]
    found += [(0.0, 0.0)] * (min(count, len(values)) - len(found))
    return [[period for period, _ in found], [score for _, score in found]]


def _seasonal(values: list[float], period: int, learned: int, threshold: float) -> list[float]:
    """The median of each phase, over the points to learn from; zeros where nothing repeats."""
    import numpy as np

    known = np.array(values[:learned])
    if period < 0:
        found = _detected(known, _LEAST_PERIOD, learned / 2)
        period = found[0][1] if found and found[0][0] >= threshold else 0
    if period == 0:
        return [0.0] * len(values)
    period = min(period, learned)
    medians = [float(np.median(known[phase::period])) for phase in range(period)]
    return [medians[index % period] for index in range(len(values))]


def _learned(count: int, test_points: int | None) -> int:
    """How many points there are to learn from; all if none would be left."""
    points = test_points or 0
    return count - points if 0 < points < count else count


def series_seasonal(series: Any, period: int | None, test_points: int | None) -> Any:
    """The seasonal component."""
    values = reals(series)
    if values is None or period is None:
        return None
    return real_array(_seasonal(values, period, _learned(len(values), test_points), _SEASONAL_SCORE))


def _parts(series: Any, period: int | None, trend: str | None, test_points: int | None, threshold: float | None) -> Any:
    """Values, baseline, seasonal and trend as lists, and how many points were learned from; None of no numbers."""
    found = numbers(series)
    if not found or period is None or threshold is None or trend not in ("avg", "linefit", "none"):
        return None
    learned = _learned(len(found), test_points)
    known = reals(series[:learned])
    if known is None:
        return None
    # points to be forecast may be missing
    values = known + [math.nan if each is None else float(each) for each in found[learned:]]
    seasonal = _seasonal(values, period, learned, threshold)
    rest = [value - season for value, season in zip(known, seasonal, strict=False)]
    if trend == "avg":
        trends = [mean(rest)] * len(values)
    elif trend == "linefit":
        line = Line(rest)
        trends = [line.interception + line.slope * index for index in range(1, len(values) + 1)]
    else:
        trends = [0.0] * len(values)
    baseline = [season + each for season, each in zip(seasonal, trends, strict=True)]
    return values, baseline, seasonal, trends, learned


def series_decompose(series: Any, period: int | None, trend: str | None, test_points: int | None, threshold: float | None) -> list[Any]:
    """baseline, seasonal, trend, residual."""
    parts = _parts(series, period, trend, test_points, threshold)
    if parts is None:
        return [None] * 4
    values, baseline, seasonal, trends, _ = parts
    residual = [value - base for value, base in zip(values, baseline, strict=True)]
    return [real_array(each) for each in (baseline, seasonal, trends, residual)]


def series_decompose_forecast(series: Any, test_points: int | None, period: int | None, trend: str | None, threshold: float | None) -> Any:
    """The baseline: of all points, those to be forecast as well."""
    parts = _parts(series, period, trend, test_points, threshold)
    return None if parts is None else real_array(parts[1])


def series_decompose_anomalies(  # noqa: PLR0917 - the arguments are those of the function in queries
    series: Any,
    limit: float | None,
    period: int | None,
    trend: str | None,
    test_points: int | None,
    method: str | None,
    threshold: float | None,
) -> list[Any]:
    """ad_flag (1, -1 or 0), ad_score and baseline."""
    parts = _parts(series, period, trend, test_points, threshold)
    if parts is None or limit is None or method not in _METHODS:
        return [None] * 3
    values, baseline, _, _, learned = parts
    residual = [value - base for value, base in zip(values, baseline, strict=True)]
    scores = _outlier_scores(residual, residual[:learned], method)
    flags = [int(score >= limit) - int(score <= -limit) for score in scores]
    return [flags, real_array(scores), real_array(baseline)]


def _outlier_scores(values: list[float], learned: list[float], method: str) -> list[float]:
    """How many ranges values are out of the range of most."""
    low_percent, high_percent, scale = _METHODS[method]
    known = [value for value in learned if not math.isnan(value)]
    if not known:
        return [0.0] * len(values)
    low, high = percentile(known, low_percent), percentile(known, high_percent)
    span = (high - low) / scale

    def score(value: float) -> float:
        if value > high:
            return (value - high) / span if span > 0 else math.inf
        if value < low:
            return (value - low) / span if span > 0 else -math.inf
        return 0.0

    return [score(value) for value in values]


def series_outliers(series: Any, method: str | None, ignored: float | None) -> Any:
    """The score of each element; 0 for nulls and what is to be ignored."""
    values = numbers(series)
    if values is None or method not in _METHODS:
        return None
    counted = [math.nan if each is None or each == ignored else float(each) for each in values]
    return real_array(_outlier_scores(counted, counted, method))
