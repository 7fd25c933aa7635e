"""How far a download is, counted by several threads."""

from __future__ import annotations

from threading import Lock

from .results import Progress


class Tally:
    """Counts files and bytes."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._files_done = self._files_total = 0
        self._bytes_done = self._bytes_total = 0

    def expect(self, size_bytes: int) -> FileTally:
        """Count one more file that is to come."""
        with self._lock:
            self._files_total += 1
            self._bytes_total += size_bytes
        return FileTally(self, size_bytes)

    def add(self, *, files_done: int = 0, bytes_done: int = 0, bytes_total: int = 0) -> None:
        """Change the counts."""
        with self._lock:
            self._files_done += files_done
            self._bytes_done += bytes_done
            self._bytes_total += bytes_total

    def progress(self) -> Progress:
        """The counts as they are now."""
        with self._lock:
            return Progress(
                self._files_done, self._files_total, self._bytes_done, self._bytes_total
            )


class FileTally:
    """The share of one file; for one thread at a time."""

    def __init__(self, tally: Tally, size_bytes: int) -> None:
        self._tally = tally
        self._size_bytes = size_bytes
        self._bytes = 0

    def reached(self, size_bytes: int) -> None:
        """Say how much of the file is there."""
        self._tally.add(bytes_done=size_bytes - self._bytes)
        self._bytes = size_bytes

    def done(self, *, there: bool) -> None:
        """Say that no more will come, and whether the file is there."""
        self.reached(self._size_bytes if there else 0)
        self._tally.add(files_done=1, bytes_total=0 if there else -self._size_bytes)
