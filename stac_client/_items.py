"""Items, from whatever holds items: searches, catalogues, files, streams, and any of these."""

from __future__ import annotations

import copy
import io
import json
import tempfile
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

import pystac
import requests
from pystac.stac_io import DefaultStacIO
from pystac.utils import str_to_datetime
from pystac_client import Client, ItemSearch
from pystac_client.errors import ClientTypeError
from pystac_client.exceptions import APIError
from pystac_client.stac_api_io import StacApiIO

from stac_client._item_completion import Completion, PlacedItem
from stac_client.errors import (
    AccessError,
    ConfigurationError,
    RequestError,
    UnreachableError,
    near,
)
from stac_policy.bodies import parse_json, read_body
from stac_policy.http import MAY_PASS, FetchError, GuardedAdapter, cause, dismiss, origin
from stac_policy.urls import absolute, is_url, link_href, mask, redact

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
"""A search, an item collection, a catalogue or collection with its items, a page, the path of
a file of items (or the URL of a catalogue), a binary stream of them, items as objects or dicts,
or any iterable of these."""


class ItemsWarning(UserWarning):
    """A STAC API gave fewer items than it says it has found."""


_CATALOGUES = ("Catalog", "Collection")


def iter_items(items: ItemsLike, completion: Completion | None = None) -> Iterator[ItemDict]:
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
    yield from map(completion.complete, read_items(items))


def read_items(items: ItemsLike) -> Iterator[ItemDict]:
    """Yield items as `iter_items` does, as they are."""
    with stac_errors("the STAC API", unreadable=()):
        if isinstance(items, Mapping):
            name = f"a value of type {type(items).__name__}"
            yield from _from_document(items, name, _own_url(items))
        else:
            yield from _from_object(items)


def id_text(found: object) -> str:
    """Return the id of an item or collection for people, or nothing where it is no id."""
    return str(found) if found and isinstance(found, (str, int, float)) else ""


def moment(value: object) -> datetime | None:
    """Return the time that a date in an item stands for, in UTC, or None where it is none."""
    try:
        found = str_to_datetime(value)  # type: ignore[arg-type] # raises a TypeError
        # Some leave the zone out, though STAC has UTC only.
        return found.replace(tzinfo=found.tzinfo or timezone.utc).astimezone(timezone.utc)
    except (TypeError, ValueError, OverflowError):
        return None


def updated_of(item: Mapping[str, Any]) -> object:
    """Return what an item says for the time at which it was updated."""
    properties = item.get("properties")
    return properties.get("updated") if isinstance(properties, dict) else None


def _from_object(holder: Any) -> Iterator[ItemDict]:  # noqa: PLR0911 - one return a kind
    """The items of what a program, and never a document, holds: text in it is a path."""
    if isinstance(holder, (str, Path)):
        return _from_place(holder)
    if isinstance(holder, ItemSearch):
        return _from_json(searched(_with_guards(holder)), "")
    if isinstance(holder, pystac.Catalog):
        return _from_catalogue(holder)
    if isinstance(holder, Mapping) and holder.get("type") in _CATALOGUES:
        return _walk(holder, _own_url(holder), ApiIO())
    if isinstance(holder, (pystac.Item, Mapping)):
        return _from_json(holder, "")
    if hasattr(holder, "readline"):
        lines = map(str.encode, holder) if isinstance(holder, io.TextIOBase) else holder
        return read_stream(lines, str(getattr(holder, "name", "the stream"))).items
    if isinstance(holder, Iterable) and not isinstance(holder, (bytes, bytearray)):
        return _from_iterable(holder)
    raise _not_items(f"a value of type {type(holder).__name__}")


def _from_iterable(holders: Iterable[Any]) -> Iterator[ItemDict]:
    for holder in holders:
        if isinstance(holder, dict) and holder.get("type") == "Feature":
            yield holder  # as most are
        elif holder is None:
            yield {}
        else:
            yield from _from_object(holder)


def _from_place(place: str | Path) -> Iterator[ItemDict]:
    if isinstance(place, str) and is_url(place):
        yield from _walk(place, "", ApiIO())
    else:
        with open_items(place) as stream:
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


# Files and streams: what they hold is told by their content, not by their names.


_BUFFER_BYTES = 2**20  # lines are often longer than the 8 KiB that would be read at a time
_PARQUET = b"PAR1"


@dataclass(frozen=True)
class ItemStream:
    """Items as they come."""

    items: Iterator[ItemDict]
    as_lines: bool
    """Whether they came as NDJSON, one item a line."""


@contextmanager
def open_items(path: str | Path) -> Iterator[ItemStream]:
    """Open a file of items; see `read_stream`.

    Raises:
        ConfigurationError: It cannot be read, or holds no items.
    """
    try:
        with Path(path).open("rb", buffering=_BUFFER_BYTES) as file:
            yield read_stream(file, str(path), str(path))
    except BrokenPipeError:
        raise  # of who writes what is read here
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror or error}") from error


def read_stream(lines: Iterable[bytes], name: str, path: str = "") -> ItemStream:
    """Return the items of a stream, of which NDJSON is read line by line and never held.

    Args:
        lines: Of JSON (an item, an item collection, an array of these, a catalogue), of NDJSON
            (an item, item collection or array a line), or of stac-geoparquet.
        name: What to call it in errors.
        path: Its path, if it is a file: a catalogue may then name other files.

    Raises:
        ConfigurationError: It is none of these.
    """
    numbered: Iterator[tuple[int, bytes]]
    numbered = ((number, line) for number, line in enumerate(lines, start=1) if line.strip())
    _, first = next(numbered, (0, b""))
    if not first:
        return ItemStream(iter(()), as_lines=True)
    if first.startswith(_PARQUET):
        return ItemStream(_geoparquet(first, lines, name), as_lines=False)
    try:
        value = _parse(first, name)
    except ConfigurationError:  # JSON that spans several lines
        whole = b"".join([first, *lines])
        return ItemStream(_from_document(_parse(whole, name), name, path), as_lines=False)
    as_lines = isinstance(value, dict) and not (
        "features" in value or value.get("type") in _CATALOGUES
    )
    alone = bool(as_lines and path and value.get("type") == "Feature")
    if alone:
        alone = (second := next(numbered, None)) is None
        numbered = chain([second] if second else (), numbered)
    begin = _from_json(value, name) if as_lines and not alone else _from_document(value, name, path)
    rest = (
        _from_json(_parse(line, f"{name}, line {number}"), f"{name}, line {number}")
        for number, line in numbered
    )
    return ItemStream(chain(begin, chain.from_iterable(rest)), as_lines)


def _parse(text: bytes, name: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ConfigurationError(f"{name}: nested too deeply") from error
    except ValueError as error:
        raise ConfigurationError(f"{name}: neither JSON nor stac-geoparquet ({error})") from error


def _geoparquet(first: bytes, lines: Iterable[bytes], name: str) -> Iterator[ItemDict]:
    try:
        import pyarrow.parquet
        from stac_geoparquet.arrow import stac_table_to_items
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{name}: reading stac-geoparquet needs pip install 'stac-rucio[geoparquet]'"
        ) from error
    with tempfile.TemporaryFile(prefix="stac-rucio-") as copied:
        if isinstance(lines, io.IOBase) and lines.seekable():
            source: Any = lines
        else:  # its table of contents is at its end
            copied.writelines(chain([first], lines))
            source = copied
        try:
            with pyarrow.parquet.ParquetFile(source) as file:
                for batch in file.iter_batches():
                    for item in stac_table_to_items(pyarrow.Table.from_batches([batch])):
                        yield dict(item)
        except (pyarrow.ArrowException, KeyError, TypeError, ValueError) as error:
            raise ConfigurationError(f"{name}: not stac-geoparquet") from error


# Catalogues and STAC APIs, which may say anything: each document and page is read once.


_MOST_EMPTY = 1000
"""Documents or pages in a row without an item, which no catalogue needs."""
_MOST_COLLECTIONS = 1000
"""Among which those are looked for that come near an unknown one."""
_HINT = "is the URL right?"
_UNREADABLE = (AttributeError, FetchError, KeyError, OSError, TypeError, ValueError)


def open_api(url: str, headers: Mapping[str, str] | None = None) -> Client:
    """Open a STAC API, with limits on what it may answer.

    Args:
        url: Its URL.
        headers: For the API alone; they may hold credentials.

    Raises:
        ConfigurationError: It is no URL.
        StacRucioError: It does not answer, or not as a STAC API.
    """
    if not is_url(url):
        raise ConfigurationError(
            f"{redact(url)} is no URL of a STAC API, which begins with https:// or http://"
        )
    with stac_errors(url):
        return Client.open(url, stac_io=ApiIO(url, headers))


def searched(search: ItemSearch) -> Iterator[dict[str, Any]]:
    """Yield the pages of a search, and ask for the collections that no item is of.

    Raises:
        ConfigurationError: The STAC API has no such collection.
    """
    named = search._parameters.get("collections") or ()  # noqa: SLF001 - a text in those of GET
    unseen = dict.fromkeys(named)
    for page in search.pages_as_dicts():
        for item in page["features"] if unseen else ():
            unseen.pop(item.get("collection") if isinstance(item, dict) else None, None)
        yield page
    api = search.client
    if api is None or not api.conforms_to("COLLECTIONS"):
        return
    for name in unseen:
        if not _has_collection(api, name):
            known = [each.id for each in islice(api.get_collections(), _MOST_COLLECTIONS)]
            text = f"{_named(api.get_self_href() or '')} has no collection {name!r}"
            raise ConfigurationError(text, hint=near(name, known))


def _has_collection(api: Client, name: str) -> bool:
    try:
        return api.get_collection(name) is not None
    except APIError as error:
        return error.status_code != int(requests.codes.not_found)


def _with_guards(search: ItemSearch) -> ItemSearch:
    """A search that asks as another does, and looks at the pages as ours do."""
    reader = search._stac_io  # noqa: SLF001 - there is no other way to it
    guarded = copy.copy(search)
    guarded._stac_io = copy.copy(reader)  # noqa: SLF001
    guarded._stac_io.get_pages = partial(read_pages, reader)  # type: ignore[method-assign]  # noqa: SLF001
    return guarded


def _from_catalogue(catalogue: pystac.Catalog) -> Iterator[ItemDict]:
    root = catalogue.get_root() or catalogue
    if isinstance(root, Client) and root.conforms_to("ITEM_SEARCH"):
        ids = [catalogue.id] if isinstance(catalogue, pystac.Collection) else None
        methods = [link.extra_fields.get("method") for link in root.get_links("search")]
        return _from_object(
            root.search(collections=ids, method="POST" if "POST" in methods else "GET")
        )
    # What was opened in a way of the user's own, with credentials perhaps, is read in that way.
    own = root._stac_io  # noqa: SLF001 - as pystac's links do
    reader = ApiIO() if own is None or type(own) is DefaultStacIO else own
    return _walk(catalogue, catalogue.get_self_href() or "", reader)


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
        elif empty > _MOST_EMPTY:
            raise RequestError(f"{_named(base)}: {_MOST_EMPTY:,} catalogues without an item")


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


def read_pages(
    reader: pystac.StacIO,
    url: str,
    method: str | None = None,
    parameters: dict[str, Any] | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield the pages of an API that have anything on them, to the last.

    An `ItemsWarning` says if fewer came than the API has found by its own count.

    Raises:
        StacRucioError: A page is none, leads to one that there was already, or does not come.
    """
    seen: set[int] = set()
    empty = came = of_all = 0
    source: Any = url
    while source is not None:
        with stac_errors(url):
            page = reader.read_json(source, method=method, parameters=parameters)
            found = page.get("features") or page.get("collections") or []
            links = [link for link in page.get("links", []) if link["rel"] == "next"][:1]
            source = pystac.Link.from_dict(links[0]) if links else None
            following = hash(json.dumps(links, sort_keys=True))
            if not isinstance(found, list):
                raise pystac.STACError("a page whose features are no list")
            if links and following in seen:
                raise pystac.STACError("pages that lead in circles")
            seen.add(following)
            empty = 0 if found else empty + 1
            came, of_all = came + len(found), matched(page) or of_all
            if empty > _MOST_EMPTY:
                raise pystac.STACError(f"more than {_MOST_EMPTY:,} empty pages")
        if found:
            yield page
    if came < of_all:
        said = f"{_named(url)} gave {came:,} of the {of_all:,} items that it says it has found"
        warnings.warn(f"{said}; ask again, or in parts", ItemsWarning, stacklevel=2)


def matched(page: Mapping[str, Any]) -> int | None:
    """Return how many items a search has found in all, as far as a page of it says so."""
    context = page.get("context")
    count = page.get("numberMatched") or (
        context.get("matched") if isinstance(context, dict) else None
    )
    return count if isinstance(count, int) and not isinstance(count, bool) else None


@contextmanager
def stac_errors(
    place: str, unreadable: tuple[type[Exception], ...] = _UNREADABLE
) -> Iterator[None]:
    """Turn errors of pystac and pystac-client into those of this package.

    Args:
        place: What is read, by its URL or in words, for the beginning of the message.
        unreadable: Further errors that mean that it is no STAC.

    Raises:
        UnreachableError: It does not answer.
        AccessError: It wants credentials, or others.
        RequestError: It answers with an error, or with what is no STAC.
    """
    name = _named(place)
    try:
        yield
    except (APIError, requests.RequestException) as error:
        status = getattr(error, "status_code", None)
        if status is None:
            said = f"{name} does not answer: {_cause(error)}"
            raise UnreachableError(said, transient=True) from error
        if status in {401, 403}:
            hint = "it wants credentials, which headers can give"
            raise AccessError(f"{name} answers {status}", hint=hint) from error
        if status == requests.codes.not_found:
            raise RequestError(f"{name} answers {status}", hint=_HINT) from error
        said = f"{name} answers {status}: {_cause(error)}"
        raise RequestError(said, transient=status in MAY_PASS) from error
    except RecursionError as error:
        raise RequestError(f"{name} gives no STAC: nested too deeply") from error
    except (pystac.STACError, ClientTypeError, json.JSONDecodeError, *unreadable) as error:  # type: ignore[misc]
        raise RequestError(f"{name} gives no STAC: {_cause(error)}", hint=_HINT) from error


def _named(url: str) -> str:
    return f"the STAC API {redact(url)}" if is_url(url) else url or "the STAC catalogue"


def _cause(error: Exception) -> str:
    """What the system says behind an error, or else the library, in one line without secrets."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return cause(error) or mask(lines[0][:300])


# How a STAC API is read with limits, whatever its pages and links say.


_PAGE_BYTES = 64 << 20
_PAGE_S = 600.0
_CONNECT_RETRIES = 5  # as pystac-client has it
_TIMEOUT_S = 60.0


class ApiIO(StacApiIO):
    """pystac-client's way to a STAC API, for one that nobody trusts.

    It connects to no forbidden address, sends the user's headers to the API's origin alone, reads
    neither endless nor enormous answers, only asks (GET and POST), and goes in no circles.

    Args:
        api: URL of the STAC API, if it has headers.
        headers: For the API alone; they may hold credentials.
    """

    def __init__(self, api: str = "", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(timeout=_TIMEOUT_S)
        self.session = _Session(api, headers or {})

    def request(self, href: str, method: str | None = None, *args: Any, **options: Any) -> str:
        """Ask, by a method that changes nothing.

        Raises:
            ValueError: A link has another method.
        """
        if method is not None and str(method).upper() not in {"GET", "POST"}:
            raise ValueError("a link to a page with a method that is neither GET nor POST")
        return str(super().request(href, method, *args, **options))

    def json_loads(self, txt: str, *_: Any, **__: Any) -> Any:
        """Parse JSON within the bounds of a page."""
        return parse_json(txt.encode(), _PAGE_BYTES)

    def get_pages(self, url: str, *args: Any, **options: Any) -> Iterator[dict[str, Any]]:
        """Yield pages, as `read_pages` does."""
        return read_pages(self, url, *args, **options)


class _Session(requests.Session):
    """Keeps the user's headers for one origin, and reads no more than a page may have."""

    def __init__(self, api: str, headers: Mapping[str, str]) -> None:
        super().__init__()
        self._origin = origin(api)
        self._own = {*headers}
        self.headers.update({"Accept-Encoding": "gzip", **headers})
        self.auth = lambda request: request  # netrc's credentials are not for a catalogue's hosts
        self.hooks["response"].append(_read)
        self.stream = True
        for scheme in ("http://", "https://"):
            self.mount(scheme, GuardedAdapter(max_retries=_CONNECT_RETRIES))

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """Send a request, which may come from a redirect."""
        if origin(request.url or "") != self._origin:
            for name in self._own:
                request.headers.pop(name, None)
        return super().send(request, **options)

    def rebuild_auth(self, *_: object) -> None:
        """Leave netrc's credentials out after a redirect, too."""


def _read(response: requests.Response, **_: Any) -> None:
    """Read an answer, unpacked, as far as a page may go; of a redirect nothing."""
    if response.is_redirect:
        dismiss(response.raw)
        content = b""
    else:
        content = read_body(response, _PAGE_BYTES, time.monotonic() + _PAGE_S)
    # So that requests does not read it, which has no limit.
    response._content = content  # noqa: SLF001
    response._content_consumed = True  # type: ignore[attr-defined]  # noqa: SLF001
