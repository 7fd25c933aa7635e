"""Names taken apart, and the suffixes that names take from hrefs."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stac_policy.naming import asset_name, collection_name, item_name, split_name, unescape

from .strategies import anything, names


@given(names)
def test_split_accepts_names(name):
    """`split_name` knows every name that the functions give."""
    assert "/" + "/".join(split_name(name)) == name


_TAIL = "-.H0123456789abcdef"


@pytest.mark.parametrize(
    ("name", "accepted"),
    [
        ("/c/" + "a" * 228 + _TAIL, True),
        ("/c/" + "a" * 225 + _TAIL, True),
        ("/c/" + "a" * 224 + _TAIL, False),  # shortened further than needed
        ("/c/" + "a" * 229 + _TAIL, False),  # still too long
        ("/c/a" + _TAIL, False),
        ("/" + "c" * 226 + "/a" + _TAIL, False),  # shorter than parts ever get
        ("/" + "c" * 217 + "/" + "a" * 10 + _TAIL, True),  # as short as they get
        ("/c/" + "日" * 228 + _TAIL, False),
        ("/c/" + "a" * 224 + "-.C3" + _TAIL, True),  # cut within a character
        ("/c/" + "a" * 224 + "-.2D" + _TAIL, True),  # cut within a literal `-.`
        ("/c/" + "a" * 224 + "-.41" + _TAIL, False),
        ("/c/" + "a" * 224 + "-.A9" + _TAIL, False),
        ("/c/" + "a" * 224 + "-.zz" + _TAIL, False),
        ("/c/" + "a" * 223 + "-.2Da" + _TAIL, False),
        ("/c/." + "a" * 227 + _TAIL, False),
        ("/c/i/" + "a" * 222 + _TAIL + ".tif", True),
        ("/c/i/" + "a" * 219 + _TAIL + ".tar.gz", True),
        ("/c/i/" + "a" * 219 + _TAIL + ".tif.gz", False),
        ("/c/i/" + "a" * 225 + _TAIL + ".", False),
        ("/c/i/" + "a" * 222 + _TAIL + ".007", False),
        ("/c/i/" + "a" * 218 + _TAIL + ".tif", False),  # shortened further than needed
        ("/c/" + "a" * 224 + _TAIL + ".tif", False),  # an item has no suffix
        ("/c/" + "i" * 212 + "/" + "a" * 10 + _TAIL + ".tif", True),  # as short as they get
        ("/c/" + "i" * 213 + "/" + "a" * 9 + _TAIL + ".tif", False),
        ("/c/" + "a" * 228 + _TAIL.upper(), False),
        ("/c/" + "a" * 228 + _TAIL[:-1], False),
    ],
)
def test_split_of_shortened_names(name, accepted):
    """Only what shortening can give is taken for a shortened name."""
    assert bool(split_name(name)) is accepted


@given(st.text() | anything | st.text(st.sampled_from("/-.aA0H2DE"), max_size=12).map("/".__add__))
def test_split_takes_anything(name):
    """`split_name` never raises, and accepts what the functions give and nothing else."""
    parts = split_name(name)
    if not parts:
        return
    assert 1 <= len(parts) <= 3
    originals = [unescape(part) for part in parts]
    give: Any = (collection_name, item_name, partial(asset_name, href=None))[len(parts) - 1]
    assert give(*originals) == name


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("/store/data/x", ("store", "data", "x")),
        ("/store/data/x.root", ("store", "data", "x.root")),
        ("/store/data/Run2018A/x.root", ()),
        ("/belle/MC/release-04/x", ()),
        ("/c", ("c",)),
        ("/c/i", ("c", "i")),
        ("", ()),
        ("/", ()),
        ("//", ()),
        ("/c/", ()),
        ("/c//k", ()),
        ("//i/k", ()),
        ("c/i/k", ()),
        ("/c/../k", ()),
        ("/c/./k", ()),
        ("/c/i/.k", ()),
        ("/c/i/k\n", ()),
        ("/c/i/k k", ()),
        ("user.alice.data", ()),
        ("data18_13TeV:file", ()),
        ("/" + "c" * 249, ("c" * 249,)),
        ("/" + "c" * 250, ()),
    ],
)
def test_split(name, parts):
    """A name splits into its parts if it has the form of ours, that of others included."""
    assert split_name(name) == parts


@pytest.mark.parametrize(
    ("href", "name"),
    [
        ("https://h/x.tif", "B04.tif"),
        ("https://h/x.TIF", "B04.TIF"),
        ("https://h/x.tif?sig=a.b/c.d", "B04.tif"),
        ("https://h/x.tif#a/b.c", "B04.tif"),
        ("s3://bucket/x.jp2", "B04.jp2"),
        ("./x.tif", "B04.tif"),
        ("../a.b/x.tif", "B04.tif"),
        ("x.tif", "B04.tif"),
        ("/data/x.tif", "B04.tif"),
        ("file:///tmp/x.h5", "B04.h5"),
        ("ftp://h/x.7z", "B04.7z"),
        ("abfs://container@account.dfs.core.windows.net/x.zarr", "B04.zarr"),
        ("https://h/x.tar.gz", "B04.tar.gz"),
        ("https://h/x.tar.bz2", "B04.tar.bz2"),
        ("https://h/x.tar.xz", "B04.tar.xz"),
        ("https://h/x.TAR.Zst?a", "B04.TAR.Zst"),
        ("https://h/x.tif.gz", "B04.gz"),
        ("https://h/x.tar.zip", "B04.zip"),
        ("https://h/xtar.gz", "B04.gz"),
        ("https://h/.tar.gz", "B04.gz"),
        ("https://h/S2A_MSIL1C.SAFE", "B04.SAFE"),
        ("https://h/x.nc4", "B04.nc4"),
        ("https://h/x." + "a" * 16, "B04." + "a" * 16),
        ("https://h/x." + "1" * 15 + "a", "B04." + "1" * 15 + "a"),
        # Names that have no suffix:
        (None, "B04"),
        ("", "B04"),
        ("https://h/S2A_MSIL1C.SAFE/", "B04"),
        ("https://h/entry?name=EOPMetadata.xml", "B04"),
        ("https://h/odata/Products(0c6f1b1e)/$value", "B04"),
        ("https://example.com", "B04"),
        ("https://example.com/", "B04"),
        ("https://example.com?x.tif", "B04"),
        ("s3://bucket.name", "B04"),
        ("https://h/release-2.1", "B04"),
        ("https://h/x.001", "B04"),
        ("https://h/x.tif%20", "B04"),
        ("https://h/x%2Etif", "B04"),
        ("https://h/x.", "B04"),
        ("https://h/.netrc", "B04"),
        ("https://h/a.b/c", "B04"),
        ("https://h/x." + "a" * 17, "B04"),
        ("https://h/x." + "1" * 16 + "a", "B04"),
    ],
)
def test_suffixes(href, name):
    """A name takes the suffix of the href's file name, and nothing that only looks like one."""
    assert asset_name("c", "i", "B04", href) == f"/c/i/{name}"


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("B04.tif", "B04.tif"),
        ("B04.TIF", "B04.TIF"),
        ("B04.jp2", "B04.jp2.tif"),
        ("tif", "tif.tif"),
        ("2025/04/x_ql.tif", "2025-.2F04-.2Fx_ql.tif"),
        (".tif", "-.2Etif"),
    ],
)
def test_keys_that_have_the_suffix(key, name):
    """A key that ends in the suffix, in either case, does not get it again."""
    assert asset_name("c", "i", key, "https://h/x.tif") == f"/c/i/{name}"


def test_a_suffix_makes_no_two_keys_meet():
    """Of `B04` and `B04.tif`, both TIFF, the one without suffix keeps its bare key."""
    both = ["B04", "B04.tif"]
    assert asset_name("c", "i", "B04", "x.tif", both) == "/c/i/B04"
    assert asset_name("c", "i", "B04.tif", "x.tif", both) == "/c/i/B04.tif"
    assert asset_name("c", "i", "B04", "x.tif", ["B04", "B04.TIF"]) == "/c/i/B04.tif"


def test_suffixes_of_archives_make_no_two_keys_meet():
    """Nor does the suffix of two dots: what would read as one, and is not, is left away."""
    assert asset_name("c", "i", "B04", "x.tar.gz") == "/c/i/B04.tar.gz"
    assert asset_name("c", "i", "B04.tar", "x.gz") == "/c/i/B04.tar"
    assert asset_name("c", "i", "B04.tar", "x.tar.gz") == "/c/i/B04.tar.tar.gz"
    assert asset_name("c", "i", "B04.tar.gz", "x.gz") == "/c/i/B04.tar.gz"
    assert asset_name("c", "i", "B04.TAR.GZ", "x.tar.gz") == "/c/i/B04.TAR.GZ"
