"""Registration of assets as replicas at a source RSE, in bulk; what is there is recognised."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from rucio.common.exception import DataIdentifierAlreadyExists

from stac_policy.naming import DID
from stac_policy.urls import redact

from .assets import select_assets
from .errors import StacRucioError, rucio_errors
from .items import iter_items
from .listing import list_files
from .lookup import LookupFailedError, complete, make_session
from .pfns import NoPfnError, pfn_of
from .requests_in_bulk import REQUEST_DIDS, grouped
from .results import Outcome, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Executor

    import requests
    from rucio.client import Client

    from .assets import Asset
    from .items import ItemsLike
    from .listing import RucioFile
    from .lookup import LearnFrom
    from .requests_in_bulk import Sender
    from .selection import AssetSelection

    LookUp = Callable[[Asset], Asset | Outcome]

_LOOKUPS = 16  # at a time
_LOOKUPS_OF_HOST = 4


class Registrar:
    """Registers assets at one source RSE.

    For each 1,000 assets it sends one request that asks what is there, one for
    each scope and scheme that registers what is not, and three for the datasets.
    """

    def __init__(self, client: Client, rse: str, learn_from: LearnFrom, sender: Sender) -> None:
        """Make one.

        Args:
            client: A Rucio client whose account may add replicas at the RSE.
            rse: The source RSE.
            learn_from: How far to go for sizes and checksums.
            sender: Knows how much this Rucio server takes in one request.
        """
        self._client = client
        self._rse = rse
        self._learn_from = learn_from
        self._sender = sender

    def register(
        self, items: ItemsLike, assets: AssetSelection, scope: str | None
    ) -> Iterator[Outcome]:
        """Register the assets of items and attach them to their items' datasets.

        Args:
            items: The items.
            assets: The wanted assets.
            scope: A fixed scope instead of those derived from the collections.

        Raises:
            StacRucioError: The RSE does not exist, or Rucio or the STAC API can
                not be reached. What concerns single assets is in their outcomes.
        """
        with rucio_errors(f"registering at RSE {self._rse}"):
            protocols = self._client.get_rse(self._rse)["protocols"]
        with make_session(_LOOKUPS_OF_HOST) as session, ThreadPoolExecutor(_LOOKUPS) as executor:
            look_up = partial(_look_up, learn_from=self._learn_from, session=session)
            waiting: list[Asset] = []
            unseen = set() if assets is None or callable(assets) else set(assets)
            for item in iter_items(items):
                for found in select_assets(item, assets, scope):
                    unseen.discard(found.key)
                    selected = with_pfn(found, protocols)
                    if isinstance(selected, Outcome):
                        yield selected
                        continue
                    waiting.append(selected)
                    if len(waiting) == REQUEST_DIDS:
                        yield from self._register(waiting, look_up, executor)
                        waiting = []
            yield from self._register(waiting, look_up, executor)
            for key in sorted(unseen):
                yield Outcome("", "", key, State.SKIPPED, "no item has an asset with this key")

    def _register(
        self, assets: list[Asset], look_up: LookUp, executor: Executor
    ) -> Iterator[Outcome]:
        unique, repeated = _without_repetitions(assets)
        there, new, drifted = self._compare(unique)
        found, not_found = _divided(executor.map(look_up, new))
        added, refused = self._add(found)
        yield from (*repeated, *drifted, *not_found, *refused)
        detached = self._attach([*there, *added])
        for asset in there:
            yield detached.get(asset.did) or _in_rucio(asset, State.ALREADY_THERE)
        for asset in added:
            yield detached.get(asset.did) or _in_rucio(asset, State.REGISTERED)

    def _compare(self, assets: list[Asset]) -> tuple[list[Asset], list[Asset], list[Outcome]]:
        """Divide assets into those that are there, those that are new, and what failed."""
        try:
            files = list_files(self._client, [asset.did for asset in assets], all_states=True)
        except StacRucioError as error:
            return [], [], [asset.outcome(State.FAILED, str(error)) for asset in assets]
        there, new, drifted = [], [], []
        for asset in assets:
            file = files.get(asset.did)
            if file is None:
                new.append(asset)
            elif drift := difference(asset, file, self._rse):
                drifted.append(asset.outcome(State.FAILED, drift))
            elif self._rse in file.states:
                there.append(_as_in(asset, file))
            else:
                new.append(asset)
        return there, new, drifted

    def _add(self, assets: list[Asset]) -> tuple[list[Asset], list[Outcome]]:
        """Add replicas; gives those that were added, and what failed."""

        def add(part: list[Asset]) -> None:
            with rucio_errors(f"registering in scope {part[0].did.scope} at RSE {self._rse}"):
                self._client.add_replicas(self._rse, [_replica(asset) for asset in part])

        failed: dict[DID, Outcome] = {}
        # Rucio refuses a request for one scope in it, and takes the PFNs of https
        # for those of http where both are in it (rucio.core.replica.add_replicas).
        for same in grouped(
            assets, lambda asset: (asset.did.scope, urlsplit(asset.url).scheme)
        ).values():
            for asset, error in self._sender.send(same, add):
                failed[asset.did] = asset.outcome(State.FAILED, str(error))
        return [asset for asset in assets if asset.did not in failed], [*failed.values()]

    def _attach(self, assets: list[Asset]) -> dict[DID, Outcome]:
        """Attach files to their items' datasets; gives what failed."""

        def attach(part: list[list[Asset]]) -> None:
            datasets = [members[0].dataset for members in part]
            with rucio_errors(f"attaching files to datasets in scope {datasets[0].scope}"):
                self._add_missing_datasets(datasets)
                self._client.attach_dids_to_dids(
                    [_attachment(members) for members in part], ignore_duplicate=True
                )

        failed = {}
        datasets = grouped(assets, lambda asset: asset.dataset).values()
        for same in grouped(datasets, lambda members: members[0].dataset.scope).values():
            for members, error in self._sender.send(same, attach):
                reason = f"registered, but not attached to {members[0].dataset}: {error}"
                for asset in members:
                    failed[asset.did] = asset.outcome(State.FAILED, reason)
        return failed

    def _add_missing_datasets(self, datasets: list[DID]) -> None:
        """Add the datasets that Rucio does not have; in one request it adds all or none."""
        while missing := self._missing(datasets):
            try:
                self._client.add_dids([did._asdict() | {"type": "DATASET"} for did in missing])
            except DataIdentifierAlreadyExists:
                continue  # another client was faster with one of them
            return

    def _missing(self, datasets: list[DID]) -> list[DID]:
        known = self._client.get_metadata_bulk([did._asdict() for did in datasets])
        there = {DID(entry["scope"], entry["name"]) for entry in known}
        return [did for did in datasets if did not in there]


def with_pfn(selected: Asset | Outcome, protocols: list[dict[str, Any]]) -> Asset | Outcome:
    """Give an asset the PFN that the RSE's protocols can hold, or the reason why there is none."""
    if isinstance(selected, Outcome):
        return selected
    try:
        return replace(selected, url=pfn_of(selected.url, protocols))
    except NoPfnError as reason:
        return selected.outcome(State.SKIPPED, str(reason))


def _look_up(asset: Asset, learn_from: LearnFrom, session: requests.Session) -> Asset | Outcome:
    try:
        found = complete(asset, learn_from, session)
    except LookupFailedError as error:
        return asset.outcome(State.FAILED, str(error))
    if found.size_bytes is None:
        return asset.outcome(
            State.SKIPPED, f"its size is not known; learn_from={learn_from.value!r} did not tell"
        )
    return found


def _without_repetitions(assets: list[Asset]) -> tuple[list[Asset], list[Outcome]]:
    """Take out assets whose DID another one before them has, as in overlapping pages."""
    unique: dict[DID, Asset] = {}
    repeated = []
    for asset in assets:
        first = unique.setdefault(asset.did, asset)
        if first is asset:
            continue
        if first.url == asset.url:
            repeated.append(asset.outcome(State.SKIPPED, "the same asset came before"))
        else:
            reason = f"the same asset came before, with another URL: {redact(first.url)}"
            repeated.append(asset.outcome(State.FAILED, reason))
    return [*unique.values()], repeated


def _divided(results: Iterable[Asset | Outcome]) -> tuple[list[Asset], list[Outcome]]:
    assets: list[Asset] = []
    outcomes: list[Outcome] = []
    for result in results:
        if isinstance(result, Outcome):
            outcomes.append(result)
        else:
            assets.append(result)
    return assets, outcomes


def difference(asset: Asset, file: RucioFile, rse: str) -> str | None:
    """Say how an asset differs from the file that has its DID, as far as both are known.

    Rucio's DIDs stand for the same bytes for ever; it answers a second
    registration with other bytes with success, and ignores it.
    """
    said = (
        ("size", asset.size_bytes, file.size_bytes),
        ("adler32", asset.checksums.adler32, file.adler32),
        ("md5", asset.checksums.md5, file.md5),
    )
    for name, of_item, of_rucio in said:
        if of_item is not None and of_rucio is not None and of_item != of_rucio:
            return (
                f"{asset.did} is in Rucio with {name} {of_rucio}, but the item says {of_item}; "
                "new bytes need a new item"
            )
    pfns = file.pfns.get(rse)
    if pfns and asset.url not in pfns:
        return f"{asset.did} is registered at {rse} with another URL: {redact(pfns[0])}"
    return None


def _as_in(asset: Asset, file: RucioFile) -> Asset:
    """An asset with the size and the checksums that Rucio has of it."""
    checksums = replace(asset.checksums, adler32=file.adler32, md5=file.md5)
    return replace(asset, size_bytes=file.size_bytes, checksums=checksums)


def _in_rucio(asset: Asset, state: State) -> Outcome:
    lack = "" if asset.checksums else "no checksum is known: its transfers are not verified"
    return replace(
        asset.outcome(state, lack),
        size_bytes=asset.size_bytes,
        adler32=asset.checksums.adler32,
        md5=asset.checksums.md5,
    )


def _replica(asset: Asset) -> dict[str, Any]:
    checksums = {"adler32": asset.checksums.adler32, "md5": asset.checksums.md5}
    return {
        **asset.did._asdict(),
        "bytes": asset.size_bytes,
        "pfn": asset.url,
        **{name: value for name, value in checksums.items() if value},
    }


def _attachment(members: list[Asset]) -> dict[str, Any]:
    return {
        **members[0].dataset._asdict(),
        "dids": [asset.did._asdict() for asset in members],
    }
