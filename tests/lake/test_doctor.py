"""The doctor finds what was done to a healthy source RSE and its destination, and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pystac_client
import pytest

from stac_client import StacClient, plan_setup, summarise_catalogue
from stac_client._results import State
from stac_client._rse_checks import RSE
from stac_client._source_rse import source_protocol
from stac_client.admin import Level, examine
from stac_testbed import STORAGE_RSES
from tests import origin as answers
from tests.items import make_asset, make_item
from tests.origin import running_origin

from .seeds import ALONE, COLLECTION, DISK, SOURCE, Healthy, Requests, attribute, changed

if TYPE_CHECKING:
    from stac_testbed.lake import Lake


STOCK = "rucio.rse.protocols.webdav.Default"
NOBODY = "http://127.0.0.1:9"
"""Nothing listens on the discard port."""


@pytest.fixture(scope="module")
def healthy(stac_lake: Lake) -> Healthy:
    """A source RSE, a destination, a scope and a registered asset, all as they should be."""
    admin = stac_lake.client()
    search = pystac_client.Client.open(stac_lake.stac_url).search(ids=["gotthard-20250616"])
    (asset,) = summarise_catalogue(search, assets=["red"]).assets
    item = make_item(COLLECTION, "item", {"red": make_asset(asset.url)})
    protocols = admin.get_rse(next(iter(STORAGE_RSES.values())))["protocols"]
    # A folder of its own: Rucio finds the RSE of a URL by what the URL begins with.
    own = [{**each, "prefix": f"{each['prefix']}doctor/"} for each in protocols]
    storage, *others = sorted(own, key=lambda each: str(each["scheme"]))
    admin.add_rse(DISK)
    for protocol in (storage, *others):
        admin.add_protocol(DISK, protocol)
    fts = stac_lake.layout.url("transfers")
    for key, value in {"fts": fts, "lfn2pfn_algorithm": "stac"}.items():
        admin.add_rse_attribute(DISK, key, value)
    for account in ("root", "alice"):
        admin.set_local_account_limit(account, DISK, 1000)
    found = summarise_catalogue([item])
    for change in plan_setup(admin, SOURCE, destinations=[DISK], catalogue=found).changes:
        change.apply(admin)
    StacClient(admin).create_replicas([item], SOURCE).raise_for_failed()
    return Healthy(stac_lake.client, admin, found, fts, storage)


@pytest.mark.parametrize("code", ALONE)
def test_one_thing_is_wrong(healthy: Healthy, code: str) -> None:
    """Of one thing that is wrong there is one finding: why it matters, and how to fix it."""
    with healthy.seeded(*ALONE[code]):
        findings = healthy.findings()
    assert [finding.code for finding in findings] == [code]
    (finding,) = findings
    assert all((finding.what, finding.why, finding.command))
    assert healthy.codes() == []


def test_other_checksums(healthy: Healthy) -> None:
    """An attribute supported_checksums with another value than none is told with it."""
    with healthy.seeded(*attribute(SOURCE, "supported_checksums", "adler32,md5", "none")):
        (finding,) = healthy.findings()
    assert finding.code == "source-checksums"
    assert "adler32,md5" in finding.what


AS_RUCIO = """
import json, sys
from types import SimpleNamespace as Some
from rucio.transfertool.fts3 import _available_checksums
for attributes in json.loads(sys.argv[1]):
    end = Some(rse=Some(attributes=attributes))
    of_source, of_destination = _available_checksums(Some(src=end, dst=end))
    assert of_source == of_destination
    print(" ".join(sorted(of_source)))
"""


def test_checksums_are_read_as_rucio_reads_them(stac_lake: Lake) -> None:
    """Words between commas count, `none` undoes the others, and another attribute all of them."""
    values = [
        "adler32",
        " md5 , adler32",
        "none",
        "adler32,none",
        "nonesuch",
        "sha-adler32",
        ",",
        "",
    ]
    attributes: list[dict[str, Any]] = [
        {},
        *({"supported_checksums": value} for value in values),
        *({"verify_checksum": value, "supported_checksums": "md5"} for value in (True, False)),
    ]
    result = subprocess.run(  # noqa: S603 - this Python
        [sys.executable, "-c", AS_RUCIO, json.dumps(attributes)],
        env={**os.environ, "RUCIO_CONFIG": str(stac_lake.layout.server_cfg)},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    read = [RSE("", "", {}, each).checksums for each in attributes]
    assert [set(line.split()) for line in result.stdout.splitlines()] == read


@pytest.mark.parametrize(
    ("key", "value", "healthy_value"),
    [("supported_checksums", "md5,sha-adler32", "adler32"), ("verify_checksum", "False", "True")],
)
def test_a_destination_without_adler32(
    healthy: Healthy, key: str, value: str, healthy_value: str
) -> None:
    """What a destination does not verify is told with the attribute that says so."""
    with healthy.seeded(*attribute(DISK, key, value, healthy_value)):
        (finding,) = healthy.findings()
    assert (finding.code, finding.level) == ("destination-checksums", Level.WARNING)
    assert f"{key}={value}" in finding.what
    assert f"--key {key} --value {healthy_value}" in finding.command


def test_the_attribute_fts(healthy: Healthy) -> None:
    """FTS is looked for at both ends, compared, and contacted."""
    with healthy.seeded(*attribute(SOURCE, "fts", None, healthy.fts)):
        assert healthy.codes() == ["source-fts-missing"]
    with healthy.seeded(*attribute(DISK, "fts", None, healthy.fts)):
        assert healthy.codes() == ["destination-fts-missing"]
    with healthy.seeded(*attribute(DISK, "fts", NOBODY, healthy.fts)):
        assert healthy.codes() == ["fts-differs"]
        with healthy.seeded(*attribute(SOURCE, "fts", NOBODY, healthy.fts)):
            assert healthy.codes() == ["fts-unreachable"]
    assert healthy.codes() == []


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("destination-protocol", {"domains": {"wan": {}}}),
        ("destination-scheme", {"scheme": "root"}),
        ("destination-webdav", {"domains": {"wan": {"delete": 2, "third_party_copy_write": 1}}}),
    ],
)
def test_the_protocol_of_a_destination(healthy: Healthy, code: str, change: dict[str, Any]) -> None:
    """A destination must take third-party copies, by a scheme that the URLs have."""
    scheme = change.get("scheme", healthy.storage["scheme"])
    delete, add = "delete_protocols", "add_protocol"
    do = [(delete, DISK, healthy.storage["scheme"]), (add, DISK, {**healthy.storage, **change})]
    with healthy.seeded(do, [(delete, DISK, scheme), (add, DISK, healthy.storage)]):
        assert healthy.codes() == [code]
    assert healthy.codes() == []


def test_rses_that_do_not_exist(healthy: Healthy) -> None:
    """RSEs that do not exist are named."""
    (finding,) = healthy.findings(rse="DOCTOR-NOWHERE")
    assert (finding.code, "DOCTOR-NOWHERE" in finding.what) == ("rse-missing", True)
    (finding,) = healthy.findings(destinations=["DOCTOR-NOWHERE"])
    assert (finding.code, "DOCTOR-NOWHERE" in finding.what) == ("destination-missing", True)
    assert healthy.codes(destinations="doctor=nowhere") == ["destination-missing"]


def test_scopes(healthy: Healthy) -> None:
    """A scope that is missing is found, and one of somebody who may not register."""
    collections = {"a": "doctor-missing", "b": "user.alice", "c": COLLECTION}
    findings = healthy.findings(catalogue=replace(healthy.catalogue, scopes=collections))
    missing, *owned = findings
    assert (missing.code, "doctor-missing" in missing.command) == ("scope-missing", True)
    assert [finding.code for finding in owned] == ["scope-owner"] * _tells_owners(healthy)
    assert all("alice" in finding.what for finding in owned)


def _tells_owners(healthy: Healthy) -> bool:
    """Whether Rucio tells who owns a scope, as it does from version 40 on."""
    return hasattr(healthy.admin, "list_scope_owners")


def test_accounts(healthy: Healthy) -> None:
    """An account that may not register is told; administrators and registrars may."""
    (finding,) = healthy.findings("alice")
    assert finding.code == "account-not-registrar"
    assert finding.command.endswith("--key stac_registrar --value true alice")
    assert healthy.codes("registrar", destinations=()) == []
    do, undo = ("add_account_attribute", "alice", "admin", "true"), ("delete_account_attribute",)
    with healthy.seeded([do], [(*undo, "alice", "admin")]):
        assert healthy.codes("alice") == []


def test_settings(healthy: Healthy) -> None:
    """What is wrong in the section stac is told, with hosts that it does not allow."""
    (finding,) = healthy.findings(options={"allowed_hosts": "data.example.org"})
    assert finding.code == "host-not-allowed"
    assert "allowed_hosts = 127.0.0.1:" in finding.command
    assert healthy.codes(options={"allowed_hosts": "127.0.0.1"}) == []
    assert healthy.codes(options={"alowed_hosts": "127.0.0.1"}) == ["settings"]


def test_settings_in_the_config_table(healthy: Healthy) -> None:
    """Options in the server's config table count, where the account may read them."""
    do = ("set_config_option", "stac", "allowed_hosts", "data.example.org")
    with healthy.seeded([do], [("delete_config_option", "stac", "allowed_hosts")]):
        assert healthy.codes(options=None) == ["host-not-allowed"]
        assert healthy.codes("alice", options=None) == ["account-not-registrar"]
    assert healthy.codes(options=None) == []


def test_resolution(healthy: Healthy) -> None:
    """A URL that is not the registered one is found, and one that its origin does not have."""
    (asset,) = healthy.catalogue.assets
    elsewhere = replace(healthy.catalogue, assets=[replace(asset, url=f"{asset.url}?version=2")])
    assert healthy.codes(catalogue=elsewhere) == ["resolution-differs"]
    gone = summarise_catalogue(
        [make_item(COLLECTION, "gone", {"red": make_asset(f"{asset.url}/gone")})]
    )
    (finding,) = healthy.findings(catalogue=gone)
    assert finding.code == "origin-fails"
    assert "404" in finding.what


def test_origins_that_answer_no_head(healthy: Healthy) -> None:
    """FTS fails there: doctor, plan and registration say it, which find the file by GET."""
    with running_origin() as origin:
        url = origin.add("/a.tif", b"content", head=answers.status(405))
        item = make_item(COLLECTION, "no-head", {"red": {"href": url, "roles": ["data"]}})
        assets = [*healthy.catalogue.assets, *summarise_catalogue([item]).assets]  # of two hosts
        (finding,) = healthy.findings(catalogue=replace(healthy.catalogue, assets=assets))
        assert finding.code == "origin-fails"
        client = StacClient(healthy.admin)
        plan = client.plan(item, SOURCE, check=True)
        (registered,) = client.create_replicas(item, SOURCE)
    assert registered.state is State.REGISTERED
    for said in (finding.what, str(plan), registered.reason):
        assert "HTTP 405 to HEAD" in said


@pytest.mark.parametrize("impl", [STOCK, "stac_policy.protocol.Defalt"])
def test_another_protocol_beside_ours(healthy: Healthy, impl: str) -> None:
    """A protocol that is not ours beside one that is spoils URLs: of two, Rucio takes any."""
    (asset,) = healthy.catalogue.assets
    other = summarise_catalogue([make_item(COLLECTION, "other", {"red": make_asset(asset.url)})])
    with healthy.seeded(*changed(impl=impl)):
        assert healthy.codes(catalogue=other) == ["protocol-impl"]
        plan = plan_setup(healthy.admin, SOURCE, destinations=[DISK], catalogue=other)
        (change,) = plan.apply(healthy.admin)
        assert str(change).startswith("set impl=stac_policy.protocol.Default of the protocol for")
        assert healthy.codes() == []


def test_a_source_rse_with_a_stock_protocol(healthy: Healthy) -> None:
    """What an RSE with one of Rucio's own protocols cannot hold is counted."""
    (asset,) = healthy.catalogue.assets
    do: Requests = []
    undo: Requests = []
    for scheme, port in (("http", 80), ("https", 443)):
        for requests, impl in ((do, STOCK), (undo, source_protocol(scheme)["impl"])):
            change = {"impl": impl}
            requests.append(("update_protocols", SOURCE, scheme, change, "localhost", port))
    other = summarise_catalogue([make_item(COLLECTION, "other", {"red": make_asset(asset.url)})])
    with healthy.seeded(do, undo):
        assert healthy.codes(catalogue=other) == [*["protocol-stock"] * 2, "protocol-limits"]
    assert healthy.codes() == []


def test_fixes(stac_lake: Lake, healthy: Healthy) -> None:
    """What findings say to paste fixes what they found."""
    alone = "rse-deterministic", "rse-writable", "rse-unreadable", "source-checksums"
    more = "distance-missing", "destination-not-writable", "limit-missing"
    do = [request for code in (*alone, *more) for request in ALONE[code][0]]
    do += [("delete_rse_attribute", DISK, "fts"), ("add_scope", "alice", "doctor-alice")]
    scopes = {"a": "doctor-added", "b": "doctor-alice"}
    wanted: dict[str, Any] = {"catalogue": replace(healthy.catalogue, scopes=scopes)}
    undo = ("delete_account_attribute", "alice", "stac_registrar")
    (of_account,) = healthy.findings("alice")
    with healthy.seeded(do, [undo]):
        fixes = [finding.command for finding in healthy.findings(**wanted)]
        assert len(fixes) == len(do) + _tells_owners(healthy)
        _run(stac_lake, [*fixes, of_account.command])
        assert healthy.codes(**wanted) == healthy.codes("alice") == []


_PASTE = """
import runpy, shlex, shutil, sys
for line in sys.stdin:
    command, *arguments = shlex.split(line, comments=True)
    sys.argv = [shutil.which(command), *arguments]
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as end:
        assert not end.code, line
"""
"""Runs lines of a shell in one process, as each would take seconds to import Rucio."""


def _run(lake: Any, commands: list[str]) -> None:
    folder = Path(sys.executable).parent
    subprocess.run(  # noqa: S603 - what is to be pasted
        [sys.executable, "-c", _PASTE],
        input="\n".join(commands),
        env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", **lake.environment()},
        text=True,
        check=True,
        timeout=120,
    )


def test_an_examination_reads(healthy: Healthy) -> None:
    """The doctor changes nothing: it reads, and asks for replicas, or datasets and metadata."""
    sent = []
    client = healthy.connect()
    client.session.hooks["response"].append(
        lambda response, **_: sent.append((response.request.method, response.request.path_url))
    )
    findings = [*examine(lambda: client, SOURCE, destinations=[DISK], catalogue=healthy.catalogue)]
    assert {finding.level for finding in findings} == {Level.OK}
    posted = {path for method, path in sent if method != "GET"}
    assert "/replicas/list" in posted
    assert posted <= {"/replicas/list", "/dids/bulkfiles", "/dids/bulkmeta"}
