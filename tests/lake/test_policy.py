"""The policy package at work in a Rucio server, its daemons and its own command line."""

from __future__ import annotations

import configparser
import contextlib
import hashlib
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pystac_client
import pytest
import requests
from rucio.common.exception import AccessDenied, InvalidMetadata, RuleNotFound
from rucio.version import current_version

from stac_client import StacClient, State
from stac_client.admin import plan_scopes
from stac_policy.algorithms import pfn2lfn
from stac_policy.naming import DID, collection_scope, item_name
from stac_testbed import STORAGE_RSES
from tests.items import make_asset, make_item, many_items
from tests.policy.multi_vo_processes import run_module
from tests.rses import add_rse

if TYPE_CHECKING:
    from collections.abc import Callable

    from pystac import Item
    from rucio.client import Client

    from stac_testbed.lake import Lake

DISK = next(iter(STORAGE_RSES.values()))
ITEM = "aletsch-20250611"

# Before Rucio 41 nobody is asked about the DIDs that come with new replicas.
RUCIO_CHECKS_NEW_DIDS = int(current_version()) >= 41


@pytest.fixture(scope="module")
def item(stac_lake: Lake) -> Item:
    """One item, registered."""
    catalogue = pystac_client.Client.open(stac_lake.stac_url)
    (item,) = catalogue.search(ids=[ITEM]).items()
    assets = ["red", "nir", "thumbnail"]
    registration = StacClient(stac_lake.client()).create_replicas([item], "STAC", assets=assets)
    registration.raise_for_failed()
    return item


def run_rucio(
    stac_lake: Any, *arguments: Any, cwd: Any = None, command: str = "rucio", **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run one of Rucio's own commands as alice."""
    return subprocess.run(  # noqa: S603 - installed beside this Python
        [Path(sys.executable).parent / command, *arguments],
        env={**os.environ, **stac_lake.environment("alice"), "COLUMNS": "300", **variables},
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        timeout=120,
    )


def rucio_command(stac_lake: Any, *arguments: Any, cwd: Path | None = None) -> str:
    """Run Rucio's own command line as alice, and give what it prints."""
    result = run_rucio(stac_lake, *arguments, cwd=cwd)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


# Permissions


def test_a_registrar_registers(stac_lake: Lake, collection: str) -> None:
    """An account with the attribute registers, although the source RSE is closed for writing."""
    registrar = StacClient(stac_lake.client("registrar"))
    items = many_items(collection, 2, 2)
    assert registrar.create_replicas(items, "STAC").counts == {State.REGISTERED: 4}
    assert registrar.create_replicas(items, "STAC").counts == {State.ALREADY_THERE: 4}


def test_a_registrar_may_describe_what_it_registers(stac_lake: Lake, collection: str) -> None:
    """Its metadata reaches the server's plugins, of which those on SQLite take none."""
    registrar = stac_lake.client("registrar")
    StacClient(registrar).create_replicas(many_items(collection, 1, 1), "STAC")
    dataset = {"scope": collection, "name": item_name(collection, "item-0")}
    with contextlib.suppress(InvalidMetadata):
        registrar.set_dids_metadata_bulk([dataset | {"meta": {"stac_item": "item-0"}}])


def file(scope: str, name: str, **more: Any) -> dict[Any, Any]:
    """A replica as Rucio's client takes it."""
    return {"scope": scope, "name": name, "bytes": 1, "adler32": "00000001", **more}


def test_a_registrar_may_do_nothing_else(stac_lake: Lake, rucio: Client, collection: str) -> None:
    """No replicas elsewhere, no DIDs that are not STAC's, no rules for others on the way."""
    registrar = stac_lake.client("registrar")
    url = "https://data.example.org/x.tif"
    name = f"/{collection}/item/x.tif"
    rucio.add_scope("root", f"{collection}-other")
    rucio.add_dataset(collection, "not-stac")
    refused: list[Callable[[], object]] = [
        lambda: registrar.add_replicas(DISK, [file(collection, name)]),
        lambda: registrar.add_dids([{"scope": collection, "name": "x", "type": "DATASET"}]),
        lambda: registrar.add_dids(
            [
                {
                    "scope": collection,
                    "name": item_name(collection, "i"),
                    "type": "DATASET",
                    "rules": [{"copies": 1, "rse_expression": DISK, "account": "root"}],
                }
            ]
        ),
        lambda: registrar.attach_dids_to_dids(
            [
                {
                    "scope": collection,
                    "name": "not-stac",
                    "dids": [{"scope": collection, "name": name}],
                }
            ]
        ),
        lambda: registrar.add_rse("MINE"),
        lambda: registrar.add_scope("registrar", "mine"),
        lambda: registrar.set_dids_metadata_bulk(
            [{"scope": collection, "name": "not-stac", "meta": {"x": "1"}}]
        ),
        lambda: registrar.set_status(collection, "not-stac", open=False),
        lambda: registrar.delete_replicas(DISK, [{"scope": collection, "name": name}]),
    ]
    if RUCIO_CHECKS_NEW_DIDS:
        refused += [
            lambda: registrar.add_replicas("STAC", [file(collection, "not-stac.tif", pfn=url)]),
            lambda: registrar.add_replicas("STAC", [file(f"{collection}-other", name, pfn=url)]),
        ]
    for number, attempt in enumerate(refused):
        with pytest.raises(AccessDenied):
            pytest.fail(f"attempt {number} was allowed: {attempt()}")


def test_an_ordinary_account_may_not_register(stac_lake: Lake, collection: str) -> None:
    """Without the attribute everything is as before."""
    alice = stac_lake.client("alice")
    replica = file(collection, f"/{collection}/i/x.tif", pfn="https://data.example.org/x.tif")
    with pytest.raises(AccessDenied):
        alice.add_replicas("STAC", [replica])
    with pytest.raises(AccessDenied):
        alice.add_dids(
            [{"scope": collection, "name": item_name(collection, "i"), "type": "DATASET"}]
        )


# Paths


def test_storages_are_browsable(stac_lake: Lake, item: Item, client: StacClient) -> None:
    """With `lfn2pfn_algorithm=stac` a storage holds COLLECTION/ITEM/ASSET, and gives names back."""
    rules = client.create_replication_rules([item], DISK, assets=["red", "nir", "thumbnail"])
    assert [rule.state for rule in client.wait(rules, timeout_s=300, poll_s=1)] == ["OK"]
    folder = stac_lake.layout.data("storage-a") / "rucio" / "alpine-optical" / ITEM
    assert sorted(path.name for path in folder.iterdir()) == ["nir.tif", "red.tif", "thumbnail.png"]
    parsed = {"path": f"/alpine-optical/{ITEM}/", "name": "red.tif"}
    assert pfn2lfn(parsed) == (f"/alpine-optical/{ITEM}/red.tif", "alpine-optical")


def test_the_way_back_is_looked_at_on_the_server(
    stac_lake: Lake, rucio: Client, tmp_path: Path
) -> None:
    """No request shows whether PFNs give DIDs back; the self-check does, by file or by table.

    Nor does one show whether Rucio has memcached, which a lake has not.
    """
    config = configparser.RawConfigParser()
    config.read(stac_lake.layout.server_cfg)
    config.remove_option("policy", "pfn2lfn")
    rucio_cfg = tmp_path / "server.cfg"
    with rucio_cfg.open("w") as file:
        config.write(file)

    def found(cfg: Path) -> Any:
        return {each["what"]: each for each in run_module(cfg)[1]}

    there = found(stac_lake.layout.server_cfg)
    assert there["paths back to DIDs"]["found"] == "stac_policy.algorithms.pfn2lfn"
    assert there["memcached"]["found"].startswith("none at 127.0.0.1:9: Rucio works")
    assert found(rucio_cfg)["paths back to DIDs"]["ok"]  # by the table, which setup-rse has set
    rucio.delete_config_option("policy", "pfn2lfn")
    try:
        missing = found(rucio_cfg)["paths back to DIDs"]
    finally:
        rucio.set_config_option("policy", "pfn2lfn", "stac")
    assert not missing["ok"]
    assert ", ".join(STORAGE_RSES.values()) in missing["found"]


def test_names_that_are_not_stacs_have_rucios_paths(rucio: Client, collection: str) -> None:
    """On the same RSE every other file lies where Rucio's own algorithm puts it."""
    rucio.add_replicas(DISK, [file(collection, "raw-1.dat")])
    (listed,) = rucio.list_replicas([{"scope": collection, "name": "raw-1.dat"}])
    digest = hashlib.md5(f"{collection}:raw-1.dat".encode(), usedforsecurity=False).hexdigest()
    (pfn,) = listed["rses"][DISK]
    assert pfn.endswith(f"/rucio/{collection}/{digest[:2]}/{digest[2:4]}/raw-1.dat")


def add_non_deterministic(
    stac_lake: Any, rucio: Any, rse: Any, prefix: Any, **attributes: Any
) -> None:
    """A non-deterministic RSE on the second storage."""
    protocol = {
        "scheme": "http",
        "port": stac_lake.layout.ports["storage-b"],
        "prefix": prefix,
        "impl": "rucio.rse.protocols.webdav.Default",
    }
    attributes = {"fts": stac_lake.layout.url("transfers"), **attributes}
    add_rse(rucio, rse, protocol, deterministic=False, third_party_copies=True, **attributes)
    rucio.add_distance("STAC", rse, {"distance": 1})
    rucio.set_local_account_limit("root", rse, -1)


def copy_at(rucio: Any, did: DID, rse: str) -> Any:
    """The PFN of a file's replica at an RSE."""
    (listed,) = rucio.list_replicas([did._asdict()])
    (pfn,) = listed["rses"][rse]
    return pfn


def test_replication_to_a_non_deterministic_rse(
    stac_lake: Lake, rucio: Client, item: Item, client: StacClient
) -> None:
    """Rucio's conveyor asks `stac_path` for the path of the copy, and keeps it with the replica."""
    add_non_deterministic(stac_lake, rucio, "ND", "/nd/", naming_convention="stac_path")
    rules = client.create_replication_rules([item], "ND", assets=["red"])
    assert [rule.state for rule in client.wait(rules, timeout_s=300, poll_s=1)] == ["OK"]
    pfn = copy_at(rucio, DID("alpine-optical", f"/alpine-optical/{ITEM}/red.tif"), "ND")
    assert pfn == f"{stac_lake.layout.url('storage-b')}/nd/alpine-optical/{ITEM}/red.tif"
    assert (
        requests.get(pfn, timeout=60).content
        == requests.get(item.assets["red"].href, timeout=60).content
    )


def test_the_default_algorithm_gives_the_original_url(
    stac_lake: Lake, rucio: Client, item: Item, client: StacClient
) -> None:
    """Without a naming convention the conveyor gets the original URL as the path of the copy.

    At an RSE whose prefix is that of a mirror of the origin, this is what names the copy.
    """
    add_non_deterministic(stac_lake, rucio, "MIRROR", "/mirror/")
    rules = client.create_replication_rules([item], "MIRROR", assets=["red"])
    assert [rule.state for rule in client.wait(rules, timeout_s=300, poll_s=1)] == ["OK"]
    pfn = copy_at(rucio, DID("alpine-optical", f"/alpine-optical/{ITEM}/red.tif"), "MIRROR")
    assert item.assets["red"].href.partition("://")[2] in pfn


# Approval


@pytest.mark.parametrize(("size_bytes", "approved"), [(1000, True), (10**7, False)])
def test_small_rules_are_approved(
    stac_lake: Lake, collection: str, client: StacClient, size_bytes: int, approved: bool
) -> None:
    """A rule that asks for approval is approved at once if it is over little STAC data."""
    asset = make_asset("https://data.example.org/x.tif", size_bytes=size_bytes)
    client.create_replicas([make_item(collection, "scene", {"x": asset})], "STAC")
    alice = stac_lake.client("alice")
    (rule,) = alice.add_replication_rule(
        [{"scope": collection, "name": item_name(collection, "scene")}],
        copies=1,
        rse_expression=DISK,
        ask_approval=True,
    )
    waiting = alice.get_replication_rule(rule)["state"] == "WAITING_APPROVAL"
    assert waiting is not approved
    stac_lake.client().update_replication_rule(rule, {"lifetime": 0})


# Rucio's own command line


TYPED = [
    f"/alpine-optical/{ITEM}",
    f"alpine-optical/{ITEM}",
    f"alpine-optical:/alpine-optical/{ITEM}",
    f"https://stac.example.org/v1/collections/alpine-optical/items/{ITEM}",
]
"""An item, as people type it."""

# Before Rucio 40 the download client looks for a URL itself among the DIDs that it got.
DOWNLOADABLE = TYPED if int(current_version()) >= 40 else TYPED[:3]


@pytest.mark.parametrize("typed", TYPED)
@pytest.mark.usefixtures("item")
def test_rucio_did_show(stac_lake: Lake, typed: str) -> None:
    """The item's dataset is found however it is typed."""
    shown = rucio_command(stac_lake, "did", "show", typed)
    assert f"/alpine-optical/{ITEM}" in shown
    assert "DATASET" in shown


@pytest.mark.parametrize("typed", TYPED)
def test_rucio_replica_list(stac_lake: Lake, item: Item, typed: str) -> None:
    """Listing the replicas of an item or an asset shows the original URLs."""
    listed = rucio_command(stac_lake, "replica", "list", "file", typed)
    assert item.assets["nir"].href in listed
    if typed.startswith("https"):
        return  # a STAC API has no URL for an asset
    listed = rucio_command(stac_lake, "replica", "list", "file", f"{typed}/nir.tif")
    assert item.assets["nir"].href in listed
    assert item.assets["red"].href not in listed


@pytest.mark.parametrize("typed", TYPED)
@pytest.mark.usefixtures("item")
def test_rucio_rule_add(stac_lake: Lake, rucio: Client, typed: str) -> None:
    """A rule is added over the item however it is typed."""
    added = rucio_command(stac_lake, "rule", "add", typed, "--copies", "1", "--rses", DISK)
    rule = rucio.get_replication_rule(added.split()[-1])
    assert (rule["scope"], rule["name"]) == ("alpine-optical", f"/alpine-optical/{ITEM}")
    assert rule["account"] == "alice"
    rucio.update_replication_rule(rule["id"], {"lifetime": 0})
    wait_until_gone(rucio, rule["id"])


def wait_until_gone(rucio: Any, rule_id: Any) -> None:
    """Wait until the judge-cleaner has deleted a rule."""
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        try:
            rucio.get_replication_rule(rule_id)
        except RuleNotFound:
            return
        time.sleep(0.5)
    pytest.fail(f"rule {rule_id} is still there")


@pytest.mark.parametrize("typed", DOWNLOADABLE)
def test_rucio_download(stac_lake: Lake, item: Item, tmp_path: Path, typed: str) -> None:
    """The stock client downloads an item from its origins, verified, into COLLECTION/ITEM."""
    rucio_command(stac_lake, "download", "--rses", "STAC", typed, cwd=tmp_path)
    for key, name in (("red", "red.tif"), ("nir", "nir.tif"), ("thumbnail", "thumbnail.png")):
        (path,) = tmp_path.rglob(name)
        assert path.parent.name == ITEM
        assert path.read_bytes() == requests.get(item.assets[key].href, timeout=60).content


def test_rucio_download_of_one_asset(stac_lake: Lake, item: Item, tmp_path: Path) -> None:
    """Of a single file the protocol makes the folders that the stock client does not."""
    typed = f"alpine-optical/{ITEM}/red.tif"
    rucio_command(stac_lake, "download", "--rses", "STAC", typed, cwd=tmp_path)
    (path,) = tmp_path.rglob("red.tif")
    assert path.read_bytes() == requests.get(item.assets["red"].href, timeout=60).content


def test_the_stock_client_verifies(
    stac_lake: Lake, client: StacClient, collection: str, tmp_path: Path
) -> None:
    """A file whose bytes are not those that were registered is not kept."""
    url = f"{stac_lake.layout.url('origin-a')}/alpine-optical/{ITEM}/red.tif"
    size_bytes = int(requests.head(url, timeout=60).headers["Content-Length"])
    wrong = make_asset(url, size_bytes=size_bytes, adler32="00000001")
    client.create_replicas([make_item(collection, "scene", {"x": wrong})], "STAC")
    result = run_rucio(stac_lake, "download", f"{collection}/scene", cwd=tmp_path)
    said = result.stdout + result.stderr
    assert "Checksum validation failed" in said
    assert "None of the requested files have been downloaded" in said
    assert list(tmp_path.rglob("*.tif*")) == []


@pytest.mark.parametrize("convention", [None, "stac_path"])
def test_rucio_admin_suggests_a_pfn(
    stac_lake: Lake, rucio: Client, item: Item, convention: str | None, tmp_path: Path
) -> None:
    """rucio-admin, which has no database, suggests where a file of a fixed scope would lie.

    Of a derived scope it cannot know whether it is STAC's, and suggests what Rucio would.
    """
    rse = f"NOWHERE-{convention or 'DEFAULT'}".upper().replace("_", "-")
    attributes = {"naming_convention": convention} if convention else {}
    add_non_deterministic(stac_lake, rucio, rse, "/nowhere/", **attributes)
    fixed = StacClient(rucio, scope="user.alice")
    fixed.create_replicas([item], "STAC", assets=["red"]).raise_for_failed()
    config = configparser.RawConfigParser()
    config.read(stac_lake.layout.client_cfg("alice"))
    config.set("stac", "scopes", f"user.alice={stac_lake.stac_url}")
    with (tmp_path / "rucio.cfg").open("w") as file:
        config.write(file)

    def suggested(scope: str) -> str:
        result = run_rucio(
            stac_lake,
            *("replicas", "list-pfns", f"{scope}:/alpine-optical/{ITEM}/red.tif", rse, "http"),
            command="rucio-admin",
            RUCIO_CONFIG=str(tmp_path / "rucio.cfg"),
        )
        assert result.returncode == 0, result.stderr
        return result.stdout.split()[-1]

    path = f"user.alice/alpine-optical/{ITEM}/red.tif" if convention else item.assets["red"].href
    assert suggested("user.alice").endswith(f"/nowhere/{path}")
    assert item.assets["red"].href not in suggested("alpine-optical")


def test_scopes_that_begin_with_a_hyphen(
    stac_lake: Lake, client: StacClient, rucio: Client
) -> None:
    """To the stock command line such a scope is an option, unless `--` or a name comes first."""
    scope = collection_scope("été")
    (change,) = plan_scopes(rucio, {"été": scope}).changes
    command, *words = shlex.split(change.command)
    root = stac_lake.environment("root")["RUCIO_CONFIG"]
    added = run_rucio(stac_lake, *words, command=command, RUCIO_CONFIG=root)
    assert added.returncode == 0, added.stderr
    assert plan_scopes(rucio, {"été": scope}).changes == []
    client.create_replicas(many_items("été", 1, 1), "STAC").raise_for_failed()
    name = item_name("été", "item-0")
    assert run_rucio(stac_lake, "did", "show", f"{scope}:{name}").returncode != 0
    for typed in (["--", f"{scope}:{name}"], [name]):
        assert name in rucio_command(stac_lake, "did", "show", *typed)


def test_scopes_of_long_collection_ids(client: StacClient, rucio: Client) -> None:
    """A collection id above 25 characters has a scope of its own, and its names are whole."""
    collection = "sea-surface-temperature-optimum-interpolation"
    rucio.add_scope("root", collection_scope(collection))
    registration = client.create_replicas(many_items(collection, 1, 1), "STAC")
    registration.raise_for_failed()
    (did,) = registration.dids
    assert did == DID("sea-surface-temp-9bf4d866", f"/{collection}/item-0/band-0.tif")
