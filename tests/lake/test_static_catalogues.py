"""Items that name no collection and have relative hrefs, the whole way on a real lake."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import requests

from stac_client import StacClient, State
from stac_client._items import iter_items
from tests.items import make_item

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rucio.client import Client

    from stac_testbed import Lake

KEYS = ("red", "nir")


@pytest.fixture
def published(stac_lake: Lake, collection: str) -> Path:
    """The folder of a catalogue at an origin: a collection, and an item without links to itself."""
    folder = stac_lake.layout.data("origin-a") / collection
    item = make_item(
        None,
        "scene",
        {key: {"href": f"./{key}.tif", "roles": ["data"]} for key in KEYS},
        links=[{"rel": "collection", "href": "../alpine.json"}],
    )
    of_alps = {
        "type": "Collection",
        "id": collection,
        "stac_version": "1.1.0",
        "extent": {},
        "links": [{"rel": "item", "href": "./scene/item.json"}],
    }
    (folder / "scene").mkdir(parents=True)
    (folder / "alpine.json").write_text(json.dumps(of_alps))
    (folder / "scene" / "item.json").write_text(json.dumps(item))
    for key in KEYS:
        (folder / "scene" / f"{key}.tif").write_bytes(key.encode() * 1000)
    return folder


def from_the_web(_folder: Path, _: str, url: str) -> tuple[Any, dict[str, Any]]:
    """The catalogue by its URL, which says all."""
    return f"{url}/alpine.json", {}


def from_files(folder: Path, _: str, url: str) -> tuple[Any, dict[str, Any]]:
    """The catalogue by its path; the URL of its folder has to be given."""
    return folder / "alpine.json", {"base_url": url}


def from_a_list(folder: Path, collection: str, url: str) -> tuple[Any, dict[str, Any]]:
    """The item alone, which says nothing."""
    item = json.loads((folder / "scene" / "item.json").read_text()) | {"links": []}
    return [item], {"base_url": f"{url}/scene", "collection": collection}


@pytest.mark.parametrize("given", [from_the_web, from_files, from_a_list])
def test_the_whole_way(
    stac_lake: Lake,
    rucio: Client,
    published: Path,
    tmp_path: Path,
    given: Callable[[Path, str, str], tuple[Any, dict[str, Any]]],
) -> None:
    """They are registered, replicated, found again and downloaded, byte for byte."""
    name = published.name
    url = f"{stac_lake.layout.url('origin-a')}/{name}"
    items, options = given(published, name, url)
    client = StacClient(rucio, **options)
    assert client.plan(items, "STAC").files == 2
    registration = client.create_replicas(items, "STAC")
    registration.raise_for_failed()
    assert {str(each.did) for each in registration} == {
        f"{name}:/{name}/scene/{key}.tif" for key in KEYS
    }
    (listed,) = rucio.list_replicas([{"scope": name, "name": f"/{name}/scene/red.tif"}])
    assert listed["rses"] == {"STAC": [f"{url}/scene/red.tif"]}
    (rule,) = client.wait(client.create_replication_rules(items, "DISK-A"), timeout_s=300)
    assert (rule.state, rule.locks_ok) == ("OK", 2)
    assert {(row.rse, row.available) for row in client.replication_availability(items)} == {
        ("STAC", 2),
        ("DISK-A", 2),
    }
    (item,) = iter_items(items)
    client.modifier(item)
    downloads = client.download(items, tmp_path / "copies", rse="DISK-A")
    assert len(downloads) == 2
    for key, asset in item["assets"].items():
        content = key.encode() * 1000
        assert requests.get(asset["alternate"]["DISK-A"]["href"], timeout=60).content == content
        assert (tmp_path / "copies" / name / "scene" / f"{key}.tif").read_bytes() == content
    # What was downloaded is registered as what it was.
    again = client.create_replicas(downloads.catalogue, "STAC")
    assert {each.state for each in again} == {State.ALREADY_THERE}
    assert {each.did for each in again} == {each.did for each in registration}


def test_without_what_they_lack(rucio: Client, published: Path) -> None:
    """The reasons say what is missing, and how to give it."""
    client = StacClient(rucio)
    item = json.loads((published / "scene" / "item.json").read_text())
    (reason,) = client.plan(item, "STAC").rejected
    assert "belongs to no collection" in reason
    assert "--collection" in reason
    (reason,) = client.plan(published / "scene" / "item.json", "STAC").rejected
    assert "local file" in reason
    assert "--base-url" in reason
