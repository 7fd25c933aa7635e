"""Metadata of datasets: what is usable of items, and nothing else."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stac_client._checksums import Checksums
from stac_client._writer import item_metadata
from tests.items import make_item

URL = "https://stac.example.org/collections/alps/items/scene"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=50),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


def test_a_whole_item() -> None:
    """Ids, times, place and URL are taken as the item has them."""
    given_item = make_item("alps", "scene", {}, self_link=URL) | {"bbox": [9.5, 46, 17.0, 49]}
    given_item["properties"] = {
        "datetime": None,
        "start_datetime": "2025-06-01T00:00:00Z",
        "end_datetime": "2025-06-02T00:00:00.000001+02:00",
    }
    assert item_metadata(given_item) == {
        "stac_collection": "alps",
        "stac_item": "scene",
        "stac_start_datetime": "2025-06-01T00:00:00Z",
        "stac_end_datetime": "2025-06-02T00:00:00.000001+02:00",
        "stac_bbox": [9.5, 46, 17.0, 49],
        "stac_url": URL,
    }


@pytest.mark.parametrize(
    "changed",
    [
        {"properties": None},
        {"properties": {"datetime": 2025}},
        {"properties": {"datetime": "2025-06-01T00:00:00Z" * 5}},
        {"bbox": [1, 2, 3]},
        {"bbox": [1, 2, 3, "4"]},
        {"bbox": [1, 2, 3, math.nan]},
        {"bbox": [1, 2, 3, True]},
        {"links": [{"rel": "self", "href": f"{URL}?token=SECRET"}]},
        {"links": [{"rel": "self", "href": "/data/scene.json"}, "x"]},
        {"links": None},
    ],
)
def test_what_is_of_no_use(changed: dict[str, Any]) -> None:
    """What is missing, odd, or carries a secret is left out, and nothing else with it."""
    plain = make_item("alps", "scene", {}) | {"properties": {}}
    assert item_metadata(plain | changed) == {"stac_collection": "alps", "stac_item": "scene"}


@given(st.fixed_dictionaries({"properties": JSON, "bbox": JSON, "links": JSON}))
def test_any_item(fields: dict[Any, Any]) -> None:
    """Whatever an item says, its metadata is JSON and of bounded size."""
    metadata = item_metadata(make_item("alps", "scene", {}) | fields)
    assert {"stac_collection", "stac_item"} <= metadata.keys()
    assert len(json.dumps(metadata, allow_nan=False)) < 2000


def test_sha256() -> None:
    """A multihash of SHA-256 is given as such; one of another function is not."""
    digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    assert Checksums(multihash=f"1220{digest}").sha256 == digest
    assert Checksums(multihash="d50110" + "0" * 32).sha256 is None
    assert Checksums().sha256 is None
