"""Real items, which the repository does not hold: those of the folder that STAC_CORPUS names.

It has `earth-search.json` and `planetary-computer.json`, each a FeatureCollection, and
`providers/*.ndjson`, an item a line. Without it no test over real items runs, and the end of
the run says so; a folder that is named but is none fails them all.
"""

from __future__ import annotations

import json
import os
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

IS_GIVEN = bool(os.environ.get("STAC_CORPUS"))
ABSENT = "the tests over real items did not run: STAC_CORPUS names no folder of them"


def real_catalogues() -> dict[str, list[dict[str, Any]]]:
    """Return all items of the corpus, by their catalogue."""
    folder = Path(os.environ["STAC_CORPUS"])
    try:
        catalogues = {
            name: json.loads((folder / name).read_text())["features"]
            for name in ("earth-search.json", "planetary-computer.json")
        }
    except OSError as error:
        pytest.fail(f"STAC_CORPUS does not name a folder of items: {error}")
    providers = {
        path.stem: [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
        for path in sorted(folder.glob("providers/*.ndjson"))
    }
    if not any(providers.values()):
        pytest.fail(f"STAC_CORPUS: there is no item in {folder}/providers/*.ndjson")
    return catalogues | providers


def labelled() -> Iterator[tuple[str, dict[str, Any], dict[str, tuple[str, ...]]]]:
    """Yield catalogue and item, and of each asset the row of labels.tsv with its label.

    A row has patterns for catalogue, collection, item and key, and the label.
    """
    lines = (Path(__file__).parent / "data" / "labels.tsv").read_text().splitlines()
    rows = [tuple(line.split("\t")[:5]) for line in lines if line and not line.startswith("#")]
    for catalogue, items in real_catalogues().items():
        for item in items:
            ids = catalogue, item.get("collection") or "-", item["id"]
            yield catalogue, item, {key: _row(rows, (*ids, key)) for key in item["assets"]}


def _row(rows: list[tuple[str, ...]], names: tuple[str, ...]) -> tuple[str, ...]:
    return next(row for row in rows if all(map(fnmatchcase, names, row[:4])))


def real_items() -> list[dict[str, Any]]:
    """Return all items of the corpus."""
    return [item for items in real_catalogues().values() for item in items]


def needs_corpus(test: pytest.Item) -> bool:
    """Return whether a test is one over real items."""
    if "corpus" in getattr(test, "fixturenames", ()):
        return True
    parameters = getattr(test, "callspec", None)
    return parameters is not None and parameters.params.get("catalogue_items") == "real"
