"""Registration of assets as replicas at a source RSE: several batches on their way at a time."""

from __future__ import annotations

import logging
import sys
import warnings
from collections import Counter
from concurrent.futures import FIRST_COMPLETED
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, compress, islice
from operator import methodcaller
from typing import TYPE_CHECKING, Any, TypeVar

from rucio.common.exception import (
    DataIdentifierAlreadyExists,
    DataIdentifierNotFound,
    InvalidMetadata,
)

from stac_client._assets import fetched, select_assets
from stac_client._buckets import Buckets
from stac_client._in_rucio import (
    Permits,
    compare,
    held,
    is_outdated,
    kept,
    look,
    problem,
    registered,
    rival,
)
from stac_client._item_metadata import item_metadata
from stac_client._items import iter_items
from stac_client._journal import entry_of
from stac_client._lookup import Probe, lookups, threads
from stac_client._results import Outcome, State, Tally
from stac_client._rucio import REQUEST_DIDS, batched, did_of, grouped
from stac_client._selection import NamedKeys
from stac_client._source_rse import has_gateway, with_pfn
from stac_client.errors import AccessError, StacRucioError
from stac_policy.naming import DID, collection_name

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
    from concurrent.futures import Future

    from rucio.client import Client

    from stac_client._assets import Asset
    from stac_client._in_rucio import Known
    from stac_client._items import ItemDict, ItemsLike
    from stac_client._journal import Entry, Journal
    from stac_client._lookup import Lookups
    from stac_client._results import FileTally, Progress
    from stac_client._rucio import Rucio, RucioFile
    from stac_client._selection import AssetSelection

    Registered = tuple[list[Entry], list[Outcome]]
    _Group = list[tuple[ItemDict, list[Asset | Outcome]]]
    _Select = Callable[[ItemDict], Iterator[Asset | Outcome]]

FoundT = TypeVar("FoundT")

_LOGGER = logging.getLogger(__name__)
_INTERRUPTED = (
    "Interrupted: what has been looked up is being registered. Interrupt again to leave at once."
)
_UNCOMPARED = (
    "its item was updated after it was registered, and nothing tells whether its bytes changed"
)
_BATCHES = 4
"""On their way to Rucio at a time; with one that is being read, all that is held in memory."""


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
    """The share in the progress of each asset to register."""
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

    For each 1,000 assets it sends one request that asks what is there, and of what is
    another one; one for each scope and scheme that registers what is not, and one that
    asks what became of it; two for the datasets, and one for metadata if that is wanted.
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
    """Whether the datasets get metadata from their items; no more once Rucio takes none."""
    on_progress: Callable[[Progress], None] | None = None
    """Called in the thread that asks for outcomes."""
    alternate_assets: Sequence[str] = ()
    """Keys of alternates that are registered in place of assets' own hrefs."""

    def __post_init__(self) -> None:
        self._buckets = Buckets()
        # `metadata` may change meanwhile.
        self._wanted = (Probe(self.probe).value, self.containers, self.metadata)
        self._tally = Tally(self.on_progress or (lambda _: None))
        self._under_way: dict[Future[list[Outcome]], _Batch] = {}
        self._filled: set[DID] = set()
        """The containers that Rucio is known to have."""
        self._problem: str | None = None
        """Why metadata could not be written, the first time."""

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
        with threads(_BATCHES) as (executor, _), lookups(self.probe) as looking_up:
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
        if self._problem is not None:
            warnings.warn(f"no metadata: {self._problem}", MetadataWarning, stacklevel=2)

    def _batches(self, items: Iterable[ItemDict], journal: Journal | None) -> Iterator[_Batch]:
        keys = NamedKeys(self.assets)
        for group in item_batches(keys.of(items), self._selector("registering")):
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
            metadata = item_metadata(item) if self.metadata else None
            entries.append(entry_of(item, ids, self._wanted, metadata, *selected))
            known.append(journal.files_of(entries[-1]))
        there = held(
            self.rucio.files(
                found.did
                for (_, selected), count in zip(group, known, strict=True)
                for found in (selected if count else ())
                if found.did is not None
            ),
            self.rse,
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
                if first is None:
                    batch.tallies[asset.did] = self._tally.expect()
                else:
                    is_later, of_other = rival(first, asset)
                    batch.outcomes.append(of_other)
                    beaten.add(places[asset.did] if is_later else place)
                    if not is_later:
                        continue
                batch.assets[asset.did], places[asset.did] = asset, place
                if self.metadata:
                    batch.metadata[asset.dataset] = item_metadata(item)
        batch.entries = [entry for place, entry in enumerate(entries) if place not in beaten]
        return batch

    def _takes(self, batch: _Batch) -> bool:
        """Return whether there is room for a batch, and no other one with the same item.

        So what comes again is compared with what was registered of it before.
        """
        return len(self._under_way) < _BATCHES and all(
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
        for tally in batch.tallies.values():
            tally.done(there=True)
        return [*batch.outcomes, *outcomes]

    def _register(self, batch: _Batch, looking_up: Lookups) -> Iterator[Outcome]:
        if not batch.assets:
            return
        known = look(self.rucio, batch.assets.values(), self.rse)
        failed: list[Outcome] = []
        same = [*kept(compare(batch.assets.values(), known.files, self.rse), failed.append)]
        at_rse = held(known.files, self.rse)
        ready: list[Asset] = []
        unknown: list[Asset] = []
        outdated: dict[DID, Asset] = {}
        for each in same:
            if each.did in at_rse and is_outdated(each, known.files[each.did]):
                outdated[each.did] = each
            else:
                (ready if each.is_complete or each.did in at_rse else unknown).append(each)
        batch.uncompared.update(outdated)
        permitted = [*kept(self._permits.require(unknown), failed.append)]
        yield from failed
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
            found = compare(kept(part, failed.append), known.files, self.rse)
            yield from self._enter([*kept(found, failed.append)], batch, known)
            yield from failed

    def _enter(self, assets: list[Asset], batch: _Batch, known: Known) -> Iterator[Outcome]:
        """Add assets that are not at the RSE yet, and attach all that are loose.

        Yields:
            What became of each, with what Rucio has of it then.
        """
        at_rse = held(known.files, self.rse)
        failed = self._add([asset for asset in assets if asset.did not in at_rse])
        added = [each.did for each in assets if not (each.did in at_rse or each.did in failed)]
        # Where another registrar was faster, Rucio keeps what that one said, without a word.
        files = {**known.files, **self.rucio.files(added, self.rse)}
        in_rucio = []
        for asset in assets:
            if asset.did in failed:
                continue
            file = files.get(asset.did)
            wrong: str | None
            if file is None or not registered(file, self.rse):
                wrong = f"it was registered at {self.rse}, and is gone already; try again"
            else:
                wrong = problem(asset, file, self.rse)
                in_rucio += [] if wrong else [_as_in(asset, file)]
            if wrong:
                failed[asset.did] = asset.outcome(State.FAILED, wrong)
        failed |= self._attach(in_rucio, batch, known)
        attached = [asset for asset in in_rucio if asset.did not in failed]
        if self.metadata:
            self._write_metadata(attached, batch.metadata)
        yield from failed.values()
        for asset in attached:
            state = State.ALREADY_THERE if asset.did in at_rse else State.REGISTERED
            yield _in_rucio(asset, state, _UNCOMPARED if asset.did in batch.uncompared else "")

    def _add(self, assets: list[Asset]) -> dict[DID, Outcome]:
        """Add replicas, and return what failed."""

        def add(part: list[Asset], client: Client) -> None:
            client.add_replicas(self.rse, [_replica(asset) for asset in part])

        failed: dict[DID, Outcome] = {}
        # Rucio refuses a request for one scope in it, and takes the PFNs of https
        # for those of http where both are in it (rucio.core.replica.add_replicas).
        groups = grouped(assets, lambda asset: (asset.did.scope, asset.url.partition(":")[0]))
        for (scope, _), alike in groups.items():
            doing = f"registering in scope {scope} at RSE {self.rse}"
            for asset, error in self.rucio.send(doing, alike, add):
                failed[asset.did] = asset.outcome(State.FAILED, str(error))
        return failed

    def _attach(self, assets: Iterable[Asset], batch: _Batch, known: Known) -> dict[DID, Outcome]:
        """Attach registered assets, with two requests for each 1,000 items of a scope.

        What is attached already stays so, and costs none, so that those may find it who may
        attach nothing. Which datasets Rucio has is not asked, unless it turns out to be other
        than presumed.

        Returns:
            The outcomes of those that could not be attached.
        """
        failed = {}
        # The dataset of a file that Rucio has is most often there, others most often are not.
        batch.presumed.update(
            asset.dataset for asset in batch.assets.values() if asset.did in known.files
        )
        loose = (
            asset
            for asset in assets
            if self.containers or (asset.dataset, asset.did) not in known.attached
        )
        attach = partial(self._attach_items, presumed=batch.presumed)
        items = grouped(loose, lambda asset: asset.dataset).values()
        for scope, same in grouped(items, lambda members: members[0].dataset.scope).items():
            doing = f"attaching to datasets in scope {scope}"
            for members, error in self.rucio.send(doing, same, attach):
                reason = f"registered, but not attached to {members[0].dataset}: {error}"
                for asset in members:
                    failed[asset.did] = asset.outcome(State.FAILED, reason)
        batch.presumed.update(asset.dataset for asset in assets if asset.did not in failed)
        return failed

    def _attach_items(
        self, items: list[list[Asset]], client: Client, presumed: Container[DID]
    ) -> None:
        """Attach the assets of items that have the same scope."""
        content = {members[0].dataset: [asset.did for asset in members] for members in items}
        types = dict.fromkeys(content, "DATASET")
        containers: dict[DID, list[DID]] = {}
        for members in items if self.containers else ():
            dataset = members[0].dataset
            container = DID(dataset.scope, collection_name(members[0].collection))
            containers.setdefault(container, []).append(dataset)
        content |= containers
        types |= dict.fromkeys(containers, "CONTAINER")
        new = [did for did in types if not (did in presumed or did in self._filled)]
        try:
            _add_dids(client, types, new)
            _fill(client, content)
        except (DataIdentifierAlreadyExists, DataIdentifierNotFound):
            _add_missing(client, types)
            _fill(client, content)
        self._filled |= containers.keys()

    def _write_metadata(
        self, assets: Iterable[Asset], of_datasets: Mapping[DID, dict[str, Any]]
    ) -> None:
        """Write the metadata of registered assets and of their items' datasets.

        What there is already under these keys is replaced. Whether a server takes
        metadata depends on its plugins (`rucio.core.did_meta_plugins`): what its own
        plugin has no columns for needs another one, of which `json_meta` works on all
        databases but SQLite.

        Args:
            assets: The assets; of those whose item gives a SHA-256, it becomes the
                file's `sha256`.
            of_datasets: The metadata of datasets.
        """
        metadata = {asset.dataset: of_datasets[asset.dataset] for asset in assets}
        metadata |= {
            asset.did: {"sha256": asset.checksums.sha256}
            for asset in assets
            if asset.checksums.sha256
        }
        entries = [{**_as_dict(did), "meta": meta} for did, meta in metadata.items()]
        try:
            for part in batched(entries):
                write = methodcaller("set_dids_metadata_bulk", part)
                self.rucio.ask("writing metadata of datasets", write)
        except StacRucioError as error:
            if isinstance(error, AccessError) or isinstance(error.__cause__, InvalidMetadata):
                self.metadata = False  # refused on principle
            self._problem = self._problem or str(error)


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
    """Return what yields the selected assets of an item, each with its PFN at a source RSE.

    Those whose transfers would not bring them come as outcomes that say why.

    Returns:
        That, and whether they may be registered there.

    Raises:
        StacRucioError: The RSE does not exist, or Rucio cannot be reached.
    """
    settings = rucio.rse(rse, f"{doing} at RSE {rse}")
    protocols = settings["protocols"]
    gateway = has_gateway(protocols)

    def select(item: ItemDict) -> Iterator[Asset | Outcome]:
        for found in select_assets(item, selection, scope, rse, alternate_assets=alternate_assets):
            checked = buckets.checked(found) if buckets else found
            yield with_pfn(fetched(checked, gateway=gateway), protocols)

    return select, Permits(rucio, rse, bool(settings["deterministic"]))


def _as_in(asset: Asset, file: RucioFile) -> Asset:
    """An asset with the size and the checksums that Rucio has of it."""
    checksums = replace(file.checksums, multihash=asset.checksums.multihash)
    return replace(asset, size_bytes=file.size_bytes, checksums=checksums)


def _in_rucio(asset: Asset, state: State, reason: str) -> Outcome:
    checksums = asset.checksums
    unverified = "" if checksums else "no checksum is known: its transfers are not verified"
    return Outcome(
        collection=asset.collection,
        item=asset.item,
        # Items hold the same keys; outcomes, of which there may be millions, share them.
        key=sys.intern(asset.key),
        state=state,
        reason="; ".join(filter(None, [reason, unverified])),
        did=asset.did,
        dataset=asset.dataset,
        size_bytes=asset.size_bytes,
        adler32=checksums.adler32,
        md5=checksums.md5,
    )


def _replica(asset: Asset) -> dict[str, Any]:
    checksums = {"adler32": asset.checksums.adler32, "md5": asset.checksums.md5}
    return {
        "scope": asset.did.scope,
        "name": asset.did.name,
        "bytes": asset.size_bytes,
        "pfn": asset.url,
        **{name: value for name, value in checksums.items() if value},
    }


def _add_missing(client: Client, types: Mapping[DID, str]) -> None:
    """Ask which DIDs Rucio does not have, and add these."""
    while True:
        known = client.get_metadata_bulk([_as_dict(did) for did in types])
        there = {*map(did_of, known)}
        try:
            _add_dids(client, types, [did for did in types if did not in there])
        except DataIdentifierAlreadyExists:
            continue  # another client was faster with one of them
        return


def _add_dids(client: Client, types: Mapping[DID, str], dids: list[DID]) -> None:
    """Add DIDs; in one request Rucio adds all or none."""
    if dids:
        client.add_dids([{**_as_dict(did), "type": types[did]} for did in dids])


def _fill(client: Client, content: Mapping[DID, list[DID]]) -> None:
    attachments = [
        {**_as_dict(did), "dids": [_as_dict(each) for each in part]}
        for did, members in content.items()
        for part in batched(members)
    ]
    client.attach_dids_to_dids(attachments, ignore_duplicate=True)


def _as_dict(did: DID) -> dict[str, Any]:
    return {"scope": did.scope, "name": did.name}  # in a third of the time of _asdict
