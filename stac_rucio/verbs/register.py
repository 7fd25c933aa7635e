"""`stac-rucio register`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stac_rucio.commands import verb
from stac_rucio.exits import resumable
from stac_rucio.following import follow
from stac_rucio.options import (
    dry_run,
    source_rse,
    takes_assets,
    takes_output,
    takes_registration,
    takes_rucio,
)
from stac_rucio.outcomes import REGISTERED
from stac_rucio.planning import show_plan
from stac_rucio.search import takes_items

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from stac_client import Outcome
    from stac_client.progress import Progress
    from stac_rucio.assets import AssetOptions
    from stac_rucio.connection import Connection
    from stac_rucio.output import Output
    from stac_rucio.source import ItemSource
    from stac_rucio.streams import Item


@verb(
    "register",
    "stac-rucio register --api https://stac.example.org/v1 -c alps --rse STAC",
    "stac-client search https://stac.example.org/v1 -c alps | \\\n"
    "    stac-rucio register - --rse STAC --assets red,nir",
    "stac-rucio register items.ndjson --rse STAC --dry-run",
)
@takes_items()
@source_rse
@takes_assets()
@takes_registration()
@dry_run
@takes_rucio()
@takes_output()
def register(  # noqa: PLR0917 - click gives them by name
    items: ItemSource,
    rse: str,
    assets: AssetOptions,
    registration: Mapping[str, Any],
    rucio: Connection,
    output: Output,
    *,
    dry_run: bool,
) -> None:
    """Register assets in Rucio at their original URLs.

    They become replicas at the source RSE; no bytes move. Items come from a search
    (--api), from files (item collections, items, NDJSON, stac-geoparquet), or with -
    from standard input. Registering again changes nothing: what is there is
    recognised, and what differs from it has failed.

    Lines: collection, item, asset, state, DID, reason.
    """
    if dry_run:
        show_plan(items, rse, assets, rucio, output)
        return
    resumable("Run it again with the same items: what is registered already is recognised.")
    selection, unseen = assets.watched()

    def work(found: Iterator[Item], on_progress: Callable[[Progress], None]) -> Iterator[Outcome]:
        # Not `create_replicas`: that holds the outcomes of all assets.
        with tempfile.TemporaryDirectory(prefix="stac-rucio-") as folder:
            journal = Path(folder, "journal")
            yield from rucio.stac.sync(
                found, rse, journal, assets=selection, on_progress=on_progress, **registration
            )
        yield from unseen()

    follow("registering", items, work, output, REGISTERED)
