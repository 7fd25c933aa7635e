"""What etc/ has for Rucio's own import of RSEs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from stac_client._source_rse import disabled_priority
from stac_client.admin import plan_setup

if TYPE_CHECKING:
    from rucio.client import Client

RSES = Path(__file__).parents[2] / "etc" / "rses.json"


def test_import(rucio: Client) -> None:
    """Rucio imports the RSEs, a second time as well; then setup-rse has nothing to add."""
    # Before Rucio 39 an operation is off with 0.
    off = json.dumps(disabled_priority(rucio.ping()["version"]))
    text = RSES.read_text().replace(": null", f": {off}")
    for name in ("STAC", "DISK-A"):
        text = text.replace(f'"{name}"', f'"{name}-IMPORTED"')
    for _ in range(2):
        rucio.import_data(json.loads(text))
        setup = plan_setup(rucio, "STAC-IMPORTED", destinations="DISK-A-IMPORTED")
        assert list(setup.changes) == []
    for rse in rucio.list_rses("DISK-A-IMPORTED|STAC-IMPORTED"):
        rucio.delete_rse(rse["rse"])
