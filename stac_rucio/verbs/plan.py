"""`stac-rucio plan`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stac_rucio.commands import verb
from stac_rucio.exits import resumable
from stac_rucio.options import source_rse, takes_assets, takes_output, takes_rucio
from stac_rucio.planning import show_plan
from stac_rucio.search import takes_items

if TYPE_CHECKING:
    from stac_rucio.assets import AssetOptions
    from stac_rucio.connection import Connection
    from stac_rucio.output import Output
    from stac_rucio.source import ItemSource


@verb(
    "plan",
    "stac-rucio plan --api https://stac.example.org/v1 -c alps --rse STAC",
    "stac-rucio plan --rse STAC --assets red,nir items.ndjson",
)
@takes_items()
@source_rse
@takes_assets()
@takes_rucio()
@takes_output()
def plan(
    items: ItemSource, rse: str, assets: AssetOptions, rucio: Connection, output: Output
) -> None:
    """Show what `register` would do.

    That is files, bytes, hosts, and what can not be registered and why. Nothing is
    written or downloaded. Items come from a search (--api), from files
    (item collections, items, NDJSON, stac-geoparquet), or with - from standard
    input.
    """
    resumable("Nothing was written.")
    show_plan(items, rse, assets, rucio, output)
