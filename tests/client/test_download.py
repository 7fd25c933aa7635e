"""Downloads over HTTP: verified, from the best replica, and the others in turn."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from stac_client import RequestError
from tests.fake_rucio import RED_HREF
from tests.origin import chunks_cut, redirect, running_origin, status

from .downloading import (
    ALREADY_THERE,
    BODY,
    DOWNLOADED,
    FAILED,
    OTHER,
    SKIPPED,
    adler32,
    download,
    files_in,
    md5_multihash,
    scene,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fake_rucio import FakeRucio
    from tests.origin import Origin


RED = "alps/i/red.tif"


pytestmark = pytest.mark.usefixtures("_no_pauses")


def test_a_file(rucio: FakeRucio, storage: Origin, tmp_path: Path) -> None:
    """A file comes to COLLECTION/ITEM/ASSET, and its outcome says all about it."""
    url = storage.add("/f", BODY)
    rucio.add(BODY, {"DISK": url})
    (outcome,) = downloads = download(rucio, tmp_path)
    assert outcome.path is not None
    assert outcome.path == tmp_path / RED
    assert outcome.path.read_bytes() == BODY
    assert (outcome.state, outcome.size_bytes, outcome.reason) == (DOWNLOADED, len(BODY), "")
    assert (outcome.rse, outcome.url, outcome.adler32) == ("DISK", url, adler32(BODY))
    assert str(outcome) == "alps/i asset red: downloaded"
    assert files_in(tmp_path) == [RED]
    assert downloads.counts == {DOWNLOADED: 1}
    assert downloads.paths == [outcome.path]
    assert downloads.to_dicts()[0]["path"] == str(outcome.path)
    downloads.raise_for_failed()


def test_same_item_in_two_collections(rucio: FakeRucio, storage: Origin, tmp_path: Path) -> None:
    """Items with the same id in different collections do not meet."""
    rucio.add(BODY, {"DISK": storage.add("/a", BODY)})
    rucio.add(OTHER, {"DISK": storage.add("/b", OTHER)}, collection="andes")
    download(rucio, tmp_path, scene(), scene(collection="andes"))
    assert (tmp_path / "alps/i/red.tif").read_bytes() == BODY
    assert (tmp_path / "andes/i/red.tif").read_bytes() == OTHER


def test_what_is_there_is_not_fetched(rucio: FakeRucio, storage: Origin, tmp_path: Path) -> None:
    """A file that is there and right is recognised; no server is asked for it."""
    rucio.add(BODY, {"DISK": storage.add("/f", BODY)})
    download(rucio, tmp_path)
    (outcome,) = download(rucio, tmp_path)
    assert (outcome.state, outcome.path) == (ALREADY_THERE, tmp_path / RED)
    assert len(storage.seen) == 1


@pytest.mark.parametrize("wrong", [OTHER, BODY[:-1], b""])
def test_what_is_wrong_is_fetched_again(
    rucio: FakeRucio, storage: Origin, tmp_path: Path, wrong: bytes
) -> None:
    """A file that is there and wrong, by its size or its bytes, is replaced."""
    rucio.add(BODY, {"DISK": storage.add("/f", BODY)})
    download(rucio, tmp_path)
    (tmp_path / RED).write_bytes(wrong)
    (outcome,) = download(rucio, tmp_path)
    assert outcome.state is DOWNLOADED
    assert (tmp_path / RED).read_bytes() == BODY


def test_only_the_size_is_wrong(rucio: FakeRucio, storage: Origin, tmp_path: Path) -> None:
    """Where no checksum is known, a file of another size is replaced all the same."""
    rucio.add(BODY, {"DISK": storage.add("/f", BODY)}, adler32=None)
    download(rucio, tmp_path)
    (tmp_path / RED).write_bytes(BODY[:-1])
    download(rucio, tmp_path)
    assert (tmp_path / RED).read_bytes() == BODY


def test_an_empty_file(rucio: FakeRucio, storage: Origin, tmp_path: Path) -> None:
    """A file of no bytes is a file."""
    rucio.add(b"", {"DISK": storage.add("/f", b"")})
    (outcome,) = download(rucio, tmp_path)
    assert outcome.path is not None
    assert (outcome.state, outcome.path.stat().st_size) == (DOWNLOADED, 0)


@pytest.mark.parametrize(
    "answer",
    [
        *(status(code) for code in (202, 401, 403, 404, 500, 503)),
        status(200, OTHER),
        status(200, b"<html>Log in</html>"),
        redirect("file:///etc/passwd"),
        redirect("/f"),
        chunks_cut,
    ],
)
def test_another_replica(rucio: FakeRucio, storage: Origin, tmp_path: Path, answer: Any) -> None:
    """When a replica fails or is wrong in whatever way, the next one is tried."""
    bad = storage.add("/f", BODY, *[answer] * 99)
    rucio.add(BODY, {"A": bad, "B": storage.add("/g", BODY)})
    (outcome,) = download(rucio, tmp_path)
    assert (outcome.state, outcome.rse) == (DOWNLOADED, "B")
    assert outcome.path is not None
    assert outcome.path.read_bytes() == BODY
    assert storage.seen[0].path == "/f"
    assert len(storage.requests_of("/g")) == 1


def test_no_replica_is_right(rucio: FakeRucio, storage: Origin, tmp_path: Path) -> None:
    """Wrong bytes do not stay; the reason names each RSE and URL, without secrets."""
    url = storage.add("/f?sig=SECRET", OTHER)
    rucio.add(BODY, {"A": url, "B": storage.add("/g", b"short")})
    (outcome,) = downloads = download(rucio, tmp_path)
    assert outcome.state is FAILED
    assert outcome.path is None
    assert f"A {storage.url}/f: its adler32 is not the known one" in outcome.reason
    assert f"B {storage.url}/g: it has 5 bytes there instead of {len(BODY)}" in outcome.reason
    assert "SECRET" not in outcome.reason
    assert files_in(tmp_path) == []
    with pytest.raises(RequestError, match="1 of 1 assets: alps/i asset red: failed: A http"):
        downloads.raise_for_failed()


def test_md5_of_rucio_and_multihash_of_the_item(
    rucio: FakeRucio, storage: Origin, tmp_path: Path
) -> None:
    """Each checksum that is known must be right, whoever knows it."""
    url = storage.add("/f", BODY)
    rucio.add(BODY, {"A": url}, "i", adler32=None, md5="0" * 32)
    rucio.add(BODY, {"A": url}, "j", adler32=None)
    rucio.add(BODY, {"A": url}, "k", adler32=None)
    items = [
        scene("i"),
        scene("j", **{"file:checksum": md5_multihash(OTHER)}),
        scene("k", **{"file:checksum": md5_multihash(BODY)}),
    ]
    rucio.add(BODY, {"A": url}, "l", md5=md5_multihash(BODY)[6:])
    items.append(scene("l"))
    by_item = {outcome.item: outcome for outcome in download(rucio, tmp_path, *items)}
    assert [by_item[item].state for item in "ijkl"] == [FAILED, FAILED, DOWNLOADED, DOWNLOADED]
    assert "md5" in by_item["i"].reason
    assert "md5" in by_item["j"].reason
    assert by_item["k"].reason == ""
    assert {by_item[item].checksum for item in "kl"} == {md5_multihash(BODY)}


def test_no_checksum_is_known(rucio: FakeRucio, storage: Origin, tmp_path: Path) -> None:
    """Where only the size is known, the outcome says so."""
    rucio.add(BODY, {"A": storage.add("/f", BODY)}, adler32=None)
    (outcome,) = download(rucio, tmp_path)
    assert (outcome.state, outcome.reason) == (
        DOWNLOADED,
        "no checksum is known: only its size fits",
    )


def test_adler32_as_some_write_it(rucio: FakeRucio, storage: Origin, tmp_path: Path) -> None:
    """An adler32 without its leading zeros, in upper case, is the same."""
    body = b"\x00\xff\xff\xff" * 3 + b"\xab"
    rucio.add(body, {"A": storage.add("/f", body)})
    (entry,) = rucio.files.values()
    short = entry["adler32"].lstrip("0").upper()
    assert short != entry["adler32"]
    entry["adler32"] = short
    (outcome,) = download(rucio, tmp_path)
    assert outcome.state is DOWNLOADED


def test_what_may_pass_is_tried_again(
    rucio: FakeRucio, storage: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that fails for a while is asked again, after the time that it asks for."""
    monkeypatch.setattr("stac_policy.http.LONGEST_WAIT_S", 0.3)
    answer = status(503, Retry_After="86400")
    rucio.add(BODY, {"A": storage.add("/f", BODY, answer, status(500), status(429))})
    begin = time.monotonic()
    (outcome,) = download(rucio, tmp_path)
    assert outcome.state is DOWNLOADED
    assert time.monotonic() - begin >= 0.3
    assert len(storage.seen) == 4


def test_no_server(rucio: FakeRucio, tmp_path: Path) -> None:
    """A server that is not there is a failure with its reason."""
    with running_origin() as gone:
        url = gone.url
    rucio.add(BODY, {"A": url + "/f"})
    (outcome,) = download(rucio, tmp_path)
    assert (outcome.state, outcome.reason) == (FAILED, f"A {url}/f: no answer (Connection refused)")


def test_selection(rucio: FakeRucio, storage: Origin, tmp_path: Path) -> None:
    """Every asset has an outcome: selected or not, known or not, and once where it comes twice."""
    rucio.add(BODY, {"A": storage.add("/a", BODY)})
    item = scene("i", "red", "nir")
    item["assets"]["thumbnail"] = {"href": RED_HREF, "roles": ["thumbnail"]}
    outcomes = download(rucio, tmp_path, item, item, scene("j", collection=None))
    assert [(each.key, each.state) for each in outcomes] == [
        ("red", DOWNLOADED),
        ("nir", FAILED),
        ("thumbnail", SKIPPED),
        ("red", SKIPPED),
        ("nir", SKIPPED),
        ("thumbnail", SKIPPED),
        ("red", SKIPPED),
    ]
    outcomes = download(rucio, tmp_path, item, assets=["red", "blue"])
    assert [(each.key, each.state) for each in outcomes] == [
        ("red", ALREADY_THERE),
        ("blue", SKIPPED),
    ]
