"""patch_url: from the URL of an asset to that of its preferred copy; Rucio is not asked here."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pystac
import pytest
from rucio.common.exception import DatabaseException

from stac_client import AlternatesWarning, ConfigurationError, StacClient
from stac_client._modifier import patch_url
from stac_policy.naming import DID
from tests.fake_rucio import FakeRucio
from tests.items import make_item

from .modifying import modifier_of

RED, NIR = "https://origin.example.org/red.tif", "https://origin.example.org/nir.tif"
NEAR, FAR = "https://near.example.org/red.tif", "https://far.example.org/red.tif"


@pytest.fixture
def replicas() -> FakeRucio:
    """Copies of one of two assets."""
    return FakeRucio({DID("c", "/c/i/red.tif"): {"STAC": [RED], "NEAR": [NEAR], "FAR": [FAR]}})


@pytest.fixture
def items() -> list[Any]:
    """An item with two assets."""
    return [make_item(assets={"red": {"href": RED}, "nir": {"href": NIR}})]


def test_preferred_copy(items: list[Any], replicas: FakeRucio) -> None:
    """The URL of an asset becomes that of its copy; one without a copy, or unknown, stays.

    So it does with a function that was copied, or pickled for another process.
    """
    replicas.rses["TAPE"] = {}
    made = patch_url(items, modifier_of(replicas, prefer=["TAPE", "NEAR"]))
    for patch in (made, copy.deepcopy(made), pickle.loads(pickle.dumps(made))):  # noqa: S301 - our own
        assert [patch(url) for url in (RED, NIR, "s3://other")] == [NEAR, NIR, "s3://other"]


def test_one_request_for_all_items(items: list[Any], replicas: FakeRucio) -> None:
    """Rucio is asked once, before the function is called."""
    patch = patch_url(items * 100, modifier_of(replicas, prefer=["NEAR"]))
    assert [patch(RED) for _ in range(10)] == [NEAR] * 10
    assert replicas.asked == [2]


def test_items_are_not_changed(items: list[Any], replicas: FakeRucio) -> None:
    """The items come out of it as they went in, as dicts and as objects."""
    before = copy.deepcopy(items)
    objects = pystac.ItemCollection(items)
    for given in (items, objects):
        assert patch_url(given, modifier_of(replicas, prefer=["NEAR"]))(RED) == NEAR
    assert items == before
    assert [each.assets["red"].to_dict() for each in objects] == [{"href": RED}]


def test_items_that_prefer_already(items: list[Any], replicas: FakeRucio) -> None:
    """Items whose href is a copy already are read from the copy that is preferred now."""
    modifier_of(replicas, prefer=["FAR"])({"type": "FeatureCollection", "features": items})
    assert items[0]["assets"]["red"]["href"] == FAR
    assert patch_url(items, modifier_of(replicas, prefer=["NEAR"]))(FAR) == NEAR
    assert patch_url(items, modifier_of(replicas, prefer=["FAR"]))(FAR) == FAR


def test_relative_hrefs(replicas: FakeRucio) -> None:
    """A relative href is known as it stands in the item, and resolved, as tools resolve it."""
    relative = make_item(
        assets={"red": {"href": "./red.tif"}}, self_link="https://origin.example.org/i.json"
    )
    patch = patch_url([relative], modifier_of(replicas, prefer=["NEAR"]))
    assert [patch(url) for url in ("./red.tif", RED)] == [NEAR, NEAR]


def test_odd_items(replicas: FakeRucio) -> None:
    """Items without usable assets, links or hrefs do no harm."""
    odd = [
        make_item(assets={"red": {"href": None}, "nir": None}),
        {**make_item(assets={}), "assets": None, "links": None},
    ]
    assert patch_url(odd, modifier_of(replicas, prefer=["NEAR"]))(RED) == RED


def test_items_are_needed_again(items: list[Any], replicas: FakeRucio) -> None:
    """An iterator of items is refused: the tool would find it empty."""
    with pytest.raises(
        ConfigurationError, match="items is an iterator and would be exhausted; pass a list"
    ):
        patch_url(iter(items), modifier_of(replicas, prefer=["NEAR"]))


def test_rucio_is_down(items: list[Any], replicas: FakeRucio) -> None:
    """URLs stay as they are where Rucio cannot be asked, with the modifier's warning."""
    replicas.told["list_replicas"] = DatabaseException()
    with pytest.warns(AlternatesWarning):
        patch = patch_url(items, modifier_of(replicas, prefer=["NEAR"]))
    assert patch(RED) == RED


def test_method_of_the_client(items: list[Any], replicas: FakeRucio) -> None:
    """StacClient offers it, with its own scope."""
    assert StacClient(replicas).patch_url(items, prefer=["NEAR"])(RED) == NEAR
    assert "://" not in repr(StacClient(replicas).patch_url(items, prefer=["NEAR"]))
    assert StacClient(replicas, scope="other").patch_url(items, prefer=["NEAR"])(RED) == RED
