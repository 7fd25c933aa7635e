"""Names of collections, items and assets."""

from __future__ import annotations

import hashlib
import re
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stac_policy.naming import (
    DID,
    asset_key,
    asset_name,
    collection_name,
    collection_scope,
    escape,
    item_name,
    split_name,
    unescape,
)
from tests.catalogues import SCENES
from tests.items import assets_of

from .strategies import anything, hrefs, ids, keys, local_paths, names

if TYPE_CHECKING:
    from collections.abc import Callable

SUFFIXES = [".tif", ".tar.gz", ".TAR.zst", ".h5", "." + "a" * 16]


@given(anything)
@example("\ud83d\ude00")
@example("-.-.")
@example("--..")
@example("..")
def test_escaping_is_reversible(part: str) -> None:
    """`unescape` gives back what `escape` was given."""
    assert unescape(escape(part)) == part


@given(anything)
def test_escaped_is_canonical(part: str) -> None:
    """An escaped part holds plain characters, starts with no dot, and only escapes hold `-.`."""
    escaped = escape(part)
    assert re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", escaped)
    assert "-." not in re.sub(r"-\.[0-9A-F]{2}", "_", escaped)


@given(st.text(st.sampled_from("abcXYZ0189_-."), min_size=1))
def test_plain_parts_stay_as_they_are(part: str) -> None:
    """Real ids stay readable: nothing is escaped where nothing needs it."""
    if "-." not in part and not part.startswith("."):
        assert escape(part) == part


@pytest.mark.parametrize(
    ("part", "escaped"),
    [
        ("a b", "a-.20b"),
        ("a-.b", "a-.2D.b"),
        ("--.", "--.2D."),
        ("-.41", "-.2D.41"),
        ("-", "-"),
        (".", "-.2E"),
        ("..", "-.2E."),
        (".hidden", "-.2Ehidden"),
        ("a.b-c_d", "a.b-c_d"),
        ("-é", "--.C3-.A9"),
        ("é", "-.C3-.A9"),
        ("e\u0301", "e-.CC-.81"),
        ("\ud800", "-.ED-.A0-.80"),
        ("\x00", "-.00"),
        ("a/b", "a-.2Fb"),
        ("100%", "100-.25"),
        ("²", "-.C2-.B2"),
        ("٣", "-.D9-.A3"),
    ],
)
def test_escapes(part: str, escaped: str) -> None:
    """Each UTF-8 byte that is not plain becomes `-.` and two upper-case hex digits."""
    assert escape(part) == escaped


@pytest.mark.parametrize(
    "part",
    [
        *["", ".", "..", ".a", "a b", "é", "a/b", "a\n", "-.", "a-.", "a-.4", "-.41", "-.zz"],
        *["-.2d.b", "a-.2D", "a-.2Db", "-.C3", "-.A9", "-.F0-.9F-.98", "-.C0-.80", "a-.2E"],
        *["-.5F", "a-.b", "a-.H0123456789abcdef", "-.C3-.a9", "-.FF", "-.2E-.2E"],
    ],
)
def test_unescape_refuses(part: Any) -> None:
    """What `escape` never gives is refused, truncated and needless escapes included."""
    with pytest.raises(ValueError, match=r"not a part|can't decode"):
        unescape(part)
    assert split_name(f"/c/i/{part}") == ()


def test_empty_parts_have_no_name() -> None:
    """Rucio has no name for an empty id or key."""
    naming: tuple[Callable[[], str], ...] = (
        lambda: escape(""),
        lambda: collection_scope(""),
        lambda: collection_name(""),
        lambda: item_name("c", ""),
        lambda: asset_name("c", "i", "", "x.tif"),
    )
    for name in naming:
        with pytest.raises(ValueError, match="empty"):
            name()


@given(name=names)
def test_names_fit_the_schema(schema: Any, name: str) -> None:
    """Every name is one that Rucio takes, and no path above or beside it."""
    assert re.search(schema["name"], name)
    assert "\n" not in name
    assert len(name) <= schema["name_length"]
    assert not {"", ".", ".."} & set(name[1:].split("/"))
    assert "//" not in name


@given(collection=ids)
def test_scopes_fit_the_schema(schema: Any, collection: Any) -> None:
    """Every scope is one that Rucio takes: the escaped id where it fits."""
    scope = collection_scope(collection)
    assert re.search(schema["scope"], scope)
    assert len(scope) <= schema["scope_length"]
    if len(escape(collection)) <= schema["scope_length"]:
        assert scope == escape(collection)


@pytest.mark.parametrize("collection", ["user.alice", "group.phys", "User.x", "user." + "x" * 50])
def test_scopes_of_accounts_are_never_derived(collection: str) -> None:
    """A collection that begins like an account's scope has none; its names are as ever."""
    with pytest.raises(ValueError, match="account"):
        collection_scope(collection)
    assert item_name(collection, "i") == f"/{collection}/i"
    assert collection_scope("user") == "user"
    assert collection_scope("users.x") == "users.x"


def test_long_scopes_have_a_digest() -> None:
    """Above 25 characters a scope is a head and a digest, so that no two collections meet."""
    names = [f"met-office-global-deterministic-{kind}" for kind in ("height", "pressure")]
    digests = [hashlib.sha256(name.encode()).hexdigest()[:8] for name in names]
    assert [collection_scope(name) for name in names] == [
        f"met-office-globa-{digest}" for digest in digests
    ]
    assert collection_scope("a" * 25) == "a" * 25
    assert collection_scope("a" * 26) != "a" * 25


@given(ids, ids, ids, hrefs, local_paths)
def test_names_are_read_back_offline(
    collection: Any, item: Any, key: Any, href: str | None, local_path: object
) -> None:
    """Unless shortened, a name gives back collection and item, and the key up to a suffix."""
    name = asset_name(collection, item, key, href, local_path=local_path)
    parts = split_name(name)
    if "-.H" in name:
        assert len(name) > 246
        return
    assert (unescape(parts[0]), unescape(parts[1])) == (collection, item)
    rest = unescape(parts[2]).removeprefix(key)
    assert key + rest == unescape(parts[2])
    assert re.fullmatch(r"(\.tar)?(\.[A-Za-z0-9]+)?", rest)


@given(st.dictionaries(keys | anything, st.tuples(hrefs, local_paths), max_size=8), ids, ids)
def test_assets_of_an_item_never_meet(assets: dict[Any, Any], collection: Any, item: Any) -> None:
    """All assets of an item have different names, and `asset_key` tells which is which."""
    named = {
        key: asset_name(collection, item, key, href, assets, local_path)
        for key, (href, local_path) in assets.items()
    }
    assert len(set(named.values())) == len(named)
    hrefs, paths = ({key: pair[index] for key, pair in assets.items()} for index in (0, 1))
    for key, name in named.items():
        assert asset_key(name, collection, item, hrefs, paths) == key
    assert asset_key(item_name("c", "i"), "c", "i", hrefs, paths) is None


@given(ids, ids, keys | anything, hrefs | anything, local_paths)
def test_a_slash_behind_a_folder_changes_nothing(
    collection: Any, item: Any, key: Any, href: Any, local_path: object
) -> None:
    """Nor is a name ever one below that of a folder, as members of folders will be."""
    plain = asset_name(collection, item, key, href, local_path=local_path)
    if href and "?" not in href and "#" not in href:
        assert asset_name(collection, item, key, f"{href}/", local_path=local_path) == plain
    assert plain.count("/") == 3


@pytest.mark.parametrize(
    ("href", "local_path", "name"),
    [
        (None, "x.tif", "B04.tif"),
        ("", "x.tif", "B04.tif"),
        ("https://h/Products(0c6f1b1e)/$value", "S2A.SAFE/IMG_DATA/B04.jp2", "B04.jp2"),
        ("https://h/Products(0c6f1b1e)/$value", "S2A.SAFE", "B04.SAFE"),
        ("https://h/Products(0c6f1b1e)/$value", "S2A.SAFE/", "B04.SAFE"),
        ("https://h/$value", "x.tar.gz", "B04.tar.gz"),
        ("https://h/$value", "v20191122", "B04"),
        ("https://h/$value", "", "B04"),
        ("https://h/$value", 7, "B04"),
        ("https://h/$value", ["x.tif"], "B04"),
        ("https://h/x.tif", "x.jp2", "B04.tif"),
    ],
)
def test_suffixes_of_local_paths(href: str | None, local_path: object, name: str) -> None:
    """Where the href has no suffix, that of `file:local_path` is taken, of its last part."""
    assert asset_name("c", "i", "B04", href, local_path=local_path) == f"/c/i/{name}"


def test_asset_key_of_foreign_names() -> None:
    """A name of no asset of the item has no key; an empty key has no name and does not matter."""
    assert asset_key("/c/i/B05.tif", "c", "i", {"B04": "x.tif"}) is None
    assert asset_key("/c/i/B04.tif", "c", "i", {"": "x.tif", "B04": "x.tif"}) == "B04"


@given(st.lists(st.tuples(ids, ids, ids), min_size=2, max_size=2, unique=True))
@example([("a", "b/c", "d"), ("a/b", "c", "d")])
def test_different_assets_have_different_names(assets: list[tuple[str, str, str]]) -> None:
    """No two of all the assets of the world share a name, shortened names included."""
    first, second = (asset_name(*asset, None) for asset in assets)
    assert first != second


@given(ids, ids)
def test_naming_is_deterministic(collection: Any, item: Any) -> None:
    """The same ids give the same name again."""
    assert item_name(collection, item) == item_name(collection, item)


@pytest.mark.parametrize("sizes", [(60, 143, 154), (249, 1, 1), (300, 300, 300), (10, 400, 10)])
def test_long_names_are_shortened(sizes: tuple[int, int, int]) -> None:
    """The longest part keeps its head and ends in a digest of the original; the rest stays."""
    parts = ("a" * sizes[0], "b" * sizes[1], "c" * sizes[2])
    name = asset_name(*parts, None)
    split = split_name(name)
    assert 247 <= len(name) <= 250
    for part, original in zip(split, parts):
        if part != original:
            digest = hashlib.sha256(original.encode()).hexdigest()[:16]
            assert part.endswith(f"-.H{digest}")
            assert original.startswith(part[:-19])
            assert len(part) >= 32


@given(st.text(st.sampled_from("ab.é-"), min_size=250, max_size=400), st.sampled_from(SUFFIXES))
def test_shortened_keys_keep_their_suffix(key: str, suffix: Any) -> None:
    """A key that is cut keeps the suffix behind the digest, whether its own or the href's."""
    with_suffix = asset_name("c", "i", key + suffix, None)
    assert with_suffix == asset_name("c", "i", key + suffix, f"x{suffix}")
    assert re.search(rf"-\.H[0-9a-f]{{16}}{re.escape(suffix)}$", with_suffix)
    assert len(with_suffix) <= 250
    *ids, part = split_name(with_suffix)
    assert ids == ["c", "i"]
    with pytest.raises(ValueError, match=r"shortened|can't decode"):
        unescape(part)


def test_shortened_ids_have_no_suffix() -> None:
    """Ids of items are no file names: all of a shortened one goes into its digest."""
    assert re.search(r"-\.H[0-9a-f]{16}$", item_name("c", "i" * 300 + ".SAFE"))
    assert re.search(r"-\.H[0-9a-f]{16}/B04\.tif$", asset_name("c", "i" * 300, "B04", "x.tif"))


def test_names_of_250_characters_stay_whole() -> None:
    """Nothing is shortened before it must be."""
    assert item_name("c", "i" * 247) == "/c/" + "i" * 247
    assert "-.H" in item_name("c", "i" * 248)
    assert len(item_name("c", "i" * 248)) == 250


def test_shortening_cuts_no_escape_in_two() -> None:
    """The head of a shortened part ends with a whole escape, whatever is cut."""
    for excess in range(12):
        (_, part) = split_name(item_name("c", "é" * 42 + "x" * excess))
        head = part.partition("-.H")[0]
        assert re.fullmatch(r"(-\.[0-9A-F]{2}|x)+", head)


def test_names_of_catalogues(catalogue_items: list[dict[str, Any]]) -> None:
    """Names tell all assets apart, are read back, and readable wherever ids and keys are plain."""
    dids: dict[DID, tuple[object, ...]] = {}
    readable = 0
    for collection, item, key, href, siblings in assets_of(catalogue_items):
        name = asset_name(collection, item, key, href, siblings)
        asset = (collection, item, key)
        assert dids.setdefault(DID(collection_scope(collection), name), asset) == asset
        assert asset_key(name, collection, item, dict.fromkeys(siblings) | {key: href}) == key
        if re.fullmatch(r"(/\w[\w.-]*){3}", "/" + "/".join(asset), re.ASCII):
            assert name.startswith(f"/{collection}/{item}/{key}")
            readable += 1
        elif "-.H" not in name:
            *ids, part = map(unescape, split_name(name))
            assert ids == [collection, item]
            assert part.startswith(key)
    assert readable > len(dids) / 2


def test_names_of_scenes() -> None:
    """Registered assets of catalogues have the names that were written down."""
    assert [
        f"{collection_scope(collection)}:{asset_name(collection, item, key, href, siblings)}"
        for scene in SCENES
        for collection, item, key, href, siblings in assets_of([scene.item])
        if key in scene.registered | scene.on_request
    ] == [
        f"{scene.dataset}/{(scene.registered | scene.on_request)[key]}"
        for scene in SCENES
        for key in scene.item["assets"]
        if key in scene.registered | scene.on_request
    ]


def test_did_reads_as_rucio_writes_it() -> None:
    """A DID as text is scope, colon and name."""
    assert str(DID("s", "/c/i")) == "s:/c/i"


@given(names)
def test_split_accepts_names(name: str) -> None:
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
def test_split_of_shortened_names(name: str, accepted: bool) -> None:
    """Only what shortening can give is taken for a shortened name."""
    assert bool(split_name(name)) is accepted


@given(st.text() | anything | st.text(st.sampled_from("/-.aA0H2DE"), max_size=12).map("/".__add__))
def test_split_takes_anything(name: Any) -> None:
    """`split_name` never raises, and accepts what the functions give and nothing else."""
    parts = split_name(name)
    if not parts:
        return
    assert 1 <= len(parts) <= 3
    originals = [unescape(part) for part in parts]
    give = (collection_name, item_name, partial(asset_name, href=None))[len(parts) - 1]
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
def test_split(name: str, parts: tuple[Any, ...]) -> None:
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
        ("https://h/S2A_MSIL1C.SAFE/", "B04.SAFE"),
        ("s3://b/x.zarr//", "B04.zarr"),
        ("https://h/x.nc4", "B04.nc4"),
        ("https://h/x." + "a" * 16, "B04." + "a" * 16),
        ("https://h/x." + "1" * 15 + "a", "B04." + "1" * 15 + "a"),
        # Names that have no suffix:
        (None, "B04"),
        ("", "B04"),
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
def test_suffixes(href: str | None, name: str) -> None:
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
def test_keys_that_have_the_suffix(key: str, name: str) -> None:
    """A key that ends in the suffix, in either case, does not get it again."""
    assert asset_name("c", "i", key, "https://h/x.tif") == f"/c/i/{name}"


def test_a_suffix_makes_no_two_keys_meet() -> None:
    """Of `B04` and `B04.tif`, both TIFF, the one without suffix keeps its bare key."""
    both = ["B04", "B04.tif"]
    assert asset_name("c", "i", "B04", "x.tif", both) == "/c/i/B04"
    assert asset_name("c", "i", "B04.tif", "x.tif", both) == "/c/i/B04.tif"
    assert asset_name("c", "i", "B04", "x.tif", ["B04", "B04.TIF"]) == "/c/i/B04.tif"


def test_suffixes_of_archives_make_no_two_keys_meet() -> None:
    """Nor does the suffix of two dots: what would read as one, and is not, is left away."""
    assert asset_name("c", "i", "B04", "x.tar.gz") == "/c/i/B04.tar.gz"
    assert asset_name("c", "i", "B04.tar", "x.gz") == "/c/i/B04.tar"
    assert asset_name("c", "i", "B04.tar", "x.tar.gz") == "/c/i/B04.tar.tar.gz"
    assert asset_name("c", "i", "B04.tar.gz", "x.gz") == "/c/i/B04.tar.gz"
    assert asset_name("c", "i", "B04.TAR.GZ", "x.tar.gz") == "/c/i/B04.TAR.GZ"
