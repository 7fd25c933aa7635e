"""Clients of Rucio servers on a lake's database."""

from __future__ import annotations

import tempfile
from typing import Any

from rucio.client import Client


def rucio_client(lake: Any, account: str = "root", **changes: Any) -> Any:
    """Make a client of an account, with other arguments, and with its tokens to itself."""
    tokens = tempfile.mkdtemp(dir=lake.layout.tokens)

    class OtherClient(Client):  # type: ignore[misc]  # Rucio has no types
        def _get_auth_tokens(self) -> tuple[str, str, str, str]:
            # A rucio.cfg that another test has used in this process names one for all accounts.
            token = f"{tokens}/{self.account}"
            return token, f"{token}-until", token, tokens

    arguments = {
        "rucio_host": lake.rucio_url,
        "auth_host": lake.rucio_url,
        "account": account,
        "auth_type": "userpass",
        "creds": {"username": account, "password": lake.layout.passwords.get(account, "")},
    }
    return OtherClient(**(arguments | changes))
