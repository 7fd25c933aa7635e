"""Checks of the account, and of the scopes of collections."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stac_client.errors import rucio_errors
from stac_client.setup.scopes import collection_scopes
from stac_policy.settings import Settings

from .findings import error, ok, warning

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rucio.client import Client

    from .findings import Finding

_ROOT = "root"
_ADMIN = "admin"


def account_findings(client: Client) -> Iterator[Finding]:
    """What the account may do: register as an administrator, or as a registrar."""
    account = client.account
    roles = _roles(client, account)
    if roles:
        yield ok("account", f"account {account} may register: {' and '.join(roles)}")
        return
    attribute = Settings().registrar_attribute
    yield error(
        "account-not-registrar",
        f"account {account} is neither an administrator nor a registrar",
        "Rucio lets it register nothing at a source RSE; replicating what is there works",
        f"rucio-admin account add-attribute --key {attribute} --value true {account}",
    )


def scope_findings(client: Client, scopes: Mapping[str, str]) -> Iterator[Finding]:
    """Whether the scopes of collections exist, and whose they are.

    Args:
        client: A Rucio client.
        scopes: The scope of each collection.
    """
    if not scopes:
        return
    trusted: dict[str, bool] = {client.account: True}
    for entry in collection_scopes(client, scopes):
        scope, owner = entry.scope, entry.owner
        if not entry.exists:
            yield error(
                "scope-missing",
                f"scope {scope} of collection {entry.collection} does not exist",
                "no DID can be registered in it",
                f"rucio-admin scope add --account {client.account} --scope {scope}",
            )
            continue
        if owner is not None and owner not in trusted:
            trusted[owner] = bool(_roles(client, owner))
        if owner is not None and not trusted[owner]:
            yield warning(
                "scope-owner",
                f"scope {scope} of collection {entry.collection} belongs to account {owner}, "
                "which may not register",
                "whoever owns a scope can add and remove DIDs in it, of whatever content",
                f"rucio scope update {scope} --account {client.account}",
            )
            continue
        yield ok("scope", f"scope {scope} exists" + (f", owned by {owner}" if owner else ""))


def _roles(client: Client, account: str) -> list[str]:
    """What lets an account register, in words."""
    with rucio_errors(f"asking for the attributes of account {account}"):
        # The answer is a list with the list of attributes in it.
        (listed,) = client.list_account_attributes(account)
    attributes = {attribute["key"] for attribute in listed}
    roles = ["an administrator"] if account == _ROOT or _ADMIN in attributes else []
    if Settings().registrar_attribute in attributes:
        roles.append("a registrar")
    return roles
