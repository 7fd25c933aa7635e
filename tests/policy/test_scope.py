"""From what a user types to a scope and a name."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from rucio.common.exception import RucioException
from rucio.common.utils import ScopeExtractionAlgorithms

from stac_policy.naming import asset_name, collection_scope, item_name, split_name
from stac_policy.scope import scope
from stac_policy.settings import settings

from .strategies import anything, hrefs, ids
from .support import configured

with configured():  # Rucio looks for its configuration when this is imported
    from rucio.common.schema import generic

# Ids as people may type them: a colon would end a scope, a slash a part.
typable = ids.filter(lambda part: not {":", "/"} & set(part) and not split_name("/" + part))
plain = st.text(st.sampled_from("abcXYZ019_-."), min_size=1, max_size=20).filter(
    lambda part: split_name("/" + part)
)
encodable = ids.filter(lambda part: not re.search("[\ud800-\udfff]", part))
api = st.sampled_from(
    [
        "https://earth-search.aws.element84.com/v1",
        "http://127.0.0.1:8080",
        "https://[::1]:8080/stac",
        "https://user@h/collections/x/items/y",
        "/stac/v1",
        "stac/v1",
        "",
    ]
)


def rucio_default(did: Any, scopes: list[Any] | None = None) -> tuple[Any, ...] | str:
    """Give what Rucio's default gives, or the text of its exception."""
    try:
        return tuple(ScopeExtractionAlgorithms.extract_scope_default(did, scopes))
    except RucioException as error:
        return str(error)


def ours(did: Any, scopes: list[Any] | None = None) -> tuple[Any, ...] | str:
    """Give what our algorithm gives, or the text of its exception."""
    try:
        return tuple(scope(did, scopes))
    except RucioException as error:
        return str(error)


DEFAULTS = [
    "cms:/store/data/x.root",
    "cms:/store/collections/a/items/b",
    "user.alice.run7/collections/2024/items/7",
    "mc.sim/collections/a/items/b",
    "/user.alice/item",
    "/stac/collections/group.phys/items/b",
    "my_scope:/stac/collections/a/items/b",
    "scope:collections/a/items/b",
    "https:/collections/a/items/b",
    "ftp://h/collections/a/items/b",
    "https://collections/a/items/b",
    "https://h/x.tif",
    "https://h:8443/x.tif",
    "user.alice:/collection/item/B04.tif",
    "sentinel-2-l2a:/sentinel-2-l2a/S2B_20EPT_20250731_0_L2A",
    "urn:eop:VITO",
    "urn:eop:VITO/item",
    "c/urn:x",
    ":name",
    "scope:",
    ":",
    "",
    "/",
    "//",
    "name",
    "/name",
    "name/",
    "user.alice.data",
    "group.phys.data/",
    "data18_13TeV.00348885.physics_Main",
    "collection/item/",
    "//collection/item",
    "/collection//item",
    "/store/data/Run2018A/x.root",
    "/collections/a/items/",
    "/collections//items/b",
    "/collections/a/item/b",
    "/mycollections/a/items/b",
    "/collections/a/items/b/c",
    "/collections/a/items/%FF",
    "/" + "c" * 209 + "-.H0123456789abcdef/" + "i" * 20,
]


@pytest.mark.parametrize("did", DEFAULTS)
def test_everything_else_is_rucios(did: str) -> None:
    """What is not of our forms gives exactly what Rucio's default gives."""
    assert ours(did) == rucio_default(did)
    assert ours(did, ["some", "scopes"]) == rucio_default(did)


@given(st.from_regex(r"[A-Za-z0-9_.\-]{1,25}", fullmatch=True), st.text() | anything | hrefs)
def test_scope_and_name_is_rucios(given_scope: str, name: Any) -> None:
    """`scope:name` is split at its colon, whatever the name looks like."""
    did = f"{given_scope}:{name or ''}"
    assume(given_scope not in {"http", "https"})
    assert ours(did) == rucio_default(did)


@given(st.text() | anything | st.text(st.sampled_from("ab:/.%?# collectionsitems")))
def test_any_text(did: Any) -> None:
    """Where Rucio's default finds a scope that Rucio takes, or ours finds none, it is Rucio's.

    Of a URL the default takes the scheme for the scope.
    """
    result, rucios = ours(did), rucio_default(did)
    if re.fullmatch(generic.SCOPE["pattern"], rucios[0]) and not did.startswith("http"):
        assert result == rucios
    if result != rucios:
        assert len(split_name(result[1])) in {2, 3}
        assert re.fullmatch(generic.SCOPE["pattern"], result[0])


@given(plain, plain, st.none() | plain, st.sampled_from(["", "/"]))
def test_plain_paths(collection: str, item: str, key: Any, slash: Any) -> None:
    """`[/]collection/item[/asset]` gives the scope of the collection and the name."""
    assume(slash or "." not in collection)
    did = slash + "/".join(filter(None, [collection, item, key]))
    name = f"/{collection}/{item}" + (f"/{key}" if key else "")
    assert scope(did, None) == (collection_scope(collection), name)


@given(typable, typable, st.none() | typable, st.sampled_from(["", "/"]))
def test_raw_paths(collection: Any, item: Any, key: Any, slash: Any) -> None:
    """Ids and keys are taken as the catalogue has them; what is too long is shortened."""
    assume(slash or "." not in collection)
    did = slash + "/".join(filter(None, [collection, item, key]))
    name = asset_name(collection, item, key, None) if key else item_name(collection, item)
    assert scope(did, None) == (collection_scope(collection), name)


@given(ids, ids, ids, hrefs)
def test_names_come_back(collection: Any, item: Any, key: Any, href: str | None) -> None:
    """A name as Rucio lists it gives its own DID, with and without the leading slash."""
    for name in (item_name(collection, item), asset_name(collection, item, key, href)):
        assume("-.H" not in split_name(name)[0])
        assert scope(name, None) == (collection_scope(collection), name)
        if "." not in name.split("/")[1]:
            assert scope(name[1:], None) == (collection_scope(collection), name)


@given(encodable, encodable, api, st.sampled_from(["", "/", "?token=next", "#links", "/?x=/a/b"]))
def test_item_urls(collection: Any, item: Any, root: str, end: Any) -> None:
    """A STAC API's URL or path of an item gives its dataset."""
    path = "/".join(quote(part, safe="") for part in ("collections", collection, "items", item))
    did = f"{root}/{path}{end}"
    assert scope(did, None) == (collection_scope(collection), item_name(collection, item))


@pytest.mark.parametrize(
    ("did", "expected"),
    [
        ("/collections/c/items/i", ("c", "/c/i")),
        ("collections/c/items/i", ("c", "/c/i")),
        ("/collections/c/items/urn:eop:x", ("c", "/c/urn-.3Aeop-.3Ax")),
        ("/collections/c/items/a:b", ("c", "/c/a-.3Ab")),
        ("/collections/EO%3AEUM%3ADAT%3A0662/items/a%2Fb", None),
        ("https://h/v1/collections/a%20b/items/i", ("a-.20b", "/a-.20b/i")),
        ("https://h/v1/collections/a b/items/i", ("a-.20b", "/a-.20b/i")),
        ("/collections/item", ("collections", "/collections/item")),
        ("/collections/item/key", ("collections", "/collections/item/key")),
        ("c/collections/items", ("c", "/c/collections/items")),
        ("a b/c", ("a-.20b", "/a-.20b/c")),
        ("/a-.20b/c", ("a-.20b", "/a-.20b/c")),
        ("/a-.20b/c d", ("a-.2D.20b", "/a-.2D.20b/c-.20d")),
        ("c/i/B04.tif", ("c", "/c/i/B04.tif")),
    ],
)
def test_forms(did: str, expected: tuple[str, str] | None) -> None:
    """Each form gives one pair; a colon in a path that has no scope ends none."""
    colons = "EO-.3AEUM-.3ADAT-.3A0662"
    assert scope(did, None) == (expected or (colons, f"/{colons}/a-.2Fb"))


@pytest.mark.parametrize(
    ("scopes", "given_scope"),
    [
        (None, "c"),
        ([], "c"),
        (["c"], "c"),
        (["c", "user.alice"], "c"),
        (["user.alice"], "user.alice"),
        (["user.alice", "other"], "user.alice"),
        (("user.alice",), "user.alice"),
        ({"user.alice"}, "user.alice"),
    ],
)
def test_fixed_scopes(scopes: Any, given_scope: str) -> None:
    """The scopes that exist decide between the derived scope and a configured one."""
    with configured(scopes="user.alice, stac.dlr"):
        for did in ("/c/i", "c/i/k", "https://h/collections/c/items/i"):
            assert scope(did, scopes)[0] == given_scope
        assert scope("s:n", scopes) == ("s", "n")


@pytest.mark.parametrize("scopes", [["other"], ["user.alice", "stac.dlr"]])
def test_scopes_that_do_not_exist(scopes: list[str]) -> None:
    """Where neither the derived scope nor just one of the fixed ones exists, Rucio decides."""
    with configured(scopes="user.alice, stac.dlr"):
        for did in ("/c/i", "c/i/k", "/dune/raw/run1.root", "https://h/collections/c/items/i"):
            assert ours(did, scopes) == rucio_default(did, scopes)


@given(ids, ids)
def test_the_name_is_the_same_in_a_fixed_scope(collection: Any, item: Any) -> None:
    """A fixed scope changes no name."""
    did = item_name(collection, item)
    assume("-.H" not in split_name(did)[0] and collection_scope(collection) != "fixed")
    with configured(scopes="fixed"):
        assert scope(did, ["fixed"]) == ("fixed", did)


def test_lists_of_settings() -> None:
    """Lists may have spaces and go over several lines."""
    with configured(allowed_hosts="a.org,  *.b.org ,\n  c.org:8443", scopes="s,\n  user.alice"):
        assert settings().allowed_hosts == ("a.org", "*.b.org", "c.org:8443")
        assert scope("c/i", ["user.alice"])[0] == "user.alice"


def test_shortened_items_can_be_typed() -> None:
    """A name with a shortened item, as Rucio lists it, is taken as it is."""
    name = asset_name("c", "i" * 300, "k", None)
    assert scope(name, None) == ("c", name)
    assert scope(f"c/{'i' * 300}", None) == ("c", item_name("c", "i" * 300))
