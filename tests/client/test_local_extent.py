"""Extents of collections that grow item by item."""

from __future__ import annotations

import pytest

from stac_client._local_catalogue import Extent
from tests.items import make_item

WORLD = [-180, -90, 180, 90]


def item(bbox, **properties):
    """An item with a box and times."""
    return make_item(bbox=bbox, properties=properties)


def of(*items, **earlier):
    """The box and the time span of a collection with these items."""
    extent = Extent.of_collection(earlier)
    for each in items:
        extent |= Extent.of_item(each)
    found = extent.to_dict()
    assert Extent.of_collection({"extent": found}).to_dict() == found
    return found["spatial"]["bbox"][0], found["temporal"]["interval"][0]


def test_union():
    """The extent holds all items: boxes with and without heights, times and time spans."""
    bbox, interval = of(
        item([7, 46, 100, 8, 47, 200], datetime="2025-06-01T00:00:00Z"),
        item(
            [9, 45, 10, 46],
            datetime=None,
            start_datetime="2025-05-01T02:00:00+02:00",
            end_datetime="2025-05-02T00:00:00.500Z",
        ),
        item(None, datetime="2025-05-20T00:00:00"),
    )
    assert bbox == [7, 45, 10, 47]
    assert interval == ["2025-05-01T00:00:00Z", "2025-06-01T00:00:00Z"]


def test_it_grows():
    """What a collection says of its extent stays in it, an open end too."""
    earlier = {
        "spatial": {"bbox": [[0, 0, 1, 1]]},
        "temporal": {"interval": [["2020-01-01T00:00:00Z", None]]},
    }
    bbox, interval = of(item([2, 2, 3, 3], datetime="2025-06-01T00:00:00Z"), extent=earlier)
    assert bbox == [0, 0, 3, 3]
    assert interval == ["2020-01-01T00:00:00Z", None]


def test_antimeridian():
    """A box across the antimeridian takes all longitudes."""
    assert of(item([170, -10, -170, 10]))[0] == [-180, -10, 180, 10]


@pytest.mark.parametrize("bbox", [None, "odd", [], [1, 2, 3], ["a"] * 4, [None] * 4, 7])
@pytest.mark.parametrize("when", [None, "yesterday", 7, ""])
def test_nothing_is_known(bbox, when):
    """Without usable boxes and times it is the whole world, at all times."""
    assert of(item(bbox, datetime=when)) == (WORLD, [None, None])


@pytest.mark.parametrize("extent", [None, {}, {"spatial": [], "temporal": {"interval": []}}])
def test_odd_collections(extent):
    """A collection without a usable extent has none."""
    assert of(extent=extent) == (WORLD, [None, None])
