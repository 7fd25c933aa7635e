"""Downloads: the bytes of items in a folder, verified, as a catalogue of their own."""

from __future__ import annotations

from stac_client.progress import Progress

from .downloader import Downloader
from .results import DownloadOutcome, Downloads

__all__ = ["DownloadOutcome", "Downloader", "Downloads", "Progress"]
