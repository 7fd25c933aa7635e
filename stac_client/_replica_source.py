"""Replicas that can be read: cached, time-limited look-ups, and facts about their RSEs."""

from __future__ import annotations

import os
import re
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from contextlib import suppress
from copy import copy
from functools import cache, partial
from itertools import count
from time import monotonic
from typing import TYPE_CHECKING, Any

from stac_client._checksums import in_common, is_same
from stac_client._replicas import SCHEMES
from stac_client._rucio import REQUEST_DIDS, Rucio, batched
from stac_client.errors import ConfigurationError, RequestError, StacRucioError, UnreachableError
from stac_policy.settings import SOURCE_PROTOCOL, known_origins
from stac_policy.urls import printable, redact

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from stac_client._checksums import Described
    from stac_client._rucio import RucioFile
    from stac_policy.naming import DID


# An asset and the file in Rucio that has its DID: whether they are the same.


def other_bytes(did: DID, item: Described, file: RucioFile) -> str | None:
    """Describe how a file in Rucio differs from what an item says of it, as far as both know.

    Rucio's DIDs stand for the same bytes for ever; it answers a second
    registration with other bytes with success, and ignores it.
    """
    for name, of_item, of_rucio in in_common(item, file):
        if of_item != of_rucio:
            return (
                f"{did} is in Rucio with {name} {of_rucio}, but the item says {of_item}; "
                "new bytes need a new item"
            )
    return None


def other_url(did: DID, urls: Collection[str], file: RucioFile, rses: Iterable[str]) -> str | None:
    """Describe how the URL of a file at source RSEs is none of those of an asset."""
    for rse in rses:
        pfns = file.pfns.get(rse)
        if pfns and not any(known_origins().is_among(url, pfns) for url in urls):
            return f"{did} is registered at {rse} with another URL: {redact(pfns[0])}"
    return None


def difference(
    did: DID,
    urls: Collection[str],
    item: Described,
    file: RucioFile,
    source_rses: Callable[[Iterable[str]], Iterable[str]],
) -> str | None:
    """Describe how a file in Rucio is not that of an item.

    It has other bytes; or neither a checksum nor a URL shows that it is the same, and a
    source RSE has it with another URL, as of another catalogue with the same ids.

    Args:
        did: The file.
        urls: The URLs of the asset, its alternates' included.
        item: What the item says of it.
        file: What Rucio says of it.
        source_rses: Returns the source RSEs among some RSEs; called where that matters.
    """
    same = is_same(item, file)
    if same is None:
        return (
            other_url(did, urls, file, source_rses(file.pfns)) if _is_doubtful(urls, file) else None
        )
    return None if same else other_bytes(did, item, file)


def _is_doubtful(urls: Collection[str], file: RucioFile) -> bool:
    """URLs that cannot be registered, as they are signed, say, tell nothing."""
    table = known_origins()
    pfns = [pfn for some in file.pfns.values() for pfn in some]
    return not any(table.is_among(url, pfns) for url in urls) and any(map(table.is_known, urls))


def is_source_rse(settings: Mapping[str, Any]) -> bool:
    """Return whether an RSE holds the originals of catalogues, by its settings."""
    impls = {protocol["impl"] for protocol in settings.get("protocols", ())}
    return settings.get("deterministic") is False and SOURCE_PROTOCOL in impls


def beginnings(settings: Mapping[str, Any]) -> Iterator[str]:
    """Yield what the PFNs of an RSE begin with, by its settings."""
    for protocol in settings.get("protocols", ()):
        if protocol["impl"] == SOURCE_PROTOCOL:  # whole URLs, of any host
            yield f"{protocol['scheme']}://"
            continue
        port = f":{protocol['port']}" if protocol["port"] else ""
        service = (protocol.get("extended_attributes") or {}).get("web_service_path", "")
        yield f"{protocol['scheme']}://{protocol['hostname']}{port}{service}{protocol['prefix']}"


def rank(settings: Mapping[str, Any]) -> int:
    """Return the rank of an RSE's replicas where nothing else decides, by its settings.

    First come disks, then source RSEs (which stand for the catalogue's own servers, that copies
    exist to spare), then tapes and RSEs that cannot be read.
    """
    is_slow = settings.get("rse_type") == "TAPE" or settings.get("availability_read") is False
    return 2 if is_slow else int(settings.get("deterministic") is False)


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


# Where this is, in terms of Rucio.


SITE = "site"
"""The attribute with the site of an RSE."""
_SITES = ("SITE_NAME", "ATLAS_SITE_NAME", "OSG_SITE_NAME")
_NO_SITE = "ROAMING"
_SITE = re.compile("[A-Za-z0-9_-]+")


def site_here() -> str | None:
    """Return the site of this machine, as Rucio's own clients find it, or None.

    Those (`detect_client_location`) also ask for the name of the host, which may take long.
    """
    name = next((os.environ[each] for each in _SITES if each in os.environ), _NO_SITE)
    return None if name in ("", _NO_SITE) else name


def site_expression(site: str | None) -> str:
    """Return the RSE expression of the RSEs at a site, by default at the one of this machine.

    Raises:
        ConfigurationError: It is not known, or none can be made.
    """
    name = site or site_here()
    if name is None:
        raise ConfigurationError(
            "nothing says what the nearest copies are near to",
            hint="give site= (--site), or set SITE_NAME in the environment",
        )
    if not _SITE.fullmatch(name):
        raise ConfigurationError(f"site {printable(name)!r} cannot stand in an RSE expression")
    return f"{SITE}={name}"


# Look-ups.


PAUSE_S = 15.0
"""After a failure, Rucio is left alone for so long."""
RSES_FOR_S = 600.0
"""Answers about RSEs are repeated for so long."""
_REPLICAS_KEPT = 20_000
_RSES_KEPT = 1_000
_WORKERS = 4
_GRACE_S = 1.0
"""So much longer than a look-up may a request take, which then is never what is reported."""
_FAILURES_KEPT = 100
_NO_RSE = "resulted in an empty set"

Ask = Callable[[Rucio, list[Any]], Mapping[Any, Any]]


class Memory:
    """The latest answers to one question; who asks for them says how old they may be.

    They are kept in two generations of bounded size. That needs no lock, which a
    fork would leave locked in the child while another thread holds it.
    """

    def __init__(self, size: int, ask: Ask | None = None, batch: int = 1) -> None:
        """Remember nothing yet.

        Args:
            size: How many answers it keeps at most.
            ask: Asks Rucio for some keys, and returns the answers to those that it knows.
            batch: How many keys it takes at a time.
        """
        self._generation = size // 2
        self.ask: Ask = ask or (lambda *_: {})
        self.batch = batch
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

    def learn(self, rucio: Rucio, keys: list[Any]) -> Mapping[Any, Any]:
        """Ask Rucio, and keep its answers, also where those to other keys come too late."""
        answers = self.ask(rucio, keys)
        self.keep(answers)
        return answers

    def keep(self, answers: Mapping[Any, Any]) -> None:
        """Keep answers that have just come."""
        if len(self._young) + len(answers) > self._generation:
            self._old, self._young = self._young, {}
        now = monotonic()
        self._young.update({key: (now, answer) for key, answer in answers.items()})


class ReplicaSource:
    """Asks Rucio for replicas and RSEs, and remembers for a while what it said.

    For any number of threads. The requests of a look-up run together, under one
    time limit. After a failure, the same failure is the answer for some seconds: to
    all questions, or to those for the same RSE expressions if these have failed.
    """

    def __init__(self, rucio: Rucio) -> None:
        self.rucio = rucio
        self._replicas: dict[tuple[bool, frozenset[str]], Memory] = {}
        self.resolved = Memory(_RSES_KEPT, _resolve)
        """The RSEs of RSE expressions."""
        self.distances = Memory(_REPLICAS_KEPT, _distances)
        """The distances from an RSE to another one."""
        self.settings = Memory(_RSES_KEPT, partial(_each, Rucio.rse))
        """The settings of RSEs."""
        self.attributes = Memory(_RSES_KEPT, partial(_each, Rucio.rse_attributes))
        """The attributes of RSEs."""
        self.answered = 0
        """How often Rucio has answered, about."""
        self.differences = count()
        """Counts the times that files in Rucio were not those of items."""
        self.unknown: set[str] = set()
        """What was named and is no RSE, as far as that was said."""
        self.mounts: set[str] = set()
        """Prefixes of mounts that were looked for among the protocols of RSEs."""
        # Requests have a time limit of their own, so that threads nobody waits for any more end.
        self._limited = cache(rucio.limited)
        self._failures = Memory(_FAILURES_KEPT)

    def replicas(self, local: frozenset[str], *, protocols: bool) -> Memory:
        """Return what is known of files.

        Args:
            local: RSEs of which the PFNs of the local network come first.
            protocols: Whether the PFNs of all protocols are listed, or of the best only.
        """
        key = protocols, local
        if key not in self._replicas:
            schemes = SCHEMES if protocols else ()
            ask = partial(Rucio.readable, schemes=schemes, local=local)
            self._replicas[key] = Memory(_REPLICAS_KEPT, ask, REQUEST_DIDS)
        return self._replicas[key]

    def nearness(
        self, local: Collection[str], rses: Iterable[str], timeout_s: float | None
    ) -> dict[str, float]:
        """Return the distances of RSEs from those of a site; of these themselves it is 0.

        Those that are at no known distance are left out.
        """
        there = [rse for rse in rses if rse not in local]
        pairs = [(here, rse) for rse in there for here in sorted(local)]
        found = self.look_up(self.distances, pairs, timeout_s)
        near: dict[str, float] = dict.fromkeys(local, 0)
        for (_, rse), distance in found.items():
            if distance is not None:
                near[rse] = min(distance, near.get(rse, distance))
        return near

    def clear(self) -> None:
        """Forget what Rucio has said, and that it has failed."""
        known = (self.resolved, self.distances, self.settings, self.attributes)
        for memory in (*self._replicas.values(), *known):
            memory.clear()
        self.forgive()

    def forgive(self) -> None:
        """Ask Rucio again even if it has just failed."""
        self._failures.clear()

    def look_up(
        self,
        memory: Memory,
        keys: Iterable[Any],
        timeout_s: float | None,
        max_age_s: float = RSES_FOR_S,
    ) -> dict[Any, Any]:
        """Return the answers to one question.

        Args:
            memory: One of this object's; it knows the question.
            keys: What is asked for.
            timeout_s: How long to wait for Rucio, in seconds, or None for any time.
            max_age_s: How old an answer may be, in seconds.

        Returns:
            An answer for each key; None where Rucio knows none.
        """
        found, missing = memory.recall(keys, max_age_s)
        if missing:
            # Who asks for other RSE expressions or distances than those that failed gets answers.
            question = tuple(missing) if memory in {self.resolved, self.distances} else ()
            for failure in self._failures.recall([(), question], PAUSE_S)[0].values():
                raise copy(failure)
            rucio = self._limited(timeout_s + _GRACE_S) if timeout_s else self.rucio
            jobs = [partial(memory.learn, rucio, some) for some in batched(missing, memory.batch)]
            try:
                answers = run_together(jobs, timeout_s)
            except ConfigurationError:  # concerns this question only, and was answered
                raise
            except StacRucioError as error:
                failure = copy(error)  # without a traceback, which keeps alive what it passed
                failure.args = (f"{error.message} (Rucio is asked again {PAUSE_S:g} s after that)",)
                self._failures.keep({question: failure})
                raise
            self._failures.clear()
            self.answered += 1
            for each in answers:
                found |= each
            unknown = dict.fromkeys(key for key in missing if key not in found)
            memory.keep(unknown)
            found |= unknown
        return found


def run_together(jobs: Sequence[Callable[[], Any]], timeout_s: float | None) -> list[Any]:
    """Run requests in a few threads, and return their answers in the order of the requests.

    What is still running when the time is over, or when another request has
    failed, is left to itself: it keeps neither the caller nor the end of Python
    waiting (as the threads of an executor would). Those not yet begun stay undone.

    Raises:
        UnreachableError: The time is over.
        Exception: What the first job to fail raised.
    """
    futures: list[Future[Any]] = [Future() for _ in jobs]
    pending = deque(zip(futures, jobs, strict=True))

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


def _resolve(rucio: Rucio, expressions: list[str]) -> dict[str, frozenset[str]]:
    (expression,) = expressions
    try:
        return {expression: frozenset(rucio.rses(expression))}
    except ConfigurationError as error:
        if _NO_RSE in str(error):
            return {expression: frozenset()}
        raise
    except RequestError as error:
        if error.transient:
            raise
        raise ConfigurationError(f"{error}; is {expression!r} an RSE expression?") from error


def _distances(rucio: Rucio, pairs: list[tuple[str, str]]) -> dict[tuple[str, str], float | None]:
    return {pair: rucio.distance(*pair) for pair in pairs}


def _each(ask: Callable[[Rucio, str], Any], rucio: Rucio, keys: list[str]) -> dict[str, Any]:
    return {key: ask(rucio, key) for key in keys}
