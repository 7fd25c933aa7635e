"""Permissions: registrars may register STAC assets; everything else is as Rucio has it.

A registrar is an account with the attribute that `[stac] registrar_attribute`
names. Rucio finds this module by its name (`rucio.core.permission`); what it
answers with None is decided by Rucio's generic permissions.

Rucio's requests take fields that do more than their names say: with `rse` content
becomes replicas at a storage, with `lifetime` a DID ends. So a registrar may send
the fields that registration needs, of the DIDs of STAC, and no other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stac_policy.dids import Known, stac_parts
from stac_policy.naming import ASSET_PARTS, COLLECTION_PARTS, DID, ITEM_PARTS
from stac_policy.settings import SOURCE_PROTOCOL, settings, vos

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Check = Callable[[Mapping[str, Any], Any], bool]

__all__ = ["has_permission", "may_register", "rucios_own"]

_PARTS = {"CONTAINER": COLLECTION_PARTS, "DATASET": ITEM_PARTS, "FILE": ASSET_PARTS}
_CHILD_FIELDS = frozenset({"scope", "name"})
_NEW_FIELDS = frozenset({"scope", "name", "type"})
_ATTACHMENT_FIELDS = frozenset({"scope", "name", "dids"})
_METADATA_FIELDS = frozenset({"scope", "name", "meta", "issuer"})


def has_permission(
    issuer: Any, action: str, kwargs: Mapping[str, Any], *, session: Any = None
) -> bool | None:
    """Return whether an account may do something.

    Args:
        issuer: The account (`rucio.common.types.InternalAccount`).
        action: What it wants to do, as Rucio calls it.
        kwargs: With what; see `rucio.gateway`.
        session: The session of Rucio's database.

    Returns:
        True if a registrar may; of all else what Rucio says, or None for it to decide.
    """
    if may_register(issuer, action, kwargs, session=session):
        return True
    return rucios_own(issuer, action, kwargs, session=session)


def rucios_own(
    issuer: Any, action: str, kwargs: Mapping[str, Any], *, session: Any = None
) -> bool | None:
    """Return what Rucio says without a policy package, or None for Rucio to say it.

    For policy packages that have permissions of their own: asked for None by the package
    of a VO, Rucio would take the rules of a server with a single VO.
    """
    if vos() is None:
        return None
    from rucio.core.permission import generic_multi_vo

    return bool(generic_multi_vo.has_permission(issuer, action, kwargs, session=session))


def may_register(
    issuer: Any, action: str, kwargs: Mapping[str, Any], *, session: Any = None
) -> bool | None:
    """Return True if an account may do something because it is a registrar, else None.

    For policy packages that have permissions of their own; the arguments are those of
    `has_permission`.
    """
    check = _REGISTRATION.get(action)
    if check is not None and check(kwargs, session) and is_registrar(issuer, session):
        return True
    return None


def is_registrar(account: Any, session: Any) -> bool:
    """Return whether an account may register STAC assets."""
    from rucio.core.account import has_account_attribute

    attribute = settings().registrar_attribute
    return bool(has_account_attribute(account=account, key=attribute, session=session))


def _at_source_rse(kwargs: Mapping[str, Any], session: Any) -> bool:
    rse_id = kwargs.get("rse_id")
    return rse_id is not None and _SOURCE_RSES.about(rse_id, session)


def _has_source_protocol(rse_id: str, session: Any) -> bool:
    from rucio.db.sqla.models import RSEProtocol
    from sqlalchemy import select

    statement = select(RSEProtocol.rse_id).where(
        RSEProtocol.rse_id == rse_id, RSEProtocol.impl == SOURCE_PROTOCOL
    )
    return session.execute(statement).first() is not None


_SOURCE_RSES = Known(_has_source_protocol)


def _are_new_dids(kwargs: Mapping[str, Any], _: Any) -> bool:
    dids = kwargs.get("dids") or ()
    # Of new files Rucio gives the type as its enumeration, elsewhere as text.
    return bool(dids) and all(
        _parts(did, _NEW_FIELDS) == _PARTS.get(getattr(kind := did.get("type"), "name", kind))
        for did in dids
    )


def _are_attachments(kwargs: Mapping[str, Any], _: Any) -> bool:
    attachments = kwargs.get("attachments") or ()
    return bool(attachments) and all(map(_is_attachment, attachments))


def _is_attachment(parent: Mapping[str, Any]) -> bool:
    parts, content = _parts(parent, _ATTACHMENT_FIELDS), parent.get("dids")
    if not content or parts not in {COLLECTION_PARTS, ITEM_PARTS}:
        return False
    return all(_parts(child, _CHILD_FIELDS) == parts + 1 for child in content)


def _is_metadata(kwargs: Mapping[str, Any], _: Any) -> bool:
    meta = kwargs.get("meta")  # Rucio also takes pairs
    if not isinstance(meta, dict) or not _parts(kwargs, _METADATA_FIELDS):
        return False
    return all(key == "sha256" or key.startswith("stac_") for key in meta)


def _parts(entry: Mapping[str, Any], fields: frozenset[str]) -> int:
    """Return how many parts a STAC DID's name has; 0 of others, and with any other field."""
    scope, name = entry.get("scope"), entry.get("name")
    if not isinstance(name, str) or not name.startswith("/"):
        return 0  # for most DIDs of a server, at once
    parts = stac_parts(DID(str(getattr(scope, "external", scope)), name))
    given = (field for field, value in entry.items() if value is not None)
    return len(parts) if parts and fields.issuperset(given) else 0


_REGISTRATION: Mapping[str, Check] = {
    "add_replicas": _at_source_rse,
    "delete_replicas": _at_source_rse,
    "skip_availability_check": _at_source_rse,
    "add_dids": _are_new_dids,
    "attach_dids_to_dids": _are_attachments,
    "set_metadata_bulk": _is_metadata,
}
