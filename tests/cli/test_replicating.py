"""`replicate`, `wait`, `status`, `alternates`, `download` and `rules delete` on a real lake."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.items import many_items

from .conftest import rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result
    from rucio.client import Client

    from stac_testbed.lake import Lake


@pytest.fixture
def scenes(run: Callable[..., Result], stac_lake: Lake) -> tuple[Any, ...]:
    """Options for some scenes of the lake whose red band is registered."""
    options = ("--api", stac_lake.stac_url, "-c", "alpine-optical", "--max-items", 2)
    result = run("register", *options, "--rse", "STAC", "--assets", "red")
    assert result.exit_code == 0, result.stderr
    return (*options, "--assets", "red")


@pytest.fixture
def search(scenes: tuple[Any, ...]) -> tuple[Any, ...]:
    """The same without the selection of assets."""
    return scenes[:-2]


def complete_at(run: Callable[..., Result], scenes: tuple[Any, ...]) -> set[Any]:
    """The RSEs that have all assets of an item."""
    lines = run("status", *scenes, "--json").stdout.splitlines()
    return {row["rse"] for row in map(json.loads, lines) if row["complete"]}


def test_from_a_search_to_the_copies(
    run: Callable[..., Result], scenes: tuple[Any, ...], search: tuple[Any, ...], tmp_path: Path
) -> None:
    """Copies are asked for, waited for, found as alternates, downloaded, and given up."""
    before = complete_at(run, scenes)  # other tests copy these scenes, too
    dry = run("replicate", *scenes, "--rses", "DISK-A", "--dry-run")
    assert ["rses", "DISK-A"] in rows(dry)
    assert ["files", "2"] in rows(dry)
    assert ["within_limits", "true"] in rows(dry)
    replicated = run("replicate", *scenes, "--rses", "DISK-A", "--lifetime", 3600)
    assert replicated.exit_code == 0, replicated.stderr
    (rule,) = replicated.stdout.split()
    waited = run("wait", "-", "--poll", 0.2, "--timeout", 60, stdin=replicated.stdout)
    assert waited.exit_code == 0, waited.stderr
    assert rows(waited)[0][:7] == [rule, "OK", "DISK-A", "1", "2", "0", "0"]
    assert rows(waited)[0][-1].startswith("20")  # it ends in this century
    extended = run("replicate", *scenes, "--rses", "DISK-A", "--lifetime", 7200, "--json")
    assert json.loads(extended.stdout)["expires_at"] > rows(waited)[0][-1]

    (whole,) = rows(run("status", "-", stdin=waited.stdout))
    assert whole[2:8] == ["", "", "DISK-A", "2", "0", "0"]
    of_rule = run("status", "-", "--items", stdin=waited.stdout)
    assert {tuple(row[4:8]) for row in rows(of_rule)} == {("DISK-A", "1", "0", "0")}
    assert complete_at(run, scenes) == {*before, "DISK-A", "STAC"}

    near = run("alternates", *search, "--prefer", "DISK-A")
    collection = json.loads(near.stdout)
    assert collection["type"] == "FeatureCollection"
    for item in collection["features"]:
        red = item["assets"]["red"]
        assert red["alternate:name"] == "DISK-A"
        assert requests.get(red["href"], timeout=10).ok
        assert "STAC" in red["alternate"]
    only = json.loads(run("alternates", *search, "--only", "DISK-A").stdout)
    assert {*only["features"][0]["assets"]["red"]["alternate"]} == {"DISK-A"}
    without = json.loads(run("alternates", *search, "--exclude", "DISK-A").stdout)
    assert "DISK-A" not in json.dumps(without)

    folder = tmp_path / "alps"
    downloaded = run("download", *scenes, "--rse", "DISK-A", "--folder", folder, "--workers", 2)
    assert downloaded.exit_code == 0, downloaded.stderr
    assert all(Path(row[4]).is_relative_to(folder) for row in rows(downloaded))
    assert (folder / "catalog.json").exists()

    listed = run("rules", "delete", rule, "--dry-run")
    assert rows(listed)[0][0] == rule
    assert run("rules", "delete", rule).exit_code == 2
    deleted = run("rules", "delete", "-", "--yes", "--at-once", stdin=replicated.stdout)
    assert deleted.exit_code == 0, deleted.stderr


def test_ndjson_stays_ndjson(
    run: Callable[..., Result], items_file: Callable[[list[Any]], str], collection: str
) -> None:
    """Items come out as they came in, in their order and all with their alternates."""
    items = many_items(collection, 230, 1)
    file = items_file(items)
    assert "No copies" in run("alternates", file).stderr
    run("register", file, "--rse", "STAC")
    result = run("alternates", "-", stdin=Path(file).read_bytes())
    assert (result.exit_code, result.stderr) == (0, "")
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert [item["id"] for item in found] == [item["id"] for item in items]
    assert {item["assets"]["band-0"]["alternate:name"] for item in found} == {"STAC"}


@pytest.mark.parametrize("given", ["", '{"type": "FeatureCollection", "features": []}'])
def test_no_items(run: Callable[..., Result], given: str) -> None:
    """Of no items none come out, and what does is still of its form."""
    result = run("alternates", "-", stdin=given)
    assert result.exit_code == 0, result.stderr
    if given:
        assert json.loads(result.stdout) == json.loads(given)
    else:
        assert result.stdout == ""


def test_rules_of_items(
    run: Callable[..., Result], items_file: Callable[[list[Any]], str], collection: str
) -> None:
    """--per-item makes a rule for each item; what goes not with it is refused."""
    file = items_file(many_items(collection, 2, 2))
    run("register", file, "--rse", "STAC")
    replicate = ("replicate", file, "--rses", "DISK-B", "--per-item")
    assert ["rules", "2"] in rows(run(*replicate, "--dry-run"))
    made = run(*replicate, "--json")
    found = [json.loads(line) for line in made.stdout.splitlines()]
    assert {rule["did"] for rule in found} == {
        f"{collection}:/{collection}/item-{number}" for number in range(2)
    }
    status = run("status", "-", "--json", stdin=made.stdout)
    assert {json.loads(line)["rule_id"] for line in status.stdout.splitlines()} == {
        rule["id"] for rule in found
    }
    assert run(*replicate, "--assets", "band-0").exit_code == 2


def test_waiting_ends_with_the_time(
    run: Callable[..., Result], items_file: Callable[[list[Any]], str], collection: str
) -> None:
    """Copies from a host that is not there do not come; exit code 6 says so."""
    file = items_file(many_items(collection, 1, 1))
    run("register", file, "--rse", "STAC")
    replicated = run("replicate", file, "--rses", "DISK-A")
    result = run("wait", "-", "--timeout", 0, stdin=replicated.stdout)
    assert result.exit_code == 6
    assert "stac-rucio status" in result.stderr
    assert len(rows(result)) == 1


def test_waiting_ends_with_what_is_suspended(
    run: Callable[..., Result],
    rucio: Client,
    items_file: Callable[[list[Any]], str],
    collection: str,
) -> None:
    """Rules that will not change by themselves are not waited for."""
    file = items_file(many_items(collection, 1, 1))
    run("register", file, "--rse", "STAC")
    replicated = run("replicate", file, "--rses", "DISK-A")
    rucio.update_replication_rule(replicated.stdout.strip(), {"state": "SUSPENDED"})
    for option in ((), ("--through-stuck",)):
        result = run("wait", "-", "--timeout", 3600, *option, stdin=replicated.stdout)
        assert result.exit_code == 6
        assert "not OK but SUSPENDED" in result.stderr
    status = run("status", "-", stdin=replicated.stdout)
    assert status.exit_code == 6
    assert "1 of 1 rule SUSPENDED" in status.stderr
    assert rows(status)[0][1] == "SUSPENDED"
    assert "may be too small" in rows(status)[0][-1]
    again = run("replicate", file, "--rses", "DISK-A")
    assert (again.exit_code, again.stdout) == (1, "")
    assert replicated.stdout.strip() in again.stderr


def test_unregistered_assets_are_not_replicated(
    run: Callable[..., Result], items_file: Callable[[list[Any]], str], collection: str
) -> None:
    """The error names the verb that registers, not a method."""
    result = run("replicate", items_file(many_items(collection, 1, 1)), "--rses", "DISK-A")
    assert result.exit_code == 1
    assert "with `stac-rucio register`" in result.stderr
