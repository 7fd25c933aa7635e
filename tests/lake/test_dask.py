"""Methods of the client on workers of Dask, on a real Rucio server."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import dask.bag
import pytest
from dask import delayed
from distributed import Client, LocalCluster

from stac_client import Plan, Registration, StacClient, State
from tests.items import many_items

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from stac_client import Outcome
    from stac_testbed import Lake

ITEMS, ASSETS = 60, 9


@pytest.fixture
def workers() -> Iterator[Client]:
    """Two worker processes."""
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
    ):
        yield client


def test_dask(workers: Client, stac_lake: Lake, collection: str, tmp_path: Path) -> None:
    """Plans, registrations and `sync` of a bag and of delayed items merge; all is there once."""
    stac = StacClient(config=stac_lake.environment()["RUCIO_CONFIG"])
    items = many_items(collection, ITEMS, ASSETS)
    bag = dask.bag.from_sequence(items, npartitions=4)

    def planned() -> Plan:
        plans = [delayed(stac.plan)(part, "STAC") for part in bag.to_delayed()]
        return sum(dask.compute(*plans), Plan())

    assert planned() == stac.plan(items, "STAC")
    registration = Registration(bag.map_partitions(stac.create_replicas, "STAC").compute())
    assert registration.counts == {State.REGISTERED: ITEMS * ASSETS}
    assert len({*registration.dids}) == ITEMS * ASSETS
    assert planned().already_there == ITEMS * ASSETS
    assert len(workers.scheduler_info()["workers"]) == 2

    path = tmp_path / "items.ndjson"
    more = many_items(collection, ITEMS + 9, ASSETS)
    path.write_text("".join(f"{json.dumps(item)}\n" for item in more))

    def synced(number: int) -> list[Outcome]:
        """Take a part whole in one task: no iterator goes from worker to worker."""
        journal = tmp_path / f"journal-{number}"
        return [*stac.sync(path, "STAC", journal, partition=f"{number}/3")]

    for expected in ({State.REGISTERED: 9 * ASSETS, State.ALREADY_THERE: ITEMS * ASSETS}, {}):
        done = dask.compute(*[delayed(synced)(number) for number in (1, 2, 3)])
        assert Registration(outcome for part in done for outcome in part).counts == expected
