"""StacClient: STAC searches as Rucio data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import availability
from .assets import Asset, select_assets
from .errors import ConfigurationError, rucio_errors
from .items import iter_items
from .lookup import LearnFrom
from .modifier import Modifier
from .replicas import Registrar
from .requests_in_bulk import Sender
from .results import Registration
from .rules import Rules

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from rucio.client import Client

    from stac_policy.naming import DID

    from .availability import Availability
    from .items import ItemsLike
    from .rules import Rule

DAY_S = 86_400.0


class StacClient:
    """Registers, replicates and finds the assets of STAC items in Rucio.

    Every method that takes `items` takes whatever holds items: a search of
    pystac-client, an item collection, a collection, a page, or items as objects
    or dicts. Every method raises a `StacRucioError` that says what to do.
    """

    def __init__(self, rucio: Client | None = None, *, scope: str | None = None) -> None:
        """Make one.

        Args:
            rucio: The Rucio client to use; by default one as rucio.cfg says.
            scope: A fixed scope for all assets, instead of those derived from
                their collections.

        Raises:
            ConfigurationError: There is no usable rucio.cfg.
            AccessError: Rucio does not accept its account or credentials.
            UnreachableError: The Rucio server does not answer.
        """
        if rucio is None:
            from rucio.client import Client as RucioClient

            with rucio_errors("connecting to Rucio"):
                rucio = RucioClient()
        self._rucio = rucio
        self._scope = scope
        self._rules = Rules(rucio)
        self._sender = Sender()

    @property
    def modifier(self) -> Modifier:
        """For `pystac_client.Client.open(url, modifier=…)`: shows replicas as alternate assets.

        `modifier(prefer=["RSE"])` puts the copy at an RSE into the `href`.
        """
        return Modifier(self._rucio, scope=self._scope)

    def create_replicas(
        self,
        items: ItemsLike,
        rse: str,
        *,
        assets: Collection[str] | None = None,
        learn_from: LearnFrom | str = LearnFrom.DOWNLOAD,
    ) -> Registration:
        """Register assets in Rucio, as replicas at their original URLs; no bytes move.

        Registering again changes nothing: what is there is recognised, and what
        differs from what is there has failed.

        Args:
            items: The items.
            rse: The source RSE.
            assets: Keys of the assets. By default those with the role `data`
                where an item has any, and otherwise all that are files.
            learn_from: How far to go for sizes and checksums: `item`, `head` or
                `download`, each only where those before it left something open.

        Returns:
            What became of each asset.

        Raises:
            StacRucioError: The RSE does not exist, or Rucio or the STAC API does
                not answer.
        """
        registrar = Registrar(self._rucio, rse, _learn_from(learn_from), self._sender)
        return Registration(registrar.register(items, assets, self._scope))

    def create_replication_rules(
        self,
        items: ItemsLike | Registration,
        rse_expression: str,
        *,
        assets: Collection[str] | None = None,
        copies: int = 1,
        lifetime_s: int | None = None,
        activity: str | None = None,
        comment: str | None = None,
        scope: str | None = None,
    ) -> list[Rule]:
        """Ask Rucio for copies of registered assets.

        One rule is made over one dataset that holds the selected files. Asking
        again with the same files gives the same rule.

        Args:
            items: The items, or what `create_replicas` gave: then the assets
                that are in Rucio.
            rse_expression: Where the copies shall be.
            assets: Keys of the assets, as in `create_replicas`.
            copies: How many copies, each at another RSE.
            lifetime_s: Seconds until the rule ends; by default it does not.
            activity: The activity of the transfers; one of the server's.
            comment: For people who look at the rule.
            scope: Scope of the dataset; by default `user.ACCOUNT` if the account
                has it, and otherwise that of the files.

        Raises:
            StacRucioError: An asset is not registered, or Rucio refuses the rule.
        """
        files = items.dids if isinstance(items, Registration) else self._dids(items, assets)
        if not files:
            raise ConfigurationError("no assets are selected, so there is nothing to replicate")
        rule = self._rules.create(
            sorted(set(files)),
            rse_expression,
            copies=copies,
            lifetime_s=lifetime_s,
            activity=activity,
            comment=comment,
            scope=scope,
        )
        return [rule]

    def replication_availability(
        self, items: ItemsLike, *, assets: Collection[str] | None = None
    ) -> list[Availability]:
        """Say how much of each item is at each RSE.

        Args:
            items: The items.
            assets: Keys of the assets, as in `create_replicas`.
        """
        return availability.replication_availability(self._rucio, items, assets, self._scope)

    def wait(
        self,
        rules: Iterable[Rule],
        *,
        timeout_s: float = DAY_S,
        poll_s: float = 5.0,
        on_update: Callable[[Sequence[Rule]], None] = lambda _: None,
    ) -> list[Rule]:
        """Follow rules until all are OK, or until the time is over.

        Args:
            rules: The rules.
            timeout_s: How long to follow them, in seconds.
            poll_s: How long to wait before asking again, in seconds.
            on_update: Called with the rules each time Rucio was asked.

        Returns:
            The rules as they were in the end; look at their `state`.
        """
        return self._rules.wait(rules, timeout_s=timeout_s, poll_s=poll_s, on_update=on_update)

    def delete_replication_rules(self, rules: Iterable[Rule], *, at_once: bool = False) -> None:
        """Delete rules; Rucio then deletes the copies that no other rule wants.

        Args:
            rules: The rules.
            at_once: Do without the hour that Rucio leaves for a change of mind.
        """
        self._rules.delete(rules, at_once=at_once)

    def _dids(self, items: ItemsLike, keys: Collection[str] | None) -> list[DID]:
        selected = (
            found for item in iter_items(items) for found in select_assets(item, keys, self._scope)
        )
        return [found.did for found in selected if isinstance(found, Asset)]


def _learn_from(value: LearnFrom | str) -> LearnFrom:
    try:
        return LearnFrom(value)
    except ValueError:
        choices = ", ".join(repr(choice.value) for choice in LearnFrom)
        raise ConfigurationError(f"learn_from is {value!r}, but can be {choices}") from None
