"""The scenarios that only read: searches with the modifier, and a STAC API with copies."""

from __future__ import annotations

import http.client
import json

import pystac_client

from stac_client import StacRucioError
from tests.serving.front import running_front

from .check import Wrong
from .scenario import IMPATIENT_S, PATIENT_S, Scenario

SERVED = "faults-served"
"""The scope of copies that are there since the beginning."""


class Modifier(Scenario):
    """A search with the modifier; strict, so that nothing is swallowed."""

    timeout_s = IMPATIENT_S

    def be_patient(self):
        """Leave the server the time that it needs."""
        self.timeout_s = PATIENT_S

    def prepare(self):
        """Make the modifier; the copies are there since the beginning."""
        self.stac = self.client(SERVED)
        self.originals = served_items(self.bed.lake)
        self.replicas = self.bed.rucio.replicas(SERVED, served_names(self.originals))

    def act(self):
        """Search."""
        modifier = self.stac.modifier(strict=True, timeout_s=self.timeout_s, cache_s=0)
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

    def check(self, result, *, whole):  # noqa: ARG002 - the same in both
        """Each replica is an alternate, and nothing else is."""
        if result is not None:
            check_items(result, self.originals, self.replicas, annotated=True)
            if {item["id"] for item in result} != set(self.originals):
                raise Wrong(f"{len(result)} items of {len(self.originals)}")


def served_items(lake):
    """The lake's optical scenes by id, of which there are copies in the scope `SERVED`."""
    items = json.loads(lake.layout.items_file.read_text())["features"]
    return {item["id"]: item for item in items if item["collection"] == "alpine-optical"}


def served_names(ids):
    """The names of the files of optical scenes."""
    return [f"/alpine-optical/{item}/{key}.tif" for item in ids for key in ("red", "nir")]


def check_items(items, originals, replicas, *, annotated):
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

    def act(self):
        """Ask for the first two pages, as any client does."""
        modifier = self.stac.modifier(strict=True, timeout_s=self.timeout_s, cache_s=0)
        body = json.dumps({"collections": ["alpine-optical"], "limit": 6}).encode()
        requests = (
            ("/search", "POST", {"Content-Type": "application/json"}, body),
            ("/search?ids=ortler-20250711",),
            ("/collections/alpine-optical/items?limit=4",),
        )
        asked = []
        with running_front(self.run.api.url, modifier, timeout_s=self.timeout_s + 1) as front:
            for request in requests:
                try:
                    asked.append(front.ask(*request))
                except http.client.IncompleteRead:  # it broke off, and that can be seen
                    asked.append(None)
        return asked

    def check(self, result, *, whole):
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


READING = {"modifier": Modifier, "serve": Serve}
