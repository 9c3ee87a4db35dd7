"""Names by which the server is called."""

from __future__ import annotations

import pytest

from forebay.server.hosts import allowed_hosts
from forebay.settings import load_settings


def allows(host: str, /, **given: object) -> bool:
    return allowed_hosts(load_settings({}, given, env_file=None)).allow(host)


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:1", "[::1]", "[::1]:8000", "Localhost"])
def test_loopback_names_are_always_known(host: str) -> None:
    assert allows(host)
    assert allows(host, host="0.0.0.0", public_url="https://a.example")


@pytest.mark.parametrize(
    "host", ["", ":", "a.example", "127.0.0.1.a.example", "10.0.0.1", "[fe80::1]", "localhost.a.example", "[::1", "::1]"]
)
def test_a_stranger_is_not_known_on_loopback(host: str) -> None:
    assert not allows(host)


def test_addresses_are_known_where_other_machines_are() -> None:
    for host in ("10.0.0.1:8000", "[fe80::1]:8000"):
        assert allows(host, host="0.0.0.0")
    assert not allows("a.example", host="0.0.0.0")


def test_the_public_url_and_the_configured_host_are_names() -> None:
    assert allows("a.example:443", public_url="https://A.example/forebay")
    assert allows("box.example", host="box.example")
    assert not allows("b.example", public_url="https://a.example")
