"""The default algorithm `non_deterministic_pfn`: from a STAC asset's DID to its URL.

Rucio finds this function by its file and function name and calls it whenever it
needs a path for a replica at a non-deterministic RSE without a naming convention
(`rucio.common.utils.construct_non_deterministic_pfn`): on the server, in the
daemons and in clients.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .naming import DID, collection_scope, split_name, unescape
from .settings import settings

if TYPE_CHECKING:
    from collections.abc import Callable

_ASSET_PARTS = 3


def non_deterministic_pfn(dsn: str, scope: str | None, filename: str) -> str:
    """The original URL of a STAC asset, and for everything else what Rucio gives.

    Args:
        dsn: Name of the dataset that the file is transferred with.
        scope: Scope of the file.
        filename: Name of the file.

    Raises:
        rucio.common.exception.ReplicaNotFound: The DID is that of a STAC asset,
            but no source RSE holds it.
    """
    if scope is None or not is_asset(DID(scope, filename)):
        return rucio_default(dsn, scope, filename)
    from .replicas import original_url

    return original_url(DID(scope, filename))


def rucio_default(dsn: str, scope: str | None, filename: str) -> str:
    """What Rucio gives by default, for RSEs that ask for it by name."""
    from rucio.common.utils import NonDeterministicPFNAlgorithms

    default: Callable[[str, str | None, str], str]
    default = NonDeterministicPFNAlgorithms.construct_non_deterministic_pfn_default
    return default(dsn, scope, filename)


def is_asset(did: DID) -> bool:
    """Tell whether a DID is that of a STAC asset.

    Its name has the form of an asset's, and its scope is the one derived from
    the collection or one that `[stac] scopes` names. `cms:/store/data/x.root`
    has the form, but not the scope.
    """
    parts = split_name(did.name)
    if len(parts) != _ASSET_PARTS:
        return False
    if did.scope in settings().scopes:
        return True
    try:
        return did.scope == collection_scope(unescape(parts[0]))
    except ValueError:  # a shortened collection id gives no scope
        return False
