"""`convert_length` and its like: a value in another unit, for constant names of units; an unknown name gives null.

The units, and what each is in its quantity's base unit, are those of UnitsNet 4, the library that Kusto uses. Some of its factors have few
digits (a cubic foot, a gallon, a knot), which later versions made more exact by up to 5e-6.
Source: https://learn.microsoft.com/kusto/query/convert-length-function and the pages of the others
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from forebay.telemetry.kql.functions.argument import Argument
from forebay.telemetry.kql.functions.registry import scalar
from forebay.telemetry.kql.sql.literals import literal

if TYPE_CHECKING:
    from fractions import Fraction

_PREFIXES = {
    "Nano": "1e-9", "Micro": "1e-6", "Milli": "1e-3", "Centi": "1e-2", "Deci": "1e-1",
    "Deca": "1e1", "Hecto": "1e2", "Kilo": "1e3", "Mega": "1e6", "Giga": "1e9", "Tera": "1e12",
}  # fmt: skip


def _prefixed(unit: str, factor: str, prefixes: str) -> dict[str, str]:
    """The unit itself, and with prefixes."""
    return {unit: factor} | {prefix + unit[0].lower() + unit[1:]: f"{_PREFIXES[prefix]}*{factor}" for prefix in prefixes.split()}


# factors are exact products of fractions, as text: `1200/3937`, `1e3*0.45359237`
LENGTHS = {  # in meters
    **_prefixed("Meter", "1", "Nano Micro Milli Centi Deci Deca Hecto Kilo"),
    **_prefixed("LightYear", "9.46073047258e15", "Kilo Mega"),
    **_prefixed("Parsec", "3.08567758128e16", "Kilo Mega"),
    "Angstrom": "1e-10", "AstronomicalUnit": "1.4959787070e11", "Chain": "20.1168", "DataMile": "1828.8", "DtpPica": "1/236.220472441",
    "DtpPoint": "2.54e-2/72", "Fathom": "1.8288", "Foot": "0.3048", "Hand": "1.016e-1", "Inch": "2.54e-2", "Microinch": "2.54e-8",
    "Mil": "2.54e-5", "Mile": "1609.34", "NauticalMile": "1852", "PrinterPica": "1/237.106301584", "PrinterPoint": "2.54e-2/72.27",
    "Shackle": "27.432", "SolarRadius": "6.9551e8", "Twip": "1/56692.913385826", "UsSurveyFoot": "1200/3937", "Yard": "0.9144",
}  # fmt: skip

MASSES = {  # in kilograms
    **_prefixed("Gram", "1e-3", "Nano Micro Milli Centi Deci Deca Hecto Kilo"),
    **_prefixed("Tonne", "1e3", "Kilo Mega"),
    **_prefixed("Pound", "0.45359237", "Kilo Mega"),
    "EarthMass": "5.9722e24", "Grain": "1/15432.358352941431", "LongHundredweight": "1/0.01968413055222121", "LongTon": "1016.0469088",
    "Ounce": "0.028349523125", "ShortHundredweight": "1/0.022046226218487758", "ShortTon": "907.18474", "Slug": "1/6.852176556196105e-2",
    "SolarMass": "1.98947e30", "Stone": "1/0.1574731728702698",
}  # fmt: skip

ENERGIES = {  # in joules
    **_prefixed("Joule", "1", "Milli Kilo Mega Giga"),
    **_prefixed("Calorie", "4.184", "Kilo Mega"),
    **_prefixed("BritishThermalUnit", "1055.05585262", "Kilo Mega Giga"),
    **_prefixed("ElectronVolt", "1.602176565e-19", "Kilo Mega Giga Tera"),
    **_prefixed("WattHour", "3600", "Kilo Mega Giga Tera"),
    **_prefixed("WattDay", "86400", "Kilo Mega Giga Tera"),
    **_prefixed("ThermEc", "1.05505585262e8", "Deca"),
    **_prefixed("ThermUs", "1.054804e8", "Deca"),
    **_prefixed("ThermImperial", "1.05505585257348e8", "Deca"),
    "Erg": "1e-7", "FootPound": "1.355817948", "HorsepowerHour": "2.6845195377e6",
}  # fmt: skip

FORCES = {  # in newtons
    **_prefixed("Newton", "1", "Micro Milli Deca Kilo Mega"),
    **_prefixed("PoundForce", "4.4482216152605095551842641431421", "Kilo"),
    "Dyn": "1e-5", "KilogramForce": "9.80665002864", "KiloPond": "9.80665002864", "OunceForce": "2.780138509537812e-1",
    "Poundal": "0.13825502798973041652092282466083", "ShortTonForce": "8.896443230521e3", "TonneForce": "9.80665002864e3",
}  # fmt: skip

SPEEDS = {  # in meters per second
    **_prefixed("MeterPerSecond", "1", "Nano Micro Milli Centi Deci Kilo"),
    **_prefixed("MeterPerMinute", "1/60", "Nano Micro Milli Centi Deci Kilo"),
    **_prefixed("MeterPerHour", "1/3600", "Milli Centi Kilo"),
    **{
        f"{length}Per{time}": f"{LENGTHS[length]}*1/{seconds}"
        for length in ("Foot", "Inch", "UsSurveyFoot", "Yard")
        for time, seconds in (("Second", 1), ("Minute", 60), ("Hour", 3600))
    },
    "Knot": "0.514444", "MilePerHour": "0.44704",
}  # fmt: skip

VOLUMES = {  # in cubic meters
    **_prefixed("Liter", "1e-3", "Micro Milli Centi Deci Deca Hecto Kilo Mega"),
    **_prefixed("CubicMeter", "1", "Hecto Kilo"),
    **_prefixed("CubicFoot", "0.0283168", "Hecto Kilo Mega"),
    **_prefixed("ImperialGallon", "0.00454609000000181429905810072407", "Kilo Mega"),
    **_prefixed("UsGallon", "0.00378541", "Deca Deci Hecto Kilo Mega"),
    "AcreFoot": "1/0.000810714", "AuTablespoon": "2e-5", "BoardFoot": "2.3597372158e-3", "CubicCentimeter": "1e-6",
    "CubicDecimeter": "1e-3", "CubicHectometer": "1e6", "CubicInch": "1.6387e-5", "CubicKilometer": "1e9", "CubicMicrometer": "1e-18",
    "CubicMile": "4.16818182544058e9", "CubicMillimeter": "1e-9", "CubicYard": "0.764554858", "ImperialBeerBarrel": "0.16365924",
    "ImperialOunce": "2.8413062499962901241875439064617e-5", "ImperialPint": "5.6826125e-4", "MetricCup": "0.00025",
    "MetricTeaspoon": "0.5e-5", "OilBarrel": "0.158987294928", "UkTablespoon": "1.5e-5", "UsBeerBarrel": "0.1173477658",
    "UsCustomaryCup": "0.0002365882365", "UsLegalCup": "0.00024", "UsOunce": "2.957352956253760505068307980135e-5",
    "UsPint": "4.73176473e-4", "UsQuart": "9.46352946e-4", "UsTablespoon": "1.478676478125e-5", "UsTeaspoon": "4.92892159375e-6",
}  # fmt: skip

ANGLES = {  # in degrees
    **_prefixed("Degree", "1", "Nano Micro Milli"),
    **_prefixed("Radian", "180/3.141592653589793", "Nano Micro Milli Centi Deci"),
    "Arcminute": "1/60", "Arcsecond": "1/3600", "Gradian": "0.9", "NatoMil": "9/160", "Revolution": "360",
}  # fmt: skip

TEMPERATURES = {  # kelvins of a degree, and of its zero
    "Kelvin": (1.0, 0.0), "DegreeCelsius": (1.0, 273.15), "MillidegreeCelsius": (1e-3, 273.15), "DegreeDelisle": (-2 / 3, 373.15),
    "DegreeFahrenheit": (5 / 9, 459.67 * 5 / 9), "DegreeNewton": (100 / 33, 273.15), "DegreeRankine": (5 / 9, 0.0),
    "DegreeReaumur": (5 / 4, 273.15), "DegreeRoemer": (40 / 21, 273.15 - 7.5 * 40 / 21), "SolarTemperature": (5778.0, 0.0),
}  # fmt: skip

_Convert = Callable[[Argument, Argument, Argument], str]


def _real(value: float) -> str:
    return literal("real", value)


def _exact(factor: str) -> Fraction:
    from fractions import Fraction

    product = Fraction(1)
    for part in factor.split("*"):
        numerator, _, denominator = part.partition("/")
        product *= Fraction(numerator) / Fraction(denominator or 1)
    return product


def _scaled(value: str, source: str, target: str) -> str:
    """Multiplied or divided by a number above one, which is more often a whole one."""
    ratio = _exact(source) / _exact(target)
    if ratio == 1:
        return value
    return f"{value} * {_real(float(ratio))}" if ratio > 1 else f"{value} / {_real(float(1 / ratio))}"


def _proportional(factors: Mapping[str, str]) -> _Convert:
    def sql(value: Argument, source: Argument, target: Argument) -> str:
        if source.value not in factors or target.value not in factors:
            return "NULL::DOUBLE"
        return _scaled(value.sql, factors[source.value], factors[target.value])

    return sql


def _angle(value: Argument, source: Argument, target: Argument) -> str:
    """A tilt is the sine of an angle; beyond 1 it is none, and NaN."""
    known = {**ANGLES, "Tilt": "1"}
    if source.value not in known or target.value not in known:
        return "NULL::DOUBLE"
    found = f"degrees(asin({value}))" if source.value == "Tilt" else value.sql
    found = _scaled(found, known[source.value], known[target.value])
    return f"sin(radians({found}))" if target.value == "Tilt" else found


def _temperature(value: Argument, source: Argument, target: Argument) -> str:
    if source.value not in TEMPERATURES or target.value not in TEMPERATURES:
        return "NULL::DOUBLE"
    degree, zero = TEMPERATURES[source.value]
    target_degree, target_zero = TEMPERATURES[target.value]
    return f"({value} * {_real(degree)} + {_real(zero)} - {_real(target_zero)}) / {_real(target_degree)}"


for _quantity, _convert in (
    ("angle", _angle),
    ("energy", _proportional(ENERGIES)),
    ("force", _proportional(FORCES)),
    ("length", _proportional(LENGTHS)),
    ("mass", _proportional(MASSES)),
    ("speed", _proportional(SPEEDS)),
    ("temperature", _temperature),
    ("volume", _proportional(VOLUMES)),
):
    scalar(
        f"convert_{_quantity}(value: real, const source: string, const target: string) -> real",
        _convert,
        f"The {_quantity} in another unit; null for an unknown unit.",
        approximate="within 5e-6: of some units Kusto's library knows few digits, which differ between its versions",
    )
