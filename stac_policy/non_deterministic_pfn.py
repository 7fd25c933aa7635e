"""The default algorithm `non_deterministic_pfn`: from a STAC asset's DID to its URL.

Rucio finds this function by its file and function name and calls it whenever it
needs a path for a replica at a non-deterministic RSE without a naming convention
(`rucio.common.utils.construct_non_deterministic_pfn`): on the server, in the
daemons and in clients.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stac_policy.dids import is_asset
from stac_policy.naming import DID

if TYPE_CHECKING:
    from collections.abc import Callable


def non_deterministic_pfn(dsn: str, scope: str | None, filename: str) -> str:
    """The original URL of a STAC asset, and for everything else what Rucio gives.

    Args:
        dsn: Name of the dataset that the file is transferred with.
        scope: Scope of the file.
        filename: Name of the file.

    Raises:
        rucio.common.exception.ReplicaNotFound: The DID is that of a STAC asset
            whose URL is known neither to a source RSE nor to a STAC API.
    """
    if scope is None or not is_asset(DID(scope, filename)):
        return rucio_default(dsn, scope, filename)
    from stac_policy.resolver import original_url

    return original_url(DID(scope, filename))


def rucio_default(dsn: str, scope: str | None, filename: str) -> str:
    """What Rucio gives by default, for RSEs that ask for it by name."""
    from rucio.common.utils import NonDeterministicPFNAlgorithms

    default: Callable[[str, str | None, str], str]
    default = NonDeterministicPFNAlgorithms.construct_non_deterministic_pfn_default
    return default(dsn, scope, filename)
