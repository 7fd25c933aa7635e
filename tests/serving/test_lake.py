"""The served API in front of the lake's, with its Rucio, for clients that know of neither."""

from __future__ import annotations

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pystac_client
import pytest
import requests

from stac_client import ALTERNATE_ASSETS, StacClient
from stac_client._public_urls import PUBLIC
from stac_testbed.processes import free_ports

from .copies import COPIED, DISK_A, DISK_B, copy_items
from .proxy import running_proxy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stac_testbed.lake import Lake


AREA = '{"type":"Polygon","coordinates":[[[5,44],[14,44],[14,49],[5,49],[5,44]]]}'


@pytest.fixture(scope="module")
def near(stac_lake: Lake) -> Iterator[str]:
    """The served API, after some items have been copied to all storages."""
    client = copy_items(stac_lake)
    with running_proxy(stac_lake.stac_url, client.modifier.with_options(strict=True)) as proxy:
        yield proxy.url


def without_alternates(item: Any, near_url: str, api_url: str) -> tuple[Any, dict[Any, Any]]:
    """An item of the served API as the upstream API gives it, and the replicas that it had."""
    replicas = {}
    for key, asset in item["assets"].items():
        name, others = asset.pop("alternate:name", None), asset.pop("alternate", {})
        replicas[key] = {name, *others} - {None}
    item["stac_extensions"] = [uri for uri in item["stac_extensions"] if uri != ALTERNATE_ASSETS]
    for link in item["links"]:
        assert not link["href"].startswith(api_url)
        link["href"] = link["href"].replace(near_url, api_url)
    return item, replicas


@pytest.fixture
def public(stac_lake: Lake) -> Iterator[str]:
    """An RSE that anybody may read."""
    rucio = stac_lake.client()
    rucio.add_rse_attribute(DISK_B, PUBLIC, "true")
    yield DISK_B
    rucio.delete_rse_attribute(DISK_B, PUBLIC)


RED = f"/collections/alpine-optical/items/{COPIED[0]}/assets/red"


def test_redirects(stac_lake: Lake, public: str) -> None:
    """An asset's URL leads to the best copy that anybody may read, and without one to the original.

    What is preferred comes first, if anybody may read it.
    """
    (item,) = pystac_client.Client.open(stac_lake.stac_url).search(ids=COPIED[0]).items_as_dicts()
    original = item["assets"]["red"]["href"]
    copies = copy_items(stac_lake).modifier.with_options(strict=True)
    copies(item)
    by_rse = {key: each["href"] for key, each in item["assets"]["red"]["alternate"].items()}
    with running_proxy(stac_lake.stac_url, copies) as proxy:

        def led_to(query: str = "", key: str = "red") -> str | None:
            got = requests.head(f"{proxy.url}{RED.removesuffix('red')}{key}{query}", timeout=10)
            assert got.status_code == 307
            return got.headers["location"]

        assert led_to() == led_to(f"?prefer={DISK_A}") == by_rse[public]
        assert led_to("?prefer=STAC") == led_to(f"?prefer={DISK_A},STAC") == original
        assert led_to(key="thumbnail") == item["assets"]["thumbnail"]["href"]
        got = requests.get(f"{proxy.url}{RED}?prefer=DISK", timeout=10)
        assert (got.status_code, got.json()["code"]) == (400, "BadRequest")
        bodies = {
            requests.get(f"{proxy.url}{RED}{query}", timeout=10).content
            for query in ("", "?prefer=STAC")
        }
        assert len(bodies) == 1
        # As a process: within this one, GDAL would keep the server from answering.
        code = "import rasterio, sys; print(rasterio.open(sys.argv[1]).read(1).any())"
        command = [sys.executable, "-c", code, f"/vsicurl/{proxy.url}{RED}"]
        read = subprocess.run(command, capture_output=True, timeout=60, check=True)  # noqa: S603 - this
        assert read.stdout == b"True\n"
    rucio = stac_lake.client()
    rucio.add_rse_attribute(DISK_A, "site", "ALPS")
    copies.clear()
    try:
        with running_proxy(stac_lake.stac_url, copies.with_options(site="ALPS")) as proxy:
            found = requests.get(
                f"{proxy.url}{RED.partition('/assets')[0]}?prefer=nearest", timeout=10
            ).json()
            assert found["assets"]["red"]["href"] == by_rse[DISK_A]
            got = requests.head(f"{proxy.url}{RED}?prefer=nearest", timeout=10)
            assert got.headers["location"] == by_rse[public]
        with running_proxy(stac_lake.stac_url, copies.with_options(site="ALP")) as proxy:
            got = requests.get(f"{proxy.url}{RED}?prefer=nearest", timeout=10)
            assert got.status_code == 400
            assert "near it: ALPS" in got.json()["description"]
    finally:
        rucio.delete_rse_attribute(DISK_A, "site")
    gateway = {by_rse[DISK_A].rpartition("/")[0]: "https://gateway.example.org/disk"}
    with running_proxy(stac_lake.stac_url, copies.with_options(mounts=gateway)) as proxy:
        got = requests.head(f"{proxy.url}{RED}?prefer={DISK_A}", timeout=10)
        assert got.headers["location"] == "https://gateway.example.org/disk/red.tif"


def test_redirects_without_public_copies(near: str, stac_lake: Lake) -> None:
    """Copies that anybody else may not read are passed over."""
    (item,) = pystac_client.Client.open(stac_lake.stac_url).search(ids=COPIED[0]).items_as_dicts()
    got = requests.get(f"{near}{RED}?prefer={DISK_A}", timeout=10)
    assert [each.headers["location"] for each in got.history] == [item["assets"]["red"]["href"]]
    assert got.ok


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_search(near: str, stac_lake: Lake, method: str) -> None:
    """All pages of a search hold what those of the upstream API do, and the replicas."""
    wanted: dict[str, Any] = {"method": method, "limit": 5}
    direct = pystac_client.Client.open(stac_lake.stac_url).search(**wanted).items_as_dicts()
    search = pystac_client.Client.open(near).search(**wanted)
    pages = list(search.pages_as_dicts())
    assert [len(page["features"]) for page in pages] == [5, 5, 5, 5, 4]
    items = [
        without_alternates(item, near, stac_lake.stac_url)
        for page in pages
        for item in page["features"]
    ]
    assert [item for item, _ in items] == list(direct)
    for item, replicas in items:
        if item["id"] in COPIED:
            bands = {key: found for key, found in replicas.items() if key != "thumbnail"}
            assert set(map(frozenset, bands.values())) == {frozenset({"STAC", DISK_A, DISK_B})}


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_prefer_on_all_pages(near: str, method: str) -> None:
    """A client that prefers an RSE gets its copies as hrefs, on the last page too."""
    catalogue = pystac_client.Client.open(near, parameters={"prefer": DISK_B})
    items = list(catalogue.search(method=method, limit=4).items())
    found = [item for item in items if item.id in COPIED]
    assert (len(items), len(found)) == (24, 2)
    for item in found:
        for key, asset in item.assets.items():
            if key == "thumbnail":
                continue
            assert asset.extra_fields["alternate:name"] == DISK_B
            assert set(asset.extra_fields["alternate"]) == {"STAC", DISK_A}
    band = found[0].assets["red" if "red" in found[0].assets else "vv"]
    source = band.extra_fields["alternate"]["STAC"]["href"]
    near_bytes, far_bytes = (requests.get(href, timeout=10).content for href in (band.href, source))
    assert near_bytes == far_bytes


def test_walking(near: str, stac_lake: Lake) -> None:
    """Collections, their items and single items lead to each other, never to the upstream API."""
    catalogue = pystac_client.Client.open(near)
    collections = list(catalogue.get_collections())
    assert [collection.id for collection in collections] == stac_lake.collections
    found = catalogue.get_collection("alpine-optical")
    assert found is not None
    item = found.get_item(COPIED[0])
    assert item is not None
    assert set(item.assets["red"].extra_fields["alternate"]) == {DISK_A, DISK_B}
    assert item.get_self_href() == f"{near}/collections/alpine-optical/items/{COPIED[0]}"
    collection, parent = item.get_collection(), item.get_parent()
    assert collection is not None
    assert collection.get_self_href() == f"{near}/collections/alpine-optical"
    assert parent is not None
    assert parent.id == "alpine-optical"
    assert len(list(collections[1].get_items())) == 12


@pytest.mark.parametrize("path", ["/conformance", "/queryables", "/api", "/api.html", "/nothing"])
def test_documents(near: str, stac_lake: Lake, path: str) -> None:
    """What holds neither items nor links is the same, byte by byte."""
    here, there = (requests.get(f"{url}{path}", timeout=10) for url in (near, stac_lake.stac_url))
    assert (here.status_code, here.content) == (there.status_code, there.content)
    assert here.headers.get("content-type") == there.headers.get("content-type")


def test_no_item(near: str) -> None:
    """An item that is not there is an error of the upstream API."""
    url = f"{near}/collections/alpine-optical/items/none"
    assert requests.get(url, timeout=10).status_code == 404


def test_rucio_down(stac_lake: Lake) -> None:
    """Where Rucio does not answer, items come as they are, and say so."""
    rucio = stac_lake.client()
    (port,) = free_ports(1)
    rucio.list_hosts = [f"http://127.0.0.1:{port}"]
    direct = requests.get(f"{stac_lake.stac_url}/search", timeout=10).json()["features"]
    modifier = StacClient(rucio).modifier.with_options(strict=True)
    with running_proxy(stac_lake.stac_url, modifier) as proxy:
        got = requests.get(f"{proxy.url}/search", timeout=20)
        items = [
            without_alternates(item, proxy.url, stac_lake.stac_url)[0]
            for item in got.json()["features"]
        ]
    assert got.headers["stac-rucio-warning"] == "no alternates: Rucio does not answer"
    assert items == direct


@pytest.mark.parametrize(
    "wanted", ["%26%26", "rse_type%3DNOPE", "(", "a%3Db%7C", "%5C*", "*%3D1", "tier%3Dnone", "DISK"]
)
def test_prefer_that_names_no_rse(near: str, wanted: str) -> None:
    """What Rucio cannot read, or names no RSE, is its client's error, and nobody else's."""
    url = f"{near}/search?ids={COPIED[0]}"
    got = requests.get(f"{url}&prefer={wanted}", timeout=10)
    assert (got.status_code, got.json()["code"]) == (400, "BadRequest")
    for prefer in ("", f"&prefer={DISK_B}"):
        got = requests.get(url + prefer, timeout=10)
        assert "stac-rucio-warning" not in got.headers
        assert set(got.json()["features"][0]["assets"]["red"]["alternate"]) >= {DISK_A}


def test_validator(near: str, stac_lake: Lake) -> None:
    """The STAC API Validator finds nothing here that it does not find in the upstream API."""
    with ThreadPoolExecutor() as executor:
        there, here = executor.map(_validate, (stac_lake.stac_url, near))
    assert here == there
    assert "Validating STAC API - Item Search conformance class." in here


def _validate(url: Any) -> str:
    """What the validator says of an API, without what differs from run to run."""
    command = [
        str(Path(sys.executable).with_name("stac-api-validator")),
        f"--root-url={url}",
        *(f"--conformance={name}" for name in ("core", "collections", "features", "item-search")),
        "--collection=alpine-optical",
        f"--geometry={AREA}",
        "--validate-pagination",
    ]
    result = subprocess.run(  # noqa: S603 - a tool of the environment
        command, capture_output=True, text=True, timeout=120, check=False
    )
    said = (result.stdout + result.stderr).replace(url, "URL")
    return re.sub(r"0x[0-9a-f]+", "0x", said)
