"""Who asks: the address of a client, and whether it is one of those that may.

What a request says of itself is taken from named proxies alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.requests import Request

    Networks = tuple[IPv4Network | IPv6Network, ...]


def networks(said: Iterable[str]) -> Networks:
    """Read networks such as `10.0.0.0/8` and addresses.

    Raises:
        ValueError: One is none.
    """
    return tuple(ip_network(str(each)) for each in said)


def _peer(request: Request) -> str:
    return request.client.host if request.client else "-"


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:  # such as that of a socket in the file system
        return None
    return getattr(found, "ipv4_mapped", None) or found


def _is_in(address: str, among: Networks) -> bool:
    found = _address(address)
    return found is not None and any(found in network for network in among)


@dataclass(frozen=True)
class Clients:
    """Which clients are answered, and which proxies tell for whom they ask."""

    allowed: Networks | None = None
    """By default all."""
    proxies: Networks = ()

    def address(self, request: Request) -> str:
        """Return the address that a request comes from."""
        address = _peer(request)
        hops = ",".join(request.headers.getlist("X-Forwarded-For")).split(",")
        while hops and _is_in(address, self.proxies):
            found = _address(hops.pop().strip())
            address = str(found) if found else "-"
        return address

    def is_proxy(self, request: Request) -> bool:
        """Return whether a request comes from one of the proxies."""
        return _is_in(_peer(request), self.proxies)

    def may(self, address: str) -> bool:
        """Return whether an address is one of those that are answered."""
        return self.allowed is None or _is_in(address, self.allowed)
