"""Geography: places, lines, polygons and cells on a sphere of 6,371,010 m."""

from __future__ import annotations

import time
from math import isclose, pi, radians, sin
from typing import Any

import pytest
from expressions import values
from running import Tables, run

from forebay.telemetry.kql.errors import KqlError

RADIUS = 6_371_010.0
SQUARE = [[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]


def shape(kind: str, coordinates: Any) -> str:
    return f"dynamic({{'type': '{kind}', 'coordinates': {coordinates}}})"


def polygon(*rings: Any) -> str:
    return shape("Polygon", list(rings))


def line(*places: Any) -> str:
    return shape("LineString", list(places))


def box(west: float, south: float, east: float, north: float) -> list[list[float]]:
    return [[west, south], [east, south], [east, north], [west, north], [west, south]]


def are_alike(found: Any, expected: Any) -> bool:
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(are_alike(found[key], expected[key]) for key in expected)
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(are_alike, found, expected))
    if isinstance(expected, float):
        return isclose(found, expected, rel_tol=1e-9, abs_tol=1e-12)
    return bool(found == expected)


def check(cases: dict[str, Any]) -> None:
    found = values(cases)
    assert {each: (found[each], cases[each]) for each in cases if not are_alike(found[each], cases[each])} == {}


def point(longitude: float, latitude: float) -> dict[str, Any]:
    return {"type": "Point", "coordinates": [float(longitude), float(latitude)]}


def test_distances_are_along_great_circles() -> None:
    check(
        {
            "geo_distance_2points(0, 0, 90, 0)": RADIUS * pi / 2,
            "geo_distance_2points(0, -90, 77, 90)": RADIUS * pi,
            "geo_distance_2points(-179, 0, 179, 0)": RADIUS * radians(2),
            "geo_distance_2points(10, 20, 10, 20, false)": 0.0,
            "geo_distance_point_to_line(0, 1, " + line([-10, 0], [10, 0]) + ")": RADIUS * radians(1),
            "geo_distance_point_to_line(12, 0, " + line([-10, 0], [10, 0]) + ")": RADIUS * radians(2),
            "geo_distance_point_to_polygon(0.5, 0.5, " + polygon(SQUARE) + ")": 0.0,
            "geo_distance_point_to_polygon(0.5, -1, " + polygon(SQUARE) + ")": RADIUS * radians(1),
            "geo_point_in_circle(0, 1, 0, 0, 111196)": True,
            "geo_point_in_circle(0, 1, 0, 0, 111194)": False,
        }
    )


def test_directions_are_clockwise_from_north() -> None:
    check(
        {
            "geo_azimuth(0, 0, 0, 1)": 0.0,
            "geo_azimuth(0, 0, 1, 0)": pi / 2,
            "geo_azimuth(0, 0, -1, 0)": pi * 1.5,
            "geo_azimuth(5, 5, 5, 5)": None,
            "geo_azimuth(0, 0, 180, 0)": None,
            "geo_angle(0, 1, 0, 0, 1, 0)": pi / 2,
            "geo_angle(1, 0, 0, 0, 0, 1)": pi * 1.5,
            "geo_angle(0, 1, 0, 0, 0, 0)": None,
        }
    )


def test_places_off_the_earth_and_broken_shapes_are_null() -> None:
    ring = [[0, 0], [2, 2], [2, 0], [0, 2], [0, 0]]
    expressions = [
        "geo_distance_2points(181, 0, 0, 0)",
        "geo_distance_2points(0, real(nan), 0, 0)",
        "geo_distance_2points(0, real(null), 0, 0)",
        "geo_point_in_circle(0, 91, 0, 0, 1)",
        "geo_point_in_circle(0, 0, 0, 0, 0)",
        "geo_azimuth(0, 0, 0, -90.1)",
        f"geo_point_in_polygon(0, 100, {polygon(SQUARE)})",
        f"geo_polygon_area({polygon(ring)})",
        f"geo_polygon_area({polygon(SQUARE[:-1])})",
        f"geo_polygon_area({polygon(SQUARE, SQUARE)})",
        f"geo_polygon_area({polygon([[0, 0], [1, 1], [0, 0]])})",
        f"geo_polygon_area({polygon()})",
        f"geo_polygon_area({polygon([[0, 0], ['1', 1], [2, 0], [0, 0]])})",
        f"geo_polygon_area({line([0, 0], [1, 1])})",
        f"geo_line_length({polygon(SQUARE)})",
        f"geo_line_length({line([1, 1])})",
        f"geo_line_length({line([1, 1], [1, 1])})",
        f"geo_line_length({shape('MultiLineString', [[[1, 1], [2, 2]], [[1, 1]]])})",
        "geo_line_length(dynamic(null))",
        "geo_line_length(dynamic('x'))",
        "geo_line_length(dynamic([1]))",
        f"geo_line_interpolate_point({line([0, 0], [1, 1])}, 1.1)",
        f"geo_line_densify({line([0, 0], [1, 1])}, 0.01)",
        f"geo_polygon_densify({polygon(SQUARE)}, 10001)",
    ]
    assert {each: value for each, value in values(expressions).items() if value is not None} == {}


def test_of_several_lines_what_they_share_counts_once() -> None:
    twice = shape("MultiLineString", [[[0, 0], [1, 0]], [[2, 0], [1, 0], [0, 0]]])
    check(
        {
            f"geo_line_length({line([0, 0], [1, 0], [1, 1])})": RADIUS * radians(2),
            f"geo_line_length({twice})": RADIUS * radians(2),
            f"geo_line_centroid({twice})": point(1, 0),
        }
    )


def test_points_on_lines() -> None:
    bent = line([0, 0], [10, 0], [10, 10])
    check(
        {
            f"geo_line_interpolate_point({bent}, 0)": point(0, 0),
            f"geo_line_interpolate_point({bent}, 0.25)": point(5, 0),
            f"geo_line_interpolate_point({bent}, 1)": point(10, 10),
            f"geo_line_locate_point({bent}, 5, -1)": 0.25,
            f"geo_line_locate_point({bent}, 10, 60)": 1.0,
            f"geo_closest_point_on_line(5, -1, {bent})": point(5, 0),
            f"geo_closest_point_on_line(-3, 0, {bent})": point(0, 0),
            f"geo_closest_point_on_polygon(0.5, -1, {polygon(SQUARE)})": point(0.5, 0),
            f"geo_closest_point_on_polygon(0.5, 0.25, {polygon(SQUARE)})": point(0.5, 0.25),
        }
    )


def test_areas_are_those_of_the_sphere_whatever_the_order_of_points() -> None:
    octant = [[0, 0], [90, 0], [0, 90], [0, 0]]
    eighth = 4 * pi * RADIUS**2 / 8
    inner = [[20, 20], [40, 20], [30, 40], [20, 20]]
    found = values(
        [
            f"geo_polygon_area({polygon(octant)})",
            f"geo_polygon_area({polygon(octant[::-1])})",
            f"geo_polygon_area({polygon(octant, inner)})",
            f"geo_polygon_area({polygon(octant, inner[::-1])})",
            f"geo_polygon_area({polygon(inner)})",
            f"geo_polygon_perimeter({polygon(octant)})",
        ]
    )
    whole, reverse, with_hole, with_reverse_hole, hole, perimeter = found.values()
    assert whole == pytest.approx(eighth, rel=1e-12)
    assert reverse == pytest.approx(eighth, rel=1e-12)
    assert with_hole == pytest.approx(eighth - hole, rel=1e-12)
    assert with_reverse_hole == pytest.approx(eighth - hole, rel=1e-12)
    assert perimeter == pytest.approx(RADIUS * pi * 1.5, rel=1e-12)
    check({f"geo_polygon_centroid({polygon(octant)})": point(45, 35.264389682754654)})


@pytest.mark.parametrize(
    ("one", "other", "union"),
    [
        (box(0, 0, 2, 2), box(1, -1, 3, 5), None),
        (box(0, 0, 2, 2), box(5, 5, 6, 6), None),
        (box(0, 0, 9, 9), box(5, 5, 6, 6), box(0, 0, 9, 9)),
        (box(0, 0, 2, 2), box(0, 0, 2, 2), box(0, 0, 2, 2)),
        (box(0, -1, 2, 0), box(0, 0, 2, 2), [[0, -1], [2, -1], [2, 0], [2, 2], [0, 2], [0, 0], [0, -1]]),
        (box(0, -1, 1, 5), box(1, 0, 2, 1), None),  # one side is a part of another
        (box(0, -1, 1, 5), box(0.5, 0, 1, 1), box(0, -1, 1, 5)),
    ],
)
def test_several_polygons_count_as_their_union(one: Any, other: Any, union: Any) -> None:
    both = shape("MultiPolygon", [[one], [other]])
    reverse = shape("MultiPolygon", [[other], [one[::-1]]])
    expressions = [f"geo_polygon_{what}({of})" for of in (both, reverse) for what in ("area", "perimeter")]
    area, perimeter, *again = values(expressions).values()
    assert again == pytest.approx([area, perimeter], rel=1e-9)
    single = list(values([f"geo_polygon_{what}({polygon(each)})" for each in (one, other) for what in ("area", "perimeter")]).values())
    if union is not None:
        expected = list(values([f"geo_polygon_{what}({polygon(union)})" for what in ("area", "perimeter")]).values())
        assert [area, perimeter] == pytest.approx(expected, rel=1e-9)
    else:
        assert max(single[0], single[2]) < area <= (single[0] + single[2]) * (1 + 1e-9)
        assert perimeter <= (single[1] + single[3]) * (1 + 1e-9)


def test_a_point_on_the_border_of_polygons_side_by_side_is_in_one_of_them() -> None:
    rows = [[float(x) / 4, float(y) / 4] for x in range(1, 12) for y in range(1, 8)]
    sides = [box(west, south, west + 1, south + 1) for west in range(3) for south in range(2)]
    inside = " + ".join(f"toint(geo_point_in_polygon(x, y, {polygon(side)}))" for side in sides)
    answer = run(f"T | project n = {inside}", {"T": Tables([("x", "real"), ("y", "real")], rows)})
    corners_and_meridians = [row[0] for row, place in zip(answer.rows, rows, strict=True) if place[0] % 1 == 0]
    assert set(corners_and_meridians) == {1}
    assert {row[0] for row in answer.rows} <= {0, 1, 2}  # parallels are no great circles: a polygon's edge is north of them


def test_a_hole_is_outside() -> None:
    ring = polygon(box(0, 0, 9, 9), box(3, 3, 6, 6))
    check(
        {
            f"geo_point_in_polygon(1, 1, {ring})": True,
            f"geo_point_in_polygon(4, 4, {ring})": False,
            f"geo_point_in_polygon(-1, 4, {ring})": False,
            f"geo_distance_point_to_polygon(3.5, 4, {ring}) > 50000": True,
        }
    )


def test_what_crosses() -> None:
    square = polygon(SQUARE)
    check(
        {
            f"geo_intersects_2lines({line([0, 0], [2, 2])}, {line([0, 2], [2, 0])})": True,
            f"geo_intersects_2lines({line([0, 0], [2, 2])}, {line([2, 2], [3, 0])})": True,
            f"geo_intersects_2lines({line([0, 0], [1, 1])}, {line([3, 0], [0, 3])})": False,
            f"geo_intersects_2lines({line([170, 0], [-170, 0])}, {line([180, 1], [180, -1])})": True,
            f"geo_intersects_line_with_polygon({line([-1, 0.5], [2, 0.5])}, {square})": True,
            f"geo_intersects_line_with_polygon({line([0.2, 0.5], [0.4, 0.5])}, {square})": True,
            f"geo_intersects_line_with_polygon({line([-1, 0.5], [-2, 0.5])}, {square})": False,
            f"geo_intersects_2polygons({square}, {polygon(box(0.5, 0.5, 3, 3))})": True,
            f"geo_intersects_2polygons({square}, {polygon(box(0.5, 0.5, 0.6, 0.6))})": True,
            f"geo_intersects_2polygons({polygon(box(0.5, 0.5, 0.6, 0.6))}, {square})": True,
            f"geo_intersects_2polygons({square}, {polygon(box(2, 2, 3, 3))})": False,
            f"geo_intersects_2polygons({square}, {polygon(box(1, 1, 3, 3))})": True,
        }
    )


def test_densified_lines_follow_the_map() -> None:
    parallel = values([f"geo_line_densify({line([0, 60], [10, 60])}, 100)"]).popitem()[1]["coordinates"]
    assert len(parallel) > 8
    assert all(latitude == pytest.approx(60, abs=1e-12) for _, latitude in parallel)
    check(
        {
            f"geo_line_densify({line([0, 0], [10, 0])})": {"type": "LineString", "coordinates": [[0.0, 0.0], [10.0, 0.0]]},
            f"array_length(geo_polygon_densify({polygon(box(0, 60, 1, 61))}, 10000).coordinates[0])": 5,
        }
    )


def test_geohashes() -> None:
    check(
        {
            "geo_point_to_geohash(0, 0)": "s0000",
            "geo_point_to_geohash(-0.00001, -0.00001, 3)": "7zz",
            "geo_point_to_geohash(180, 90, 18)": "z" * 18,
            "geo_point_to_geohash(-180, -90, 1)": "0",
            "geo_point_to_geohash(0, 0, 19)": "",
            "geo_point_to_geohash(0, 0, 0)": "",
            "geo_point_to_geohash(0, 0, int(null))": "",
            "geo_point_to_geohash(0, 91, 1)": "",
            "geo_geohash_to_central_point('s')": point(22.5, 22.5),
            "geo_geohash_to_polygon('7')": {"type": "Polygon", "coordinates": [box(-45.0, -45.0, 0.0, 0.0)]},
            "geo_geohash_to_polygon('s0i')": None,
            "geo_geohash_to_central_point('')": None,
        }
    )


def test_cells_of_s2() -> None:
    edge = 45.0
    top = 35.264389682754654
    face = [[-edge, -top], [edge, -top], [edge, top], [-edge, top], [-edge, -top]]
    check(
        {
            "geo_point_to_s2cell(0, 0, 0)": "1",
            "geo_point_to_s2cell(90, 0, 0)": "3",
            "geo_point_to_s2cell(0, 90, 0)": "5",
            "geo_point_to_s2cell(180, 0, 0)": "7",
            "geo_point_to_s2cell(-90, 0, 0)": "9",
            "geo_point_to_s2cell(0, -90, 0)": "b",
            "strlen(geo_point_to_s2cell(1.5, 2.5, 30))": 16,
            "geo_point_to_s2cell(1.5, 2.5) == geo_point_to_s2cell(1.5, 2.5, 11)": True,
            "geo_point_to_s2cell(0, 0, 31)": "",
            "geo_point_to_s2cell(0, 0, int(null))": "",
            "geo_s2cell_to_central_point('1')": point(0, 0),
            "geo_s2cell_to_polygon('1')": {"type": "Polygon", "coordinates": [face]},
            "geo_s2cell_to_polygon('d')": None,
            "geo_s2cell_to_polygon('g')": None,
            "geo_s2cell_to_polygon('0')": None,
            "geo_s2cell_to_central_point('')": None,
            "geo_s2cell_to_central_point('11111111111111111')": None,
        }
    )


def test_the_middle_of_a_cell_is_in_it_at_every_level() -> None:
    rows = [[x * 7.3 - 180, y * 11.7 - 90, (x * 16 + y) % 31] for x in range(49) for y in range(15)]
    answer = run(
        """T | extend cell = geo_point_to_s2cell(x, y, level), hash = geo_point_to_geohash(x, y, level % 18 + 1)
        | extend c = geo_s2cell_to_central_point(cell).coordinates, h = geo_geohash_to_central_point(hash).coordinates
        | where geo_point_to_s2cell(toreal(c[0]), toreal(c[1]), level) != cell
            or geo_point_to_geohash(toreal(h[0]), toreal(h[1]), level % 18 + 1) != hash""",
        {"T": Tables([("x", "real"), ("y", "real"), ("level", "long")], rows)},
    )
    assert answer.rows == []


def test_cells_around_a_cell() -> None:
    check(
        {
            "geo_geohash_neighbors('s0')": ["eb", "7z", "kr", "s2", "kp", "s3", "s1", "ec"],  # of no use, but as Kusto's
            "array_sort_asc(geo_geohash_neighbors('s0'))": ["7z", "eb", "ec", "kp", "kr", "s1", "s2", "s3"],
            "array_sort_asc(geo_geohash_neighbors('z'))": ["8", "b", "w", "x", "y"],
            "geo_geohash_neighbors('')": None,
            "array_sort_asc(geo_s2cell_neighbors('1'))": ["3", "5", "9", "b"],
            "array_length(geo_s2cell_neighbors(geo_point_to_s2cell(1, 2, 30)))": 8,
            "array_length(geo_s2cell_neighbors(geo_point_to_s2cell(45, 35.2643, 15)))": 7,  # a corner of the cube
            "geo_s2cell_neighbors('x')": None,
        }
    )


def test_a_cell_is_around_those_around_it() -> None:
    rows = [[x * 39.3 - 179, y * 34.7 - 75, (x * 5 + y) % 31] for x in range(9) for y in range(5)]
    answer = run(
        """T | extend cell = geo_point_to_s2cell(x, y, level), hash = geo_point_to_geohash(x, y, level % 18 + 1)
        | mv-expand other = geo_s2cell_neighbors(cell) to typeof(string)
        | mv-expand hash_beside = geo_geohash_neighbors(hash) to typeof(string)
        | where not(set_has_element(geo_s2cell_neighbors(other), cell))
            or not(set_has_element(geo_geohash_neighbors(hash_beside), hash))""",
        {"T": Tables([("x", "real"), ("y", "real"), ("level", "long")], rows)},
    )
    assert answer.rows == []


def test_cells_that_cover() -> None:
    small = polygon(box(0.1, 0.1, 0.2, 0.2))
    check(
        {
            f"geo_polygon_to_s2cells({polygon([[0, 0], [90, 0], [0, 90], [0, 0]])}, 0)": ["1", "3", "5"],
            f"geo_polygon_to_s2cells({small}, 1)": ["14"],
            f"set_has_element(geo_polygon_to_s2cells({small}, 13), geo_point_to_s2cell(0.15, 0.15, 13))": True,
            f"set_has_element(geo_polygon_to_s2cells({small}, 13), geo_point_to_s2cell(0.1, 0.25, 13))": False,
            f"geo_polygon_to_s2cells({small}, 30)": None,
            f"geo_polygon_to_s2cells({small}, 31)": None,
            f"geo_line_to_s2cells({line([1, 1], [2, 1])}, 3)": ["104"],
            f"array_length(geo_line_to_s2cells({line([-170, 1], [170, 1])}, 0))": 1,
        }
    )


def test_well_known_text() -> None:
    def collection(*members: Any) -> dict[str, Any]:
        return {"type": "GeometryCollection", "geometries": list(members)}

    nested = "GEOMETRYCOLLECTION(" * 50 + "POINT (1 2)" + ")" * 50
    check(
        {
            "geo_from_wkt('point(-1.5e1 .5)')": point(-15, 0.5),
            "geo_from_wkt('  POLYGON ((0 0,1 0 , 1 1,0 0), (2 2,3 2,3 3,2 2)) ')": {
                "type": "Polygon",
                "coordinates": [[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0]], [[2.0, 2.0], [3.0, 2.0], [3.0, 3.0], [2.0, 2.0]]],
            },
            "geo_from_wkt('MULTIPOINT ((1 2), (3 4))')": {"type": "MultiPoint", "coordinates": [[1.0, 2.0], [3.0, 4.0]]},
            "geo_from_wkt('GEOMETRYCOLLECTION (POINT (1 2), GEOMETRYCOLLECTION (POINT (3 4)))')": collection(
                point(1, 2), collection(point(3, 4))
            ),
            "geo_from_wkt('POINT (1 2) x')": None,
            "geo_from_wkt('POINT (1 2 3)')": None,
            "geo_from_wkt('POINT (1 2, 3 4)')": None,
            "geo_from_wkt('POINT EMPTY')": None,
            "geo_from_wkt('POINT (1 1e999)')": None,
            "geo_from_wkt('LINESTRING (1 2, 3 4')": None,
            "geo_from_wkt('CIRCLE (1 2)')": None,
            "geo_from_wkt('')": None,
            f"geo_from_wkt('{nested}')": None,
        }
    )


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("geo_distance_2points(0, 0, 1, 1, true)", "sphere"),
        ("geo_polygon_buffer(dynamic({}), 1)", "not supported"),
        ("geo_polygon_to_h3cells(dynamic({}))", "not supported"),
    ],
)
def test_what_is_not_exact_is_refused(expression: str, message: str) -> None:
    with pytest.raises(KqlError, match=message):
        run(f"print {expression}")


def test_huge_shapes_take_bounded_time() -> None:
    spiral = [[(k % 2) * 0.5 + k * 1e-5, 80 * sin(k / 20000)] for k in range(20000)]
    table = {"T": Tables([("s", "dynamic")], [[f'{{"type": "Polygon", "coordinates": [{[*spiral, spiral[0]]}]}}']])}
    start = time.perf_counter()
    assert run("T | project geo_polygon_area(s)", table).rows == [(None,)]
    assert time.perf_counter() - start < 20


def test_cells_of_h3() -> None:
    cell = "geo_point_to_h3cell(10, 20, 7)"
    check(
        {
            "geo_point_to_h3cell(10, 20) == geo_point_to_h3cell(10, 20, 6)": True,
            "geo_point_to_h3cell(10, 20, 16)": "",
            "geo_point_to_h3cell(10, 200)": "",
            f"geo_h3cell_level({cell})": 7,
            "geo_h3cell_level('x')": None,
            f"geo_h3cell_parent({cell}) == geo_point_to_h3cell(10, 20, 6)": True,
            f"geo_h3cell_parent({cell}, 7) == {cell}": True,
            f"geo_h3cell_parent({cell}, 8)": "",
            "geo_h3cell_parent(geo_point_to_h3cell(10, 20, 0))": "",
            f"array_length(geo_h3cell_children({cell}))": 7,
            f"array_length(geo_h3cell_children({cell}, 9))": 49,
            f"geo_h3cell_children({cell}, 13)": None,
            f"array_length(geo_h3cell_neighbors({cell}))": 6,
            f"array_length(geo_h3cell_rings({cell}, 3)[3])": 18,
            f"geo_h3cell_rings({cell}, 143)": None,
            f"array_length(geo_h3cell_to_polygon({cell}).coordinates[0])": 7,
            "geo_h3cell_to_polygon('')": None,
            "array_length(geo_h3cell_rings('8009fffffffffff', 1)[1])": 5,  # a pentagon
        }
    )
