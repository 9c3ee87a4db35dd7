"""IP addresses and hashes: what an expression answers."""

from __future__ import annotations

import hashlib
from ipaddress import IPv4Address, ip_network
from random import Random
from typing import Any
from uuid import UUID

import pytest
from running import Tables, run

from forebay.telemetry.kql.errors import KqlError
from forebay.telemetry.kql.functions.hashes_python import xxh64


def value(expression: str) -> Any:
    return run(f"print x = {expression}").rows[0][0]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("parse_ipv4('10.1.2.3')", 0x0A010203),
        ("parse_ipv4('10.1.2.3/8')", 0x0A000000),
        ("parse_ipv4('255.255.255.255')", 2**32 - 1),
        ("parse_ipv4('1.2.3.4/0')", 0),
        ("parse_ipv4_mask('10.1.2.3', 16)", 0x0A010000),
        ("parse_ipv4_mask('10.1.2.3/8', 16)", 0x0A000000),
        ("ipv4_compare('10.0.0.1', '10.0.0.2')", -1),
        ("ipv4_compare('10.0.0.9/30', '10.0.0.5')", 1),
        ("ipv4_compare('10.0.0.1', '10.0.0.2', 30)", 0),
        ("ipv4_is_match('10.0.0.1', '10.0.0.254/24', 25)", True),
        ("ipv4_is_in_range('10.3.4.5', '10.3.0.0/16')", True),
        ("ipv4_is_in_range('10.4.4.5', '10.3.0.0/16')", False),
        ("ipv4_is_in_any_range('8.8.8.8', '10.0.0.0/8', '8.0.0.0/7')", True),
        ("ipv4_is_in_any_range('8.8.8.8', dynamic(['10.0.0.0/8', 'x', 7]))", False),
        ("ipv4_is_private('172.31.255.255')", True),
        ("ipv4_is_private('172.32.0.0')", False),
        ("ipv4_is_private('192.168.0.0/15')", True),
        ("ipv4_netmask_suffix('10.0.0.1/7')", 7),
        ("ipv4_netmask_suffix('10.0.0.1')", 32),
        ("format_ipv4('10.1.2.3/24', 28)", "10.1.2.0"),
        ("format_ipv4(167838211)", "10.1.2.3"),
        ("format_ipv4_mask('10.1.2.3', 9)", "10.0.0.0/9"),
        ("format_ipv4_mask(167838211, 24)", "10.1.2.0/24"),
        ("format_ipv4('10.1.2.3', 33)", ""),
        ("format_ipv4(-1)", ""),
        ("ipv4_range_to_cidr_list('10.0.0.255', '10.0.2.0')", ["10.0.0.255/32", "10.0.1.0/24", "10.0.2.0/32"]),
        ("ipv4_range_to_cidr_list('0.0.0.0', '255.255.255.255')", ["0.0.0.0/0"]),
        ("ipv4_range_to_cidr_list('2.0.0.0', '1.0.0.0')", []),
        ("parse_ipv6('::1')", "0000:0000:0000:0000:0000:0000:0000:0001"),
        ("parse_ipv6('2001:DB8::FFFF/116')", "2001:0db8:0000:0000:0000:0000:0000:f000"),
        ("parse_ipv6('10.1.2.3/16')", "0000:0000:0000:0000:0000:ffff:0a01:0000"),
        ("parse_ipv6('::ffff:10.1.2.3')", "0000:0000:0000:0000:0000:ffff:0a01:0203"),
        ("parse_ipv6_mask('2001:db8::1', 0)", "0000:0000:0000:0000:0000:0000:0000:0000"),
        ("ipv6_compare('2001:db8::1', '2001:db8::2')", -1),
        ("ipv6_compare('10.0.0.1', '::ffff:a00:1')", 0),
        ("ipv6_is_match('2001:db8::1', '2001:db8::2', 120)", True),
        ("ipv6_is_in_range('2001:db8::1', '2001:db8::/32')", True),
        ("ipv6_is_in_range('10.1.2.3', '10.1.0.0/16')", True),
        ("ipv6_is_in_any_range('2001:db8::1', '::/128', '2001:db9::/32')", False),
        ("ipv6_is_in_any_range('2001:db8::1', dynamic(['2001::/16']))", True),
    ],
)
def test_addresses(expression: str, expected: object) -> None:
    assert value(expression) == expected


@pytest.mark.parametrize(
    "text", ["", "10.1.2", "10.1.2.256", "10.1.2.3.4", "10.1.2.3/33", "10.1.2.3/", "01.2.3.4", " 10.1.2.3", "1" * 100, "٣.1.2.3"]
)
def test_what_is_no_address_is_null_and_an_empty_text(text: str) -> None:
    calls = [
        "parse_ipv4(s)",
        "ipv4_compare(s, '1.1.1.1')",
        "ipv4_is_in_range('1.1.1.1', s)",
        "ipv4_is_private(s)",
        "ipv4_netmask_suffix(s)",
    ]
    calls += [
        "ipv4_range_to_cidr_list(s, '1.1.1.1')",
        "ipv4_is_in_any_range(s, '1.1.1.1')",
        "ipv6_is_match(s, '::1')",
        "ipv6_is_in_range('::1', s)",
    ]
    calls += ["format_ipv4(s)", "format_ipv4_mask(s, 8)", "parse_ipv6(s)", "parse_ipv6_mask(s, 64)"]
    (row,) = run(
        f"T | project {', '.join(f'c{index} = {call}' for index, call in enumerate(calls))}", {"T": Tables([("s", "string")], [[text]])}
    ).rows
    assert row == (None,) * 9 + ("",) * 4


@pytest.mark.parametrize("text", ["fe80::1%eth0", "1:2:3", "2001:db8::/129", "2001:db8::/", "::1/-1", "g::", "::10.1.2.3/33"])
def test_what_is_no_address_of_ipv6_is_an_empty_text(text: str) -> None:
    assert value(f"parse_ipv6('{text}')") == ""


def test_prefixes_out_of_range_and_null_arguments_are_null() -> None:
    for expression in (
        "parse_ipv4_mask('1.1.1.1', -1)",
        "parse_ipv4_mask('1.1.1.1', long(null))",
        "ipv4_compare('1.1.1.1', '1.1.1.1', 33)",
        "ipv6_is_match('::1', '::1', 129)",
    ):
        assert value(expression) is None


def test_the_networks_of_a_range_have_exactly_its_addresses() -> None:
    random = Random(3)
    for _ in range(20):
        first = random.randrange(2**32 - 5000)
        last = first + random.randrange(5000)
        networks = [ip_network(text) for text in value(f"ipv4_range_to_cidr_list('{IPv4Address(first)}', '{IPv4Address(last)}')")]
        assert [int(network[0]) for network in networks] == [first] + [int(network[-1]) + 1 for network in networks[:-1]]
        assert int(networks[-1][-1]) == last


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("has_ipv4('from 10.1.2.3', '10.1.2.3')", True),
        ("has_ipv4('10.1.2.3:80', '10.1.2.3')", True),
        ("has_ipv4('10.1.2.30', '10.1.2.3')", False),
        ("has_ipv4('x10.1.2.3', '10.1.2.3')", False),
        ("has_ipv4('10.1.2.300', '10.1.2.300')", False),
        ("has_ipv4('10.1.2.3', '10.1.2.')", False),
        ("has_ipv4('', '10.1.2.3')", False),
        ("has_ipv4_prefix('[10.1.2.3]', '10.1.')", True),
        ("has_ipv4_prefix('[10.1.2.3]', '10.1')", False),
        ("has_ipv4_prefix('[10.1.2.3]', '10.1.2.3')", True),
        ("has_ipv4_prefix('[10.1.2]', '10.1.')", False),
        ("has_ipv4_prefix('110.1.2.3', '10.')", False),
        ("has_any_ipv4('a 10.1.2.3 b', '1.1.1.1', '10.1.2.3')", True),
        ("has_any_ipv4('a 10.1.2.3 b', dynamic(['1.1.1.1', 'nothing', 5]))", False),
        ("has_any_ipv4_prefix('a 10.1.2.3 b', dynamic(['1.', '10.1.']))", True),
        ("has_any_ipv4_prefix('a 10.1.2.3 b', dynamic(null))", False),
    ],
)
def test_addresses_in_texts_are_found_by_constants_and_by_columns_alike(expression: str, expected: bool) -> None:
    assert value(expression) is expected
    name, _, arguments = expression.partition("(")
    source, _, wanted = arguments.rstrip(")").partition(", ")
    if not wanted.startswith("dynamic"):
        texts = [text.strip("' ") for text in wanted.split(",")]
        columns = [(f"c{index}", "string") for index in range(len(texts))]
        query = f"T | project x = {name}({source}, {', '.join(name for name, _ in columns)})"
        assert run(query, {"T": Tables(columns, [texts])}).rows == [(expected,)]


def test_an_address_is_looked_for_in_null_texts_without_finding_it() -> None:
    table = {"T": Tables([("s", "string")], [[None], ["at 10.0.0.1"]])}
    assert run("T | project x = has_ipv4(s, '10.0.0.1')", table).rows == [(False,), (True,)]
    assert run("T | where not(has_ipv4(s, '10.0.0.1')) | count", table).rows == [(1,)]
    assert run("T | where has_any_ipv4(s, '10.0.0.1', '1.1.1.1') | count", table).rows == [(1,)]


def test_addresses_to_look_for_may_come_with_the_query() -> None:
    declared = "declare query_parameters(ip: string = '10.0.0.1', ips: dynamic = dynamic(['10.0.0.2'])); "
    text = "'at 10.0.0.2'"
    for call, expected in (
        ("has_ipv4({}, ip)", False),
        ("has_ipv4_prefix('10.0.0.1', ip)", True),
        ("has_any_ipv4({}, ips)", True),
        ("has_any_ipv4_prefix({}, ip, '10.')", True),
    ):
        assert run(f"{declared}print x = {call.format(text)}").rows == [(expected,)]


def test_xxh64_is_that_of_its_specification() -> None:
    # https://github.com/Cyan4973/xxHash: results of its own tests and of its command line
    assert xxh64(b"") & (2**64 - 1) == 0xEF46DB3751D8E999
    assert xxh64(b"a") & (2**64 - 1) == 0xD24EC4F1A98C6E5B
    assert xxh64(b"abc") & (2**64 - 1) == 0x44BC2CF5AD770999
    assert xxh64(b"abcd") & (2**64 - 1) == 0xDE0327B0D25D92CC
    assert xxh64(b"Nobody inspects the spammish repetition") & (2**64 - 1) == 0xFBCEA83C8A378BF1


def test_a_hash_with_a_modulus_is_from_zero_to_less_than_it() -> None:
    table = {"T": Tables([("s", "string")], [[f"user {index}"] for index in range(500)])}
    counts = [count for _, count in run("T | summarize count() by bucket = hash(s, 5) | sort by bucket asc", table).rows]
    assert sum(counts) == 500 and len(counts) == 5 and min(counts) > 60
    assert value("hash('x', 0)") is None
    assert value("hash('x', -3)") is None


def test_hashes_of_equal_values_are_equal_and_null_has_none() -> None:
    assert value("hash(datetime(2024-01-01)) == hash(datetime('2024-01-01 00:00'))") is True
    assert value("hash_xxhash64('') == hash('')") is True
    assert value("hash(5) == hash(int(5))") is True
    for expression in ("hash(datetime(null))", "hash(long(null))", "hash(real(null))", "hash(timespan(null), 7)"):
        assert value(expression) is None
    for expression in ("hash(1.5)", "hash(1h)", "hash(true)", "hash(guid(74be27de-1e4e-49d9-b579-fe0b331d3642))"):
        assert isinstance(value(expression), int)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("'naïve ☃'", "naïve ☃"),
        ("''", ""),
        ("12", "12"),
        ("true", "True"),
        ("1.02:03:04", "1.02:03:04"),
        ("datetime(1999-12-31 23:59:59.5)", "1999-12-31T23:59:59.5000000Z"),
        ("datetime(null)", ""),
    ],
)
def test_digests_are_of_the_text_of_a_value(source: str, text: str) -> None:
    source = f"timespan({source})" if source.startswith("1.02") else source
    for name in ("md5", "sha1", "sha256"):
        assert value(f"hash_{name}({source})") == hashlib.new(name, text.encode()).hexdigest()


def test_new_guid_differs_from_row_to_row() -> None:
    rows = run("range i from 1 to 50 step 1 | project g = new_guid()").rows
    assert len({UUID(guid) for (guid,) in rows}) == 50


def test_the_estimated_size_is_that_of_numbers_and_of_texts() -> None:
    assert run(
        "T | project x = estimate_data_size(*)", {"T": Tables([("a", "long"), ("b", "string"), ("c", "bool")], [[1, "four", None]])}
    ).rows == [(13,)]
    assert value("estimate_data_size('abc')") == 3


@pytest.mark.parametrize("name", ["hash_many", "hash_combine"])
def test_combined_hashes_are_refused(name: str) -> None:
    with pytest.raises(KqlError) as refused:
        run(f"print {name}(1, 2)")
    assert "strcat" in refused.value.diagnostics[0].hint
