"""Preferences: which replicas are shown, which is chosen, and why; and where they are mounted."""

from __future__ import annotations

import posixpath
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stac_client import AlternatesWarning, ConfigurationError, Modifier
from stac_client._replicas import NEAREST, Mounts, Selector, is_expression, replicas_by_key
from stac_policy.naming import DID
from tests.fake_rucio import FakeRucio
from tests.items import HREF, make_item

from .modifying import modifier_of

if TYPE_CHECKING:
    from stac_client import Explanation
    from stac_client._replicas import Choice


PFNS = {
    "STAC": [HREF],
    "DISK-A": ["root://a.org:1094//x", "davs://a.org:443/x"],
    "DISK-B": ["davs://b.org:443/x"],
    "TAPE": ["srm://t.org/x"],
}
RESOLVED = {"tier=disk": {"DISK-A", "DISK-B"}, "tier=none": set(), "tier=tape": {"TAPE", "OTHER"}}


def chosen_of(prefer: list[Any], pfns: Any = PFNS) -> Choice | None:
    """The choice."""
    return Selector(prefer, (), ()).choose(replicas_by_key(pfns).values(), RESOLVED)


def smallest(copies: Any) -> Any:
    """Choose the RSE with the shortest URL."""
    return min(copies, key=lambda rse: (len(copies[rse][0]), rse))


def none(_: Any) -> None:
    """Choose none."""


@pytest.mark.parametrize(
    ("prefer", "chosen"),
    [
        ([], None),
        (["NOWHERE"], None),
        (["DISK-B"], "DISK-B"),
        (["NOWHERE", "TAPE", "DISK-A"], "TAPE"),
        (["DISK-A"], "DISK-A"),
        (["tier=disk"], "DISK-A"),
        (["tier=none", "tier=tape"], "TAPE"),
        (["unknown=x", "STAC"], "STAC"),
        (["davs"], "DISK-A-davs"),
        (["https"], "DISK-A-davs"),
        (["s3", "srm"], "TAPE"),
        ([lambda _: None, "DISK-B"], "DISK-B"),
        ([max], "TAPE"),
        ([smallest], "TAPE"),
    ],
)
def test_choice(prefer: list[Any], chosen: str | None) -> None:
    """The first preference that a copy meets decides; of several copies the first by name."""
    choice = chosen_of(prefer)
    assert (choice and choice.replica.key) == chosen


NEAR = {"DISK-B": 0.0, "DISK-A": 2.0, "TAPE": 2.0}


@pytest.mark.parametrize(
    ("pfns", "urls", "chosen"),
    [
        ({}, [], "DISK-B"),
        ({"DISK-B": []}, [], "DISK-A"),
        ({"DISK-B": []}, [HREF, *PFNS["TAPE"]], "TAPE"),
        ({"DISK-B": []}, [*PFNS["DISK-A"][1:], *PFNS["TAPE"]], "DISK-A-davs"),
        ({"DISK-B": [], "DISK-A": [], "TAPE": []}, [HREF], None),
    ],
)
def test_nearest(pfns: Any, urls: list[str], chosen: str | None) -> None:
    """The least distance decides, then the order of the catalogue; what is at none is not near."""
    replicas = replicas_by_key({**PFNS, **pfns}).values()
    selector = Selector("nearest", (), ())
    choice = selector.choose(replicas, {NEAREST: NEAR}, urls)
    assert (choice and choice.replica.key) == chosen
    assert selector.choose(replicas, {NEAREST: {}}, urls) is None


@given(
    st.dictionaries(st.sampled_from([*PFNS]), st.integers(0, 3)),
    st.lists(st.sampled_from(["DISK-A", "nearest", "tier=disk", "davs"]), max_size=4),
    st.dictionaries(st.sampled_from([*PFNS]), st.integers(0, 2)),
)
def test_the_best(near: Any, prefer: list[Any], ranks: Any) -> None:
    """All replicas are there, each once; first the chosen one, and the nearer before the others."""
    replicas = replicas_by_key(PFNS).values()
    resolved = {**RESOLVED, NEAREST: near}
    selector = Selector(prefer, (), ())
    best = selector.best(replicas, resolved, ranks, [HREF])
    assert sorted(best) == sorted(replicas)
    choice = selector.choose(replicas, resolved, [HREF])
    assert choice is None or best[0].rse == choice.replica.rse
    if prefer == ["nearest"]:
        far = [near.get(each.rse, 9) for each in best]
        assert far == sorted(far)
    if not prefer:
        assert [ranks.get(each.rse, 0) for each in best] == sorted(
            ranks.get(each.rse, 0) for each in best
        )


def test_what_a_chooser_gets() -> None:
    """A function gets every allowed RSE with its hrefs, the best first."""
    given: list[Any] = []
    assert modified(prefer=given.append, only=["DISK-A", "TAPE"])["href"] == HREF
    assert given[0] == {"DISK-A": [PFNS["DISK-A"][0], "https://a.org:443/x"], "TAPE": PFNS["TAPE"]}


def test_a_chooser_names_an_rse_without_a_copy() -> None:
    """A function that names an RSE without a copy is wrong, and is told so."""
    with pytest.raises(ConfigurationError, match="'NOWHERE'"):
        chosen_of([lambda _: "NOWHERE"])


WORDS = st.sampled_from([*PFNS, "NOWHERE", "davs", "https", *RESOLVED])


@given(
    st.sets(st.sampled_from([*PFNS])).map(lambda some: {rse: PFNS[rse] for rse in some}),
    st.lists(WORDS, max_size=4),
)
def test_the_order_is_respected(pfns: Any, prefer: list[Any]) -> None:
    """No replica meets an earlier preference than the chosen one does."""
    choice = chosen_of(prefer, pfns)
    chosen_at = prefer.index(choice.preference) if choice else len(prefer)
    for replica in replicas_by_key(pfns).values():
        for earlier in prefer[:chosen_at]:
            assert earlier not in {replica.rse, *replica.schemes}
            assert replica.rse not in RESOLVED.get(earlier, ())
    assert choice is None or choice.replica.rse in pfns


@pytest.mark.parametrize(
    ("only", "exclude", "left"),
    [
        ([], [], [*PFNS]),
        (["DISK-A"], [], ["DISK-A"]),
        (["tier=disk", "TAPE"], [], ["DISK-A", "DISK-B", "TAPE"]),
        (["tier=none"], [], []),
        ([], ["STAC"], ["DISK-A", "DISK-B", "TAPE"]),
        (["tier=disk"], ["DISK-A"], ["DISK-B"]),
        ([], ["tier=disk", "tier=tape", "STAC"], []),
    ],
)
def test_only_and_exclude(only: list[Any], exclude: list[Any], left: list[Any]) -> None:
    """Only those of `only`, without those of `exclude`."""
    assert Selector((), only, exclude).shown(PFNS, RESOLVED) == left


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("DISK-A", False),
        ("davs", False),
        ("srm+https", False),
        ("CERN.EOS_1", False),
        ("tier=disk", True),
        ("*", True),
        ("A|B", True),
        ("(A)", True),
        ("tier=disk\\A", True),
        ("freespace>100", True),
    ],
)
def test_expressions(text: str, expression: bool) -> None:
    """An RSE's name and a scheme cost no request; an expression is resolved."""
    assert is_expression(text) is expression


@pytest.mark.parametrize("option", ["prefer", "only", "exclude"])
@pytest.mark.parametrize("value", [5, [5], "", [""], ["A", None], {"A"}, {"A": 1}])
def test_wrong_options(option: str, value: Any) -> None:
    """What is neither an RSE nor an expression is refused at once."""
    with pytest.raises(ConfigurationError, match=option):
        modifier_of(FakeRucio({}), **{option: value})


@pytest.mark.parametrize("option", ["timeout_s", "cache_s"])
def test_wrong_times(option: str) -> None:
    """A time that is none is refused at once."""
    with pytest.raises(ConfigurationError, match=option):
        modifier_of(FakeRucio({}), **{option: -1})


def modified(**options: Any) -> dict[Any, Any]:
    """The asset after a modifier with options."""
    rucio = FakeRucio({DID("c", "/c/i/a.tif"): PFNS})
    rucio.rses["DISK-C"] = {}
    modifier = Modifier(rucio)
    found = make_item(assets={"a": {"href": HREF}})
    modifier.with_options(**options)(found)
    once = dict(found["assets"]["a"])
    modifier.with_options(**options)(found)
    assert found["assets"]["a"] == once
    return once


def test_a_single_preference_needs_no_list() -> None:
    """A string or a function alone is a list of one."""
    assert modified(prefer="DISK-B") == modified(prefer=["DISK-B"])
    assert modified(prefer=smallest)["alternate:name"] == "TAPE"


OF_DISK_B = {"href": "https://b.org:443/x", "rucio:pfn": "davs://b.org:443/x"}


def test_only_writes_no_others() -> None:
    """With `only`, an asset shows the copies there; its own URL keeps its RSE's name."""
    assert modified(only="DISK-B") == {
        "href": HREF,
        "alternate:name": "STAC",
        "alternate": {"DISK-B": {**OF_DISK_B, "alternate:name": "DISK-B"}},
    }


def test_prefer_within_only() -> None:
    """What is left out is not chosen, and the original is kept under its RSE's name."""
    asset = modified(prefer=["DISK-A", "DISK-B"], only="DISK-B")
    assert asset == {
        **OF_DISK_B,
        "alternate:name": "DISK-B",
        "alternate": {"STAC": {"href": HREF, "alternate:name": "STAC"}},
    }
    assert modified(prefer=["DISK-A"], exclude=["DISK-A"])["href"] == HREF


def test_nothing_is_left() -> None:
    """Where nothing is left to show, the asset only learns its RSE's name."""
    assert modified(only="DISK-C") == {"href": HREF, "alternate:name": "STAC"}


# What is explained.

PREFERRED = """\
i/a (c:/c/i/a.tif): DISK-A-davs becomes the href, because its scheme davs is preferred
    DISK-A  root://a.org:1094//x
    DISK-B  https://b.org:443/x  (left out by only or exclude)
    STAC  https://data.example.org/x.tif
    TAPE  srm://t.org/x
  * DISK-A-davs  https://a.org:443/x"""


def explained(assets: Any = None, **options: Any) -> Explanation:
    """The explanation of the only asset."""
    modifier = Modifier(FakeRucio({DID("c", "/c/i/a.tif"): PFNS})).with_options(**options)
    found = make_item(assets=assets or {"a": {"href": HREF}})
    before = str(found)
    (explanation,) = modifier.explain(found)
    assert str(found) == before
    return explanation


def test_explanation() -> None:
    """An explanation names every candidate, what was left out, and the reason."""
    explanation = explained(prefer=["NOWHERE", "davs"], exclude="DISK-B")
    assert str(explanation) == PREFERRED
    assert explanation.chosen
    assert explanation.chosen.rse == "DISK-A"
    assert explanation.did == DID("c", "/c/i/a.tif")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({}, "the href stays, because nothing is preferred"),
        ({"prefer": "STAC"}, "STAC becomes the href, because STAC is preferred"),
        ({"prefer": smallest}, "TAPE becomes the href, because the function smallest chose it"),
        (
            {"prefer": ["A", none]},
            "the href stays, because no replica is at any that is preferred: A, the function none",
        ),
        ({"only": "A"}, "the href stays, because only and exclude leave no replica"),
    ],
)
def test_reasons(options: dict[Any, Any], reason: str) -> None:
    """Each choice has its reason."""
    assert explained(**options).reason == reason


def test_reasons_without_replicas() -> None:
    """An asset that Rucio does not know, or that has no replica, is explained as well."""
    assert explained({"b": {"href": HREF}}).reason.endswith("Rucio does not know the asset")
    modifier = Modifier(FakeRucio({DID("c", "/c/i/a.tif"): {}}))
    (explanation,) = modifier.explain(make_item())
    assert explanation.reason.endswith("no replica is available")


def test_no_secret_is_explained() -> None:
    """A signed URL is explained without its signature."""
    replicas = FakeRucio({DID("c", "/c/i/a.tif"): {"S3": ["https://s3.org/x?sig=SECRET"]}})
    (explanation,) = Modifier(replicas).explain(make_item())
    assert "SECRET" not in str(explanation)


# Mounts: which path a PFN has here, and that none leads out of its folder.


DAVS = "davs://host:443/rucio/"
ROOT = "root://host:1094//eos/"
MOUNTS = Mounts({DAVS: "/eos/rucio", ROOT: "/eos/"})


@pytest.mark.parametrize(
    ("pfn", "path"),
    [
        (f"{DAVS}c/i/a.tif", "/eos/rucio/c/i/a.tif"),
        (f"{DAVS}/c//i/a.tif", "/eos/rucio/c/i/a.tif"),
        (f"{DAVS}c/a%20b.tif", "/eos/rucio/c/a b.tif"),
        (f"{DAVS}c/%252e%252e/a", "/eos/rucio/c/%2e%2e/a"),
        (f"{DAVS}c/..a/a..", "/eos/rucio/c/..a/a.."),
        (f"{ROOT}c/i/a.tif", "/eos/c/i/a.tif"),
        (f"{ROOT}c/a%20b.tif", "/eos/c/a%20b.tif"),
        (f"{ROOT}%2e%2e/a", "/eos/%2e%2e/a"),
    ],
)
def test_path(pfn: str, path: str) -> None:
    """A PFN below a prefix is at the same place below its folder."""
    assert MOUNTS.path(pfn) == path


@pytest.mark.parametrize(
    "pfn",
    [
        DAVS,
        f"{DAVS}c/",
        f"{DAVS}../a",
        f"{DAVS}c/../../../etc/passwd",
        f"{DAVS}%2e%2e/a",
        f"{DAVS}%2E./a",
        f"{DAVS}c%2f..%2f..%2fa",
        f"{DAVS}c%5C..%5Ca",
        f"{DAVS}./a",
        f"{DAVS}a%00b",
        f"{DAVS}a\0b",
        f"{DAVS}a%FF",
        f"{DAVS}a?x=1",
        f"{DAVS}a#x",
        f"{DAVS}a&#multirange=false",
        f"{ROOT}../a",
        f"{ROOT}a?xrdcl.unzip=b",
        "davs://host:443/rucio-other/a",
        "davs://host:443/",
        "davs://host/rucio/a",
        "https://host:443/rucio/a",
        "davs://host:443@elsewhere/rucio/a",
        "/eos/rucio/a",
        "",
    ],
)
def test_no_path(pfn: str) -> None:
    """What is not below a prefix, or would lead out of its folder, has no path."""
    assert MOUNTS.path(pfn) is None


PARTS = st.lists(
    st.sampled_from(
        ["..", ".", "", "a", "%2e", "%2E%2e", "%2f", "%5c", "\\", "%00", "\0", "~", "%"]
    )
    | st.text(max_size=3),
    max_size=6,
)


@given(st.sampled_from([DAVS, ROOT]), st.lists(PARTS.map("".join), max_size=6).map("/".join))
def test_nothing_escapes(prefix: Any, rest: Any) -> None:
    """Whatever a storage or a catalogue says, no path leads out of the folder."""
    path = MOUNTS.path(prefix + rest)
    if path is not None:
        folder = "/eos/rucio/" if prefix == DAVS else "/eos/"
        assert path.startswith(folder)
        assert posixpath.normpath(path).startswith(folder)
        assert "\0" not in path


@given(st.lists(st.text(min_size=1).filter(lambda part: part not in {".", ".."}), min_size=1))
def test_escaping_is_undone(parts: list[Any]) -> None:
    """A file whose name had to be percent-encoded in its URL is found by its name."""
    try:
        url = DAVS + "/".join(quote(part, safe="") for part in parts)
    except UnicodeEncodeError:  # a lone surrogate is in no URL
        return
    if not any(set(part) & set("/\\\0") for part in parts):
        assert MOUNTS.path(url) == "/eos/rucio/" + "/".join(parts)
    else:
        assert MOUNTS.path(url) is None


@given(st.sampled_from([DAVS, ROOT]), st.lists(PARTS.map("".join), max_size=6).map("/".join))
def test_nothing_escapes_a_gateway(prefix: Any, rest: Any) -> None:
    """Whatever a storage says, no URL leads to another path of a gateway than the one below."""
    gateway = "https://gate.example.org/eos/"
    url = Mounts({prefix: gateway}).url(prefix + rest)
    if url.startswith(gateway):
        assert not {"", ".", ".."} & {*map(unquote, url[len(gateway) :].split("/"))}
        assert not set(url) & set("?# \\\0")
    else:
        assert MOUNTS.path(prefix + rest) is None


def test_the_closest_prefix() -> None:
    """Of several prefixes the longest counts, with or without a slash at its end."""
    mounts = Mounts({"davs://h/a": "/a", "davs://h/a/b": PurePosixPath("/b"), "davs://h": "/h"})
    assert mounts.path("davs://h/a/b/x") == "/b/x"
    assert mounts.path("davs://h/a/bx") == "/a/bx"
    assert mounts.path("davs://h/ab") == "/h/ab"


@pytest.mark.parametrize(
    ("prefix", "folder"),
    [
        (DAVS, "eos"),
        (DAVS, ""),
        (DAVS, "/eos/../etc"),
        ("/rucio/", "/eos"),
        ("davs:///rucio/", "/eos"),
        ("davs://host/?x", "/eos"),
        ("", "/eos"),
        (DAVS, "ftp://gate.example.org/"),
        (DAVS, "https://gate.example.org/?sig=x"),
        (DAVS, "https://user:password@gate.example.org/"),
    ],
)
def test_wrong_mounts(prefix: str, folder: str) -> None:
    """A prefix that is no URL, or a folder that is not absolute, is refused at once."""
    with pytest.raises(ConfigurationError, match="mounts"):
        modifier_of(FakeRucio({}), mounts={prefix: folder})


def test_mounts_of_no_storage() -> None:
    """A prefix that begins no PFN, nor with what an RSE's PFNs begin with, is told, once."""
    href, pfn = (
        "https://data.example.org/x.tif",
        "root://disk.example.org:1094//eos/rucio/c/i/a.tif",
    )
    rucio = FakeRucio({DID("c", "/c/i/a.tif"): {"STAC": [href], "NEAR": [pfn]}})
    davs = {"scheme": "davs", "hostname": "disk.example.org", "port": 443, "prefix": "/rucio/"}
    impl = {"impl": "rucio.rse.protocols.gfal.Default"}
    root = {**davs, "scheme": "root", "port": 1094, "prefix": "//eos/rucio"}
    rucio.rses["DISK"] = {"protocols": [{**davs, **impl}, {**root, **impl}]}
    rucio.rses["NEAR"] = {"protocols": []}
    for prefix in (
        "davs://disk.example.org:443/rucio/c/",
        "davs://disk.example.org:443/",
        "root://disk.example.org:1094//eos/rucio/",
        "https://data.example.org/",
    ):
        modifier = modifier_of(rucio, strict=True, mounts={prefix: "/eos"})
        modifier(make_item(assets={"a": {"href": href}}))
        modifier.require_known()
    rucio.asked_rses.clear()
    modifier_of(rucio, mounts={"root://disk.example.org:1094//eos/": "/eos"})(
        make_item(assets={"a": {"href": href}})
    )
    assert not {"*", "DISK"} & {*rucio.asked_rses}, "a PFN has shown it"
    for prefix in ("davs://disk.example.org:443/ruccio/", "davs://dsk.example.org:443/rucio/"):
        modifier = modifier_of(rucio, strict=True, mounts={prefix: "/eos"})
        said = f"begin with '{prefix}'; near it: davs://disk.example.org:443/rucio/"
        with pytest.warns(AlternatesWarning, match=said):
            modifier(make_item(assets={"a": {"href": href}}))
        rucio.asked_rses.clear()
        modifier.require_known()
        assert not rucio.asked_rses, "it is asked for once"


def test_modifier_with_mounts() -> None:
    """Of a preferred RSE that is mounted, the path is the href; otherwise it is an alternate."""
    href, pfn = "https://data.example.org/x.tif", f"{DAVS}c/i/a.tif"
    replicas = FakeRucio({DID("c", "/c/i/a.tif"): {"STAC": [href], "DISK": [pfn]}})
    modifier = modifier_of(replicas, mounts={DAVS: "/eos/rucio/"})
    found = make_item(assets={"a": {"href": href}})
    modifier(found)
    ways = {key: each["href"] for key, each in found["assets"]["a"]["alternate"].items()}
    assert found["assets"]["a"]["href"] == href
    url = pfn.replace("davs", "https")
    assert ways == {"DISK": url, "DISK-file": "/eos/rucio/c/i/a.tif"}
    for prefer in ("DISK", "file"):
        other = make_item(assets={"a": {"href": href}})
        for _ in range(2):
            modifier.with_options(prefer=prefer)(other)
            asset = other["assets"]["a"]
            assert (asset["href"], asset["alternate:name"]) == (ways["DISK-file"], "DISK-file")
            assert {key: each["href"] for key, each in asset["alternate"].items()} == {
                "STAC": href,
                "DISK": url,
            }
