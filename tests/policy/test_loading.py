"""What Rucio's own loader makes of the policy package, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rucio.common.exception import ReplicaNotFound
from rucio.common.utils import NonDeterministicPFNAlgorithms

from stac_policy import installed_rucios, users_extra
from stac_policy.__main__ import findings
from stac_policy.naming import split_name
from stac_policy.non_deterministic_pfn import non_deterministic_pfn

from .strategies import anything, names
from .support import configured, run_with_rucio
from .test_scope import DEFAULTS

if TYPE_CHECKING:
    from pathlib import Path

# What is not ours: many shapes of other experiments' names, and what comes near to ours.
DSNS = [
    "",
    "dsn",
    "user.alice.test",
    "group.phys.test.v1_sub123",
    "data18_13TeV.00348885.physics_Main.merge.AOD.f937_m1972_tid14_00",
    "mc.1.2.3.4_dis5",
    "/collection/item",
]
SCOPES = ["cms", "user.alice", "data18_13TeV", "item", "store", "collection", ""]
NAMES = [
    "file",
    "AOD.14795494._005958.pool.root.1",
    "/store/data/x.root",
    "/store/data/Run2018A/x.root",
    "/belle/MC/release-04/x.mdst",
    "/collection/item/B04.tif",
    "/collection/item",
    "/item/-.41/x",
    "/item/i/",
    "",
]

_LOAD = """
import json, logging, sys, warnings

heard = []
class Listener(logging.Handler):
    def emit(self, record):
        heard.append(f"{record.levelname} {record.name} {record.getMessage()}")
logging.getLogger().addHandler(Listener(logging.WARNING))
warnings.showwarning = lambda message, *_, **__: heard.append(f"warning {message}")

from rucio.common import utils
from rucio.common.constants import DEFAULT_VO
from rucio.common.exception import RucioException

def result(function, *arguments):
    try:
        return function(*arguments)
    except RucioException as error:
        return str(error)

if SERVER:  # the empty database of a new server
    from rucio.db.sqla import models, session
    models.BASE.metadata.create_all(session.get_engine())

dsns, scopes, names, dids = json.loads(INPUT)
# First of all, before anything else is asked: the first path must not be another one.
first = result(utils.construct_non_deterministic_pfn, "dsn", "earth", "/c/i/k.tif")
pfns = utils.NonDeterministicPFNAlgorithms
extraction = utils.ScopeExtractionAlgorithms
others = [(dsn, scope, name) for dsn in dsns for scope in [*scopes, None] for name in names]
default = pfns.construct_non_deterministic_pfn_default
answer = {
    "first": first,
    "again": result(utils.construct_non_deterministic_pfn, "dsn", "earth", "/c/i/k.tif"),
    "defaults": {
        kind: getattr(pfns._get_default_algorithm(kind, DEFAULT_VO), "__module__", None)
        for kind in ("non_deterministic_pfn", "scope")
    },
    "named": {
        "non_deterministic_pfn": [n for n in ("stac", "rucio_default") if pfns.supports(n)],
        "scope": [n for n in ("stac",) if extraction.supports(n)],
    },
    "by_name": [
        pfns().construct_non_deterministic_pfn("a.b", "c", "/c/i/k.tif", "rucio_default"),
        result(pfns().construct_non_deterministic_pfn, "a.b", "earth", "/c/i/k.tif", "stac"),
        list(extraction().extract_scope("c/i", None, "stac")),
    ],
    "scope": [list(utils.extract_scope(did)) for did in ("/c/i", "c/i/k.tif", "s:n")],
    "count": len(others),
    "pfns_that_differ": [
        other
        for other in others
        if utils.construct_non_deterministic_pfn(*other) != default(*other)
    ],
    "dids_that_differ": [
        did for did in dids
        if result(utils.extract_scope, did) != result(extraction.extract_scope_default, did, None)
    ],
}
from rucio.common import schema
answer["schema"] = schema.schema_modules[DEFAULT_VO].__name__
answer["regexps"] = schema.get_scope_name_regexps()
if SERVER:
    from rucio.core import permission
    answer["permission"] = permission.permission_modules[DEFAULT_VO].__name__
answer["heard"] = heard
print(json.dumps(answer))
"""


@pytest.fixture(scope="module", params=["client", "server"])
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What a new Rucio client, and a new server, says with the policy package."""
    folder = tmp_path_factory.mktemp("rucio")
    server = request.param == "server"
    # Rucio warns where [policy] names no permissions to fall back on.
    policy = {"package": "stac_policy", "permission": "generic"}
    sections = {"policy": policy, "stac": {"scopes": "earth"}}
    if server:
        sections["database"] = {"default": f"sqlite:///{folder}/rucio.db"}
    else:
        sections["client"] = {}
    given = json.dumps([DSNS, SCOPES, NAMES, DEFAULTS])
    script = f"INPUT, SERVER = {given!r}, {server}\n{_LOAD}"
    return run_with_rucio(script, folder, **sections)


def test_the_defaults_are_ours(loaded: Any) -> None:
    """Rucio finds both defaults, and the first path that it asks for is already ours."""
    assert loaded["defaults"] == {
        "non_deterministic_pfn": "stac_policy.non_deterministic_pfn",
        "scope": "stac_policy.scope",
    }
    assert "earth:/c/i/k.tif is a STAC asset" in loaded["first"]
    assert loaded["again"] == loaded["first"]
    assert loaded["scope"] == [["c", "/c/i"], ["c", "/c/i/k.tif"], ["s", "n"]]


def test_algorithms_can_be_named(loaded: Any) -> None:
    """An RSE or a configuration can ask for ours, and for Rucio's own default, by name."""
    assert loaded["named"] == {
        "non_deterministic_pfn": ["stac", "rucio_default"],
        "scope": ["stac"],
    }
    rucios, ours, scope = loaded["by_name"]
    assert rucios == "/a/a.b//c/i/k.tif"
    assert "is a STAC asset" in ours
    assert scope == ["c", "/c/i"]


def test_other_names_are_rucios(loaded: Any) -> None:
    """Through Rucio's own functions, what is not STAC's gives what Rucio gives without us."""
    assert loaded["count"] == len(DSNS) * (len(SCOPES) + 1) * len(NAMES)
    assert loaded["pfns_that_differ"] == []
    assert loaded["dids_that_differ"] == []


def test_modules_load_quietly(loaded: Any) -> None:
    """Rucio takes permission and schema from the package, and warns of nothing."""
    assert loaded["schema"] == "stac_policy.schema"
    assert loaded["regexps"] == ["/([^/]+)/(.*)"]
    assert loaded.get("permission", "stac_policy.permission") == "stac_policy.permission"
    # The script asks a server for an asset that nobody knows, of which operators hear.
    assert [line for line in loaded["heard"] if "without a known URL" not in line] == []


def default(dsn: Any, scope: Any, name: Any) -> Any:
    """Give what Rucio gives."""
    return NonDeterministicPFNAlgorithms.construct_non_deterministic_pfn_default(dsn, scope, name)


@given(st.text() | anything, st.none() | st.text() | anything, st.text() | anything | names)
def test_any_other_name_is_rucios(dsn: Any, scope: Any, name: Any) -> None:
    """In a client without scopes of STAC's every name gets Rucio's path."""
    assert non_deterministic_pfn(dsn, scope, name) == default(dsn, scope, name)


@given(names)
def test_names_in_fixed_scopes(name: str) -> None:
    """In a fixed scope every asset's name is ours, and every other name is Rucio's."""
    with configured(scopes="user.alice"):
        if len(split_name(name)) == 3:
            with pytest.raises(ReplicaNotFound, match="is a STAC asset"):
                non_deterministic_pfn("dsn", "user.alice", name)
        else:
            assert non_deterministic_pfn("dsn", "user.alice", name) == default(
                "dsn", "user.alice", name
            )
        assert non_deterministic_pfn("dsn", "user.bob", name) == default("dsn", "user.bob", name)


def install(folder: Path, name: str) -> None:
    """Let a folder hold the metadata of an installed distribution."""
    metadata = folder / f"{name.replace('-', '_')}-1.2.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")


def test_what_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second Rucio is seen, and never advised where there is one."""
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    assert (installed_rucios(), users_extra()) == ({}, "client")
    install(tmp_path, "rucio-clients")
    assert (installed_rucios(), users_extra()) == ({"rucio-clients": "1.2"}, "tools")
    install(tmp_path, "rucio")
    assert installed_rucios() == {"rucio": "1.2", "rucio-clients": "1.2"}
    (found,) = (finding for finding in findings() if finding.what == "Rucio's distribution")
    assert not found.ok
    assert found.found.startswith("rucio 1.2 and rucio-clients 1.2 ship the same files")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "following configuration file: {path}"),
        ("[database]\npassword hunter2\n", "{path} cannot be parsed"),
    ],
)
def test_a_rucio_cfg_that_cannot_be_read(tmp_path: Path, content: str | None, said: str) -> None:
    """It is the one thing that is wrong, and no line of it is repeated."""
    path = tmp_path / "rucio.cfg"
    if content is not None:
        path.write_text(content)
    result = subprocess.run(
        [sys.executable, "-m", "stac_policy"],
        env={**os.environ, "RUCIO_CONFIG": str(path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stderr) == (1, "")
    (found,) = json.loads(result.stdout)
    assert (found["what"], found["ok"]) == ("rucio.cfg", False)
    assert said.format(path=path) in found["found"]
    assert "hunter2" not in result.stdout
