"""Downloads: the bytes of items in a folder, verified, as a catalogue of their own.

Every file is verified: its size, the checksums that Rucio has of it, and the multihash of its
item. Files that are there and right stay; those that are wrong are replaced. Beside the files the
items are written, as a catalogue in which they point to the files; it grows with every download
into the same folder. Rucio is asked once for each 1,000 assets, and once for each RSE.
"""

from __future__ import annotations

import logging
import shutil
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stac_client._alternates import all_hrefs, is_http
from stac_client._assets import Asset, select_assets
from stac_client._checksums import multihash_of_md5
from stac_client._items import iter_items
from stac_client._local_catalogue import LocalCatalogue, Places
from stac_client._lookup import threads
from stac_client._modifier import Modifier, ModifierOptions
from stac_client._parts import MismatchError, Part, digested, locked, pieces_of
from stac_client._registration import item_batches
from stac_client._replica_source import difference
from stac_client._results import DownloadOutcome, Downloads, State, Tally
from stac_client._rucio_errors import details
from stac_client._selection import Wanted
from stac_client._sources import Sources
from stac_client.errors import StacRucioError, require_count
from stac_policy.bodies import Incoming
from stac_policy.http import Attempts, FetchError, make_session, strong_etag
from stac_policy.settings import known_origins

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import ThreadPoolExecutor
    from threading import Event

    import requests

    from stac_client._checksums import Checksums, Digester
    from stac_client._items import ItemDict, ItemsLike
    from stac_client._replicas import Prefer, Prefixes, Replica
    from stac_client._results import FileTally, Outcome, Progress
    from stac_client._rucio import Rucio, RucioFile
    from stac_client._selection import AssetSelection
    from stac_policy.credentials import Credentials
    from stac_policy.naming import DID

_DONE = frozenset({"DONE", "ALREADY_DONE"})
_LEAST_TIMEOUT_S = 360  # Rucio's own
_SLOWEST_BYTES_S = 500_000  # Rucio's own; above it a transfer has time to end

_LOGGER = logging.getLogger(__name__)


def download(
    rucio: Rucio,
    items: ItemsLike,
    folder: Path | str,
    *,
    rse: str | None = None,
    prefer: Prefer = (),
    site: str | None = None,
    assets: AssetSelection = None,
    scope: str | None = None,
    only_available: bool = False,
    workers: int = 8,
    mounts: Prefixes | None = None,
    credentials: Credentials | None = None,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Downloads:
    """Download the assets of items, each from the best replica that gives it.

    Arguments and errors are those of `StacClient.download`; `scope` is a fixed one, instead of
    those derived from the collections. What is there before an error is recognised when it is
    tried again.
    """
    if rse is not None:
        rucio.rse(rse, f"downloading from RSE {rse}")
    require_count("workers", workers)
    options = ModifierOptions(prefer, mounts=mounts, strict=True, timeout_s=None, site=site)
    modifier = Modifier(rucio, options)
    modifier.require_known()
    sources = Sources(modifier, rse)
    # Resolved, so that nothing in it that is a link goes unseen.
    folder = Path(folder).resolve()
    absent = State.SKIPPED if only_available else State.FAILED
    outcomes: list[DownloadOutcome] = []
    keys = Wanted(assets)
    select = partial(select_assets, selection=assets, scope=scope, by_name=True)
    with locked(folder), make_session(signer=credentials, pool_maxsize=workers) as session:
        places, tally = Places(folder), Tally(on_progress)
        catalogue = LocalCatalogue(places)
        try:
            with threads(workers) as (executor, stop):
                run = _Run(
                    rucio, places, sources, absent, catalogue, tally, session, executor, stop
                )
                for batch in item_batches(keys.of(iter_items(items)), select):
                    outcomes += run.download(batch)
        finally:
            catalogue.save()
    outcomes += [_outcome(each, each.state, each.reason) for each in keys.missing()]
    return Downloads(outcomes, catalogue.path, catalogue.problems)


# A download under way.


def _outcome(found: Asset | Outcome, state: State, reason: str) -> DownloadOutcome:
    return DownloadOutcome(found.collection, found.item, found.key, state, reason, found.did)


@dataclass(frozen=True)
class _Wanted:
    """An asset that shall be downloaded."""

    asset: Asset
    urls: list[str]
    """Its URL, and those that its item gives besides."""
    file: RucioFile
    tally: FileTally

    @cached_property
    def expected(self) -> Checksums:
        """What Rucio and the item say of the file."""
        return self.file.checksums | self.asset.checksums

    def require_size(self, found_bytes: int) -> None:
        """Raise a MismatchError if a file has another size, which is known before its bytes."""
        if found_bytes != self.file.size_bytes:
            raise MismatchError(f"it has {found_bytes} bytes instead of {self.file.size_bytes}")

    def verify(self, digester: Digester) -> Checksums:
        """Compare a file with what is known of it.

        Args:
            digester: What has taken all its bytes.

        Returns:
            Its checksums: adler32, and those that are known.

        Raises:
            MismatchError: It is another file.
        """
        self.require_size(digester.size_bytes)
        if wrong := digester.contradiction():
            raise MismatchError(f"its {wrong} is not the known one")
        return digester.checksums()

    def there(self, state: State, path: Path, found: Checksums) -> DownloadOutcome:
        """What became of it, if it is there."""
        known = self.expected or self.expected.multihash
        reason = "" if known else "no checksum is known: only its size fits"
        return replace(
            _outcome(self.asset, state, reason),
            path=path,
            size_bytes=self.file.size_bytes,
            adler32=found.adler32,
            md5=found.md5,
            checksum=found.multihash or (found.md5 and multihash_of_md5(found.md5)),
        )


@dataclass
class _Run:
    rucio: Rucio
    places: Places
    sources: Sources
    absent: State
    """What becomes of an asset without a replica."""
    catalogue: LocalCatalogue
    tally: Tally
    session: requests.Session
    executor: ThreadPoolExecutor
    stop: Event
    seen: set[DID] = field(default_factory=set)
    wrong: set[DID] = field(default_factory=set)
    """Those in whose place there may be a file that is another one."""

    def download(
        self, batch: list[tuple[ItemDict, list[Asset | Outcome]]]
    ) -> list[DownloadOutcome]:
        """Download the selected assets of some items side by side, and write the items."""
        new: dict[DID, Asset] = {}  # that come for the first time; pages may overlap
        urls: dict[DID, list[str]] = {}
        for item, selected in batch:
            for found in selected:
                if isinstance(found, Asset) and found.did not in self.seen:
                    new.setdefault(found.did, found)
                    urls.setdefault(
                        found.did,
                        [*filter(None, [found.url]), *all_hrefs(item["assets"][found.key])],
                    )
        self.seen.update(new)
        files: dict[DID, RucioFile] = {}
        unknown = self.absent, "not in Rucio; register it first"
        try:
            files = self.sources.files(self.rucio, new)
        except StacRucioError as error:
            unknown = State.FAILED, str(error)
        self.sources.learn(rse for file in files.values() for rse in file.pfns)
        futures = {
            did: self.executor.submit(
                self._work,
                _Wanted(asset, urls[did], file, self.tally.expect(file.size_bytes)),
            )
            for did, asset in new.items()
            if (file := files.get(did))
        }
        self.tally.wait(futures.values())

        def outcome(found: Asset | Outcome) -> DownloadOutcome:
            if not isinstance(found, Asset):
                return _outcome(found, found.state, found.reason)
            if new.get(found.did) is not found:
                return _outcome(found, State.SKIPPED, "the same asset came before")
            known = futures.get(found.did)
            return known.result() if known else _outcome(found, *unknown)

        outcomes = []
        for item, selected in batch:
            of_item = [*map(outcome, selected)]
            outcomes += of_item
            if assets := [found for found in selected if isinstance(found, Asset)]:
                source_rses = {
                    found.key: rse
                    for found in assets
                    if found.did in files
                    for rse, pfns in files[found.did].pfns.items()
                    if known_origins().is_among(found.url, pfns)
                }
                wrong = {found.key for found in assets if found.did in self.wrong}
                self.catalogue.add(item, assets[0].dataset, of_item, source_rses, wrong)
        return outcomes

    def _work(self, wanted: _Wanted) -> DownloadOutcome:
        """Download an asset, unless it is there; whatever happens, it has an outcome."""
        part = None
        try:
            part = Part(self.places(wanted.asset.did), wanted.expected)
            found = self._download(wanted, part)
        except Exception as error:  # noqa: BLE001 - one asset must not stop the others
            reason = f"unexpected {type(error).__name__}: {error}"
            if isinstance(error, StacRucioError):
                reason = str(error)
            elif isinstance(error, OSError):
                reason = f"its file cannot be written or read: {error.strerror or error}"
                with suppress(OSError):  # nor can it be removed
                    if part is not None:
                        part.remove()
            found = _outcome(wanted.asset, State.FAILED, reason)
        wanted.tally.done(there=found.path is not None)
        return found

    def _download(self, wanted: _Wanted, part: Part) -> DownloadOutcome:
        asset, target = wanted.asset, part.target
        rses = self.sources.source_rses
        if other := difference(asset.did, wanted.urls, asset, wanted.file, rses):
            self.wrong.add(asset.did)
            return _outcome(asset, State.FAILED, other)
        if not target.is_file():
            return self._replace(wanted, part)
        try:
            wanted.require_size(target.stat().st_size)
            found = wanted.verify(digested(target, wanted.expected, self.stop))
        except MismatchError as error:
            self.wrong.add(asset.did)
            # Until its replacement is there, and verified, it stays.
            outcome = self._replace(wanted, part)
            stays = f"{outcome.reason}; {target} stays, though {error}"
            return outcome if outcome.path else replace(outcome, reason=stays)
        wanted.tally.reached(wanted.file.size_bytes)
        part.remove()  # its note, if a run was killed as it put the file in its place
        return wanted.there(State.ALREADY_THERE, target, found)

    def _replace(self, wanted: _Wanted, part: Part) -> DownloadOutcome:
        """Download an asset, and put it in the place of what may be there."""
        sources = self.sources.of(wanted.file, wanted.urls)
        if not sources:
            return _outcome(wanted.asset, self.absent, self.sources.absence(wanted.file))
        missing_bytes = wanted.file.size_bytes - part.size_bytes
        folder = self.places.folder
        if missing_bytes > (free_bytes := shutil.disk_usage(folder).free):
            reason = f"{missing_bytes:,} bytes do not fit into {folder} ({free_bytes:,} free)"
            return _outcome(wanted.asset, State.FAILED, reason)
        if begun := part.source():
            sources.sort(key=lambda source: source.url != begun[0])
        return self._try(wanted, sources, part)

    def _try(self, wanted: _Wanted, sources: list[Replica], part: Part) -> DownloadOutcome:
        """Try all replicas, and those whose failure may pass again and again."""
        fetch = partial(self._fetch, wanted, part)
        try:
            source, found = self.sources.first(sources, fetch, Attempts(stop=self.stop))
        except FetchError as error:
            if part.source() is None:
                part.remove()
            return _outcome(wanted.asset, State.FAILED, str(error))
        part.finish()
        there = wanted.there(State.DOWNLOADED, part.target, found)
        return replace(there, rse=source.rse, url=source.pfn)

    def _fetch(self, wanted: _Wanted, part: Part, source: Replica) -> Checksums:
        """Download a replica into the part, and return its checksums."""
        begun_bytes, _ = begun = part.begun(source.url)
        if source.is_mounted:
            self._copy(wanted, Path(source.url), part)
        elif is_http(source.url):
            self._fetch_url(wanted, source.url, part, begun)
        else:
            self._fetch_by_rucio(wanted, source, part)
        try:
            return wanted.verify(part.digested(self.stop))
        except MismatchError:
            part.remove()
            if not begun_bytes:
                raise
        return self._fetch(wanted, part, source)  # what an earlier run left may have been wrong

    def _fetch_url(
        self, wanted: _Wanted, url: str, part: Part, begun: tuple[int, str | None]
    ) -> None:
        incoming = Incoming(
            self.session,
            url,
            lambda response: part.restart(url, strong_etag(response)),
            wanted.file.size_bytes,
            *begun,
            attempts=Attempts(1, stop=self.stop),  # before another replica
        )
        wanted.tally.reached(incoming.received_bytes)
        try:
            for piece in incoming:
                part.write(piece)
                wanted.tally.reached(incoming.received_bytes)
        except BaseException:
            source = part.source()
            if source is None or (source[0] == url and incoming.etag is None):
                part.remove()  # it cannot be continued
            raise
        finally:
            part.close()

    def _copy(self, wanted: _Wanted, path: Path, part: Part) -> None:
        """Copy a replica from where its RSE is mounted; no more of it than the file has."""
        pieces = _given(path, self.stop)
        first = next(pieces, b"")  # if it is not there, what another source gave is kept
        part.restart(str(path), None)
        seen_bytes = 0
        try:
            for piece in chain((first,), pieces):
                part.write(piece)
                seen_bytes += len(piece)
                wanted.tally.reached(seen_bytes)
                if seen_bytes > wanted.file.size_bytes:
                    break
        finally:
            part.close()

    def _fetch_by_rucio(self, wanted: _Wanted, source: Replica, part: Part) -> None:
        """Download a replica by any protocol that Rucio knows (root, srm, …)."""
        did, size_bytes = wanted.asset.did, wanted.file.size_bytes
        # Rucio's client makes no folders for a file whose name has several parts.
        folder = part.path.with_suffix(".rucio")
        path = folder / did.name[1:]
        traces: list[dict[str, Any]] = []
        shutil.rmtree(folder, ignore_errors=True)
        try:
            path.parent.mkdir(parents=True)
            asked = {
                "did": str(did),
                "rse": source.rse,
                "pfn": source.pfn,
                "base_dir": str(folder),
                "no_subdir": True,
                "transfer_timeout": max(_LEAST_TIMEOUT_S, size_bytes // _SLOWEST_BYTES_S),
            }
            try:
                (result,) = self._rucio_downloads.download_pfns(
                    [asked],
                    num_threads=1,
                    traces_copy_out=traces,
                    deactivate_file_download_exceptions=True,
                )
            # Its protocols let the errors of their libraries pass, of whatever kind.
            except Exception as error:
                raise FetchError(f"Rucio's client failed: {details(error)}") from error
            if (state := result.get("clientState")) not in _DONE:
                said = " ".join(str(traces[-1].get("stateReason")).split())[:300] if traces else ""
                raise FetchError(f"Rucio's client failed: {said or state}")
            part.take(path)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        wanted.tally.reached(size_bytes)

    @cached_property
    def _rucio_downloads(self) -> Any:
        """Rucio's own download client; it makes a client by itself, as rucio.cfg says."""
        from rucio.client.downloadclient import DownloadClient

        return DownloadClient(client=self.rucio.client, logger=_LOGGER.log)


def _given(path: Path, stop: Event) -> Iterator[bytes]:
    try:
        yield from pieces_of(path, stop)
    except OSError as error:
        raise FetchError(f"{path} cannot be read ({error.strerror})") from error
