"""How far work on files is, counted by several threads and reported by one."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

from .display.markup import html_bar, html_block, size

if TYPE_CHECKING:
    from collections.abc import Callable

REPORT_S = 0.2
"""Between two reports, in seconds."""


@dataclass(frozen=True)
class Progress:
    """How far a download, or the look-ups of a registration, are.

    The totals grow while items are read. What fails is done, but its bytes
    count no more.
    """

    files_done: int
    files_total: int
    bytes_done: int
    """Downloaded bytes; fewer again when a file has to start anew."""
    bytes_total: int
    """Bytes to download, as far as their sizes are known."""

    def _repr_html_(self) -> str:
        """For notebooks: a bar."""
        said = f"{self.files_done:,} of {self.files_total:,} files"
        if self.bytes_total:
            said += f", {size(self.bytes_done)} of {size(self.bytes_total)} downloaded"
        return html_block(html_bar(self.files_done, self.files_total, said))


class Tally:
    """Counts files and bytes."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._files_done = self._files_total = 0
        self._bytes_done = self._bytes_total = 0

    def expect(self, size_bytes: int = 0) -> FileTally:
        """Count one more file that is to come.

        Args:
            size_bytes: Its size; 0 while nobody knows how much will be downloaded.
        """
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
        self._is_done = False

    def announce(self, size_bytes: int) -> None:
        """Say how large the file is, where that was not known before."""
        self._tally.add(bytes_total=size_bytes - self._size_bytes)
        self._size_bytes = size_bytes

    def reached(self, size_bytes: int) -> None:
        """Say how much of the file is there."""
        if size_bytes > self._size_bytes:
            self.announce(size_bytes)
        self._tally.add(bytes_done=size_bytes - self._bytes)
        self._bytes = size_bytes

    def done(self, *, there: bool) -> None:
        """Say that no more will come, and whether the file is there; only the first time counts."""
        if self._is_done:
            return
        self._is_done = True
        self.reached(self._size_bytes if there else 0)
        self._tally.add(files_done=1, bytes_total=0 if there else -self._size_bytes)


class Reporter:
    """Reports what a tally counts, in the thread that calls it, if that has changed."""

    def __init__(self, tally: Tally, on_progress: Callable[[Progress], None]) -> None:
        self._tally = tally
        self._on_progress = on_progress
        self._reported: Progress | None = None

    def report(self) -> None:
        """Report."""
        progress = self._tally.progress()
        if progress != self._reported:
            self._on_progress(progress)
            self._reported = progress
