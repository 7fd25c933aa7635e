"""Bulk requests to Rucio: as large as the server takes, and one bad entry spoils no other."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from json import JSONDecodeError
from typing import TYPE_CHECKING, Any, TypeVar

from rucio.common.exception import DatabaseException, RucioException

from stac_client.errors import RequestError, StacRucioError, rucio_errors
from stac_policy.naming import DID

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

    from rucio.client import Client


# Patience with a Rucio server that is too busy, or in trouble: what may pass is asked again.


T = TypeVar("T")

_PAUSES_S = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)

# What SQLite, PostgreSQL, MySQL, Oracle and SQLAlchemy say when others are in the way, or a
# connection has gone. Whatever else a database says lies in the request.
_PASSING = (
    "database is locked",
    "database table is locked",
    "deadlock",
    "could not serialize access",
    "lock wait timeout",
    "lock timeout",
    "too many connections",
    "too many clients",
    "remaining connection slots",
    "queuepool limit",
    "server closed the connection",
    "connection refused",
    "lost connection",
    "gone away",
    "ora-00054",
    "ora-00060",
    "ora-08177",
)


# What Rucio's client says of an answer that is not Rucio's own, but of what stands before it.
_TROUBLED = re.compile(
    r"no error information passed \(http status code: (408|425|429|500|502|503)\)"
)
# What takes too long may be too much for one request.
_TOO_LONG = "Details: no error information passed (http status code: 504)"


def patiently(request: Callable[[], T]) -> T:
    """Send a request, and again after a pause while the server is too busy for it.

    Args:
        request: Sends it; what it does must bear doing twice.

    Returns:
        What it gives.

    Raises:
        StacRucioError: What it raises, the last time in a quarter of a minute if that
            may still pass.
    """
    for pause_s in _PAUSES_S:
        try:
            return request()
        except RequestError as error:
            if not may_pass(error):
                raise
        # Several that were in each other's way must not come back all at once.
        time.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
    return request()


def may_pass(error: RequestError) -> bool:
    """Tell whether others were in the way, the server was in trouble, or its answer broke off."""
    if isinstance(error.__cause__, (JSONDecodeError, StopIteration)):
        return True
    # Rucio has some errors of its database without a class of their own.
    if type(error.__cause__) not in {DatabaseException, RucioException}:
        return False
    # After it stands the statement, with names that a catalogue chose.
    said = str(error.__cause__).partition("[SQL")[0].lower()
    return any(passing in said for passing in _PASSING) or bool(_TROUBLED.search(said))


def took_too_long(error: RequestError) -> bool:
    """Tell whether a proxy in front of Rucio has waited for its answer for too long."""
    cause = error.__cause__
    return type(cause) is RucioException and str(cause).endswith(_TOO_LONG)


K = TypeVar("K", bound="Hashable")

REQUEST_DIDS = 1000
"""The most DIDs in one request (`rucio.common.schema.generic`, `maxItems`)."""

_LEAST = 50


def batched(values: Iterable[T], size: int = REQUEST_DIDS) -> Iterator[list[T]]:
    """Cut values into lists of `size`, the last one maybe shorter, without holding more."""
    iterator = iter(values)
    while batch := list(islice(iterator, size)):
        yield batch


def grouped(values: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    """Put values into lists by their key, in the order in which they come."""
    groups: dict[K, list[T]] = {}
    for value in values:
        groups.setdefault(key(value), []).append(value)
    return groups


class Sender:
    """Sends values in bulk requests, in halves where the server refuses one.

    It remembers the size that the server's database took (SQLite refuses
    statements well below 1,000 DIDs), and what a proxy in front of the server
    leaves the time for. Several threads may use it at a time.
    """

    def __init__(self) -> None:
        self._largest = REQUEST_DIDS

    def send(
        self, values: list[T], request: Callable[[list[T]], object]
    ) -> list[tuple[T, StacRucioError]]:
        """Send all values.

        Args:
            values: What to send.
            request: Sends some of them; raises a StacRucioError if that fails. It is
                sent again while the server's database is busy.

        Returns:
            The values that were refused, each with the reason. A refusal that
            does not lie in a single value (no permission, say) concerns all that
            were in the request. If the server needs too long even for few values,
            the others are refused as well, without being sent.
        """
        refused: list[tuple[T, StacRucioError]] = []
        pending = list(batched(values, self._largest))
        while pending:
            part = pending.pop()
            try:
                patiently(partial(request, part))
            except RequestError as error:
                slow = took_too_long(error)
                if slow and len(part) <= _LEAST:
                    # The server is in trouble: smaller requests would only be more of them.
                    reason = _too_slow(error, len(part))
                    refused += [(value, reason) for left in (part, *pending) for value in left]
                    break
                if len(part) == 1 or may_pass(error):
                    refused += [(value, error) for value in part]
                    continue
                half = max((len(part) + 1) // 2, _LEAST if slow else 1)
                if slow or isinstance(error.__cause__, DatabaseException):
                    self._largest = min(self._largest, max(half, _LEAST))
                pending += [part[:half], part[half:]]
            except StacRucioError as error:
                refused += [(value, error) for value in part]
        return refused


def _too_slow(error: RequestError, count: int) -> RequestError:
    """Say of an error what a proxy's time limit was too short for, and what to do."""
    told = RequestError(
        f"{error}: a proxy in front of Rucio does not wait as long as Rucio needs even for "
        f"{count} at a time; raise its time limit, or ask again when Rucio is less busy"
    )
    told.__cause__ = error.__cause__
    return told


# What Rucio knows of files: their size, checksums, and where their replicas are.


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
