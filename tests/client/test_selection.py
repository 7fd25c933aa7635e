"""Selections: keys, one key, predicates, and what is none of these."""

from __future__ import annotations

import pytest

from stac_client import ConfigurationError, Outcome, by_media_type, by_role
from stac_client._assets import named_keys, select_assets
from tests.items import HREF, make_item

ITEM = make_item(
    "c",
    "i",
    {
        "red": {"href": HREF, "roles": ["data"], "type": "image/tiff"},
        "r": {"href": HREF, "roles": ["metadata"]},
        "thumbnail": {"href": HREF},
    },
)


def selected(selection):
    """The keys of the assets that are selected."""
    found = select_assets(ITEM, selection)
    return [asset.key for asset in found if not isinstance(asset, Outcome)]


def test_a_single_key():
    """A bare text is one key, whatever keys are part of it."""
    assert selected("red") == ["red"]
    assert selected("thumbnail") == ["thumbnail"]
    assert selected("") == []
    assert named_keys("red") == {"red"}


@pytest.mark.parametrize("keys", [["r", "red"], ("red", "r"), {"r", "red"}, {"r": 1, "red": 2}])
def test_keys(keys):
    """Keys come in any collection."""
    assert selected(keys) == ["red", "r"]
    assert named_keys(keys) == {"r", "red"}


def test_predicates_and_none_name_no_keys():
    """Only keys can be missed in items."""
    assert selected(by_role("metadata")) == ["r"]
    assert selected(by_media_type("IMAGE/tiff")) == ["red"]
    assert named_keys(by_role("metadata")) == named_keys(None) == set()


@pytest.mark.parametrize("selection", [5, ["red", 5], iter(["red"]), [None], b"red"])
def test_what_is_no_selection(selection):
    """What is neither keys nor a predicate is an error that says what to give."""
    with pytest.raises(ConfigurationError, match="give the key of an asset"):
        selected(selection)


@pytest.mark.parametrize("select", [by_role, by_media_type])
@pytest.mark.parametrize("given", [(), ("",), (["data"],), (None,)])
def test_predicates_of_nothing(select, given):
    """A role or media type that is none, or missing, is an error and not an empty selection."""
    with pytest.raises(ConfigurationError, match=f"{select.__name__} needs one or more texts"):
        select(*given)
