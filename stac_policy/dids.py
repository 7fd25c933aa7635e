"""Which DIDs are STAC's, among all those of a server.

Its name has the form that `naming` gives, and its scope is the one derived from
the collection or one that `[stac] scopes` names. `cms:/store/data/x.root` has
the form, but not the scope.
"""

from __future__ import annotations

from stac_policy.naming import ASSET_PARTS, DID, collection_scope, split_name, unescape
from stac_policy.settings import settings


def is_asset(did: DID) -> bool:
    """Return whether a DID is that of a STAC asset."""
    return len(stac_parts(did)) == ASSET_PARTS


def stac_parts(did: DID) -> tuple[str, ...]:
    """Return the escaped parts of the name of a STAC collection, item or asset, or none."""
    parts = split_name(did.name)
    if parts and (did.scope == _derived(parts[0]) or settings().is_fixed(did.scope)):
        return parts
    return ()


def derived_scope(name: str) -> str | None:
    """Return the scope derived from the collection in a name, or None if there is none."""
    parts = split_name(name)
    return _derived(parts[0]) if parts else None


def _derived(escaped_collection: str) -> str | None:
    try:
        return collection_scope(unescape(escaped_collection))
    except ValueError:  # of a shortened id, or an account's
        return None
