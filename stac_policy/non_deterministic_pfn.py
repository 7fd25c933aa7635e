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
from stac_policy.naming import ASSET_PARTS, DID, ITEM_PARTS, asset_key, split_name, unescape
from stac_policy.observability import Reporter, count
from stac_policy.settings import SOURCE_PROTOCOL, settings, vos
from stac_policy.urls import redact, refusal

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
    if len(split_name(did.name)) != ASSET_PARTS:
        return None
    urls = source_urls(did)
    if not any(urls) and not is_claimed(did):
        return None
    if urls and (url := min(set.intersection(*urls), default=None)):
        return url
    if is_client():
        tried = "source RSEs: only the Rucio server can look there"
    else:
        differ = "" if vos() is None else ", or VOs that have it differ"
        tried = f"source RSEs (with the protocol {SOURCE_PROTOCOL}): none holds it{differ}"
    from stac_policy.stac_api import StacApiError

    try:
        return _catalogued_url(did)
    except StacApiError as error:
        tried = f"{tried}; STAC API: {error}"
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


def _catalogued_url(did: DID) -> str:
    """Return the URL that the STAC API of its scope has for an asset.

    Raises:
        StacApiError: There is none; the message says why.
    """
    from stac_policy.stac_api import StacApiError, fetch_item

    configured = settings()
    api = configured.api_of(did.scope)
    if not api:
        raise StacApiError(f"none is configured for scope {did.scope} ([stac] api, scopes)")
    try:
        collection, item_id = map(unescape, split_name(did.name)[:ITEM_PARTS])
    except ValueError as error:
        raise StacApiError(
            f"{redact(api)} cannot be asked, because the name holds a shortened id"
        ) from error
    item = fetch_item(api, collection, item_id, configured)
    key = asset_key(did.name, collection, item_id, item.hrefs, item.local_paths)
    where = f"item {item_id!r} of collection {collection!r} at {redact(api)}"
    if key is None:
        raise StacApiError(f"{where} has no asset of this name")
    access = item.access[key]
    url = access.url or item.hrefs[key]
    if url is None:
        raise StacApiError(f"asset {key!r} of {where} has no href")
    reason = refusal(url, configured.allowed_hosts) if access.url else access.reason
    if reason:
        count("refused_urls", where="stac_api")
        raise StacApiError(f"asset {key!r} at {redact(url)!r}: {reason}")
    return url
