"""What became of each asset of a download."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from stac_client.errors import RequestError
from stac_client.results import Outcome, Outcomes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class DownloadOutcome(Outcome):
    """What became of one asset, and why."""

    path: Path | None = None
    """Where its bytes are, verified; absolute."""
    checksum: str | None = None
    """Multihash (hex digits) of the file that is there, for `file:checksum`."""
    rse: str | None = None
    """The RSE that it was downloaded from."""
    url: str | None = None
    """The PFN that it was downloaded from."""


class Downloads(Outcomes[DownloadOutcome]):
    """The outcomes of a download, one for each asset of each item."""

    def __init__(
        self,
        outcomes: Iterable[DownloadOutcome],
        catalogue: Path,
        catalogue_problems: Sequence[str] = (),
    ) -> None:
        super().__init__(outcomes)
        self.catalogue = catalogue
        """The catalogue of all items in the folder: `pystac.Catalog.from_file` opens it."""
        self.catalogue_problems = tuple(catalogue_problems)
        """What could not be written of the catalogue, and why; usually nothing."""

    @property
    def paths(self) -> list[Path]:
        """The files that are there now."""
        return [outcome.path for outcome in self if outcome.path is not None]

    def _notes(self) -> Sequence[str]:
        return self.catalogue_problems

    def raise_for_failed(self) -> None:
        """Raise if any asset failed, or if the catalogue could not be written.

        Raises:
            RequestError: As after a registration.
        """
        super().raise_for_failed()
        if self.catalogue_problems:
            raise RequestError(f"all files are there, but {self.catalogue_problems[0]}")
