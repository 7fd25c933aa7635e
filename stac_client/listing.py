"""What Rucio knows of files: their size, checksums, and where their replicas are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stac_policy.naming import DID

from .errors import RequestError, rucio_errors
from .requests_in_bulk import batched

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rucio.client import Client

PFNs = Mapping[str, "tuple[str, ...]"]
"""PFNs of available replicas by RSE, the best first."""

# By default Rucio sorts by the distance between addresses (GeoIP), which is several times slower
# than all the rest where it has no database for that; and it looks for archives with the files.
_QUICKLY = {"sort": "random", "domain": "wan", "resolve_archives": False}


@dataclass(frozen=True)
class RucioFile:
    """A file in Rucio and its replicas."""

    did: DID
    size_bytes: int
    adler32: str | None
    md5: str | None
    pfns: PFNs
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
        for entry in _list(client, batch, all_states=all_states):
            did = DID(entry["scope"], entry["name"])
            files[did] = RucioFile(
                did=did,
                size_bytes=entry["bytes"],
                adler32=entry["adler32"],
                md5=entry["md5"],
                pfns=_pfns(entry),
                states=entry.get("states", {}),
            )
    return files


def list_readable(
    client: Client, dids: Iterable[DID], schemes: Iterable[str] = ()
) -> dict[DID, PFNs]:
    """Ask Rucio, in one request, for the replicas that can be read now.

    That leaves out RSEs whose operators have closed them for reading.

    Args:
        client: A Rucio client.
        dids: The files, 1,000 at most; those that Rucio does not know cost nothing.
        schemes: The schemes of the protocols; by default that of the best protocol
            of each RSE.

    Returns:
        The replicas of the files that Rucio knows.

    Raises:
        StacRucioError: Rucio can not be reached or refuses.
    """
    entries = _list(client, dids, ignore_availability=False, schemes=list(schemes))
    return {DID(entry["scope"], entry["name"]): _pfns(entry) for entry in entries}


def _list(client: Client, dids: Iterable[DID], **options: object) -> Iterator[dict[str, Any]]:
    asked = [{"scope": scope, "name": name} for scope, name in dids]
    with rucio_errors("listing replicas"):
        for entry in client.list_replicas(asked, **_QUICKLY, **options):
            if not (isinstance(entry, Mapping) and isinstance(entry.get("rses"), Mapping)):
                raise RequestError(
                    "listing replicas: the answer is none of Rucio's; is rucio_host right?"
                )
            yield dict(entry)


def _pfns(entry: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    return {rse: tuple(pfns) for rse, pfns in entry["rses"].items()}
