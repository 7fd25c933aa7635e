"""XRootD as the first storage of a lake, which needs Debian's package xrootd-server.

One test needs those of gfal2, too.

Not among the tests that are found by themselves, but run by its name:

    make xrootd
"""

from __future__ import annotations

import http.client
import logging
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests

from stac_testbed import STORAGE_RSES, load
from stac_testbed.processes import free_ports
from stac_testbed.xrootd import XRootD
from tests.gateway.fronts import SECRET_KEY, object_store
from tests.gateway.running import running, s3
from tests.lake.conftest import client, rucio, scenes  # noqa: F401 - fixtures
from tests.production.gfal2 import authorities_of, gfal2
from tests.servers import running as running_service
from tests.testbed.support import wait_for
from tests.testbed.test_lake import stac_testbed

if TYPE_CHECKING:
    from pystac import ItemCollection
    from rucio.client import Client

    from stac_client import StacClient
    from stac_testbed import Lake

SERVICE, RSE = next(iter(STORAGE_RSES.items()))


@pytest.fixture(scope="module")
def url(stac_lake: Lake) -> str:
    """Where XRootD serves what is Rucio's."""
    return f"{stac_lake.layout.url(SERVICE)}/rucio"


def test_it_is_xrootd(url: str) -> None:
    """The option --lake-storage decides what the first storage is."""
    assert requests.get(f"{url}/", timeout=10).headers["Server"].startswith("XrootD/")


def test_it_fetches_what_is_replicated(
    stac_lake: Lake,
    client: StacClient,  # noqa: F811 - a fixture
    rucio: Client,  # noqa: F811 - a fixture
    scenes: ItemCollection,  # noqa: F811 - a fixture
) -> None:
    """XRootD itself pulls each file from its origin, and tells the checksum of what it has."""
    items = list({item.collection_id: item for item in scenes}.values())
    client.create_replicas(items, "STAC", assets=["red", "vv"]).raise_for_failed()
    rules = client.create_replication_rules(items, RSE, assets=["red", "vv"])
    assert [rule.state for rule in client.wait(rules, timeout_s=60, poll_s=1)] == ["OK"]
    log = stac_lake.layout.logs / f"{SERVICE}.log"
    dids = list(rucio.list_content(rules[0].did.scope, rules[0].did.name))
    assert len(dids) == len(items) > 1
    for file in rucio.list_replicas([{"scope": did["scope"], "name": did["name"]} for did in dids]):
        (copy,), (original,) = file["rses"][RSE], file["rses"]["STAC"]
        content = requests.get(copy, timeout=10).content
        assert content == requests.get(original, timeout=10).content
        head = requests.head(copy, headers={"Want-Digest": "adler32"}, timeout=10)
        assert head.headers["Digest"] == f"adler32={zlib.adler32(content):08x}"
        pulled = f"event=TRANSFER_SUCCESS, local=/rucio{file['name']}, remote={original},"
        assert wait_for(lambda text=pulled: text in log.read_text(), seconds=5), pulled
    client.delete_replication_rules(rules, at_once=True)


def test_gfal2_and_an_origin_with_tls(
    stac_lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an origin with TLS XRootD refuses what gfal2 tells it; by a gateway without, it pulls."""
    layout = stac_lake.layout
    monkeypatch.setenv("X509_CERT_DIR", str(authorities_of(layout.tls, tmp_path)))
    content = bytes(range(256)) * 1000
    (layout.data("origin-b") / "gfal2.tif").write_bytes(content)
    origin = layout.url("origin-b")
    to = f"davs://127.0.0.1:{layout.ports[SERVICE]}/rucio/gfal2.tif"
    checksum = f"ADLER32:{zlib.adler32(content):08x}"
    how = ("--copy-mode", "pull", "--checksum-mode", "target", "-K", checksum)
    refused = gfal2(tmp_path, "gfal-copy", *how, f"{origin}/gfal2.tif", to)
    assert refused.returncode != 0
    assert "400" in refused.stderr
    with running(tmp_path, {f"{origin}/": {}}) as gateway:
        url = gateway.url_of(f"{origin}/gfal2.tif")
        pulled = gfal2(tmp_path, "gfal-copy", *how, url, to)
    assert pulled.returncode == 0, pulled.stderr
    assert requests.get(to.replace("davs", "http"), timeout=10).content == content


@pytest.mark.parametrize("mode", ["redirect", "stream"])
def test_debug_levels(
    stac_lake: Lake,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    mode: str,
) -> None:
    """With everything logged, neither gfal2 nor XRootD tells a signature."""
    caplog.set_level(logging.INFO, "stac_rucio.gateway")
    layout = stac_lake.layout
    monkeypatch.setenv("X509_CERT_DIR", str(authorities_of(layout.tls, tmp_path)))
    content = bytes(range(256)) * 1000
    (port,) = free_ports(1)
    xrootd = XRootD.plan(tmp_path / "xrootd", port)
    xrootd.make("/rucio/", layout.tls, SERVICE)
    configuration = Path(xrootd.folder) / "xrootd.cfg"
    configuration.write_text(configuration.read_text().replace("trace info", "trace all"))
    objects = {"private/a.tif": content}
    with (
        running_service(xrootd.service("debug", "/rucio/"), tmp_path),
        object_store(tmp_path / "store", objects) as store,
        running(tmp_path, {f"{store}/private/": s3(tmp_path, mode=mode)}) as gateway,
    ):
        url, to = gateway.url_of(f"{store}/private/a.tif"), f"davs://127.0.0.1:{port}/rucio/a.tif"
        pulled = gfal2(tmp_path, "gfal-copy", "-vvv", "--copy-mode", "pull", url, to)
        assert pulled.returncode == 0, pulled.stderr
        assert "davix" in pulled.stdout + pulled.stderr
        assert (xrootd.data / "rucio/a.tif").read_bytes() == content
    assert (": 302, " in caplog.text) is (mode == "redirect")
    (log,) = tmp_path.rglob("debug.log")
    assert f"remote={url}" in log.read_text()
    for secret in ("X-Amz-Signature", SECRET_KEY):
        assert secret not in pulled.stdout + pulled.stderr + log.read_text()
    xrootd.remove()


def test_a_part_of_a_file(url: str) -> None:
    """Readers of Cloud-Optimized GeoTIFFs get the bytes that they ask for."""
    requests.put(f"{url}/part.bin", data=b"0123456789", timeout=10).raise_for_status()
    answer = requests.get(f"{url}/part.bin", headers={"Range": "bytes=2-4"}, timeout=10)
    assert (answer.status_code, answer.content) == (206, b"234")


def test_it_serves_this_machine_only(stac_lake: Lake) -> None:
    """It has to listen on every interface, but answers 127.0.0.1 alone."""
    port = stac_lake.layout.ports[SERVICE]
    connection = http.client.HTTPConnection(
        "127.0.0.1", port, timeout=10, source_address=("127.0.0.2", 0)
    )
    connection.request("GET", "/rucio/")
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        connection.getresponse()


def test_down_and_up_again(tmp_path: Path) -> None:
    """What XRootD holds stays while a lake is stopped, and goes when it is removed."""
    folder = tmp_path / "lake"
    result = stac_testbed("up", "--folder", folder, "--storage", "xrootd")
    assert result.returncode == 0, result.stderr
    lake = load(folder)
    kept = f"{lake.layout.url(SERVICE)}/rucio/kept"
    requests.put(kept, data=b"kept", timeout=10).raise_for_status()
    assert stac_testbed("down", "--folder", folder).returncode == 0
    assert stac_testbed("up", "--folder", folder).returncode == 0
    assert requests.get(kept, timeout=10).content == b"kept"
    assert stac_testbed("down", "--remove", "--folder", folder).returncode == 0
    assert lake.layout.xrootd is not None
    assert not lake.layout.xrootd.data.exists()
    assert not folder.exists()
