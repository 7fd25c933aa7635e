"""The independent check finds whatever is wrong, and the proxy fails as it is told to."""

from __future__ import annotations

import json
import re
from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest
import requests

from chaos.check import Wrong, check_folder, check_outcomes, check_rucio, check_storage, require_all
from chaos.data import Truth
from chaos.plans import COMBINATIONS, make_plan, seeds_in_order
from chaos.proxy import ALWAYS, ANSWERS, Proxy, Strike
from chaos.reading import check_search
from tests.origin import Answer, running_origin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


A, B = (Truth("c", "i", key, "s", f"http://host/{key}", key.encode()) for key in "ab")
TRUTHS = {truth.name: truth for truth in (A, B)}
THERE = set(TRUTHS)
BODY = b"0123456789"


class Rucio:
    """What Rucio has, as the check asks for it."""

    def __init__(self) -> None:
        """As it must be."""
        self.files = {truth.name: self.entry(truth) for truth in TRUTHS.values()}
        self.listed = [("DATASET", A.dataset), *(("FILE", name) for name in self.files)]
        self.attached = {A.dataset: [*self.files]}

    def entry(self, truth: Truth, **fields: Any) -> dict[Any, Any]:
        """What is listed of a file."""
        rses = {"STAC": [truth.url], "DISK": [f"http://disk/x{truth.name}"]}
        return {
            "name": truth.name,
            "bytes": len(truth.content),
            "adler32": truth.adler32,
            "md5": None,
            "rses": rses,
            "states": {"STAC": "AVAILABLE", "DISK": "AVAILABLE"},
            **fields,
        }

    def dids(self, _scope: Any) -> list[tuple[str, Any]]:
        """All DIDs."""
        return self.listed

    def content(self, _scope: Any, name: Any) -> list[Any]:
        """Content of a dataset."""
        return self.attached.get(name, [])

    def replicas(self, _scope: Any, names: Any) -> dict[Any, Any]:
        """Replicas of files."""
        return {name: self.files[name] for name in names if name in self.files}


def test_all_is_well() -> None:
    """Where all is as it must be, nothing is wrong."""
    there = check_rucio(Rucio(), "s", TRUTHS)
    assert there == THERE
    require_all(there, TRUTHS)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda r: r.listed.append(("FILE", A.name)), "twice in Rucio"),
        (lambda r: r.listed.append(("FILE", "/c/i/other")), "nobody asked for"),
        (lambda r: r.listed.append(("DATASET", "/c/j")), "nobody asked for"),
        (lambda r: r.listed.append(("CONTAINER", "/c")), "neither files nor datasets"),
        (
            lambda r: r.listed.extend(("DATASET", f"stac-selection-{n}") for n in "12"),
            "two selections",
        ),
        (lambda r: r.attached[A.dataset].append(A.name), "attached twice"),
        (lambda r: r.files.update({A.name: r.entry(A, bytes=2)}), "2 bytes in Rucio"),
        (lambda r: r.files.update({A.name: r.entry(A, adler32="00000bad")}), "00000bad"),
        (lambda r: r.files.update({A.name: r.entry(A, adler32=None)}), "no checksum"),
        (lambda r: r.files.update({A.name: r.entry(A, rses={"STAC": [B.url]})}), "not http"),
        (lambda r: r.attached.clear(), "not registered and attached"),
        (lambda r: r.files.update({A.name: r.entry(A, rses={})}), "not registered and attached"),
        (lambda r: r.listed.remove(("FILE", A.name)), "not registered and attached"),
    ],
)
def test_what_is_wrong_in_rucio(change: Callable[..., Any], said: str) -> None:
    """Whatever is lost, twice, or wrong under a right name is found."""
    rucio = Rucio()
    change(rucio)
    with pytest.raises(Wrong, match=said):
        require_all(check_rucio(rucio, "s", TRUTHS), TRUTHS)


@pytest.mark.parametrize(
    ("outcomes", "there", "said"),
    [
        ([("a", "registered", ""), ("b", "registered", "")], {A.name}, "but is not there"),
        ([("a", "registered", "")], THERE, "no outcome"),
        ([("a", "registered", "")] * 2 + [("b", "registered", "")], THERE, "two outcomes"),
        ([("a", "failed", ""), ("b", "registered", "")], THERE, "without a reason"),
        ([("a", "failed", "unexpected KeyError: 'x'")], THERE, "without a reason"),
        ([("a", "skipped", "why"), ("b", "registered", "")], THERE, "as skipped"),
        ([("a", "failed", "gone"), ("b", "registered", "")], THERE, "without a fault"),
    ],
)
def test_outcomes_that_are_not_true(
    outcomes: list[tuple[str, str, str]], there: set[Any], said: str
) -> None:
    """What is told and is not so is found."""
    with pytest.raises(Wrong, match=said):
        check_outcomes([("c", "i", *told) for told in outcomes], TRUTHS, there, whole=True)


def test_outcomes_under_a_fault() -> None:
    """A failure that is told, with its reason, is right."""
    told = [("c", "i", "a", "failed", "gone"), ("c", "i", "b", "already there", "")]
    check_outcomes(told, TRUTHS, {B.name})


def make_folder(folder: Path) -> Path:
    """A folder as a download of all leaves it."""
    item = folder / "c" / "i"
    item.mkdir(parents=True)
    for truth in TRUTHS.values():
        (folder / truth.name[1:]).write_bytes(truth.content)

    def write(path: Any, links: Any, **fields: Any) -> None:
        path.write_text(
            json.dumps({"links": [{"rel": rel, "href": href} for rel, href in links], **fields})
        )

    write(folder / "catalog.json", [("child", "./c/collection.json")])
    write(folder / "c" / "collection.json", [("item", "./i/i.json")])
    write(item / "i.json", [], assets={key: {"href": f"./{key}.tif"} for key in "ab"})
    return item


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda item: (item / "a.tif").write_bytes(b"x"), "wrong bytes"),
        (lambda item: (item / "a.tif").unlink(), "still not downloaded"),
        (lambda item: (item / ".a.tif.part").touch(), "left behind"),
        (lambda item: (item / "i.json").write_text("{"), "no JSON"),
        (lambda item: (item / "i.json").write_text('{"assets": {}}'), "not in the catalogue"),
    ],
)
def test_what_is_wrong_in_a_folder(tmp_path: Path, change: Callable[..., Any], said: str) -> None:
    """Wrong bytes, what is left behind, and a broken catalogue are found."""
    item = make_folder(tmp_path)
    assert check_folder(tmp_path, TRUTHS, whole=True) == THERE
    change(item)
    with pytest.raises(Wrong, match=said):
        check_folder(tmp_path, TRUTHS, whole=True)


def test_what_is_wrong_at_a_storage(tmp_path: Path) -> None:
    """A replica that Rucio calls available is there, with the right bytes."""
    rucio = Rucio()
    make_folder(tmp_path / "x")
    assert check_storage(rucio, "s", TRUTHS, "DISK", tmp_path, whole=True) == THERE
    path = tmp_path / "x" / A.name[1:]
    path.write_bytes(b"x")
    with pytest.raises(Wrong, match="wrong bytes"):
        check_storage(rucio, "s", TRUTHS, "DISK", tmp_path, whole=False)
    path.unlink()
    with pytest.raises(Wrong, match="there is no"):
        check_storage(rucio, "s", TRUTHS, "DISK", tmp_path, whole=False)
    rucio.files[A.name]["states"]["DISK"] = "COPYING"
    assert check_storage(rucio, "s", TRUTHS, "DISK", tmp_path, whole=False) == {B.name}
    with pytest.raises(Wrong, match="still not at DISK"):
        check_storage(rucio, "s", TRUTHS, "DISK", tmp_path, whole=True)


@pytest.fixture
def struck() -> Iterator[tuple[Proxy, Any]]:
    """Gives a proxy that strikes, and the server behind it."""
    with running_origin() as origin:
        origin.add("/x", Answer(BODY))
        proxy = Proxy(origin.url)
        yield proxy, origin
        proxy.close()


@pytest.mark.parametrize("kind", sorted(ANSWERS))
def test_answers_in_place_of_the_server(struck: tuple[Proxy, Any], kind: str) -> None:
    """Such a fault is answered by the proxy alone, and is over when it is over."""
    proxy, origin = struck
    proxy.arm(Strike(kind, nth=2))
    statuses = [requests.get(f"{proxy.url}/x", timeout=30).status_code for _ in range(3)]
    assert statuses == [200, ANSWERS[kind].status, 200]
    assert len(origin.seen) == 2


@pytest.mark.parametrize(("kind", "asked"), [("reset-before", 0), ("reset-after", 1)])
def test_resets(struck: tuple[Proxy, Any], kind: str, asked: int) -> None:
    """A reset connection leaves open whether the server was asked."""
    proxy, origin = struck
    proxy.arm(Strike(kind))
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{proxy.url}/x", timeout=30)
    assert len(origin.seen) == asked


@pytest.mark.parametrize(
    ("kind", "body"),
    [("half-closed", BODY[:5]), ("changed", b"1" + BODY[1:]), ("shorter", BODY[:-1])],
)
def test_bodies(struck: tuple[Proxy, Any], kind: str, body: bytes) -> None:
    """Half a body, other bytes, and a byte less are what they are called."""
    proxy, _ = struck
    strike = Strike(kind, times=ALWAYS)
    proxy.arm(strike)
    assert requests.get(f"{proxy.url}/x", timeout=30).content == body
    assert strike.struck == ["GET /x"]
    proxy.disarm(strike)
    assert requests.get(f"{proxy.url}/x", timeout=30).content == BODY


def test_half_a_body_that_is_announced_whole(struck: tuple[Proxy, Any]) -> None:
    """The announced length, or the lack of an end, tells half a body from a whole one."""
    proxy, _ = struck
    proxy.arm(Strike("half"))
    got = requests.get(f"{proxy.url}/x", timeout=30, stream=True)
    assert (got.headers["Content-Length"], got.raw.read(100)) == ("10", BODY[:5])
    proxy.arm(Strike("half-chunked", nth=1))
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        requests.get(f"{proxy.url}/x", timeout=30)


def test_acts(struck: tuple[Proxy, Any]) -> None:
    """What is done before and after a request sees what the server has seen."""
    proxy, origin = struck
    seen = []
    for kind in ("act-before", "act-after"):
        strike = Strike(kind, act=lambda: seen.append(len(origin.seen)))
        proxy.arm(strike)
        requests.get(f"{proxy.url}/x", timeout=30)
        proxy.disarm(strike)
    assert seen == [0, 2]


def test_seeds_in_a_row_take_all_combinations() -> None:
    """Each scenario meets each of its faults; the same seed gives the same plan."""
    plans = [make_plan(seed) for seed in range(len(COMBINATIONS))]
    assert {(p.scenario, p.target, p.kind) for p in plans} == set(COMBINATIONS)
    assert plans == [make_plan(seed) for seed in range(len(COMBINATIONS))]
    assert [p.rng.random() for p in plans] == [p.rng.random() for p in plans]


def test_the_longest_runs_begin_first() -> None:
    """Of so many runs, each is there once, and the end does not wait for one that is slow."""
    seeds = [*seeds_in_order(7, len(COMBINATIONS))]
    assert sorted(seeds) == [*range(7, 7 + len(COMBINATIONS))]
    endless = [make_plan(seed).is_endless for seed in seeds]
    assert endless == sorted(endless, reverse=True)
    assert [*islice(seeds_in_order(7, None), 3)] == [7, 8, 9]


def found(number: int, copies: tuple[Any, ...] = ("http://a/copy",)) -> dict[Any, Any]:
    """An item of a search, with a copy of its only file."""
    alternates = {f"at-{place}": {"href": href} for place, href in enumerate(copies)}
    asset = {"href": f"http://o/{number}", "alternate": alternates}
    return {"id": f"i{number}", "collection": "c", "assets": {"red": asset}}


@pytest.mark.parametrize(
    ("items", "annotated", "said"),
    [
        ([found(1)], False, "the search gave ['i1']"),
        ([found(1), found(2), found(2)], False, "the search gave ['i1', 'i2', 'i2']"),
        ([found(1), found(2, ())], True, "i2 red"),
        ([found(1), found(2, ("http://a/copy", "http://evil/"))], False, "evil"),
    ],
)
def test_searches_that_lack_or_repeat(items: list[Any], annotated: bool, said: str) -> None:
    """Items that lack or come twice, copies that lack, and what is none are found."""
    originals = {f"i{n}": found(n, ()) for n in (1, 2)}
    replicas = {f"/c/i{n}/red.tif": {"rses": {"A": ["http://a/copy"]}} for n in (1, 2)}
    check_search([found(2), found(1)], originals, replicas, annotated=True)
    check_search([found(2), found(1, ())], originals, replicas, annotated=False)
    with pytest.raises(Wrong, match=re.escape(said)):
        check_search(items, originals, replicas, annotated=annotated)
