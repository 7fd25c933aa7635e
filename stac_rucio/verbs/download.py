"""`stac-rucio download`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from stac_rucio.commands import option, verb
from stac_rucio.exits import resumable
from stac_rucio.options import takes_assets, takes_output, takes_rucio
from stac_rucio.outcomes import DOWNLOADED, report
from stac_rucio.progress import progress
from stac_rucio.search import takes_items
from stac_rucio.text import human_bytes

if TYPE_CHECKING:
    from stac_client.downloads import Progress
    from stac_rucio.assets import AssetOptions
    from stac_rucio.connection import Connection
    from stac_rucio.output import Output
    from stac_rucio.source import ItemSource


@verb(
    "download",
    "stac-rucio download --api https://stac.example.org/v1 -c alps --dir alps",
    "stac-rucio download items.json --assets red,nir --rse DISK-A --workers 4",
)
@takes_items()
@option(
    "--dir",
    "folder",
    type=click.Path(file_okay=False),
    default=".",
    show_default=True,
    help="Folder to download to, as COLLECTION/ITEM/ASSET; made if it is missing.",
)
@option("--rse", metavar="RSE", help="The only RSE to download from; by default the best has it.")
@option("--only-available", is_flag=True, help="An asset without a replica is skipped, not failed.")
@option(
    "--workers",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    help="Files that are downloaded at the same time.",
)
@takes_assets()
@takes_rucio()
@takes_output()
def download(  # noqa: PLR0917 - click gives them by name
    items: ItemSource,
    folder: str,
    rse: str | None,
    workers: int,
    assets: AssetOptions,
    rucio: Connection,
    output: Output,
    *,
    only_available: bool,
) -> None:
    """Download assets, verified, as a STAC catalogue of their own.

    The assets have to be registered. Each comes from the best replica that gives
    it. Files that are there and right stay; what was interrupted goes on where it
    stopped.

    Lines: collection, item, asset, state, path, reason.
    """
    resumable("The same command goes on where it stopped.")
    with progress() as show:

        def on_progress(now: Progress) -> None:
            sizes = f"{human_bytes(now.bytes_done)} of {human_bytes(now.bytes_total)}"
            said = f"{now.files_done:,} of {now.files_total:,} files, {sizes}"
            show("downloading", now.bytes_done, now.bytes_total, said)

        downloads = rucio.stac.download(
            items.items(),
            folder,
            rse=rse,
            assets=assets.selection,
            only_available=only_available,
            workers=workers,
            on_progress=on_progress,
        )
    if output.for_people:
        click.echo(f"catalogue: {downloads.catalogue}")
    for problem in downloads.catalogue_problems:
        click.echo(f"Warning: {problem}", err=True)
    report(output, downloads, DOWNLOADED)
