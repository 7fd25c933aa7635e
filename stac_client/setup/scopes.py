"""The scopes of collections: which there are, who owns them, and which are missing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from stac_client.errors import rucio_errors

from .changes import Change

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rucio.client import Client


@dataclass(frozen=True)
class CollectionScope:
    """The scope that the assets of a collection need."""

    collection: str
    scope: str
    exists: bool
    owner: str | None
    """Its account; None if it does not exist, or the server (before Rucio 40) does not tell."""


def collection_scopes(client: Client, scopes: Mapping[str, str]) -> list[CollectionScope]:
    """Ask Rucio for the scopes of collections, in one or two requests.

    Args:
        client: A Rucio client.
        scopes: The scope of each collection, as in `Survey.scopes`, or from
            `stac_policy.naming.collection_scope`.

    Raises:
        StacRucioError: Rucio can not be reached.
    """
    with rucio_errors("listing scopes"):
        there = set(client.list_scopes())
    owners = _owners(client)
    return [
        CollectionScope(collection, scope, scope in there, owners.get(scope))
        for collection, scope in scopes.items()
    ]


def missing_scopes(found: list[CollectionScope], owner: str) -> list[Change]:
    """The changes that add the scopes which do not exist.

    Args:
        found: The scopes of the collections.
        owner: The account that shall own new scopes.
    """
    missing = dict.fromkeys(entry.scope for entry in found if not entry.exists)
    return [
        Change(f"add scope {scope} for account {owner}", "add_scope", (owner, scope))
        for scope in missing
    ]


def _owners(client: Client) -> dict[str, str]:
    from rucio.common.exception import RucioException

    try:
        return {entry["scope"]: entry["account"] for entry in client.list_scope_owners()}
    except (AttributeError, RucioException):  # the client, or the server, is older than Rucio 40
        return {}
