"""What was learned of assets, written into their items: sizes, checksums and DIDs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .editing import editable_items

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stac_client.results import Outcome

_FILE = "https://stac-extensions.github.io/file/v2.1.0/schema.json"


def write_back(items: object, outcomes: Iterable[Outcome]) -> None:
    """Write into items, in place, what Rucio now knows of their registered assets.

    That is `file:size` where an item lacks it, and `rucio:scope`, `rucio:name`,
    `rucio:adler32` and `rucio:md5` (docs/stac-extension).

    Args:
        items: An item, an item collection or a page, as objects or dicts.
        outcomes: What a registration of these items gave.
    """
    registered = {
        (outcome.collection, outcome.item, outcome.key): outcome
        for outcome in outcomes
        if outcome.size_bytes is not None and outcome.did is not None
    }
    for item in editable_items(items):
        for key, fields in item.assets.items():
            outcome = registered.get((str(item.collection), str(item.id), key))
            if outcome is not None:
                item.write(key, {**fields, **_learned(fields, outcome)})
                item.declare(_FILE)


def _learned(fields: Any, outcome: Outcome) -> dict[str, Any]:
    assert outcome.did is not None  # noqa: S101 - such outcomes were left out
    learned: dict[str, Any] = {
        "rucio:scope": outcome.did.scope,
        "rucio:name": outcome.did.name,
        "rucio:adler32": outcome.adler32,
        "rucio:md5": outcome.md5,
    }
    if "file:size" not in fields:
        learned["file:size"] = outcome.size_bytes
    return {field: value for field, value in learned.items() if value is not None}
