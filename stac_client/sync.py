"""Whole collections into Rucio, resumably: what a journal has is not looked at again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .assets import registrable
from .items import iter_items
from .requests_in_bulk import REQUEST_DIDS
from .results import Outcome, State

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .items import ItemsLike
    from .journal import Journal
    from .replicas import Registrar
    from .selection import AssetSelection


def sync(
    items: ItemsLike,
    journal: Journal,
    registrar: Registrar,
    assets: AssetSelection,
    scope: str | None,
) -> Iterator[Outcome]:
    """Register the assets of items that the journal does not have yet, in their version of now.

    An item is written down when none of its assets has failed.

    Raises:
        StacRucioError: As `Registrar.register`. What was done by then is in the
            journal.
    """
    for group in _groups(items, journal, assets, scope):
        failed = set()
        for outcome in registrar.register(group, assets, scope):
            if outcome.state is State.FAILED:
                failed.add((outcome.collection, outcome.item))
            yield outcome
        journal.add(item for item in group if _ids(item) not in failed)


def _groups(
    items: ItemsLike, journal: Journal, assets: AssetSelection, scope: str | None
) -> Iterator[list[dict[str, Any]]]:
    """Items that are not in the journal, as many as their assets fit into one request."""
    group: list[dict[str, Any]] = []
    size = 0
    for item in iter_items(items):
        if journal.has(item):
            continue
        selected = sum(1 for _ in registrable([item], assets, scope))
        if group and size + selected > REQUEST_DIDS:
            yield group
            group, size = [], 0
        group.append(item)
        size += selected
    if group:
        yield group


def _ids(item: dict[str, Any]) -> tuple[str, str]:
    return str(item.get("collection") or ""), str(item.get("id") or "")
