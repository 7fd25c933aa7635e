"""Files of a download in their folder: where they are, whether they are right, half a file."""

from __future__ import annotations

import fcntl
import json
import os
from concurrent.futures import CancelledError
from contextlib import contextmanager
from typing import TYPE_CHECKING

from stac_client.catalogue.checksums import Checksums, Digester
from stac_client.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from threading import Event

    from stac_policy.naming import DID

# No part of a name starts with a dot: names of our own that do are never those of assets.
_LOCK = ".stac-rucio.lock"
_CATALOGUE_FILES = ("catalog.json", "collection.json")
"""In the folder, and in that of a collection."""
_CHUNK_BYTES = 1 << 20


class UnusablePathError(Exception):
    """A file has no place in the folder; the message says why."""


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


def place(folder: Path, did: DID) -> Path:
    """Where an asset's file is: `COLLECTION/ITEM/ASSET`, the parts of its name in Rucio.

    They are escaped, so none is `..` or hidden. Without the collection, items
    of the same id would meet. `rucio download` of an item writes the same.

    Args:
        folder: The folder of the download, resolved.
        did: The asset's file in Rucio.

    Raises:
        UnusablePathError: The place would be outside the folder, by a symbolic
            link, or is that of the catalogue.
    """
    collection, item, asset = did.name[1:].split("/")
    for part, taken in zip((collection, item), _CATALOGUE_FILES):
        if part.lower() == taken:  # as file systems that ignore case see it
            raise UnusablePathError(f"{taken} is the catalogue's own file in {folder}")
    parent = folder / collection / item
    if os.path.realpath(parent) != str(parent):
        raise UnusablePathError(f"a symbolic link leads from {parent} to elsewhere")
    return parent / asset


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
