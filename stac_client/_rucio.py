"""Rucio as this package asks it: every request to a Rucio server goes through here."""

from __future__ import annotations

import copy
import logging
import math
import os
import random
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import partial
from itertools import islice
from json import JSONDecodeError
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import requests
from rucio.client import Client
from rucio.common import exception
from rucio.common.config import clean_cached_config

from stac_client._checksums import Checksums
from stac_client._in_flight import InFlight
from stac_client._rucio_errors import (
    WrongAnswerError,
    is_busy,
    too_slow,
    took_too_long,
    translating,
)
from stac_client.errors import (
    AccessError,
    ConfigurationError,
    RequestError,
    StacRucioError,
    near,
)
from stac_policy.naming import DID
from stac_policy.urls import printable, redact

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable, Iterator

T = TypeVar("T")
K = TypeVar("K", bound="Hashable")

PFNs = Mapping[str, "tuple[str, ...]"]
"""PFNs of available replicas by RSE, the best first."""

REQUEST_DIDS = 1000
"""The most DIDs in one request (`rucio.common.schema.generic`, `maxItems`)."""

RETRY_S = 90.0
"""How long a server that is away or too busy is asked again, in seconds, unless the environment
variable `STAC_RUCIO_RETRY_S` says otherwise."""

_VARIABLE = "RUCIO_CONFIG"
_LOGGER = logging.getLogger(__name__)
_PROTOCOL: dict[str, Any] = dict.fromkeys(("scheme", "impl", "hostname", "prefix"), "")
_PROTOCOL |= {"port": 0, "domains": {}}
_LEAST = 50
_LARGEST: dict[str, int] = {}
"""The most DIDs that servers have taken in a request, by their URLs, where that is not all."""
_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 8.0
_NEVER = datetime(9999, 1, 1)  # noqa: DTZ001 - Rucio takes UTC without saying so

# By default Rucio sorts by the distance between addresses (GeoIP), which is several times slower
# than all the rest where it has no database for that; and it looks for archives with the files.
_QUICKLY = {"sort": "random", "domain": "wan", "resolve_archives": False}


class PlainClient(Client):  # type: ignore[misc] # rucio has no types
    """Rucio's client, but says what happened where it cannot connect, in place of asking thrice."""

    REQUEST_RETRIES = 0


_CONFIG = threading.Lock()


def make_client(
    account: str | None = None, config: Path | str | None = None, **options: Any
) -> Client:
    """Make a client of Rucio, and see that Rucio answers.

    Args:
        account: Another account than that of rucio.cfg.
        config: A rucio.cfg other than the usual one.
        options: Further ones of the client.

    Raises:
        ConfigurationError: There is no such file.
        AccessError: Rucio takes it for another account than the one asked for.
        Exception: What Rucio raises.
    """
    with _configured(config):
        client = PlainClient(account=account, **options)
    known = client.whoami()["account"]
    if account and known != account:
        # A token of another account lay where rucio.cfg says (auth_token_file_path).
        raise AccessError(
            f"Rucio takes this for account {known}, not {account}; "
            "rucio.cfg names a token or credentials of that account"
        )
    return client


@contextmanager
def _configured(config: Path | str | None) -> Iterator[None]:
    """Let clients that are made within read a rucio.cfg, which Rucio takes from the environment."""
    if config is None:
        yield
        return
    if not Path(config).is_file():
        raise ConfigurationError(f"{config}: there is no such rucio.cfg")
    with _CONFIG:
        before = os.environ.get(_VARIABLE)
        os.environ[_VARIABLE] = str(config)
        clean_cached_config()
        try:
            yield
        finally:
            del os.environ[_VARIABLE]
            os.environ.update({} if before is None else {_VARIABLE: before})
            clean_cached_config()


class DIDFacts(NamedTuple):
    """What Rucio says of a DID itself."""

    availability: str
    """AVAILABLE, or LOST if its last good replica was bad."""
    created_at: datetime


@dataclass(slots=True)  # frozen, it would take twice as long to make
class RucioFile:
    """A file in Rucio and its replicas; nobody changes it."""

    size_bytes: int
    checksums: Checksums
    """In lower case and with all their digits, which Rucio does not ask for."""
    pfns: PFNs
    """PFNs by RSE, the best first. Of RSEs with the same PFN, Rucio lists but one."""
    states: Mapping[str, str]
    """State of the replica by RSE: AVAILABLE, COPYING, … Names every RSE that has one."""
    facts: DIDFacts | None = None
    """Those of its DID, where they were asked for."""


class Rucio:
    """Asks a Rucio server, and asks again for a while where the request may succeed later.

    For any number of threads and for processes that fork: each request has a client, and so
    connections, for itself. How large a request a server takes is remembered. Where Rucio
    cannot be reached, refuses, or answers with what is wrong, a `StacRucioError` says so: of
    each method here, and of whatever calls one.
    """

    def __init__(
        self, client: Client, *, retry_s: float | None = None, timeout_s: float | None = None
    ) -> None:
        """Take a client of Rucio, of which copies are used where one does not suffice.

        Args:
            client: The client.
            retry_s: How long to ask again where a request may succeed later, in seconds from its
                first failure; by default `RETRY_S`.
            timeout_s: The longest silence of the server, in seconds; by default the client's.
        """
        self._client = client
        self._retry_s = _default_retry_s() if retry_s is None else retry_s
        self._timeout_s = timeout_s
        self._in_flight: InFlight | None = None
        self._pid = os.getpid()
        self._free: list[Client] = []

    @classmethod
    def of(cls, client: Client | Rucio) -> Rucio:
        """Return a client of Rucio as one of this class."""
        return client if isinstance(client, cls) else cls(client)

    @classmethod
    def connect(cls, make: Callable[[], Client], *, retry_s: float | None = None) -> Rucio:
        """Make a client, which asks Rucio for a token.

        Args:
            make: Makes it; `PlainClient` makes one as rucio.cfg says.
            retry_s: As in the constructor.
        """
        patience_s = _default_retry_s() if retry_s is None else retry_s
        return cls(_retried("connecting to Rucio", make, patience_s), retry_s=patience_s)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the copies of the client, whose connections are of this process."""
        return {**self.__dict__, "_pid": 0, "_free": [], "_in_flight": None}

    def __deepcopy__(self, memo: object) -> Rucio:
        """Return itself, which may be shared."""
        return self

    def __str__(self) -> str:
        return f"{redact(self.host)}, account {self.account}"

    @property
    def account(self) -> str:
        """The account that asks."""
        return str(self._client.account)

    @property
    def host(self) -> str:
        """URL of the server."""
        return str(self._client.host)

    @property
    def client(self) -> Client:
        """The client itself, for what takes one of Rucio's."""
        return self._client

    def paced(self, in_flight: int) -> Rucio:
        """Return one that sends so many requests at a time at the most, fewer to a busy server."""
        paced = copy.copy(self)
        paced._in_flight = InFlight(in_flight, is_busy)  # noqa: SLF001 - of its own
        return paced

    def limited(self, timeout_s: float | None) -> Rucio:
        """Return one that does not ask again, nor wait for an answer for longer than a time.

        Args:
            timeout_s: The time in seconds; by default that of the client.
        """
        return Rucio(self._client, retry_s=0.0, timeout_s=timeout_s)

    def ask(
        self,
        doing: str,
        request: Callable[[Client], T],
        *,
        may_halve: bool = False,
        within_s: float = math.inf,
        size: int = 0,
    ) -> T:
        """Send a request, and again after a pause while the server is away or too busy for it.

        Args:
            doing: What is being done, for the beginning of the message.
            request: Sends it with the client that it is given, and reads all of the answer. What
                it does must bear doing twice.
            may_halve: Whether what takes the server too long is left to the caller.
            within_s: The longest time to go on asking, in seconds.
            size: How many values it writes: what takes equally long each time if nothing else is
                done. How long it takes to find some depends on what is there.
        """
        if self._in_flight is not None:
            kind = (doing.partition(" ")[0], size.bit_length()) if size else None
            request = self._in_flight.wrapped(request, kind)
        retry_s = min(self._retry_s, within_s)
        return _retried(doing, partial(self._with_client, request), retry_s, may_halve=may_halve)

    def ask_unless(
        self,
        doing: str,
        request: Callable[[Client], T],
        *refusals: type[Exception],
        within_s: float = math.inf,
    ) -> T | None:
        """Send a request as `ask` does; return None where Rucio refuses it for such a reason."""

        def asked(client: Client) -> T | None:
            try:
                return request(client)
            except (exception.CannotAuthenticate, exception.ServerConnectionException):
                raise
            except refusals:
                return None

        return self.ask(doing, asked, within_s=within_s)

    def send(
        self, doing: str, values: Iterable[T], request: Callable[[list[T], Client], object]
    ) -> list[tuple[T, StacRucioError]]:
        """Send values in bulk requests, in halves where the server refuses one.

        The size that the server's database takes (SQLite refuses statements well below 1,000
        DIDs), and what a proxy in front of it leaves the time for, is remembered in this process.

        Args:
            doing: What is being done, for the beginning of the messages.
            values: What to send.
            request: Sends some of them with the client that it is given, as in `ask`.

        Returns:
            The values that were refused, each with the reason. A refusal that
            does not lie in a single value (no permission, say) concerns all that
            were in the request. If the server needs too long even for few values,
            the others are refused as well, without being sent.
        """
        refused: list[tuple[T, StacRucioError]] = []
        pending = list(batched(values, _LARGEST.get(self.host, REQUEST_DIDS)))
        while pending:
            part = pending.pop()
            try:
                self.ask(doing, partial(request, part), may_halve=True, size=len(part))
            except RequestError as error:
                slow = took_too_long(error)
                if slow and len(part) <= _LEAST:
                    # The server is in trouble: smaller requests would only be more of them.
                    reason = too_slow(error, len(part))
                    refused += [(value, reason) for left in (part, *pending) for value in left]
                    break
                if len(part) == 1 or (error.transient and not slow):
                    refused += [(value, error) for value in part]
                    continue
                half = max((len(part) + 1) // 2, _LEAST if slow else 1)
                if slow or isinstance(error.__cause__, exception.DatabaseException):
                    most = _LARGEST.get(self.host, REQUEST_DIDS)
                    _LARGEST[self.host] = min(most, max(half, _LEAST))
                pending += [part[:half], part[half:]]
            except StacRucioError as error:
                refused += [(value, error) for value in part]
        return refused

    def files(
        self,
        dids: Iterable[DID],
        rse: str | None = None,
        local: Collection[str] = (),
        schemes: Iterable[str] = (),
    ) -> dict[DID, RucioFile]:
        """Ask for files and their replicas, also those on their way, in requests for 1,000 each.

        Args:
            dids: The files; those that Rucio does not know cost nothing.
            rse: An RSE whose PFNs are wanted, though another one has the same.
            local: RSEs of which the PFNs of the local network come first.
            schemes: As in `readable`.
        """
        files: dict[DID, RucioFile] = {}
        options: dict[str, Any] = {"all_states": True, "schemes": list(schemes)}
        for batch in batched(dict.fromkeys(dids)):
            files.update(self._list(batch, local, **options))
            hidden = [
                did
                for did in batch
                if did in files and rse in files[did].states and rse not in files[did].pfns
            ]
            if hidden:
                alone = self._list(hidden, rse_expression=rse, **options)
                for did, file in alone.items():
                    files[did] = replace(files[did], pfns={**file.pfns, **files[did].pfns})
        return files

    def files_of_datasets(self, datasets: Iterable[DID], rse: str) -> dict[DID, RucioFile]:
        """Ask for the files of datasets that have a replica at an RSE, with that one alone.

        Their sizes and checksums are those of that replica.

        Args:
            datasets: The datasets, in requests for 1,000 each; those that Rucio does not know
                cost nothing.
            rse: The RSE.
        """
        files: dict[DID, RucioFile] = {}
        for batch in batched(datasets):
            files.update(self._list(batch, all_states=True, rse_expression=rse))
        return files

    def content(self, datasets: Iterable[DID]) -> set[tuple[DID, DID]]:
        """Ask which files are in datasets, in requests for 1,000 each.

        Args:
            datasets: The datasets; those that Rucio does not know cost nothing.

        Returns:
            Pairs of a dataset and a file in it.
        """

        def read(asked: list[dict[str, str]], client: Client) -> set[tuple[DID, DID]]:
            return {
                (DID(text_of(each["parent_scope"]), text_of(each["parent_name"])), did_of(each))
                for each in client.bulk_list_files(asked)
            }

        return set().union(*self._batches("listing the files of datasets", datasets, read))

    def parents(self, files: Iterable[DID]) -> set[DID]:
        """Ask what files are in, datasets and containers, in requests for 1,000 each."""

        def read(asked: list[dict[str, str]], client: Client) -> set[DID]:
            # With no replica of any that was updated after that.
            options = {**_QUICKLY, "resolve_parents": True, "updated_after": _NEVER}
            parents = {
                text_of(parent)
                for entry in client.list_replicas(asked, **options)
                for parent in entry.get("parents", ())
            }
            return {DID(*parent.split(":", 1)) for parent in parents}

        return set().union(*self._batches("asking what files are in", files, read))

    def facts(self, dids: Iterable[DID]) -> dict[DID, DIDFacts]:
        """Ask for facts about DIDs, in requests for 1,000 each."""

        def read(asked: list[dict[str, str]], client: Client) -> dict[DID, DIDFacts]:
            return {
                did_of(each): DIDFacts(
                    text_of(each["availability"]), each["created_at"].replace(tzinfo=timezone.utc)
                )
                for each in client.get_metadata_bulk(asked)
            }

        answers = self._batches("asking whether files are available", dids, read)
        return {did: said for answer in answers for did, said in answer.items()}

    def readable(
        self, dids: Iterable[DID], schemes: Iterable[str] = (), local: Collection[str] = ()
    ) -> dict[DID, RucioFile]:
        """Ask, in one request, for files and those of their replicas that can be read now.

        That leaves out RSEs whose operators have closed them for reading.

        Args:
            dids: The files, 1,000 at most; those that Rucio does not know cost nothing.
            schemes: The schemes of the protocols; by default that of the best protocol
                of each RSE.
            local: As in `files`.
        """
        return self._list(dids, local, ignore_availability=False, schemes=list(schemes))

    def rse(self, rse: str, doing: str | None = None) -> dict[str, Any]:
        """Ask for the settings and protocols of an RSE.

        Raises:
            ConfigurationError: There is no such RSE.
        """
        if not rse:  # Rucio would list them all
            raise ConfigurationError("no RSE is named", hint=near("", self.rse_names("*")))
        with self.naming(rse):
            return self.ask(
                doing or f"asking for RSE {rse}", lambda client: _settings(client.get_rse(rse))
            )

    def source_rse(self, rse: str, doing: str) -> dict[str, Any]:
        """Ask for the settings and protocols of an RSE that holds originals.

        Raises:
            ConfigurationError: There is no such RSE, or it is a storage.
            StacRucioError: Rucio cannot be reached or refuses.
        """
        settings = self.rse(rse, doing)
        if settings["deterministic"]:
            said = f"{doing}: it is deterministic, as storages are, and source RSEs are not"
            raise ConfigurationError(said, hint=near(rse, self.rse_names("deterministic=False")))
        return settings

    def rse_attributes(self, rse: str) -> dict[str, Any]:
        """Ask for the attributes of an RSE."""
        doing = f"listing attributes of RSE {rse}"
        return self.ask(doing, lambda client: dict(client.list_rse_attributes(rse)))

    def scopes(self) -> list[str]:
        """Ask for the names of all scopes."""
        return self.ask("listing scopes", lambda client: [*client.list_scopes()])

    def require_scope(self, scope: str) -> None:
        """Check that there is a scope.

        Raises:
            ConfigurationError: There is none.
        """
        scopes = self.scopes()
        if scope not in scopes:
            text = f"there is no scope {printable(scope)}"
            raise ConfigurationError(text, hint=near(scope, scopes))

    def rses(self, expression: str) -> list[str]:
        """Ask for the names of the RSEs that an RSE expression stands for, sorted.

        Raises:
            ConfigurationError: It is no RSE expression, or stands for none.
        """
        with self.naming(expression):
            return self.ask(
                f"resolving the RSE expression {expression!r}", partial(_listed, expression)
            )

    @contextmanager
    def naming(self, rses: str) -> Iterator[None]:
        """Let an error that says that there is no such RSE name those that come near.

        Args:
            rses: The name or RSE expression that is used within.
        """
        try:
            yield
        except ConfigurationError as error:
            if isinstance(error.__cause__, _NO_RSES):
                with suppress(StacRucioError):
                    error.hint = f"{near(rses, self.rse_names('*'))}; {error.hint}"
            raise

    def rse_names(self, expression: str) -> list[str]:
        """Return the names of the RSEs that an RSE expression stands for, which may be none."""
        refused = exception.InvalidRSEExpression
        return self.ask_unless("listing RSEs", partial(_listed, expression), refused) or []

    def verified_by_md5(self) -> list[str]:
        """Ask for the names of the RSEs where FTS verifies nothing but md5, as in S3.

        Raises:
            StacRucioError: Rucio cannot be reached or refuses.
        """
        return self.rse_names("supported_checksums=md5")

    def _batches(
        self,
        doing: str,
        dids: Iterable[DID],
        read: Callable[[list[dict[str, str]], Client], T],
    ) -> Iterator[T]:
        for batch in batched(dids):
            asked = [did._asdict() for did in batch]
            yield self.ask(doing, partial(read, asked))

    def distance(self, source: str, destination: str) -> float | None:
        """Ask for the distance from an RSE to another one; None where there is none."""
        doing = f"asking for the distance from RSE {source} to {destination}"

        def request(client: Client) -> float | None:
            found = client.get_distance(source, destination)
            return number_of(found[0]["distance"]) if found else None

        return self.ask(doing, request)

    def _list(
        self, dids: Iterable[DID], local: Collection[str] = (), **options: object
    ) -> dict[DID, RucioFile]:
        files = self._list_once(dids, **options)
        at_site = [did for did, file in files.items() if not file.states.keys().isdisjoint(local)]
        if at_site:
            # Not by `client_location`, with which Rucio leaves out RSEs without any such protocol.
            expression = "|".join(sorted(local))
            near = self._list_once(at_site, domain="lan", rse_expression=expression, **options)
            for did, file in near.items():
                files[did] = replace(files[did], pfns=_joined(file.pfns, files[did].pfns))
        return files

    def _list_once(self, dids: Iterable[DID], **options: object) -> dict[DID, RucioFile]:
        asked = [{"scope": scope, "name": name} for scope, name in dids]

        def request(client: Client) -> dict[DID, RucioFile]:
            entries = client.list_replicas(asked, **{**_QUICKLY, **options})
            return {did_of(entry): file_of(entry) for entry in entries}

        return self.ask("listing replicas", request)

    def _with_client(self, request: Callable[[Client], T]) -> T:
        """Run a request with a client that no other thread and no other process has meanwhile."""
        if self._pid != os.getpid():  # after a fork: parent and child would share connections
            self._free, self._pid = [], os.getpid()
        try:
            client = self._free.pop()
        except IndexError:
            client = self._copy()
        try:
            return request(client)
        except (JSONDecodeError, requests.RequestException, exception.RucioException):
            raise
        # What reads an answer expects one of Rucio's.
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise WrongAnswerError from error
        finally:
            self._free.append(client)

    def _copy(self) -> Client:
        client = copy.copy(self._client)
        client.request_retries = PlainClient.REQUEST_RETRIES
        # Its adapters and headers are those of the original; its connections are its own.
        client.session = copy.deepcopy(getattr(self._client, "session", None))
        if self._timeout_s is not None:
            client.timeout = self._timeout_s
        return client


def _joined(near: PFNs, far: PFNs) -> PFNs:
    """PFNs by RSE; of two kinds, the near ones first."""
    both = {rse: (*some, *far.get(rse, ())) for rse, some in near.items()}
    return {**far, **{rse: tuple(dict.fromkeys(some)) for rse, some in both.items()}}


def _listed(expression: str, client: Client) -> list[str]:
    return sorted(text_of(entry["rse"]) for entry in client.list_rses(expression))


def _default_retry_s() -> float:
    text = os.environ.get("STAC_RUCIO_RETRY_S", "")
    try:
        return float(text) if text else RETRY_S
    except ValueError:
        raise ConfigurationError(f"STAC_RUCIO_RETRY_S is {text!r}, not a number") from None


def _retried(doing: str, request: Callable[[], T], retry_s: float, *, may_halve: bool = False) -> T:
    """Send a request until it succeeds, fails for good, or has failed for long enough."""
    until_s = None
    pause_s = _FIRST_PAUSE_S
    _LOGGER.info("%s", doing)
    while True:
        try:
            with translating(doing):
                return request()
        except StacRucioError as error:
            now_s = time.monotonic()
            until_s = now_s + retry_s if until_s is None else until_s
            if not error.transient or now_s >= until_s or (may_halve and took_too_long(error)):
                raise
            level = logging.INFO if pause_s < _LONGEST_PAUSE_S / 2 else logging.WARNING
            _LOGGER.log(level, "%s (asked again for %.0f s more)", error, until_s - now_s)
        # Several that were in each other's way must not come back all at once.
        time.sleep(min(pause_s * random.uniform(0.5, 1.0), max(0.0, until_s - now_s)))  # noqa: S311 - no secret
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


_NO_RSES = (exception.RSENotFound, exception.InvalidRSEExpression)


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


def account_attributes(client: Client, account: str) -> dict[str, Any]:
    """Ask for the attributes of an account; the answer is a list with the list of them in it."""
    (listed,) = client.list_account_attributes(account)
    return {each["key"]: each["value"] for each in listed}


def file_of(entry: Mapping[str, Any]) -> RucioFile:
    """Return a file as `Client.list_replicas` describes it."""
    adler32, md5 = entry["adler32"], entry["md5"]
    return RucioFile(
        number_of(entry["bytes"]),
        Checksums(
            # As text, whatever they are: a wrong one then fails its own file alone.
            str(adler32).lower().zfill(8) if adler32 else None,
            str(md5).lower() if md5 else None,
        ),
        {rse: tuple(map(text_of, pfns)) for rse, pfns in entry["rses"].items()},
        {rse: text_of(state) for rse, state in entry.get("states", {}).items()},
    )


def did_of(entry: Mapping[str, Any]) -> DID:
    """Return the DID in an answer, or raise what a wrong answer raises."""
    return DID(text_of(entry["scope"]), text_of(entry["name"]))


def _settings(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of an RSE, whose protocols have all that is looked at."""
    protocols = [{**_PROTOCOL, **protocol} for protocol in answer["protocols"]]
    for protocol in protocols:
        domains = protocol["domains"].values()
        alike = all(isinstance(protocol[name], type(value)) for name, value in _PROTOCOL.items())
        if not (alike and all(isinstance(domain, dict) for domain in domains)):
            raise TypeError("not a protocol")
    return {**answer, "deterministic": answer["deterministic"], "protocols": protocols}


def number_of(value: Any) -> int:
    """Return a number in an answer."""
    if isinstance(value, int):
        return value
    raise TypeError(f"not a number: {value!r:.100}")


def text_of(value: Any) -> str:
    """Return a text in an answer."""
    if isinstance(value, str):
        return value
    raise TypeError(f"not a text: {value!r:.100}")
