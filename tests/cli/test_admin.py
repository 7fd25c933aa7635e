"""`admin setup-rse`, `admin doctor` and `admin scope` on a real Rucio server."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.items import many_items

from .conftest import rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from click.testing import Result
    from rucio.client import Client

    from stac_testbed.lake import Lake


@pytest.fixture
def source(rucio: Client) -> Iterator[str]:
    """The name of an RSE that is not there, and is gone again afterwards."""
    yield "CLI-SOURCE"
    rucio.delete_rse("CLI-SOURCE")


def test_a_source_rse_is_set_up_once(
    run: Callable[..., Result], rucio: Client, source: str, items_file: Callable[[list[Any]], str]
) -> None:
    """What will be done is shown, then done; a second time there is nothing to do."""
    file = items_file(many_items("cli-setup", 2, 1))
    setup = ("admin", "setup-rse", source, file, "--destinations", "tier=disk")
    planned = run(*setup, "--dry-run")
    assert planned.exit_code == 0, planned.stderr
    assert run(*setup).exit_code == 2
    assert source not in {rse["rse"] for rse in rucio.list_rses()}
    done = run(*setup, "--yes")
    assert done.exit_code == 0, done.stderr
    assert done.stdout == planned.stdout
    assert "add scope cli-setup for account root" in done.stdout
    again = run(*setup)
    assert (again.exit_code, again.stdout) == (0, "")
    schemes = {protocol["scheme"] for protocol in rucio.get_rse(source)["protocols"]}
    assert schemes == {"https"}


def test_doctor(run: Callable[..., Result], stac_lake: Lake) -> None:
    """A lake that is well has no errors; an RSE that does not exist is one, with its fix."""
    doctor = ("admin", "doctor", "--destinations", "tier=disk", "--json")
    well = run(*doctor, "STAC", "--api", stac_lake.stac_url, "--sample", 2)
    assert well.exit_code == 0, well.stderr
    findings = [json.loads(line) for line in well.stdout.splitlines()]
    assert "error" not in {finding["level"] for finding in findings}
    assert any(finding["code"].startswith("resol") for finding in findings)
    ill = run(*doctor, "STACK")
    assert ill.exit_code == 1
    last = json.loads(ill.stdout.splitlines()[-1])
    assert (last["level"], last["code"]) == ("error", "rse-missing")
    assert "near it: STAC" in last["what"]
    assert last["fix"] == "stac-rucio admin setup-rse STACK --destinations tier=disk"
    assert "1 error found" in ill.stderr


def test_scopes(run: Callable[..., Result], stac_lake: Lake) -> None:
    """The scopes of collections are added, those that are there stay."""
    typed = ("admin", "scope", "cli-scope", "a" * 40, "--yes")
    added = run(*typed)
    assert added.exit_code == 0, added.stderr
    assert len(rows(added)) == 2
    again = run(*typed)
    assert (again.exit_code, again.stdout) == (0, "")
    assert again.stderr.count(" exists") == 2
    of_api = run("admin", "scope", "--api", stac_lake.stac_url, "--dry-run")
    assert of_api.stderr.count(" exists") == len(stac_lake.collections)
