"""What `stac-rucio` makes of items that name no collection or lie nowhere."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.items import make_item
from tests.origin import running_origin

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

ASSETS = {"red": {"href": "./red.tif", "roles": ["data"]}}
COLLECTION = {"type": "Collection", "id": "alps", "extent": {}, "links": []}


def linked(href: str) -> dict[str, Any]:
    """Return an item without a collection, but with a link to one."""
    return make_item(None, "i", ASSETS, links=[{"rel": "collection", "href": href}])


def shown(result: Result) -> dict[str, Any]:
    """Return what `assets --json` says of the only asset."""
    assert result.exit_code == 0, result.stderr
    (line,) = result.stdout.splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


def test_assets_of_files(run: Callable[..., Result], tmp_path: Path) -> None:
    """A collection beside an item is read, and the options give what is missing."""
    path = tmp_path / "i" / "item.json"
    path.parent.mkdir()
    path.write_text(json.dumps(linked("../collection.json")))
    found = shown(run("assets", path, "--json"))
    assert "belongs to no collection" in found["reason"]
    (tmp_path / "collection.json").write_text(json.dumps(COLLECTION))
    found = shown(run("assets", path, "--json"))
    assert (found["collection"], found["url"]) == ("alps", None)
    assert "--base-url" in found["reason"]
    found = shown(run("assets", path, "--json", "--base-url", "https://data.example.org/x"))
    assert found["url"] == "https://data.example.org/x/red.tif"
    options = ("--json", "--collection", "x", "--base-url", "https://data.example.org/")
    found = shown(run("assets", "-", *options, stdin=path.read_text()))
    assert (found["collection"], found["url"]) == ("x", "https://data.example.org/red.tif")


def test_options_count_for_each_file(run: Callable[..., Result], tmp_path: Path) -> None:
    """Not for the first alone."""
    paths = [tmp_path / "a.json", tmp_path / "b.json"]
    for path in paths:
        path.write_text(json.dumps(linked("collection.json")))
    result = run("assets", *paths, "--json", "--collection", "x")
    assert [json.loads(line)["collection"] for line in result.stdout.splitlines()] == ["x", "x"]
    assert result.stderr == ""


def test_options_that_no_item_needs(run: Callable[..., Result]) -> None:
    """Who takes them for filters is told that they are none."""
    result = run(
        *("assets", "-", "--collection", "x", "--base-url", "https://data.example.org/"),
        stdin=json.dumps(make_item()),
    )
    assert result.exit_code == 0
    assert "--collection: not needed by any item, so without effect" in result.stderr


def test_assets_asks_nobody(run: Callable[..., Result]) -> None:
    """A link of an API is read as it is; a document of another server is not asked for."""
    with running_origin() as origin:
        url = origin.add("/alps.json", json.dumps(COLLECTION).encode())
        text = json.dumps(linked(url))
        found = shown(run("assets", "-", "--json", stdin=text))
        assert f"its collection link {url} was not followed" in found["reason"]
        text = json.dumps(linked(f"{origin.url}/collections/alps"))
        assert shown(run("assets", "-", "--json", stdin=text))["collection"] == "alps"
        assert origin.seen == []


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("items.json", "--base-url", "/data"), "base_url is /data"),
        (("items.json", "--collection", ""), "collection is ''"),
        (("--api", "https://stac.example.org/v1", "--collection", "alps"), "--collections"),
    ],
)
def test_wrong_options(
    run: Callable[..., Result],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    reason: str,
) -> None:
    """They are said to be wrong, before anything is read."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "items.json").write_text(json.dumps(make_item()))
    result = run("assets", *options)
    assert result.exit_code in {2, 5}, result.stdout
    assert reason in result.stderr
