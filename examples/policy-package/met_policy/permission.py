"""Permissions: the centre's own, those of stac-rucio's registrars, and else Rucio's."""

from rucio.core.account import has_account_attribute

from stac_policy.permission import may_register, rucios_own


def may_add_scope(issuer, kwargs, session):
    """Return True for forecasters; whether others may is for Rucio to say."""
    return has_account_attribute(issuer, "forecaster", session=session) or None


def may_add_rule(issuer, kwargs, session):
    """Return False for rules at tape, which none but root makes here."""
    return False if "TAPE" in kwargs["rse_expression"] and issuer.external != "root" else None


OWN = {"add_scope": may_add_scope, "add_rule": may_add_rule}


def has_permission(issuer, action, kwargs, *, session=None):
    """Return whether an account may do something, or None for Rucio to decide."""
    if may_register(issuer, action, kwargs, session=session):
        return True
    own = OWN[action](issuer, kwargs, session) if action in OWN else None
    return rucios_own(issuer, action, kwargs, session=session) if own is None else own
