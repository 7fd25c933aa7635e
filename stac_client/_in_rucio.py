"""What Rucio has of assets: whether it is the same, and whether Rucio holds it to be good.

The existence of a file or a replica says neither: a file declared bad or lost keeps its row.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, replace
from datetime import timedelta
from operator import attrgetter
from typing import TYPE_CHECKING

from rucio.common.exception import UnsupportedOperation

from stac_client._checksums import in_common
from stac_client._replica_source import other_bytes, other_url
from stac_client._results import Outcome, State
from stac_client._rucio import grouped
from stac_client._stac_api import moment
from stac_client.errors import AccessError, ConfigurationError, RequestError
from stac_policy.settings import known_origins
from stac_policy.urls import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from rucio.client import Client

    from stac_client._assets import Asset
    from stac_client._rucio import Rucio, RucioFile
    from stac_policy.naming import DID

AVAILABLE = "AVAILABLE"
"""Of replicas and of DIDs."""
_MOST_IN_DATASETS = 4
"""Files for each asset; a listing of all copies of each asset may take as long."""
_AT_MOST_LATER = timedelta(hours=1)
"""How much later than its first files a dataset is made."""
_THERE = frozenset({AVAILABLE, "COPYING"})
_AGAIN = "if the file at its URL is the right one, deregister it there and register it again"
_AILMENTS = {
    "BAD": f"was declared bad there, and no transfer reads it; {_AGAIN}",
    "UNAVAILABLE": f"is not available there; {_AGAIN}",
    "TEMPORARY_UNAVAILABLE": "was declared unavailable there for a time; try again later",
    "BEING_DELETED": "is being deleted there; try again later",
}
"""What is wrong with a replica, by its state, and what to do."""


@dataclass(frozen=True)
class Known:
    """What Rucio has of some assets."""

    files: Mapping[DID, RucioFile]
    attached: Collection[tuple[DID, DID]]
    """The datasets of these files and all that is in them, as pairs."""
    at_rse: set[DID]
    """The files that the RSE holds."""
    same: Collection[DID]
    """Those of them that have been found to be as the assets are."""


class Look:
    """Asks what Rucio has of assets at an RSE, by whichever question is likely the smaller one.

    What is there is told by a listing of its items' datasets, for the replicas at that RSE: copies
    elsewhere cost nothing, and what is listed is attached. It hides files that have no replica
    there, shows an empty dataset as one that is missing, and does not say which of the datasets a
    file is in. So it is asked for every other dataset, and then for the rest: a file that comes
    with none but other items' datasets does not count. Whatever this leaves open is asked for by
    its own DID.

    Where nothing is there, or the datasets have many other files, the files are asked for at once.
    """

    def __init__(self, rucio: Rucio, rse: str) -> None:
        self._rucio = rucio
        self._rse = rse
        self._in_datasets: float | None = None
        """How many files the datasets had for each asset, when they were last asked for."""

    def known(self, assets: Collection[Asset]) -> Known:
        """Ask what Rucio has of assets: whether it has the file, and where, and in its dataset.

        For each 1,000 that are there and good, it takes one request for every other dataset and
        one for the rest; another one where items say of their assets nothing but `updated`, of
        which 2,000 may be asked for at a time.
        """
        is_empty = self._in_datasets == 0  # as of what is registered for the first time
        listed = {} if is_empty or self._has_large_datasets(assets) else self._listed(assets)
        good = {
            asset.did: file
            for asset in assets
            if (file := listed.get(asset.did)) and not problem(asset, file, self._rse)
        }
        left = [asset for asset in assets if asset.did not in good]
        files = self._rucio.files((asset.did for asset in left), self._rse)
        known = [asset for asset in left if asset.did in files]
        attached = self._rucio.content({asset.dataset for asset in known})
        if not good:
            self._in_datasets = len(attached) / max(len(left), 1)
        # Rucio takes what it calls lost out of its datasets, and lets it into none.
        doubtful = [
            asset.did
            for asset in known
            if (asset.dataset, asset.did) not in attached or asset.is_silent
        ]
        doubtful += self._updated_since([asset for asset in assets if asset.did in good])
        facts = self._rucio.facts(doubtful)
        files.update(good)
        attached.update((asset.dataset, asset.did) for asset in assets if asset.did in good)
        for did in facts.keys() & doubtful:
            files[did] = replace(files[did], facts=facts[did])
            good.pop(did, None)
        at_rse = held({did: file for did, file in files.items() if did not in good}, self._rse)
        return Known(files, attached, at_rse.union(good), good.keys())

    def there(self, assets: Collection[Asset]) -> set[DID]:
        """Ask which assets that were registered the RSE still holds; nothing is compared."""
        if not assets:
            return set()
        if self._has_large_datasets(assets):
            return held(self._rucio.files(asset.did for asset in assets), self._rse)
        return held(self._listed(assets), self._rse)

    def _listed(self, assets: Collection[Asset]) -> dict[DID, RucioFile]:
        """The files of the assets that the RSE has in their own datasets."""
        of_datasets = grouped(assets, attrgetter("dataset"))
        found: dict[DID, RucioFile] = {}
        count = 0
        for part in (0, 1):
            datasets = [*of_datasets][part::2]
            files = self._rucio.files_of_datasets(datasets, self._rse)
            if not files:
                break  # then there is hardly anything, and all is asked for by its own DID
            count += len(files)
            found |= {
                asset.did: files[asset.did]
                for dataset in datasets
                for asset in of_datasets[dataset]
                if asset.did in files
            }
        self._in_datasets = count / len(assets)
        return found

    def _has_large_datasets(self, assets: Collection[Asset]) -> bool:
        """Whether to expect that the datasets have far more files than are asked for."""
        if self._in_datasets:
            return self._in_datasets > _MOST_IN_DATASETS
        of_items = {asset.dataset: asset.of_item for asset in assets}
        return sum(of_items.values()) > _MOST_IN_DATASETS * len(assets)

    def _updated_since(self, assets: Collection[Asset]) -> list[DID]:
        """The assets that may have changed since their items' datasets were made.

        A file is made right before its dataset, or after it. There are fewer datasets to ask for.
        """
        silent = [asset for asset in assets if asset.is_silent]
        facts = self._rucio.facts({asset.dataset for asset in silent})
        return [
            asset.did
            for asset in silent
            if (updated := moment(asset.updated))
            and not (
                (made := facts.get(asset.dataset)) and updated < made.created_at - _AT_MOST_LATER
            )
        ]


def is_outdated(asset: Asset, file: RucioFile) -> bool:
    """Return whether an asset has changed since it was registered, and does not say how."""
    updated = moment(asset.updated) if file.facts and asset.is_silent else None
    return file.facts is not None and updated is not None and updated > file.facts.created_at


class LostFileWarning(UserWarning):
    """Files are left out of a rule, because Rucio has lost them."""


def without_lost(rucio: Rucio, assets: Iterable[Asset]) -> list[tuple[DID, DID]]:
    """Return the files of assets with their datasets, without those that Rucio calls lost.

    It takes these into no dataset; a warning tells of them. What is signed, and so cannot have
    been registered as it is, is left out where Rucio does not have it.

    Raises:
        StacRucioError: Rucio cannot be reached or refuses.
    """
    files = [*assets]
    facts = rucio.facts(asset.did for asset in files)
    lost = {did: said.availability for did, said in facts.items() if said.availability != AVAILABLE}
    if lost:
        first = next(iter(lost))
        more = f"{len(lost):,} files are left out, the first: " if len(lost) > 1 else "left out: "
        warnings.warn(more + _lost(first, lost[first]), LostFileWarning, stacklevel=3)
    return [
        (asset.did, asset.dataset)
        for asset in files
        if asset.did not in lost and (asset.url or asset.did in facts)
    ]


def held(files: Mapping[DID, RucioFile], rse: str) -> set[DID]:
    """Return the files that an RSE holds, or is to receive, and that Rucio holds to be good."""
    return {
        did
        for did, file in files.items()
        if registered(file, rse) and ailment(did, file, rse) is None
    }


def registered(file: RucioFile | None, rse: str) -> bool:
    """Return whether a file has a replica at an RSE, in whatever state."""
    return file is not None and rse in file.states


def ailment(did: DID, file: RucioFile, rse: str) -> str | None:
    """Return why Rucio has a file, or its replica at an RSE, and does not use it, if so."""
    if file.facts is not None and file.facts.availability != AVAILABLE:
        return _lost(did, file.facts.availability)
    state = file.states.get(rse)
    if state is None or state in _THERE:
        return None
    ails = _AILMENTS.get(state, f"has the state {state} there; ask an administrator of this Rucio")
    return f"{did} is registered at {rse}, but {ails}"


def compare(assets: Iterable[Asset], known: Known, rse: str) -> Iterator[Asset | Outcome]:
    """Yield the assets that Rucio has as they are, or not at all, and what becomes of others."""
    for asset in assets:
        file = known.files.get(asset.did)
        wrong = file and asset.did not in known.same and problem(asset, file, rse)
        yield asset.outcome(State.FAILED, wrong) if wrong else asset


def problem(asset: Asset, file: RucioFile, rse: str) -> str | None:
    """Return why an asset is not, or not well, the file that has its DID, if so."""
    did = asset.did
    differs = other_bytes(did, asset, file) or other_url(did, (asset.url,), file, (rse,))
    return differs or ailment(did, file, rse)


def kept(results: Iterable[Asset | Outcome], reject: Callable[[Outcome], None]) -> Iterator[Asset]:
    """Yield the assets among results; what has come to an outcome is rejected."""
    for result in results:
        if isinstance(result, Outcome):
            reject(result)
        else:
            yield result


def rival(first: Asset, second: Asset) -> tuple[bool, Outcome]:
    """Choose between two assets with the same DID: of overlapping pages, or two versions.

    Returns:
        Whether the second is to be registered, and what becomes of the other one.
    """
    differs = ""
    if not known_origins().is_among(first.url, [second.url]):
        differs = f"another URL: {redact(second.url)} and {redact(first.url)}"
    for name, of_first, of_second in in_common(first, second):
        if of_first != of_second:
            differs = differs or f"another {name}: {of_second} and {of_first}"
    if not differs:
        return False, second.outcome(State.SKIPPED, "the same asset came before")
    before, after = moment(first.updated), moment(second.updated)
    if before is None or after is None or before == after:
        return False, second.outcome(State.FAILED, f"the same asset came before, with {differs}")
    is_later = after > before
    loser = first if is_later else second
    reason = f"its item comes with a later `updated`, too, and with {differs}"
    return is_later, loser.outcome(State.SKIPPED, reason)


def _lost(did: DID, availability: str) -> str:
    return (
        f"{did} is {availability} in Rucio: its last good copy was declared bad. Only "
        "administrators of this Rucio can give the name back (operator's guide, Bad and lost "
        "files); until then, register it in another scope"
    )


@dataclass
class Permits:
    """Whether an account may register new assets at an RSE, asked once for each scope.

    So nobody looks up what cannot be registered in the end.
    """

    rucio: Rucio
    rse: str
    _scopes: set[str] = field(default_factory=set)
    _refusals: dict[str, str | None] = field(default_factory=dict)

    def require(self, assets: Iterable[Asset]) -> Iterator[Asset | Outcome]:
        """Yield the assets that may be registered, and what becomes of the others.

        Raises:
            UnreachableError: Rucio does not answer.
        """
        for asset in assets:
            scope = asset.did.scope
            if scope not in self._refusals:
                self._refusals[scope] = self._refusal(asset)
            refusal = self._refusals[scope]
            yield asset if refusal is None else asset.outcome(State.FAILED, refusal)

    def _refusal(self, asset: Asset) -> str | None:
        doing = f"registering in scope {asset.did.scope} at RSE {self.rse}"

        def attempt(client: Client) -> None:
            # Without the PFN that an RSE with PFNs of its own needs, Rucio registers nothing,
            # after it has looked at the account (rucio.gateway.replica.add_replicas).
            client.add_replicas(self.rse, [{**asset.did._asdict(), "bytes": 0}])

        try:
            if asset.did.scope not in self._scopes:
                self._scopes |= self.rucio.ask(doing, lambda client: {*client.list_scopes()})
            if asset.did.scope not in self._scopes:
                return f"{doing}: Scope not found; ask an administrator of this Rucio to add it"
            self.rucio.ask(doing, attempt)
        except (AccessError, ConfigurationError, RequestError) as error:
            if isinstance(error.__cause__, UnsupportedOperation):
                return None
            return str(error)
        return None
