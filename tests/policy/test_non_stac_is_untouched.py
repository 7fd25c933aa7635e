"""What is not STAC's gets byte for byte what Rucio's own algorithms give."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from rucio.common.exception import RucioException
from rucio.common.utils import NonDeterministicPFNAlgorithms, ScopeExtractionAlgorithms
from rucio.rse.translation import RSEDeterministicScopeTranslation, RSEDeterministicTranslation

from stac_policy import permission
from stac_policy.algorithms import collocation_hints, lfn2pfn, pfn2lfn, tape_path
from stac_policy.naming import DID
from stac_policy.non_deterministic_pfn import non_deterministic_pfn, rucio_default
from stac_policy.scope import scope as extract_scope

from .server import run_with_server
from .strategies import anything, names
from .support import configured

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


FIXED = "user.alice"
words = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,12}", fullmatch=True)
users = st.builds("{}.{}".format, st.sampled_from(["user", "group"]), words)


def joined(separator: str, least: int, most: int) -> st.SearchStrategy[Any]:
    """Words with a separator between them."""
    return st.lists(words, min_size=least, max_size=most).map(separator.join)


# ATLAS: data18_13TeV.00348885.physics_Main.merge.AOD.f937_m1972_tid14_00, user.alice.x_sub12
tails = st.sampled_from(["", "_sub0123", "_dis4", "_frag1", "_tid14_00", ".root", "/"])
atlas = st.builds("{}.{}{}".format, words | users, joined(".", 1, 7), tails)
# CMS and Belle II: /store/data/Run2018A/x.root, /belle/MC/release-04/x.mdst
paths = st.builds("/{}".format, joined("/", 1, 8))
others = atlas | paths | words | anything

scopes = words | users | anything | st.sampled_from(["cms", "belle", "data18_13TeV"])
# In the one fixed scope, what has not the three parts of an asset's name.
fixed = st.builds(DID, st.just(FIXED), atlas | words | joined("/", 4, 8).map("/{}".format))
# Of every shape, and with names near to STAC's in scopes that are not theirs.
strangers = fixed | st.builds(DID, scopes, others | names).filter(
    lambda did: did.scope not in {FIXED, *did.name.split("/")[1:2]}
)
# Below a folder `collections`, in a scope with a dot, which Rucio's default finds.
dotted = st.builds(
    "{}.{}/collections/{}/items/{}".format, words | users, words, words, words | atlas
)
# The form of an asset's name, in the scope that its first part would have as a collection.
alike = st.builds("/{0}/{1}/{2}".format, words, words, words | atlas).map(
    lambda name: DID(name.split("/")[1], name)
)


@pytest.fixture(autouse=True, scope="module")
def _fixed_scope(_no_rucio_cfg: None) -> Iterator[None]:
    """A server with STAC data of its own in a fixed scope, and an API that nobody may ask."""
    with configured(scopes=FIXED, api="http://127.0.0.1:9"):
        yield


def result(function: Any, *arguments: Any) -> Any:
    """Give what a function returns, or the error that it raises."""
    try:
        return function(*arguments)
    except (RucioException, ValueError) as error:  # not even Rucio's can encode any string
        return type(error), str(error)


def check_paths(dsn: str, did: DID) -> None:
    """Check that every algorithm for non-deterministic RSEs gives the path of Rucio's default."""
    default = NonDeterministicPFNAlgorithms.construct_non_deterministic_pfn_default
    expected = default(dsn, *did)
    for algorithm in (non_deterministic_pfn, tape_path, rucio_default):
        assert algorithm(dsn, *did) == expected
        assert algorithm(dsn, None, did.name) == default(dsn, None, did.name)


@given(others | names, strangers | alike)
@example("", DID("", ""))
@example("a.b.c.d.e_sub1", DID("data18_13TeV", "x_sub1"))
@example("/belle/dataset", DID("belle", "/belle/MC/x.mdst/y"))
@example("dataset", DID("cms", "/store/data/x.root"))
@example("dataset", DID("user.alice", "x.root"))
@example("dataset", DID("user.alice", "/store/mc/Run2/x.root"))
@example("/c/i", DID("c", "/c/i"))
@example("/dune/raw", DID("dune", "/dune/raw/run1.root"))
@example("obs1", DID("ska", "/ska/obs1/vis.ms"))
def test_paths_at_non_deterministic_rses(dsn: Any, did: DID) -> None:
    """In a client, the default algorithm and the named ones give the path of Rucio's default."""
    check_paths(dsn, did)


_SERVER = """
from hypothesis import example, given, settings
from stac_policy.naming import DID
from tests.policy.test_non_stac_is_untouched import alike, check_paths, others, strangers

@settings(deadline=None, max_examples=150)
@given(others, strangers | alike)
@example("0", DID("\\ud800", "/0/0/0"))  # half a character, which no database takes
def check(dsn, did):
    check_paths(dsn, did)

check()
print(json.dumps("done"))
"""


def test_paths_on_a_server(tmp_path: Path) -> None:
    """So they do on a server, which has none of these files at a source RSE."""
    stac = {"scopes": FIXED, "api": "http://127.0.0.1:9"}
    assert run_with_server(_SERVER, tmp_path, stac=stac) == "done"


@given(strangers, st.dictionaries(words, words, max_size=2))
@example(DID("user.alice", "x.root"), {})
@example(DID("group.phys", "/c/i/k.tif"), {})
def test_paths_at_deterministic_rses(did: DID, attributes: dict[Any, Any]) -> None:
    """The algorithm `stac` gives the path of Rucio's `hash`."""
    default = RSEDeterministicTranslation._get_one_algorithm("lfn2pfn", "hash")
    arguments = (*did, "RSE", attributes, attributes)
    assert result(lfn2pfn, *arguments) == result(default, *arguments)


@given(words | users, others | names, st.sampled_from(["", "/", "//"]))
@example("user.alice", "x.root", "/")
@example("cms", "/store/data/x.root", "/")
@example("0", "/", "")
@example("user.alice", "/", "")
@example("0", "/x", "/")
def test_dids_of_paths(scope: Any, name: Any, slash: Any) -> None:
    """At the path that Rucio gives to a file its default finds the DID."""
    assume(scope != FIXED or name.count("/") < 3)
    assume([scope] != name.split("/")[1:2])
    algorithm = RSEDeterministicTranslation._get_one_algorithm("lfn2pfn", "hash")
    path = result(algorithm, scope, name, "RSE", {}, {})
    assume(isinstance(path, str))
    folder, _, file = path.rpartition("/")
    parts = {"path": f"{slash}{folder}/", "name": file, "scheme": "davs"}
    assert pfn2lfn(parts) == RSEDeterministicScopeTranslation._default(parts)


@given(
    st.builds("{}:{}".format, scopes | users, others | names) | dotted | others | names,
    st.none() | st.lists(words | users, max_size=3),
)
@example("user.alice:x.root", ["user.alice"])
@example("user.alice.test/", ["user.alice"])
@example("data18_13TeV:data18_13TeV.00348885.physics_Main", None)
@example("cms:/store/data/x.root", ["cms"])
@example("dune:/dune/raw/run1.root", None)
@example("user.alice.run7/collections/2024/items/7", None)
@example("mc.sim/collections/a/items/b", ["mc"])
@example("user.alice.test/f1", None)
@example("data15.AOD/run*", None)
@example("a.b/c/d", ["a", "a.b"])
def test_scopes(did: Any, scopes: Any) -> None:
    """A DID in which Rucio's default finds a scope has that scope, and its name."""
    default = result(ScopeExtractionAlgorithms.extract_scope_default, did, scopes)
    assume(isinstance(default[0], str) and re.fullmatch("[a-zA-Z_\\-.0-9]{1,25}", default[0]))
    assert result(extract_scope, did, scopes) == default


@given(strangers, st.sampled_from(["CONTAINER", "DATASET", "FILE"]), strangers)
@example(DID("cms", "/store/data/x.root"), "FILE", DID("c", "/c/i/k.tif"))
def test_permissions(did: DID, kind: str, other: DID) -> None:
    """Not even a registrar may do anything with it that Rucio would not let anybody do."""
    entry, child = did._asdict(), other._asdict()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(permission, "is_registrar", lambda *_: True)
        for action, kwargs in (
            ("add_dids", {"dids": [entry | {"type": kind}]}),
            ("attach_dids_to_dids", {"attachments": [entry | {"dids": [child]}]}),
            ("set_metadata_bulk", entry | {"meta": {"stac_item": "i"}, "issuer": "registrar"}),
        ):
            assert permission.has_permission("registrar", action, kwargs) is None


@given(strangers)
def test_tape(did: DID) -> None:
    """A transfer gets no hints."""
    assert collocation_hints(did._asdict()) == {}
