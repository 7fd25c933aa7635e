"""What an administrator sets up, on a real Rucio server."""

from __future__ import annotations

import pytest

from stac_client import AccessError, RequestError, State, add_source_rse
from stac_testbed import STORAGE_RSES

from .conftest import many_items

DISK = next(iter(STORAGE_RSES.values()))


def test_source_rse(stac_lake, client, rucio, collection):
    """A new source RSE takes registrations, refuses rules and has the distances it needs."""
    fts = stac_lake.layout.url("transfers")
    add_source_rse(rucio, "STAC-TOO", fts=fts, destinations=[DISK])
    assert rucio.get_distance("STAC-TOO", DISK)[0]["distance"] == 1
    client.create_replicas(many_items(collection, 1, 1), "STAC-TOO").raise_for_failed()
    with pytest.raises(RequestError, match="not available for writing"):
        client.create_replication_rules(many_items(collection, 1, 1), "STAC-TOO")


def test_a_source_rse_that_exists(stac_lake, rucio):
    """An RSE is not added twice, and the message names it."""
    fts = stac_lake.layout.url("transfers")
    with pytest.raises(RequestError, match="STAC"):
        add_source_rse(rucio, "STAC", fts=fts, destinations=[])


def test_only_administrators_add_rses(stac_lake):
    """An ordinary account is told whom to ask."""
    with pytest.raises(AccessError, match="administrator"):
        add_source_rse(stac_lake.client("alice"), "MINE", fts="http://127.0.0.1", destinations=[])


def test_an_rse_with_a_stock_protocol(stac_lake, client, rucio, scenes):
    """At an RSE with one of Rucio's protocols, what it can hold is registered and replicated."""
    origin = stac_lake.layout.ports["origin-a"]
    rucio.add_rse("STOCK", deterministic=False)
    on = {"read": 1, "write": 1, "delete": None}
    rucio.add_protocol(
        "STOCK",
        {
            "scheme": "http",
            "hostname": "127.0.0.1",
            "port": origin,
            "prefix": "/",
            "impl": "rucio.rse.protocols.webdav.Default",
            "domains": {"lan": on, "wan": {**on, "third_party_copy_read": 1}},
        },
    )
    rucio.add_rse_attribute("STOCK", "fts", stac_lake.layout.url("transfers"))
    rucio.add_rse_attribute("STOCK", "supported_checksums", "none")
    rucio.add_distance("STOCK", DISK, {"distance": 1})
    item = next(item for item in scenes if item.id == "gotthard-20250616")
    registration = client.create_replicas([item], "STOCK", assets=["red", "nir", "thumbnail"])
    assert registration.counts == {State.REGISTERED: 2, State.SKIPPED: 1}
    (skipped,) = registration.by_state(State.SKIPPED)
    assert f"127.0.0.1:{origin} alone" in skipped.reason
    assert client.plan([item], "STOCK", assets=["red", "nir"]).already_there == 1
    again = client.create_replicas([item], "STOCK", assets=["red", "nir", "thumbnail"])
    assert again.counts == {State.ALREADY_THERE: 2, State.SKIPPED: 1}
    rules = client.create_replication_rules(registration, DISK)
    (rule,) = client.wait(rules, timeout_s=60, poll_s=1)
    assert (rule.state, rule.locks_ok) == ("OK", 2)
