"""Registration of assets as replicas at a source RSE: several batches on their way at a time."""

from __future__ import annotations

import warnings
from concurrent.futures import FIRST_COMPLETED, wait
from copy import copy
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, NamedTuple, Union

from stac_client.catalogue.assets import select_assets
from stac_client.catalogue.items import iter_items
from stac_client.catalogue.selection import named_keys
from stac_client.errors import StacRucioError, rucio_errors
from stac_client.lookups.many import lookups, threads
from stac_client.progress import REPORT_S, Reporter, Tally
from stac_client.results import Outcome, State
from stac_client.setup.pfns import with_pfn
from stac_policy.urls import redact

from .batches import item_batches
from .journal import entry_of
from .metadata import MetadataWarning, MetadataWriter, item_metadata
from .registering import Batch, BatchRegistrar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Executor, Future

    from rucio.client import Client

    from stac_client.catalogue.assets import Asset
    from stac_client.catalogue.items import ItemDict, ItemsLike
    from stac_client.catalogue.selection import AssetSelection
    from stac_client.lookups.lookup import LearnFrom
    from stac_client.progress import Progress
    from stac_client.requests_in_bulk import Sender
    from stac_policy.naming import DID

    from .journal import Entry

    Found = Union[Asset, Outcome]

_BATCHES = 4
"""On their way to Rucio at a time; with one that is being read, all that is held in memory."""


@dataclass(frozen=True)
class Options:
    """What a registration shall be like."""

    assets: AssetSelection
    scope: str | None
    """A fixed scope instead of those derived from the collections."""
    learn_from: LearnFrom
    """How far to go for sizes and checksums."""
    containers: bool
    """Whether collections get containers that hold their items' datasets."""
    metadata: bool
    """Whether the datasets get metadata from their items."""


class Registered(NamedTuple):
    """Items that have been dealt with, as the registration goes on."""

    entries: list[Entry]
    outcomes: list[Outcome]
    """One for each selected asset of the items."""


class Registrar:
    """Registers assets at one source RSE."""

    def __init__(
        self,
        client: Client,
        rse: str,
        sender: Sender,
        on_progress: Callable[[Progress], None] = lambda _: None,
    ) -> None:
        """Make one.

        Args:
            client: A Rucio client whose account may add replicas at the RSE.
            rse: The source RSE.
            sender: Knows how much this Rucio server takes in one request.
            on_progress: Called in the thread that asks for outcomes.
        """
        self._client = client
        self._rse = rse
        self._sender = sender
        self._tally = Tally()
        self._reporter = Reporter(self._tally, on_progress)

    def register(self, items: ItemsLike, options: Options) -> Iterator[Registered]:
        """Register the assets of items and attach them to their items' datasets.

        Items are read as they are needed, while those before them are on their way.

        Args:
            items: The items.
            options: What the registration shall be like.

        Yields:
            Some items with their outcomes, as they come to an end.

        Raises:
            StacRucioError: The RSE does not exist, or Rucio or the STAC API can
                not be reached. What concerns single assets is in their outcomes.
        """
        reading = iter_items(items)
        first = [*islice(reading, 1)]
        if not first:
            return
        with rucio_errors(f"registering at RSE {self._rse}"):
            protocols = self._client.get_rse(self._rse)["protocols"]
        metadata = MetadataWriter() if options.metadata else None
        # What is left in the middle gives its look-ups up first: batches wait for them.
        with threads(_BATCHES) as executor, lookups(options.learn_from) as looking_up:
            registrars = [
                BatchRegistrar(
                    _twin(self._client),
                    self._rse,
                    sender=self._sender,
                    lookups=looking_up,
                    containers=options.containers,
                    metadata=metadata,
                )
                for _ in range(_BATCHES)
            ]
            under_way = _UnderWay(executor, registrars, self._reporter)
            try:
                for batch in self._batches(chain(first, reading), options, protocols):
                    yield from under_way.ended()
                    while not under_way.takes(batch):
                        under_way.wait()
                        yield from under_way.ended()
                    under_way.add(batch)
            except StacRucioError:
                # The items end too early; what is on its way is told all the same.
                yield from under_way.rest()
                raise
            yield from under_way.rest()
        if metadata is not None and metadata.problem is not None:
            warnings.warn(f"no metadata: {metadata.problem}", MetadataWarning, stacklevel=2)

    def _batches(
        self, items: Iterable[ItemDict], options: Options, protocols: list[dict[str, Any]]
    ) -> Iterator[Batch]:
        unseen = named_keys(options.assets)
        select = partial(
            select_assets, selection=options.assets, scope=options.scope, source_rse=self._rse
        )
        for group in item_batches(items, select):
            unseen.difference_update(found.key for _, selected in group for found in selected)
            yield self._batch(group, options, protocols)
        if unseen:
            reason = "no item has an asset with this key"
            missing = [Outcome("", "", key, State.SKIPPED, reason) for key in sorted(unseen)]
            yield Batch(outcomes=missing)

    def _batch(
        self,
        group: list[tuple[ItemDict, list[Found]]],
        options: Options,
        protocols: list[dict[str, Any]],
    ) -> Batch:
        batch = Batch(entries=[entry_of(item) for item, _ in group])
        first: dict[DID, Asset] = {}
        for item, selected in group:
            for found in selected:
                asset = with_pfn(found, protocols)
                if isinstance(asset, Outcome):
                    batch.outcomes.append(asset)
                elif asset.did in first:
                    batch.outcomes.append(_repeated(asset, first[asset.did]))
                else:
                    first[asset.did] = asset
                    batch.assets.append(asset)
                    batch.tallies[asset.did] = self._tally.expect()
                    if options.metadata and asset.dataset not in batch.metadata:
                        batch.metadata[asset.dataset] = item_metadata(item)
        return batch


class _UnderWay:
    """Batches on their way to Rucio, each with a thread and a Rucio client of its own."""

    def __init__(
        self, executor: Executor, registrars: Iterable[BatchRegistrar], reporter: Reporter
    ) -> None:
        self._executor = executor
        self._reporter = reporter
        self._idle = [*registrars]
        self._batches: dict[Future[list[Outcome]], tuple[Batch, BatchRegistrar]] = {}

    def takes(self, batch: Batch) -> bool:
        """Tell whether there is room for a batch, and no other one with the same item.

        So what comes again is compared with what was registered of it before.
        """
        others = (other for other, _ in self._batches.values())
        return bool(self._idle) and all(
            batch.datasets.isdisjoint(other.datasets) for other in others
        )

    def add(self, batch: Batch) -> None:
        """Send a batch on its way."""
        registrar = self._idle.pop()
        future = self._executor.submit(registrar.register, batch)
        self._batches[future] = (batch, registrar)
        self._reporter.report()

    def wait(self) -> None:
        """Wait until one has come to its end."""
        while not wait(self._batches, timeout=REPORT_S, return_when=FIRST_COMPLETED).done:
            self._reporter.report()
        self._reporter.report()

    def ended(self) -> Iterator[Registered]:
        """Give those that have come to their end."""
        for future in [future for future in self._batches if future.done()]:
            batch, registrar = self._batches.pop(future)
            self._idle.append(registrar)
            yield Registered(batch.entries, future.result())

    def rest(self) -> Iterator[Registered]:
        """Wait for all, and give them as they come to their end."""
        while self._batches:
            self.wait()
            yield from self.ended()


def _repeated(asset: Asset, first: Asset) -> Outcome:
    """What becomes of an asset whose DID another one before it has, as in overlapping pages."""
    if first.url == asset.url:
        return asset.outcome(State.SKIPPED, "the same asset came before")
    reason = f"the same asset came before, with another URL: {redact(first.url)}"
    return asset.outcome(State.FAILED, reason)


def _twin(client: Client) -> Client:
    """A Rucio client like another one, for another thread.

    A session of requests is not safe to share: answers change its cookies, and
    the client replaces it when its token has expired. Connections are shared.
    """
    twin = copy(client)
    twin.headers = dict(client.headers)
    twin.session = copy(client.session)
    twin.session.cookies = client.session.cookies.copy()
    return twin
