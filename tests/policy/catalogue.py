"""An origin that is a STAC API: its items, and what asking for them gives."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from stac_policy.settings import Settings
from stac_policy.stac_api import StacApiError, fetch_item
from tests.items import make_item

if TYPE_CHECKING:
    from stac_policy.stac_api import Item


HREF = "https://data.example.org/B04.tif"


def item_json(assets: Any, item: str = "i", **fields: Any) -> bytes:
    """Give a STAC item with the hrefs of its assets as the bytes of an answer."""
    made = {key: {} if href is None else {"href": href} for key, href in assets.items()}
    return json.dumps(make_item(None, item, made, **fields)).encode()


def item_path(collection: str = "c", item: str = "i") -> str:
    """Give the path of an item at a STAC API, for ids that need no quoting."""
    return f"/collections/{collection}/items/{item}"


ITEM = item_path()


def ask(
    origin: Any, item: str = "i", collection: str = "c", api: Any = None, **options: Any
) -> Item:
    """Ask the origin for an item."""
    settings = Settings(**({"connect_timeout_s": 20, "read_timeout_s": 20} | options))
    return fetch_item(api or origin.url, collection, item, settings)


def fails(*args: Any, **options: Any) -> str:
    """Ask for an item, and give the error's message."""
    with pytest.raises(StacApiError) as caught:
        ask(*args, **options)
    assert caught.value.__cause__ is None
    return str(caught.value)
