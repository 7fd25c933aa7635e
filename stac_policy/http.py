"""Bytes from servers that nobody vouches for: the rules of every request to one.

A session connects to no forbidden address and waits for no endless answer (`make_session`);
redirects lead to allowed hosts alone (`open_url`); what may pass is asked again for a while
(`Attempts`, `persistently`). What comes is read by `stac_policy.bodies`. All of them fail with a
`FetchError`.
"""

from __future__ import annotations

import io
import random
import socket
import time
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, Union
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.auth import HTTPBasicAuth
from requests.utils import get_auth_from_url, get_netrc_auth
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from stac_policy.urls import DEFAULT_PORTS, absolute, is_allowed, redact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from threading import Event

    Timeout = Union[float, tuple[float, float]]

T = TypeVar("T")

DENIED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
"""Statuses of answers to who has no credential, or none that is good."""

MAY_PASS = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses of answers in whose place another one may come later."""

TIMEOUT_S = (10.0, 60.0)
"""How long to wait for a connection, and for the headers and each `SLOWEST_BYTES` of a body."""

SLOWEST_BYTES = 1 << 16
"""What has to come in the time of a timeout, where there is as much to come."""

_PAUSE_LENGTH = 40  # characters of `Retry-After`: a date has 29
LONGEST_WAIT_S = 60.0
"""The longest pause that is made because `Retry-After` asks for it."""

PATIENCE_S = 180.0
"""How long something is tried again that gets no further."""

MOST_BYTES = 2**63 - 1
"""The largest size of a file that Rucio's databases hold."""

_DISMISSED_BYTES = 1 << 16
_REDIRECTS = 5
_FIRST_PAUSE_S = 1.0  # at the most; and then twice as long each time


class FetchError(Exception):
    """A URL gave no usable answer.

    The message says why, with neither the URL that was asked for nor any secret.
    """

    status: int | None = None
    """The status of the answer, if its headers came."""
    may_pass = False
    """Whether the same request may succeed later."""
    retry_after_s = 0.0
    """How long the server wants to be left alone, in seconds."""


class PassingError(FetchError):
    """A URL gave no usable answer now, and may give one later."""

    may_pass = True


class StatusError(FetchError):
    """The status of an answer, or what its headers say, is not that of what was asked for."""

    def __init__(self, reason: str, response: requests.Response) -> None:
        super().__init__(reason)
        self.status = response.status_code
        self.may_pass = self.status in MAY_PASS
        wanted = response.headers.get("Retry-After", "")[:_PAUSE_LENGTH]
        with suppress(urllib3.exceptions.InvalidHeader, ValueError, OverflowError):
            seconds = urllib3.Retry().parse_retry_after(wanted) if wanted else 0.0
            self.retry_after_s = min(seconds, LONGEST_WAIT_S)


class HostNotAllowedError(FetchError):
    """A URL, or a redirect from it, leads to a host or an address that nothing is fetched from."""


class CredentialError(FetchError):
    """A credential lacks, and the message says what to set, or is refused."""

    retry_after_s = 60.0  # accounts are locked after a few attempts


@dataclass(frozen=True)
class Request:
    """What an origin is asked: a URL and headers, either of which may hold a credential."""

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    credential: str = ""
    """What the credential is called, which is no secret."""
    lacks: str = ""
    """What has to be set for one that it wants."""
    forget: Callable[[], bool] = field(default=bool, repr=False, compare=False)
    """Called where the credential is refused; returns whether there is another one to ask with."""

    def said(self, error: object) -> str:
        """Return an error with what it may be due to."""
        with_it = f", with {self.credential}" if self.credential else ""
        return f"{error}{with_it}{': ' if self.lacks else ''}{self.lacks}"


class Signer(Protocol):
    """Adds credentials to requests."""

    def request(self, method: str, url: str) -> Request:
        """Return a request of a URL with the credential that it wants, if there is one.

        Raises:
            FetchError: There should be one, and cannot be now.
        """

    def is_login(self, url: str) -> bool:
        """Return whether a URL that another one redirects to is that of a login."""


# Addresses that nothing is fetched from, whatever name or redirect leads there.
#
# The names of hosts are judged by the allow list. What a name leads to is looked at where it
# cannot change any more: at the connection, before a request is sent.

# Where clouds tell their machines secrets, besides the link-local 169.254.169.254: Alibaba,
# Azure, Oracle's first cloud; AWS (machines and pods), Google, Oracle, Scaleway.
_METADATA = frozenset(
    ip_address(text)
    for text in (
        *("100.100.100.200", "168.63.129.16", "192.0.0.192"),
        *("fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "fd00:c1::a9fe:a9fe", "fd00:42::42"),
    )
)
_NAT64 = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))


def is_forbidden(text: str) -> bool:
    """Return whether an address is link-local or a cloud's metadata service.

    Args:
        text: An IPv4 or IPv6 address, as sockets give it; IPv6 may hold one of IPv4.
    """
    address = ip_address(text.partition("%")[0])
    held = _ipv4_in(address) if isinstance(address, IPv6Address) else ()
    return any(each.is_link_local or each in _METADATA for each in (address, *held))


def is_global(text: str) -> bool:
    """Return whether an address is one of the internet's, as are those that it may hold."""
    address = ip_address(text.partition("%")[0])
    held = _ipv4_in(address) if isinstance(address, IPv6Address) else ()
    return all(each.is_global for each in (address, *held))


def _ipv4_in(address: IPv6Address) -> list[IPv4Address]:
    """The IPv4 addresses that gateways may take an IPv6 address for (RFC 3056, 4380, 6052)."""
    held = [address.sixtofour, *(address.teredo or ())]
    if not any(address.packed[:8]):  # mapped, compatible (RFC 4291), translated (RFC 2765)
        held.append(IPv4Address(address.packed[12:]))
    if any(address in network for network in _NAT64):
        bits = address.packed[:8] + address.packed[9:]  # the ninth byte is none of the address
        held += [IPv4Address(bits[start : start + 4]) for start in (6, 7, 8)]
        held.append(IPv4Address(address.packed[12:]))
    return [each for each in held if each is not None]


# Answers that have to get on: what drips, or has no end, holds nobody for ever.
#
# The time limit of a socket begins anew with each byte, and http.client reads headers, sizes of
# chunks and trailers for as long as they come.

_FRAMING_BYTES = 1 << 18  # of headers, or of all that a piece of a body is framed with
_FRAMING_SHARE = 8  # a chunk of a byte has five more around it


class PacedResponse(HTTPResponse):
    """Takes its headers within the timeout of its socket, and each 64 KiB of a body.

    What is too slow is a `TimeoutError`, as of sockets; what is too much an `HTTPException`.
    """

    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        """Read from a socket; the arguments are those of http.client."""
        super().__init__(sock, *args, **options)
        self._source = _Source(self.fp.detach(), sock.gettimeout())
        self.fp = io.BufferedReader(self._source)

    def begin(self) -> None:
        """Read the headers."""
        self._source.expect(_FRAMING_BYTES)
        super().begin()

    def read(self, amt: int | None = None) -> bytes:
        """Read a piece of the body; without a size all of it, if it is small."""
        size_bytes = _FRAMING_BYTES if amt is None else amt
        self._source.expect(_FRAMING_BYTES + _FRAMING_SHARE * size_bytes)
        try:
            data = super().read(size_bytes)
        except ValueError as error:  # a chunk of less than no bytes
            raise HTTPException("a chunk without a size") from error
        if amt is None and not self.isclosed():
            raise HTTPException("more than anybody reads at once")
        return data


class _Source(io.RawIOBase):
    """The bytes from a socket, while they are neither too many nor too slow."""

    def __init__(self, raw: io.RawIOBase, timeout_s: float | None) -> None:
        self._raw = raw
        self._timeout_s = float("inf") if timeout_s is None else timeout_s
        self.expect(0)

    def expect(self, most_bytes: int) -> None:
        """Begin to read headers or a piece, of so many bytes at the most."""
        self._left_bytes = most_bytes
        self._begin_lap()

    def _begin_lap(self) -> None:
        self._until_s = time.monotonic() + self._timeout_s
        self._due_bytes = SLOWEST_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if time.monotonic() > self._until_s:
            raise socket.timeout("too slow")  # which is no TimeoutError in Python 3.9
        if self._left_bytes <= 0:
            raise HTTPException("more than there should be")
        count = self._raw.readinto(buffer) or 0
        self._left_bytes -= count
        self._due_bytes -= count
        if self._due_bytes <= 0:
            self._begin_lap()
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


# Sessions.


class _Guarded:
    """What the connections of urllib3 are besides: paced, and to no forbidden address.

    Behind a proxy, forbidden addresses are for the proxy to refuse.
    """

    response_class = PacedResponse
    only_global = False
    host: str
    proxy: object
    sock: socket.socket

    def connect(self) -> None:
        super().connect()  # type: ignore[misc] # of the connection that it is mixed into
        address = self.sock.getpeername()[0]
        forbidden = is_forbidden(address) or (self.only_global and not is_global(address))
        if self.proxy is None and forbidden:
            self.sock.close()
            reason = f"{self.host} leads to {address}, from where nothing is fetched"
            raise HostNotAllowedError(reason)


def _pools(*, only_global: bool) -> dict[str, type]:
    guard = {"only_global": only_global}
    return {
        pool.scheme: type(
            pool.__name__,
            (pool,),
            {"ConnectionCls": type("_C", (_Guarded, pool.ConnectionCls), guard)},
        )
        for pool in (HTTPConnectionPool, HTTPSConnectionPool)
    }


_POOLS, _GLOBAL_POOLS = _pools(only_global=False), _pools(only_global=True)


class GuardedAdapter(HTTPAdapter):
    """Connects to no forbidden address, and reads paced answers."""

    pools = _POOLS

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Use guarded connections."""
        super().init_poolmanager(*args, **options)  # type: ignore[no-untyped-call] # of requests
        self.poolmanager.pool_classes_by_scheme = self.pools

    def request_url(self, request: requests.PreparedRequest, proxies: Any) -> str:
        """Keep all slashes that a path begins with, of which requests leaves one."""
        url = str(super().request_url(request, proxies))  # type: ignore[no-untyped-call]
        path = str(request.path_url)
        return path if path.startswith("//") and url == f"/{path.lstrip('/')}" else url

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """Use them through a proxy, too, except for SOCKS, which has connections of its own."""
        manager = super().proxy_manager_for(proxy, **options)  # type: ignore[no-untyped-call]
        if not proxy.lower().startswith("socks"):
            manager.pool_classes_by_scheme = self.pools
        return manager


class GlobalAdapter(GuardedAdapter):
    """Connects to addresses of the internet alone, to none of this site."""

    pools = _GLOBAL_POOLS


_ORIGINS_KNOWN = 1000


class _Session(requests.Session):
    signer: Signer | None = None

    def __init__(self) -> None:
        super().__init__()
        self._settings: dict[object, Any] = {}

    def merge_environment_settings(self, url: Any, *given: Any) -> Any:
        """Look for proxies and certificates in the environment once for each origin.

        requests reads all of the environment, several times, for each request.
        """
        what = origin(url), str(given)
        found = self._settings.get(what)
        if found is None:
            if len(self._settings) >= _ORIGINS_KNOWN:  # a catalogue names any number
                self._settings.clear()
            found = self._settings[what] = super().merge_environment_settings(url, *given)
        return found

    def resolve_redirects(self, *_args: Any, **_options: Any) -> Iterator[Any]:
        """Look at no redirect, for which requests would read all that comes with it."""
        return iter(())


def origin(url: str) -> tuple[str, str | None, int | None]:
    """Return scheme, host and port of a URL; what is for one of these is for no other.

    Raises:
        ValueError: It has no valid port.
    """
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or DEFAULT_PORTS.get(parts.scheme)


def _credentials_of(url: str) -> Callable[[requests.PreparedRequest], requests.PreparedRequest]:
    """What adds the credentials of a URL, or of this machine's netrc, to requests to its origin."""

    def authenticate(request: requests.PreparedRequest) -> requests.PreparedRequest:
        if url and origin(request.url or "") == origin(url):
            own: tuple[str, str] = get_auth_from_url(url)
            if found := own if any(own) else get_netrc_auth(url):
                HTTPBasicAuth(*found)(request)
        return request

    return authenticate


def make_session(
    *, credentials_of: str = "", signer: Signer | None = None, **options: Any
) -> requests.Session:
    """Return an HTTP session that connects to no forbidden address, and paces its answers.

    It asks for bytes as they are: a compressed body could not be continued, nor compared with
    the size and checksums of its file.

    Args:
        credentials_of: A URL whose origin alone gets the credentials in it, or those that the
            machine's netrc has for its host; never one that a catalogue names.
        signer: Has the credentials for what `open_url` requests.
        **options: For its adapters, as `requests.adapters.HTTPAdapter` takes them.
    """
    session = _Session()
    session.headers["Accept-Encoding"] = "identity"
    session.auth = _credentials_of(credentials_of)
    session.signer = signer
    for scheme in ("http://", "https://"):
        session.mount(scheme, GuardedAdapter(**options))
    return session


@contextmanager
def open_url(
    session: requests.Session,
    url: str,
    allowed_hosts: Iterable[str] = (),
    timeout_s: Timeout | None = None,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
) -> Iterator[requests.Response]:
    """Request a URL and follow its redirects, each only to an allowed host.

    The session's credentials go with the URL and what it leads to at its own origin; behind the
    first redirect to another one, none does.

    Args:
        session: As `make_session` gives it.
        url: The URL.
        allowed_hosts: See `stac_policy.urls.refusal`.
        timeout_s: By default `TIMEOUT_S`.
        method: GET or HEAD.
        headers: More headers of the request.

    Raises:
        HostNotAllowedError: The URL or a redirect leads to another host.
        CredentialError: It wants a credential that there is not, or leads to a login.
        FetchError: There is no answer, whatever its status.
    """
    base, timeout_s = url, timeout_s or TIMEOUT_S
    signer: Signer | None = getattr(session, "signer", None)
    home = None
    ours = Request(url)
    for hop in range(_REDIRECTS + 1):
        url = requested(base, url, allowed_hosts)
        home = home if hop else origin(url)
        asked = Request(url)
        if signer is not None and origin(url) == home:
            asked = ours = signer.request(method, url)
        elif signer is not None:
            home = None  # no credential goes with what leads back, either
            if signer.is_login(url):
                login = f"it redirects to a login, at {urlsplit(url).hostname}"
                raise CredentialError(ours.said(login))
        sent = {**(headers or {}), **asked.headers}
        with answer(session, method, asked.url, headers=sent, timeout=timeout_s) as response:
            is_over = response.status_code in DENIED and asked.forget()
            location = url if is_over else _location(session, response)
            if location is not None or method == "HEAD":
                dismiss(response.raw)
            if location is None:
                try:
                    yield response
                except StatusError as error:
                    if error.status in DENIED and ours.lacks:
                        raise CredentialError(ours.said(error)) from None
                    if error.status in DENIED:
                        error.args = (ours.said(error),)
                    raise
                return
        base, url = url, location
    raise FetchError(f"it redirects more than {_REDIRECTS} times, as in circles")


def _location(session: requests.Session, response: requests.Response) -> str | None:
    """Where an answer redirects to, if it does."""
    try:
        return session.get_redirect_target(response)
    except ValueError:  # it is no text
        raise HostNotAllowedError("it redirects to no web address") from None


def requested(base: str, url: str, allowed_hosts: Iterable[str]) -> str:
    """Return the URL as it is requested, if it leads to an allowed host.

    Args:
        base: What it is relative to.
        url: The URL, as a redirect gives it.
        allowed_hosts: See `stac_policy.urls.refusal`.

    Raises:
        HostNotAllowedError: It leads to another host, or is none.
    """
    # What is checked must be what is requested: parsers disagree about backslashes in a host.
    try:
        prepared = requests.PreparedRequest()
        prepared.prepare_url(absolute(url, base), {})
        found = prepared.url or ""
        parts = urlsplit(found)
        allowed = parts.scheme in {"http", "https"} and is_allowed(parts, allowed_hosts)
    except ValueError:
        raise HostNotAllowedError(f"it leads to {redact(url)}, no web address") from None
    if not allowed:
        raise HostNotAllowedError(f"it leads to {redact(url)}, which is on no allowed host")
    return found


def answer(session: requests.Session, method: str, url: str, **options: Any) -> requests.Response:
    """Request a URL, without following a redirect; see `open_url`, which does.

    Raises:
        FetchError: There is no answer.
    """
    # From None: what requests says may repeat the signed URL of a redirect.
    try:
        return session.request(method, url, stream=True, allow_redirects=False, **options)
    except ValueError:
        raise HostNotAllowedError(f"{redact(url)} is no web address") from None
    except requests.exceptions.SSLError:
        raise PassingError(
            "no TLS connection; is its certificate valid, and trusted here?"
        ) from None
    except requests.Timeout as error:
        timeout_s = options["timeout"]
        if isinstance(timeout_s, tuple):
            timeout_s = timeout_s[not isinstance(error, requests.ConnectTimeout)]
        raise PassingError(f"no answer within {timeout_s:g} s") from None
    # requests lets some of urllib3's errors pass.
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        # Of a request that nobody reads, requests makes no Timeout.
        is_stuck = any(isinstance(each, socket.timeout) for each in behind(error))
        said = "it takes nothing of the request" if is_stuck else cause(error)
        raise PassingError(f"no answer ({said})" if said else "no answer") from None


def behind(error: BaseException) -> Iterator[BaseException]:
    """Yield what an error was raised because of, one after the other; some go in circles."""
    seen = {id(error)}
    while found := error.__cause__ or (not error.__suppress_context__ and error.__context__):
        if id(found) in seen:
            return
        seen.add(id(found))
        yield (error := found)


def cause(error: BaseException) -> str:
    """Return what the system says behind an error, such as `Connection refused`, or nothing."""
    systems = (each for each in (error, *behind(error)) if isinstance(each, OSError))
    return next((each.strerror for each in systems if each.strerror), "")


def dismiss(raw: urllib3.HTTPResponse) -> None:
    """Be done with an answer whose body nobody wants.

    Args:
        raw: The answer, of which nothing has been read. Its connection is used again if
            there is little to read, and closed otherwise.
    """
    with suppress(urllib3.exceptions.HTTPError):
        raw.read(_DISMISSED_BYTES, decode_content=False)
    raw.close()


# Another attempt where the first may pass.


class Attempts:
    """Attempts at one thing: a few, with longer and longer pauses, within a time."""

    def __init__(
        self, most: int = 4, *, until_s: float | None = None, stop: Event | None = None
    ) -> None:
        """Begin with the first attempt.

        Args:
            most: How many there may be.
            until_s: None begins later, by `time.monotonic`; by default `PATIENCE_S` after the
                first has failed.
            stop: Set when nobody wants it any more; then all of this raises CancelledError.
        """
        self._most, self._latest_s, self._stop = most, until_s, stop
        self.renew()

    def renew(self) -> None:
        """Begin anew, as an attempt has got on."""
        self._failed, self._until_s = 0, self._latest_s

    def again(self, error: FetchError) -> bool:
        """Return whether there is another attempt, after the pause that has to be before it.

        Args:
            error: What the last one failed with.
        """
        # Several that were in each other's way must not come back all at once.
        share = random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        pause_s = max(_FIRST_PAUSE_S * 2**self._failed * share, error.retry_after_s)
        self._failed += 1
        now_s = time.monotonic()
        self._until_s = now_s + PATIENCE_S if self._until_s is None else self._until_s
        is_last = self._failed >= self._most or now_s + pause_s > self._until_s
        if is_last or not error.may_pass:
            return False
        if self._stop is None:
            time.sleep(pause_s)
        else:
            self._stop.wait(pause_s)
        self.go_on()
        return True

    def go_on(self) -> None:
        """Raise CancelledError if nobody wants it any more."""
        if self._stop is not None and self._stop.is_set():
            raise CancelledError


def persistently(ask: Callable[[], T], attempts: Attempts) -> T:
    """Return what `ask` gives, as soon as it does, or raise the FetchError of the last attempt."""
    while True:
        try:
            return ask()
        except FetchError as error:
            if not attempts.again(error):
                raise


# What headers say.


def require_ok(response: requests.Response) -> None:
    """Require that an answer is the whole of what was asked for (`202 Accepted` is not).

    Raises:
        StatusError: It has another status than 200.
    """
    if response.status_code != HTTPStatus.OK:
        raise StatusError(f"HTTP {response.status_code}", response)


def content_length(response: requests.Response) -> int | None:
    """Return how many bytes an answer says that its body has, or None.

    Raises:
        FetchError: More than any file in Rucio can have.
    """
    length = response.headers.get("Content-Length", "")
    if "Transfer-Encoding" in response.headers:  # by which the body ends, whatever else is said
        return None
    if not (length.isascii() and length.isdigit()):
        return None
    # Python makes no number of thousands of digits.
    if len(length) > len(str(MOST_BYTES)) or int(length) > MOST_BYTES:
        raise FetchError("it has more bytes, it says, than Rucio counts")
    return int(length)


def strong_etag(response: requests.Response) -> str | None:
    """Return the ETag that tells one version of a URL byte for byte, or None."""
    etag = response.headers.get("ETag")
    return etag if etag and not etag.startswith("W/") else None


def require_plain(response: requests.Response, also: str = "identity") -> str:
    """Require that a body is sent as it is, as was asked for, and return its encoding.

    Raises:
        StatusError: It is sent in another encoding than identity, or the one that was asked for.
    """
    encoding, transfer = (
        response.headers.get(f"{what}-Encoding", "").strip().lower() or "identity"
        for what in ("Content", "Transfer")
    )
    # Of transfer codings, http.client undoes that of chunks alone, where it is the only one.
    for found, right in ((encoding, {"identity", also}), (transfer, {"identity", "chunked"})):
        if found not in right:
            raise StatusError(f"it is sent encoded ({found[:40]}), as nobody asked for", response)
    return encoding
