"""Which DIDs are STAC's, among all those of a server.

Its name has the form that `naming` gives, and its scope is the one derived from
the collection or one that `[stac] scopes` names. `cms:/store/data/x.root` has
the form, but not the scope.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stac_policy.naming import collection_scope, split_name, unescape
from stac_policy.settings import settings

if TYPE_CHECKING:
    from stac_policy.naming import DID


_ASSET_PARTS = 3


def is_asset(did: DID) -> bool:
    """Tell whether a DID is that of a STAC asset."""
    parts = split_name(did.name)
    return len(parts) == _ASSET_PARTS and _is_in_scope(did.scope, parts[0])


def is_stac(did: DID) -> bool:
    """Tell whether a DID is that of a STAC collection, item or asset."""
    parts = split_name(did.name)
    return bool(parts) and _is_in_scope(did.scope, parts[0])


def derived_scope(name: str) -> str | None:
    """The scope derived from the collection in a name, if there is one that can be read."""
    parts = split_name(name)
    return _derived(parts[0]) if parts else None


def _is_in_scope(scope: str, escaped_collection: str) -> bool:
    return scope == _derived(escaped_collection) or settings().is_fixed(scope)


def _derived(escaped_collection: str) -> str | None:
    try:
        return collection_scope(unescape(escaped_collection))
    except ValueError:  # a shortened id gives no scope
        return None
