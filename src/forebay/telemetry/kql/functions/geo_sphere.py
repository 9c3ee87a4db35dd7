"""Points, edges and orientations on a sphere: what lines, polygons and cells are made of.

A point is a unit vector (x, y, z). Whether an edge crosses another, and what side of an edge a point is on, is decided exactly: no three
points are taken to be on one great circle, so that a point on the border of polygons that cover the Earth is in just one of them. The rules
(a reference direction at each point, a symbolic perturbation of points on one great circle) are those of the S2 library, which Kusto uses.
Source: https://s2geometry.io/devguide/s2predicates_and_s2edge_crossings, and Edelsbrunner and Muecke, "Simulation of Simplicity" (1990)
"""

from __future__ import annotations

from math import atan2, cos, isfinite, pi, sin, sqrt
from typing import Any

Point = tuple[float, float, float]

EARTH_RADIUS_METERS = 6_371_010.0
_RADIANS, _DEGREES = pi / 180.0, 180.0 / pi
_DETERMINANT_ERROR = 1e-15  # of three unit vectors: more than it can be

# a point that no polygon has as a vertex, from which crossings are counted
_ORIGIN: Point = (-0.0099994664350250197, 0.0025924542609324121, 0.99994664350250195)


def is_valid(longitude: Any, latitude: Any) -> bool:
    """Whether two values are degrees of a place on Earth."""
    return (
        isinstance(longitude, (int, float))
        and isinstance(latitude, (int, float))
        and not isinstance(longitude, bool)
        and not isinstance(latitude, bool)
        and -180 <= longitude <= 180
        and -90 <= latitude <= 90
    )


def point_at(longitude: float, latitude: float) -> Point:
    """The point at these degrees."""
    theta, phi = longitude * _RADIANS, latitude * _RADIANS
    around = cos(phi)
    return (cos(theta) * around, sin(theta) * around, sin(phi))


def degrees_of(point: Point) -> list[float]:
    """Longitude and latitude of a point, in degrees."""
    x, y, z = plus(point, (0.0, 0.0, 0.0))  # no -0.0
    return [atan2(y, x) * _DEGREES, atan2(z, sqrt(x * x + y * y)) * _DEGREES]


def dot(a: Point, b: Point) -> float:
    """The scalar product."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def cross(a: Point, b: Point) -> Point:
    """The vector product."""
    return (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])


def minus(a: Point, b: Point) -> Point:
    """The difference."""
    return (a[0] - b[0], a[1] - b[1], a[2] - b[2])


def plus(a: Point, b: Point) -> Point:
    """The sum."""
    return (a[0] + b[0], a[1] + b[1], a[2] + b[2])


def times(a: Point, factor: float) -> Point:
    """The vector, longer."""
    return (a[0] * factor, a[1] * factor, a[2] * factor)


def unit(a: Point) -> Point:
    """The point in the direction of a vector; (0, 0, 0) where it has none."""
    length = sqrt(dot(a, a))
    return times(a, 1 / length) if length and isfinite(length) else (0.0, 0.0, 0.0)


def normal(a: Point, b: Point) -> Point:
    """A vector across the plane of two points, exact also where they are close to each other or opposite."""
    twice = cross(plus(a, b), minus(b, a))
    return (twice[0] / 2, twice[1] / 2, twice[2] / 2)


def angle(a: Point, b: Point) -> float:
    """Radians from one point to another."""
    across = normal(a, b)
    return atan2(sqrt(dot(across, across)), dot(a, b))


def interpolate(a: Point, b: Point, fraction: float) -> Point:
    """The point at a fraction of the way from one to another."""
    if fraction in (0, 1):
        return b if fraction else a
    way = fraction * angle(a, b)
    ahead = unit(cross(normal(a, b), a))
    return unit(plus(times(a, cos(way)), times(ahead, sin(way))))


def closest_on_edge(point: Point, a: Point, b: Point) -> tuple[float, Point]:
    """Radians to the closest point of an edge, and that point."""
    across = normal(a, b)
    foot = unit(minus(point, times(across, dot(point, across) / (dot(across, across) or 1.0))))
    if dot(cross(across, a), foot) > 0 and dot(cross(b, across), foot) > 0:
        return angle(point, foot), foot
    return min((angle(point, a), a), (angle(point, b), b))


def triangle_area(a: Point, b: Point, c: Point) -> float:
    """The signed area of a triangle on the unit sphere: positive where it is counterclockwise."""
    volume = dot(cross(minus(b, a), minus(c, a)), a)
    return 2.0 * atan2(volume, 1.0 + dot(a, b) + dot(b, c) + dot(c, a))


def sign(a: Point, b: Point, c: Point) -> int:
    """1 where the points are counterclockwise, -1 where they are clockwise, 0 only where two of them are the same."""
    determinant = dot(cross(a, b), c)
    if abs(determinant) > _DETERMINANT_ERROR:
        return 1 if determinant > 0 else -1
    if a in (b, c) or b == c:
        return 0
    return _exact_sign(a, b, c)


def _exact_sign(a: Point, b: Point, c: Point) -> int:
    from fractions import Fraction

    # sorted, with the sign of that permutation, so that the answer does not depend on the order in which the points came
    permutation = 1
    if a > b:
        a, b, permutation = b, a, -permutation
    if b > c:
        b, c, permutation = c, b, -permutation
    if a > b:
        a, b, permutation = b, a, -permutation
    a0, a1, a2 = (Fraction(each) for each in a)
    b0, b1, b2 = (Fraction(each) for each in b)
    c0, c1, c2 = (Fraction(each) for each in c)
    across = (b1 * c2 - b2 * c1, b2 * c0 - b0 * c2, b0 * c1 - b1 * c0)
    # the determinant, then its coefficients of the perturbations da2 << da1 << da0 << db2 << ..., from the largest
    for value in (
        a0 * across[0] + a1 * across[1] + a2 * across[2],
        across[2],
        across[1],
        across[0],
        c0 * a1 - c1 * a0,
        c0,
        -c1,
        c2 * a0 - c0 * a2,
        c2,
        a0 * b1 - a1 * b0,
        -b0,
        b1,
        a0,
    ):
        if value:
            return permutation if value > 0 else -permutation
    return permutation


def crossing(a: Point, b: Point, c: Point, d: Point) -> int:
    """1 where the edges ab and cd cross inside of both, 0 where they share a vertex, else -1."""
    if a in (c, d) or b in (c, d):
        return 0
    if a == b or c == d:
        return -1
    side = sign(a, b, c)
    return 1 if sign(a, b, d) == -side and sign(c, d, b) == side and sign(c, d, a) == -side else -1


def _reference(a: Point) -> Point:
    """A direction at a point that depends on nothing else."""
    largest = max(range(3), key=lambda axis: (abs(a[axis]), axis))
    toward = [0.012, 0.0053, 0.00457]
    toward[(largest + 2) % 3] = 1.0
    return unit(cross(a, (toward[0], toward[1], toward[2])))


def _is_between(a: Point, b: Point, c: Point, around: Point) -> bool:
    """Whether the edges to a, b and c are met in this order counterclockwise around a point."""
    met = (sign(b, around, a) >= 0) + (sign(c, around, b) >= 0) + (sign(a, around, c) > 0)
    return met >= 2


def _crosses_at_vertex(a: Point, b: Point, c: Point, d: Point) -> bool:
    if a == b or c == d:
        return False
    if a == c:
        return b == d or _is_between(_reference(a), d, b, a)
    if b == d:
        return _is_between(_reference(b), c, a, b)
    if a == d:
        return b == c or _is_between(_reference(a), c, b, a)
    return b == c and _is_between(_reference(b), d, a, b)


def _is_odd_from_origin(point: Point, ring: list[Point]) -> bool:
    """Whether the edge from the origin to a point crosses a ring an odd number of times."""
    x, y, z = cross(_ORIGIN, point)
    is_odd = False
    before = ring[-1]
    side_before = x * before[0] + y * before[1] + z * before[2]
    for vertex in ring:
        side = x * vertex[0] + y * vertex[1] + z * vertex[2]
        if not (
            (side > _DETERMINANT_ERROR and side_before > _DETERMINANT_ERROR)
            or (side < -_DETERMINANT_ERROR and side_before < -_DETERMINANT_ERROR)
        ):
            found = crossing(_ORIGIN, point, before, vertex)
            if found > 0 or (not found and _crosses_at_vertex(_ORIGIN, point, before, vertex)):
                is_odd = not is_odd
        before, side_before = vertex, side
    return is_odd


def origin_is_inside(ring: list[Point]) -> bool:
    """Whether the point from which `is_inside` counts is on the left of a ring of at least three points."""
    before, vertex, after = ring[0], ring[1], ring[2]
    vertex_is_inside = not _is_between(_reference(vertex), after, before, vertex)
    return vertex_is_inside != _is_odd_from_origin(vertex, ring)


def is_inside(point: Point, ring: list[Point], *, with_origin: bool) -> bool:
    """Whether a point is on the left of a ring."""
    return with_origin != _is_odd_from_origin(point, ring)
