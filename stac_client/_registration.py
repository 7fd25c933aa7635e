"""Registration of assets as replicas at a source RSE: several batches on their way at a time."""

from __future__ import annotations

import logging
import sys
import warnings
from collections import Counter
from concurrent.futures import FIRST_COMPLETED
from dataclasses import dataclass, field
from functools import cache
from itertools import chain, compress, islice
from typing import TYPE_CHECKING, Any, TypeVar

from stac_client._assets import Asset, fetched, select_assets
from stac_client._buckets import Buckets
from stac_client._in_flight import MOST
from stac_client._in_rucio import (
    Look,
    Permits,
    compare,
    is_outdated,
    kept,
    problem,
    registered,
    rival,
)
from stac_client._items import iter_items
from stac_client._journal import entry_of
from stac_client._lookup import Probe, lookups, threads
from stac_client._results import FileTally, Outcome, State, Tally
from stac_client._rucio import REQUEST_DIDS
from stac_client._selection import Wanted
from stac_client._source_rse import has_gateway, with_pfn
from stac_client._writer import Writer, item_metadata
from stac_client.errors import StacRucioError, require_count
from stac_policy.access import Kind
from stac_policy.credentials import Credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from concurrent.futures import Future

    from stac_client._in_rucio import Known
    from stac_client._items import ItemDict, ItemsLike
    from stac_client._journal import Entry, Journal
    from stac_client._lookup import Lookups
    from stac_client._results import Progress
    from stac_client._rucio import Rucio, RucioFile
    from stac_client._selection import AssetSelection
    from stac_policy.naming import DID

    Registered = tuple[list[Entry], list[Outcome]]
    _Group = list[tuple[ItemDict, list[Asset | Outcome]]]
    _Select = Callable[[ItemDict], list[Asset | Outcome]]

FoundT = TypeVar("FoundT")

_LOGGER = logging.getLogger(__name__)
_INTERRUPTED = (
    "Interrupted: what has been looked up is being registered. Interrupt again to leave at once."
)
_UNCOMPARED = (
    "its item was updated after it was registered, and nothing tells whether its bytes changed"
)


class MetadataWarning(UserWarning):
    """Assets were registered, but not all of their metadata was written."""


def sync(items: ItemsLike, journal: Journal, registrar: Registrar) -> Iterator[Outcome]:
    """Register the assets of items that the journal does not have yet, as they are meant now.

    An item is written down when none of its assets has failed.

    Raises:
        StacRucioError: As `Registrar.register`. What was done by then is in the
            journal.
    """
    for entries, outcomes in registrar.register(items, journal):
        yield from outcomes
        states: dict[tuple[str, str], Counter[State]] = {}
        for outcome in outcomes:
            states.setdefault((outcome.collection, outcome.item), Counter())[outcome.state] += 1
        ended = ((entry, states.get(entry[:2], Counter[State]())) for entry in entries)
        journal.add(
            (entry, counts[State.REGISTERED] + counts[State.ALREADY_THERE])
            for entry, counts in ended
            if not counts[State.FAILED]
        )


def item_batches(
    items: Iterable[ItemDict], select: Callable[[ItemDict], Iterable[FoundT]]
) -> Iterator[list[tuple[ItemDict, list[FoundT]]]]:
    """Put items and their assets into batches; no item is divided, nothing more is held.

    Args:
        items: The items, read as they are needed.
        select: Returns what is selected of an item.

    Yields:
        Up to 1,000 items with up to 1,000 assets in all; more only where one item
        has more.
    """
    batch: list[tuple[ItemDict, list[FoundT]]] = []
    size = 0
    for item in items:
        selected = list(select(item))
        if batch and (size + len(selected) > REQUEST_DIDS or len(batch) == REQUEST_DIDS):
            yield batch
            batch, size = [], 0
        batch.append((item, selected))
        size += len(selected)
    if batch:
        yield batch


@dataclass
class _Batch:
    """Whole items whose assets are registered by the same requests."""

    entries: list[Entry] = field(default_factory=list)
    """The items."""
    assets: dict[DID, Asset] = field(default_factory=dict)
    """The assets to register."""
    outcomes: list[Outcome] = field(default_factory=list)
    """Those of all other assets."""
    tallies: dict[DID, FileTally] = field(default_factory=dict)
    """The share in the progress of each asset that is looked up."""
    metadata: dict[DID, dict[str, Any]] = field(default_factory=dict)
    """That of the items' datasets, if it is wanted."""
    presumed: set[DID] = field(default_factory=set)
    """Datasets that Rucio seems to have."""
    uncompared: set[DID | None] = field(default_factory=set)
    """What has changed since it was registered, and nobody has said how."""

    @property
    def datasets(self) -> set[DID]:
        """The datasets of the assets to register."""
        return {asset.dataset for asset in self.assets.values()}


@dataclass
class Registrar:
    """Registers assets at one source RSE.

    For each 1,000 assets it sends one request that asks what is there, two where something
    is (for 2,000 three, where items say nothing but `updated`); one for each scope and scheme
    that registers what is not, and one that asks what became of it; two for the datasets, and
    one for metadata if that is wanted.
    """

    rucio: Rucio
    """Rucio, as an account sees it that may add replicas at the RSE."""
    rse: str
    assets: AssetSelection
    scope: str | None
    """A fixed scope instead of those derived from the collections."""
    probe: Probe
    """How far to go for sizes and checksums."""
    containers: bool
    """Whether collections get containers that hold their items' datasets."""
    metadata: bool
    """Whether the datasets get metadata from their items."""
    on_progress: Callable[[Progress], None] | None = None
    """Called in the thread that asks for outcomes."""
    alternate_assets: Sequence[str] = ()
    """Keys of alternates that are registered in place of assets' own hrefs."""
    pays: bool = False
    """Whether the user pays for look-ups where the requester does."""
    headers: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    """The user's headers for look-ups, by the origin that they are for."""
    is_part: bool = False
    """Whether the items are a part of those that are meant."""
    in_flight: int = MOST
    """The most requests at a time; so many batches and one that is being read are in memory."""

    def __post_init__(self) -> None:
        require_count("in_flight", self.in_flight)
        self.rucio = self.rucio.paced(self.in_flight)
        self._buckets = Buckets()
        self._wanted = (Probe(self.probe).value, self.containers, self.metadata)
        self._tally = Tally(self.on_progress or (lambda _: None))
        self._look = Look(self.rucio, self.rse)
        self._under_way: dict[Future[list[Outcome]], _Batch] = {}
        self._writer = Writer(self.rucio, self.rse, self.containers, self.metadata)

    def register(self, items: ItemsLike, journal: Journal | None = None) -> Iterator[Registered]:
        """Register the assets of items and attach them to their items' datasets.

        Items are read as they are needed, while those before them are on their way.

        Args:
            items: The items.
            journal: Of the items that have been dealt with, which are passed over.

        Yields:
            Some items and the outcomes of their selected assets, as they come to an end.

        Raises:
            StacRucioError: The RSE does not exist, or Rucio or the STAC API can
                not be reached. What concerns single assets is in their outcomes.
        """
        reading = iter_items(items)
        first = [*islice(reading, 1)]
        if not first:
            return
        # What is left in the middle gives its look-ups up first: batches wait for them.
        wants_md5 = cache(lambda: bool(self.rucio.verified_by_md5()))
        credentials = Credentials(pays=self.pays, headers=self.headers)
        looks = lookups(self.probe, wants_md5, credentials)
        with threads(self.in_flight) as (executor, _), looks as looking_up:
            try:
                for batch in self._batches(chain(first, reading), journal):
                    yield from self._ended()
                    while not self._takes(batch):
                        self._tally.wait(self._under_way, FIRST_COMPLETED)
                        yield from self._ended()
                    self._under_way[executor.submit(self._outcomes, batch, looking_up)] = batch
                    self._tally.report()
                yield from self._rest()
            except (StacRucioError, KeyboardInterrupt) as error:
                # The items end too early; what is on its way is told all the same.
                if isinstance(error, KeyboardInterrupt):
                    looking_up.end()
                    _LOGGER.warning(_INTERRUPTED)
                yield from self._rest()
                raise
        if self._writer.problem:
            warnings.warn(f"no metadata: {self._writer.problem}", MetadataWarning, stacklevel=2)

    def _batches(self, items: Iterable[ItemDict], journal: Journal | None) -> Iterator[_Batch]:
        keys = Wanted(self.assets, alternate_assets=self.alternate_assets, is_part=self.is_part)
        groups = item_batches(keys.of(items), self._selector("registering"))
        for first in groups:
            found = chain.from_iterable(selected for _, selected in first)
            is_silent = any(isinstance(each, Asset) and each.is_silent for each in found)
            # It then takes three requests to ask what is there: for twice as many assets.
            group = first + next(groups, []) if is_silent else first
            entries, new = self._new(group, journal) if journal else ([], group)
            if new:
                yield self._batch(entries, new)
        if missing := keys.missing():
            yield _Batch(outcomes=missing)

    def new(self, items: ItemsLike, journal: Journal) -> Iterator[ItemDict]:
        """Yield the items that are not passed over, without writing anything.

        Raises:
            StacRucioError: As `register`.
        """
        for group in item_batches(iter_items(items), self._selector("planning a registration")):
            yield from (item for item, _ in self._new(group, journal)[1])

    def _selector(self, doing: str) -> _Select:
        select, self._permits = selector(
            *(self.rucio, doing, self.rse, self.assets, self.scope),
            alternate_assets=self.alternate_assets,
            buckets=self._buckets,
        )
        return select

    def _new(self, group: _Group, journal: Journal) -> tuple[list[Entry], _Group]:
        """Leave out the items that the journal has, and whose files are still at the RSE."""
        entries, known = [], []
        for item, selected in group:
            ids = (selected[0].collection, selected[0].item) if selected else ("", "")
            metadata = item_metadata(item) if self._writer.metadata else None
            entries.append(entry_of(item, ids, self._wanted, metadata, *selected))
            known.append(journal.files_of(entries[-1]))
        there = self._look.there(
            [
                found
                for (_, selected), count in zip(group, known, strict=True)
                for found in (selected if count else ())
                if isinstance(found, Asset)
            ]
        )
        new = [
            count is None or count > len(there.intersection(found.did for found in selected))
            for (_, selected), count in zip(group, known, strict=True)
        ]
        return [*compress(entries, new)], [*compress(group, new)]

    def _batch(self, entries: list[Entry], group: _Group) -> _Batch:
        batch = _Batch()
        places: dict[DID, int] = {}
        beaten: set[int] = set()
        for place, (item, selected) in enumerate(group):
            for asset in kept(selected, batch.outcomes.append):
                first = batch.assets.get(asset.did)
                if first is not None:
                    is_later, of_other = rival(first, asset)
                    batch.outcomes.append(of_other)
                    beaten.add(places[asset.did] if is_later else place)
                    if not is_later:
                        continue
                batch.assets[asset.did], places[asset.did] = asset, place
                if self._writer.metadata:
                    batch.metadata[asset.dataset] = item_metadata(item)
        self._tally.add(0, len(batch.assets), 0, 0)
        batch.entries = [entry for place, entry in enumerate(entries) if place not in beaten]
        return batch

    def _takes(self, batch: _Batch) -> bool:
        """Return whether there is room for a batch, and no other one with the same item.

        So what comes again is compared with what was registered of it before.
        """
        return len(self._under_way) < self.in_flight and all(
            batch.datasets.isdisjoint(other.datasets) for other in self._under_way.values()
        )

    def _ended(self) -> Iterator[Registered]:
        """Return the batches that have come to their end."""
        for future in [future for future in self._under_way if future.done()]:
            yield self._under_way.pop(future).entries, future.result()

    def _rest(self) -> Iterator[Registered]:
        """Wait for all batches."""
        while self._under_way:
            self._tally.wait(self._under_way, FIRST_COMPLETED)
            yield from self._ended()

    def _outcomes(self, batch: _Batch, looking_up: Lookups) -> list[Outcome]:
        """Register a batch; whatever happens, each of its assets has an outcome."""
        outcomes: list[Outcome] = []
        try:
            outcomes.extend(self._register(batch, looking_up))
        except Exception as error:  # noqa: BLE001 - one batch must not stop the others
            known = isinstance(error, StacRucioError)
            reason = str(error) if known else f"unexpected {type(error).__name__}: {error}"
            told = {outcome.did for outcome in outcomes}
            left = [asset for did, asset in batch.assets.items() if did not in told]
            outcomes += [asset.outcome(State.FAILED, reason) for asset in left]
        self._tally.add(len(batch.assets) - len(batch.tallies), 0, 0, 0)
        for tally in batch.tallies.values():
            tally.done(there=True)
        return [*batch.outcomes, *outcomes]

    def _register(self, batch: _Batch, looking_up: Lookups) -> Iterator[Outcome]:
        if not batch.assets:
            return
        known = self._look.known(batch.assets.values())
        # The dataset of a file that Rucio has is most often there, others most often are not.
        batch.presumed |= {each.dataset for did, each in batch.assets.items() if did in known.files}
        failed: list[Outcome] = []
        same = [*kept(compare(batch.assets.values(), known, self.rse), failed.append)]
        ready: list[Asset] = []
        unknown: list[Asset] = []
        outdated: dict[DID, Asset] = {}
        for each in same:
            if each.did not in known.at_rse:
                (ready if each.is_complete else unknown).append(each)
            elif is_outdated(each, known.files[each.did]):
                outdated[each.did] = each
            else:
                ready.append(each)
        batch.uncompared.update(outdated)
        permitted = [*kept(self._permits.require(unknown), failed.append)]
        yield from failed
        looked_up = (*permitted, *outdated.values())
        batch.tallies |= {each.did: FileTally(self._tally, 0) for each in looked_up}
        pending = looking_up.begin(permitted, batch.tallies)
        pending |= looking_up.no_further(Probe.HEAD).begin(outdated.values(), batch.tallies)
        yield from self._enter(ready, batch, known)
        for part in looking_up.found(pending):
            failed = []
            for place, one in enumerate(part):
                if one.did in outdated and isinstance(one, Outcome) and one.state is State.SKIPPED:
                    part[place] = outdated[one.did]  # there, with that reason
                else:
                    batch.uncompared.discard(one.did)
            # What was found may differ from what Rucio has of the same file from another RSE.
            found = compare(kept(part, failed.append), known, self.rse)
            yield from self._enter([*kept(found, failed.append)], batch, known)
            yield from failed

    def _enter(self, assets: list[Asset], batch: _Batch, known: Known) -> Iterator[Outcome]:
        """Add assets that are not at the RSE yet, and attach all that are loose.

        Yields:
            What became of each, with what Rucio has of it then.
        """
        new = [asset for asset in assets if asset.did not in known.at_rse]
        failed = self._writer.add(new)
        added = [asset for asset in new if asset.did not in failed]
        # Where another registrar was faster, Rucio keeps what that one said, without a word.
        files = self.rucio.files((asset.did for asset in added), self.rse)
        for asset in added:
            if wrong := self._wrong(asset, files.get(asset.did)):
                failed[asset.did] = asset.outcome(State.FAILED, wrong)
        in_rucio = [asset for asset in assets if asset.did not in failed]
        failed |= self._writer.attach(in_rucio, known, batch.presumed)
        attached = [asset for asset in in_rucio if asset.did not in failed]
        self._writer.write_metadata(attached, batch.metadata)
        yield from failed.values()
        for asset in attached:
            reason = _UNCOMPARED if asset.did in batch.uncompared else ""
            if (file := files.get(asset.did)) is not None:
                yield _in_rucio(asset, file, State.REGISTERED, reason)
            else:
                yield _in_rucio(asset, known.files[asset.did], State.ALREADY_THERE, reason)

    def _wrong(self, asset: Asset, file: RucioFile | None) -> str | None:
        """Return what is wrong with an asset that was added, by what Rucio then has of it."""
        if file is None or not registered(file, self.rse):
            return f"it was registered at {self.rse}, and is gone already; try again"
        return problem(asset, file, self.rse)


def selector(
    rucio: Rucio,
    doing: str,
    rse: str,
    selection: AssetSelection,
    scope: str | None,
    *,
    alternate_assets: Sequence[str] = (),
    buckets: Buckets | None = None,
) -> tuple[_Select, Permits]:
    """Return what returns the selected assets of an item, each with its PFN at a source RSE.

    Those whose transfers would not bring them come as outcomes that say why.

    Returns:
        That, and whether they may be registered there.
    """
    protocols = rucio.source_rse(rse, f"{doing} at RSE {rse}")["protocols"]
    gateway = has_gateway(protocols)

    def select(item: ItemDict) -> list[Asset | Outcome]:
        found = select_assets(item, selection, scope, rse, alternate_assets=alternate_assets)
        return [ready(each) if isinstance(each, Asset) else each for each in found]

    def ready(asset: Asset) -> Asset | Outcome:
        if asset.access.kind is Kind.OPEN:
            return with_pfn(asset, protocols)
        checked = buckets.checked(asset) if buckets else asset
        return with_pfn(fetched(checked, gateway=gateway), protocols)

    return select, Permits(rucio, rse)


def _in_rucio(asset: Asset, file: RucioFile, state: State, reason: str) -> Outcome:
    """The outcome of an asset, with the size and the checksums that Rucio has of it."""
    checksums = file.checksums
    told = [reason] if reason else []
    if not checksums:
        told.append("no checksum is known: its transfers are not verified")
    elif checksums.adler32 is None:
        told.append("its adler32 is not known: transfers fail to storages that know no md5")
    if asset.no_length and file.size_bytes and asset.access.kind.is_anonymous:
        told.append(f"FTS gets it through a gateway alone: {asset.no_length}")
    return Outcome(
        asset.collection,
        asset.item,
        # Items hold the same keys; outcomes, of which there may be millions, share them.
        sys.intern(asset.key),
        state,
        "; ".join(told),
        asset.did,
        asset.dataset,
        file.size_bytes,
        checksums.adler32,
        checksums.md5,
    )
