"""Where the assets of items are, item by item and RSE by RSE."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from stac_client.catalogue.assets import registrable
from stac_client.catalogue.items import iter_items
from stac_client.listing import list_files
from stac_client.requests_in_bulk import grouped

if TYPE_CHECKING:
    from rucio.client import Client

    from stac_client.catalogue.items import ItemsLike
    from stac_client.catalogue.selection import AssetSelection


@dataclass(frozen=True)
class Availability:
    """How much of an item is at an RSE."""

    collection: str
    item: str
    rse: str
    available: int
    """Assets whose bytes are there."""
    coming: int
    """Assets that are on their way there."""
    assets: int
    """All assets of the item that were asked for."""

    @property
    def complete(self) -> bool:
        """Whether all assets that were asked for are there."""
        return self.available == self.assets


def replication_availability(
    client: Client, items: ItemsLike, selection: AssetSelection, scope: str | None
) -> list[Availability]:
    """Ask Rucio where the assets of items are, in one request for each 1,000 assets.

    Raises:
        StacRucioError: Rucio or the STAC API can not be reached.
    """
    assets = list(registrable(iter_items(items), selection, scope))
    files = list_files(client, [asset.did for asset in assets], all_states=True)
    rows = []
    for members in grouped(assets, lambda asset: asset.dataset).values():
        states = [files[asset.did].states for asset in members if asset.did in files]
        for rse in sorted({rse for by_rse in states for rse in by_rse}):
            at_rse = [by_rse.get(rse) for by_rse in states]
            rows.append(
                Availability(
                    collection=members[0].collection,
                    item=members[0].item,
                    rse=rse,
                    available=at_rse.count("AVAILABLE"),
                    coming=at_rse.count("COPYING"),
                    assets=len(members),
                )
            )
    return rows
