"""The files of a download: begun beside their places, digested as they come, put there at once."""

from __future__ import annotations

import fcntl
import json
import os
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from functools import partial
from typing import IO, TYPE_CHECKING

from stac_client._checksums import Checksums, Digester
from stac_client.errors import ConfigurationError
from stac_policy.http import FetchError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from threading import Event

# No part of a name starts with a dot: names of our own that do are never those of assets.
_LOCK = ".stac-rucio.lock"
_PIECE_BYTES = 1 << 18  # digested while it is in the processor's cache
_NONE = Checksums()
_digester = partial(Digester, md5=False)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Create a folder and keep other downloads out of it: two would mix up their bytes.

    Raises:
        ConfigurationError: Another download runs there, or nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        raise ConfigurationError(f"cannot write into {folder}: {error.strerror}") from error
    with os.fdopen(lock, "w"):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError(
                f"another download into {folder} is running; wait for it or choose another folder"
            ) from None
        except OSError:
            pass  # a file system without locks
        yield


def pieces_of(path: Path, stop: Event) -> Iterator[bytes]:
    """Yield the bytes of a file.

    Raises:
        CancelledError: `stop` is set.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            if stop.is_set():
                raise CancelledError
            yield piece


class MismatchError(FetchError):
    """A file is not the one that Rucio and the item speak of; the message says why."""


def digested(path: Path, expected: Checksums, stop: Event) -> Digester:
    """Return what has taken all bytes of a file; errors are those of `pieces_of`."""
    digester = _digester(expected)
    for piece in pieces_of(path, stop):
        digester.update(piece)
    return digester


class Part:
    """The bytes of a file so far, hidden beside its place, and the replica that they are of.

    They are digested as they are written.
    """

    def __init__(self, target: Path, expected: Checksums = _NONE) -> None:
        """Find what there is.

        Args:
            target: Where the file belongs.
            expected: What is known of it.
        """
        self.target = target
        self.path = target.with_name(f".{target.name}.part")
        self._note = target.with_name(f".{target.name}.from")
        self._may_be_noted = True
        self._unnoted: dict[str, str] | None = None
        self._file: IO[bytes] | None = None
        self._expected = expected
        self._digester = _digester(expected)

    @property
    def size_bytes(self) -> int:
        """How much there is."""
        with suppress(FileNotFoundError):
            return self.path.lstat().st_size
        return 0

    def source(self) -> tuple[str, str] | None:
        """URL and ETag of the replica that the bytes are of, if they can be continued."""
        if not self._may_be_noted:
            return None
        try:
            note = json.loads(self._note.read_text("utf-8"))
            return None if self.path.is_symlink() else (str(note["url"]), str(note["etag"]))
        except FileNotFoundError:
            self._may_be_noted = False
            return None
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def begun(self, url: str) -> tuple[int, str | None]:
        """Return how many bytes there are of the replica at a URL, and its ETag."""
        source = self.source()
        return (self.size_bytes, source[1]) if source and source[0] == url else (0, None)

    def restart(self, url: str, etag: str | None) -> None:
        """Begin with no bytes; without the strong ETag of the replica it cannot be continued."""
        self.remove()
        self._unnoted = None if etag is None else {"url": url, "etag": etag}
        # Exclusively: never through a link, or into a file that has another name.
        try:
            self._file = self.path.open("xb")
        except FileNotFoundError:
            self.target.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("xb")

    def write(self, piece: bytes) -> None:
        """Add bytes; `close` has to follow, once."""
        self._file = self._file or self.path.open("ab")
        if self._unnoted and self._digester.size_bytes:  # one piece is not worth a note
            self._may_be_noted = True
            with self._note.open("x", encoding="utf-8") as file:
                json.dump(self._unnoted, file)
            self._unnoted = None
        self._file.write(piece)
        self._digester.update(piece)

    def close(self) -> None:
        """Write out what is not in the file yet."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def take(self, path: Path) -> None:
        """Let a file be the part."""
        self.remove()
        path.replace(self.path)

    def digested(self, stop: Event) -> Digester:
        """Return what has taken all bytes; where others were there before, they are read."""
        if self._digester.size_bytes != self.size_bytes:
            self._digester = digested(self.path, self._expected, stop)
        return self._digester

    def finish(self) -> None:
        """Put the file in its place, at once."""
        self.path.replace(self.target)
        self._remove_note()

    def remove(self) -> None:
        """Remove what there is."""
        self.close()
        self._digester, self._unnoted = _digester(self._expected), None
        self.path.unlink(missing_ok=True)
        self._remove_note()

    def _remove_note(self) -> None:
        if self._may_be_noted:
            self._note.unlink(missing_ok=True)
            self._may_be_noted = False
