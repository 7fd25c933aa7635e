"""What etc/ has for Rucio's own import of RSEs, and for its configuration."""

from __future__ import annotations

import configparser
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from stac_client._source_rse import disabled_priority
from stac_client.admin import plan_setup
from tests.policy.multi_vo_processes import run_module

if TYPE_CHECKING:
    from rucio.client import Client

    from stac_testbed.lake import Lake

ETC = Path(__file__).parents[2] / "etc"
RSES = ETC / "rses.json"


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


def test_configurations(stac_lake: Lake, tmp_path: Path) -> None:
    """Rucio loads all that is ours from both, with what is commented out as well."""
    server = configparser.RawConfigParser()
    server.read(stac_lake.layout.server_cfg)
    database = f"[database]\ndefault = {server['database']['default']}\n"
    for name, more in (("rucio.cfg", database), ("rucio-client.cfg", "")):
        text = re.sub(r"(?m)^# (\[\w+\]|\w+ = .*)$", r"\1", (ETC / name).read_text())
        path = tmp_path / name
        path.write_text(text.replace("= /opt/rucio/etc/origins.tsv", "=") + more)
        code, found = run_module(path)
        assert (code, [each for each in found if not each["ok"]]) == (0, [])
