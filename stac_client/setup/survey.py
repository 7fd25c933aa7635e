"""What a catalogue needs of Rucio, from a sample of its items: hosts, schemes, scopes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from stac_client.catalogue.assets import Asset, select_assets
from stac_client.catalogue.items import iter_items
from stac_policy.naming import collection_scope

if TYPE_CHECKING:
    from stac_client.catalogue.items import ItemsLike
    from stac_client.catalogue.selection import AssetSelection


@dataclass
class Survey:
    """What a sample of items needs of Rucio."""

    items: int = 0
    """Items that were looked at."""
    assets: list[Asset] = field(default_factory=list, repr=False)
    """Their assets that can be registered."""
    hosts: Counter[str] = field(default_factory=Counter)
    """Assets by the host, with its port where the URL names one."""
    scopes: dict[str, str] = field(default_factory=dict)
    """The scope of each collection."""
    refused: Counter[str] = field(default_factory=Counter)
    """Assets that can not be registered, by reason."""

    @property
    def schemes(self) -> set[str]:
        """The schemes of the URLs."""
        return {urlsplit(asset.url).scheme for asset in self.assets}


def survey(
    items: ItemsLike, *, sample: int = 100, assets: AssetSelection = None, scope: str | None = None
) -> Survey:
    """Look at the first items.

    Args:
        items: The items. Of a search over several collections the first may all be
            of one collection.
        sample: How many items to look at.
        assets: The assets, as in `StacClient.create_replicas`.
        scope: A fixed scope instead of those derived from the collections.

    Raises:
        StacRucioError: There is something among them that is no item, or the STAC
            API does not answer.
    """
    found = Survey()
    for item in islice(iter_items(items), sample):
        found.items += 1
        for selected in select_assets(item, assets, scope):
            if isinstance(selected, Asset):
                found.assets.append(selected)
                found.hosts[urlsplit(selected.url).netloc.lower()] += 1
                found.scopes[selected.collection] = selected.did.scope
            else:
                found.refused[selected.reason] += 1
        collection = item.get("collection")
        if isinstance(collection, str) and collection:
            found.scopes.setdefault(collection, scope or collection_scope(collection))
    return found


def server_options(found: Survey, *, api: str = "", scope: str | None = None) -> str:
    """The lines that the rucio.cfg of server and daemons should have, which no request can set.

    Args:
        found: What the catalogue needs.
        api: URL of its STAC API, if it has one.
        scope: The fixed scope, if one is used.
    """
    lines = ["[policy]", "package = stac_policy", "", "[stac]"]
    if found.hosts:
        lines.append(f"allowed_hosts = {', '.join(sorted(found.hosts))}")
    if scope is not None:
        lines.append(f"scopes = {scope}={api}" if api else f"scopes = {scope}")
    elif api:
        lines.append(f"api = {api}")
    return "\n".join(lines)
