"""`plan`, `register`, `sync` and `deregister` on a real Rucio server."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from stac_client._registration import MetadataWarning
from tests.items import make_asset, make_item, many_items

from .conftest import rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result
    from rucio.client import Client

    from stac_testbed.lake import Lake


def test_plan_of_a_search(run: Callable[..., Result], stac_lake: Lake) -> None:
    """A search is planned with pystac-client's options, and nothing is written."""
    result = run(
        *("plan", "--api", stac_lake.stac_url, "-c", *stac_lake.collections),
        *("--max-items", 5, "--limit", 2, "--rse", "STAC", "--json"),
    )
    assert result.exit_code == 0, result.stderr
    plan = json.loads(result.stdout)
    assert plan["items"] == 5
    assert plan["files"] == sum(plan["hosts"].values())


def test_search_options_reach_the_api(run: Callable[..., Result], stac_lake: Lake) -> None:
    """Collections, ids, times and places narrow a search as in stac-client."""
    api = ("plan", "--rse", "STAC", "--json", "--api", stac_lake.stac_url)

    def items(*options: Any) -> Any:
        result = run(*api, *options)
        assert result.exit_code == 0, result.stderr
        return json.loads(result.stdout)["items"]

    everything = items()
    (first, second) = stac_lake.collections
    assert items("-c", first) + items("--collections", second) == everything
    assert items("-c", f"{first},{second}", "--datetime", "1999-01-01/1999-12-31") == 0
    assert items("--bbox", "-10", "-10", "-9", "-9") == 0
    point = '{"type": "Point", "coordinates": [-10, -10]}'
    assert items("--intersects", point) == 0
    assert 0 < items("--bbox", 6.8, 45.7, 7, 46) < everything


def test_register_gives_a_line_for_each_asset(
    run: Callable[..., Result], items_file: Callable[[list[Any]], str], collection: str
) -> None:
    """Each asset has its line; again, all are there already."""
    file = items_file(many_items(collection, 2, 2))
    first = run("register", file, "--rse", "STAC")
    assert first.exit_code == 0, first.stderr
    item = f"{collection}:/{collection}/item-0/band-0.tif"
    assert [collection, "item-0", "band-0", "registered", item, ""] in rows(first)
    assert len(rows(first)) == 4
    again = run("register", "-", "--rse", "STAC", "--json", stdin=Path(file).read_bytes())
    states = [json.loads(line)["state"] for line in again.stdout.splitlines()]
    assert states == ["already there"] * 4


def test_what_is_no_item_spoils_no_other(
    run: Callable[..., Result], tmp_path: Path, collection: str
) -> None:
    """What is no item among those of an array is one failure, and the others are registered."""
    file = tmp_path / "items.json"
    file.write_text(json.dumps([None, *many_items(collection, 1, 1), {"id": "x"}]), "utf-8-sig")
    result = run("register", file, "--rse", "STAC")
    assert result.exit_code == 1
    assert sorted(row[1:4] for row in rows(result)) == [
        ["", "", "failed"],
        ["item-0", "band-0", "registered"],
        ["x", "", "failed"],
    ]
    assert "not a STAC item" in result.stderr


@pytest.mark.parametrize("verb", [("plan", "--rse", "STAC"), ("alternates",), ("status",)])
@pytest.mark.parametrize("start", [b"", b'{"type": "Feature"}\n'])
def test_items_without_a_bottom(
    run: Callable[..., Result], verb: tuple[Any, ...], start: bytes
) -> None:
    """JSON that is nested too deeply is told in words, by whatever reads it."""
    result = run(*verb, "-", stdin=start + b"[" * 100_000)
    assert result.exit_code == 5
    assert "standard input" in result.stderr
    assert "nested too deeply" in result.stderr
    assert result.stderr.count("\n") == 1


def test_selected_assets(
    run: Callable[..., Result], items_file: Callable[[list[Any]], str], collection: str
) -> None:
    """Keys, roles and media types select together, and a key that no item has is told."""
    assets = {
        "red": make_asset("https://data.example.org/r.tif") | {"type": "image/tiff; profile=x"},
        "nir": make_asset("https://data.example.org/n.jp2") | {"type": "image/jp2"},
        "quick": make_asset("https://data.example.org/q.tif") | {"roles": ["overview"]},
    }
    file = items_file([make_item(collection, "i", assets)])
    register = ("register", file, "--rse", "STAC")
    assert [row[2] for row in rows(run(*register, "--role", "overview"))] == ["quick"]
    assert [row[2] for row in rows(run(*register, "--media-type", "image/tiff"))] == ["red"]
    both = run(*register, "--assets", "red,nir", "--assets", "quick", "--role", "data")
    assert [row[2] for row in rows(both)] == ["red", "nir"]
    said = "no item has an asset with this key; near it: red"
    misspelt = rows(run(*register, "--assets", "rde,nir"))
    states = [["nir", "already there", ""], ["rde", "skipped", said]]
    assert sorted([*row[2:4], row[5]] for row in misspelt) == states


@pytest.mark.parametrize(
    ("verb", "of"),
    [
        (("plan", "--rse", "STAC"), "stdout"),
        (("assets",), "stderr"),
        (("status",), "stderr"),
        (("replicate", "--rses", "tier=disk", "--dry-run"), "stderr"),
        (("deregister", "--rse", "STAC", "--yes"), "stdout"),
    ],
)
def test_a_key_that_no_item_has(
    run: Callable[..., Result],
    items_file: Callable[[list[Any]], str],
    collection: str,
    verb: tuple[str, ...],
    of: str,
) -> None:
    """Whatever is done, a key that no item has is told with those near it, also with a role."""
    file = items_file(many_items(collection, 1, 2))
    assert run("register", file, "--rse", "STAC").exit_code == 0
    for role in ((), ("--role", "data")):
        result = run(*verb, file, "--assets", "band-0,bnad-1", *role)
        told = str(getattr(result, of))
        assert "no item has an asset with this key; near it: band-1" in told, result


def test_failed_assets_give_exit_code_1(
    run: Callable[..., Result], items_file: Callable[[list[Any]], str]
) -> None:
    """Assets that fail are told, each with its reason, and the first on standard error."""
    file = items_file(many_items("no-such-scope", 1, 2))
    result = run("register", file, "--rse", "STAC")
    assert result.exit_code == 1
    assert {row[3] for row in rows(result)} == {"failed"}
    assert result.stderr.count("\n") == 1
    assert "2 of 2 assets failed; the first: no-such-scope/item-0 asset band-0" in result.stderr


def test_dry_run_registers_nothing(
    run: Callable[..., Result], items_file: Callable[[list[Any]], str], collection: str
) -> None:
    """--dry-run shows the plan, before and after."""
    file = items_file(many_items(collection, 1, 3))
    for verb in ("register", "sync"):
        result = run(verb, file, "--rse", "STAC", "--dry-run")
        assert result.exit_code == 0, result.stderr
        assert ["files", "3"] in rows(result)
        assert ["already_there", "0"] in rows(result)


def test_sync_takes_only_what_is_new(
    run: Callable[..., Result], items_file: Callable[[list[Any]], str], collection: str
) -> None:
    """A second sync passes over what its journal has; so does its --dry-run."""
    items = many_items(collection, 3, 1)
    sync = ("sync", items_file(items[:2]), "--rse", "STAC")
    first = run(*sync)
    assert first.exit_code == 0, first.stderr
    journal = Path(first.stderr.removeprefix("Journal: ").strip())
    assert journal.exists()
    assert journal.name.startswith("STAC-items.ndjson-")
    assert run(*sync).stdout == ""
    items_file(items)
    assert ["files", "1"] in rows(run(*sync, "--dry-run"))
    assert [row[1] for row in rows(run(*sync))] == ["item-2"]


def test_a_sync_that_looks_further_does_the_rest(
    run: Callable[..., Result],
    items_file: Callable[[list[Any]], str],
    collection: str,
    stac_lake: Lake,
) -> None:
    """What was skipped as its size was not known is looked up with the same journal."""
    url = f"{stac_lake.layout.url('origin-a')}/alpine-optical/aletsch-20250611/red.tif"
    file = items_file([make_item(collection, assets={"a": {"href": url}})])
    sync = ("sync", file, "--rse", "STAC")
    assert [row[3] for row in rows(run(*sync, "--probe", "item"))] == ["skipped"]
    assert ["files", "1"] in rows(run(*sync, "--dry-run"))
    assert [row[3] for row in rows(run(*sync))] == ["registered"]
    assert ["files", "0"] in rows(run(*sync, "--dry-run"))
    assert run(*sync).stdout == ""


def test_another_selection_has_another_journal(
    run: Callable[..., Result], items_file: Callable[[list[Any]], str], collection: str
) -> None:
    """What is synced of other assets is not taken for done."""
    sync = ("sync", items_file(many_items(collection, 1, 2)), "--rse", "STAC", "--assets")
    assert [row[2] for row in rows(run(*sync, "band-0"))] == ["band-0"]
    assert [row[2] for row in rows(run(*sync, "band-1"))] == ["band-1"]


def test_containers_and_metadata(
    run: Callable[..., Result],
    rucio: Client,
    items_file: Callable[[list[Any]], str],
    collection: str,
) -> None:
    """A registration may make containers, and give the datasets metadata."""
    file = items_file(many_items(collection, 1, 1))
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        result = run("register", file, "--rse", "STAC", "--containers", "--metadata")
    assert result.exit_code == 0, result.stderr
    content = [entry["name"] for entry in rucio.list_content(collection, f"/{collection}")]
    assert content == [f"/{collection}/item-0"]
    # A server whose database holds no JSON has no such metadata, and says so.
    if not any(issubclass(one.category, MetadataWarning) for one in warned):
        metadata = rucio.get_metadata(collection, f"/{collection}/item-0", plugin="ALL")
        assert "stac_datetime" in metadata


@pytest.mark.parametrize("said", [("--yes",), ()])
def test_deregister(
    run: Callable[..., Result],
    items_file: Callable[[list[Any]], str],
    stac_lake: Lake,
    said: tuple[Any, ...],
) -> None:
    """Assets are taken out by a registrar who says so, and nobody else."""
    collection = f"cli-deregister-{len(said)}"
    stac_lake.client().add_scope("registrar", collection)
    file = items_file(many_items(collection, 1, 2))
    run("register", file, "--rse", "STAC", "--account", "registrar")
    deregister = ("deregister", file, "--rse", "STAC", "--account", "registrar")
    assert rows(run(*deregister, "--dry-run")) == [["files", "2"], ["registered", "2"]]
    result = run(*deregister, *said)
    if said:
        assert {row[3] for row in rows(result)} == {"deregistered"}
        assert result.exit_code == 0
    else:
        assert result.exit_code == 2
        assert "pass --yes" in result.stderr
    left = "0" if said else "2"
    assert ["registered", left] in rows(run(*deregister, "--dry-run"))
