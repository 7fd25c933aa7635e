"""What an administrator sets up in a new Rucio: accounts, scopes, RSEs, distances."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING

from stac_client import plan_setup

from .layout import ACCOUNTS, STORAGE_PREFIX, STORAGES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rucio.client import Client

    from .layout import Layout

SOURCE_RSE = "STAC"
STORAGE_RSES = dict(zip(STORAGES, ("DISK-A", "DISK-B")))
STORAGE_EXPRESSION = "tier=disk"
"""RSE expression of all storages."""

_UNLIMITED = -1
_ALL = {"read": 1, "write": 1, "delete": 1}


def provision(client: Client, layout: Layout, collection_scopes: Iterable[str]) -> None:
    """Set up a new Rucio server.

    Args:
        client: Of the account root.
        layout: The lake.
        collection_scopes: Scopes of the collections that its catalogue holds.
    """
    for service, rse in STORAGE_RSES.items():
        _add_storage_rse(client, layout, service, rse)
    for source, destination in permutations(STORAGE_RSES.values(), 2):
        client.add_distance(source, destination, {"distance": 1})
    for change in plan_setup(client, SOURCE_RSE, destinations=STORAGE_EXPRESSION).changes:
        change.apply(client)
    for account in ACCOUNTS:
        if account != "root":
            _add_user(client, layout, account)
        for rse in STORAGE_RSES.values():
            client.set_local_account_limit(account, rse, _UNLIMITED)
    client.add_account_attribute("registrar", "stac_registrar", "true")
    for scope in collection_scopes:
        client.add_scope("root", scope)


def _add_storage_rse(client: Client, layout: Layout, service: str, rse: str) -> None:
    client.add_rse(rse)
    client.add_protocol(
        rse,
        {
            "scheme": "http",
            "hostname": "127.0.0.1",
            "port": layout.ports[service],
            "prefix": STORAGE_PREFIX,
            "impl": "rucio.rse.protocols.webdav.Default",
            "domains": {
                "lan": _ALL,
                "wan": {**_ALL, "third_party_copy_read": 1, "third_party_copy_write": 1},
            },
        },
    )
    attributes = {"fts": layout.url("transfers"), "tier": "disk", "lfn2pfn_algorithm": "stac"}
    for key, value in attributes.items():
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
