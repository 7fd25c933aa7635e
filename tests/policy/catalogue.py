"""An origin that is a STAC API: its items, and what asking for them gives."""

from __future__ import annotations

import json

import pytest

from stac_policy.settings import Settings
from stac_policy.stac_api import StacApiError, fetch_item
from tests.items import make_item

HREF = "https://data.example.org/B04.tif"


def item_json(assets, item="i", **fields):
    """Give a STAC item with the hrefs of its assets as the bytes of an answer."""
    made = {key: {} if href is None else {"href": href} for key, href in assets.items()}
    return json.dumps(make_item(None, item, made, **fields)).encode()


def item_path(collection="c", item="i"):
    """Give the path of an item at a STAC API, for ids that need no quoting."""
    return f"/collections/{collection}/items/{item}"


ITEM = item_path()


def ask(origin, item="i", collection="c", api=None, **options):
    """Ask the origin for an item."""
    settings = Settings(**({"connect_timeout_s": 1, "read_timeout_s": 0.1} | options))
    return fetch_item(api or origin.url, collection, item, settings)


def fails(*args, **options):
    """Ask for an item, and give the error's message."""
    with pytest.raises(StacApiError) as caught:
        ask(*args, **options)
    assert caught.value.__cause__ is None
    return str(caught.value)
