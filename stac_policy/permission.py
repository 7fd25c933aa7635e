"""Permissions: registrars may register STAC assets; everything else is as Rucio has it.

A registrar is an account with the attribute that `[stac] registrar_attribute`
names. Rucio finds this module by its name (`rucio.core.permission`); what it
answers with None is decided by Rucio's generic permissions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stac_policy.dids import is_stac
from stac_policy.naming import DID
from stac_policy.settings import SOURCE_PROTOCOL, settings, vos

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Check = Callable[[Mapping[str, Any], Any], bool]


def has_permission(
    issuer: Any, action: str, kwargs: Mapping[str, Any], *, session: Any = None
) -> bool | None:
    """Say whether an account may do something.

    Args:
        issuer: The account (`rucio.common.types.InternalAccount`).
        action: What it wants to do, as Rucio calls it.
        kwargs: With what; see `rucio.gateway`.
        session: The session of Rucio's database.

    Returns:
        True if a registrar may, and None for Rucio to decide.
    """
    check = _REGISTRATION.get(action)
    if check is not None and check(kwargs, session) and _is_registrar(issuer, session):
        return True
    return _multi_vo(issuer, action, kwargs, session)


def _multi_vo(issuer: Any, action: str, kwargs: Mapping[str, Any], session: Any) -> bool | None:
    """What a multi-VO server decides; by itself Rucio would take the rules of a single VO."""
    if vos() is None:
        return None
    from rucio.core.permission import generic_multi_vo

    decision: bool = generic_multi_vo.has_permission(issuer, action, kwargs, session=session)
    return decision


def _is_registrar(issuer: Any, session: Any) -> bool:
    from rucio.core.account import has_account_attribute

    attribute = settings().registrar_attribute
    return bool(has_account_attribute(account=issuer, key=attribute, session=session))


def _at_source_rse(kwargs: Mapping[str, Any], session: Any) -> bool:
    from rucio.db.sqla.models import RSEProtocol
    from sqlalchemy import exists, select

    of_source = exists().where(
        RSEProtocol.rse_id == kwargs.get("rse_id"), RSEProtocol.impl == SOURCE_PROTOCOL
    )
    return bool(session.execute(select(of_source)).scalar())


def _stac_dids(kwargs: Mapping[str, Any], _: Any) -> bool:
    dids = kwargs.get("dids", ())
    # A DID can bring rules of any account along; whether it may, Rucio decides.
    return bool(dids) and all(_is_stac(did) and not did.get("rules") for did in dids)


def _stac_attachments(kwargs: Mapping[str, Any], _: Any) -> bool:
    attachments = kwargs.get("attachments", ())
    return bool(attachments) and all(map(_is_stac, attachments))


def _stac_did(kwargs: Mapping[str, Any], _: Any) -> bool:
    return _is_stac(kwargs)


def _is_stac(did: Mapping[str, Any]) -> bool:
    scope = did.get("scope")
    return is_stac(DID(str(getattr(scope, "external", scope)), str(did.get("name"))))


_REGISTRATION: Mapping[str, Check] = {
    "add_replicas": _at_source_rse,
    "delete_replicas": _at_source_rse,
    "skip_availability_check": _at_source_rse,
    "add_dids": _stac_dids,
    "attach_dids_to_dids": _stac_attachments,
    "set_metadata_bulk": _stac_did,
}
