"""STAC APIs, which may say anything: they are read with limits, and each page once."""

from __future__ import annotations

import copy
import json
import time
import warnings
from contextlib import contextmanager
from datetime import datetime, timezone
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import pystac
import requests
from pystac.utils import str_to_datetime
from pystac_client import Client
from pystac_client.errors import ClientTypeError
from pystac_client.exceptions import APIError
from pystac_client.stac_api_io import StacApiIO

from stac_client.errors import (
    AccessError,
    ConfigurationError,
    RequestError,
    UnreachableError,
    near,
    said_by,
)
from stac_policy.bodies import parse_json, read_body
from stac_policy.http import MAY_PASS, FetchError, GuardedAdapter, dismiss, origin
from stac_policy.urls import is_url, printable, redact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from pystac_client import ItemSearch

    from stac_client._partition import Partition

    Take = Callable[[Iterable[dict[str, Any]]], Iterator[dict[str, Any]]]


class ItemsWarning(UserWarning):
    """A STAC API gave fewer items than it says it has found, or none for an id.

    Or no item needs what a `StacClient` was given for items.
    """


MOST_EMPTY = 1000
"""Documents or pages in a row without an item, which no catalogue needs."""
_MOST_COLLECTIONS = 1000
"""Among which those are looked for that come near an unknown one."""
_BOUNDS = 2
_SHOWN = 5
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

    An `ItemsWarning` names the ids that no item has.

    Raises:
        ConfigurationError: The STAC API has no such collection.
    """
    wanted = search._parameters.get("collections") or ()  # noqa: SLF001 - a text in those of GET
    unseen = dict.fromkeys(wanted)
    ids = dict.fromkeys(search._parameters.get("ids") or ())  # noqa: SLF001
    came, most = 0, search._max_items  # noqa: SLF001
    for page in search.pages_as_dicts():
        for item in page["features"] if unseen or ids else ():
            fields = item if isinstance(item, dict) else {}
            unseen.pop(fields.get("collection"), None)
            ids.pop(fields.get("id"), None)
        came += len(page["features"])
        yield page
    api = search.client
    if ids and (most is None or came < most):
        shown = printable(", ".join(map(repr, islice(ids, _SHOWN))))
        more = f" and {len(ids) - _SHOWN:,} more" if len(ids) > _SHOWN else ""
        said = f"{named(search.url)} finds no item with the id {shown}{more}"
        warnings.warn(said, ItemsWarning, stacklevel=2)
    if api is None or not api.conforms_to("COLLECTIONS"):
        return
    for name in unseen:
        if not _has_collection(api, name):
            known = [each.id for each in islice(api.get_collections(), _MOST_COLLECTIONS)]
            text = f"{named(api.get_self_href() or '')} has no collection {name!r}"
            raise ConfigurationError(text, hint=near(name, known))


def cut(search: ItemSearch, part: Partition) -> tuple[ItemSearch, Take]:
    """Return a search for a part of the items, and what takes these from what it finds.

    Of a search within an interval of time that is a part of the interval, so that each part asks
    for its own pages alone; else all ask for all pages.
    """
    parameters = search._parameters  # noqa: SLF001 - there is no other way to them
    bounds = [*map(moment, str(parameters.get("datetime")).split("/"))]
    # The most items are those of all parts.
    if not part or part.is_taken or len(bounds) != _BOUNDS or search._max_items is not None:  # noqa: SLF001
        return search, part.take
    begin, end = bounds
    if begin is None or end is None:  # open
        return search, part.take
    begin, end = part.interval(begin, end)
    narrower = copy.copy(search)
    narrower._parameters = {**parameters, "datetime": f"{_text(begin)}/{_text(end)}"}  # noqa: SLF001
    after = begin if part.number > 1 else None
    until = end if part.number < part.count else None

    def take(items: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        return (item for item in items if _is_within(item, after, until))

    return narrower, take


def _is_within(item: Mapping[str, Any], after: datetime | None, until: datetime | None) -> bool:
    """Whether an item that an interval finds is of this one, and not of the one before or after.

    APIs compare either its `datetime` or its whole interval, which find one that has both where
    its `datetime` is; else it is where it begins.
    """
    properties = item.get("properties")
    said = properties if isinstance(properties, dict) else {}
    names = ("datetime", "start_datetime", "end_datetime")
    time, begin, end = (moment(said.get(name)) for name in names)
    known = [each for each in (time, begin) if each is not None]
    if after is not None and known and max(known) <= after:
        return False
    if until is None or time is None or begin is None or end is None:
        return True
    return time <= until or not begin <= time <= end


def _text(time: datetime) -> str:
    return f"{time.replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def moment(value: object) -> datetime | None:
    """Return the time that a date in an item stands for, in UTC, or None where it is none."""
    try:
        found = str_to_datetime(value)  # type: ignore[arg-type] # raises a TypeError
        # Some leave the zone out, though STAC has UTC only.
        return found.replace(tzinfo=found.tzinfo or timezone.utc).astimezone(timezone.utc)
    except (TypeError, ValueError, OverflowError):
        return None


def _has_collection(api: Client, name: str) -> bool:
    try:
        return api.get_collection(name) is not None
    except APIError as error:
        return error.status_code != int(requests.codes.not_found)


def with_guards(search: ItemSearch) -> ItemSearch:
    """Return a search that asks as another does, and looks at the pages as ours do."""
    reader = search._stac_io  # noqa: SLF001 - there is no other way to it
    guarded = copy.copy(search)
    guarded._stac_io = copy.copy(reader)  # noqa: SLF001
    guarded._stac_io.get_pages = partial(read_pages, reader)  # type: ignore[method-assign]  # noqa: SLF001
    return guarded


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
            if empty > MOST_EMPTY:
                raise pystac.STACError(f"more than {MOST_EMPTY:,} empty pages")
        if found:
            yield page
    if came < of_all:
        said = f"{named(url)} gave {came:,} of the {of_all:,} items that it says it has found"
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
    name = named(place)
    try:
        yield
    except (APIError, requests.RequestException, FetchError) as error:
        if isinstance(error.__context__, requests.TooManyRedirects):  # of pystac-client's error
            said = f"{name} gives no STAC: it redirects in circles"
            raise RequestError(said, hint=_HINT) from error
        status = getattr(error, "status_code", getattr(error, "status", None))
        if status is None and isinstance(error, FetchError) and not error.may_pass:
            raise RequestError(f"{name} gives no STAC: {error}", hint=_HINT) from error
        if status is None:
            said = f"{name} does not answer: {said_by(error)}"
            raise UnreachableError(said, transient=True) from error
        if status in {401, 403}:
            hint = "it wants credentials, which headers can give"
            raise AccessError(f"{name} answers {status}", hint=hint) from error
        if status == requests.codes.not_found:
            raise RequestError(f"{name} answers {status}", hint=_HINT) from error
        said = f"{name} answers {status}: {said_by(error)}"
        raise RequestError(said, transient=status in MAY_PASS) from error
    except RecursionError as error:
        raise RequestError(f"{name} gives no STAC: nested too deeply") from error
    except (pystac.STACError, ClientTypeError, json.JSONDecodeError, *unreadable) as error:  # type: ignore[misc]
        raise RequestError(f"{name} gives no STAC: {said_by(error)}", hint=_HINT) from error


def named(url: str) -> str:
    """Return what a STAC API or catalogue is called in errors."""
    return f"the STAC API {redact(url)}" if is_url(url) else url or "the STAC catalogue"


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
