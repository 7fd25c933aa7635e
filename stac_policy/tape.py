"""Hints for tape, for `fts3tape_metadata_plugins = stac` in `[transfers]`.

FTS hands them to the tape system, which may keep together on tape what is
likely to be recalled together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .naming import DID, split_name
from .stac_dids import is_asset

if TYPE_CHECKING:
    from collections.abc import Mapping


def collocation_hints(transfer: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Give the collection and the item of a STAC asset as collocation hints.

    Args:
        transfer: The metadata of a file's transfer, among them `scope` and `name`.

    Returns:
        The hints from the widest to the narrowest; none for other files.
    """
    did = DID(str(transfer.get("scope") or ""), str(transfer.get("name") or ""))
    if not is_asset(did):
        return {}
    collection, item, _ = split_name(did.name)
    return {"collocation_hints": {"0": collection, "1": item}}
