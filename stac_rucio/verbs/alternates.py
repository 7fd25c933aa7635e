"""`stac-rucio alternates`."""

from __future__ import annotations

import json
from itertools import islice
from typing import TYPE_CHECKING

from stac_rucio.commands import verb
from stac_rucio.options import takes_copies, takes_rucio, verbose
from stac_rucio.output import write_line
from stac_rucio.search import takes_items

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stac_rucio.connection import Connection
    from stac_rucio.copies import CopyOptions
    from stac_rucio.source import ItemSource
    from stac_rucio.streams import Item

_BATCH = 100  # items; their assets fit into a few requests


@verb(
    "alternates",
    "stac-client search https://stac.example.org/v1 -c alps | stac-rucio alternates -",
    "stac-rucio alternates --api https://stac.example.org/v1 -c alps --prefer DISK-A > near.json",
    "stac-rucio alternates items.ndjson --only DISK-A,DISK-B",
)
@takes_items()
@takes_copies()
@takes_rucio()
@verbose
def alternates(items: ItemSource, copies: CopyOptions, rucio: Connection) -> None:
    """Write items with every copy as an alternate asset.

    The items come out as they came in: NDJSON as NDJSON, all else as an item
    collection.
    """
    modify = rucio.modifier(copies, patient=True)
    as_lines, found = _opened(items)
    separator = "" if as_lines else '{"type": "FeatureCollection", "features": ['
    while batch := list(islice(found, _BATCH)):
        modify({"type": "FeatureCollection", "features": batch})
        for item in batch:
            if as_lines:
                write_line(json.dumps(item))
            else:
                write_line(f"{separator}{json.dumps(item)}")
                separator = ","
    if not as_lines:
        write_line(f"{separator if separator != ',' else ''}]}}")


def _opened(items: ItemSource) -> tuple[bool, Iterator[Item]]:
    """Items that may be changed, and whether they came as NDJSON."""
    from stac_client.catalogue.items import iter_items

    if items.api:
        return False, iter_items(items.items())
    streams = items.streams()
    first = next(streams)

    def all_items() -> Iterator[Item]:
        yield from first.items
        for stream in streams:
            yield from stream.items

    return first.as_lines, iter_items(all_items())
