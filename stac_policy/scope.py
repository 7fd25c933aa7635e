"""The scope-extraction algorithm `scope`: from what a user types to a DID.

Rucio finds this function by its file and function name
(`rucio.common.utils.extract_scope`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

from rucio.common.exception import RucioException
from rucio.common.utils import ScopeExtractionAlgorithms

from stac_policy import naming
from stac_policy.settings import settings

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

_ITEM_URL = re.compile(
    r"(?:https?://[^/?#]+/|(?!https?://))(?:[^?#]*/)?"
    r"collections/([^/?#]+)/items/([^/?#]+)/*(?:[?#].*)?",
    re.DOTALL,
)
_URL = ("https://", "http://")
_SCOPE = re.compile(rf"[A-Za-z0-9_.-]{{1,{naming.SCOPE_LENGTH}}}")


def scope(did: str, scopes: Collection[str] | None) -> Sequence[str]:
    """Return the scope and name of a DID as a user types it.

    What Rucio's default finds a scope in is left to it, such as `scope:name` and
    `user.alice.x/y`; only a URL counts as a STAC API's.

    Args:
        did: `/collection/item`, `collection/item`, either with an asset behind
            it, or a STAC API's URL or path of an item
            (`…/collections/COLLECTION/items/ITEM`). Everything else gives what Rucio's
            default gives.
        scopes: The scopes that exist, if known. If the one derived from the
            collection is not among them, the DID is STAC's only if just one of
            `[stac] scopes` is, and that one is returned.

    Raises:
        rucio.common.exception.RucioException: As Rucio's default does.
    """
    default: Sequence[str] = ()
    failure = None
    try:
        default = ScopeExtractionAlgorithms.extract_scope_default(did, scopes)
    except RucioException as error:
        failure = error
    if failure or did.startswith(_URL) or not _SCOPE.fullmatch(default[0]):
        collection, name = _item_url(did) or _path(did) or ("", "")
        found = _scope(collection, scopes) if collection else None
        if found is not None:
            return found, name
    if failure:
        raise failure
    return default


def _path(did: str) -> tuple[str, str] | None:
    """Return the collection and the name of `[/]collection/item[/asset]`, or None."""
    typed = did.removeprefix("/")
    ids = typed.split("/")
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
    if not scopes or derived in scopes:
        return derived
    fixed = [scope for scope, _ in settings().scopes if scope in scopes]
    return fixed[0] if len(fixed) == 1 else None
