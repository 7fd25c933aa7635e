"""One asset of a download: its replicas in turn, until one has given the right bytes."""

from __future__ import annotations

import shutil
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import multihash

from stac_client.catalogue.checksums import Checksums
from stac_client.results import State
from stac_policy.urls import redact

from .files import MismatchError, Part, UnusablePathError, place, verify
from .http import FetchError, fetch, http_url
from .results import DownloadOutcome

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from threading import Event

    import requests

    from stac_client.catalogue.assets import Asset
    from stac_client.listing import RucioFile

    from .rucio import RucioFetcher
    from .sources import Source, Sources

_ROUNDS = 4
_FIRST_PAUSE_S = 0.5  # and then twice as long each time


@dataclass(frozen=True)
class Wanted:
    """An asset that shall be downloaded."""

    asset: Asset
    file: RucioFile
    on_bytes: Callable[[int], None]
    """Called with the number of bytes that are there."""


@dataclass(frozen=True)
class AssetDownloader:
    """Downloads assets into a folder, one a call; usable by several threads."""

    folder: Path
    """Where to; resolved."""
    sources: Sources
    session: requests.Session
    rucio: RucioFetcher
    absent: State
    """What becomes of an asset without a replica to download."""
    stop: Event
    """Set to end all that is under way."""

    def download(self, wanted: Wanted) -> DownloadOutcome:
        """Download an asset, unless it is there; gives what became of it."""
        part = None
        try:
            target = place(self.folder, wanted.asset.did)
            part = Part(target)
            return self._download(wanted, target, part)
        except UnusablePathError as error:
            return outcome(wanted.asset, State.FAILED, str(error))
        except OSError as error:
            reason = f"its file can not be written or read: {error.strerror or error}"
            if part is not None:
                _remove(part)
            return outcome(wanted.asset, State.FAILED, reason)

    def _download(self, wanted: Wanted, target: Path, part: Part) -> DownloadOutcome:
        if target.is_file():
            try:
                found = self._verify(wanted, target)
            except MismatchError:
                target.unlink()  # what is there is right, or is not there
            else:
                wanted.on_bytes(wanted.file.size_bytes)
                part.remove()  # its note, if a run was killed as it put the file in its place
                return _there(wanted, State.ALREADY_THERE, target, found)
        sources = self._sources(wanted, part)
        if not sources:
            return outcome(wanted.asset, self.absent, self.sources.absence(wanted.file))
        missing_bytes = wanted.file.size_bytes - part.size_bytes
        if missing_bytes > (free_bytes := shutil.disk_usage(self.folder).free):
            reason = f"{missing_bytes:,} bytes do not fit into {self.folder} ({free_bytes:,} free)"
            return outcome(wanted.asset, State.FAILED, reason)
        return self._try(wanted, sources, target, part)

    def _sources(self, wanted: Wanted, part: Part) -> list[Source]:
        sources = self.sources.of(wanted.file, wanted.asset.url)
        begun = part.source()
        if begun is not None:
            sources.sort(key=lambda source: http_url(source.pfn) != begun[0])
        return sources

    def _try(
        self, wanted: Wanted, sources: list[Source], target: Path, part: Part
    ) -> DownloadOutcome:
        """Try all replicas, and those whose failure may pass again and again."""
        reasons: dict[Source, str] = {}
        pause_s = 0.0
        for attempt in range(_ROUNDS):
            if self.stop.wait(pause_s):
                raise CancelledError
            pause_s = _FIRST_PAUSE_S * 2**attempt
            again = []
            for source in sources:
                try:
                    found = self._fetch(wanted, source, part)
                except FetchError as error:
                    reasons[source] = str(error)
                    if error.may_pass:
                        self.sources.failed(source)
                        again.append(source)
                        pause_s = max(pause_s, error.retry_after_s)
                    continue
                except MismatchError as error:
                    part.remove()
                    reasons[source] = f"{error}; it was removed"
                    continue
                self.sources.worked(source)
                part.finish()
                there = _there(wanted, State.DOWNLOADED, target, found)
                return replace(there, rse=source.rse, url=source.pfn)
            sources = again
            if not sources:
                break
        if part.source() is None:
            part.remove()
        said = (f"{rse} {redact(pfn)}: {why}" for (rse, pfn), why in reasons.items())
        return outcome(wanted.asset, State.FAILED, "; ".join(said))

    def _fetch(self, wanted: Wanted, source: Source, part: Part) -> Checksums:
        url = http_url(source.pfn)
        size_bytes = wanted.file.size_bytes
        if url is None:
            self.rucio.fetch(wanted.asset.did, source.rse, source.pfn, part, size_bytes)
            wanted.on_bytes(size_bytes)
            return self._verify(wanted, part.path)
        may_begin_anew = part.size_bytes > 0
        while True:
            before_bytes = part.size_bytes
            try:
                fetch(self.session, url, part, size_bytes, on_bytes=wanted.on_bytes, stop=self.stop)
                return self._verify(wanted, part.path)
            except FetchError as error:
                # Another replica would begin anew, and this one gave some more.
                goes_on = error.may_pass and part.source() is not None
                if not goes_on or part.size_bytes <= before_bytes:
                    raise
            except MismatchError:
                if not may_begin_anew:
                    raise
                part.remove()  # what an earlier run left may have been wrong
                may_begin_anew = False

    def _verify(self, wanted: Wanted, path: Path) -> Checksums:
        return verify(path, wanted.file.size_bytes, _expected(wanted), self.stop)


def outcome(asset: Asset, state: State, reason: str) -> DownloadOutcome:
    """Say what became of an asset whose bytes are not there."""
    return DownloadOutcome(asset.collection, asset.item, asset.key, state, reason, asset.did)


def _there(wanted: Wanted, state: State, path: Path, found: Checksums) -> DownloadOutcome:
    expected = _expected(wanted)
    known = expected or expected.multihash
    return replace(
        outcome(wanted.asset, state, "" if known else "no checksum is known: only its size fits"),
        path=path,
        size_bytes=wanted.file.size_bytes,
        checksum=found.multihash or md5_multihash(str(found.md5)),
    )


def _expected(wanted: Wanted) -> Checksums:
    """What Rucio says of a file, and the item's multihash."""
    adler32, md5 = wanted.file.adler32, wanted.file.md5
    return Checksums(
        adler32=adler32.lower().zfill(8) if adler32 else None,
        md5=md5.lower() if md5 else None,
        multihash=wanted.asset.checksums.multihash,
    )


def md5_multihash(md5: str) -> str:
    """The multihash, in hex digits, of an md5 digest in hex digits."""
    return str(multihash.encode(bytes.fromhex(md5), "md5").hex())


def _remove(part: Part) -> None:
    with suppress(OSError):  # nor can it be removed
        part.remove()
