"""Deregistration: assets are taken out of one RSE again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stac_client._assets import registrable
from stac_client._in_rucio import held, registered
from stac_client._results import Outcome, State
from stac_client._rucio import batched

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rucio.client import Client

    from stac_client._assets import Asset
    from stac_client._items import ItemsLike
    from stac_client._rucio import Rucio
    from stac_client._selection import AssetSelection


def deregister(
    rucio: Rucio,
    items: ItemsLike,
    rse: str,
    selection: AssetSelection,
    scope: str | None,
    *,
    only_bad: bool = False,
) -> Iterator[Outcome]:
    """Delete the replicas of assets at an RSE; copies elsewhere stay.

    Args:
        rucio: Rucio.
        items: The items.
        rse: The RSE.
        selection: The assets.
        scope: A fixed scope instead of those derived from the collections.
        only_bad: Only what is not available there.

    Raises:
        StacRucioError: The RSE does not exist, or Rucio or the STAC API cannot
            be reached. What concerns single assets is in their outcomes.
    """
    doing = f"deregistering at RSE {rse}"
    rucio.rse(rse, doing)

    def delete(part: list[Asset], client: Client) -> None:
        client.delete_replicas(rse, [asset.did._asdict() for asset in part])

    selected = {asset.did: asset for asset in registrable(items, selection, scope, rse)}
    for batch in batched(selected.values()):
        files = rucio.files(asset.did for asset in batch)
        good = held(files, rse) if only_bad else set()
        there = {asset.did: asset for asset in batch if registered(files.get(asset.did), rse)}
        doomed = [asset for did, asset in there.items() if did not in good]
        refused = {asset.did: str(error) for asset, error in rucio.send(doing, doomed, delete)}
        for asset in batch:
            if asset.did not in there:
                yield asset.outcome(State.SKIPPED, f"not registered at {rse}")
            elif asset.did in good:
                yield asset.outcome(State.SKIPPED, f"available at {rse}")
            elif asset.did in refused:
                yield asset.outcome(State.FAILED, refused[asset.did])
            else:
                yield asset.outcome(State.DEREGISTERED)
