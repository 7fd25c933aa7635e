"""Taking the assets of items out of Rucio again, at one RSE."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stac_client.catalogue.assets import registrable
from stac_client.catalogue.items import iter_items
from stac_client.errors import rucio_errors
from stac_client.listing import list_files
from stac_client.requests_in_bulk import batched
from stac_client.results import Outcome, State

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rucio.client import Client

    from stac_client.catalogue.assets import Asset
    from stac_client.catalogue.items import ItemsLike
    from stac_client.catalogue.selection import AssetSelection
    from stac_client.requests_in_bulk import Sender


def deregister(  # noqa: PLR0917 - as many things are needed
    client: Client,
    items: ItemsLike,
    rse: str,
    selection: AssetSelection,
    scope: str | None,
    sender: Sender,
) -> Iterator[Outcome]:
    """Delete the replicas of assets at an RSE; copies elsewhere stay.

    Raises:
        StacRucioError: The RSE does not exist, or Rucio or the STAC API can not
            be reached. What concerns single assets is in their outcomes.
    """
    with rucio_errors(f"deregistering at RSE {rse}"):
        client.get_rse(rse)

    def delete(part: list[Asset]) -> None:
        with rucio_errors(f"deregistering at RSE {rse}"):
            client.delete_replicas(rse, [asset.did._asdict() for asset in part])

    for batch in batched(_selected(items, rse, selection, scope)):
        files = list_files(client, [asset.did for asset in batch], all_states=True)
        registered = {did for did, file in files.items() if rse in file.states}
        there = [asset for asset in batch if asset.did in registered]
        refused = {asset.did: str(error) for asset, error in sender.send(there, delete)}
        for asset in batch:
            if asset.did not in registered:
                yield asset.outcome(State.SKIPPED, f"not registered at {rse}")
            elif asset.did in refused:
                yield asset.outcome(State.FAILED, refused[asset.did])
            else:
                yield asset.outcome(State.DEREGISTERED)


def _selected(
    items: ItemsLike, rse: str, selection: AssetSelection, scope: str | None
) -> Iterator[Asset]:
    seen = set()
    for asset in registrable(iter_items(items), selection, scope, rse):
        if asset.did not in seen:
            seen.add(asset.did)
            yield asset
