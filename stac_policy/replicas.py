"""Original URLs of STAC assets, from Rucio's replica catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rucio.common.exception import ReplicaNotFound

if TYPE_CHECKING:
    from .naming import DID

_SOURCE_PROTOCOL = "stac_policy.protocol.Default"


def original_url(did: DID) -> str:
    """The URL under which an asset is registered at a source RSE.

    Raises:
        rucio.common.exception.ReplicaNotFound: No source RSE holds it, or there
            is no database here.
    """
    from rucio.common.config import is_client

    if is_client():
        raise ReplicaNotFound(
            f"{did} is a STAC asset; a client can not look up its URL, only the Rucio server can"
        )
    url = _registered_url(did)
    if url is None:
        raise ReplicaNotFound(
            f"{did} is a STAC asset, but no RSE with the protocol {_SOURCE_PROTOCOL} holds it; "
            "register it first, for example with stac_client.StacClient.create_replicas"
        )
    return url


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
            RSEProtocol.impl == _SOURCE_PROTOCOL,
        )
        .limit(1)
    )
    with db_session(DatabaseOperationType.READ) as session:
        path: str | None = session.execute(statement).scalar()
    return path
