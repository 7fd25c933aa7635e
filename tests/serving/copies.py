"""Some items of the lake, with real copies at all its storages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pystac_client

from stac_client import StacClient
from stac_testbed import STORAGE_EXPRESSION, STORAGE_RSES

if TYPE_CHECKING:
    from stac_testbed import Lake


COPIED = ["ortler-20250711", "ortler-20250713"]
DISK_A, DISK_B = STORAGE_RSES.values()


def copy_items(lake: Lake) -> StacClient:
    """Register and replicate the items; gives the client that did."""
    client = StacClient(lake.client())
    search = pystac_client.Client.open(lake.stac_url).search(ids=COPIED)
    registration = client.create_replicas(search, "STAC", assets=["red", "nir", "vv", "vh"])
    registration.raise_for_failed()
    rules = client.create_replication_rules(registration, STORAGE_EXPRESSION, copies=2)
    assert [rule.state for rule in client.wait(rules, timeout_s=300, poll_s=0.5)] == ["OK"]
    return client
