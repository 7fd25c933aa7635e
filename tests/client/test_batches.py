"""Registrations: whole items in batches, and how assets differ from the files in Rucio."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stac_client import _registration
from stac_client._in_rucio import problem
from stac_client._rucio import file_of

from .files import MD5, asset_at

item_batches: Any = _registration.item_batches  # of items that stand for a number of assets


def assets_of(item: Any) -> range:
    """The assets of an item that stands for its number of assets."""
    return range(item)


@given(st.lists(st.one_of(st.integers(0, 12), st.integers(0, 1500)), max_size=60))
def test_batches(items: list[Any]) -> None:
    """All items come in their order with all their assets; only a single item exceeds 1,000."""
    batches = list(item_batches(items, assets_of))
    assert [item for batch in batches for item, _ in batch] == items
    for batch in batches:
        assert [found for _, found in batch] == [list(assets_of(item)) for item, _ in batch]
        assert len(batch) == 1 or sum(item for item, _ in batch) <= 1000
    for batch, after in itertools.pairwise(batches):
        assert sum(item for item, _ in batch) + after[0][0] > 1000


def test_items_without_assets() -> None:
    """Items without any asset do not pile up either."""
    batches = list(item_batches([0] * 2500, assets_of))
    assert [len(batch) for batch in batches] == [1000, 1000, 500]


def test_items_are_read_as_they_are_needed() -> None:
    """No more items are read than a batch needs, and the one after it."""
    items = iter([300] * 20)
    next(item_batches(items, assets_of))
    assert len(list(items)) == 16


@pytest.mark.parametrize(
    ("adler32", "md5", "name"),
    [("A1B2C3D", MD5.upper(), None), (None, None, None), ("a1b2c3e", MD5, "adler32")],
)
def test_checksums_are_compared_by_their_digits(adler32: Any, md5: Any, name: Any) -> None:
    """Rucio may have checksums in upper case and without zeros in front, and they are the same."""
    said = {"rucio:adler32": "0a1b2c3d", "rucio:md5": MD5}
    asset = asset_at("https://data.example.org/f", **said)
    entry = {"bytes": 1, "adler32": adler32, "md5": md5, "rses": {}}
    found = problem(asset, file_of(entry), "STAC")
    assert (found or "").partition(" in Rucio with ")[2].partition(" ")[0] == (name or "")
