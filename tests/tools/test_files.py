"""Tools that write files: stac-asset, pystac, and pystac-client's command line."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np
import pystac
import pytest
import rasterio
import requests
from pystac.extensions.alternate_assets import AlternateAssetsExtension
from pystac.validation import JsonSchemaSTACValidator

from stac_client import ALTERNATE_ASSETS
from stac_testbed.scenes import FILE_EXTENSION, PROJECTION_EXTENSION

from .conftest import DAVS, ITEMS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from stac_client import StacClient
    from stac_testbed.lake import Lake
    from tests.tools.conftest import Reads


# In a process of its own: aiohttp reads certificates when it is imported.
_STAC_ASSET = """
import json, sys
import pystac, stac_asset.blocking

folder, *alternates = sys.argv[1:]
items = pystac.ItemCollection.from_dict(json.load(sys.stdin))
config = stac_asset.Config(alternate_assets=alternates, include=["red"], warn=False)
stac_asset.blocking.download_item_collection(items, folder, config=config)
"""


@pytest.mark.parametrize(
    ("alternates", "service"),
    [
        (["NOWHERE", "DISK-B", "DISK-A"], "storage-b"),
        (["DISK-A"], "storage-a"),
        ([DAVS], "storage-a"),
        (["NOWHERE"], "origin-a"),
    ],
)
def test_stac_asset_downloads_an_alternate(
    search: Callable[..., Any],
    client: StacClient,
    reads: Reads,
    *,
    scene_files: dict[Any, Any],
    tmp_path: Path,
    alternates: list[str],
    service: str,
) -> None:
    """stac-asset downloads the first of the alternates that it is told and that is there."""
    items = search(client.modifier)
    subprocess.run(  # noqa: S603 - this very Python
        [sys.executable, "-c", _STAC_ASSET, tmp_path, *alternates],
        input=json.dumps(items.to_dict(transform_hrefs=False)),
        text=True,
        check=True,
        timeout=60,
    )
    for item in ITEMS:
        assert (tmp_path / item / "red.tif").read_bytes() == scene_files[item].read_bytes()
    assert reads.services() == {service}


@pytest.fixture
def validator() -> JsonSchemaSTACValidator:
    """The validator of pystac, with schemas that need no network."""
    validator = JsonSchemaSTACValidator()
    schema = resources.files("stac_testbed").joinpath("alternate-assets.schema.json").read_text()
    validator.schema_cache[ALTERNATE_ASSETS] = json.loads(schema)
    anything = {"$schema": "http://json-schema.org/draft-07/schema#"}
    for uri in (FILE_EXTENSION, PROJECTION_EXTENSION):  # not what is tested
        validator.schema_cache[uri] = anything
    return validator


@pytest.mark.parametrize("prefer", [[], ["DISK-A"], [DAVS]])
def test_pystac_saves_and_validates(
    search: Callable[..., Any],
    client: StacClient,
    reads: Reads,
    *,
    scene_files: dict[Any, Any],
    tmp_path: Path,
    validator: JsonSchemaSTACValidator,
    prefer: list[Any],
) -> None:
    """Saved items with alternates are valid, and their copies are found after reading them."""
    catalogue = pystac.Catalog("near", "Scenes with their copies.")
    catalogue.add_items(search(client.modifier.with_options(prefer=prefer)))
    catalogue.normalize_and_save(str(tmp_path), pystac.CatalogType.SELF_CONTAINED)
    again = pystac.Catalog.from_file(str(tmp_path / "catalog.json"))
    items = list(again.get_items())
    assert sorted(item.id for item in items) == sorted(ITEMS)
    for item in items:
        assert ALTERNATE_ASSETS in item.validate(validator=validator)
        copy = AlternateAssetsExtension.ext(item).get_asset("red", "DISK-A")
        content = requests.get(copy.href, timeout=60).content
        assert content == scene_files[item.id].read_bytes()
    assert reads.services() == {"storage-a"}


def test_pystac_refuses_what_is_not_valid(
    search: Callable[..., Any], client: StacClient, validator: JsonSchemaSTACValidator
) -> None:
    """The validation of the test above can fail."""
    (item, *_) = search(client.modifier)
    item.assets["red"].extra_fields["alternate"] = {}
    with pytest.raises(pystac.STACValidationError, match="alternate"):
        item.validate(validator=validator)


def test_pystac_client_command_line(
    stac_lake: Lake, client: StacClient, reads: Reads, pixels: dict[Any, Any], tmp_path: Path
) -> None:
    """What pystac-client's command has saved is read from the preferred copy after the modifier."""
    file = tmp_path / "items.json"
    command = [sys.executable, "-m", "pystac_client.cli", "search", stac_lake.stac_url]
    subprocess.run(  # noqa: S603 - this very Python
        [*command, "--ids", *ITEMS, "--save", file], check=True, timeout=60
    )
    items = pystac.ItemCollection.from_file(str(file))
    client.modifier.with_options(prefer=["DISK-B"])(items)
    assert sorted(item.id for item in items) == sorted(ITEMS)
    for item in items:
        with rasterio.open(item.assets["red"].href) as dataset:
            np.testing.assert_array_equal(dataset.read(1), pixels[item.id])
    assert reads.services() == {"storage-b"}
