"""Hints for tape, through Rucio's own plugin of its FTS client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from stac_policy.algorithms import collocation_hints
from stac_policy.naming import asset_name, collection_scope

from .server import run_with_server
from .support import configured

if TYPE_CHECKING:
    from collections.abc import Iterator


LONG = "noaa-cdr-sea-surface-temperature-optimum-interpolation"


@pytest.fixture(autouse=True)
def _fixed_scope(_no_rucio_cfg: None) -> Iterator[None]:
    with configured(scopes="earth"):
        yield


@pytest.mark.parametrize(
    ("scope", "name", "hints"),
    [
        ("c", "/c/i/k.tif", {"0": "c", "1": "i"}),
        ("earth", "/c/i/k.tif", {"0": "c", "1": "i"}),
        (collection_scope(LONG), f"/{LONG}/i/k", {"0": LONG, "1": "i"}),
        ("a-.20b", "/a-.20b/c-.3Ad/k", {"0": "a-.20b", "1": "c-.3Ad"}),
    ],
)
def test_hints(scope: str, name: str, hints: dict[str, Any]) -> None:
    """A STAC asset's hints are its collection and its item, as its name has them."""
    transfer = {"scope": scope, "name": name, "activity": "any", "filesize": 1}
    assert collocation_hints(transfer) == {"collocation_hints": hints}


@pytest.mark.parametrize(
    "transfer",
    [
        {"scope": "cms", "name": "/store/data/x.root"},
        {"scope": "user.bob", "name": "/c/i/k.tif"},
        {"scope": "c", "name": "/c/i"},
        {"scope": None, "name": "/None/i/k"},
        {"scope": "c", "name": None},
        {"name": "/None/i/k"},
        {},
    ],
)
def test_other_files(transfer: dict[Any, Any]) -> None:
    """Every other file has none."""
    assert collocation_hints(transfer) == {}


_RUCIO = """
from rucio.common.exception import InvalidRequest
from rucio.common.types import InternalScope
from rucio.transfertool.fts3 import FTS3Transfertool
from rucio.transfertool.fts3_plugins import FTS3TapeMetadataPlugin
from stac_policy.algorithms import collocation_hints

class ByHand(FTS3TapeMetadataPlugin):
    def __init__(self, policy_algorithm="by_hand"):
        self.register(policy_algorithm, func=collocation_hints)
        super().__init__(policy_algorithm)

ByHand()
transfers = [
    {"scope": InternalScope(scope), "name": name, "activity": "User", "md5": None}
    for scope, name in json.loads(DIDS)
]

def hints(plugin):
    return [plugin.hints(transfer) for transfer in transfers]

configured = FTS3Transfertool("http://127.0.0.1:9").tape_metadata_plugins
print(json.dumps({
    "stac": hints(FTS3TapeMetadataPlugin("stac")),
    "by hand": [hints(ByHand()), hints(FTS3TapeMetadataPlugin("by_hand"))],
    "def": hints(FTS3TapeMetadataPlugin("def")),
    "configured": [hints(plugin) for plugin in configured],
}))
"""


@pytest.fixture(scope="module")
def rucio(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What Rucio's plugins say of a STAC asset, of the largest, and of another file."""
    import json

    largest = asset_name("c" * 500, "i" * 500, "k" * 500, None)
    dids = [("c", "/c/i/k.tif"), ("earth", largest), ("cms", "/store/data/x.root")]
    return run_with_server(
        f"DIDS = {json.dumps(dids)!r}\n{_RUCIO}",
        tmp_path_factory.mktemp("tape"),
        stac={"scopes": "earth"},
        transfers={"fts3tape_metadata_plugins": "stac, activity"},
        tape_priority={"User": "70"},
    )


def test_plugin(rucio: Any) -> None:
    """The plugin `stac` gives hints that Rucio takes, however long the ids are."""
    stac, largest, other = rucio["stac"]
    assert stac == {"archive_metadata": {"collocation_hints": {"0": "c", "1": "i"}}}
    assert set(largest["archive_metadata"]["collocation_hints"]) == {"0", "1"}
    assert other == {"archive_metadata": {}}


def test_registered_by_subclass(rucio: Any) -> None:
    """Registered with a subclass, as Rucio's documentation has it, it gives the same."""
    assert rucio["by hand"] == [rucio["stac"]] * 2


def test_named_only(rucio: Any) -> None:
    """Rucio's default plugin gives no hints: this one is never a default."""
    assert rucio["def"] == [{"archive_metadata": {}}] * 3


def test_beside_others(rucio: Any) -> None:
    """Configured beside another plugin, in Rucio's own FTS client, both give theirs."""
    stac, activity = rucio["configured"]
    assert stac == rucio["stac"]
    assert activity == [{"archive_metadata": {"scheduling_hints": {"priority": 70}}}] * 3
