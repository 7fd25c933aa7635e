"""Items, from whatever holds items: searches, catalogues, files, streams, and any of these."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, Any

import pystac
from pystac.stac_io import DefaultStacIO
from pystac_client import Client, ItemSearch

from stac_client._item_completion import Completion, PlacedItem
from stac_client._item_files import Value, opened, read_values
from stac_client._partition import Partition
from stac_client._stac_api import (
    MOST_EMPTY,
    ApiIO,
    cut,
    named,
    read_pages,
    searched,
    stac_errors,
    with_guards,
)
from stac_client.errors import (
    ConfigurationError,
    RequestError,
    said_by,
)
from stac_policy.urls import absolute, is_url, link_href, redact

ItemDict = dict[str, Any]
ItemsLike = (
    ItemSearch
    | pystac.ItemCollection
    | pystac.Catalog
    | pystac.Item
    | Mapping[str, Any]
    | str
    | Path
    | IO[bytes]
    | Iterable[Any]
)
"""A search, an item collection, a catalogue or collection with its items, a page, the path or URL
of a file of items or of a catalogue, a stream of them, items as objects or dicts, or any iterable
of these."""


_CATALOGUES = ("Catalog", "Collection")
_WHOLE = Partition()


def iter_items(
    items: ItemsLike, completion: Completion | None = None, part: Partition = _WHOLE
) -> Iterator[ItemDict]:
    """Yield items one by one as dicts, which the caller must not change.

    Those that do not say of which collection they are, or where they lie, are completed.
    What is no item among items, such as null, comes as a dict without the type of an item,
    and `select_assets` reports it.

    Raises:
        ConfigurationError: It holds no items, or is a file that is missing or of another kind.
        AccessError: The STAC API that they come from wants credentials.
        RequestError: The STAC API or catalogue that they come from does not give them.
        UnreachableError: It does not answer.
    """
    completion = completion or Completion()
    completion.forgive()
    yield from map(completion.complete, read_items(items, part))


def read_items(items: ItemsLike, part: Partition = _WHOLE) -> Iterator[ItemDict]:
    """Yield items as `iter_items` does, as they are."""
    with stac_errors("the STAC API", unreadable=()):
        if isinstance(items, Mapping):
            name = f"a value of type {type(items).__name__}"
            yield from part.take(_from_document(items, name, _own_url(items)))
        else:
            yield from _from_object(items, part)


def id_text(found: object) -> str:
    """Return the id of an item or collection for people, or nothing where it is no id."""
    return str(found) if found and isinstance(found, (str, int, float)) else ""


def updated_of(item: Mapping[str, Any]) -> object:
    """Return what an item says for the time at which it was updated."""
    properties = item.get("properties")
    return properties.get("updated") if isinstance(properties, dict) else None


def _from_object(holder: Any, part: Partition) -> Iterator[ItemDict]:  # noqa: PLR0911 - one a kind
    """The items of what a program, and never a document, holds: text in it is a path."""
    if isinstance(holder, (str, Path)):
        return _from_place(holder, part)
    if isinstance(holder, ItemSearch):
        search, take = cut(with_guards(holder), part)
        return take(_from_json(searched(search), ""))
    if isinstance(holder, pystac.Catalog):
        return _from_catalogue(holder, part)
    if isinstance(holder, Mapping) and holder.get("type") in _CATALOGUES:
        return part.take(_walk(holder, _own_url(holder), ApiIO()))
    if isinstance(holder, (pystac.Item, Mapping)):
        return part.take(_from_json(holder, ""))
    if hasattr(holder, "readline"):
        name = str(getattr(holder, "name", "the stream"))
        return read_stream(holder, name, part=part).items
    if isinstance(holder, Iterable) and not isinstance(holder, (bytes, bytearray)):
        return _from_iterable(holder, part)
    raise _not_items(f"a value of type {type(holder).__name__}")


def _from_iterable(holders: Iterable[Any], part: Partition) -> Iterator[ItemDict]:
    for holder in holders:
        if isinstance(holder, dict) and holder.get("type") == "Feature":
            yield from part.take([holder]) if part else (holder,)  # as most are
        elif holder is None:
            yield from part.take([{}])
        else:
            yield from _from_object(holder, part)


def _from_place(place: str | Path, part: Partition) -> Iterator[ItemDict]:
    with open_items(place, part) as stream:
        yield from stream.items


def _from_json(value: object, name: str) -> Iterator[ItemDict]:
    """The items of a parsed document: an item, a page, or a list of these."""
    if isinstance(value, pystac.Item):
        yield value.to_dict(include_self_link=True, transform_hrefs=False)
    elif isinstance(value, Mapping):
        if "features" not in value:
            yield value if isinstance(value, dict) else dict(value)
        elif isinstance(value["features"], (str, Mapping, type(None), int, float)):
            raise _not_items(name or "a page")
        else:
            yield from _from_json(value["features"], name)
    elif isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
        for member in value:
            yield from _from_json(member, name)
    else:
        yield {}


def _from_document(value: object, name: str, base: str) -> Iterator[ItemDict]:
    """The items of a document that stands alone, with what its links are relative to."""
    if isinstance(value, Mapping):
        if value.get("type") in _CATALOGUES:
            return _walk(value, base, ApiIO())
        if value.get("type") == "Feature" or "features" in value:
            # Many items of one file come from anywhere.
            placed = base and (is_url(base) or "features" not in value)
            items = _from_json(value, name)
            return (PlacedItem(item, base) for item in items) if placed else items
    elif isinstance(value, list):
        return _from_json(value, name)
    raise _not_items(name)


def _own_url(document: Mapping[str, Any]) -> str:
    """The URL that a document says it is at; it may name no file of this machine."""
    url = link_href(document)
    return url if is_url(url) else ""


def _not_items(name: str) -> ConfigurationError:
    return ConfigurationError(
        f"{name} is neither a STAC item nor holds any; give items as objects or dicts, or what "
        "holds them (a search, a collection, a page, the path of a file)"
    )


# Files, streams and URLs.


@dataclass(frozen=True)
class ItemStream:
    """Items as they come."""

    items: Iterator[ItemDict]
    as_lines: bool
    """Whether they came as NDJSON, one item a line."""


@contextmanager
def open_items(place: str | Path, part: Partition = _WHOLE) -> Iterator[ItemStream]:
    """Open a file or URL of items; see `read_stream`.

    Raises:
        ConfigurationError: It cannot be read, or holds no items.
        StacRucioError: Its server does not give it.
    """
    name = redact(place) if isinstance(place, str) and "://" in place else str(place)
    try:
        with opened(place) as stream:
            yield read_stream(stream, name, str(place), part)
    except BrokenPipeError:
        raise  # of who writes what is read here
    except OSError as error:
        raise ConfigurationError(f"{name}: {error.strerror or said_by(error)}") from error


def read_stream(
    stream: Iterable[Any], name: str, place: str = "", part: Partition = _WHOLE
) -> ItemStream:
    """Return the items of a stream, of which no more than one is held, or a small document.

    Args:
        stream: As `read_values` takes it: JSON (an item, an item collection, an array of these, a
            catalogue), NDJSON (an item, item collection or array a line), or stac-geoparquet.
        name: What to call it in errors.
        place: Its path or URL, if it has one: a catalogue may then name other files.
        part: Which of its items to return.

    Raises:
        ConfigurationError: It is none of these.
    """
    values = _values(stream, name, part)
    first = next(values, None)
    if first is None:
        return ItemStream(iter(()), as_lines=True)
    value = first.value
    is_item = isinstance(value, dict) and not (
        "features" in value or value.get("type") in _CATALOGUES
    )
    as_lines = is_item and not first.is_member and first.line == first.last_line
    if as_lines and place and value.get("type") == "Feature":
        second = next(values, None)
        values = values if second is None else chain([second], values)
        is_alone = second is None
    else:
        is_alone = not (as_lines or first.is_member)
    rest = chain([] if is_alone else [first], values)
    items: Iterator[ItemDict] = chain.from_iterable(_of_value(each, name) for each in rest)
    if is_url(place):
        items = (PlacedItem(item, place) for item in items)
    begin = _from_document(value, name, place) if is_alone else iter(())
    # Those of row groups that are this part are not looked at once more.
    is_taken = first.is_taken
    return ItemStream(chain(begin, items) if is_taken else part.take(chain(begin, items)), as_lines)


def _values(stream: Iterable[Any], name: str, part: Partition) -> Iterator[Value]:
    with stac_errors(name, unreadable=()):
        yield from read_values(stream, name, part)


def _of_value(found: Value, name: str) -> Iterator[ItemDict]:
    return _from_json(found.value, f"{name}, line {found.line}" if found.line > 1 else name)


# Catalogues, which may say anything: each document is read once.


def _from_catalogue(catalogue: pystac.Catalog, part: Partition) -> Iterator[ItemDict]:
    root = catalogue.get_root() or catalogue
    if isinstance(root, Client) and root.conforms_to("ITEM_SEARCH"):
        ids = [catalogue.id] if isinstance(catalogue, pystac.Collection) else None
        methods = [link.extra_fields.get("method") for link in root.get_links("search")]
        return _from_object(
            root.search(collections=ids, method="POST" if "POST" in methods else "GET"), part
        )
    # What was opened in a way of the user's own, with credentials perhaps, is read in that way.
    own = root._stac_io  # noqa: SLF001 - as pystac's links do
    reader = ApiIO() if own is None or type(own) is DefaultStacIO else own
    return part.take(_walk(catalogue, catalogue.get_self_href() or "", reader))


def _walk(start: object, base: str, reader: pystac.StacIO) -> Iterator[ItemDict]:
    """The items of a catalogue and of all below it, in their order."""
    begin = base
    seen: set[object] = set()
    empty = 0
    todo: list[tuple[str, Any]] = [("child", start)]
    while todo:
        rel, target = todo.pop()
        key = target if isinstance(target, str) else id(target)
        if key in seen:
            continue
        seen.add(key)
        if isinstance(target, str):
            base = target
            if rel == "items":
                yield from _from_json(read_pages(reader, base), base)
                continue
        with stac_errors(base):
            found = dict(reader.read_json(base)) if isinstance(target, str) else target
            links = _links_below(found, base)
        todo += reversed(links or [])
        empty += 1
        if links is None:
            empty = 0
            read = _from_json(found, base)
            yield from read if found is target else (PlacedItem(each, base, begin) for each in read)
        elif empty > MOST_EMPTY:
            raise RequestError(f"{named(base)}: {MOST_EMPTY:,} catalogues without an item")


def _links_below(found: Any, base: str) -> list[tuple[str, Any]] | None:
    """The links of a catalogue to items and then those to catalogues; None of what is none."""
    links: list[tuple[str, Any]]
    if isinstance(found, pystac.Catalog):
        links = [
            (str(link.rel), link.target if link.is_resolved() else link.get_absolute_href())
            for link in found.links
        ]
    elif isinstance(found, Mapping) and found.get("type") in _CATALOGUES:
        named = [link for link in found["links"] if link.get("rel") in {"item", "items", "child"}]
        links = [(link["rel"], absolute(link["href"], base)) for link in named]
        for _, url in links:
            if not is_url(url) and (is_url(base) or not base):
                raise pystac.STACError(f"a link to {redact(url)}")
    else:
        return None
    # An API has pages of all items of a collection.
    items = [link for link in links if link[0] == "items"][:1]
    items = items or [link for link in links if link[0] == "item"]
    return items + [link for link in links if link[0] == "child"]
