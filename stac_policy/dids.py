"""Which DIDs are STAC's, among all those of a server.

Their names have the form that `naming` gives. But `dune:/dune/raw/run1.root` has that form
too, even in the scope that a collection `dune` would have. So where it matters, Rucio's
database decides: a DID is STAC's if a source RSE holds it, if `[stac] scopes` names its
scope, or if its collection's container exists. What cannot be asked, in clients and of
names that are yet to be registered, is decided by form and scope alone.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from rucio.common.config import is_client

from stac_policy.naming import (
    ASSET_PARTS,
    DID,
    collection_scope,
    split_name,
    unescape,
)
from stac_policy.settings import SOURCE_PROTOCOL, settings, vos

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

_KNOWN_S = 15.0  # so that who has just set something up need not wait for long
_KNOWN_MOST = 10_000


class Known:
    """Answers of Rucio's database to a question, each known for a while.

    Args:
        ask: Returns the answer for a key; it gets whatever else `about` was given.
    """

    def __init__(self, ask: Callable[..., bool]) -> None:
        self._ask = ask
        self._answers: dict[Hashable, tuple[bool, float]] = {}
        """Each answer, and until when it is not asked for again."""

    def about(self, key: Hashable, *more: Any) -> bool:
        """Return the answer for a key, as it is or was a while ago."""
        answer, until_s = self._answers.get(key, (False, 0.0))
        now_s = time.monotonic()
        if now_s >= until_s:
            answer = self._ask(key, *more)
            if len(self._answers) >= _KNOWN_MOST:
                self._answers.clear()
            self._answers[key] = answer, now_s + _KNOWN_S
        return answer


def is_asset(did: DID) -> bool:
    """Return whether a DID is that of a STAC asset by its form and its scope."""
    return len(stac_parts(did)) == ASSET_PARTS


def stac_parts(did: DID) -> tuple[str, ...]:
    """Return the escaped parts of the name of a STAC collection, item or asset, or none.

    Form and scope alone decide: the scope is the one derived from the collection, or
    one that `[stac] scopes` names.
    """
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


def is_stacs(did: DID) -> bool:
    """Return whether a DID is that of a STAC asset; of one in doubt, Rucio's database decides."""
    has_form = len(split_name(did.name)) == ASSET_PARTS
    return has_form and (any(source_urls(did)) or is_claimed(did))


def source_urls(did: DID) -> list[set[str]]:
    """Return the URLs under which source RSEs hold a DID, for each VO of a server that has it."""
    if is_client() or not did.scope.isascii():  # no database has, or takes, what is no scope
        return []
    from rucio.db.sqla.constants import DatabaseOperationType
    from rucio.db.sqla.models import RSEFileAssociation, RSEProtocol
    from rucio.db.sqla.session import db_session
    from sqlalchemy import select

    with db_session(DatabaseOperationType.READ) as session:
        urls: dict[Any, set[str]] = {scope: set() for scope in _vos_with(did, session)}
        if not urls:
            return []
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
    return list(urls.values())


def is_claimed(did: DID) -> bool:
    """Return whether a scope is STAC's by `[stac] scopes`, or by its collection's container.

    Args:
        did: A DID whose name has the form of an asset's.
    """
    if settings().is_fixed(did.scope):
        return True
    collection = did.name.split("/", 2)[1]
    return (
        did.scope == _derived(collection)
        and not is_client()
        and _CONTAINERS.about(DID(did.scope, f"/{collection}"))
    )


def _has_container(did: DID) -> bool:
    from rucio.db.sqla.constants import DatabaseOperationType, DIDType
    from rucio.db.sqla.models import DataIdentifier
    from rucio.db.sqla.session import db_session
    from sqlalchemy import select

    with db_session(DatabaseOperationType.READ) as session:
        statement = select(DataIdentifier.scope).where(
            DataIdentifier.scope.in_(_scopes(did, session)),
            DataIdentifier.name == did.name,
            DataIdentifier.did_type == DIDType.CONTAINER,
        )
        return session.execute(statement).first() is not None


_CONTAINERS = Known(_has_container)


def _vos_with(did: DID, session: Any) -> list[Any]:
    """Return the scope of a DID as Rucio's database has it, in each VO that has the DID."""
    from rucio.db.sqla.models import DataIdentifier
    from sqlalchemy import select

    scopes = _scopes(did, session)
    if vos() is None:
        return scopes
    statement = select(DataIdentifier.scope).where(
        DataIdentifier.scope.in_(scopes), DataIdentifier.name == did.name
    )
    return list(session.execute(statement).scalars())


def _scopes(did: DID, session: Any) -> list[Any]:
    """Return the scope of a DID as Rucio's database would have it, in each VO."""
    from rucio.common.types import InternalScope
    from rucio.core.vo import list_vos

    if vos() is None:
        return [InternalScope(did.scope)]
    return [InternalScope(did.scope, vo=vo["vo"]) for vo in list_vos(session=session)]
