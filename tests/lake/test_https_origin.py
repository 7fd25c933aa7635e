"""An origin with a certificate: its authority is trusted as that of any other is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from stac_client import plan_setup
from stac_client.admin import examine
from stac_testbed.configuration import configure_transfers
from stac_testbed.layout import GATEWAY, STORAGE_PREFIX
from tests.gateway.running import running
from tests.items import make_item
from tests.rses import add_rse

if TYPE_CHECKING:
    from pathlib import Path

    from rucio.client import Client

    from stac_client import StacClient
    from stac_testbed import Lake

CONTENT = b"secure" * 1000
OVER_DAVS, THROUGH = "OVER-DAVS", "THROUGH-GATEWAY"
PREFIX = f"{STORAGE_PREFIX}over-davs/"


@pytest.fixture
def original(stac_lake: Lake, client: StacClient, collection: str) -> Any:
    """An item with a file of the origin, registered: that has asked there for its checksum."""
    layout = stac_lake.layout
    (layout.data("origin-b") / f"{collection}.tif").write_bytes(CONTENT)
    url = f"{layout.url('origin-b')}/{collection}.tif"
    assert url.startswith("https:")
    item = make_item(collection, "scene", {"red": {"href": url, "roles": ["data"]}})
    client.create_replicas(item, "STAC").raise_for_failed()
    return item


@pytest.mark.parametrize("rse", ["DISK-A", "DISK-B"])
def test_a_rule_brings_it_to_a_storage(
    client: StacClient, original: Any, rse: str, tmp_path: Path
) -> None:
    """The one storage fetches it, to the other it is carried; downloads read either."""
    rules = client.create_replication_rules(original, rse)
    (rule,) = client.wait(rules, timeout_s=300, poll_s=0.5)
    assert (rule.state, rule.locks_ok) == ("OK", 1), rule.error
    (downloaded,) = client.download(original, tmp_path, rse=rse)
    assert downloaded.path is not None
    assert downloaded.path.read_bytes() == CONTENT


def test_a_storage_that_refuses_the_credential(
    client: StacClient, rucio: Client, original: Any, stac_lake: Lake, tmp_path: Path
) -> None:
    """For a source with TLS FTS says `gridsite`: the doctor warns of it, and a setting mends it.

    Where nobody may set it, a gateway without TLS does as well.
    """
    layout = stac_lake.layout
    port = layout.ports["storage-a"]
    impl = "rucio.rse.protocols.gfal.Default"
    protocol = {"scheme": "davs", "port": port, "prefix": PREFIX, "impl": impl}
    fts = layout.url("transfers")
    add_rse(rucio, OVER_DAVS, protocol, third_party_copies=True, fts=fts, lfn2pfn_algorithm="stac")
    rucio.set_local_account_limit("root", OVER_DAVS, -1)
    for change in plan_setup(rucio, THROUGH, destinations=OVER_DAVS, gateway=True).changes:
        change.apply(rucio)
    rucio.add_distance("STAC", OVER_DAVS, {"distance": 1})
    rucio.add_distance(THROUGH, "DISK-A", {"distance": 1})
    ours = {"gateway": layout.url(GATEWAY), "gateway_open": "true"}
    for source, warned in ("STAC", True), (THROUGH, False):
        found = examine(rucio, source, destinations=OVER_DAVS, options=ours)
        codes = {check.code for check in found if check.why}
        assert ("destination-credential" in codes) is warned
        by_https = examine(rucio, source, destinations="DISK-A", options=ours)
        assert any("gridsite" in check.what for check in by_https) is warned

    rules = client.create_replication_rules(original, OVER_DAVS)
    (rule,) = client.wait(rules, timeout_s=300, poll_s=0.5)
    assert rule.state == "STUCK"
    (row,) = client.rule_status(rules)
    assert ": HTTP 400 " in row.stuck[0].reason

    # By a gateway without TLS another file of the origin gets there all the same.
    origin = layout.url("origin-b")
    (layout.data("origin-b") / "through.tif").write_bytes(CONTENT)
    assets = {"red": {"href": f"{origin}/through.tif", "roles": ["data"]}}
    other = make_item(original["collection"], "through", assets)
    keys, port = layout.gateway_keys, layout.ports[GATEWAY]
    with running(tmp_path, {f"{origin}/": {}}, keys=keys, port=port):
        client.create_replicas(other, THROUGH).raise_for_failed()
        (rule,) = client.wait(client.create_replication_rules(other, OVER_DAVS), timeout_s=300)
    assert rule.state == "OK", rule.error
    folder = layout.data("storage-a") / PREFIX[1:] / original["collection"]
    assert (folder / "through/red.tif").read_bytes() == CONTENT

    davs = f"https://127.0.0.1:{protocol['port']}"
    configure_transfers(layout, {davs: {"credential": "none"}})
    client.retry_replication_rules(rules)
    (rule,) = client.wait(rules, timeout_s=300, poll_s=0.5, through_stuck=True)
    assert rule.state == "OK", rule.error
    assert (folder / "scene/red.tif").read_bytes() == CONTENT
