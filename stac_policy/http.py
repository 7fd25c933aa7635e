"""Fetching of files over HTTP, by the RSE protocol: bounded, allow-listed, resumed."""

from __future__ import annotations

import io
import time
from contextlib import contextmanager, suppress
from http.client import HTTPException, HTTPResponse
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from stac_policy.urls import is_allowed, redact

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable, Iterator
    from pathlib import Path


# HTTP answers that have to get on: what drips, or has no end, holds nobody for ever.
#
# The time limit of a socket begins anew with each byte, and http.client reads headers, sizes of
# chunks and trailers for as long as they come.


SLOWEST_BYTES = 1 << 16
"""What has to come in the time of a timeout, where there is as much to come."""

_FRAMING_BYTES = 1 << 18  # of headers, or of all that a piece of a body is framed with
_FRAMING_SHARE = 8  # a chunk of a byte has five more around it


class PacedResponse(HTTPResponse):
    """Takes its headers within the timeout of its socket, and each 64 KiB of a body.

    What is too slow is a `TimeoutError`, as of sockets; what is too much an `HTTPException`.
    """

    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        """Make one; the arguments are those of http.client."""
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
            raise TimeoutError("too slow")
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


# Addresses that nothing is fetched from, whatever name or redirect leads there.
#
# The names of hosts are judged by the allow list. What a name leads to is looked
# at where it can not change any more: at the connection, before a request is sent.


# Where clouds tell their machines secrets, besides the link-local 169.254.169.254.
_METADATA = frozenset({"fd00:ec2::254", "100.100.100.200"})


class ForbiddenAddressError(ValueError):
    """A name leads to an address that nothing is fetched from."""


def is_forbidden(text: str) -> bool:
    """Tell whether an address is link-local or a cloud's metadata service.

    Args:
        text: An IPv4 or IPv6 address, as sockets give it.
    """
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_link_local or str(address) in _METADATA


class GuardedAdapter(HTTPAdapter):
    """Connects to no forbidden address, and reads paced answers.

    Behind a proxy, forbidden addresses are for the proxy to refuse.

    Raises:
        ForbiddenAddressError: From `send`, before anything is sent.
    """

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Make the connections guarded ones."""
        super().init_poolmanager(*args, **options)  # type: ignore[no-untyped-call] # of requests
        self.poolmanager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """Make answers through a proxy paced ones, except for SOCKS, which has its own."""
        manager = super().proxy_manager_for(proxy, **options)  # type: ignore[no-untyped-call]
        if not proxy.lower().startswith("socks"):
            manager.pool_classes_by_scheme = {"http": _ProxiedHTTPPool, "https": _ProxiedHTTPSPool}
        return manager


class _HTTPProxied(HTTPConnection):
    response_class = PacedResponse


class _HTTPSProxied(HTTPSConnection):
    response_class = PacedResponse


class _HTTPGuarded(_HTTPProxied):
    def connect(self) -> None:
        super().connect()  # type: ignore[no-untyped-call] # of urllib3
        _check(self)


class _HTTPSGuarded(_HTTPSProxied):
    def connect(self) -> None:
        super().connect()  # type: ignore[no-untyped-call] # of urllib3
        _check(self)


class _ProxiedHTTPPool(HTTPConnectionPool):
    ConnectionCls = _HTTPProxied


class _ProxiedHTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _HTTPSProxied


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _HTTPGuarded


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _HTTPSGuarded


def _check(connection: HTTPConnection) -> None:
    address = connection.sock.getpeername()[0]
    if is_forbidden(address):
        connection.close()
        raise ForbiddenAddressError(f"{connection.host} leads to {address}")


_ATTEMPTS = 4
_CHUNK_BYTES = 1 << 20
_REDIRECTS = 5
_DISMISSED_BYTES = 1 << 16
_WHOLE = 200
_PARTIAL = 206
_RANGE_NOT_SATISFIABLE = 416
_RESTARTED = frozenset({_PARTIAL, _RANGE_NOT_SATISFIABLE})
_RETRIED = _RESTARTED | {408, 429, 500, 502, 503, 504}


class HostNotAllowedError(requests.RequestException):
    """A URL, or a redirect from it, leads to a host that is not in the allow list, or to none."""


@contextmanager
def open_url(
    session: requests.Session,
    url: str,
    allowed_hosts: Iterable[str],
    timeout_s: float | tuple[float, float],
    *,
    method: str = "GET",
    headers: dict[str, str] | None = None,
) -> Iterator[requests.Response]:
    """Request a URL and follow its redirects, each only to an allowed host.

    Raises:
        HostNotAllowedError: The URL or a redirect leads to another host.
        requests.RequestException: The request failed. Its message may repeat a
            redirect's query, where origins put signatures.
    """
    base = url
    for _ in range(_REDIRECTS + 1):
        url = _checked(base, url, allowed_hosts)
        try:
            response = session.request(
                method, url, headers=headers, timeout=timeout_s, stream=True, allow_redirects=False
            )
        except ForbiddenAddressError as error:
            raise HostNotAllowedError(f"{redact(url)}: {error}, from where nothing comes") from None
        except ValueError:  # of requests' own sessions, which look at every redirect
            raise HostNotAllowedError(f"{redact(url)} redirects to no host") from None
        with response:
            try:
                location = session.get_redirect_target(response)
            except ValueError:  # it is no text
                raise HostNotAllowedError(f"{redact(url)} redirects to no host") from None
            if location is None:
                if method == "HEAD":
                    dismiss(response.raw)
                yield response
                return
            dismiss(response.raw)
        base, url = url, location
    raise requests.TooManyRedirects(f"{redact(base)} redirects more than {_REDIRECTS} times")


def _checked(base: str, url: str, allowed_hosts: Iterable[str]) -> str:
    """Give the URL as it is requested, if it leads to an allowed host."""
    # What is checked must be what is requested: parsers disagree about backslashes in a host.
    try:
        requested = requests.Request("GET", urljoin(base, url)).prepare().url or ""
        parts = urlsplit(requested)
        allowed = parts.scheme in {"http", "https"} and is_allowed(parts, allowed_hosts)
    except ValueError:
        allowed = False
    if not allowed:
        raise HostNotAllowedError(f"{redact(url)} is not on an allowed host") from None
    return requested


def download(
    session: requests.Session,
    url: str,
    target: Path,
    allowed_hosts: Iterable[str],
    timeout_s: float,
) -> None:
    """Download a URL into a file, whose folders are made where they are missing.

    An interrupted download goes on where it stopped if the origin can, and
    starts again otherwise. What fails for good leaves no file behind.

    Args:
        session: The HTTP session to use.
        url: The URL.
        target: The file to write.
        allowed_hosts: See `stac_policy.urls.refusal`.
        timeout_s: Longest silence of the origin, in seconds.

    Raises:
        requests.RequestException: All attempts failed, or the origin refused; see `open_url`.
        OSError: The file can not be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)  # which may be another name of a file to keep
    version: str | None = None
    try:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                headers = _continuation(target, version)
                with open_url(session, url, allowed_hosts, timeout_s, headers=headers) as response:
                    _require_body(response, headers)
                    version = _strong_etag(response)
                    _write(response, target)
            except requests.RequestException as error:
                if attempt == _ATTEMPTS or not _may_pass(error):
                    raise
                if _status(error) in _RESTARTED:
                    version = None
                time.sleep(2 ** (attempt - 2))
            else:
                return
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def _continuation(target: Path, version: str | None) -> dict[str, str]:
    # Identity: a compressed body could not be continued, nor compared with its length.
    headers = {"Accept-Encoding": "identity"}
    if version and target.exists() and target.stat().st_size:
        headers |= {"Range": f"bytes={target.stat().st_size}-", "If-Range": version}
    return headers


def _require_body(response: requests.Response, headers: dict[str, str]) -> None:
    """Make sure that a response is the file (`202 Accepted` is not), or the part asked for."""
    status = response.status_code
    part = headers.get("Range", "").replace("=", " ")
    is_part = (
        bool(part)
        and response.headers.get("Content-Range", "").startswith(part)
        and _strong_etag(response) == headers["If-Range"]
    )
    if status != _WHOLE and not (status == _PARTIAL and is_part):
        raise requests.HTTPError(f"{redact(response.url)}: HTTP {status}", response=response)


def _strong_etag(response: requests.Response) -> str | None:
    etag = response.headers.get("ETag")
    return etag if etag and not etag.startswith("W/") else None


def _write(response: requests.Response, target: Path) -> None:
    received = 0
    with target.open("ab" if response.status_code == _PARTIAL else "wb") as file:
        try:
            # As sent: an origin may compress although it was asked not to, and what
            # Rucio knows the size and checksum of is what the origin stores.
            for chunk in pieces(response, _CHUNK_BYTES):
                file.write(chunk)
                received += len(chunk)
        except urllib3.exceptions.HTTPError as error:
            raise requests.ConnectionError(
                f"{redact(response.url)} broke off after {received} bytes"
            ) from error
    announced = response.headers.get("Content-Length", "")
    if announced.isdecimal() and int(announced) != received:
        raise requests.ConnectionError(
            f"{redact(response.url)} ended after {received} of {announced} bytes"
        )


def pieces(response: requests.Response, piece_bytes: int) -> Iterator[bytes]:
    """Give the body of an answer as it is sent, piece by piece; what is compressed stays so.

    Not by `stream` of urllib3, which reads sizes of chunks and trailers without any limit.

    Args:
        response: The answer, of which nothing has been read.
        piece_bytes: Size of each piece but the last.

    Raises:
        urllib3.exceptions.HTTPError: The body broke off, is none, or comes too slowly.
    """
    while piece := response.raw.read(piece_bytes, decode_content=False):
        yield piece


def dismiss(raw: urllib3.HTTPResponse) -> None:
    """Be done with an answer whose body nobody wants.

    Args:
        raw: The answer, of which nothing has been read. Its connection is used again if
            there is little to read, and closed otherwise.
    """
    with suppress(urllib3.exceptions.HTTPError):
        raw.read(_DISMISSED_BYTES, decode_content=False)
    raw.close()


def _may_pass(error: requests.RequestException) -> bool:
    """Tell whether the same request may succeed later."""
    if isinstance(error, (HostNotAllowedError, requests.TooManyRedirects)):
        return False
    status = _status(error)
    return status is None or status in _RETRIED


def _status(error: requests.RequestException) -> int | None:
    return None if error.response is None else error.response.status_code


class _Session(requests.Session):
    def resolve_redirects(self, *_args: Any, **_options: Any) -> Iterator[Any]:
        """Look at no redirect, for which requests would read all that comes with it."""
        return iter(())


def make_session(*, netrc: bool = False, **options: Any) -> requests.Session:
    """An HTTP session that connects to no forbidden address and waits for no endless answer.

    Args:
        netrc: Whether the machine's netrc may give credentials; never for a catalogue's hosts.
        **options: For its adapters, as `requests.adapters.HTTPAdapter` takes them.
    """
    session = _Session()
    if not netrc:
        session.auth = _no_credentials
    for scheme in ("http://", "https://"):
        session.mount(scheme, GuardedAdapter(**options))
    return session


def _no_credentials(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """For `Session.auth`: those of the machine's netrc are not for a catalogue's hosts."""
    return request


# How many values a JSON text holds, told before it is read; pure.
#
# In memory a value takes some 100 bytes, and in the text of real items about 20: what is
# much denser takes many times its size.


BYTES_A_VALUE = 16
"""So many bytes of text are granted to each value."""


def values_in(text: bytes | bytearray) -> int:
    """Count the values of a JSON text; rather too many, as strings may look like some."""
    return sum(map(text.count, (b",", b"[", b"{")))
