"""The scope-extraction algorithm `scope`: from what a user types to a DID.

Rucio finds this function by its file and function name
(`rucio.common.utils.extract_scope`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

from stac_policy import naming
from stac_policy.settings import settings

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

# In `cms:/store/collections/a/items/b` the first colon ends a scope, and in
# `user.alice.x/collections/a/items/b` Rucio's default finds one before a dot.
_ITEM_URL = re.compile(
    r"(?:https?://[^/?#]+/|(?![^/?#]*[:.]))(?:[^?#]*/)?"
    r"collections/([^/?#]+)/items/([^/?#]+)/*(?:[?#].*)?",
    re.DOTALL,
)


def scope(did: str, scopes: Collection[str] | None) -> Sequence[str]:
    """Return the scope and name of a DID as a user types it.

    Args:
        did: `/collection/item`, `collection/item`, either with an asset behind
            it, or a STAC API's URL or path of an item
            (`…/collections/COLLECTION/items/ITEM`). Everything else, such as
            `scope:name` and `user.alice.x/y`, gives what Rucio's default gives.
        scopes: The scopes that exist, if known. If the one derived from the
            collection is not among them and just one of `[stac] scopes` is,
            that one is returned.

    Raises:
        rucio.common.exception.RucioException: As Rucio's default does.
    """
    collection, name = _item_url(did) or _path(did) or ("", "")
    found = _scope(collection, scopes) if collection else None
    if found is not None:
        return found, name
    from rucio.common.utils import ScopeExtractionAlgorithms

    default: Sequence[str] = ScopeExtractionAlgorithms.extract_scope_default(did, scopes)
    return default


def _path(did: str) -> tuple[str, str] | None:
    """Return the collection and the name of `[/]collection/item[/asset]`, or None."""
    typed = did.removeprefix("/")
    ids = typed.split("/")
    if typed == did and "." in ids[0]:
        return None  # Rucio's default finds a scope before the dot, as in `user.alice.x/y`
    if ":" in did or len(ids) not in {naming.ITEM_PARTS, naming.ASSET_PARTS} or not all(ids):
        return None
    if parts := naming.split_name(f"/{typed}"):
        try:
            return naming.unescape(parts[0]), f"/{typed}"
        except ValueError:  # a shortened collection id gives no scope
            return None
    if len(ids) == naming.ITEM_PARTS:
        return ids[0], naming.item_name(*ids)
    return ids[0], naming.asset_name(ids[0], ids[1], ids[2], href=None)


def _item_url(did: str) -> tuple[str, str] | None:
    """Return the collection and the name of a STAC API's URL or path of an item, or None."""
    match = _ITEM_URL.fullmatch(did)
    if match is None:
        return None
    try:
        collection, item = (unquote(part, errors="strict") for part in match.groups())
    except UnicodeDecodeError:
        return None
    return collection, naming.item_name(collection, item)


def _scope(collection: str, scopes: Collection[str] | None) -> str | None:
    """Return the scope of a collection, or None if it has none."""
    try:
        derived = naming.collection_scope(collection)
    except ValueError:  # an account's scope is never derived
        derived = None
    if scopes and derived not in scopes:
        fixed = [scope for scope, _ in settings().scopes if scope in scopes]
        if len(fixed) == 1:
            return fixed[0]
    return derived
