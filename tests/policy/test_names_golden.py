"""Names as they were given when the grammar was settled: `tests/data/names.json`.

Names are stored in every Rucio that uses the policy package, so none of these
may ever change. The file holds 120 assets of real items, and 117 awkward ones:
those of public catalogues (some hrefs abridged) and one or more for each rule
of the grammar, with the reason why it is there. `keys` are all keys of the
item and `local_path` is the asset's `file:local_path`, where they matter; the
scope is null where none is derived. It was not made with the code under test: real names
by a rule of their own, awkward ones by hand.

To see which names a change of the code would change, and into what, run

    python -m tests.policy.test_names_golden

from the project's folder. Nothing writes the file; an entry is added by hand.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from stac_policy.naming import asset_key, asset_name, collection_scope, split_name, unescape
from tests.items import assets_of

ENTRIES = json.loads((Path(__file__).parents[1] / "data" / "names.json").read_text())


def differences() -> list[str]:
    """Give a line for each entry whose scope or name is another than it was."""
    found = []
    for entry in ENTRIES:
        asset = (entry["collection"], entry["item"], entry["key"], entry["href"])
        then = entry["scope"], entry["name"]
        name = asset_name(*asset, entry.get("keys", ()), entry.get("local_path"))
        now = scope_of(entry["collection"]), name
        if now != then:
            found.append(f"{asset}\n  then {then}\n  now  {now}")
    return found


def scope_of(collection: str) -> str | None:
    """Return the scope that is derived from a collection, if any is."""
    try:
        return collection_scope(collection)
    except ValueError:
        return None


def test_names_never_change() -> None:
    """Every asset has the scope and name that it has always had."""
    assert "\n".join(differences()) == ""


def assets(entries: Any = ENTRIES) -> list[Any]:
    """Return collection, item, key and href of each entry."""
    return [tuple(map(entry.get, ("collection", "item", "key", "href"))) for entry in entries]


def test_entries_are_many_and_different() -> None:
    """The file is whole: 237 different assets, 117 of them with the reason why they are there."""
    different = {(*asset, str(entry.get("local_path"))) for asset, entry in zip(assets(), ENTRIES)}
    assert len(ENTRIES) == len(different) == 237
    assert sum("why" in entry for entry in ENTRIES) == 117


def test_entries_are_real(corpus: list[dict[str, Any]]) -> None:
    """The other 120 are real ones."""
    real = {asset[:4] for asset in assets_of(corpus)}
    assert real.issuperset(assets([entry for entry in ENTRIES if "why" not in entry]))


def test_names_are_read_back() -> None:
    """From the frozen names ids and keys are read back: offline, and exactly with the item."""
    for entry in ENTRIES:
        collection, item, key = entry["collection"], entry["item"], entry["key"]
        parts = split_name(entry["name"])
        assert len(parts) == 3
        hrefs = dict.fromkeys(entry.get("keys", ())) | {key: entry["href"]}
        local_paths = {key: entry.get("local_path")}
        assert asset_key(entry["name"], collection, item, hrefs, local_paths) == key
        if "-.H" not in entry["name"]:
            assert [unescape(part) for part in parts[:2]] == [collection, item]
            assert unescape(parts[2]).startswith(key)


if __name__ == "__main__":
    changes = differences()
    print(*changes, f"{len(changes)} of {len(ENTRIES)} names differ", sep="\n")  # noqa: T201 - its purpose
    sys.exit(bool(changes))
