"""`stac-rucio assets`: which assets are selected and where from, without any server."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from stac_rucio.cli import cli
from stac_rucio.inputs import Connection
from tests.items import make_item

if TYPE_CHECKING:
    from pathlib import Path

    from tests.origin import Origin

RED = "https://data.example.org/red.tif"
ASSETS: dict[str, Any] = {
    "red": {"href": RED, "roles": ["data"]},
    "thumb": {"href": "https://data.example.org/t.png", "roles": ["thumbnail"]},
    "qa": {
        "href": "https://landsatlook.usgs.gov/data/qa.tif",
        "roles": ["data"],
        "alternate": {"s3": {"href": "s3://usgs-landsat/qa.tif"}},
    },
    "own": {"href": "s3://a-bucket-of-somebody/x.tif", "roles": ["data"]},
    "none": {"roles": ["data"]},
}


def lines(path: Path, *options: str, items: Any = None) -> list[dict[str, Any]]:
    """Return what the command says of items."""
    items = [make_item("alps", "scene", ASSETS)] if items is None else items
    path.write_text("\n".join(map(json.dumps, items)))
    ran = CliRunner().invoke(cli, ["assets", str(path), "--json", *options])
    assert ran.exit_code == 0, ran.output
    return [json.loads(line) for line in ran.stdout.splitlines()]


def test_urls_of_files(origin: Origin) -> None:
    """Items come from the URL of a file as from a file; what it lacks is told without its query."""
    content = gzip.compress(json.dumps(make_item("alps", "scene", ASSETS)).encode())
    url = origin.add("/items.json.gz", content)
    ran = CliRunner().invoke(cli, ["assets", url, "--json"])
    assert [json.loads(line)["key"] for line in ran.stdout.splitlines()] == [*ASSETS]
    for path, code in (("none", 1), ("empty", 0)):
        origin.add("/empty", b"")
        ran = CliRunner().invoke(cli, ["assets", f"{origin.url}/{path}?sig=S3CRET"])
        assert ran.exit_code == code
        assert f"{origin.url}/{path}" in ran.stderr
        assert "S3CRET" not in ran.output


@pytest.fixture(autouse=True)
def no_rucio(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody may ask Rucio."""
    monkeypatch.delattr(Connection, "connect")


def test_one_line_for_every_asset(tmp_path: Path) -> None:
    """In the order of the items, selected or not, each with all that is known."""
    found = lines(tmp_path / "i.ndjson")
    assert [(each["key"], each["selected"], each["access"]) for each in found] == [
        ("red", True, "open"),
        ("thumb", False, "open"),
        ("qa", True, "requester pays"),
        ("own", True, "not to be had"),
        ("none", True, "not to be had"),
    ]
    assert {frozenset(each) for each in found} == {frozenset(found[0])}
    assert found[0] == {
        "collection": "alps",
        "item": "scene",
        "key": "red",
        "selected": True,
        "access": "open",
        "fetchable": True,
        "url": RED,
        "needs": "",
        "reason": "",
    }
    assert found[1]["reason"]
    assert found[2]["url"] == "https://usgs-landsat.s3.us-west-2.amazonaws.com/qa.tif"
    assert found[2]["needs"].startswith("the credential gateway, with keys of an AWS account")
    assert [(each["fetchable"], each["url"]) for each in found[3:]] == [(False, None)] * 2
    assert "is public is not known" in found[3]["reason"]
    assert found[4]["reason"] == "no href"


def test_selections_and_alternates(tmp_path: Path) -> None:
    """Options select as those of `plan` do."""
    found = lines(tmp_path / "i.ndjson", "--assets", "thumb,qa", "--alternate-assets", "s3")
    assert [each["key"] for each in found if each["selected"]] == ["thumb", "qa"]
    assert len(found) == len(ASSETS)


def test_items_that_are_none(tmp_path: Path) -> None:
    """They are said to be none."""
    (found,) = lines(
        tmp_path / "i.ndjson", items=[{"type": "Feature", "id": 1, "assets": {"a": 5}}]
    )
    assert (found["selected"], found["fetchable"], found["url"]) == (True, False, None)


def test_items_without_a_collection(tmp_path: Path) -> None:
    """Where their bytes are is told all the same; to be registered they need one."""
    item = make_item("alps", "scene", {"red": ASSETS["red"]})
    del item["collection"]
    (found,) = lines(tmp_path / "i.ndjson", items=[item])
    assert (found["fetchable"], found["url"]) == (True, RED)
    assert "belongs to no collection" in found["reason"]


def test_a_table_for_people(tmp_path: Path) -> None:
    """Without `--json` there is a line for each asset, divided by tabs."""
    path = tmp_path / "i.ndjson"
    lines(path)
    shown = CliRunner().invoke(cli, ["assets", str(path)]).stdout.splitlines()
    assert shown[0].split("\t") == ["alps", "scene", "red", "true", "open", "true", RED, "", ""]
