"""Downloads: the bytes of items in a folder, verified, as a catalogue of their own.

from pathlib import Path
from rucio.client import Client
from stac_client.downloads import Downloader

downloads = Downloader(Client()).download(items, Path("alps"))
catalogue = pystac.Catalog.from_file(downloads.catalogue)
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Union

from stac_client.catalogue.assets import Asset, select_assets
from stac_client.catalogue.items import iter_items
from stac_client.catalogue.selection import named_keys
from stac_client.errors import StacRucioError
from stac_client.listing import list_files
from stac_client.patience import patiently
from stac_client.progress import REPORT_S, Reporter, Tally
from stac_client.registration.batches import item_batches
from stac_client.results import Outcome, State
from stac_policy.fetching import make_session

from .asset import AssetDownloader, Wanted, outcome
from .catalogue import LocalCatalogue
from .files import locked
from .local_items import as_registered
from .results import DownloadOutcome, Downloads
from .rucio import RucioFetcher
from .sources import Sources

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rucio.client import Client

    from stac_client.catalogue.items import ItemDict, ItemsLike
    from stac_client.catalogue.selection import AssetSelection
    from stac_client.listing import RucioFile
    from stac_client.progress import FileTally, Progress
    from stac_policy.naming import DID

_Found = Union[Asset, Outcome]


class Downloader:
    """Downloads the assets of items, each from the best replica that gives it."""

    def __init__(self, client: Client, *, workers: int = 8) -> None:
        """Make one.

        Args:
            client: A Rucio client.
            workers: How many files are downloaded at the same time.
        """
        self._client = client
        self._workers = workers

    def download(
        self,
        items: ItemsLike,
        folder: Path | str,
        *,
        rse: str | None = None,
        assets: AssetSelection = None,
        scope: str | None = None,
        only_available: bool = False,
        on_progress: Callable[[Progress], None] = lambda _: None,
    ) -> Downloads:
        """Download the assets of items to `FOLDER/COLLECTION/ITEM/ASSET`.

        Every file is verified: its size, the checksums that Rucio has of it, and
        the multihash of its item. Files that are there and right stay; those that
        are wrong are replaced. What was interrupted goes on where it stopped, if
        the server can do that. Beside the files the items are written, as a
        catalogue in which they point to the files; it grows with every download
        into the same folder.

        Rucio is asked once for each 1,000 assets, and once for each RSE.

        Args:
            items: The items.
            folder: Where to; made if it is missing. Only one download at a time.
            rse: The only RSE to download from. By default the best replica is
                taken, and the others in turn when one fails.
            assets: Keys of the assets, or a predicate (`by_role`, `by_media_type`).
                By default those with the role `data` where an item has any, and
                otherwise all that are files.
            scope: A fixed scope, instead of those derived from the collections.
            only_available: Take what is there: an asset without a replica is
                skipped, and has not failed.
            on_progress: Called in this thread, a few times a second.

        Returns:
            What became of each asset.

        Raises:
            StacRucioError: The RSE does not exist, the folder can not be written,
                or Rucio or the STAC API does not answer. What is there by then is
                recognised when it is tried again.
        """
        sources = Sources(self._client, rse)
        # Resolved, so that nothing in it that is a link goes unseen.
        folder = Path(folder).resolve()
        with locked(folder), make_session(pool_maxsize=self._workers) as session:
            catalogue = LocalCatalogue(folder)
            downloader = AssetDownloader(
                folder=folder,
                sources=sources,
                session=session,
                rucio=RucioFetcher(self._client),
                absent=State.SKIPPED if only_available else State.FAILED,
                stop=Event(),
            )
            run = _Run(self._client, self._workers, downloader, catalogue, on_progress)
            outcomes: list[DownloadOutcome] = []
            unseen = named_keys(assets)
            select = partial(select_assets, selection=assets, scope=scope)
            try:
                for batch in item_batches(map(as_registered, iter_items(items)), select):
                    unseen -= {found.key for _, selected in batch for found in selected}
                    outcomes += run.download(batch)
            finally:
                catalogue.save()
        for key in sorted(unseen):
            reason = "no item has an asset with this key"
            outcomes.append(DownloadOutcome("", "", key, State.SKIPPED, reason))
        return Downloads(outcomes, catalogue.path, catalogue.problems)


class _Run:
    """A download under way."""

    def __init__(
        self,
        client: Client,
        workers: int,
        downloader: AssetDownloader,
        catalogue: LocalCatalogue,
        on_progress: Callable[[Progress], None],
    ) -> None:
        self._client = client
        self._workers = workers
        self._downloader = downloader
        self._catalogue = catalogue
        self._tally = Tally()
        self._reporter = Reporter(self._tally, on_progress)
        self._seen: set[DID] = set()

    def download(self, batch: list[tuple[ItemDict, list[_Found]]]) -> list[DownloadOutcome]:
        """Download the selected assets of some items, and write the items."""
        new = [
            found
            for _, selected in batch
            for found in selected
            if isinstance(found, Asset) and self._is_new(found)
        ]
        try:
            dids = [asset.did for asset in new]
            files = patiently(lambda: list_files(self._client, dids, all_states=True))
        except StacRucioError as error:
            done = {id(asset): outcome(asset, State.FAILED, str(error)) for asset in new}
            files = {}
        else:
            self._downloader.sources.learn(rse for file in files.values() for rse in file.pfns)
            done = self._download([(asset, files.get(asset.did)) for asset in new])
        outcomes = []
        for item, selected in batch:
            of_item = [done.get(id(found)) or _not_downloaded(found) for found in selected]
            outcomes += of_item
            assets = [found for found in selected if isinstance(found, Asset)]
            if assets:
                rses = _source_rses(assets, files)
                self._catalogue.add(item, assets[0].dataset, of_item, rses)
        return outcomes

    def _is_new(self, asset: Asset) -> bool:
        """Tell whether an asset comes for the first time; pages may overlap."""
        is_new = asset.did not in self._seen
        self._seen.add(asset.did)
        return is_new

    def _download(self, found: list[tuple[Asset, RucioFile | None]]) -> dict[int, DownloadOutcome]:
        """Download assets side by side; gives what became of each, by its identity."""
        done = {}
        with ThreadPoolExecutor(self._workers) as executor:
            futures: dict[int, Future[DownloadOutcome]] = {}
            for asset, file in found:
                if file is None:
                    reason = self._downloader.sources.absence(None)
                    done[id(asset)] = outcome(asset, self._downloader.absent, reason)
                    continue
                tally = self._tally.expect(file.size_bytes)
                wanted = Wanted(asset, file, tally.reached)
                futures[id(asset)] = executor.submit(self._work, wanted, tally)
            try:
                self._follow(futures.values())
            except BaseException:
                self._downloader.stop.set()
                executor.shutdown(wait=False, cancel_futures=True)
                raise
        return done | {key: future.result() for key, future in futures.items()}

    def _work(self, wanted: Wanted, tally: FileTally) -> DownloadOutcome:
        try:
            found = self._downloader.download(wanted)
        except Exception as error:  # noqa: BLE001 - one asset must not stop the others
            reason = f"unexpected {type(error).__name__}: {error}"
            found = outcome(wanted.asset, State.FAILED, reason)
        tally.done(there=found.path is not None)
        return found

    def _follow(self, futures: Iterable[Future[DownloadOutcome]]) -> None:
        """Wait for all, and report meanwhile."""
        pending = set(futures)
        self._reporter.report()
        while pending:
            pending = wait(pending, timeout=REPORT_S).not_done
            self._reporter.report()


def _not_downloaded(found: _Found) -> DownloadOutcome:
    if isinstance(found, Asset):
        return outcome(found, State.SKIPPED, "the same asset came before")
    state = found.state
    return DownloadOutcome(found.collection, found.item, found.key, state, found.reason)


def _source_rses(assets: list[Asset], files: dict[DID, RucioFile]) -> dict[str, str]:
    """The RSE that each asset's own URL is registered at, by the asset's key."""
    return {
        asset.key: rse
        for asset in assets
        if asset.did in files
        for rse, pfns in files[asset.did].pfns.items()
        if asset.url in pfns
    }
