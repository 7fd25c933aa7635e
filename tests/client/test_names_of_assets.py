"""Names of assets: by the catalogue's own href, wherever the bytes come from."""

from __future__ import annotations

from typing import Any

import pytest

from stac_client._alternates import find_assets, item_views, name_in_rucio, with_replicas
from stac_client._assets import Asset, select_assets
from stac_client._item_completion import Completion
from tests.items import make_item

SAFE = "S2A_MSIL2A_20250731T100041.SAFE"
ODATA = "https://zipper.example.org/odata/v1/Products(0c6f1b1e)/Nodes(x)/$value"


def cdse(**fields: Any) -> dict[str, Any]:
    """Return an asset as CDSE has it: under s3, and as an alternate under an URL of OData."""
    return {
        "href": f"s3://eodata/{SAFE}/GRANULE/IMG_DATA/R10m/T33UUP_B02_10m.jp2",
        "roles": ["data"],
        "alternate:name": "S3",
        "alternate": {"https": {"href": ODATA, "alternate:name": "HTTPS"}},
        **fields,
    }


def named(item: dict[str, Any], key: str, source_rse: str | None = "STAC") -> str:
    """Return the name that an asset is registered by."""
    (asset,) = select_assets(item, key, source_rse=source_rse)
    assert isinstance(asset, Asset), asset
    return asset.did.name


ASSETS: dict[str, Any] = {
    "B02_10m": cdse(),
    "plain": cdse(**{"alternate:name": None}),
    "product": {"href": ODATA, "file:local_path": f"{SAFE}.zip", "roles": ["data"]},
    "red": {
        "href": "https://data.example.org/x.tif",
        "alternate": {"s3": {"href": "s3://b/x.jp2"}},
    },
}
NAMES = {"B02_10m": "B02_10m.jp2", "plain": "plain.jp2", "product": "product.zip", "red": "red.tif"}
REGISTERED = {"B02_10m": ODATA, "plain": ODATA, "product": ODATA, "red": ASSETS["red"]["href"]}


@pytest.mark.parametrize("key", ASSETS)
def test_names_go_by_the_catalogues_own_href(key: str) -> None:
    """An alternate that is fetched in its place does not count, and `file:local_path` does."""
    assert named(make_item(assets=ASSETS), key) == f"/c/i/{NAMES[key]}"


@pytest.mark.parametrize("key", ASSETS)
@pytest.mark.parametrize("prefer", [(), ("DISK-A",), ("DISK-B", "DISK-A"), ("local",)])
@pytest.mark.parametrize("source_rse", ["STAC", None])
def test_names_stay_whatever_copy_is_the_href(
    key: str, prefer: tuple[str, ...], source_rse: str | None
) -> None:
    """What a modifier or a download has written into an item changes no name."""
    path = f"/c/i/{NAMES[key]}"
    copies = {rse: [f"davs://{rse.lower()}.example.org:443{path}"] for rse in ("DISK-A", "DISK-B")}
    pfns = {"STAC": [REGISTERED[key]], **copies, "local": [f"./{NAMES[key]}"]}
    item = make_item(assets={**ASSETS, key: with_replicas(ASSETS[key], pfns, prefer)})
    assert name_in_rucio(item, key, source_rse) == path
    (view,) = (
        each for each in find_assets(item_views(item), None, Completion()) if each.key == key
    )
    assert view.dids[0].name == path
