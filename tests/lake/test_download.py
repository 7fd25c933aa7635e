"""Downloads from a real lake: from its storages and origins, as a catalogue that others read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pystac
import pystac_client
import pytest
import rasterio
import requests

from stac_client import StacClient
from stac_client._parts import Part
from stac_client._results import State
from stac_testbed import STORAGE_RSES
from tests.items import make_asset, make_item

if TYPE_CHECKING:
    from collections.abc import Callable

    from rucio.client import Client

    from stac_client._results import DownloadOutcome
    from stac_testbed.lake import Lake
    from tests.lake.conftest import Requests


STORAGES = {rse: service for service, rse in STORAGE_RSES.items()}
ORIGINS = ("origin-a", "origin-b")
DOWNLOADED, ALREADY_THERE = State.DOWNLOADED, State.ALREADY_THERE


@pytest.fixture(scope="module")
def replicated(stac_lake: Lake) -> pystac.ItemCollection:
    """An item of each collection, registered, with one copy at each storage."""
    client = StacClient(stac_lake.client())
    search = pystac_client.Client.open(stac_lake.stac_url).search(
        ids=["gotthard-20250616", "gotthard-20250618"]
    )
    items = search.item_collection()
    registration = client.create_replicas(items, "STAC")
    registration.raise_for_failed()
    rules = client.create_replication_rules(registration, "tier=disk", copies=2)
    (rule,) = client.wait(rules, timeout_s=300, poll_s=0.5)
    assert (rule.state, rule.locks_ok) == ("OK", 8)
    return items


@pytest.fixture
def requests_of(stac_lake: Lake) -> Callable[..., Any]:
    """Gives path and status of each GET that a service has answered since this test began."""
    services = [*STORAGES.values(), *ORIGINS]
    logs = {service: stac_lake.layout.access_log(service) for service in services}
    before = {service: len(log.read_text()) for service, log in logs.items()}

    def requests_of(service: Any) -> list[Any]:
        lines = logs[service].read_text()[before[service] :].splitlines()
        gets = [line.split('"GET ', 1)[1].split() for line in lines if '"GET ' in line]
        return [(path, int(status)) for path, _, status, *_ in gets]

    return requests_of


def original(items: pystac.ItemCollection, outcome: DownloadOutcome) -> bytes:
    """The original bytes of an asset."""
    (item,) = [item for item in items if item.id == outcome.item]
    return requests.get(item.assets[outcome.key].href, timeout=60).content


@pytest.mark.parametrize("rse", STORAGES)
def test_a_chosen_rse(
    replicated: pystac.ItemCollection,
    rucio: Client,
    tmp_path: Path,
    requests_of: Callable[..., Any],
    rse: str,
) -> None:
    """All files come from the chosen RSE, as its access log shows, and are the originals."""
    downloads = StacClient(rucio).download(replicated, tmp_path, rse=rse)
    assert downloads.counts == {DOWNLOADED: 4, State.SKIPPED: 2}
    there = downloads.by_state(DOWNLOADED)
    paths = sorted(urlsplit(outcome.url).path for outcome in there)
    assert sorted(requests_of(STORAGES[rse])) == [(path, 200) for path in paths]
    (other,) = set(STORAGES) - {rse}
    assert [requests_of(service) for service in (STORAGES[other], *ORIGINS)] == [[], [], []]
    for outcome in there:
        assert outcome.rse == rse
        assert outcome.path is not None
        assert outcome.path.read_bytes() == original(replicated, outcome)
    names = [str(path.relative_to(tmp_path)) for path in downloads.paths]
    assert "alpine-optical/gotthard-20250616/red.tif" in names


def test_the_best_replica(
    replicated: pystac.ItemCollection,
    rucio: Client,
    tmp_path: Path,
    requests_of: Callable[..., Any],
) -> None:
    """Copies spare the origins: without an RSE, all files come from the storages."""
    downloads = StacClient(rucio).download(replicated, tmp_path)
    assert {outcome.rse for outcome in downloads.by_state(DOWNLOADED)} <= set(STORAGES)
    assert [requests_of(service) for service in ORIGINS] == [[], []]


@pytest.mark.parametrize("rse", [*STORAGES, "STAC"])
def test_what_a_killed_run_left(
    replicated: pystac.ItemCollection,
    rucio: Client,
    tmp_path: Path,
    requests_of: Callable[..., Any],
    rse: Any,
) -> None:
    """Storages and origins give the rest of a file whose first half is there."""
    (first, *_) = StacClient(rucio).download(replicated, tmp_path, rse=rse)
    assert first.path is not None
    assert first.url is not None
    body = first.path.read_bytes()
    first.path.unlink()
    part = Part(first.path)
    part.restart(first.url, requests.head(first.url, timeout=60).headers["ETag"])
    for start in (0, 500):  # after one piece it would not be gone on with
        part.write(body[start : start + 500])
    part.close()
    (again, *_) = StacClient(rucio).download(replicated, tmp_path, rse=rse)
    assert again.state is DOWNLOADED
    assert again.path == first.path
    assert first.path.read_bytes() == body
    path = urlsplit(first.url).path
    service = STORAGES.get(rse, "origin-a")
    answers = [status for asked, status in requests_of(service) if asked == path]
    assert answers == [200, 206]


def test_a_wrong_file(
    replicated: pystac.ItemCollection,
    rucio: Client,
    tmp_path: Path,
    requests_of: Callable[..., Any],
) -> None:
    """Only a file that is wrong is fetched again."""
    (first, *_) = StacClient(rucio).download(replicated, tmp_path, rse="DISK-A")
    assert first.path is not None
    body = first.path.read_bytes()
    first.path.write_bytes(bytes(len(body)))
    downloads = StacClient(rucio).download(replicated, tmp_path, rse="DISK-A")
    assert (downloads[0].state, downloads.counts[ALREADY_THERE]) == (DOWNLOADED, 3)
    paths = [path for path, _ in requests_of(STORAGES["DISK-A"])]
    assert len(paths) == 5
    assert paths.count(urlsplit(first.url).path) == 2
    assert first.path.read_bytes() == body


def test_the_catalogue(replicated: pystac.ItemCollection, rucio: Client, tmp_path: Path) -> None:
    """The catalogue opens in pystac, and rasterio reads the originals' pixels in its files."""
    downloads = StacClient(rucio).download(replicated, tmp_path)
    catalogue = pystac.Catalog.from_file(str(downloads.catalogue))
    items = {item.id: item for item in catalogue.get_items(recursive=True)}
    assert sorted(items) == ["gotthard-20250616", "gotthard-20250618"]
    compared = 0
    for outcome in downloads.by_state(DOWNLOADED):
        asset = items[outcome.item].assets[outcome.key]
        (given,) = [item.assets[outcome.key] for item in replicated if item.id == outcome.item]
        assert asset.get_absolute_href() == str(outcome.path)
        assert asset.extra_fields["alternate"]["STAC"]["href"] == given.href
        with rasterio.open(asset.get_absolute_href()) as here, rasterio.open(given.href) as there:
            assert (here.read() == there.read()).all()
            compared += 1
    assert compared == 4
    thumbnails = [item.assets["thumbnail"].href for item in items.values()]
    assert all(href.startswith("http://127.0.0.1:") for href in thumbnails)


def test_items_of_a_modifier(
    replicated: pystac.ItemCollection,
    stac_lake: Lake,
    rucio: Client,
    tmp_path: Path,
    requests_of: Callable[..., Any],
) -> None:
    """The copy that a modifier prefers is the one that is downloaded."""
    catalogue = pystac_client.Client.open(
        stac_lake.stac_url, modifier=StacClient(rucio).modifier.with_options(prefer=["DISK-B"])
    )
    items = catalogue.search(ids=[item.id for item in replicated]).item_collection()
    downloads = StacClient(rucio).download(items, tmp_path)
    assert {outcome.rse for outcome in downloads.by_state(DOWNLOADED)} == {"DISK-B"}
    assert len(requests_of(STORAGES["DISK-B"])) == 4


def test_only_what_is_available(
    replicated: pystac.ItemCollection,
    stac_lake: Lake,
    rucio: Client,
    tmp_path: Path,
    requests_of: Callable[..., Any],
) -> None:
    """What has no copy at an RSE is skipped, or has failed; the best replica is the origin's."""
    search = pystac_client.Client.open(stac_lake.stac_url).search(ids=["saentis-20250621"])
    items = [*replicated, *search.items()]
    StacClient(rucio).create_replicas(items, "STAC").raise_for_failed()
    registering = requests_of("origin-a")
    wanted: dict[str, Any] = {"assets": ["red", "vv"], "rse": "DISK-A"}
    downloads = StacClient(rucio).download(items, tmp_path, only_available=True, **wanted)
    states = {outcome.item: (outcome.state.value, outcome.reason) for outcome in downloads}
    assert states == {
        "gotthard-20250616": ("downloaded", ""),
        "gotthard-20250618": ("downloaded", ""),
        "saentis-20250621": ("skipped", "no replica at DISK-A"),
    }
    downloads = StacClient(rucio).download(items, tmp_path, **wanted)
    assert downloads.counts == {ALREADY_THERE: 2, State.FAILED: 1}
    assert requests_of("origin-a") == registering
    downloads = StacClient(rucio).download(items, tmp_path, assets=["red", "vv"])
    assert {outcome.item: outcome.rse for outcome in downloads}["saentis-20250621"] == "STAC"
    assert len(requests_of("origin-a")) == len(registering) + 1


def test_requests_to_rucio(
    replicated: pystac.ItemCollection, rucio: Client, tmp_path: Path, requests_sent: Requests
) -> None:
    """A download asks Rucio once for the replicas, and once for each RSE."""
    StacClient(rucio).download(replicated, tmp_path)
    assert sorted(requests_sent.sent) == [
        "GET /rses/DISK-A",
        "GET /rses/DISK-B",
        "GET /rses/STAC",
        "POST /replicas/list",
    ]


def test_other_protocols(stac_lake: Lake, rucio: Client, collection: str, tmp_path: Path) -> None:
    """What is not HTTP comes by Rucio's own client, verified like all else."""
    storage, folder = tmp_path / "storage", tmp_path / "folder"
    storage.mkdir()
    rse = f"FILES-{collection.upper()}"
    rucio.add_rse(rse, deterministic=False)
    operations = {"read": 1, "write": 1, "delete": 1}
    rucio.add_protocol(
        rse,
        {
            "scheme": "file",
            "hostname": "localhost",
            "port": 0,
            "prefix": str(storage),
            "impl": "rucio.rse.protocols.posix.Default",
            "domains": {"lan": operations, "wan": operations},
        },
    )
    assets = {}
    for key, content in (("good", b"good"), ("bad", b"evil")):
        (storage / key).write_bytes(content)
        asset = make_asset(f"https://data.example.org/{key}.tif", 4, f"{zlib.adler32(b'good'):08x}")
        assets[key] = asset
        name = f"/{collection}/i/{key}.tif"
        pfn = f"file://localhost:0{storage}/{key}"
        rucio.add_replicas(
            rse,
            [
                {
                    "scope": collection,
                    "name": name,
                    "bytes": 4,
                    "adler32": asset["rucio:adler32"],
                    "pfn": pfn,
                }
            ],
        )
    script = (
        "import json, sys; from rucio.client import Client; "
        "from stac_client import StacClient; "
        "downloads = StacClient(Client()).download(json.load(sys.stdin), sys.argv[1]); "
        "print(json.dumps(downloads.to_dicts()))"
    )
    result = subprocess.run(  # noqa: S603 - this very Python
        [sys.executable, "-c", script, folder],
        input=json.dumps(make_item(collection, "i", assets)),
        env={**os.environ, **stac_lake.environment()},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert result.stderr == ""
    good, bad = json.loads(result.stdout)
    assert (good["state"], good["rse"]) == ("downloaded", rse)
    assert Path(good["path"]).read_bytes() == b"good"
    assert bad["state"] == "failed"
    assert "its adler32 is not the known one" in bad["reason"]
    assert not (folder / collection / "i/bad.tif").exists()
