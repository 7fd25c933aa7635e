"""Addresses that nothing is fetched from, whatever name or redirect leads there.

The names of hosts are judged by the allow list. What a name leads to is looked
at where it can not change any more: at the connection, before a request is sent.
"""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from .pace import PacedResponse

# Where clouds tell their machines secrets, besides the link-local 169.254.169.254.
_METADATA = frozenset({"fd00:ec2::254", "100.100.100.200"})


class ForbiddenAddressError(ValueError):
    """A name leads to an address that nothing is fetched from."""


def is_forbidden(text: str) -> bool:
    """Tell whether an address is link-local or a cloud's metadata service.

    Args:
        text: An IPv4 or IPv6 address, as sockets give it.
    """
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_link_local or str(address) in _METADATA


class GuardedAdapter(HTTPAdapter):
    """Connects to no forbidden address, and reads paced answers.

    Behind a proxy, forbidden addresses are for the proxy to refuse.

    Raises:
        ForbiddenAddressError: From `send`, before anything is sent.
    """

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Make the connections guarded ones."""
        super().init_poolmanager(*args, **options)  # type: ignore[no-untyped-call] # of requests
        self.poolmanager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """Make answers through a proxy paced ones, except for SOCKS, which has its own."""
        manager = super().proxy_manager_for(proxy, **options)  # type: ignore[no-untyped-call]
        if not proxy.lower().startswith("socks"):
            manager.pool_classes_by_scheme = {"http": _ProxiedHTTPPool, "https": _ProxiedHTTPSPool}
        return manager


class _HTTPProxied(HTTPConnection):
    response_class = PacedResponse


class _HTTPSProxied(HTTPSConnection):
    response_class = PacedResponse


class _HTTPGuarded(_HTTPProxied):
    def connect(self) -> None:
        super().connect()  # type: ignore[no-untyped-call] # of urllib3
        _check(self)


class _HTTPSGuarded(_HTTPSProxied):
    def connect(self) -> None:
        super().connect()  # type: ignore[no-untyped-call] # of urllib3
        _check(self)


class _ProxiedHTTPPool(HTTPConnectionPool):
    ConnectionCls = _HTTPProxied


class _ProxiedHTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _HTTPSProxied


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _HTTPGuarded


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _HTTPSGuarded


def _check(connection: HTTPConnection) -> None:
    address = connection.sock.getpeername()[0]
    if is_forbidden(address):
        connection.close()
        raise ForbiddenAddressError(f"{connection.host} leads to {address}")
