"""From the DID of a STAC asset to its original URL: replica catalogue, STAC API, or an error."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from rucio.common.config import is_client
from rucio.common.exception import ReplicaNotFound

from stac_policy import stac_api
from stac_policy.naming import asset_key, split_name, unescape
from stac_policy.observability import Reporter, count
from stac_policy.settings import SOURCE_PROTOCOL, settings, vos
from stac_policy.urls import redact, refusal

if TYPE_CHECKING:
    from stac_policy.naming import DID
    from stac_policy.settings import Settings

_REPORTER = Reporter(logging.getLogger(__name__))


def original_url(did: DID) -> str:
    """The original URL of a STAC asset.

    On a server, the URL under which a source RSE holds it; otherwise that of the
    STAC API configured for its scope.

    Raises:
        rucio.common.exception.ReplicaNotFound: Neither knows it; the message names
            the DID and what was tried.
    """
    tried = []
    if is_client():
        tried.append("source RSEs: only the Rucio server can look there")
    elif url := _registered_url(did):
        return url
    else:
        none = "none holds it" if vos() is None else "none holds it, or VOs that have it differ"
        tried.append(f"source RSEs (with the protocol {SOURCE_PROTOCOL}): {none}")
    api = settings().api_of(did.scope)
    if not api:
        tried.append(f"STAC API: none is configured for scope {did.scope} ([stac] api, scopes)")
    else:
        try:
            return _catalogued_url(did, api, settings())
        except stac_api.StacApiError as error:
            tried.append(f"STAC API: {error}")
    if not is_client():  # whose user gets the error
        count("unresolved_assets")
        _REPORTER.warn(
            "unresolved",
            "%s is a STAC asset without a known URL, so its transfer fails. Tried %s. Register "
            "it at a source RSE, or name the STAC API of its scope in [stac]",
            did,
            "; ".join(tried),
        )
    raise ReplicaNotFound(f"{did} is a STAC asset without a known URL. Tried {'; '.join(tried)}")


def _registered_url(did: DID) -> str | None:
    """The URL under which a source RSE of the DID's VO holds it.

    Rucio does not say for which VO it asks. Where several VOs of a server have
    the DID, a URL is given only if each of them holds it under that same URL:
    it is then right for all, and no VO is ever given another one's.
    """
    from rucio.db.sqla.constants import DatabaseOperationType
    from rucio.db.sqla.models import RSEFileAssociation, RSEProtocol
    from rucio.db.sqla.session import db_session
    from sqlalchemy import select

    with db_session(DatabaseOperationType.READ) as session:
        urls: dict[Any, set[str]] = {scope: set() for scope in _scopes(did, session)}
        statement = (
            select(RSEFileAssociation.scope, RSEFileAssociation.path)
            .join(RSEProtocol, RSEProtocol.rse_id == RSEFileAssociation.rse_id)
            .where(
                RSEFileAssociation.scope.in_(urls),
                RSEFileAssociation.name == did.name,
                RSEFileAssociation.path.is_not(None),
                RSEProtocol.impl == SOURCE_PROTOCOL,
            )
        )
        for scope, path in session.execute(statement):
            urls[scope].add(path)
    return min(set.intersection(*urls.values()), default=None) if urls else None


def _scopes(did: DID, session: Any) -> list[Any]:
    """The scope of a DID as Rucio's database has it, in each VO that has the DID."""
    from rucio.common.types import InternalScope
    from rucio.core.vo import list_vos
    from rucio.db.sqla.models import DataIdentifier
    from sqlalchemy import select

    if vos() is None:
        return [InternalScope(did.scope)]
    scopes = [InternalScope(did.scope, vo=vo["vo"]) for vo in list_vos(session=session)]
    statement = select(DataIdentifier.scope).where(
        DataIdentifier.scope.in_(scopes), DataIdentifier.name == did.name
    )
    return list(session.execute(statement).scalars())


def _catalogued_url(did: DID, api: str, configured: Settings) -> str:
    try:
        collection, item_id = map(unescape, split_name(did.name)[:2])
    except ValueError as error:
        raise stac_api.StacApiError(
            f"{redact(api)} can not be asked, because the name holds a shortened id"
        ) from error
    item = stac_api.fetch_item(api, collection, item_id, configured)
    key = asset_key(did.name, collection, item_id, item.hrefs)
    url = item.url(key) if key is not None else None
    if url is None:
        where = f"item {item_id!r} of collection {collection!r} at {redact(api)}"
        if key is None:
            raise stac_api.StacApiError(f"{where} has no asset of this name")
        raise stac_api.StacApiError(f"asset {key!r} of {where} has no href")
    if reason := refusal(url, configured.allowed_hosts):
        count("refused_urls", where="stac_api")
        raise stac_api.StacApiError(f"asset {key!r} at {redact(url)!r}: {reason}")
    return url
