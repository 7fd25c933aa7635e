"""Downloads: the bytes of items in a folder, verified, as a catalogue of their own.

from pathlib import Path
from rucio.client import Client
from stac_client.downloads import Downloader

downloads = Downloader(Client()).download(items, Path("alps"))
catalogue = pystac.Catalog.from_file(downloads.catalogue)
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
from collections import Counter
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus
from pathlib import Path
from threading import Event, Lock
from typing import TYPE_CHECKING, Any, NamedTuple, Union

import multihash
import requests
import urllib3

from stac_client._assets import Asset, named_keys, select_assets
from stac_client._checksums import Checksums, Digester
from stac_client._items import iter_items
from stac_client._local_catalogue import LocalCatalogue, UnusablePathError, as_registered, place
from stac_client._registration import item_batches
from stac_client._results import (
    REPORT_S,
    DownloadOutcome,
    Downloads,
    Outcome,
    Reporter,
    State,
    Tally,
)
from stac_client._rucio import list_files, patiently
from stac_client.errors import ConfigurationError, StacRucioError, details, rucio_errors
from stac_policy.http import SLOWEST_BYTES, HostNotAllowedError, make_session, open_url, pieces
from stac_policy.urls import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from rucio.client import Client

    from stac_client._assets import AssetSelection
    from stac_client._items import ItemDict, ItemsLike
    from stac_client._results import FileTally, Progress
    from stac_client._rucio import RucioFile
    from stac_policy.naming import DID


# Files of a download in their folder: where they are, whether they are right, half a file.


# No part of a name starts with a dot: names of our own that do are never those of assets.
_LOCK = ".stac-rucio.lock"
_CHUNK_BYTES = 1 << 20


class MismatchError(Exception):
    """A file is not the one that Rucio and the item speak of; the message says why."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make a folder and keep other downloads out of it: two at once would mix up their bytes.

    Raises:
        ConfigurationError: Another download runs there, or nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        raise ConfigurationError(f"can not write into {folder}: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise ConfigurationError(
            f"another download into {folder} is running; wait for it or choose another folder"
        ) from None
    except OSError:
        pass  # a file system without locks
    try:
        yield
    finally:
        os.close(lock)


def verify(path: Path, size_bytes: int, expected: Checksums, stop: Event) -> Checksums:
    """Read a file and compare it with what is known of it.

    Args:
        path: The file.
        size_bytes: Its size; compared first, as that costs nothing.
        expected: Its checksums, as far as they are known.
        stop: Set when nobody wants to know any more.

    Returns:
        Its checksums: adler32, and a multihash or md5.

    Raises:
        MismatchError: It is another file.
        OSError: It can not be read.
    """
    found_bytes = path.stat().st_size
    if found_bytes != size_bytes:
        raise MismatchError(f"it has {found_bytes} bytes instead of {size_bytes}")
    digester = Digester(expected, md5=expected.multihash is None)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            if stop.is_set():
                raise CancelledError
            digester.update(chunk)
    if wrong := digester.contradiction():
        raise MismatchError(f"its {wrong} is not the known one")
    return digester.checksums()


class Part:
    """The bytes of a file so far, hidden beside its place, and the replica that they are of."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self.path = target.with_name(f".{target.name}.part")
        self._note = target.with_name(f".{target.name}.from")

    @property
    def size_bytes(self) -> int:
        """How much there is."""
        return self.path.lstat().st_size if os.path.lexists(self.path) else 0

    def source(self) -> tuple[str, str] | None:
        """URL and ETag of the replica that the bytes are of, if they can be continued."""
        try:
            if self.path.is_symlink():
                return None
            note = json.loads(self._note.read_text("utf-8"))
            return str(note["url"]), str(note["etag"])
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def restart(self, url: str, etag: str | None) -> None:
        """Begin with no bytes, of another replica or another version of it.

        Args:
            url: URL of the replica.
            etag: Its strong ETag; without one it can not be continued.
        """
        self.remove()
        self._target.parent.mkdir(parents=True, exist_ok=True)
        if etag is not None:
            with self._note.open("x", encoding="utf-8") as file:
                json.dump({"url": url, "etag": etag}, file)
        # Exclusively: never through a link, or into a file that has another name.
        self.path.open("xb").close()

    def take(self, path: Path) -> None:
        """Let a file be the part."""
        self.remove()
        path.replace(self.path)

    def finish(self) -> None:
        """Put the file in its place, at once."""
        self.path.replace(self._target)
        self._note.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove what there is."""
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)


# One replica over HTTP; what was interrupted goes on where the server can.


_SCHEMES = {"https": "https", "http": "http", "davs": "https", "dav": "http"}
_PIECE_BYTES = 1 << 16  # as often it looks whether to stop
_TIMEOUT_S = (10, 60)  # to connect; for the headers, and for each SLOWEST_BYTES of a file
_PATIENCE_S = 60.0  # whatever Retry-After asks for
_MAY_PASS = frozenset({408, 425, 429, 500, 502, 503, 504})


class FetchError(Exception):
    """A replica did not give the file; the message says why, without its URL."""

    def __init__(self, reason: str, *, may_pass: bool = False, retry_after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.may_pass = may_pass
        """Whether the same request may succeed later."""
        self.retry_after_s = retry_after_s
        """How long the server wants to be left alone, in seconds."""


def http_url(pfn: str) -> str | None:
    """The URL that HTTP knows a PFN by (`davs` is `https`), or None for other protocols."""
    scheme, separator, rest = pfn.partition("://")
    known = _SCHEMES.get(scheme.lower())
    return f"{known}://{rest}" if known and separator else None


def fetch(
    session: requests.Session,
    url: str,
    part: Part,
    size_bytes: int,
    *,
    on_bytes: Callable[[int], None],
    stop: Event,
) -> None:
    """Download a URL into a part file; goes on with it if it is of the same version of the URL.

    Args:
        session: The HTTP session to use.
        url: The URL.
        part: The part file.
        size_bytes: Size of the file. No byte more is taken.
        on_bytes: Called with the size of the part as it grows.
        stop: Set when nobody wants the file any more.

    Raises:
        FetchError: The server gave not all of it. What can be continued stays.
        OSError: The part can not be written.
    """
    if stop.is_set():
        raise CancelledError
    source = part.source()
    etag = source[1] if source is not None and source[0] == url else None
    start = part.size_bytes if etag is not None else 0
    if start and start == size_bytes:
        return  # interrupted between the last byte and its verification
    # Identity: a compressed body could not be continued, nor compared with the file's size.
    headers = {"Accept-Encoding": "identity"}
    if start:
        headers |= {"Range": f"bytes={start}-", "If-Range": str(etag)}
    try:
        with open_url(session, url, (), _TIMEOUT_S, headers=headers) as response:
            if start and not _goes_on(response, start, str(etag)):
                start = 0
                if response.status_code in (
                    HTTPStatus.PARTIAL_CONTENT,
                    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
                ):
                    part.remove()
                    raise FetchError("it can not be continued", may_pass=True)
            _require_file(response, start, size_bytes)
            if not start:
                part.restart(url, _strong_etag(response))
            _write(response, part, start, size_bytes, on_bytes=on_bytes, stop=stop)
    # requests lets some of urllib3's errors pass.
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise _describe(error) from error


def _goes_on(response: requests.Response, start: int, etag: str) -> bool:
    """Tell whether a response is the rest of what begins in the part."""
    return (
        response.status_code == HTTPStatus.PARTIAL_CONTENT
        and response.headers.get("Content-Range", "").startswith(f"bytes {start}-")
        and _strong_etag(response) == etag
    )


def _require_file(response: requests.Response, start: int, size_bytes: int) -> None:
    """Make sure that a response is the file, or its rest, before anything of it is read."""
    status = response.status_code
    if status != (HTTPStatus.PARTIAL_CONTENT if start else HTTPStatus.OK):
        raise FetchError(
            f"HTTP {status}",
            may_pass=status in _MAY_PASS,
            retry_after_s=_retry_after_s(response),
        )
    announced = response.headers.get("Content-Length", "")
    if announced.isdecimal() and start + int(announced) != size_bytes:
        raise FetchError(f"it has {start + int(announced)} bytes there instead of {size_bytes}")


def _write(
    response: requests.Response,
    part: Part,
    received: int,
    size_bytes: int,
    *,
    on_bytes: Callable[[int], None],
    stop: Event,
) -> None:
    on_bytes(received)
    with part.path.open("ab") as file:
        try:
            # As sent: what Rucio knows the size and checksum of is what the storage holds.
            for piece in pieces(response, _PIECE_BYTES):
                if stop.is_set():
                    raise CancelledError
                received += len(piece)
                if received > size_bytes:
                    break
                file.write(piece)
                on_bytes(received)
        except urllib3.exceptions.ReadTimeoutError as error:
            raise FetchError(
                f"it is too slow: not {SLOWEST_BYTES:,} bytes in {_TIMEOUT_S[1]} s after the first "
                f"{received:,} of {size_bytes:,}",
                may_pass=True,
            ) from error
        except urllib3.exceptions.HTTPError as error:
            raise FetchError(
                f"it broke off after {received} of {size_bytes} bytes", may_pass=True
            ) from error
    if received > size_bytes:
        part.remove()
        raise FetchError(f"it has more bytes there than {size_bytes}")
    if received < size_bytes:
        raise FetchError(f"it ended after {received} of {size_bytes} bytes", may_pass=True)


def _strong_etag(response: requests.Response) -> str | None:
    etag = response.headers.get("ETag")
    return etag if etag and not etag.startswith("W/") else None


def _retry_after_s(response: requests.Response) -> float:
    wanted = response.headers.get("Retry-After")
    try:
        seconds = urllib3.Retry().parse_retry_after(wanted) if wanted else 0.0
    except urllib3.exceptions.InvalidHeader:
        seconds = 0.0
    return min(seconds, _PATIENCE_S)


def _describe(error: Exception) -> FetchError:
    # What requests says may repeat the signed URL of a redirect.
    if isinstance(error, (HostNotAllowedError, requests.TooManyRedirects)):
        return FetchError("it redirects in circles, or to no HTTP server")
    if isinstance(error, requests.exceptions.SSLError):
        return FetchError("no TLS connection; is its certificate valid, and trusted here?")
    return FetchError("no answer", may_pass=True)


# One asset of a download: its replicas in turn, until one has given the right bytes.


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


# One replica by any protocol that Rucio knows (root, srm, …), by its own download client.


_DONE = frozenset({"DONE", "ALREADY_DONE"})
_LEAST_TIMEOUT_S = 360  # Rucio's own
_SLOWEST_BYTES_S = 500_000  # Rucio's own; above it a transfer has time to end

_LOGGER = logging.getLogger(__name__)
_LOGGER.addHandler(logging.NullHandler())  # Rucio's client would write to the terminal


class RucioFetcher:
    """Downloads by Rucio's protocols; usable by several threads."""

    def __init__(self, client: Client) -> None:
        """Make one; Rucio's download client is imported and made when it is needed.

        Args:
            client: A Rucio client. For the settings of RSEs, Rucio's download
                client makes another one by itself, as rucio.cfg says.
        """
        self._client = client
        self._downloads: Any = None
        self._lock = Lock()

    def fetch(self, did: DID, rse: str, pfn: str, part: Part, size_bytes: int) -> None:
        """Download a PFN into a part file.

        Raises:
            FetchError: Rucio's client did not give it.
            OSError: The part can not be written.
        """
        # Rucio's client makes no folders for a file whose name has several parts.
        folder = part.path.with_suffix(".rucio")
        path = folder / did.name[1:]
        shutil.rmtree(folder, ignore_errors=True)
        try:
            path.parent.mkdir(parents=True)
            self._download(
                {
                    "did": str(did),
                    "rse": rse,
                    "pfn": pfn,
                    "base_dir": str(folder),
                    "no_subdir": True,
                    "transfer_timeout": max(_LEAST_TIMEOUT_S, size_bytes // _SLOWEST_BYTES_S),
                }
            )
            part.take(path)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _download(self, wanted: dict[str, Any]) -> None:
        traces: list[dict[str, Any]] = []
        try:
            (result,) = self._client_for_downloads().download_pfns(
                [wanted],
                num_threads=1,
                traces_copy_out=traces,
                deactivate_file_download_exceptions=True,
            )
        # Its protocols let the errors of their libraries pass, of whatever kind.
        except Exception as error:
            raise FetchError(f"Rucio's client failed: {details(error)}") from error
        if result.get("clientState") not in _DONE:
            said = " ".join(str(traces[-1].get("stateReason")).split())[:300] if traces else ""
            raise FetchError(f"Rucio's client failed: {said or result.get('clientState')}")

    def _client_for_downloads(self) -> Any:
        with self._lock:
            if self._downloads is None:
                from rucio.client.downloadclient import DownloadClient

                self._downloads = DownloadClient(client=self._client, logger=_LOGGER.log)
            return self._downloads


# Which replica of a file to download first.


_PATIENCE = 3  # failures in a row


class Source(NamedTuple):
    """A replica of a file."""

    rse: str
    pfn: str


class Sources:
    """Knows the replicas that are wanted, and which of them are the best.

    First come disks, then source RSEs (which stand for the catalogue's own
    servers, that copies exist to spare), then tapes and RSEs that can not be
    read. Among equals, that is first whose URL the item gives (as a modifier
    with `prefer` makes it), and HTTP before protocols that can not be continued.
    An RSE that failed several times in a row comes after all others.
    """

    def __init__(self, client: Client, rse: str | None) -> None:
        """Make it.

        Args:
            client: A Rucio client.
            rse: The only RSE to take replicas from, or none for all.

        Raises:
            StacRucioError: The RSE does not exist, or Rucio can not be reached.
        """
        self._client = client
        self._only = rse
        self._ranks: dict[str, int] = {}
        self._failures: Counter[str] = Counter()
        if rse is not None:
            with rucio_errors(f"downloading from RSE {rse}"):
                client.get_rse(rse)

    def learn(self, rses: Iterable[str]) -> None:
        """Ask Rucio for the RSEs that are not known yet, in one request for each."""
        for rse in sorted(set(rses) - set(self._ranks)):
            try:
                with rucio_errors(f"asking for RSE {rse}"):
                    self._ranks[rse] = _rank(self._client.get_rse(rse))
            except StacRucioError:  # only the order depends on it
                self._ranks[rse] = _rank({})

    def of(self, file: RucioFile, url: str) -> list[Source]:
        """Give the available replicas of a file that are wanted, the best first.

        Args:
            file: The file.
            url: URL of the asset in its item.
        """
        found = [
            Source(rse, pfn)
            for rse, pfns in file.pfns.items()
            if self._only in (None, rse) and _is_available(file, rse)
            for pfn in pfns
        ]
        return sorted(
            found,
            key=lambda source: (
                self._failures[source.rse] >= _PATIENCE,
                self._ranks.get(source.rse, 0),
                source.pfn != url,
                http_url(source.pfn) is None,
            ),
        )

    def absence(self, file: RucioFile | None) -> str:
        """Say why there is no replica to download."""
        if file is None:
            return "not in Rucio; register it with create_replicas"
        if self._only is None:
            return "no replica is available"
        state = file.states.get(self._only)
        if state is None:
            return f"no replica at {self._only}"
        return f"its replica at {self._only} is {state}"

    def failed(self, source: Source) -> None:
        """Take note that an RSE did not answer."""
        self._failures[source.rse] += 1

    def worked(self, source: Source) -> None:
        """Take note that an RSE gave a file."""
        self._failures[source.rse] = 0


def _is_available(file: RucioFile, rse: str) -> bool:
    return file.states.get(rse, "AVAILABLE") == "AVAILABLE"


def _rank(rse: dict[str, Any]) -> int:
    if rse.get("rse_type") == "TAPE" or rse.get("availability_read") is False:
        return 2
    return 1 if rse.get("deterministic") is False else 0


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
