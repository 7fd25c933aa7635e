"""The connection to Rucio, made when a verb needs it and not before."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rucio.client import Client

    from stac_client import Modifier, StacClient

    from .copies import CopyOptions

_LOGGER = logging.getLogger(__name__)

# Seconds until Rucio accepts a connection, and until its answer begins or goes on: to who
# it is that asks, which takes no time, and to all else.
_FIRST_TIMEOUT_S = (20.0, 60.0)
_TIMEOUT_S = (20.0, 600.0)


@dataclass
class Connection:
    """Rucio, as an account of it sees it."""

    account: str | None
    """By default that of rucio.cfg."""
    scope: str | None
    """A fixed scope for all assets."""

    @cached_property
    def rucio(self) -> Client:
        """A client of Rucio.

        Raises:
            StacRucioError: There is no usable rucio.cfg, or Rucio does not answer or
                does not accept the account.
        """
        from stac_client.errors import rucio_errors

        with rucio_errors("connecting to Rucio"):
            client = self.connect()
        _LOGGER.info("Rucio at %s, account %s", client.host, client.account)
        return client

    def connect(self) -> Client:
        """Make a client of Rucio, and see that Rucio answers.

        Raises:
            AccessError: Rucio takes it for another account than the one asked for.
            Exception: What Rucio raises.
        """
        from rucio.client import Client

        from stac_client.errors import AccessError

        # Its own logger writes to the terminal, colours and all.
        logger = logging.getLogger("rucio.client")
        client = Client(account=self.account, timeout=_FIRST_TIMEOUT_S, logger=logger)
        known = client.whoami()["account"]
        client.timeout = _TIMEOUT_S
        if self.account and known != self.account:
            # A token of another account lay where rucio.cfg says (auth_token_file_path).
            raise AccessError(
                f"Rucio takes this for account {known}, not {self.account}; "
                "rucio.cfg names a token or credentials of that account"
            )
        return client

    @cached_property
    def stac(self) -> StacClient:
        """A StacClient.

        Raises:
            StacRucioError: As for `rucio`.
        """
        from stac_client import StacClient

        return StacClient(self.rucio, scope=self.scope)

    def modifier(self, copies: CopyOptions, *, patient: bool = False) -> Modifier:
        """What adds the replicas to items, or raises the reason why it can not.

        Args:
            copies: Which replicas count, and which are wanted most.
            patient: Wait for Rucio as long as it takes.

        Raises:
            StacRucioError: As for `rucio`, or there is no such RSE.
        """
        modifier = self.stac.modifier(**asdict(copies), strict=True)
        return modifier(timeout_s=None) if patient else modifier
