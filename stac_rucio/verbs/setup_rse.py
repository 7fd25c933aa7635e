"""`stac-rucio admin setup-rse`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from stac_rucio.changes import make_changes
from stac_rucio.commands import option, verb
from stac_rucio.options import dry_run, takes_assets, takes_output, takes_rucio, yes
from stac_rucio.search import takes_items

if TYPE_CHECKING:
    from stac_rucio.assets import AssetOptions
    from stac_rucio.connection import Connection
    from stac_rucio.output import Output
    from stac_rucio.source import ItemSource

sample = option(
    "--sample",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="How many of the items to look at.",
)


@verb(
    "setup-rse",
    "stac-rucio admin setup-rse STAC --destinations tier=disk --dry-run",
    "stac-rucio admin setup-rse STAC --destinations tier=disk --yes \\\n"
    "    --api https://stac.example.org/v1 -c alps --fts https://fts.example.org:8446",
)
@click.argument("rse")
@takes_items(required=False)
@option(
    "--destinations",
    required=True,
    metavar="EXPRESSION",
    help="RSE expression of the RSEs that shall receive copies.",
)
@option(
    "--fts", metavar="URL", help="FTS server that moves the files; by default the destinations'."
)
@option("--owner", metavar="ACCOUNT", help="Owner of new scopes; by default the account.")
@sample
@takes_assets()
@dry_run
@yes
@takes_rucio()
@takes_output()
def setup_rse(  # noqa: PLR0917 - click gives them by name
    rse: str,
    items: ItemSource | None,
    destinations: str,
    fts: str | None,
    owner: str | None,
    sample: int,
    assets: AssetOptions,
    rucio: Connection,
    output: Output,
    *,
    dry_run: bool,
    yes: bool,
) -> None:
    """Set up the source RSE, with all that replication from it needs.

    Shows what is missing, asks, and adds it: the RSE, its protocols, attributes and
    distances; and where items of the catalogue are given, the scopes of their
    collections. What is there stays; run again, it does what is left.

    Lines: the changes.
    """
    from stac_client import plan_setup, survey
    from stac_client.setup.survey import server_options

    found = None
    if items is not None:
        found = survey(items.items(), sample=sample, assets=assets.selection, scope=rucio.scope)
    setup = plan_setup(
        rucio.rucio, rse, destinations=destinations, fts=fts, survey=found, owner=owner
    )
    make_changes(setup, rucio.rucio, output, dry_run=dry_run, yes=yes)
    if output.for_people and found is not None and items is not None:
        options = server_options(found, api=items.api or "", scope=rucio.scope)
        click.echo("\nThe rucio.cfg of the server and its daemons should have:\n")
        click.echo("\n".join(f"    {line}".rstrip() for line in options.splitlines()))
