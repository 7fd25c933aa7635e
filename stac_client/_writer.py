"""What is written into Rucio of assets: replicas, datasets, containers, metadata; and undone."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from operator import attrgetter, methodcaller
from typing import TYPE_CHECKING, Any

from rucio.common.exception import (
    DataIdentifierAlreadyExists,
    DataIdentifierNotFound,
    InvalidMetadata,
)

from stac_client._assets import registrable
from stac_client._in_rucio import held, registered
from stac_client._results import State
from stac_client._rucio import batched, did_of, grouped
from stac_client._selection import Wanted
from stac_client.errors import AccessError, StacRucioError
from stac_policy.naming import DID, collection_name
from stac_policy.settings import Settings
from stac_policy.urls import link_href, refusal

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping

    from rucio.client import Client

    from stac_client._assets import Asset
    from stac_client._in_rucio import Known
    from stac_client._items import ItemDict, ItemsLike
    from stac_client._results import Outcome
    from stac_client._rucio import Rucio
    from stac_client._selection import AssetSelection

_TIMES = ("datetime", "start_datetime", "end_datetime")
_TIME_LENGTH = 40  # characters; more than RFC 3339 needs
_BBOX_LENGTHS = frozenset({4, 6})
_COORDINATES = 1e9


@dataclass
class Writer:
    """Writes assets into Rucio; each method returns the outcomes of what failed, by DID."""

    rucio: Rucio
    """Rucio, as an account sees it that may add replicas at the RSE."""
    rse: str
    containers: bool
    """Whether collections get containers that hold their items' datasets."""
    metadata: bool
    """Whether the datasets get metadata from their items; no more once Rucio takes none."""
    problem: str = field(default="", init=False)
    """Why metadata could not be written, the first time."""
    _filled: set[DID] = field(default_factory=set, init=False)
    """The containers that Rucio is known to have."""

    def add(self, assets: list[Asset]) -> dict[DID, Outcome]:
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

    def attach(
        self, assets: Iterable[Asset], known: Known, presumed: set[DID]
    ) -> dict[DID, Outcome]:
        """Attach registered assets, with two requests for each 1,000 items of a scope.

        What is attached already stays so, and costs none, so that those may find it who may
        attach nothing. Which datasets Rucio has is not asked, unless it turns out to be other
        than presumed.

        Returns:
            The outcomes of those that could not be attached.
        """
        failed = {}
        of_dataset = attrgetter("dataset")
        loose = grouped(
            (each for each in assets if (each.dataset, each.did) not in known.attached), of_dataset
        )
        attach = partial(self._attach_items, loose=loose, presumed=presumed)
        items = (grouped(assets, of_dataset) if self.containers else loose).values()
        for scope, same in grouped(items, lambda members: members[0].dataset.scope).items():
            doing = f"attaching to datasets in scope {scope}"
            for members, error in self.rucio.send(doing, same, attach):
                if members[0].dataset not in loose and self._is_contained(members[0]):
                    continue  # who may attach nothing finds it there all the same
                reason = f"registered, but not attached to {members[0].dataset}: {error}"
                for asset in members:
                    failed[asset.did] = asset.outcome(State.FAILED, reason)
        presumed.update(asset.dataset for asset in assets if asset.did not in failed)
        return failed

    def _attach_items(
        self,
        items: list[list[Asset]],
        client: Client,
        loose: Mapping[DID, list[Asset]],
        presumed: Container[DID],
    ) -> None:
        """Attach the loose assets of items that have the same scope."""
        types = {members[0].dataset: "DATASET" for members in items}
        content = {
            dataset: [asset.did for asset in loose[dataset]]
            for dataset in types
            if dataset in loose
        }
        containers: dict[DID, list[DID]] = {}
        for members in items if self.containers else ():
            containers.setdefault(_container(members[0]), []).append(members[0].dataset)
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

    def _is_contained(self, asset: Asset) -> bool:
        """Ask whether the dataset of an asset is in the container of its collection."""
        dataset = asset.dataset

        def read(client: Client) -> set[DID]:
            return {*map(did_of, client.list_parent_dids(dataset.scope, dataset.name))}

        return _container(asset) in self.rucio.ask(f"asking what {dataset} is in", read)

    def write_metadata(
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
        if not self.metadata:
            return
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
            self.problem = self.problem or str(error)


def _container(asset: Asset) -> DID:
    """The container of the asset's collection."""
    return DID(asset.dataset.scope, collection_name(asset.collection))


def _replica(asset: Asset) -> dict[str, Any]:
    checksums = asset.checksums
    replica = {**_as_dict(asset.did), "bytes": asset.size_bytes, "pfn": asset.url}
    if checksums.adler32:
        replica["adler32"] = checksums.adler32
    if checksums.md5:
        replica["md5"] = checksums.md5
    return replica


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


def item_metadata(item: ItemDict) -> dict[str, Any]:
    """Return the metadata of an item's dataset.

    Returns:
        `stac_collection` and `stac_item` (ids), `stac_datetime`, `stac_start_datetime`
        and `stac_end_datetime` as the item has them, `stac_bbox` (a list of numbers)
        and `stac_url` (the item itself), as far as the item says something usable.
    """
    properties = item.get("properties")
    times = properties if isinstance(properties, dict) else {}
    href = link_href(item)
    found: dict[str, Any] = {
        "stac_collection": item.get("collection"),
        "stac_item": item.get("id"),
        **{f"stac_{name}": _time(times.get(name)) for name in _TIMES},
        "stac_bbox": _bbox(item.get("bbox")),
        "stac_url": None if refusal(href) else href,  # unless it carries a secret
    }
    return {key: value for key, value in found.items() if value}


def _time(value: object) -> str | None:
    return value if isinstance(value, str) and len(value) <= _TIME_LENGTH else None


def _bbox(value: object) -> list[float] | None:
    if not isinstance(value, (list, tuple)) or len(value) not in _BBOX_LENGTHS:
        return None
    return [*value] if all(map(_is_coordinate, value)) else None


def _is_coordinate(value: object) -> bool:
    """Return whether it is a number that can stand for a degree or a height; NaN is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return abs(value) < _COORDINATES


def deregister(
    rucio: Rucio,
    items: ItemsLike,
    rse: str,
    selection: AssetSelection,
    scope: str | None,
    *,
    only_bad: bool,
) -> Iterator[Outcome]:
    """Delete the replicas of assets at an RSE, or those that are not available there alone.

    Nothing is held but a batch; copies elsewhere stay.

    Raises:
        StacRucioError: The RSE does not exist, or Rucio or the STAC API cannot
            be reached. What concerns single assets is in their outcomes.
    """
    doing = f"deregistering at RSE {rse}"
    rucio.source_rse(rse, doing)

    def delete(part: list[Asset], client: Client) -> None:
        client.delete_replicas(rse, [asset.did._asdict() for asset in part])

    keys = Wanted(selection)
    for batch in batched(registrable(items, selection, scope, rse, keys=keys)):
        assets = {asset.did: asset for asset in batch}
        files = rucio.files(assets)
        good = held(files, rse) if only_bad else set()
        there = {did for did in assets if registered(files.get(did), rse)}
        doomed = [assets[did] for did in assets if did in there - good]
        refused = {asset.did: _refusal(error) for asset, error in rucio.send(doing, doomed, delete)}
        for asset in assets.values():
            if asset.did not in there:
                yield asset.outcome(State.SKIPPED, f"not registered at {rse}")
            elif asset.did in good:
                yield asset.outcome(State.SKIPPED, f"available at {rse}")
            elif asset.did in refused:
                yield asset.outcome(State.FAILED, refused[asset.did])
            else:
                yield asset.outcome(State.DEREGISTERED)
    yield from keys.missing()


def _refusal(error: StacRucioError) -> str:
    """Why replicas are not deleted; Rucio's generic permissions let no account do it."""
    if isinstance(error, AccessError):
        attribute = Settings().registrar_attribute
        error.hint = f"it takes a registrar: also an administrator needs the attribute {attribute}"
    return str(error)
