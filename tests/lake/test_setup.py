"""The recipes of etc/, followed on a real Rucio server."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from stac_testbed import STORAGE_RSES

from .conftest import many_items

ETC = Path(__file__).parents[2] / "etc"


def test_source_rse(stac_lake, client, rucio, collection):
    """The script makes an RSE that takes registrations, refuses rules and feeds transfers."""
    disk = next(iter(STORAGE_RSES.values()))
    subprocess.run(  # noqa: S603 - a script of this project
        [ETC / "source-rse.sh", "STAC-TOO", stac_lake.layout.url("transfers"), disk],
        env={
            **os.environ,
            **stac_lake.environment("root"),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        },
        check=True,
        timeout=120,
    )
    made, sample = rucio.get_rse("STAC-TOO"), rucio.get_rse("STAC")
    assert {key for key in sample if made[key] != sample[key]} == {"id", "rse"}
    attributes = [
        {key: value for key, value in rucio.list_rse_attributes(rse).items() if key != rse}
        for rse in ("STAC-TOO", "STAC")
    ]
    assert attributes[0] == attributes[1]
    assert rucio.get_distance("STAC-TOO", disk)[0]["distance"] == 1
    client.create_replicas(many_items(collection, 1, 1), "STAC-TOO").raise_for_failed()
