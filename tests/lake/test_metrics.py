"""What the operator of a running server sees: its metrics, beside Rucio's own, and its log."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import requests
from rucio.common.exception import RucioException

from stac_testbed import STORAGE_RSES

if TYPE_CHECKING:
    from stac_testbed import Lake


SECRET = "s3cr3t"  # noqa: S105 - no log may hold it


def metrics(lake: Lake) -> dict[Any, Any]:
    """The value of each metric, as Prometheus reads them."""
    answer = requests.get(f"{lake.rucio_url}/metrics/", timeout=60)
    assert answer.status_code == 200
    return {
        name: float(value)
        for name, value in re.findall(r"^([^#\s]\S*) (\S+)$", answer.text, re.MULTILINE)
    }


def test_a_lake(stac_lake: Any) -> None:
    """URLs that a server refuses are counted where Rucio's own metrics are, and logged."""
    refused = 'stac_policy_refused_urls_total{where="rse"}'
    before = metrics(stac_lake).get(refused, 0)
    rucio = stac_lake.client()
    rucio.add_scope("root", "metrics")
    file = {"scope": "metrics", "bytes": 10, "adler32": "0000000a"}
    for number in range(3):
        name = f"/metrics/i/{number}.tif"
        url = f"https://user:{SECRET}@data.example.org/{number}.tif?sig={SECRET}"
        with pytest.raises(RucioException):
            rucio.add_replicas("STAC", [{**file, "name": name, "pfn": url}])
    rucio.add_dataset("metrics", "dataset")
    rucio.add_replication_rule(
        [{"scope": "metrics", "name": "dataset"}], 1, next(iter(STORAGE_RSES.values()))
    )
    found = metrics(stac_lake)
    assert found[refused] >= before + 3
    rules = [name for name in found if name.endswith("rule_add_rule_total_count")]
    assert sum(found[name] for name in rules) >= 1
    log = (stac_lake.layout.logs / "rucio-server.log").read_text()
    assert "RSE STAC refuses https://data.example.org/0.tif: " in log
    assert SECRET not in log
