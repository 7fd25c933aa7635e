"""What an administrator sets up, on a real Rucio server."""

from __future__ import annotations

import pytest

from stac_client import AccessError, RequestError, add_source_rse
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
