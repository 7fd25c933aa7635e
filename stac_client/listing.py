"""What Rucio knows of files: their size, checksums, and where their replicas are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from stac_policy.naming import DID

from .errors import rucio_errors
from .requests_in_bulk import batched

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rucio.client import Client


@dataclass(frozen=True)
class RucioFile:
    """A file in Rucio and its replicas."""

    did: DID
    size_bytes: int
    adler32: str | None
    md5: str | None
    pfns: Mapping[str, tuple[str, ...]]
    """PFNs by RSE, the best first. Of RSEs with the same PFN, Rucio lists but one."""
    states: Mapping[str, str]
    """State of the replica by RSE: AVAILABLE, COPYING, … Names every RSE that has one."""


def list_files(
    client: Client, dids: Iterable[DID], *, all_states: bool = False
) -> dict[DID, RucioFile]:
    """Ask Rucio for files and their replicas, in one request for each 1,000.

    Args:
        client: A Rucio client.
        dids: The files; those that Rucio does not know cost nothing.
        all_states: Not only replicas that are available, but also those on
            their way.

    Returns:
        The files that Rucio knows.

    Raises:
        StacRucioError: Rucio can not be reached or refuses.
    """
    files = {}
    for batch in batched(dict.fromkeys(dids)):
        with rucio_errors("listing replicas"):
            entries = client.list_replicas(
                [did._asdict() for did in batch],
                all_states=all_states,
                # By default Rucio sorts by the distance between addresses (GeoIP), which is
                # several times slower than all the rest where it has no database for that.
                sort="random",
                domain="wan",
                resolve_archives=False,
            )
            for entry in entries:
                did = DID(entry["scope"], entry["name"])
                files[did] = RucioFile(
                    did=did,
                    size_bytes=entry["bytes"],
                    adler32=entry["adler32"],
                    md5=entry["md5"],
                    pfns={rse: tuple(pfns) for rse, pfns in entry["rses"].items()},
                    states=entry.get("states", {}),
                )
    return files
