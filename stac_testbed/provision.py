"""What an administrator sets up in a new Rucio: accounts, scopes, RSEs, distances."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING, Any

from .layout import ACCOUNTS, STORAGES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rucio.client import Client

    from .layout import Layout

SOURCE_RSE = "STAC"
STORAGE_RSES = dict(zip(STORAGES, ("DISK-A", "DISK-B")))
STORAGE_EXPRESSION = "tier=disk"
"""RSE expression of all storages."""

_STORAGE_PREFIX = "/rucio/"
_UNLIMITED = -1


def provision(client: Client, layout: Layout, collection_scopes: Iterable[str]) -> None:
    """Set up a new Rucio server.

    Args:
        client: Of the account root.
        layout: The lake.
        collection_scopes: Scopes of the collections that its catalogue holds.
    """
    _add_source_rse(client, layout)
    for service, rse in STORAGE_RSES.items():
        _add_storage_rse(client, layout, service, rse)
    for source, destination in permutations((SOURCE_RSE, *STORAGE_RSES.values()), 2):
        if destination != SOURCE_RSE:
            client.add_distance(source, destination, {"distance": 1})
    for account in ACCOUNTS:
        if account != "root":
            _add_user(client, layout, account)
        for rse in STORAGE_RSES.values():
            client.set_local_account_limit(account, rse, _UNLIMITED)
    for scope in collection_scopes:
        client.add_scope("root", scope)


def _add_source_rse(client: Client, layout: Layout) -> None:
    client.add_rse(SOURCE_RSE, deterministic=False)
    for scheme, port in (("https", 443), ("http", 80)):
        client.add_protocol(
            SOURCE_RSE,
            {
                "scheme": scheme,
                "hostname": "localhost",
                "port": port,
                "prefix": "/",
                "impl": "stac_policy.protocol.Default",
                "domains": {
                    "lan": _priorities(read=1),
                    # Registration asks for a protocol that writes; nothing is ever written.
                    "wan": _priorities(read=1, write=1, third_party_copy_read=1),
                },
            },
        )
    # An HTTP origin answers no checksum queries: FTS then verifies the destination alone.
    for key, value in (("fts", layout.url("transfers")), ("supported_checksums", "none")):
        client.add_rse_attribute(SOURCE_RSE, key, value)
    # No rule may bring data here; who may skip the availability check still registers.
    client.update_rse(SOURCE_RSE, {"availability_write": False})


def _add_storage_rse(client: Client, layout: Layout, service: str, rse: str) -> None:
    client.add_rse(rse)
    client.add_protocol(
        rse,
        {
            "scheme": "http",
            "hostname": "127.0.0.1",
            "port": layout.ports[service],
            "prefix": _STORAGE_PREFIX,
            "impl": "rucio.rse.protocols.webdav.Default",
            "domains": {
                "lan": _priorities(read=1, write=1, delete=1),
                "wan": _priorities(
                    read=1, write=1, delete=1, third_party_copy_read=1, third_party_copy_write=1
                ),
            },
        },
    )
    for key, value in (("fts", layout.url("transfers")), ("tier", "disk")):
        client.add_rse_attribute(rse, key, value)


def _add_user(client: Client, layout: Layout, account: str) -> None:
    email = f"{account}@localhost"
    client.add_account(account, "USER", email)
    client.add_identity(
        account=account,
        identity=account,
        authtype="USERPASS",
        email=email,
        password=layout.passwords[account],
        default=True,
    )
    client.add_scope(account, f"user.{account}")


def _priorities(**operations: int) -> dict[str, Any]:
    """Priorities of a protocol in a domain; an operation that is not named is switched off."""
    return dict.fromkeys(("read", "write", "delete")) | operations
