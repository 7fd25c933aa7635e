"""For tools that take a function from URL to URL: the URL of the preferred copy.

odc.stac.load(items, patch_url=StacClient().patch_url(items, prefer=["DISK-A"]))
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import TYPE_CHECKING

from stac_client.catalogue.editing import editable_items
from stac_client.catalogue.items import iter_items
from stac_client.errors import ConfigurationError
from stac_policy.urls import absolute

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stac_client.catalogue.items import ItemDict, ItemsLike

    from .modifier import Modifier


def patch_url(items: ItemsLike, modifier: Modifier) -> Callable[[str], str]:
    """Give a function that gives the URL which a modifier would put into an asset's `href`.

    Rucio is asked here, once for all items (for each 1,000 assets), and not when
    the function is called. The modifier's time limit is for all of them together.
    The items themselves are not changed.

    Args:
        items: The items, in what can be gone through again: the tool does so.
        modifier: A modifier that prefers copies.

    Returns:
        A function that takes the URL of an asset of these items, as it stands in
        the item or absolute, and gives that of the preferred copy; any other URL,
        and that of an asset without such a copy, comes back as it is.

    Raises:
        ConfigurationError: The items can be gone through only once.
        StacRucioError: The STAC API that they come from does not give them.
    """
    if isinstance(items, Iterator):
        raise ConfigurationError(
            f"nothing would be left of this {type(items).__name__} of items for the tool that "
            "reads them next; make a list of it first"
        )
    page = [copy.deepcopy(item) for item in iter_items(items)]
    bases = [_self_link(item) for item in page]
    before = [_hrefs(item) for item in page]
    modifier({"type": "FeatureCollection", "features": page})
    urls: dict[str, str] = {}
    for item, base, hrefs in zip(page, bases, before):
        preferred = _hrefs(item)
        for key, href in hrefs.items():
            for url in (href, absolute(href, base)):
                urls.setdefault(url, preferred[key])
    return lambda url: urls.get(url, url)


def _hrefs(item: ItemDict) -> dict[str, str]:
    (editable,) = editable_items(item)
    return {key: asset["href"] for key, asset in editable.assets.items()}


def _self_link(item: Mapping[str, object]) -> str:
    links = item.get("links")
    for link in links if isinstance(links, list) else ():
        if isinstance(link, dict) and link.get("rel") == "self":
            return str(link.get("href") or "")
    return ""
