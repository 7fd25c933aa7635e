"""Items, from whatever holds items."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from json import JSONDecodeError
from pathlib import Path
from typing import Any, Union

import pystac
import requests
from pystac_client import ItemSearch
from pystac_client.exceptions import APIError

from stac_client.errors import ConfigurationError, RequestError, UnreachableError

from .item_files import read_items

ItemDict = dict[str, Any]
ItemsLike = Union[
    ItemSearch,
    pystac.ItemCollection,
    pystac.Collection,
    pystac.Item,
    Mapping[str, Any],
    Path,
    Iterable[Union[pystac.Item, Mapping[str, Any]]],
]
"""A search, an item collection, a collection with its items, a page, the path of a
file of items, or items as objects or dicts, singly or in any iterable."""


def iter_items(items: ItemsLike) -> Iterator[ItemDict]:
    """Give items one by one as dicts, which the caller must not change.

    Raises:
        ConfigurationError: There is something among them that is no item.
        RequestError: The STAC API or catalogue that they come from does not give them.
        UnreachableError: It does not answer.
    """
    try:
        members = _members(items)
        if not isinstance(members, Iterable):
            raise _no_item(members)
        for item in members:
            yield _as_dict(item)
    except (APIError, requests.RequestException) as error:
        if status := getattr(error, "status_code", None):
            raise RequestError(f"the STAC API answers {status}: {_first_line(error)}") from error
        raise UnreachableError(f"the STAC API does not answer: {_first_line(error)}") from error
    except RecursionError as error:
        raise RequestError("the STAC catalogue can not be read: nested too deeply") from error
    except (pystac.STACError, JSONDecodeError) as error:
        raise RequestError(f"the STAC catalogue can not be read: {_first_line(error)}") from error


def id_text(found: object) -> str:
    """The id of an item or a collection for people; nothing where it is no text or number."""
    return str(found) if found and isinstance(found, (str, int, float)) else ""


def _members(items: ItemsLike) -> object:
    if isinstance(items, ItemSearch):
        return items.items_as_dicts()
    if isinstance(items, pystac.Catalog):
        return items.get_items(recursive=True)
    if isinstance(items, pystac.Item):
        return [items]
    if isinstance(items, Path):
        return read_items(items)
    if isinstance(items, Mapping):
        return items.get("features", [items])
    return items


def _as_dict(item: object) -> ItemDict:
    if isinstance(item, pystac.Item):
        return item.to_dict(include_self_link=True, transform_hrefs=False)
    if isinstance(item, Mapping) and item.get("type") == "Feature":
        return item if isinstance(item, dict) else dict(item)
    raise _no_item(item)


def _no_item(found: object) -> ConfigurationError:
    return ConfigurationError(
        f"a {type(found).__name__} is not a STAC item; give items, dicts of items, "
        "or what holds them (a search, a collection, a page)"
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
