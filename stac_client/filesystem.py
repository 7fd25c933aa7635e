"""Rucio's files by their DIDs, for whatever opens files by fsspec.

fsspec.open("rucio://SCOPE//COLLECTION/ITEM/KEY.tif")

What is behind the first slash is the name; those of STAC begin with one. fsspec finds this module
by the entry point `fsspec.specs`. A file is read in ranges from the copy that is preferred, and
from another one where that fails, by the rules and with the credentials of downloads.
"""

from __future__ import annotations

import errno
import os
from difflib import get_close_matches
from functools import partial
from http import HTTPStatus
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

try:
    from fsspec.spec import AbstractBufferedFile, AbstractFileSystem
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"stac_client.filesystem needs {error.name}; install it with: "
        "pip install 'stac-rucio[fsspec]'",
        name=error.name,
    ) from error
from rucio.common.exception import DataIdentifierNotFound

from stac_client._alternates import is_http
from stac_client._modifier import Modifier, ModifierOptions
from stac_client._rucio import Rucio, did_of, make_client, number_of, text_of
from stac_client._sources import Sources
from stac_client.errors import ConfigurationError, RequestError, near
from stac_policy.bodies import pieces
from stac_policy.credentials import Credentials
from stac_policy.http import (
    Attempts,
    FetchError,
    content_length,
    make_session,
    open_url,
    require_ok,
    require_plain,
    strong_etag,
)
from stac_policy.naming import DID

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import requests
    from rucio.client import Client
    from typing_extensions import Never

    from stac_client._replicas import Prefer, Prefixes, Replica, RSEs


_NEAR = 0.75
"""So much like one of our own options is a name that is none; fsspec would forget it."""


def did_url(did: DID) -> str:
    """Return the URL by which fsspec opens a DID."""
    return f"{RucioFileSystem.protocol}://{_path(did)}"


def _path(did: DID) -> str:
    return f"{did.scope}/{did.name}"


def _did(path: str) -> DID:
    scope, _, name = path.partition("/")
    if not (scope and name):
        raise FileNotFoundError(
            errno.ENOENT, "No DID (rucio://SCOPE//COLLECTION/ITEM is one)", path
        )
    return DID(scope, name)


def _is_directory(did: DID) -> IsADirectoryError:
    return IsADirectoryError(errno.EISDIR, "A dataset or container of Rucio", str(did))


class RucioFileSystem(AbstractFileSystem):  # type: ignore[misc] # fsspec has no types
    """Rucio, as fsspec sees it: files, and datasets and containers as folders; read only.

    It can be pickled, and used in other processes and by several threads. Ranges are compared
    with the size of their file; only whole files have checksums, which downloads verify.

    Examples:
        >>> fsspec.open("rucio://SCOPE//COLLECTION/ITEM/KEY.tif", prefer=["DISK-A"])
        >>> pandas.read_csv("rucio://SCOPE//COLLECTION/ITEM/KEY.csv")
    """

    protocol = "rucio"

    def __init__(
        self,
        *,
        account: str | None = None,
        config: Path | str | None = None,
        prefer: Prefer = (),
        only: RSEs = (),
        exclude: RSEs = (),
        mounts: Prefixes | None = None,
        site: str | None = None,
        pays: bool = False,
        **options: Any,
    ) -> None:
        """Connect to Rucio; each argument is a storage option of fsspec.

        Args:
            account: Another account than that of rucio.cfg.
            config: A rucio.cfg other than the usual one.
            prefer: The preferred replicas, as in `Modifier.with_options`; where there is none of
                them, a file is read from where `StacClient.download` would take it: the
                original comes after the copies on disks.
            only: RSEs and RSE expressions; nothing is read elsewhere.
            exclude: RSEs and RSE expressions from which nothing is read.
            mounts: Where storages are mounted here, as in `Modifier.with_options`.
            site: The site that `prefer="nearest"` means, as there.
            pays: Read also what the requester pays for, with your keys of AWS.
            options: Those of every file system of fsspec.

        Raises:
            StacRucioError: An option does not fit, or Rucio cannot be reached.
        """
        own = [*signature(RucioFileSystem.__init__).parameters]
        for name in options:
            if get_close_matches(name.lower(), own, cutoff=_NEAR):
                raise ConfigurationError(f"no storage option {name!r}", hint=near(name, own))
        super().__init__(**options)  # fsspec itself keeps the others, for pickles
        wanted = ModifierOptions(prefer, only, exclude, mounts, protocols=True, site=site)
        self._rucio = Rucio.connect(partial(make_client, account, config))
        self._modifier = Modifier(self._rucio, wanted)
        self._pays = pays
        self._session: tuple[int, requests.Session] | None = None

    @property
    def session(self) -> requests.Session:
        """The session of this process: a fork would share connections and locks with another."""
        session = self._session
        if session is None or session[0] != os.getpid():
            session = os.getpid(), make_session(signer=Credentials(pays=self._pays))
            self._session = session
        return session[1]

    def replicas(self, did: DID) -> tuple[int, Sources, list[Replica]]:
        """Return the size of a file in bytes, and its replicas that can be read, the best first.

        Raises:
            FileNotFoundError: Rucio does not know it.
            IsADirectoryError: It is no file.
            StacRucioError: Nothing can be read, or Rucio cannot be asked.
        """
        file, shown = self._modifier.find(did)
        if file is None and self.info(_path(did))["type"] == "directory":
            raise _is_directory(did)
        self._modifier.require_known(
            self._modifier.options.selector.every(file.pfns) if file else ()
        )
        sources = Sources(self._modifier)
        found: list[Replica] = []
        if file is not None:
            sources.learn(shown)
            found = [each for each in sources.of(file) if each.rse in shown]
        readable = [each for each in found if each.is_mounted or is_http(each.url)]
        if file is None or not readable:
            where = ", ".join(sorted(each.key for each in found))
            raise RequestError(
                f"{did} has no replica that can be read"
                + (f" over HTTP or at a mount (but at {where})" if where else ""),
                hint="wait for its rule, look at only and exclude, or use StacClient.download, "
                "which knows all protocols",
            )
        return file.size_bytes, sources, readable

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Return what Rucio says of a DID.

        Returns:
            Its path (`name`), `type` ("file" or "directory") and `size` in bytes; of a file
            `adler32` and `md5`, too.

        Raises:
            FileNotFoundError: Rucio does not know it.
            StacRucioError: Rucio cannot be asked.
        """
        did = _did(self._strip_protocol(path))

        def ask(client: Client) -> dict[str, Any]:
            return _entry({"name": did.name, **client.get_did(*did)})

        found = self._rucio.ask_unless(f"asking for {did}", ask, DataIdentifierNotFound)
        if found is None:
            raise FileNotFoundError(errno.ENOENT, "Rucio does not know it", str(did))
        return found

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:  # noqa: FBT001, FBT002 - of fsspec
        """Return what is in a dataset or container, sorted; of a file, the file.

        Raises:
            FileNotFoundError: Rucio does not know it.
            StacRucioError: Rucio cannot be asked.
        """
        found = self.info(path)
        entries = [found]
        if found["type"] == "directory":
            did = _did(found["name"])

            def ask(client: Client) -> list[dict[str, Any]]:
                return [_entry(each) for each in client.list_content(*did)]

            entries = self._rucio.ask(f"listing {did}", ask)
        entries.sort(key=lambda each: each["name"])
        return entries if detail else [each["name"] for each in entries]

    # fsspec's own take a Rucio that does not answer for a file that is not there.

    def exists(self, path: str, **_: Any) -> bool:
        """Return whether Rucio knows a DID."""
        try:
            return bool(self.info(path))
        except FileNotFoundError:
            return False

    def isfile(self, path: str) -> bool:
        """Return whether a DID is that of a file."""
        try:
            return bool(self.info(path)["type"] == "file")
        except FileNotFoundError:
            return False

    def _open(self, path: str, mode: str = "rb", **options: Any) -> RucioFile:
        if mode != "rb":
            self._read_only()
        did = _did(path)
        size_bytes, sources, replicas = self.replicas(did)
        options["size"] = size_bytes
        return RucioFile(self, path, sources=sources, replicas=replicas, **options)

    def _read_only(self, *_: Any, **__: Any) -> Never:
        raise OSError(errno.EROFS, "Rucio is read only here; StacClient registers and replicates")

    mkdir = makedirs = rmdir = touch = rm = rm_file = _rm = _read_only
    cp_file = mv = put = put_file = pipe = pipe_file = copy = _read_only


def _entry(said: Mapping[str, Any]) -> dict[str, Any]:
    """What fsspec says of a file or folder, from what Rucio says of it."""
    is_file = text_of(said["type"]) == "FILE"
    size_bytes = number_of(said["bytes"]) if is_file else 0
    entry = {"name": _path(did_of(said)), "size": size_bytes}
    if not is_file:
        return {**entry, "type": "directory"}
    return {**entry, "type": "file", "adler32": said.get("adler32"), "md5": said.get("md5")}


class RucioFile(AbstractBufferedFile):  # type: ignore[misc]
    """A file that is read in ranges, from any of its replicas."""

    def __init__(
        self, *args: Any, sources: Sources, replicas: Iterable[Replica], **options: Any
    ) -> None:
        """Take replicas, the best first; other arguments are those of fsspec."""
        self._sources = sources
        self._replicas = list(replicas)
        self._etags: dict[str, str | None] = {}
        super().__init__(*args, **options)

    def _fetch_range(self, start: int, end: int) -> bytes:
        """Return the bytes from one place to another."""
        if start >= end:
            return b""
        try:
            replica, data = self._sources.first(
                self._replicas, partial(self._read_replica, start=start, end=end), Attempts()
            )
        except FetchError as error:
            raise RequestError(f"{_did(self.path)} cannot be read: {error}") from error
        # What has answered is asked first from now on.
        self._replicas.sort(key=lambda each: each != replica)
        return data

    def _read_replica(self, replica: Replica, start: int, end: int) -> bytes:
        if replica.is_mounted:
            return self._read_path(Path(replica.url), start, end)
        headers = {"Range": f"bytes={start}-{end - 1}"}
        with open_url(self.fs.session, replica.url, headers=headers) as response:
            whole_bytes = content_length(response)
            skipped = start
            if response.status_code == HTTPStatus.PARTIAL_CONTENT:
                said = response.headers.get("Content-Range", "")
                if said != f"bytes {start}-{end - 1}/{self.size}":
                    raise FetchError(f"not bytes {start}-{end - 1} of {self.size}, but {said[:80]}")
                whole_bytes, skipped = self.size, 0
            else:
                require_ok(response)  # the whole, as servers without ranges send it
            require_plain(response)
            self._require_size(whole_bytes)
            etag = strong_etag(response)
            if self._etags.setdefault(replica.url, etag) != etag:
                raise FetchError("it has changed since it was opened")
            data = bytearray()
            for piece in pieces(response):
                data += piece[skipped:]
                skipped = max(0, skipped - len(piece))
                if len(data) >= end - start:
                    break
        return self._complete(bytes(data[: end - start]), end - start)

    def _read_path(self, path: Path, start: int, end: int) -> bytes:
        try:
            with path.open("rb") as file:
                self._require_size(os.fstat(file.fileno()).st_size)
                file.seek(start)
                return self._complete(file.read(end - start), end - start)
        except OSError as error:
            raise FetchError(f"{path} cannot be read ({error.strerror})") from error

    def _require_size(self, found_bytes: int | None) -> None:
        if found_bytes not in {None, self.size}:
            raise FetchError(f"it has {found_bytes} bytes there instead of {self.size}")

    @staticmethod
    def _complete(data: bytes, size_bytes: int) -> bytes:
        if len(data) != size_bytes:
            raise FetchError(f"it ended after {len(data)} of {size_bytes} bytes")
        return data
