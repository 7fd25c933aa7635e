"""Storage facts: what an RSE is, in terms of the Storage extension; Rucio is not asked here."""

from __future__ import annotations

import copy
from typing import Any

import pystac
import pytest
from pystac.extensions.storage import StorageExtension
from rucio.common.exception import AccessDenied

from stac_client import AlternatesWarning, Modifier
from stac_client._replica_source import STORAGE_EXTENSION, storage_scheme, with_schemes
from stac_client._replica_source import STORAGE_SCHEMES as SCHEMES
from stac_policy.naming import DID
from tests.fake_rucio import FakeRucio
from tests.items import HREF, make_item

from .modifying import COPY, modifier_of

DISK = {
    "type": "rucio",
    "platform": "https://rucio.example.org/rses/{rse}",
    "rse": "DISK",
    "rse_type": "DISK",
    "region": "ch",
}
STAC = {key: DISK[key] for key in ("type", "platform", "rse_type")} | {"rse": "STAC"}


@pytest.fixture
def rucio() -> FakeRucio:
    """A Rucio that knows the asset and its RSEs."""
    made = FakeRucio({DID("c", "/c/i/a.tif"): {"STAC": [HREF], "DISK": [COPY]}})
    made.attributes = {
        "STAC": {"fts": "https://fts.example.org"},
        "DISK": {"fts": "https://fts.example.org", "region": "ch"},
    }
    return made


@pytest.fixture
def modifier(rucio: FakeRucio) -> Modifier:
    """A modifier that tells of storages."""
    return modifier_of(rucio, storage=True)


def test_schemes(modifier: Modifier, rucio: FakeRucio) -> None:
    """Items get a scheme of each RSE, each way refers to its own, and RSEs are asked for once."""
    for thing in (make_item(), make_item()):
        for _ in range(2):
            modifier(thing)
            assert thing["properties"][SCHEMES] == {"DISK": DISK, "STAC": STAC}
            assert thing["stac_extensions"].count(STORAGE_EXTENSION) == 1
            asset = thing["assets"]["a"]
            assert asset["storage:refs"] == ["STAC"]
            assert asset["alternate"]["DISK"]["storage:refs"] == ["DISK"]
    assert rucio.asked == [1]
    assert sorted(rucio.asked_rses) == ["DISK", "STAC"]


def test_the_preferred_copy(modifier: Modifier) -> None:
    """With the copy in the href, the asset refers to the copy's storage."""
    thing = make_item()
    modifier.with_options(prefer="DISK")(thing)
    assert thing["assets"]["a"]["storage:refs"] == ["DISK"]
    assert thing["assets"]["a"]["alternate"]["STAC"]["storage:refs"] == ["STAC"]


def test_pystac_reads_it(modifier: Modifier) -> None:
    """Pystac's own extension reads the schemes of an item that was handed over as object."""
    thing = pystac.Item.from_dict(make_item())
    modifier(thing)
    scheme = StorageExtension.ext(thing).schemes["DISK"]
    assert (scheme.type, scheme.platform, scheme.region) == ("rucio", DISK["platform"], "ch")
    assert StorageExtension.ext(thing.assets["a"]).refs == ["STAC"]


def test_only_the_rses_that_are_shown(modifier: Modifier, rucio: FakeRucio) -> None:
    """An RSE that is left out has no scheme, and is not asked for."""
    thing = make_item()
    modifier.with_options(only="DISK")(thing)
    assert thing["properties"][SCHEMES] == {"DISK": DISK}
    assert (rucio.asked, rucio.asked_rses) == ([1], ["DISK"])


def test_schemes_of_others(modifier: Modifier) -> None:
    """Schemes of others stay, even where they have an RSE's name."""
    others = {"aws": {"type": "aws-s3", "platform": "x"}, "DISK": {"type": "x", "platform": "y"}}
    thing = make_item(properties={SCHEMES: copy.deepcopy(others)})
    for _ in range(2):
        modifier(thing)
        assert thing["properties"][SCHEMES] == {**others, "DISK-rucio": DISK, "STAC": STAC}
        assert thing["assets"]["a"]["alternate"]["DISK"]["storage:refs"] == ["DISK-rucio"]


def test_another_version(modifier: Modifier) -> None:
    """An item that uses another version of the extension gets its alternates only."""
    older = "https://stac-extensions.github.io/storage/v1.0.0/schema.json"
    thing = make_item(stac_extensions=[older], properties={"storage:platform": "AWS"})
    modifier(thing)
    assert thing["properties"] == {"storage:platform": "AWS"}
    assert STORAGE_EXTENSION not in thing["stac_extensions"]
    assert thing["assets"]["a"]["alternate"]["DISK"]["href"] == COPY
    assert "storage:refs" not in thing["assets"]["a"]


@pytest.mark.parametrize("odd", [None, 5, [], "x", {SCHEMES: None}, {SCHEMES: []}])
def test_odd_properties(modifier: Modifier, odd: Any) -> None:
    """Odd properties keep nothing from the item."""
    thing = make_item(properties=odd)
    modifier(thing)
    assert thing["properties"][SCHEMES] == {"DISK": DISK, "STAC": STAC}


def test_without_it(rucio: FakeRucio) -> None:
    """Nothing is asked and nothing written unless it is wanted."""
    thing = make_item()
    Modifier(rucio)(thing)
    assert SCHEMES not in thing["properties"]
    assert (rucio.asked, rucio.asked_rses) == ([1], [])


def test_rucio_denies(modifier: Modifier, rucio: FakeRucio) -> None:
    """Where Rucio does not tell of its RSEs, the items stay as they are."""
    rucio.told["get_rse"] = AccessDenied("no")
    thing = make_item()
    with pytest.warns(AlternatesWarning, match="RSE"):
        modifier(thing)
    assert thing == make_item()


def test_what_is_shown_of_an_rse() -> None:
    """Only attributes that concern readers are shown, and only with values that fit."""
    attributes = {
        "DISK": True,
        "fts": "https://fts.example.org",
        "region": "",
        "country": "CH",
        "site": 5,
        "tier": "disk",
        "requester_pays": False,
    }
    assert storage_scheme("DISK", "https://r.org", {"rse_type": "TAPE"}, attributes) == {
        "type": "rucio",
        "platform": "https://r.org/rses/{rse}",
        "rse": "DISK",
        "rse_type": "TAPE",
        "country": "CH",
        "tier": "disk",
        "requester_pays": False,
    }


def test_nothing_is_changed_in_place() -> None:
    """The schemes that are given stay as they are."""
    before = {"aws": {"type": "aws-s3"}}
    with_schemes(before, {"DISK": DISK})
    assert before == {"aws": {"type": "aws-s3"}}
