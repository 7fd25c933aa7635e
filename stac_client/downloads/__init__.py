"""Downloads: the bytes of items in a folder, verified, as a catalogue of their own."""

from __future__ import annotations

from .downloader import Downloader
from .results import DownloadOutcome, Downloads, Progress

__all__ = ["DownloadOutcome", "Downloader", "Downloads", "Progress"]
