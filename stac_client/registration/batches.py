"""Items and their selected assets, as many at a time as one request to Rucio can hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from stac_client.requests_in_bulk import REQUEST_DIDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from stac_client.catalogue.items import ItemDict

FoundT = TypeVar("FoundT")


def item_batches(
    items: Iterable[ItemDict], select: Callable[[ItemDict], Iterable[FoundT]]
) -> Iterator[list[tuple[ItemDict, list[FoundT]]]]:
    """Give items with their assets in batches; no item is divided, nothing more is held.

    Args:
        items: The items, read as they are needed.
        select: Gives what is selected of an item.

    Yields:
        Up to 1,000 items with up to 1,000 assets in all; more only where one item
        has more.
    """
    batch: list[tuple[ItemDict, list[FoundT]]] = []
    size = 0
    for item in items:
        selected = list(select(item))
        if batch and (size + len(selected) > REQUEST_DIDS or len(batch) == REQUEST_DIDS):
            yield batch
            batch, size = [], 0
        batch.append((item, selected))
        size += len(selected)
    if batch:
        yield batch
