"""`stac-rucio sync`."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from stac_rucio.commands import option, verb
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
from stac_rucio.planning import show_planned
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
    "sync",
    "stac-rucio sync --api https://stac.example.org/v1 -c alps --rse STAC",
    "stac-rucio sync --api https://stac.example.org/v1 -c alps --rse STAC \\\n"
    "    --assets red,nir --journal alps.journal",
    "zcat alps.ndjson.gz | stac-rucio sync - --rse STAC --journal alps.journal",
)
@takes_items()
@source_rse
@option(
    "--journal",
    type=click.Path(dir_okay=False),
    help="File that remembers what has been done. By default one for each source RSE, "
    "source of items and selection of assets, in ~/.local/state/stac-rucio.",
)
@takes_assets()
@takes_registration()
@dry_run
@takes_rucio()
@takes_output()
def sync(  # noqa: PLR0917 - click gives them by name
    items: ItemSource,
    rse: str,
    journal: str | None,
    assets: AssetOptions,
    registration: Mapping[str, Any],
    rucio: Connection,
    output: Output,
    *,
    dry_run: bool,
) -> None:
    """Register a whole catalogue, and later what is new in it.

    Whatever stops it, the same command goes on where it was: what its journal has
    is passed over unless it has changed, and what Rucio has is recognised. Memory
    does not grow with the number of items.

    Lines: collection, item, asset, state, DID, reason.
    """
    from stac_client.errors import ConfigurationError

    path = Path(journal) if journal else default_journal(items, rse, assets, rucio)
    if dry_run:
        new = _not_done(items, path, rucio, rse) if path.exists() else iter(items)
        show_planned(rucio.stac.plan(new, rse, assets=assets.selection), output)
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"{path.parent}: {error.strerror}; give a --journal") from error
    click.echo(f"Journal: {path}", err=True)
    resumable(f"The same command goes on where it was; its journal is {path}")
    selection, unseen = assets.watched()

    def work(found: Iterator[Item], on_progress: Callable[[Progress], None]) -> Iterator[Outcome]:
        yield from rucio.stac.sync(
            found, rse, path, assets=selection, on_progress=on_progress, **registration
        )
        yield from unseen()

    follow("registering", items, work, output, REGISTERED)


def default_journal(items: ItemSource, rse: str, assets: AssetOptions, rucio: Connection) -> Path:
    """Name a journal from all that it depends on, in the user's folder for such things."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    depends_on = (rucio.rucio.host, rse, items.name, assets, rucio.scope)
    digest = hashlib.sha256(repr(depends_on).encode()).hexdigest()[:8]
    named = "stdin" if items.from_stdin else Path(items.name).name
    place = urlsplit(items.api or "").hostname or named
    readable = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{rse}-{place}").strip("-")[:100]
    return Path(state, "stac-rucio", f"{readable}-{digest}.journal")


def _not_done(items: ItemSource, path: Path, rucio: Connection, rse: str) -> Iterator[Item]:
    from stac_client.registration.journal import Journal, entry_of, registration_purpose

    with Journal(path, registration_purpose(rse, rucio.rucio.host)) as opened:
        for item in items:
            if not opened.has(entry_of(item)):
                yield item
