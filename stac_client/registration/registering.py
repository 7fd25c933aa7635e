"""Registration of one batch of assets: what is there is recognised, what is new is added."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from stac_client.errors import StacRucioError, rucio_errors
from stac_client.listing import list_files
from stac_client.patience import patiently
from stac_client.requests_in_bulk import grouped
from stac_client.results import Outcome, State

from .datasets import Datasets
from .drift import difference

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rucio.client import Client

    from stac_client.catalogue.assets import Asset
    from stac_client.listing import RucioFile
    from stac_client.lookups.many import Lookups
    from stac_client.progress import FileTally
    from stac_client.requests_in_bulk import Sender
    from stac_policy.naming import DID

    from .journal import Entry
    from .metadata import MetadataWriter


@dataclass
class Batch:
    """Whole items whose assets are registered by the same requests."""

    entries: list[Entry] = field(default_factory=list)
    """The items."""
    assets: list[Asset] = field(default_factory=list)
    """The assets to register, each DID once."""
    outcomes: list[Outcome] = field(default_factory=list)
    """Those of all other assets."""
    tallies: dict[DID, FileTally] = field(default_factory=dict)
    """The share in the progress of each asset to register."""
    metadata: dict[DID, dict[str, Any]] = field(default_factory=dict)
    """That of the items' datasets, if it is wanted."""

    @property
    def datasets(self) -> set[DID]:
        """The datasets of the assets to register."""
        return {asset.dataset for asset in self.assets}


class BatchRegistrar:
    """Registers batches at a source RSE, one after the other; for one thread at a time.

    For each 1,000 assets it sends one request that asks what is there, one for
    each scope and scheme that registers what is not, two for the datasets, and
    one for metadata if that is wanted.
    """

    def __init__(
        self,
        client: Client,
        rse: str,
        *,
        sender: Sender,
        lookups: Lookups,
        containers: bool,
        metadata: MetadataWriter | None,
    ) -> None:
        """Make one.

        Args:
            client: A Rucio client that no other thread uses.
            rse: The source RSE.
            sender: Knows how much this Rucio server takes in one request.
            lookups: Finds out sizes and checksums.
            containers: Whether collections get containers.
            metadata: Writes metadata, if that is wanted.
        """
        self._client = client
        self._rse = rse
        self._sender = sender
        self._lookups = lookups
        self._datasets = Datasets(client, sender, containers=containers)
        self._metadata = metadata

    def register(self, batch: Batch) -> list[Outcome]:
        """Register a batch; whatever happens, each of its assets has an outcome."""
        try:
            registered = self._register(batch) if batch.assets else []
        except Exception as error:  # noqa: BLE001 - one batch must not stop the others
            known = isinstance(error, StacRucioError)
            reason = str(error) if known else f"unexpected {type(error).__name__}: {error}"
            registered = [asset.outcome(State.FAILED, reason) for asset in batch.assets]
        for tally in batch.tallies.values():
            tally.done(there=True)
        return [*batch.outcomes, *registered]

    def _register(self, batch: Batch) -> list[Outcome]:
        dids = [asset.did for asset in batch.assets]
        files = patiently(lambda: list_files(self._client, dids, all_states=True))
        same, drifted = self._compare(batch.assets, files)
        there = [_as_in(asset, files[asset.did]) for asset in same if self._is_there(asset, files)]
        new = [asset for asset in same if not self._is_there(asset, files)]
        incomplete = [asset for asset in new if not asset.is_complete]
        looked_up, not_found = _divided(self._lookups.complete(incomplete, batch.tallies))
        found = [*(asset for asset in new if asset.is_complete), *looked_up]
        # What was found may differ from what Rucio has of the same file from another RSE.
        found, drifted_too = self._compare(found, files)
        refused = self._add(found)
        in_rucio = [*there, *(asset for asset in found if asset.did not in refused)]
        # The dataset of a file that Rucio has is most often there, others most often are not.
        presumed = {asset.dataset for asset in in_rucio if asset.did in files}
        failed = refused | self._datasets.attach(in_rucio, presumed)
        if self._metadata is not None:
            attached = [asset for asset in in_rucio if asset.did not in failed]
            self._metadata.write(self._client, attached, batch.metadata)
        return [
            *(*drifted, *not_found, *drifted_too),
            *(failed.get(asset.did) or _in_rucio(asset, State.ALREADY_THERE) for asset in there),
            *(failed.get(asset.did) or _in_rucio(asset, State.REGISTERED) for asset in found),
        ]

    def _is_there(self, asset: Asset, files: Mapping[DID, RucioFile]) -> bool:
        return asset.did in files and self._rse in files[asset.did].states

    def _compare(
        self, assets: Iterable[Asset], files: Mapping[DID, RucioFile]
    ) -> tuple[list[Asset], list[Outcome]]:
        """Divide assets into those that are as the files in Rucio, if any, and the others."""
        same, drifted = [], []
        for asset in assets:
            file = files.get(asset.did)
            drift = difference(asset, file, self._rse) if file is not None else None
            if drift is None:
                same.append(asset)
            else:
                drifted.append(asset.outcome(State.FAILED, drift))
        return same, drifted

    def _add(self, assets: list[Asset]) -> dict[DID, Outcome]:
        """Add replicas; gives what failed."""

        def add(part: list[Asset]) -> None:
            with rucio_errors(f"registering in scope {part[0].did.scope} at RSE {self._rse}"):
                self._client.add_replicas(self._rse, [_replica(asset) for asset in part])

        failed: dict[DID, Outcome] = {}
        # Rucio refuses a request for one scope in it, and takes the PFNs of https
        # for those of http where both are in it (rucio.core.replica.add_replicas).
        for alike in grouped(
            assets, lambda asset: (asset.did.scope, asset.url.partition(":")[0])
        ).values():
            for asset, error in self._sender.send(alike, add):
                failed[asset.did] = asset.outcome(State.FAILED, str(error))
        return failed


def _divided(results: Iterable[Asset | Outcome]) -> tuple[list[Asset], list[Outcome]]:
    assets: list[Asset] = []
    outcomes: list[Outcome] = []
    for result in results:
        if isinstance(result, Outcome):
            outcomes.append(result)
        else:
            assets.append(result)
    return assets, outcomes


def _as_in(asset: Asset, file: RucioFile) -> Asset:
    """An asset with the size and the checksums that Rucio has of it."""
    checksums = replace(asset.checksums, adler32=file.adler32, md5=file.md5)
    return replace(asset, size_bytes=file.size_bytes, checksums=checksums)


def _in_rucio(asset: Asset, state: State) -> Outcome:
    checksums = asset.checksums
    return Outcome(
        collection=asset.collection,
        item=asset.item,
        # Items hold the same keys; outcomes, of which there may be millions, share them.
        key=sys.intern(asset.key),
        state=state,
        reason="" if checksums else "no checksum is known: its transfers are not verified",
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
