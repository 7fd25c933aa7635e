"""What docs/algorithms.md says of the algorithms, done in Rucio itself."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from stac_policy.algorithms import BY_TYPE

from .server import run_with_server

DOCUMENT = (Path(__file__).parents[2] / "docs" / "algorithms.md").read_text()

_RUCIO = """
from rucio.common.config import get_config
from rucio.common.exception import RucioException
from rucio.common.utils import construct_non_deterministic_pfn, extract_scope
from rucio.core.rule import AutoApprove
from rucio.rse.translation import RSEDeterministicScopeTranslation, RSEDeterministicTranslation
from rucio.transfertool.fts3 import FTS3Transfertool
from rucio.transfertool.fts3_plugins import FTS3TapeMetadataPlugin

def path(convention, scope="c", name="/c/i/k.tif"):
    try:
        return construct_non_deterministic_pfn("dataset", scope, name, convention)
    except RucioException as error:
        return type(error).__name__

config = get_config()
config.add_section("transfers")
plugins = []
for names in ("stac, activity", "stac, nonsense"):
    config.set("transfers", "fts3tape_metadata_plugins", names)
    plugins.append(len(FTS3Transfertool("http://127.0.0.1:9").tape_metadata_plugins))
answer = {
    "paths": {
        name: path(name) for name in ("stac", "stac_path", "rucio_default", "nonsense")
    },
    "storage": [
        RSEDeterministicTranslation("RSE", {"lfn2pfn_algorithm": name}).path("c", "/c/i/k.tif")
        for name in ("stac", "hash")
    ],
    "files": [
        RSEDeterministicScopeTranslation.get_parser(name, "def")({"path": "/c/i/", "name": "k"})
        for name in ("stac", "def")
    ],
    "tape": [
        FTS3TapeMetadataPlugin(name).hints({"scope": "c", "name": "/c/i/k.tif"})
        for name in ("stac", "def")
    ],
    "plugins": plugins,
    "approval": [],
    "scopes": [],
}
for name in ("stac", "default"):
    AutoApprove(None, None, None)
    config.remove_section("rules")
    config.add_section("rules")
    config.set("rules", "auto_approve", name)
    answer["approval"].append(AutoApprove.get_configured_algorithm("def").__qualname__)
config.add_section("common")
for name in ("stac", "nonsense", "dirac"):
    config.set("common", "extract_scope", name)
    answer["scopes"].append(extract_scope("/c/i"))
print(json.dumps(answer))
"""


@pytest.fixture(scope="module")
def rucio(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What a server says."""
    return run_with_server(_RUCIO, tmp_path_factory.mktemp("algorithms"), stac={"scopes": "c"})


def test_types_and_names() -> None:
    """The document lists all types, and the names of each."""
    rows = re.findall(r"^\| (`[^.|]*`) \| (`.*?) \|", DOCUMENT, re.MULTILINE)
    listed = {kind: set(names.split(", ")) for kind, names in rows}
    types = {f"`{kind}`": {f"`{name}`" for name in names} for kind, names in BY_TYPE.items()}
    tape = types.pop("`fts3_tape_metadata_plugins`")
    assert listed == types | {"`fts3_tape_metadata_plugins`, `fts3_plugins_init`": tape}


def test_paths_at_non_deterministic_rses(rucio: Any) -> None:
    """A naming convention chooses, and one that does not exist means the default."""
    assert rucio["paths"] == {
        "stac": "ReplicaNotFound",
        "stac_path": "/c/i/k.tif",
        "rucio_default": "/other/dataset//c/i/k.tif",
        "nonsense": "ReplicaNotFound",
    }


def test_scopes(rucio: Any) -> None:
    """`extract_scope` chooses, and a name that does not exist means the default."""
    assert rucio["scopes"] == [["c", "/c/i"]] * 2 + [["i", "/c/i"]]


def test_paths_at_deterministic_rses(rucio: Any) -> None:
    """The attribute of an RSE chooses."""
    stac, rucios = rucio["storage"]
    assert stac == "c/i/k.tif"
    assert rucios.startswith("c/")
    assert rucios.endswith("//c/i/k.tif")


def test_files(rucio: Any) -> None:
    """`pfn2lfn` chooses."""
    assert rucio["files"] == [["/c/i/k", "c"], ["k", "c"]]


def test_approval(rucio: Any) -> None:
    """`auto_approve` chooses, and the default is Rucio's."""
    assert rucio["approval"] == ["approve", "AutoApprove.default"]


def test_tape(rucio: Any) -> None:
    """Each plugin gives its hints, and one that does not exist takes all others with it."""
    hints = {"archive_metadata": {"collocation_hints": {"0": "c", "1": "i"}}}
    assert rucio["tape"] == [hints, {"archive_metadata": {}}]
    assert rucio["plugins"] == [2, 0]
