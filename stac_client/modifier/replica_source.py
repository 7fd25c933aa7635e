"""Where the modifier has its knowledge from: Rucio, asked rarely and never waited for too long."""

from __future__ import annotations

import copy
import time
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from stac_client.errors import (
    ConfigurationError,
    RequestError,
    StacRucioError,
    UnreachableError,
    rucio_errors,
)
from stac_client.listing import list_readable
from stac_client.requests_in_bulk import batched

from .prefer import SCHEMES
from .replica_cache import Cache
from .storage_facts import storage_scheme
from .time_limit import TimeLimitError, run_together

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from rucio.client import Client

    from stac_client.listing import PFNs
    from stac_policy.naming import DID

PAUSE_S = 15.0
"""After a failure, Rucio is left alone for so long."""
_RSES_FOR_S = 600.0
_REPLICAS_KEPT = 20_000
_RSES_KEPT = 1_000
_WORKERS = 4
_NO_RSE = "resulted in an empty set"


class Answers(NamedTuple):
    """What Rucio says of files."""

    pfns: Mapping[DID, PFNs]
    """Of the files that it knows."""
    resolved: Mapping[str, frozenset[str]]
    """The RSEs of each RSE expression."""
    asked: bool
    """Whether Rucio had to be asked."""


class ReplicaSource:
    """Asks Rucio for replicas and RSEs, and remembers for a while what it said.

    For any number of threads. All requests of a call run together, under one
    time limit. After a failure, the same failure is the answer for some seconds.
    """

    def __init__(self, client: Client, clock: Callable[[], float] = time.monotonic) -> None:
        """Make one.

        Args:
            client: A Rucio client.
            clock: Gives the time in seconds.
        """
        self._client = client
        self._clock = clock
        self._best: Cache[DID, PFNs | None] = Cache(_REPLICAS_KEPT, clock)
        self._all: Cache[DID, PFNs | None] = Cache(_REPLICAS_KEPT, clock)
        self._resolved: Cache[str, frozenset[str]] = Cache(_RSES_KEPT, clock)
        self._schemes: Cache[str, dict[str, Any]] = Cache(_RSES_KEPT, clock)
        self._clients: dict[float | None, Client] = {}
        # Not the error itself, which would keep alive all that it passes through.
        self._failed: tuple[float, type[StacRucioError], str] | None = None

    def find(
        self,
        dids: Iterable[DID],
        expressions: Iterable[str],
        *,
        protocols: bool,
        timeout_s: float | None,
        max_age_s: float,
        insist: bool,
    ) -> Answers:
        """Give the replicas of files, and the RSEs of RSE expressions.

        Args:
            dids: The files.
            expressions: The RSE expressions.
            protocols: Whether PFNs of all protocols are wanted, not of the best only.
            timeout_s: How long to wait for Rucio, in seconds, or None for any time.
            max_age_s: How old an answer about replicas may be, in seconds.
            insist: Ask again even if Rucio has just failed.

        Raises:
            StacRucioError: Rucio can not be reached, does not answer in time, or
                refuses.
        """
        wanted = list(dict.fromkeys(dids))
        cache, schemes = (self._all, SCHEMES) if protocols else (self._best, ())
        known = cache.get(wanted, max_age_s)
        unknown = [did for did in wanted if did not in known]
        resolved = self._resolved.get(expressions, _RSES_FOR_S)
        unresolved = [each for each in dict.fromkeys(expressions) if each not in resolved]
        client = self._with_timeout(timeout_s)
        listings = [partial(list_readable, client, batch, schemes) for batch in batched(unknown)]
        resolutions = [partial(_resolve, client, each) for each in unresolved]
        if listings or resolutions:
            answers = self._ask([*resolutions, *listings], timeout_s, insist=insist)
            new_resolved = dict(zip(unresolved, answers))
            new: dict[DID, PFNs | None] = dict.fromkeys(unknown)
            for listed in answers[len(resolutions) :]:
                new.update(listed)
            self._resolved.put(new_resolved)
            cache.put(new)
            known |= new
            resolved |= new_resolved
        registered = {did: pfns for did, pfns in known.items() if pfns is not None}
        return Answers(registered, resolved, asked=bool(listings or resolutions))

    def storage_schemes(
        self, rses: Iterable[str], *, timeout_s: float | None
    ) -> dict[str, dict[str, Any]]:
        """Give what is known of the storage of RSEs, as the Storage extension has it.

        Raises:
            StacRucioError: As in `find`.
        """
        wanted = list(dict.fromkeys(rses))
        known = self._schemes.get(wanted, _RSES_FOR_S)
        unknown = [rse for rse in wanted if rse not in known]
        if unknown:
            client = self._with_timeout(timeout_s)
            jobs: list[Callable[[], Any]] = [
                partial(_storage_scheme, client, rse) for rse in unknown
            ]
            new = dict(zip(unknown, self._ask(jobs, timeout_s)))
            self._schemes.put(new)
            known |= new
        return known

    def clear(self) -> None:
        """Forget what Rucio has said, and that it has failed."""
        self._best.clear()
        self._all.clear()
        self._resolved.clear()
        self._schemes.clear()
        self._failed = None

    def _ask(
        self, jobs: Sequence[Callable[[], Any]], timeout_s: float | None, *, insist: bool = False
    ) -> Any:
        failed = self._failed
        if failed is not None and not insist and self._clock() - failed[0] < PAUSE_S:
            raise failed[1](f"{failed[2]} (Rucio is asked again {PAUSE_S:g} s after that)")
        try:
            answers = _run(jobs, timeout_s)
        except ConfigurationError:  # concerns this question only, and was answered
            raise
        except StacRucioError as error:
            self._failed = (self._clock(), type(error), str(error))
            raise
        self._failed = None
        return answers

    def _with_timeout(self, timeout_s: float | None) -> Client:
        """The client, with a time limit of its own for each of its requests.

        So the threads that are no longer waited for come to an end, and nobody
        else who uses the client gets the limit. The session is the same: its
        connections may be used by many threads at once.
        """
        client = self._clients.get(timeout_s)
        if client is None:
            client = copy.copy(self._client)
            if timeout_s is not None:
                client.timeout = timeout_s
            self._clients[timeout_s] = client
        return client


def _run(jobs: Sequence[Callable[[], Any]], timeout_s: float | None) -> list[Any]:
    try:
        return run_together(jobs, timeout_s=timeout_s, workers=_WORKERS)
    except TimeLimitError as error:
        raise UnreachableError(
            f"listing replicas: the Rucio server did not answer within {timeout_s:g} s; "
            "is it well? timeout_s gives it more time"
        ) from error
    except ValueError as error:  # no JSON
        raise RequestError(
            "listing replicas: the answer is none of Rucio's; is rucio_host right?"
        ) from error


def _resolve(client: Client, expression: str) -> frozenset[str]:
    try:
        with rucio_errors(f"resolving the RSE expression {expression!r}"):
            return frozenset(entry["rse"] for entry in client.list_rses(expression))
    except ConfigurationError as error:
        if _NO_RSE in str(error):
            return frozenset()
        raise


def _storage_scheme(client: Client, rse: str) -> dict[str, Any]:
    with rucio_errors(f"asking for RSE {rse}"):
        settings, attributes = client.get_rse(rse), client.list_rse_attributes(rse)
    return storage_scheme(rse, client.host, settings, attributes)
