"""The modifier's options on a real Rucio."""

from __future__ import annotations

import copy
import json
import multiprocessing
import socket
import threading
import warnings
from concurrent.futures import ProcessPoolExecutor
from importlib import resources
from typing import TYPE_CHECKING, Any

import jsonschema
import pystac_client
import pytest
from rucio.client import Client as RucioClient

from stac_client import AlternatesWarning, ConfigurationError, StacClient, UnreachableError
from stac_client._replica_source import STORAGE_SCHEMES as SCHEMES
from stac_policy.naming import DID, asset_name
from tests.items import many_items

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stac_testbed.lake import Lake
    from tests.lake.conftest import Requests


TWO_WAYS = "TWO-WAYS"
DAVS = "davs://two-ways.example.org:443/rucio"
ROOT = "root://two-ways.example.org:1094//rucio"
LIST = "POST /replicas/list"


COLLECTION = "modifier"
SITE = "VALLEY"


@pytest.fixture(scope="module")
def _two_ways(stac_lake: Lake) -> None:
    """An RSE with two protocols, which no expression of other tests names."""
    rucio = stac_lake.client()
    rucio.add_rse(TWO_WAYS)
    for priority, (scheme, port, prefix) in enumerate(
        [("davs", 443, "/rucio/"), ("root", 1094, "//rucio/")], start=1
    ):
        operations = {"read": priority, "write": priority, "delete": priority}
        local = {"read": 3 - priority, "write": priority, "delete": priority}
        protocol = {
            "scheme": scheme,
            "hostname": "two-ways.example.org",
            "port": port,
            "prefix": prefix,
            "impl": "rucio.rse.protocols.gfal.Default",
            "domains": {"wan": operations, "lan": local},
        }
        rucio.add_protocol(TWO_WAYS, protocol)
    for key, value in {"lfn2pfn_algorithm": "stac", "region": "alps", "kind": "test"}.items():
        rucio.add_rse_attribute(TWO_WAYS, key, value)
    rucio.add_rse_attribute(TWO_WAYS, "site", SITE)
    rucio.add_distance(TWO_WAYS, "DISK-A", {"distance": 3})


@pytest.fixture(scope="module")
def items(stac_lake: Lake, _two_ways: None) -> list[dict[str, Any]]:
    """Three items of two assets at the source RSE, at DISK-A and at the RSE with two protocols."""
    rucio = stac_lake.client()
    rucio.add_scope("root", COLLECTION)
    made = many_items(COLLECTION, 3, 2)
    StacClient(rucio).create_replicas(made, "STAC", probe="item").raise_for_failed()
    files = [{**did._asdict(), "bytes": 10, "adler32": "0000000a"} for did in dids_of(made)]
    for rse in ("DISK-A", TWO_WAYS):
        rucio.add_replicas(rse, files)
    return made


def dids_of(items: list[dict[str, Any]]) -> list[Any]:
    """The DIDs of the assets of items."""
    return [
        DID(each["collection"], asset_name(each["collection"], each["id"], key, asset["href"]))
        for each in items
        for key, asset in each["assets"].items()
    ]


def page_of(items: list[Any]) -> dict[Any, Any]:
    """A page of copies of items."""
    return {"type": "FeatureCollection", "features": copy.deepcopy(items)}


def ways(page: dict[Any, Any]) -> dict[Any, Any]:
    """The keys and hrefs of all ways of the first asset; that of the asset itself first."""
    asset = next(iter(page["features"][0]["assets"].values()))
    others = {key: each["href"] for key, each in asset["alternate"].items()}
    return {asset["alternate:name"]: asset["href"], **others}


def validate(page: dict[Any, Any]) -> None:
    """Validate the items of a page."""
    schema = json.loads(
        resources.files("stac_testbed").joinpath("alternate-assets.schema.json").read_text()
    )
    for each in page["features"]:
        jsonschema.Draft7Validator(schema).validate(each)


def test_protocols(items: list[dict[str, Any]], client: StacClient) -> None:
    """The best protocol of an RSE has its name, and on request every other has its own key."""
    best, everything = page_of(items), page_of(items)
    client.modifier(best)
    client.modifier.with_options(protocols=True)(everything)
    (did, *_) = dids_of(items)
    assert list(ways(best)) == ["STAC", "DISK-A", TWO_WAYS]
    assert ways(best)[TWO_WAYS] == f"{DAVS}{did.name}".replace("davs:", "https:")
    (asset, *_) = best["features"][0]["assets"].values()
    assert asset["alternate"][TWO_WAYS]["rucio:pfn"] == f"{DAVS}{did.name}"
    assert ways(everything) == {**ways(best), f"{TWO_WAYS}-root": f"{ROOT}{did.name}"}
    validate(best)
    validate(everything)


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"prefer": TWO_WAYS}, TWO_WAYS),
        ({"prefer": ["srm", "kind=test"]}, TWO_WAYS),
        ({"prefer": "root"}, f"{TWO_WAYS}-root"),
        ({"prefer": max}, TWO_WAYS),
        ({"prefer": f"*\\{TWO_WAYS}"}, "DISK-A"),
        ({"prefer": "*", "exclude": "tier=disk"}, "STAC"),
        ({"prefer": [TWO_WAYS, "DISK-A"], "only": "tier=disk"}, "DISK-A"),
        ({"prefer": TWO_WAYS, "mounts": {DAVS: "/eos/rucio"}}, f"{TWO_WAYS}-file"),
    ],
    ids=str,
)
def test_prefer(
    items: list[dict[str, Any]], client: StacClient, options: dict[str, Any], key: str
) -> None:
    """The preferred copy becomes the href, the original goes to STAC, and twice is once."""
    page = page_of(items)
    modifier = client.modifier.with_options(**options)
    modifier(page)
    once = copy.deepcopy(page)
    assert next(iter(ways(page))) == key
    assert ways(page)["STAC"] == items[0]["assets"]["band-0"]["href"]
    validate(page)
    modifier(page)
    client.modifier.with_options(**options)(page)
    assert page == once
    (explanation, *_) = modifier.explain(page)
    assert explanation.chosen
    assert explanation.chosen.key == key


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({}, TWO_WAYS),
        ({"protocols": True}, TWO_WAYS),
        ({"mounts": {ROOT: "/eos/rucio"}}, f"{TWO_WAYS}-file"),
        ({"exclude": TWO_WAYS}, "DISK-A"),
        ({"prefer": ["DISK-Z", "STAC", "nearest"]}, "STAC"),
        ({"prefer": ["davs", "nearest"]}, f"{TWO_WAYS}-davs"),
    ],
    ids=str,
)
def test_nearest(
    items: list[dict[str, Any]],
    client: StacClient,
    options: dict[str, Any],
    key: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The copy at the site comes first, by its protocol of the local network; then the distance."""
    monkeypatch.setenv("SITE_NAME", SITE)
    options = {"prefer": "nearest", **options}
    modifier = client.modifier.with_options(**options)
    page = page_of(items)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "'DISK-Z' is no RSE", AlternatesWarning)
        modifier(page)
        once = copy.deepcopy(page)
        modifier(page)
    assert page == once
    (did, *_) = dids_of(items)
    assert next(iter(ways(page))) == key
    assert ways(page)["STAC"] == items[0]["assets"]["band-0"]["href"]
    if TWO_WAYS not in str(options):
        assert ways(page)[TWO_WAYS] == f"{ROOT}{did.name}"
        assert ways(page)[f"{TWO_WAYS}-davs"] == f"{DAVS}{did.name}".replace("davs:", "https:")


def test_the_site(items: list[dict[str, Any]], rucio: RucioClient, requests_sent: Requests) -> None:
    """A client has its site; one that no RSE is at is told with those that come near."""
    near = StacClient(rucio, site=SITE).modifier.with_options(prefer="nearest", strict=True)
    for _ in range(2):
        near(page_of(items))
    assert sorted(requests_sent.sent) == [
        f"GET /rses/?expression=site%3D{SITE}",
        f"GET /rses/{TWO_WAYS}/distances/DISK-A",
        f"GET /rses/{TWO_WAYS}/distances/STAC",
        *[LIST] * 2,
    ]
    requests_sent.sent.clear()
    near.public_copy(page_of(items)["features"][0], "band-0")
    assert requests_sent.sent.count(LIST) == 1  # the local network's URLs are not for everybody
    wrong = near.with_options(site="VALEY")
    with pytest.raises(ConfigurationError, match=f"site=VALEY; near it: {SITE}"):
        wrong(page_of(items))
    with pytest.raises(ConfigurationError, match=f"site=VALEY; near it: {SITE}"):
        wrong.with_options(prefer=()).require_known()  # as commands do before they begin
    page = page_of(items)
    with pytest.warns(AlternatesWarning, match="site=VALEY"):
        wrong.with_options(strict=False)(page)
    assert next(iter(ways(page))) == "STAC"


def test_requests(items: list[dict[str, Any]], client: StacClient, requests_sent: Requests) -> None:
    """A page costs one request, an expression one in minutes, and the second pass none."""
    modifier = client.modifier.with_options(prefer=["STAC", "DISK-A"])
    modifier(page_of(items))
    assert requests_sent.sent == [LIST]
    modifier(page_of(items))
    modifier.explain(page_of(items))
    modifier.with_options(prefer=TWO_WAYS)(page_of(items))
    assert requests_sent.sent == [LIST]
    modifier.with_options(prefer="kind=test", cache_s=0)(page_of(items))
    modifier.with_options(prefer="kind=test", cache_s=0)(page_of(items))
    assert sorted(requests_sent.sent) == ["GET /rses/?expression=kind%3Dtest", *[LIST] * 3]


def test_large_pages(client: StacClient, collection: str, requests_sent: Requests) -> None:
    """A page of more than 1,000 assets is looked up in several requests."""
    made = many_items(collection, 250, 5)
    client.create_replicas(made[:2] + made[-2:], "STAC", probe="item").raise_for_failed()
    requests_sent.sent.clear()
    page = page_of(made)
    client.modifier(page)
    assert requests_sent.sent == [LIST] * 2
    named = [
        each["id"] for each in page["features"] if "alternate:name" in each["assets"]["band-0"]
    ]
    assert named == ["item-0", "item-1", "item-248", "item-249"]


def test_only_available_copies(items: list[dict[str, Any]], rucio: RucioClient) -> None:
    """A copy that is lost, or at an RSE that is closed for reading, is not shown."""
    (did, *_) = dids_of(items)
    page = page_of(items)
    rucio.update_replicas_states("DISK-A", [{**did._asdict(), "state": "U"}])
    try:
        StacClient(rucio).modifier(page)
    finally:
        rucio.update_replicas_states("DISK-A", [{**did._asdict(), "state": "A"}])
    assert list(ways(page)) == ["STAC", TWO_WAYS]
    assert "DISK-A" in page["features"][1]["assets"]["band-0"]["alternate"]
    rucio.update_rse(TWO_WAYS, {"availability_read": False})
    try:
        page = page_of(items)
        StacClient(rucio).modifier.with_options(prefer=TWO_WAYS)(page)
    finally:
        rucio.update_rse(TWO_WAYS, {"availability_read": True})
    assert list(ways(page)) == ["STAC", "DISK-A"]


def test_storage(items: list[dict[str, Any]], client: StacClient, requests_sent: Requests) -> None:
    """What Rucio knows of the RSEs is written once an item, at two requests an RSE."""
    modifier = client.modifier.with_options(storage=True, only=TWO_WAYS)
    page = page_of(items)
    modifier(page)
    modifier(page_of(items))
    assert len(requests_sent) == 3, requests_sent.sent
    scheme = page["features"][0]["properties"][SCHEMES][TWO_WAYS]
    assert (scheme["type"], scheme["rse_type"], scheme["region"]) == ("rucio", "DISK", "alps")
    assert scheme["platform"].endswith("/rses/{rse}")


def test_an_expired_token_and_many_threads(items: list[dict[str, Any]], stac_lake: Lake) -> None:
    """Threads that share a modifier renew an expired token, and all get their copies."""
    rucio = stac_lake.client()
    rucio.auth_token = "expired"  # noqa: S105
    modifier = StacClient(rucio).modifier.with_options(prefer="DISK-A", cache_s=0, strict=True)
    pages = [page_of(items) for _ in range(6)]
    threads = [threading.Thread(target=modifier, args=(page,)) for page in pages]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [next(iter(ways(page))) for page in pages] == ["DISK-A"] * len(pages)


def keys_of_replicas(modifier: Any, pages: Any) -> list[Any]:
    """The keys of all replicas of the first asset of each item, in pages modified one by one."""
    for page in pages:
        modifier(page)
    return [
        [item["id"], *ways({"features": [item]})] for page in pages for item in page["features"]
    ]


def many_pages(items: list[dict[str, Any]]) -> list[Any]:
    """Pages of one item and of all."""
    return [page_of([item]) for item in items] * 5 + [page_of(items) for _ in range(5)]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork(items: list[dict[str, Any]], client: StacClient) -> None:
    """Children of forks go on with the modifier of their parent, and get every replica.

    None reads the answer of another on a connection that both have, nor waits for a
    lock that a thread of the parent held at the fork.
    """
    modifier = client.modifier.with_options(cache_s=0, strict=True)
    pages = many_pages(items)
    expected = keys_of_replicas(modifier, copy.deepcopy(pages))
    assert {tuple(keys[1:]) for keys in expected} == {("STAC", "DISK-A", TWO_WAYS)}
    context = multiprocessing.get_context("fork")
    found, over = context.SimpleQueue(), threading.Event()

    def go_on() -> None:
        while not over.is_set():
            modifier(page_of(items))

    def annotate() -> None:
        found.put(keys_of_replicas(modifier, copy.deepcopy(pages)))

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        children = [context.Process(target=annotate) for _ in range(4)]
        for child in children:
            child.start()
        annotate()
        for child in children:
            child.join(60)
            assert child.exitcode == 0
    finally:
        over.set()
        thread.join()
    assert [found.get() for _ in (*children, None)] == [expected] * 5


def test_a_spawned_process(items: list[dict[str, Any]], rucio: RucioClient) -> None:
    """A modifier can be sent to another process, and gets every replica there, too."""
    rucio.__class__ = RucioClient  # that of the lake is no class of a module
    modifier = StacClient(rucio).modifier.with_options(prefer="DISK-A", strict=True)
    expected = keys_of_replicas(modifier, [page_of(items)])
    assert {tuple(keys[1:]) for keys in expected} == {("DISK-A", "STAC", TWO_WAYS)}
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(keys_of_replicas, modifier, [page_of(items)]).result(60) == expected


@pytest.fixture
def silent() -> Iterator[str]:
    """URL of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_a_silent_rucio(stac_lake: Lake, silent: str) -> None:
    """A search goes on without copies, with one warning, where Rucio never answers."""
    rucio = stac_lake.client()
    rucio.list_hosts = [silent]
    modifier = StacClient(rucio).modifier.with_options(timeout_s=0.3)
    collections = stac_lake.collections
    plain = pystac_client.Client.open(stac_lake.stac_url)
    expected = plain.search(collections=collections).item_collection().to_dict()
    catalogue = pystac_client.Client.open(stac_lake.stac_url, modifier=modifier)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = catalogue.search(collections=collections, limit=5).item_collection().to_dict()
    assert [each.category for each in caught] == [AlternatesWarning]
    assert [each["assets"] for each in found["features"]] == [
        each["assets"] for each in expected["features"]
    ]
    with pytest.raises(UnreachableError, match="timeout_s"):
        modifier.with_options(strict=True)(many_items("c", 1, 1)[0])
