"""Which names a client may call this server by.

A page of a stranger can give its own name the address of this machine (DNS rebinding) and then talk to the server as
if it were that page's. Its requests carry that name in `Host`, and so they are told apart.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from forebay.settings import Settings

_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowedHosts:
    """The names that are answered to, whatever the port."""

    names: frozenset[str]
    any_address: bool  # an address cannot be rebound; it is allowed where other machines are

    def allow(self, host: str) -> bool:
        """Whether the value of a `Host` header is one of ours."""
        name = _name_of(host)
        return name in self.names or (self.any_address and _address_of(name) is not None)


def allowed_hosts(settings: Settings) -> AllowedHosts:
    """This machine's names for itself, the configured address, and the host of the public URL."""
    server = settings.server
    public = urlsplit(server.public_url).hostname if server.public_url else None
    names = _LOOPBACK_NAMES | {server.host.lower()} | ({public} if public else set())
    return AllowedHosts(names=names, any_address=not is_loopback(server.host))


def is_loopback(host: str) -> bool:
    """Whether only programs on this machine can reach a server that listens there."""
    address = _address_of(host)
    return address.is_loopback if address is not None else host.lower() == "localhost"


def _name_of(host: str) -> str:
    host = host.strip().lower()
    if host.startswith("["):
        address, bracket, _ = host[1:].partition("]")
        return address if bracket else ""
    return host.partition(":")[0].rstrip(".")


def _address_of(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None
