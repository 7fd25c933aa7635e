"""`stac-rucio admin scope`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from stac_rucio.changes import make_changes
from stac_rucio.commands import option, verb
from stac_rucio.options import dry_run, takes_output, takes_rucio, yes
from stac_rucio.stac_errors import stac_errors

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from stac_rucio.connection import Connection
    from stac_rucio.output import Output


@verb(
    "scope",
    "stac-rucio admin scope sentinel-2-l2a landsat-c2-l2",
    "stac-rucio admin scope --api https://stac.example.org/v1 --dry-run",
)
@click.argument("collections", nargs=-1, metavar="[COLLECTION]...")
@option("--api", metavar="URL", help="All collections of a STAC API.")
@option("--owner", metavar="ACCOUNT", help="Owner of new scopes; by default the account.")
@dry_run
@yes
@takes_rucio(scope=False)
@takes_output()
def scope(
    collections: Sequence[str],
    api: str | None,
    owner: str | None,
    rucio: Connection,
    output: Output,
    *,
    dry_run: bool,
    yes: bool,
) -> None:
    """Add the scopes that collections need; what is there stays.

    Lines: the changes.
    """
    from stac_client.setup.changes import Setup
    from stac_client.setup.scopes import collection_scopes, missing_scopes
    from stac_policy.naming import collection_scope

    if bool(collections) == bool(api):
        raise click.UsageError("give the ids of collections, or --api URL for all of an API")
    ids = collections or list(_collections(str(api)))
    found = collection_scopes(rucio.rucio, {name: collection_scope(name) for name in ids})
    notes = [
        f"scope {entry.scope} of collection {entry.collection} is there"
        for entry in found
        if entry.exists
    ]
    setup = Setup(missing_scopes(found, owner or rucio.rucio.account), notes)
    make_changes(setup, rucio.rucio, output, dry_run=dry_run, yes=yes)


def _collections(api: str) -> Iterator[str]:
    from pystac_client import Client

    with stac_errors(api):
        for collection in Client.open(api, timeout=60).get_collections():
            yield collection.id
