"""Paths at storages: from a DID and back, never out of the storage, never the same for two."""

from __future__ import annotations

import json
import posixpath
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from rucio.rse.translation import RSEDeterministicScopeTranslation, RSEDeterministicTranslation

from stac_policy.algorithms import lfn2pfn, pfn2lfn, tape_path
from stac_policy.dids import derived_scope, is_asset
from stac_policy.naming import DID, asset_name, collection_scope
from stac_policy.non_deterministic_pfn import rucio_default
from tests.items import assets_of

from .strategies import anything, hrefs, ids, keys
from .support import configured, run_with_rucio

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


FIXED = ["user.alice", "earth", "c"]
LONG = "noaa-cdr-sea-surface-temperature-optimum-interpolation"

asset_names = st.builds(asset_name, ids, ids, ids | keys, hrefs)
scopes = st.sampled_from([None, *FIXED])


@pytest.fixture(autouse=True, scope="module")
def _fixed_scopes(_no_rucio_cfg: None) -> Iterator[None]:
    """Fixed scopes, one of them the derived one of a collection."""
    with configured(scopes=", ".join(FIXED)):
        yield


def did_of(name: Any, scope: Any) -> DID:
    """Give the DID of an asset in a fixed scope, or in the derived one if there is one."""
    scope = scope or derived_scope(name)
    assume(scope)
    assert is_asset(DID(scope, name))
    return DID(scope, name)


def path_of(did: DID) -> str:
    """Give a file's path below the prefix of a deterministic RSE."""
    attributes = {"lfn2pfn_algorithm": "stac"}
    return lfn2pfn(did.scope, did.name, "RSE", attributes, {"prefix": "/rucio/"})


def parsed(path: Any) -> Iterator[dict[Any, Any]]:
    """Give the forms in which protocols split a path."""
    folder, _, name = path.rpartition("/")
    for before in (f"/{folder}/", f"{folder}/", f"/{folder}", folder, f"//{folder}//"):
        yield {"path": before, "name": name, "scheme": "davs", "prefix": "/rucio/"}


@pytest.mark.parametrize(
    ("scope", "name", "path"),
    [
        ("c", "/c/i/k.tif", "c/i/k.tif"),
        ("user.alice", "/c/i/k.tif", "user.alice/c/i/k.tif"),
        ("c", "/d/i/k.tif", "c/d/i/k.tif"),
        (collection_scope(LONG), f"/{LONG}/i/k.tif", f"{LONG}/i/k.tif"),
        ("a-.20b", "/a-.20b/-.2E./k", "a-.20b/-.2E./k"),
    ],
)
def test_paths(scope: str, name: str, path: str) -> None:
    """A path shows the collection, the item and the asset, and a scope that is not derived."""
    assert path_of(DID(scope, name)) == path
    if scope in FIXED:
        assert tape_path("dataset", scope, name) == f"/{path}"


@given(asset_names, scopes)
def test_there_and_back(name: str, scope: str | None) -> None:
    """The path of every STAC asset gives its DID again, however a protocol splits it."""
    did = did_of(name, scope)
    for parts in parsed(path_of(did)):
        assert pfn2lfn(parts) == (did.name, did.scope)


@given(asset_names, scopes)
def test_inside_the_storage(name: str, scope: str | None) -> None:
    """No path is absolute or leads out of its folder."""
    path = path_of(did_of(name, scope))
    assert not path.startswith("/")
    assert path == posixpath.normpath(path)
    assert ".." not in path.split("/")
    assert not any(part.startswith(".") for part in path.split("/"))


@given(st.lists(st.tuples(asset_names, scopes), min_size=2, max_size=6))
def test_distinct(pairs: list[Any]) -> None:
    """Different files have different paths, on disk and on tape."""
    dids = {DID(scope or derived_scope(name) or "earth", name) for name, scope in pairs}
    assert len({path_of(did) for did in dids}) == len(dids)
    fixed = {did for did in dids if did.scope in FIXED}
    assert len({tape_path("dataset", *did) for did in fixed}) == len(fixed)


def test_assets_of_catalogues(catalogue_items: list[dict[str, Any]]) -> None:
    """Paths of all assets of catalogues differ, in every scope, and each gives its DID again."""
    dids = {
        DID(
            scope or collection_scope(collection), asset_name(collection, item, key, href, siblings)
        )
        for collection, item, key, href, siblings in assets_of(catalogue_items)
        for scope in (None, *FIXED)
    }
    paths = {path_of(did): did for did in dids}
    assert len(paths) == len(dids) > 240
    for path, did in paths.items():
        folder, _, name = path.rpartition("/")
        assert pfn2lfn({"path": f"/{folder}/", "name": name}) == (did.name, did.scope)


@given(asset_names, st.sampled_from(FIXED), anything)
def test_tape(name: str, scope: str, dsn: str) -> None:
    """On tape a STAC asset has the same path, whatever dataset it comes with."""
    did = DID(scope, name)
    assert tape_path(dsn, *did) == f"/{path_of(did)}"


# What is not STAC's


def rucio_hash(scope: Any, name: Any) -> Any:
    """Give the path of Rucio's own algorithm `hash`."""
    algorithm = RSEDeterministicTranslation._get_one_algorithm("lfn2pfn", "hash")
    return algorithm(scope, name, "RSE", {}, {})


OTHERS = [
    ("cms", "/store/data/x.root"),
    ("user.alice", "x.root"),
    ("user.bob", "/c/i/k.tif"),
    ("c", "/c/i"),
    ("c", "/c/i/k/x"),
    ("earth", "a/x.root"),
    ("earth", "/x.root"),
    ("earth", "/"),
    ("0", "/"),
    ("data18_13TeV", "AOD.14795494._005958.pool.root.1"),
]


@pytest.mark.parametrize(("scope", "name"), OTHERS)
def test_other_files(scope: str, name: str) -> None:
    """Every other file has the path of Rucio's `hash`, and on tape that of Rucio's default."""
    assert path_of(DID(scope, name)) == rucio_hash(scope, name)
    assert tape_path("a.b.c", scope, name) == rucio_default("a.b.c", scope, name)
    assert tape_path("a.b.c", None, name) == rucio_default("a.b.c", None, name)


@given(
    st.sampled_from([*FIXED, "cms", "user.bob", "0"]), st.text("/abcdef0123456789.-", min_size=1)
)
@example("0", "/")
@example("earth", "/x")
def test_paths_of_other_files(scope: Any, name: str) -> None:
    """At the `hash` path of another file Rucio's default decides, in a fixed scope too."""
    assume(not is_asset(DID(scope, name)) and "//" not in name)
    for parts in parsed(rucio_hash(scope, name)):
        assert pfn2lfn(parts) == RSEDeterministicScopeTranslation._default(parts)


@pytest.mark.parametrize(
    "path",
    [
        "x.root",
        "c/x.root",
        "c/i/",
        "user.bob/c/i/k.tif",
        "c/c/i/k.tif",  # `lfn2pfn` leaves out a derived scope
        "tape/user.alice/c/i/k.tif",
        "cms/store/data/x.root",
        "a b/i/k.tif",
        "../c/i/k.tif",
        "",
    ],
)
def test_other_paths(path: str) -> None:
    """At a path that no STAC asset has Rucio's default decides."""
    for parts in parsed(path):
        assert pfn2lfn(parts) == RSEDeterministicScopeTranslation._default(parts)


# As Rucio uses them

_RUCIO = """
import json
from rucio.rse import rsemanager, translation
from rucio.rse.protocols import posix

rsemanager.CLIENT_MODE = True

class Registered(translation.RSEDeterministicTranslation):
    @classmethod
    def _module_init_(cls):
        from stac_policy.algorithms import lfn2pfn
        cls.register(lfn2pfn, "by_hand")

Registered._module_init_()

class RegisteredBack(translation.RSEDeterministicScopeTranslation):
    @classmethod
    def _module_init_(cls):
        from stac_policy.algorithms import pfn2lfn
        cls.register(pfn2lfn, "back_by_hand")

RegisteredBack._module_init_()

def go(algorithm, did):
    if algorithm is None:
        return translation.RSEDeterministicTranslation("RSE", {}, {}).path(*did)
    settings = {"rse": "RSE", "deterministic": True, "lfn2pfn_algorithm": algorithm}
    protocol = posix.Default({
        "auth_token": None, "scheme": "file", "hostname": "", "port": 0, "prefix": "/rucio/",
    }, settings)
    if "lfns2pfns" in vars(protocol):
        return "asks the server"
    scope, name = did
    (pfn,) = protocol.lfns2pfns({"scope": scope, "name": name}).values()
    (parts,) = protocol.parse_pfns(pfn).values()
    parser = rsemanager.get_scope_protocol()
    return pfn, list(reversed(parser(parts)))

translation.RSEDeterministicTranslation()  # loads the policy package
dids = json.loads(DIDS)
print(json.dumps([[go(algorithm, did) for did in dids] for algorithm in ALGORITHMS]))
"""


def rucio(folder: Path, dids: list[list[str]], algorithms: list[Any], **policy: Any) -> Any:
    """Let Rucio's own protocol give the PFNs of files, and the DIDs of these PFNs."""
    return run_with_rucio(
        f"DIDS, ALGORITHMS = {json.dumps(dids)!r}, {algorithms!r}\n{_RUCIO}",
        folder,
        client={},
        policy={"package": "stac_policy"} | policy,
        stac={"scopes": "earth"},
    )


def test_rses_with_the_attribute(tmp_path: Path) -> None:
    """With the RSE attribute `lfn2pfn_algorithm=stac` and `pfn2lfn = stac` a DID comes back."""
    dids = [["c", "/c/i/k.tif"], ["earth", "/c/i/k.tif"], [collection_scope(LONG), f"/{LONG}/i/k"]]
    by_name, by_hand, others = rucio(tmp_path, dids, ["stac", "by_hand", "hash"], pfn2lfn="stac")
    assert by_name == by_hand
    assert [did for _, did in by_name] == dids
    assert by_name[0][0] == "file:///rucio/c/i/k.tif"
    assert others[0][0] == f"file:///rucio/{rucio_hash(*dids[0])}"


def test_as_the_default_of_a_server(tmp_path: Path) -> None:
    """With `lfn2pfn_algorithm_default = stac` RSEs without the attribute have these paths."""
    dids = [["c", "/c/i/k.tif"], ["cms", "x.root"]]
    paths, named = rucio(
        tmp_path, dids, [None, "stac"], lfn2pfn_algorithm_default="stac", pfn2lfn="back_by_hand"
    )
    assert paths == ["c/i/k.tif", rucio_hash("cms", "x.root")]
    assert named == [[f"file:///rucio/{path}", did] for path, did in zip(paths, dids)]
