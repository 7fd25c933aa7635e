"""The notebook runs from top to bottom, and does what it says."""

from __future__ import annotations

import copy
import json
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import nbformat
import numpy as np
import pystac_client
import pytest
import rasterio
from rucio.common.exception import RuleNotFound

from scripts.notebook import NOTEBOOK, execute, read
from stac_client import State
from stac_testbed.lake import running
from stac_testbed.layout import ORIGINS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stac_testbed import Lake

FACTS = """
import json

facts = {
    "states": sorted({outcome.state.value for outcome in registration}),
    "dids": [str(did) for did in registration.dids],
    "ids": [rule.id for rule in rules],
    "rules": [[rule.state, rule.rse_expression, rule.locks_ok] for rule in rules],
    "last": [history.moments[-1].ok, history.moments[-1].replicating, history.moments[-1].stuck],
    "copies": dict(zip(footprints["item"], footprints["copies"])),
    "rule_states": sorted(set(footprints["rule_state"])),
    "red": {rse: copy["href"] for rse, copy in red.extra_fields["alternate"].items()},
    "scene": [scene.id, scene.assets["red"].href],
    "ndvi": ndvi.values.round(4).tolist(),
    "downloaded": [outcome.state.value for outcome in downloads if outcome.path],
    "local": sorted(item.id for item in western[:2]),
    "folder": folder.exists(),
}
print(json.dumps(facts))
"""
MACHINE = re.compile(r"127\.0\.0\.1|localhost|/(?:tmp|home|root|work|Users|var)/")


@dataclass
class Run:
    """What came of running the notebook."""

    cells: list[Any]
    """Those of the notebook, with their outputs."""
    facts: dict[str, Any]
    """What the cells have computed."""


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    """A lake that no other test has put anything into, and none after it uses."""
    with running(tmp_path_factory.mktemp("examples") / "lake") as started:
        yield started


@pytest.fixture(scope="module")
def run(lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The notebook, run on the lake."""
    notebook = read()
    cells = len(notebook.cells)
    notebook.cells.append(nbformat.v4.new_code_cell(FACTS))
    execute(notebook, lake, tmp_path_factory.mktemp("notebook"))
    (output,) = notebook.cells[-1].outputs
    return Run(notebook.cells[:cells], json.loads(output.text))


@pytest.fixture(scope="module")
def scenes(lake: Lake) -> list[Any]:
    """The items that the notebook searches for."""
    search = pystac_client.Client.open(lake.stac_url).search(collections=lake.collections)
    return list(search.items())


def outputs(cells: list[Any]) -> list[tuple[str, Any]]:
    """The outputs of all cells, with the code that they come from."""
    return [
        (cell.source, output)
        for cell in cells
        if cell.cell_type == "code"
        for output in cell.outputs
    ]


def test_no_cell_complains(run: Run) -> None:
    """No cell fails, and none writes a warning."""
    complaints = [
        (source, output)
        for source, output in outputs(run.cells)
        if output.output_type == "error" or output.get("name") == "stderr"
    ]
    assert not complaints


def test_registration(run: Run, scenes: list[Any]) -> None:
    """Both bands of every scene are registered, and no asset has failed."""
    assert len(set(run.facts["dids"])) == 2 * len(scenes)
    assert run.facts["states"] == sorted([State.REGISTERED, State.SKIPPED])


def test_rules_are_followed_to_the_end(run: Run, scenes: list[Any]) -> None:
    """Both rules are OK when `wait` returns, and the history ends with all copies there."""
    west, east = (2 * len(each) for each in halves(scenes))
    assert run.facts["rules"] == [["OK", "DISK-A", west], ["OK", "DISK-B", east]]
    assert run.facts["last"] == [west + east, 0, 0]


def test_map(run: Run, scenes: list[Any]) -> None:
    """The map has each optical scene at the storages of the halves that it lies in."""
    optical = [item for item in scenes if item.collection_id == "alpine-optical"]
    west, east = ({item.id for item in half} for half in halves(optical))
    expected = {
        **dict.fromkeys(west - east, "DISK-A"),
        **dict.fromkeys(east - west, "DISK-B"),
        **dict.fromkeys(west & east, "DISK-A, DISK-B"),
    }
    assert run.facts["copies"] == expected
    assert len(set(expected.values())) == 3
    assert run.facts["rule_states"] == ["OK"]


def test_copies_in_searches(run: Run, lake: Lake) -> None:
    """The asset has both copies as alternates, and the preferred one as its href."""
    copies = run.facts["red"]
    assert sorted(copies) == ["DISK-A", "DISK-B"]
    scene, href = run.facts["scene"]
    assert href == copies["DISK-A"]
    assert urlsplit(href).port == lake.layout.ports["storage-a"]
    assert scene in href


def test_pixels(run: Run, scenes: list[Any], lake: Lake) -> None:
    """The pixels that were read at the near copy are those of the original."""
    scene = next(item for item in scenes if item.id == run.facts["scene"][0])
    bands = []
    for key, origin in zip(("red", "nir"), ORIGINS, strict=True):
        url = scene.assets[key].href
        path = url.removeprefix(lake.layout.url(origin) + "/").partition("?")[0]
        with rasterio.open(lake.layout.data(origin) / path) as file:
            bands.append(file.read(1).astype("float32"))
    red, nir = bands
    assert np.allclose(run.facts["ndvi"], (nir - red) / (nir + red), atol=1e-4)


def test_download(run: Run) -> None:
    """Two scenes are downloaded, and the folder opens as a catalogue of them."""
    assert run.facts["downloaded"] == [State.DOWNLOADED] * 4
    (described,) = (
        output.text for source, output in outputs(run.cells) if "local.describe()" in source
    )
    assert sorted(re.findall(r"<Item id=(.+)>", described)) == run.facts["local"]


def test_nothing_is_left(run: Run, lake: Lake) -> None:
    """The folder is gone, and so are the rules, or will be when Rucio's cleaner comes by."""
    assert run.facts["folder"] is False
    rucio = lake.client()
    for rule_id in run.facts["ids"]:
        with suppress(RuleNotFound):
            assert rucio.get_replication_rule(rule_id)["expires_at"]


def test_bars_are_full(run: Run) -> None:
    """What is shown while it goes on shows in the end that it is done."""
    bars = [
        re.findall(r'<progress max="(\d+)" value="(\d+)">', output.data["text/html"])
        for _, output in outputs(run.cells)
        if output.output_type == "display_data" and "text/html" in output.data
    ]
    assert len(bars) == 3
    assert all(most == value != "0" for ((most, value),) in bars)


def test_stored_outputs_are_those_of_the_cells(run: Run) -> None:
    """Who only reads the stored notebook sees outputs of all cells, of the same kinds, in order."""
    stored, now = read().cells, copy.deepcopy(run.cells)
    assert kinds(stored) == kinds(now)
    counts = [cell.execution_count for cell in stored if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))


def test_stored_outputs_are_of_no_machine() -> None:
    """The stored notebook is small, and holds no address or path of where it was run."""
    text = NOTEBOOK.read_text()
    assert len(text) < 1_000_000
    assert not MACHINE.search(text)


def kinds(cells: list[Any]) -> list[tuple[str, str, list[str]]]:
    """What kinds of outputs the cells have."""
    return [
        (source, output.output_type, sorted(output.get("data", {})))
        for source, output in outputs(cells)
    ]


def halves(scenes: list[Any]) -> tuple[list[Any], list[Any]]:
    """The scenes of the western and those of the eastern Alps."""
    return (
        [item for item in scenes if item.bbox[0] < 10],
        [item for item in scenes if item.bbox[2] > 9],
    )
