"""Fixtures of tests on a running lake."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pystac_client
import pytest

from stac_client import StacClient
from stac_testbed.layout import ORIGINS

from .scene import KEYS, Scene

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pystac import ItemCollection
    from rucio.client import Client

    from stac_testbed import Lake

ASSETS = ["red", "nir", "vv", "vh", "thumbnail"]
_numbers = itertools.count(1)


@pytest.fixture
def rucio(stac_lake: Lake) -> Client:
    """A Rucio client of the account root."""
    return stac_lake.client()


@pytest.fixture
def client(rucio: Client) -> StacClient:
    """A StacClient of the account root."""
    return StacClient(rucio)


@pytest.fixture
def scenes(stac_lake: Lake) -> ItemCollection:
    """All items of the lake's catalogue, from its STAC API."""
    catalogue = pystac_client.Client.open(stac_lake.stac_url)
    return catalogue.search(collections=stac_lake.collections).item_collection()


@pytest.fixture
def collection(rucio: Client) -> str:
    """The id of a collection that no other test uses, with its scope in Rucio."""
    name = f"test-{next(_numbers)}"
    rucio.add_scope("root", name)
    return name


@pytest.fixture
def scene(stac_lake: Lake, client: StacClient, rucio: Client, collection: str) -> Iterator[Scene]:
    """A scene; in the end its originals are there, and origins were asked to read alone."""
    scene = Scene(stac_lake, client, rucio, collection)
    yield scene
    for key in KEYS:
        assert (scene.originals / f"{key}.tif").read_bytes() == scene.content(key)
    for origin in ORIGINS:
        for line in stac_lake.layout.access_log(origin).read_text().splitlines():
            assert line.split('"')[1].split()[0] in {"GET", "HEAD"}, line


@pytest.fixture
def _no_limits(rucio: Client) -> None:
    """Root without the limits that other tests have left, of which a large rule asks more."""
    for usage in rucio.get_local_account_usage("root"):
        if 0 < usage["bytes_limit"] < math.inf:
            rucio.delete_local_account_limit("root", usage["rse"])


@dataclass
class Requests:
    """The requests that a Rucio client has sent."""

    sent: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.sent)


@pytest.fixture
def requests_sent(rucio: Client) -> Iterator[Requests]:
    """Writes down the requests of `rucio`."""
    requests = Requests()

    def write_down(response: Any, **_: Any) -> None:
        requests.sent.append(f"{response.request.method} {response.request.path_url}")

    rucio.session.hooks["response"].append(write_down)
    yield requests
    rucio.session.hooks["response"].remove(write_down)
