"""Datasets of items, and containers of collections: made where missing, filled in bulk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rucio.common.exception import DataIdentifierAlreadyExists

from stac_client.errors import rucio_errors
from stac_client.requests_in_bulk import grouped
from stac_client.results import State
from stac_policy.naming import DID, collection_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rucio.client import Client

    from stac_client.catalogue.assets import Asset
    from stac_client.requests_in_bulk import Sender
    from stac_client.results import Outcome


class Datasets:
    """Attaches files to their items' datasets, and these to their collections' containers."""

    def __init__(self, client: Client, sender: Sender, *, containers: bool) -> None:
        """Make one.

        Args:
            client: A Rucio client.
            sender: Knows how much this Rucio server takes in one request.
            containers: Whether collections get containers, which hold the datasets
                of their items.
        """
        self._client = client
        self._sender = sender
        self._containers = containers

    def attach(self, assets: Iterable[Asset]) -> dict[DID, Outcome]:
        """Attach registered assets, with three requests for each 1,000 items of a scope.

        What is attached already stays so.

        Returns:
            The outcomes of those that could not be attached.
        """
        failed = {}
        items = grouped(assets, lambda asset: asset.dataset).values()
        for same in grouped(items, lambda members: members[0].dataset.scope).values():
            for members, error in self._sender.send(same, self._attach):
                reason = f"registered, but not attached to {members[0].dataset}: {error}"
                for asset in members:
                    failed[asset.did] = asset.outcome(State.FAILED, reason)
        return failed

    def _attach(self, items: list[list[Asset]]) -> None:
        """Attach the assets of items that have the same scope."""
        content: dict[DID, list[DID]] = {}
        types = {}
        for members in items:
            dataset = members[0].dataset
            types[dataset] = "DATASET"
            content[dataset] = [asset.did for asset in members]
            if self._containers:
                container = DID(dataset.scope, collection_name(members[0].collection))
                types[container] = "CONTAINER"
                content.setdefault(container, []).append(dataset)
        with rucio_errors(f"attaching to datasets in scope {items[0][0].dataset.scope}"):
            self._add_missing(types)
            self._client.attach_dids_to_dids(
                [_attachment(did, held) for did, held in content.items()], ignore_duplicate=True
            )

    def _add_missing(self, types: Mapping[DID, str]) -> None:
        """Add the DIDs that Rucio does not have; in one request it adds all or none."""
        while missing := self._missing(types):
            try:
                self._client.add_dids([{**did._asdict(), "type": types[did]} for did in missing])
            except DataIdentifierAlreadyExists:
                continue  # another client was faster with one of them
            return

    def _missing(self, dids: Iterable[DID]) -> list[DID]:
        known = self._client.get_metadata_bulk([did._asdict() for did in dids])
        there = {DID(entry["scope"], entry["name"]) for entry in known}
        return [did for did in dids if did not in there]


def _attachment(did: DID, content: list[DID]) -> dict[str, Any]:
    return {**did._asdict(), "dids": [held._asdict() for held in content]}
