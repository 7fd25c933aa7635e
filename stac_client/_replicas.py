"""Replicas that can be read: cached, time-limited look-ups, and facts about their RSEs."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from contextlib import suppress
from functools import cache, partial
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

from stac_client._rucio import Rucio, batched
from stac_client.errors import ConfigurationError, StacRucioError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence

    from stac_client._rucio import PFNs
    from stac_policy.naming import DID

MOUNTED = "file"
"""The scheme of a path below which an RSE is mounted."""

# fmt: off
SCHEMES = (
    "davs", "https", "root", "http", "dav", "s3s", "s3", "gs", "gsiftp", "srm", "srm+https",
    "file", "storm", "scp", "rsync", "rclone",
)
# fmt: on
"""The schemes of the protocols that RSEs have."""


class Replica(NamedTuple):
    """A replica of a file, at one of the URLs by which it can be read."""

    key: str
    """Its key among alternates: the RSE, with the scheme where the RSE has several URLs."""
    rse: str
    pfn: str
    path: str | None = None
    """The path of the file, where the RSE is mounted."""

    @property
    def url(self) -> str:
        """What tools read; this is where a PFN becomes such a URL."""
        return self.path or self.pfn

    @property
    def scheme(self) -> str:
        """The scheme of the URL; `file` for a path."""
        scheme, separator, _ = self.url.partition("://")
        return scheme if separator else MOUNTED


def replicas_by_key(
    pfns: Mapping[str, Sequence[str]], path_of: Callable[[str], str | None] | None = None
) -> dict[str, Replica]:
    """Return the replicas of a file, each URL under a key of its own.

    The best PFN of an RSE has the RSE's name as its key, a further one that of
    its scheme besides (`DISK-A-root`, `DISK-A-root-2`), and the path where the
    RSE is mounted that of `file` (`DISK-A-file`).

    Args:
        pfns: The PFNs of the available replicas by RSE, the best first.
        path_of: Returns the local path of a PFN, if there is one.
    """
    found = {rse: Replica(rse, rse, some[0]) for rse, some in sorted(pfns.items()) if some}
    for rse, best in tuple(found.items()):
        further = [Replica(rse, rse, pfn) for pfn in pfns[rse][1:]]
        if path_of:
            further += [Replica(rse, rse, pfn, path_of(pfn)) for pfn in pfns[rse]]
        for url, replica in {each.url: each for each in further}.items():
            if url != best.url:
                key = _free_key(found, f"{rse}-{replica.scheme}")
                found[key] = replica._replace(key=key)
    return found


def _free_key(taken: Container[str], wanted: str) -> str:
    key, number = wanted, 1
    while key in taken:
        number += 1
        key = f"{wanted}-{number}"
    return key


# Facts about RSEs, in terms of the Storage extension.
#
# Specification: https://github.com/stac-extensions/storage, v2.0.0.


STORAGE_EXTENSION = "https://stac-extensions.github.io/storage/v2.0.0/schema.json"
STORAGE_SCHEMES = "storage:schemes"

_ANY_VERSION = "https://stac-extensions.github.io/storage/"
_TYPE = "rucio"
_ATTRIBUTES = ("region", "country", "site", "tier")
"""Attributes that operators give RSEs by custom, and that concern readers; no others are shown,
but `requester_pays`."""


def storage_scheme(
    rse: str, rucio_host: str, settings: Mapping[str, Any], attributes: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the storage scheme of an RSE.

    Its platform is the template of a URL where Rucio tells more of the RSE.

    Args:
        rse: The RSE.
        rucio_host: URL of the Rucio server.
        settings: Its settings, as Rucio's client returns them.
        attributes: Its attributes.
    """
    platform = f"{rucio_host.rstrip('/')}/rses/{{rse}}"
    scheme = {"type": _TYPE, "platform": platform, "rse": rse}
    texts = {"rse_type": settings.get("rse_type")}
    texts |= {key: attributes.get(key) for key in _ATTRIBUTES}
    scheme |= {key: text for key, text in texts.items() if isinstance(text, str) and text}
    pays = attributes.get("requester_pays")
    return {**scheme, "requester_pays": pays} if isinstance(pays, bool) else scheme


def uses_another_version(extensions: Iterable[object]) -> bool:
    """Return whether an item uses another version of the Storage extension.

    Its fields and those of this version are not valid beside each other.
    """
    return any(
        isinstance(each, str) and each.startswith(_ANY_VERSION) and each != STORAGE_EXTENSION
        for each in extensions
    )


def with_schemes(
    schemes: object, found: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Add the storage schemes of RSEs to those that an item has.

    Args:
        schemes: The `storage:schemes` of the item, if it has any.
        found: The storage scheme of each RSE.

    Returns:
        All schemes, and the key of each RSE's: its name, or, where others have
        that key, one made from it.
    """
    result = dict(schemes) if isinstance(schemes, dict) else {}
    refs = {}
    for rse, scheme in found.items():
        key = rse
        while not _is_of(result.get(key, scheme), rse):
            key += f"-{_TYPE}"
        result[key] = dict(scheme)
        refs[rse] = key
    return result, refs


def _is_of(scheme: object, rse: str) -> bool:
    return isinstance(scheme, dict) and scheme.get("type") == _TYPE and scheme.get("rse") == rse


# Look-ups.


PAUSE_S = 15.0
"""After a failure, Rucio is left alone for so long."""
_RSES_FOR_S = 600.0
_REPLICAS_KEPT = 20_000
_RSES_KEPT = 1_000
_WORKERS = 4
_NO_RSE = "resulted in an empty set"


class Memory:
    """The latest answers; who asks for them says how old they may be.

    They are kept in two generations of bounded size. That needs no lock, which a
    fork would leave locked in the child while another thread holds it.
    """

    def __init__(self, size: int) -> None:
        self._generation = size // 2
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._young: dict[Any, tuple[float, Any]] = {}
        self._old: dict[Any, tuple[float, Any]] = {}

    def recall(self, keys: Iterable[Any], max_age_s: float) -> tuple[dict[Any, Any], list[Any]]:
        """Return the answers that are younger than an age in seconds, and the keys without one."""
        since = monotonic() - max_age_s
        young, old = self._young, self._old
        found, missing = {}, []
        for key in dict.fromkeys(keys):
            answer = young.get(key) or old.get(key)
            if answer and answer[0] > since:
                found[key] = answer[1]
            else:
                missing.append(key)
        return found, missing

    def keep(self, answers: Mapping[Any, Any]) -> None:
        """Keep answers that have just come."""
        if len(self._young) + len(answers) > self._generation:
            self._old, self._young = self._young, {}
        now = monotonic()
        self._young.update({key: (now, answer) for key, answer in answers.items()})


class Answers(NamedTuple):
    """What Rucio says of files."""

    pfns: Mapping[DID, PFNs]
    """Of the files that it knows."""
    resolved: Mapping[str, Collection[str]]
    """The RSEs of each RSE expression."""
    asked: bool
    """Whether Rucio had to be asked."""


class ReplicaSource:
    """Asks Rucio for replicas and RSEs, and remembers for a while what it said.

    For any number of threads. All requests of a call run together, under one
    time limit. After a failure, the same failure is the answer for some seconds.
    """

    def __init__(self, rucio: Rucio) -> None:
        self.rucio = rucio
        # By the schemes that were asked for.
        self._replicas: dict[tuple[str, ...], Memory] = defaultdict(partial(Memory, _REPLICAS_KEPT))
        # Of storages by RSE, and of RSEs by expression, which no RSE has as its name.
        self._rses = Memory(_RSES_KEPT)
        # Requests have a time limit of their own, so that threads nobody waits for end.
        self._limited = cache(rucio.limited)
        # Not the error itself, which would keep alive all that it passes through.
        self._failed: tuple[float, type[StacRucioError], str, str] | None = None

    def find(
        self,
        dids: Iterable[DID],
        expressions: Iterable[str],
        schemes: tuple[str, ...],
        *,
        timeout_s: float | None,
        max_age_s: float,
    ) -> Answers:
        """Return the replicas of files, and the RSEs of RSE expressions.

        Args:
            dids: The files.
            expressions: The RSE expressions.
            schemes: `SCHEMES` for PFNs of all protocols, or none for those of the best only.
            timeout_s: How long to wait for Rucio, in seconds, or None for any time.
            max_age_s: How old an answer about replicas may be, in seconds.

        Raises:
            StacRucioError: Rucio cannot be reached, does not answer in time, or
                refuses.
        """
        rucio = self._limited(timeout_s)
        known, unknown = self._replicas[schemes].recall(dids, max_age_s)
        resolved, unresolved = self._rses.recall(expressions, _RSES_FOR_S)
        jobs: list[Callable[[], Any]] = [partial(_resolve, rucio, each) for each in unresolved]
        jobs += [partial(rucio.readable, batch, schemes) for batch in batched(unknown)]
        if jobs:
            answers = self._ask(jobs, timeout_s)
            rses = dict(zip(unresolved, answers))
            listed = dict.fromkeys(unknown)
            for each in answers[len(unresolved) :]:
                listed.update(each)
            self._rses.keep(rses)
            self._replicas[schemes].keep(listed)
            known |= listed
            resolved |= rses
        registered = {did: pfns for did, pfns in known.items() if pfns is not None}
        return Answers(registered, resolved, asked=bool(jobs))

    def storage_schemes(
        self, rses: Iterable[str], *, timeout_s: float | None
    ) -> dict[str, dict[str, Any]]:
        """Return the storage schemes of RSEs.

        Raises:
            StacRucioError: As in `find`.
        """
        known, unknown = self._rses.recall(rses, _RSES_FOR_S)
        if unknown:
            rucio = self._limited(timeout_s)
            jobs = [partial(_storage_scheme, rucio, rse) for rse in unknown]
            schemes = dict(zip(unknown, self._ask(jobs, timeout_s)))
            self._rses.keep(schemes)
            known |= schemes
        return known

    def clear(self) -> None:
        """Forget what Rucio has said, and that it has failed."""
        for memory in (*self._replicas.values(), self._rses):
            memory.clear()
        self.forgive()

    def forgive(self) -> None:
        """Ask Rucio again even if it has just failed."""
        self._failed = None

    def _ask(self, jobs: Sequence[Callable[[], Any]], timeout_s: float | None) -> list[Any]:
        if self._failed is not None:
            failed_s, kind, message, hint = self._failed
            if monotonic() - failed_s < PAUSE_S:
                message += f" (Rucio is asked again {PAUSE_S:g} s after that)"
                raise kind(message, hint=hint, transient=True)
        try:
            answers = run_together(jobs, timeout_s)
        except ConfigurationError:  # concerns this question only, and was answered
            raise
        except StacRucioError as error:
            self._failed = (monotonic(), type(error), error.message, error.hint)
            raise
        self._failed = None
        return answers


def run_together(jobs: Sequence[Callable[[], Any]], timeout_s: float | None) -> list[Any]:
    """Run requests in a few threads.

    What is still running when the time is over, or when another request has
    failed, is left to itself: it keeps neither the caller nor the end of Python
    waiting (as the threads of an executor would). Those not yet begun stay undone.

    Args:
        jobs: They send the requests.
        timeout_s: The time for all of them, in seconds, or None for any time.

    Returns:
        What each job returned, in the order of the jobs.

    Raises:
        UnreachableError: The time is over.
        Exception: What the first job to fail raised.
    """
    futures: list[Future[Any]] = [Future() for _ in jobs]
    pending = deque(zip(futures, jobs))

    def work() -> None:
        with suppress(IndexError):
            while True:
                future, job = pending.popleft()
                try:
                    future.set_result(job())
                except BaseException as error:  # noqa: BLE001 - raised in the caller's thread
                    future.set_exception(error)

    for _ in jobs[:_WORKERS]:
        threading.Thread(target=work, name="stac-rucio look-up", daemon=True).start()
    try:
        done, late = wait(futures, timeout_s, FIRST_EXCEPTION)
    finally:
        pending.clear()
    answers = [future.result() for future in futures if future in done]
    if late:
        raise UnreachableError(
            f"listing replicas: the Rucio server did not answer within {timeout_s:g} s",
            hint="is it well? timeout_s gives it more time",
            transient=True,
        )
    return answers


def _resolve(rucio: Rucio, expression: str) -> frozenset[str]:
    try:
        return frozenset(rucio.rses(expression))
    except ConfigurationError as error:
        if _NO_RSE in str(error):
            return frozenset()
        raise


def _storage_scheme(rucio: Rucio, rse: str) -> dict[str, Any]:
    return storage_scheme(rse, rucio.host, rucio.rse(rse), rucio.rse_attributes(rse))
