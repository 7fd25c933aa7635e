"""Where the modifier has its knowledge from: Rucio, asked rarely and never waited for too long."""

from __future__ import annotations

import threading
import time
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from stac_client._rucio import batched
from stac_client.errors import (
    ConfigurationError,
    RequestError,
    StacRucioError,
    UnreachableError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

    from stac_client._rucio import PFNs, Rucio
    from stac_policy.naming import DID

MOUNTED = "file"
"""The scheme of a path below which an RSE is mounted."""


class Location(NamedTuple):
    """One way to one replica."""

    key: str
    """Its key among the alternates."""
    rse: str
    scheme: str
    href: str
    """The PFN, or the path where the RSE is mounted."""


# fmt: off
SCHEMES = (
    "davs", "https", "root", "http", "dav", "s3s", "s3", "gs", "gsiftp", "srm", "srm+https",
    "file", "storm", "scp", "rsync", "rclone",
)
# fmt: on
"""The schemes of the protocols that RSEs have."""

# What Rucio has said of replicas, for as long as it is worth repeating.


K = TypeVar("K", bound="Hashable")
V = TypeVar("V")


class Cache(Generic[K, V]):
    """Keeps the latest answers, up to a number of them; for any number of threads.

    Who asks says how old an answer may be.
    """

    def __init__(self, size: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Make an empty one.

        Args:
            size: How many answers it keeps.
            clock: Gives the time in seconds.
        """
        self._size = size
        self._clock = clock
        self._lock = threading.Lock()
        # The oldest first: an answer that comes anew goes to the end.
        self._answers: dict[K, tuple[float, V]] = {}

    def get(self, keys: Iterable[K], max_age_s: float) -> dict[K, V]:
        """Give the answers that are younger than an age in seconds."""
        since = self._clock() - max_age_s
        with self._lock:
            found = ((key, self._answers.get(key)) for key in keys)
            return {key: answer[1] for key, answer in found if answer and answer[0] > since}

    def put(self, answers: Mapping[K, V]) -> None:
        """Keep answers that have just come."""
        now = self._clock()
        with self._lock:
            for key, answer in answers.items():
                self._answers.pop(key, None)
                self._answers[key] = (now, answer)
            while len(self._answers) > self._size:
                del self._answers[next(iter(self._answers))]

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._answers.clear()


# What an RSE is, in terms of the Storage extension; pure.
#
# Specification: https://github.com/stac-extensions/storage, v2.0.0.


STORAGE = "https://stac-extensions.github.io/storage/v2.0.0/schema.json"
SCHEMES_STORAGE_FACTS = "storage:schemes"

_ANY_VERSION = "https://stac-extensions.github.io/storage/"
_TYPE = "rucio"
_ATTRIBUTES = ("region", "country", "site", "tier", "requester_pays")
"""Attributes that operators give RSEs by custom, and that concern readers; no others are shown."""


def storage_scheme(
    rse: str, rucio_host: str, settings: Mapping[str, Any], attributes: Mapping[str, Any]
) -> dict[str, Any]:
    """Give the storage scheme of an RSE.

    Its platform is the template of a URL where Rucio tells more of the RSE.

    Args:
        rse: The RSE.
        rucio_host: URL of the Rucio server.
        settings: Its settings, as Rucio's client gives them.
        attributes: Its attributes.
    """
    scheme: dict[str, Any] = {
        "type": _TYPE,
        "platform": f"{rucio_host.rstrip('/')}/rses/{{rse}}",
        "rse": rse,
    }
    if isinstance(settings.get("rse_type"), str):
        scheme["rse_type"] = settings["rse_type"]
    for key in _ATTRIBUTES:
        value = attributes.get(key)
        if key == "requester_pays":
            if isinstance(value, bool):
                scheme[key] = value
        elif isinstance(value, str) and value:
            scheme[key] = value
    return scheme


def uses_another_version(extensions: Iterable[object]) -> bool:
    """Tell whether an item uses another version of the extension.

    Its fields and those of this version are not valid beside each other.
    """
    return any(
        isinstance(each, str) and each.startswith(_ANY_VERSION) and each != STORAGE
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


# Jobs that run together, and are waited for no longer than a time limit.


T = TypeVar("T")


class TimeLimitError(Exception):
    """Not all jobs were done in time."""


def run_together(
    jobs: Sequence[Callable[[], T]], *, timeout_s: float | None, workers: int
) -> list[T]:
    """Run jobs in threads.

    What is still running when the time is over, or when another job has failed,
    is left to itself: it keeps neither the caller nor the end of Python waiting
    (as the threads of `concurrent.futures` would). Jobs not yet begun then stay
    undone.

    Args:
        jobs: The jobs.
        timeout_s: The time for all of them, in seconds, or None for any time.
        workers: How many run at the same time.

    Returns:
        What each job gave, in the order of the jobs.

    Raises:
        TimeLimitError: The time is over.
        Exception: What the first job to fail raised.
    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    given_up = threading.Event()
    waiting: SimpleQueue[int] = SimpleQueue()
    done: SimpleQueue[tuple[int, T | None, BaseException | None]] = SimpleQueue()
    for number in range(len(jobs)):
        waiting.put(number)

    def work() -> None:
        while not given_up.is_set():
            try:
                number = waiting.get_nowait()
            except Empty:
                return
            try:
                done.put((number, jobs[number](), None))
            except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
                done.put((number, None, error))

    for _ in range(min(workers, len(jobs))):
        threading.Thread(target=work, name="stac-rucio look-up", daemon=True).start()
    results: dict[int, T] = {}
    try:
        while len(results) < len(jobs):
            left_s = None if deadline is None else max(0.0, deadline - time.monotonic())
            number, result, error = done.get(timeout=left_s)
            if error is not None:
                raise error
            results[number] = result  # type: ignore[assignment] # only without an error
    except Empty:
        raise TimeLimitError from None
    finally:
        given_up.set()
    return [results[number] for number in range(len(jobs))]


PAUSE_S = 15.0
"""After a failure, Rucio is left alone for so long."""
_RSES_FOR_S = 600.0
_REPLICAS_KEPT = 20_000
_RSES_KEPT = 1_000
_FAILURES_KEPT = 100
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
    time limit. After a failure, the same failure is the answer to the same question for
    some seconds, and to all others if no RSE expression was asked for.
    """

    def __init__(self, rucio: Rucio, clock: Callable[[], float] = time.monotonic) -> None:
        """Make one.

        Args:
            rucio: Rucio.
            clock: Gives the time in seconds.
        """
        self._rucio = rucio
        self._best: Cache[DID, PFNs | None] = Cache(_REPLICAS_KEPT, clock)
        self._all: Cache[DID, PFNs | None] = Cache(_REPLICAS_KEPT, clock)
        self._resolved: Cache[str, frozenset[str]] = Cache(_RSES_KEPT, clock)
        self._schemes: Cache[str, dict[str, Any]] = Cache(_RSES_KEPT, clock)
        self._by_timeout: dict[float | None, Rucio] = {}
        # By the RSE expressions that were asked for: who asks for others gets answers. Not the
        # errors themselves, which would keep alive all that they pass through.
        self._failures: Cache[tuple[str, ...], tuple[type[StacRucioError], str]] = Cache(
            _FAILURES_KEPT, clock
        )

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
        rucio = self._limited(timeout_s)
        listings = [partial(rucio.readable, batch, schemes) for batch in batched(unknown)]
        resolutions = [partial(_resolve, rucio, each) for each in unresolved]
        if listings or resolutions:
            question = tuple(unresolved)
            answers = self._ask([*resolutions, *listings], timeout_s, question, insist=insist)
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
            rucio = self._limited(timeout_s)
            jobs: list[Callable[[], Any]] = [
                partial(_storage_scheme, rucio, rse) for rse in unknown
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
        self._failures.clear()

    def _ask(
        self,
        jobs: Sequence[Callable[[], Any]],
        timeout_s: float | None,
        question: tuple[str, ...] = (),
        *,
        insist: bool = False,
    ) -> Any:
        if not insist:
            for kind, text in self._failures.get([(), question], PAUSE_S).values():
                raise kind(f"{text} (Rucio is asked again {PAUSE_S:g} s after that)")
        try:
            answers = _run(jobs, timeout_s)
        except ConfigurationError:  # concerns this question only, and was answered
            raise
        except StacRucioError as error:
            self._failures.put({question: (type(error), str(error))})
            raise
        self._failures.clear()
        return answers

    def _limited(self, timeout_s: float | None) -> Rucio:
        """Rucio with a time limit for each request, so that threads nobody waits for end."""
        if timeout_s not in self._by_timeout:
            self._by_timeout[timeout_s] = self._rucio.limited(timeout_s)
        return self._by_timeout[timeout_s]


def _run(jobs: Sequence[Callable[[], Any]], timeout_s: float | None) -> list[Any]:
    try:
        return run_together(jobs, timeout_s=timeout_s, workers=_WORKERS)
    except TimeLimitError as error:
        raise UnreachableError(
            f"listing replicas: the Rucio server did not answer within {timeout_s:g} s; "
            "is it well? timeout_s gives it more time"
        ) from error


def _resolve(rucio: Rucio, expression: str) -> frozenset[str]:
    try:
        return frozenset(rucio.rses(expression))
    except ConfigurationError as error:
        if _NO_RSE in str(error):
            return frozenset()
        raise
    except RequestError as error:
        if error.transient:
            raise
        raise ConfigurationError(f"{error}; is {expression!r} an RSE expression?") from error


def _storage_scheme(rucio: Rucio, rse: str) -> dict[str, Any]:
    return storage_scheme(rse, rucio.host, rucio.rse(rse), rucio.rse_attributes(rse))
