"""Whole collections into Rucio, resumably: what a journal has is not looked at again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stac_client.catalogue.items import iter_items
from stac_client.results import State

from .journal import entry_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stac_client.catalogue.items import ItemsLike
    from stac_client.results import Outcome

    from .journal import Journal
    from .replicas import Options, Registrar


def sync(
    items: ItemsLike, journal: Journal, registrar: Registrar, options: Options
) -> Iterator[Outcome]:
    """Register the assets of items that the journal does not have yet, in their version of now.

    An item is written down when none of its assets has failed.

    Raises:
        StacRucioError: As `Registrar.register`. What was done by then is in the
            journal.
    """
    new = (item for item in iter_items(items) if not journal.has(entry_of(item)))
    for entries, outcomes in registrar.register(new, options):
        yield from outcomes
        failed = {
            (outcome.collection, outcome.item)
            for outcome in outcomes
            if outcome.state is State.FAILED
        }
        journal.add(entry for entry in entries if (entry.collection, entry.item) not in failed)
