"""The default algorithm `non_deterministic_pfn`: from a STAC asset's DID to its original URL.

Rucio finds this function by its file and function name and calls it whenever it
needs a path for a replica at a non-deterministic RSE without a naming convention
(`rucio.common.utils.construct_non_deterministic_pfn`): on the server, in the
daemons and in clients. It asks the replica catalogue first, then the STAC API.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from rucio.common.config import is_client
from rucio.common.exception import ReplicaNotFound

from stac_policy.dids import is_claimed, source_urls
from stac_policy.naming import ASSET_PARTS, DID, split_name
from stac_policy.observability import Reporter, count
from stac_policy.settings import SOURCE_PROTOCOL, vos

if TYPE_CHECKING:
    from collections.abc import Callable

_REPORTER = Reporter(logging.getLogger(__name__))


def non_deterministic_pfn(dsn: str, scope: str | None, filename: str) -> str:
    """Return the original URL of a STAC asset, and for everything else what Rucio returns.

    Args:
        dsn: Name of the dataset that the file is transferred with.
        scope: Scope of the file.
        filename: Name of the file.

    Raises:
        rucio.common.exception.ReplicaNotFound: The DID is that of a STAC asset
            whose URL is known neither to a source RSE nor to a STAC API.
    """
    url = original_url(DID(scope, filename)) if scope is not None else None
    return rucio_default(dsn, scope, filename) if url is None else url


def rucio_default(dsn: str, scope: str | None, filename: str) -> str:
    """Return what Rucio returns by default, for RSEs that ask for it by name."""
    from rucio.common.utils import NonDeterministicPFNAlgorithms

    default: Callable[[str, str | None, str], str]
    default = NonDeterministicPFNAlgorithms.construct_non_deterministic_pfn_default
    return default(dsn, scope, filename)


def original_url(did: DID) -> str | None:
    """Return the original URL of a STAC asset, or None of what is not STAC's.

    On a server, the URL under which a source RSE holds it; otherwise that of the
    STAC API configured for its scope. Rucio does not say for which VO it asks. Where
    several VOs of a server have the DID, a URL is given only if each of them holds it
    under that same URL: it is then right for all, and no VO is ever given another one's.

    Raises:
        rucio.common.exception.ReplicaNotFound: Neither knows it; the message names
            the DID and what was tried.
    """
    parts = split_name(did.name)
    if len(parts) != ASSET_PARTS:
        return None
    urls = source_urls(did)
    if not any(urls) and not is_claimed(did):
        return None
    if urls and (url := min(set.intersection(*urls), default=None)):
        return url
    from stac_policy.stac_api import StacApiError, catalogued_url

    try:
        return catalogued_url(did.scope, parts)
    except StacApiError as error:
        tried = f"{_source_rses()}; STAC API: {error}"
    if not is_client():  # whose user gets the error
        count("unresolved_assets")
        _REPORTER.warn(
            "unresolved",
            "%s is a STAC asset without a known URL, so its transfer fails. Tried %s. Register "
            "it at a source RSE, or name the STAC API of its scope in [stac]",
            did,
            tried,
        )
    raise ReplicaNotFound(f"{did} is a STAC asset without a known URL. Tried {tried}")


def _source_rses() -> str:
    """What was tried before a STAC API, for errors."""
    if is_client():
        return "source RSEs: only the Rucio server can look there"
    differ = "" if vos() is None else ", or VOs that have it differ"
    return f"source RSEs (with the protocol {SOURCE_PROTOCOL}): none holds it{differ}"
