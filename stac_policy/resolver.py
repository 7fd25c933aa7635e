"""From the DID of a STAC asset to its original URL: replica catalogue, STAC API, or an error."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rucio.common.config import is_client
from rucio.common.exception import ReplicaNotFound

from . import stac_api
from .naming import asset_key, split_name, unescape
from .settings import settings
from .urls import redact, refusal

if TYPE_CHECKING:
    from .naming import DID
    from .settings import Settings

SOURCE_PROTOCOL = "stac_policy.protocol.Default"
"""What makes an RSE a source RSE."""


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
        tried.append(f"source RSEs (with the protocol {SOURCE_PROTOCOL}): none holds it")
    api = settings().api_of(did.scope)
    if not api:
        tried.append(f"STAC API: none is configured for scope {did.scope} ([stac] api, scopes)")
    else:
        try:
            return _catalogued_url(did, api, settings())
        except stac_api.StacApiError as error:
            tried.append(f"STAC API: {error}")
    raise ReplicaNotFound(f"{did} is a STAC asset without a known URL. Tried {'; '.join(tried)}")


def _registered_url(did: DID) -> str | None:
    from rucio.common.types import InternalScope
    from rucio.db.sqla.constants import DatabaseOperationType
    from rucio.db.sqla.models import RSEFileAssociation, RSEProtocol
    from rucio.db.sqla.session import db_session
    from sqlalchemy import select

    statement = (
        select(RSEFileAssociation.path)
        .join(RSEProtocol, RSEProtocol.rse_id == RSEFileAssociation.rse_id)
        .where(
            RSEFileAssociation.scope == InternalScope(did.scope),
            RSEFileAssociation.name == did.name,
            RSEProtocol.impl == SOURCE_PROTOCOL,
        )
        .limit(1)
    )
    with db_session(DatabaseOperationType.READ) as session:
        path: str | None = session.execute(statement).scalar()
    return path


def _catalogued_url(did: DID, api: str, configured: Settings) -> str:
    try:
        collection, item_id = map(unescape, split_name(did.name)[:2])
    except ValueError as error:
        raise stac_api.StacApiError(
            f"{api} can not be asked, because the name holds a shortened id"
        ) from error
    urls = stac_api.asset_urls(api, collection, item_id, configured)
    key = asset_key(did.name, collection, item_id, urls)
    if key is None:
        raise stac_api.StacApiError(
            f"item {item_id} of collection {collection} at {api} has no asset of this name"
        )
    url = urls[key]
    if reason := refusal(url, configured.allowed_hosts):
        raise stac_api.StacApiError(f"asset {key} at {redact(url)}: {reason}")
    return url
