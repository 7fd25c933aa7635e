"""Mounts: which path a PFN has here, and that none leads out of its folder."""

from __future__ import annotations

import posixpath
from pathlib import PurePosixPath
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stac_client import ConfigurationError, Modifier
from stac_client._preference import Mounts
from stac_policy.naming import DID
from tests.fake_rucio import FakeRucio
from tests.items import make_item

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
def test_path(pfn, path):
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
def test_no_path(pfn):
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
def test_nothing_escapes(prefix, rest):
    """Whatever a storage or a catalogue says, no path leads out of the folder."""
    path = MOUNTS.path(prefix + rest)
    if path is not None:
        folder = "/eos/rucio/" if prefix == DAVS else "/eos/"
        assert path.startswith(folder)
        assert posixpath.normpath(path).startswith(folder)
        assert "\0" not in path


@given(st.lists(st.text(min_size=1).filter(lambda part: part not in {".", ".."}), min_size=1))
def test_escaping_is_undone(parts):
    """A file whose name had to be percent-encoded in its URL is found by its name."""
    try:
        url = DAVS + "/".join(quote(part, safe="") for part in parts)
    except UnicodeEncodeError:  # a lone surrogate is in no URL
        return
    if not any(set(part) & set("/\\\0") for part in parts):
        assert MOUNTS.path(url) == "/eos/rucio/" + "/".join(parts)
    else:
        assert MOUNTS.path(url) is None


def test_the_closest_prefix():
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
    ],
)
def test_wrong_mounts(prefix, folder):
    """A prefix that is no URL, or a folder that is not absolute, is refused at once."""
    with pytest.raises(ConfigurationError, match="mounts"):
        Modifier(FakeRucio({}), mounts={prefix: folder})


def test_modifier_with_mounts():
    """Of a preferred RSE that is mounted, the path is the href; otherwise it is an alternate."""
    href, pfn = "https://data.example.org/x.tif", f"{DAVS}c/i/a.tif"
    replicas = FakeRucio({DID("c", "/c/i/a.tif"): {"STAC": [href], "DISK": [pfn]}})
    modifier = Modifier(replicas, mounts={DAVS: "/eos/rucio/"})
    found = make_item(assets={"a": {"href": href}})
    modifier(found)
    ways = {key: each["href"] for key, each in found["assets"]["a"]["alternate"].items()}
    assert found["assets"]["a"]["href"] == href
    assert ways == {"DISK": pfn, "DISK-file": "/eos/rucio/c/i/a.tif"}
    for prefer in ("DISK", "file"):
        other = make_item(assets={"a": {"href": href}})
        for _ in range(2):
            modifier(prefer=prefer)(other)
            asset = other["assets"]["a"]
            assert (asset["href"], asset["alternate:name"]) == (ways["DISK-file"], "DISK-file")
            assert {key: each["href"] for key, each in asset["alternate"].items()} == {
                "STAC": href,
                "DISK": pfn,
            }
