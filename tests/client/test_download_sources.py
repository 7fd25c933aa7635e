"""Which replicas are downloaded: the best, those at an RSE, what is available."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from stac_client import ConfigurationError
from tests.fake_rucio import RED_HREF
from tests.origin import status

from .downloading import BODY, DOWNLOADED, FAILED, SKIPPED, download, scene

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fake_rucio import FakeRucio
    from tests.origin import Origin


pytestmark = pytest.mark.usefixtures("_no_pauses")


def test_an_rse_that_fails_again_and_again_comes_last(
    rucio: FakeRucio, storage: Origin, tmp_path: Path
) -> None:
    """After three failures in a row an RSE is asked only when the others have failed."""
    items = [scene(str(number)) for number in range(8)]
    for number in range(8):
        bad = storage.add(f"/bad{number}", BODY, *[status(503)] * 9)
        good = storage.add(f"/good{number}", BODY)
        rucio.add(BODY, {"A": bad, "B": good}, str(number))
    downloads = download(rucio, tmp_path, *items, workers=1)
    assert {outcome.rse for outcome in downloads} == {"B"}
    assert len([request for request in storage.seen if "bad" in request.path]) == 3


@pytest.mark.parametrize(
    ("rses", "best"),
    [
        ("TAPE SOURCE OFF B C", "B"),
        ("TAPE OFF SOURCE", "SOURCE"),
        ("OFF SOURCE", "SOURCE"),
        ("TAPE", "TAPE"),
    ],
)
def test_the_best_replica(
    rucio: FakeRucio, storage: Origin, tmp_path: Path, rses: str, best: str
) -> None:
    """Disks come before source RSEs, and those before tapes and what cannot be read."""
    rucio.rses = {
        "SOURCE": {"deterministic": False},
        "TAPE": {"rse_type": "TAPE"},
        "OFF": {"availability_read": False},
    }
    pfns = {rse: storage.add(f"/{rse}.tif", BODY) for rse in rses.split()}
    rucio.add(BODY, pfns)
    (outcome,) = download(rucio, tmp_path, scene(href=pfns.get("SOURCE", RED_HREF)))
    assert (outcome.state, outcome.rse) == (DOWNLOADED, best)


@pytest.mark.parametrize(("of_item", "best"), [("B", "B"), ("C", "C"), ("SOURCE", "B")])
def test_the_replica_of_the_items_href(
    rucio: FakeRucio, storage: Origin, tmp_path: Path, of_item: str, best: str
) -> None:
    """Among equals, that replica is the best that a modifier has put into the href."""
    rucio.rses = {"SOURCE": {"deterministic": False}}
    pfns = {rse: storage.add(f"/{rse}.tif", BODY) for rse in ("SOURCE", "B", "C")}
    rucio.add(BODY, pfns)
    (outcome,) = download(rucio, tmp_path, scene(href=pfns[of_item]))
    assert (outcome.state, outcome.rse) == (DOWNLOADED, best)


@pytest.mark.parametrize(
    ("prefer", "best"),
    [("SOURCE", "SOURCE"), (["C", "B"], "C"), ("tier=tape", "TAPE"), (max, "TAPE"), ((), "B")],
)
def test_a_preferred_rse(
    rucio: FakeRucio, storage: Origin, tmp_path: Path, prefer: Any, best: str
) -> None:
    """A preferred RSE comes first, whatever it is; the others are there when it fails."""
    rucio.rses = {"SOURCE": {"deterministic": False}, "TAPE": {"rse_type": "TAPE"}}
    rucio.attributes = {"TAPE": {"tier": "tape"}}
    pfns = {rse: storage.add(f"/{rse}.tif", BODY) for rse in ("SOURCE", "TAPE", "B", "C")}
    rucio.add(BODY, pfns)
    (outcome,) = download(rucio, tmp_path, scene(href=pfns["SOURCE"]), prefer=prefer)
    assert (outcome.state, outcome.rse) == (DOWNLOADED, best)
    with pytest.raises(ConfigurationError, match=r"'SOURCES' is no RSE.*near it: SOURCE"):
        download(rucio, tmp_path, prefer=["SOURCES"])
    rucio.add(BODY, {"BAD": storage.add("/bad.tif", BODY, *[status(404)] * 9), **pfns}, "other")
    item = scene("other", href=pfns["SOURCE"])
    (outcome,) = download(rucio, tmp_path / "other", item, prefer=["BAD"])
    assert (outcome.state, outcome.rse) == (DOWNLOADED, "B")


@pytest.mark.parametrize(("off", "best"), [("", "B"), ("B", "C"), ("B C", "A")])
def test_the_nearest_rse(
    rucio: FakeRucio, storage: Origin, tmp_path: Path, off: str, best: str
) -> None:
    """RSEs at the site come first, then the nearest, then the others as ever."""
    rucio.attributes = {"B": {"site": "ALPS"}, "C": {"site": "CERN"}}
    rucio.distance_of = {("B", "C"): 2, ("B", "D"): 3, ("C", "A"): 1}
    rses = [rse for rse in "ABCD" if rse not in off.split()]
    rucio.add(BODY, {rse: storage.add(f"/{rse}.tif", BODY) for rse in rses})
    wanted: Any = {"prefer": "nearest", "site": "ALPS"}
    (outcome,) = download(rucio, tmp_path, **wanted, rse="A" if best == "A" else None)
    assert (outcome.state, outcome.rse) == (DOWNLOADED, best)
    with pytest.raises(ConfigurationError, match=r"site=ALP; near it: ALPS$"):
        download(rucio, tmp_path, prefer="nearest", site="ALP")


def test_a_preferred_scheme(rucio: FakeRucio, storage: Origin, tmp_path: Path) -> None:
    """All protocols are listed where one is preferred, as Rucio lists the best one else."""
    rucio.add(BODY, {"A": storage.add("/a.tif", BODY)})
    for prefer, known in ((), False), ("http", True):
        download(rucio, tmp_path, prefer=prefer)
        assert ("http" in rucio.asked_schemes[-1]) is known


def test_an_rse_that_nobody_describes(rucio: FakeRucio, storage: Origin, tmp_path: Path) -> None:
    """The others are known all the same: a tape comes last."""
    rucio.rses = {"TAPE": {"rse_type": "TAPE"}}
    get_rse = rucio.get_rse

    def described(rse: str) -> dict[str, Any]:
        if rse == "A":
            raise KeyError(rse)
        return get_rse(rse)

    vars(rucio)["get_rse"] = described
    pfns = {rse: storage.add(f"/{rse}.tif", BODY) for rse in ("TAPE", "Z")}
    rucio.add(BODY, {"A": storage.add("/bad", BODY, *[status(404)] * 9), **pfns})
    (outcome,) = download(rucio, tmp_path)
    assert outcome.rse == "Z"


def test_a_chosen_rse(rucio: FakeRucio, storage: Origin, tmp_path: Path) -> None:
    """With `rse`, only that RSE is asked; what it lacks has failed, with the reason."""
    a, b = storage.add("/a", BODY), storage.add("/b", BODY)
    rucio.add(BODY, {"A": a, "B": b}, "0")
    rucio.add(BODY, {"A": a}, "1")
    rucio.add(BODY, {"A": a, "B": b}, "2", states={"A": "AVAILABLE", "B": "COPYING"})
    items = [scene(str(number)) for number in range(4)]
    downloads = download(rucio, tmp_path, *items, rse="B")
    assert [outcome.state for outcome in downloads] == [DOWNLOADED, FAILED, FAILED, FAILED]
    assert [outcome.reason for outcome in downloads] == [
        "",
        "no replica at B",
        "its replica at B is COPYING",
        "not in Rucio; register it first",
    ]
    assert {request.path for request in storage.seen} == {"/b"}


def test_only_what_is_available(rucio: FakeRucio, storage: Origin, tmp_path: Path) -> None:
    """With `only_available`, what an RSE lacks is skipped, but what it cannot give has failed."""
    rucio.add(BODY, {"A": storage.add("/a", BODY)}, "0")
    rucio.add(BODY, {"B": storage.add("/b", BODY)}, "1")
    rucio.add(BODY, {"B": storage.url + "/none"}, "2")
    items = [scene(str(number)) for number in range(4)]
    downloads = download(rucio, tmp_path, *items, rse="B", only_available=True)
    assert [outcome.state for outcome in downloads] == [SKIPPED, DOWNLOADED, FAILED, SKIPPED]
    assert downloads[0].reason == "no replica at B"


def test_an_unknown_rse(rucio: FakeRucio, tmp_path: Path) -> None:
    """An RSE that does not exist is an error before anything else."""
    with pytest.raises(ConfigurationError, match="rucio rse list"):
        download(rucio, tmp_path / "new", rse="NO-RSE")
    assert not (tmp_path / "new").exists()
