"""A lake's server whose policy package is a site's own."""

from __future__ import annotations

import configparser
from functools import partial
from typing import TYPE_CHECKING

from stac_testbed import STORAGE_RSES
from tests import site_package
from tests.lake.clients import rucio_client
from tests.policy.multi_vo_processes import run_module
from tests.servers import running_server

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from stac_testbed.lake import Lake


def test_a_site_with_rules_of_its_own(
    stac_lake: Lake, collection: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rules, those of registrars and Rucio's hold together, and the self-check finds all."""
    config = configparser.RawConfigParser()
    config.read(stac_lake.layout.server_cfg)
    config.set("policy", "package", site_package.PACKAGE)
    config.set("policy", "lfn2pfn_algorithm_default", "met_by_day")
    rucio_cfg = tmp_path / "server.cfg"
    with rucio_cfg.open("w") as file:
        config.write(file)
    with running_server(tmp_path, rucio_cfg, site_package.FOLDER) as url:
        client = partial(rucio_client, stac_lake, rucio_host=url, auth_host=url)
        disk = next(iter(STORAGE_RSES.values()))
        site_package.check(lambda name: client(account=name), collection, "STAC", disk)
    monkeypatch.setenv("PYTHONPATH", str(site_package.FOLDER))
    code, found = run_module(rucio_cfg)
    assert [finding for finding in found if not finding["ok"]] == []
    assert code == 0
    assert {"permission", "schema", "default scope", "lfn2pfn stac"} <= {
        finding["what"] for finding in found
    }
