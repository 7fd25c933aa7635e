"""The scenarios that only read: searches with the modifier, and a STAC API with copies."""

from __future__ import annotations

import http.client
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pystac_client
from pystac_client.stac_api_io import StacApiIO

from stac_client import StacRucioError
from tests.serving.proxy import Got, running_proxy

from .check import Wrong
from .scenario import IMPATIENT_S, PATIENT_S, Scenario

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


SERVED = "faults-served"
"""The scope of copies that are there since the beginning."""


class Modifier(Scenario):
    """A search with the modifier; strict, so that nothing is swallowed."""

    def be_patient(self) -> None:
        """Leave the server the time that it needs."""
        self.timeout_s = PATIENT_S

    def prepare(self) -> None:
        """Make the client; the copies are there since the beginning."""
        self.timeout_s = IMPATIENT_S if self.plan.is_endless else PATIENT_S
        self.stac = self.client(SERVED)
        self.originals = served_items(self.bed.lake)
        self.replicas = self.bed.rucio.replicas(SERVED, served_names(self.originals))

    def modifier(self) -> Any:
        """A modifier that remembers neither answers nor failures."""
        modifier = self.stac.modifier.with_options(strict=True, timeout_s=self.timeout_s, cache_s=0)
        modifier.clear()
        return modifier

    def act(self) -> list[Any]:
        """Search."""
        modifier = self.modifier()
        try:
            api = pystac_client.Client.open(self.run.api.url, modifier=modifier)
            search = api.search(collections=["alpine-optical"], limit=6)
            return [item.to_dict() for item in search.items()]
        except StacRucioError:
            raise
        except Exception as error:  # pystac-client's own
            if self.plan.target == "rucio":
                raise
            raise StacRucioError(str(error)) from error

    def check(self, result: Any, *, whole: Any) -> None:  # noqa: ARG002 - the same in both
        """Each replica is an alternate, and nothing else is."""
        if result is not None:
            check_search(result, self.originals, self.replicas, annotated=True)


def served_items(lake: Any) -> dict[Any, Any]:
    """The lake's optical scenes by id, of which there are copies in the scope `SERVED`."""
    items = json.loads(lake.layout.items_file.read_text())["features"]
    return {item["id"]: item for item in items if item["collection"] == "alpine-optical"}


def served_names(ids: dict[Any, Any]) -> list[Any]:
    """The names of the files of optical scenes."""
    return [f"/alpine-optical/{item}/{key}.tif" for item in ids for key in ("red", "nir")]


def check_search(items: Any, originals: dict[Any, Any], replicas: Any, *, annotated: Any) -> None:
    """See that a search gave each item once; the arguments are those of `check_items`."""
    check_items(items, originals, replicas, annotated=annotated)
    if (ids := sorted(item["id"] for item in items)) != sorted(originals):
        raise Wrong(f"the search gave {ids}, not {sorted(originals)}")


def check_items(items: Any, originals: dict[Any, Any], replicas: Any, *, annotated: Any) -> None:
    """Compare the assets of items with the replicas that Rucio has.

    Args:
        items: The items as they came.
        originals: Those of the catalogue, by id.
        replicas: What Rucio lists, by name.
        annotated: Whether each replica must be there, and not only nothing else.
    """
    for item in items:
        for key, asset in item["assets"].items():
            original = originals[item["id"]]["assets"][key]["href"]
            entry = replicas.get(f"/{item['collection']}/{item['id']}/{key}.tif", {"rses": {}})
            pfns = {pfn for of_rse in entry["rses"].values() for pfn in of_rse}
            places = asset.get("alternate", {}).values()
            hrefs = {asset["href"], *(place["href"] for place in places)}
            allowed = {original, *pfns}
            if hrefs - allowed or (annotated and allowed - hrefs):
                raise Wrong(f"{item['id']} {key}: {hrefs} instead of {allowed}")


class Serve(Modifier):
    """A STAC API with copies, in front of the lake's."""

    def front(self) -> AbstractContextManager[Any]:
        """The running API; Rucio and the upstream API have as much time as the modifier."""
        limits = {"timeout_s": self.timeout_s + 1, "rucio_timeout_s": self.timeout_s + 1}
        return running_proxy(self.run.api.url, self.modifier(), **limits)

    def act(self) -> list[Got | None]:
        """Ask for some pages, and look at the bare answers."""
        body = json.dumps({"collections": ["alpine-optical"], "limit": 6}).encode()
        requests = (
            ("POST", "/search", body, {"Content-Type": "application/json"}),
            ("GET", "/search?ids=ortler-20250711"),
            ("GET", "/collections/alpine-optical/items?limit=4"),
        )
        asked: list[Got | None] = []
        with self.front() as front:
            for request in requests:
                try:
                    asked.append(_got(front.url, request))
                except http.client.IncompleteRead:  # it broke off, and that can be seen
                    asked.append(None)
        return asked

    def check(self, result: Any, *, whole: Any) -> None:
        """An answer is whole, or says what is amiss; never a wrong or half a page."""
        for got in result:
            if got is None:
                if whole:
                    raise Wrong("an answer broke off without a fault")
                continue
            warning = got.header("stac-rucio-warning")
            if got.status >= 400:
                if whole:
                    raise Wrong(f"HTTP {got.status} without a fault: {got.body[:200]}")
                continue
            if whole and warning:
                raise Wrong(f"a warning without a fault: {warning}")
            if warning and "no JSON" in warning:
                continue  # half a page that came as a whole one
            items = got.json()["features"]
            check_items(items, self.originals, self.replicas, annotated=not warning)


def _got(url: Any, request: tuple[Any, ...]) -> Got:
    """What comes back, however long it takes a machine that is busy."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=2 * PATIENT_S)
    try:
        connection.request(*request)
        response = connection.getresponse()
        return Got(response.status, response.getheaders(), response.read())
    finally:
        connection.close()


class Browse(Serve):
    """A search page by page through a STAC API with copies, by a client that knows of nothing."""

    def act(self) -> list[Any]:
        """Search."""
        with self.front() as front:
            try:
                # It asks again by itself, but here only once: it would take its time.
                patience = StacApiIO(max_retries=1, timeout=2 * self.timeout_s + 5)
                api = pystac_client.Client.open(front.url, stac_io=patience)
                search = api.search(collections=["alpine-optical"], limit=3)
                return [item.to_dict() for item in search.items()]
            except Exception as error:  # pystac-client's own: the client sees that it broke off
                raise StacRucioError(str(error) or type(error).__name__) from error

    def check(self, result: Any, *, whole: Any) -> None:
        """A search that comes to its end has each item once, and all copies if all is well."""
        if result is not None:
            check_search(result, self.originals, self.replicas, annotated=whole)


READING = {"modifier": Modifier, "serve": Serve, "browse": Browse}
