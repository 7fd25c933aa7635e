"""`stac-rucio deregister`."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from stac_rucio.commands import verb
from stac_rucio.confirming import confirm, must_be_answerable
from stac_rucio.exits import resumable
from stac_rucio.following import follow
from stac_rucio.options import dry_run, source_rse, takes_assets, takes_output, takes_rucio, yes
from stac_rucio.outcomes import REGISTERED
from stac_rucio.output import Column
from stac_rucio.search import takes_items
from stac_rucio.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stac_client import Outcome
    from stac_rucio.assets import AssetOptions
    from stac_rucio.connection import Connection
    from stac_rucio.output import Output
    from stac_rucio.source import ItemSource
    from stac_rucio.streams import Item

_FACTS = (
    Column("files", "files of the items", "number"),
    Column("registered", "of these registered there", "number"),
)
_BATCH = 1000


@verb(
    "deregister",
    "stac-rucio deregister --api https://stac.example.org/v1 -c alps --rse STAC --dry-run",
    "stac-rucio deregister - --rse STAC --yes < items.ndjson",
)
@takes_items()
@source_rse
@takes_assets()
@dry_run
@yes
@takes_rucio()
@takes_output()
def deregister(
    items: ItemSource,
    rse: str,
    assets: AssetOptions,
    rucio: Connection,
    output: Output,
    *,
    dry_run: bool,
    yes: bool,
) -> None:
    """Take assets out of Rucio again, at one RSE.

    Copies elsewhere stay. Needs an account that is a registrar.

    Lines: collection, item, asset, state, DID, reason.
    """
    if dry_run or not yes:
        must_be_answerable(yes=yes or dry_run)
        found = _registered(items, rse, assets, rucio)
        if dry_run or output.for_people:
            output.facts(_FACTS, found)
        if dry_run:
            return
        confirm(f"Deregister {counted(found['registered'], 'asset')} at {rse}?", yes=yes)
    resumable("The same command goes on: what is not registered any more is skipped.")

    def work(found: Iterator[Item], _: object) -> Iterator[Outcome]:
        # In parts, because `delete_replicas` holds the outcomes of all its assets.
        while part := list(islice(found, _BATCH)):
            yield from rucio.stac.delete_replicas(part, rse, assets=selection)
        yield from unseen()

    selection, unseen = assets.watched()
    follow("deregistering", items, work, output, REGISTERED)


def _registered(
    items: ItemSource, rse: str, assets: AssetOptions, rucio: Connection
) -> dict[str, int]:
    """Count what would be taken out."""
    from stac_client.catalogue.assets import registrable
    from stac_client.catalogue.items import iter_items
    from stac_client.errors import rucio_errors
    from stac_client.listing import list_files

    with rucio_errors(f"deregistering at RSE {rse}"):
        rucio.rucio.get_rse(rse)
    counts = {"files": 0, "registered": 0}
    wanted = registrable(iter_items(items.items()), assets.selection, rucio.scope)
    while batch := list(islice(wanted, _BATCH)):
        known = list_files(rucio.rucio, [asset.did for asset in batch], all_states=True)
        counts["files"] += len({asset.did for asset in batch})
        counts["registered"] += sum(rse in file.states for file in known.values())
    return counts
