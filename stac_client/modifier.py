"""The modifier for pystac-client: every available replica in every asset that it gives.

pystac_client.Client.open(url, modifier=StacClient().modifier)
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, overload

from stac_policy.naming import DID, asset_name, collection_scope

from .alternates import EXTENSION, with_replicas
from .editing import editable_items
from .errors import StacRucioError
from .listing import list_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rucio.client import Client

    from .editing import EditableItem


class AlternatesWarning(UserWarning):
    """Rucio could not be asked for replicas; the items are as the catalogue gave them."""


class Modifier:
    """Adds replicas to the items that pystac-client gives, in place.

    It takes what pystac-client hands to a modifier (a page, an item as object or
    dict, an item collection) and leaves alone what it does not know. It asks
    Rucio once for each 1,000 assets. Calling it twice changes nothing more.
    """

    def __init__(
        self, client: Client, *, prefer: Sequence[str] = (), scope: str | None = None
    ) -> None:
        """Make one.

        Args:
            client: A Rucio client.
            prefer: RSEs, the most wanted first. The copy at the first of them
                that has one becomes the asset's `href`, so that tools which know
                nothing of alternates read it; the original goes to `alternate`.
            scope: A fixed scope instead of those derived from the collections.
        """
        self._client = client
        self._prefer = tuple(prefer)
        self._scope = scope

    @overload
    def __call__(self, thing: object) -> None: ...
    @overload
    def __call__(self, *, prefer: Sequence[str]) -> Modifier: ...
    def __call__(
        self, thing: object = None, *, prefer: Sequence[str] | None = None
    ) -> Modifier | None:
        """Modify what pystac-client hands over; or, with `prefer`, give a modifier that prefers.

        Client.open(url, modifier=rucio.modifier)
        Client.open(url, modifier=rucio.modifier(prefer=["DISK-A", "DISK-B"]))
        """
        if prefer is not None:
            return Modifier(self._client, prefer=prefer, scope=self._scope)
        self._modify(list(editable_items(thing)))
        return None

    def _modify(self, items: list[EditableItem]) -> None:
        wanted = [
            (item, key, list(_dids(item, key, self._scope)))
            for item in items
            for key in item.assets
        ]
        try:
            files = list_files(self._client, (did for _, _, dids in wanted for did in dids))
        except StacRucioError as error:
            warnings.warn(f"no alternates: {error}", AlternatesWarning, stacklevel=2)
            return
        for item, key, dids in wanted:
            pfns = next((files[did].pfns for did in dids if did in files), None)
            if pfns:
                item.write(key, with_replicas(item.assets[key], pfns, self._prefer))
                item.declare(EXTENSION)


def _dids(item: EditableItem, key: str, scope: str | None) -> Iterable[DID]:
    """The DIDs that an asset may have.

    The suffix in its name is that of the catalogue's URL, which `prefer` may
    have moved to the alternates.
    """
    collection, item_id = item.collection, item.id
    if not (isinstance(collection, str) and isinstance(item_id, str)):
        return ()
    if not (collection and item_id and key):
        return ()
    asset = item.assets[key]
    alternates = asset.get("alternate")
    places = [asset, *(alternates.values() if isinstance(alternates, Mapping) else ())]
    hrefs = [place.get("href") for place in places if isinstance(place, Mapping)]
    in_scope = scope or collection_scope(collection)
    names = (
        asset_name(collection, item_id, key, href, item.keys)
        for href in hrefs
        if isinstance(href, str)
    )
    return [DID(in_scope, name) for name in dict.fromkeys(names)]
