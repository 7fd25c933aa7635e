"""One replica by any protocol that Rucio knows (root, srm, …), by its own download client."""

from __future__ import annotations

import logging
import shutil
from threading import Lock
from typing import TYPE_CHECKING, Any

from stac_client.errors import details

from .http import FetchError

if TYPE_CHECKING:
    from rucio.client import Client

    from stac_policy.naming import DID

    from .files import Part

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
