"""The scope-extraction algorithm `scope`: from what a user types to a DID.

Rucio finds this function by its file and function name
(`rucio.common.utils.extract_scope`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from .naming import collection_scope, escape, split_name, unescape
from .settings import settings

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


def scope(did: str, scopes: Collection[str] | None) -> Sequence[str]:
    """Give the scope and name of a DID as a user types it.

    Args:
        did: `/collection/item`, `collection/item`, either with an asset behind
            it, or a STAC API's URL or path of an item
            (`…/collections/COLLECTION/items/ITEM`). Everything else, such as
            `scope:name`, gives what Rucio's default gives.
        scopes: The scopes that exist, if known. If the one derived from the
            collection is not among them and just one of `[stac] scopes` is,
            that one is given.

    Raises:
        rucio.common.exception.RucioException: As Rucio's default does.
    """
    parts = _item_url(did) if "/collections/" in did else _path(did)
    if not parts:
        from rucio.common.utils import ScopeExtractionAlgorithms

        default: Sequence[str] = ScopeExtractionAlgorithms.extract_scope_default(did, scopes)
        return default
    return _scope(unescape(parts[0]), scopes), "/" + "/".join(parts)


def _path(did: str) -> tuple[str, ...]:
    """The escaped parts of `[/]collection/item[/asset]`, or none."""
    if ":" in did:
        return ()
    typed = did.removeprefix("/")
    parts = tuple(typed.split("/"))
    if len(parts) not in {2, 3} or not all(parts):
        return ()
    parts = split_name("/" + typed) or tuple(map(escape, parts))
    try:
        unescape(parts[0])
    except ValueError:  # a shortened collection id gives no scope
        return ()
    return parts


def _item_url(did: str) -> tuple[str, ...]:
    """The escaped ids of a STAC API's URL or path of an item, or none."""
    segments = [unquote(segment) for segment in urlsplit(did).path.rstrip("/").split("/")]
    if len(segments) < 4 or segments[-4] != "collections" or segments[-2] != "items":  # noqa: PLR2004
        return ()
    collection, item = segments[-3], segments[-1]
    return (escape(collection), escape(item)) if collection and item else ()


def _scope(collection: str, scopes: Collection[str] | None) -> str:
    derived = collection_scope(collection)
    if scopes and derived not in scopes:
        fixed = settings().scopes.intersection(scopes)
        if len(fixed) == 1:
            return next(iter(fixed))
    return derived
