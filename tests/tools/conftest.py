"""Fixtures of tests with tools that others wrote: replicated scenes, and who was asked for them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pystac_client
import pytest
import rasterio

from stac_client import StacClient
from stac_testbed import STORAGE_EXPRESSION
from stac_testbed.layout import ORIGINS, STORAGE_PREFIX, STORAGES
from tests.rses import add_rse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pystac import ItemCollection

    from stac_client import Modifier
    from stac_policy.naming import DID
    from stac_testbed import Layout
    from stac_testbed.lake import Lake

ITEMS = ["gotthard-20250616", "bernina-20250626"]
BANDS = ["red", "nir"]
DAVS = "DAVS"
"""An RSE with the scheme davs alone, over TLS."""

_LOG_LINE = re.compile(r'"GET (\S+\.tif)\S* HTTP/[\d.]+" 20[06] ')


@pytest.fixture(scope="session")
def client(stac_lake: Lake) -> StacClient:
    """A StacClient of the account root."""
    return StacClient(stac_lake.client())


@pytest.fixture(scope="session")
def search(stac_lake: Lake, client: StacClient) -> Callable[..., Any]:
    """Searches for the scenes; their bands are registered, and replicated to both storages."""

    def run(modifier: Modifier | None = None) -> ItemCollection:
        catalogue = pystac_client.Client.open(stac_lake.stac_url, modifier=modifier)
        return catalogue.search(ids=ITEMS).item_collection()

    registration = client.create_replicas(run(), "STAC", assets=BANDS)
    registration.raise_for_failed()
    assert len(registration.dids) == len(ITEMS) * len(BANDS)
    rules = client.create_replication_rules(registration, STORAGE_EXPRESSION, copies=2)
    (rule,) = client.wait(rules, timeout_s=300, poll_s=0.5)
    assert rule.state == "OK"
    add_davs_rse(stac_lake, registration.dids)
    return run


def add_davs_rse(lake: Lake, dids: Iterable[DID]) -> None:
    """Add an RSE whose only protocol is davs, as many have: it is the first storage again."""
    rucio = lake.client()
    protocol = {
        "scheme": "davs",
        "port": lake.layout.ports["storage-a"],
        "prefix": STORAGE_PREFIX,
        "impl": "rucio.rse.protocols.gfal.Default",
    }
    add_rse(rucio, DAVS, protocol, lfn2pfn_algorithm="stac")
    files = [
        {key: file[key] for key in ("scope", "name", "bytes", "adler32") if file[key]}
        for file in rucio.list_replicas([did._asdict() for did in dids])
    ]
    rucio.add_replicas(DAVS, files)


class Reads:
    """Who was asked for the bytes of scenes, as the services themselves have logged it."""

    def __init__(self, layout: Layout) -> None:
        """Begin to look at the services of a lake."""
        self._logs = {name: layout.access_log(name) for name in (*ORIGINS, *STORAGES)}
        self._seen = self._paths()

    def services(self) -> set[str]:
        """Give those that were asked since this was last called."""
        paths = self._paths()
        new = {name for name in paths if len(paths[name]) > len(self._seen[name])}
        self._seen = paths
        return new

    def _paths(self) -> dict[str, list[str]]:
        return {name: _LOG_LINE.findall(log.read_text()) for name, log in self._logs.items()}


@pytest.fixture
def reads(search: Callable[..., Any], stac_lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Reads:  # noqa: ARG001 - replication reads, too
    """Tells whose bytes a tool has read; nothing is served by GDAL's own cache."""
    monkeypatch.setenv("CPL_VSIL_CURL_NON_CACHED", "/vsicurl/")
    return Reads(stac_lake.layout)


@pytest.fixture(scope="session")
def scene_files(stac_lake: Lake) -> dict[Any, Any]:
    """The red bands of the scenes on the disk of their origin, by item."""
    origin = stac_lake.layout.data("origin-a")
    return {item: origin / "alpine-optical" / item / "red.tif" for item in ITEMS}


@pytest.fixture(scope="session")
def pixels(scene_files: dict[Any, Any]) -> dict[Any, Any]:
    """The pixels of the red bands by item."""
    found = {}
    for item, path in scene_files.items():
        with rasterio.open(path) as file:
            found[item] = file.read(1)
    return found
