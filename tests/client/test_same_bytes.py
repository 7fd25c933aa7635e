"""Where an item meets a file of Rucio: only if both are the same, as far as that can be told."""

from __future__ import annotations

import hashlib
import zlib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stac_client import AlternatesWarning, Outcome, State, write_back
from stac_client._checksums import Checksums, Description, in_common, is_same
from stac_policy.naming import DID
from stac_policy.settings import SOURCE_PROTOCOL
from tests.fake_rucio import RED_HREF
from tests.items import make_item

from .downloading import BODY, DOWNLOADED, FAILED, OTHER, download, files_in, md5_multihash, scene
from .modifying import modifier_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fake_rucio import FakeRucio
    from tests.origin import Origin


DID_OF_RED = DID("alps", "/alps/i/red.tif")
SOURCE_RSE = {"deterministic": False, "protocols": [{"scheme": "https", "impl": SOURCE_PROTOCOL}]}
ELSEWHERE = "https://other.example.org/red.tif"
SHA256 = "1220" + hashlib.sha256(BODY).hexdigest()

# What an item says, and what Rucio says besides the size and adler32 of BODY.
DIFFERENT: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"file:size": 30}, {}, f"size {len(BODY)}, but the item says 30"),
    ({"rucio:adler32": "0000000a"}, {}, "but the item says 0000000a"),
    ({"file:checksum": md5_multihash(OTHER)}, {"md5": "ab" * 16}, "with md5 abab"),
    ({"href": ELSEWHERE}, {}, "registered at STAC with another URL"),
    ({"href": ELSEWHERE, "file:size": len(BODY)}, {}, "registered at STAC with another URL"),
]
SAME: list[dict[str, Any]] = [
    {},
    {"file:size": len(BODY), "file:checksum": SHA256},
    {"href": ELSEWHERE, "rucio:adler32": f"{zlib.adler32(BODY):08x}"},
    {"href": "https://signed.example.org/red.tif?sig=x"},  # which could not be registered
]


@pytest.fixture
def known(rucio: FakeRucio, storage: Origin) -> FakeRucio:
    """A Rucio that has the file at a source RSE and at a disk."""
    rucio.rses["STAC"] = SOURCE_RSE
    rucio.add(BODY, {"DISK": storage.add("/f", BODY), "STAC": RED_HREF})
    return rucio


@pytest.mark.parametrize(("said", "of_rucio", "reason"), DIFFERENT)
def test_a_download_of_another_file(
    known: FakeRucio, tmp_path: Path, said: dict[str, Any], of_rucio: dict[str, Any], reason: str
) -> None:
    """What Rucio has is not downloaded as what the item means."""
    known.files[DID_OF_RED].update(of_rucio)
    (outcome,) = download(known, tmp_path, scene(**said))
    assert outcome.state is FAILED
    assert reason in outcome.reason
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("said", SAME[:3])
def test_a_download_of_the_same_file(
    known: FakeRucio, tmp_path: Path, said: dict[str, Any]
) -> None:
    """What is known to be the same, or may be, is downloaded."""
    (outcome,) = download(known, tmp_path, scene(**said))
    assert outcome.state is DOWNLOADED, outcome.reason


def test_bytes_are_compared_with_the_item(
    known: FakeRucio, storage: Origin, tmp_path: Path
) -> None:
    """A checksum that only the item knows verifies the bytes, too."""
    known.files[DID_OF_RED]["adler32"] = None
    storage.add("/f", OTHER)
    (outcome,) = download(known, tmp_path, scene(**{"rucio:adler32": f"{zlib.adler32(BODY):08x}"}))
    assert outcome.state is FAILED
    assert "its adler32 is not the known one" in outcome.reason


@pytest.mark.parametrize(("said", "of_rucio", "reason"), DIFFERENT)
def test_alternates_of_another_file(
    known: FakeRucio, said: dict[str, Any], of_rucio: dict[str, Any], reason: str
) -> None:
    """No copy of other bytes is put beside an item; it is told once, and explained each time."""
    known.files[DID_OF_RED].update(of_rucio)
    modify, item = modifier_of(known, prefer=["DISK"], strict=True), scene(**said)
    before = repr(item)
    with pytest.warns(AlternatesWarning, match="another file than the item") as told:
        modify(item)
    modify.with_options(prefer=())(item)
    assert len(told) == 1
    assert reason in str(told[0].message)
    assert repr(item) == before
    (explanation,) = modify.explain(item)
    assert explanation.candidates == ()
    assert reason in explanation.reason


@pytest.mark.parametrize("said", SAME)
def test_alternates_of_the_same_file(known: FakeRucio, said: dict[str, Any]) -> None:
    """A copy of what is known to be the same, or may be, becomes the href."""
    item = scene(**said)
    modify = modifier_of(known, prefer=["DISK"])
    modify(item)
    once = repr(item)
    modify(item)
    assert item["assets"]["red"]["alternate:name"] == "DISK"
    assert repr(item) == once


def test_one_bad_asset_spoils_no_other(known: FakeRucio, storage: Origin) -> None:
    """The other assets of an item have their alternates."""
    known.add(BODY, {"DISK": storage.url + "/nir"}, key="nir", href="https://x.example.org/nir.tif")
    item = scene("i", "red", "nir")
    item["assets"]["red"]["file:size"] = 1
    with pytest.warns(AlternatesWarning):
        modifier_of(known)(item)
    assert [*item["assets"]["nir"]["alternate"]] == ["DISK"]
    assert "alternate" not in item["assets"]["red"]


def test_catalogues_with_equal_ids(known: FakeRucio, tmp_path: Path) -> None:
    """Of two catalogues with equal ids, one is registered; the other one never gets its bytes."""
    items = [scene(), scene(href=ELSEWHERE)]
    assert [each.state for each in download(known, tmp_path, items[0])] == [DOWNLOADED]
    assert [each.state for each in download(known, tmp_path, items[1])] == [FAILED]
    with pytest.warns(AlternatesWarning):
        modifier_of(known)(items)
    assert ["alternate" in item["assets"]["red"] for item in items] == [True, False]


@pytest.mark.parametrize(
    ("said", "learned"), [({}, True), ({"file:size": 3}, True), ({"file:size": 4}, False)]
)
def test_what_was_learned_of_other_bytes(said: dict[str, int], *, learned: bool) -> None:
    """What was learned at a registration is not written into another version of the item."""
    item = make_item("alps", "i", {"red": {"href": RED_HREF, **said}})
    outcome = Outcome("alps", "i", "red", State.REGISTERED, "", DID_OF_RED, None, 3, "0000000a")
    write_back(item, [outcome])
    assert ("rucio:adler32" in item["assets"]["red"]) == learned


@given(st.binary(max_size=3), st.binary(max_size=3))
def test_what_can_be_told(one: bytes, other: bytes) -> None:
    """Who knows different things of one file never contradict each other, nor agree on two."""
    for first in _descriptions(one):
        for second in _descriptions(other):
            found = is_same(first, second)
            assert found == is_same(second, first)
            if one == other:
                assert found is not False
                assert (found is None) == all(
                    name == "size" for name, *_ in in_common(first, second)
                )
            elif found is not None:
                assert found is False


def _descriptions(body: bytes) -> list[Description]:
    md5 = hashlib.md5(body, usedforsecurity=False).hexdigest()
    multihashes = "1220" + hashlib.sha256(body).hexdigest(), "1114" + hashlib.sha1(body).hexdigest()  # noqa: S324 - no secret
    known = [
        Checksums(),
        Checksums(adler32=f"{zlib.adler32(body):08x}"),
        Checksums(md5=md5),
        *(Checksums(multihash=each) for each in multihashes),
    ]
    return [Description(size, each) for size in (None, len(body)) for each in known]
