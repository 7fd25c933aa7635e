"""Which replica of a file to download first."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from stac_client.errors import StacRucioError, rucio_errors

from .http import http_url

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rucio.client import Client

    from stac_client.listing import RucioFile

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
