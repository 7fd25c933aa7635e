"""Of which collection an item is, and where it lies, as far as it does not say so itself.

The collection of an item without one is what its `collection` link leads to, by the link
itself where it is that of a STAC API and else by the `id` in the document there, or what
`properties.collection` says; and otherwise the one that the user gives. It is never told
from a title or from the name of a file. Relative hrefs start at the item's own URL, or
where it was read, or at the URL that the user gives.
"""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urljoin, urlsplit

from stac_client.errors import ConfigurationError
from stac_policy import bodies, http
from stac_policy.urls import absolute, is_url, item_url, link_href, redact

if TYPE_CHECKING:
    from collections.abc import Mapping

_API_LINK = re.compile(r"(?:^|/)collections/([^/?#]+)/?(?:[?#]|$)")
_DOCUMENT = (".json", ".geojson")
_DOCUMENT_BYTES = 64 << 20
_DOCUMENT_S = 60.0
_MOST_DOCUMENTS = 10_000
_SLOW_S = 10.0  # so long no host needs to say that it has no such document
_MOST_SILENCE = 3  # documents that a host has not given, though it might have
NO_COLLECTION = "the item belongs to no collection, which its name needs"
_ADVICE = "give one with collection= (--collection)"


class PlacedItem(dict[str, Any]):
    """An item with the place it was read from."""

    def __init__(self, item: Mapping[str, Any], place: str, start: str = "") -> None:
        super().__init__(item)
        self.place = place
        """URL or path of its document."""
        self.start = start or place
        """Path of the document that reading began with."""


class CompleteItem(dict[str, Any]):
    """An item whose collection, and what its relative hrefs start at, were looked for."""

    reason = ""
    """Why it has no collection."""


@dataclass
class Completion:
    """Completes items, and remembers what it has read for that."""

    collection: str | None = None
    """Collection of the items that name none."""
    base_url: str | None = None
    """URL of the folder that relative hrefs start at where an item has no URL; of a catalogue
    in files, that of the folder of the file that reading begins with."""
    offline: bool = False
    """Whether nothing is asked of any server."""
    unneeded: set[str] = field(default_factory=set, init=False, repr=False)
    """Which of these two no item has needed yet."""
    _ids: dict[str, str] = field(default_factory=dict, repr=False)
    _failures: dict[str, str] = field(default_factory=dict, repr=False)
    _silent: Counter[str] = field(default_factory=Counter, repr=False)

    def __post_init__(self) -> None:
        if self.collection is not None and not (
            self.collection and isinstance(self.collection, str)
        ):
            raise ConfigurationError(f"collection is {self.collection!r}, and no id of one")
        if self.base_url is not None:
            if not (isinstance(self.base_url, str) and is_url(self.base_url)):
                raise ConfigurationError(
                    f"base_url is {redact(str(self.base_url))}, and not a URL of a web server"
                )
            if not self.base_url.endswith(("/", *_DOCUMENT)):
                self.base_url += "/"
        given = {"collection": self.collection, "base_url": self.base_url}
        self.unneeded = {name for name, value in given.items() if value is not None}

    def forgive(self) -> None:
        """Forget what could not be read, so that it is tried again."""
        self._failures.clear()
        self._silent.clear()

    def complete(self, item: dict[str, Any]) -> dict[str, Any]:
        """Return an item with a collection, and with a link that its relative hrefs start at.

        What is complete, or nothing is known of, comes back as it is.
        """
        named = item.get("collection")
        if named and self.base_url is None and type(item) is dict:
            return item  # as most are
        if isinstance(item, CompleteItem) or item.get("type") != "Feature":
            return item
        found = CompleteItem(item)
        place = str(getattr(item, "place", ""))
        base = item_url(item, place)
        if self.base_url is not None and not is_url(base):
            self.unneeded.discard("base_url")
            base = self._url_of(place, item) if place else self.base_url
            found["assets"] = self._published(item.get("assets"), item)
        if base and base != link_href(item):
            links = item.get("links")
            own = {"rel": "self", "href": base}
            found["links"] = [own, *(links if isinstance(links, list) else ())]
        if not named:
            name, found.reason = self.collection_of(item, place)
            found.update({"collection": name} if name else {})
        return found

    def _url_of(self, path: str, item: Mapping[str, Any]) -> str:
        """The URL of a file of the catalogue that an item is from."""
        return urljoin(str(self.base_url), quote(os.path.relpath(path, _folder(item))))

    def _published(self, assets: Any, item: Mapping[str, Any]) -> Any:
        """The assets of an item; their files in the folder of its catalogue have URLs."""
        if not isinstance(assets, dict):
            return assets
        return {key: self._published_asset(fields, item) for key, fields in assets.items()}

    def _published_asset(self, fields: Any, item: Mapping[str, Any]) -> Any:
        href = fields.get("href") if isinstance(fields, dict) else None
        if not isinstance(href, str) or not re.match("/(?!/)|file:/", href):
            return fields
        path = unquote(urlsplit(href).path) if href.startswith("file:") else href
        if Path(os.path.normpath(path)).is_relative_to(_folder(item)):
            return {**fields, "href": self._url_of(path, item)}
        # As it is, it would be taken for a path of the server.
        return {**fields, "href": f"file://{quote(path)}"}

    def collection_of(self, item: Mapping[str, Any], place: str = "") -> tuple[str | None, str]:
        """Return the collection of an item that names none, or why it is not known.

        Args:
            item: The item.
            place: URL or path of the document that it was read from. Only beside such a path
                are collections read from files.
        """
        base = item_url(item, place) or self.base_url or ""
        said: dict[str, str] = {}
        problem = ""
        for rel in ("collection", "parent"):
            href = link_href(item, rel)
            url = absolute(href, base) if is_url(base) else href
            link = _API_LINK.search(url)
            if link and not link[1].endswith(_DOCUMENT):
                said[f"its {rel} link"] = unquote(link[1])
            elif url and rel == "collection":
                found, problem = self._id_at(url, place)
                if found:
                    said["the document of its collection link"] = found
        properties = item.get("properties")
        property_ = properties.get("collection") if isinstance(properties, dict) else None
        if property_ and isinstance(property_, str):
            said["its properties.collection"] = property_
        if len({*said.values()}) > 1:
            each = ", ".join(f"{where} says {name!r}" for where, name in said.items())
            return None, f"the item's collection is not clear: {each}"
        name = next(iter(said.values()), self.collection)
        if not said:
            self.unneeded.discard("collection")
        if name:
            return name, ""
        return None, "; ".join(filter(None, [NO_COLLECTION, problem, _ADVICE]))

    def _id_at(self, url: str, place: str) -> tuple[str, str]:
        """The id of the collection in a document, or why it cannot be had."""
        if is_url(url):
            if self.offline and url not in self._ids:
                return "", f"its collection link {redact(url)} was not followed"
        elif not place or is_url(place) or url.startswith("/") or ":" in url.partition("/")[0]:
            return "", ""
        else:
            url = str(Path(place).parent / unquote(url))
        if url not in self._ids and url not in self._failures:
            if len(self._ids) + len(self._failures) > _MOST_DOCUMENTS:
                self._ids.clear()
                self._failures.clear()
            # Without the user that a URL may name, who may be another in each.
            host, said = "".join(url.split("/", 3)[2:3]).rpartition("@")[2].lower(), ""
            began_s = time.monotonic()
            if self._silent[host] >= _MOST_SILENCE:
                said = "its host is not asked any more, as it gives nothing"
            else:
                try:
                    self._ids[url] = _id_in(_read(url))
                except (http.FetchError, OSError, ValueError) as error:
                    is_slow = time.monotonic() - began_s > _SLOW_S
                    self._silent[host] += is_slow or getattr(error, "may_pass", False)
                    said = getattr(error, "strerror", "") or str(error)
            if said:
                self._failures[url] = f"its collection link {redact(url)}: {said}"
        return self._ids.get(url, ""), self._failures.get(url, "")


def _folder(item: Mapping[str, Any]) -> Path:
    """The folder of the file that reading began with; one that holds nothing if it was none."""
    start = str(getattr(item, "start", ""))
    return Path(start).absolute().parent if start else Path(os.devnull)


def _read(url: str) -> Any:
    """Read a document from a server or a file.

    Raises:
        FetchError: The server does not give it, or it is none.
        OSError: The file cannot be read.
    """
    if not is_url(url):
        path = Path(url)
        if not path.is_file() or path.stat().st_size > _DOCUMENT_BYTES:
            raise http.FetchError("there is no such file")
        return bodies.parse_json(path.read_bytes(), _DOCUMENT_BYTES)
    until_s = time.monotonic() + _DOCUMENT_S

    def ask() -> Any:
        with http.open_url(session, url, headers={"Accept-Encoding": "gzip"}) as response:
            return bodies.read_json(response, _DOCUMENT_BYTES, until_s)

    with http.make_session() as session:
        return http.persistently(ask, http.Attempts(until_s=until_s))


def _id_in(document: Any) -> str:
    """The id of a collection.

    Raises:
        FetchError: It is none.
    """
    found = document.get("id") if isinstance(document, dict) else None
    # Before version 1.0 of STAC, collections had no type.
    if not (
        found
        and isinstance(found, str)
        and document.get("type", "Collection") == "Collection"
        and ("extent" in document or "type" in document)
    ):
        raise http.FetchError("it is no collection of STAC")
    return found
