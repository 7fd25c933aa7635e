"""The upstream API: the one server that requests go to, whatever a client asks for."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx2
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException

from stac_client.errors import ConfigurationError
from stac_policy.urls import DEFAULT_PORTS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping

    RawHeaders = list[tuple[bytes, bytes]]

WARNING = "stac-rucio-warning"

_HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer "
    b"transfer-encoding upgrade expect".split()
)
# Cookies belong to a host, and on loopback to all its ports: those of a notebook server must
# not reach the upstream API. What clients say about proxies is for nobody but us to say.
_NOT_REQUESTED = _HOP_BY_HOP | frozenset(
    b"host cookie accept-encoding forwarded x-real-ip content-length".split()
)
# Of a request for the bytes of an asset, what is not for its item.
_OF_BYTES = frozenset(b"accept if-match if-none-match if-modified-since range if-range".split())
_OF_BYTES |= frozenset([b"if-unmodified-since"])
_NOT_REQUESTED_PREFIXES = (b"x-forwarded-", b"x-rucio-")
# They speak for the API's host, not for this one; the last two this server says itself.
_NOT_RETURNED = _HOP_BY_HOP | frozenset(
    b"set-cookie strict-transport-security alt-svc clear-site-data date server".split()
)
_BYTES = [
    "content-length",
    "content-md5",
    "digest",
    "content-digest",
    "repr-digest",
    "accept-ranges",
]
_LIFETIME = ["etag", "last-modified", "expires", "age", "cache-control"]
_KEPT_DIRECTIVES = ("no-store", "private")

_TAKES_GZIP = re.compile(r"(?:^|,)\s*gzip\s*(?:;\s*q=(?!0(?:\.0*)?\s*(?:,|$))[0-9.]+\s*)?(?:,|$)")

# RFC 3986 has these characters in paths, and no others.
_PATH = re.compile(rb"/(?:[A-Za-z0-9/._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*")
_QUERY = re.compile(rb"[!-\"$-~]*")
# Servers take backslashes for slashes, and cut off control characters, parameters (`..;x`)
# and what they take for a query or a fragment.
_DOTS = re.compile(rb"[\0-\x1f\x7f]|[/\\] *\.\.?(?![A-Za-z0-9._~-])")
_ESCAPED_TIMES = 5  # how often a path is unescaped to see whether dots come out

_CONNECT_TIMEOUT_S = 10.0
_LIMITS = httpx2.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=5.0)


def request_headers(headers: Headers, *, for_item: bool = False) -> RawHeaders:
    """Return the headers for the upstream API.

    Args:
        headers: Those of the client.
        for_item: Whether the client wants an asset, and the API is asked for its item.
    """
    dropped = (
        _NOT_REQUESTED | _named_by_connection(headers.raw) | (_OF_BYTES if for_item else set())
    )
    kept = [
        (name, value)
        for name, value in headers.raw
        if name not in dropped and not name.startswith(_NOT_REQUESTED_PREFIXES)
    ]
    codings = ",".join(headers.getlist("accept-encoding")).lower()
    if for_item:
        kept.append((b"accept", b"application/geo+json, application/json"))
    return [*kept, (b"accept-encoding", b"gzip" if _TAKES_GZIP.search(codings) else b"identity")]


def response_headers(
    headers: RawHeaders, rewriting: Mapping[bytes, Callable[[str], str]]
) -> MutableHeaders:
    """Return the headers for the client, of a body that passes as it is.

    Args:
        headers: Those of the upstream API.
        rewriting: What rewrites the values of headers that hold URLs.
    """
    headers = [(name.lower(), value) for name, value in headers]
    dropped = _NOT_RETURNED | _named_by_connection(headers)
    if any(name == b"transfer-encoding" for name, _ in headers):
        dropped |= {b"content-length"}  # which does not count beside it
    return MutableHeaders(
        raw=[
            (name, rewriting[name](value.decode("latin-1")).encode("latin-1"))
            if name in rewriting
            else (name, value)
            for name, value in headers
            if name not in dropped
        ]
    )


def rewrite_headers(headers: MutableHeaders, *, holds_items: bool) -> None:
    """Turn the headers of a body that passed into those of the body it became.

    Items change with their replicas, of which the upstream API knows nothing: its
    validators and lifetimes do not hold for them. Elsewhere only links have
    changed, so the same tag still tells the same content, though not its bytes.
    """
    directives = {part.strip() for part in headers.get("cache-control", "").lower().split(",")}
    for name in _BYTES + (_LIFETIME if holds_items else []):
        del headers[name]
    etag = headers.get("etag")
    if etag and not etag.startswith("W/"):
        headers["etag"] = f"W/{etag}"
    if holds_items:
        kept = [each for each in _KEPT_DIRECTIVES if each in directives]
        headers["cache-control"] = ", ".join([*kept, "no-cache"])


def _named_by_connection(headers: Iterable[tuple[bytes, bytes]]) -> frozenset[bytes]:
    values = [value for name, value in headers if name == b"connection"]
    return frozenset(part.strip().lower() for value in values for part in value.split(b","))


class Upstream:
    """Sends requests to one API, and follows nothing that it answers."""

    def __init__(self, api: str, timeout_s: float) -> None:
        """Prepare connections; the first request makes one.

        Args:
            api: URL of the API, as `checked_url` returns it.
            timeout_s: How long it may be silent, in seconds.
        """
        self._url = httpx2.URL(api)
        self._path = urlsplit(api).path.encode()
        connect_s = min(timeout_s, _CONNECT_TIMEOUT_S)
        self._timeouts = httpx2.Timeout(timeout_s, connect=connect_s, pool=connect_s).as_dict()
        # At DEBUG it writes whole headers of answers, with whatever tokens are in them.
        logger = logging.getLogger("httpcore2")
        logger.setLevel(max(logger.level, logging.INFO))
        # Not a client of httpx2: that keeps cookies, one user's for the next, and logs whole
        # URLs. A transport only sends.
        self._transport = httpx2.AsyncHTTPTransport(limits=_LIMITS, proxy=_proxy(api))

    async def send(
        self,
        method: str,
        path: bytes,
        query: bytes,
        headers: RawHeaders,
        body: AsyncIterator[bytes] | None,
    ) -> httpx2.Response:
        """Send a request and return the response, its body still to be read.

        Raises:
            HTTPException: The path could lead elsewhere than below the API's URL, or is none.
            httpx2.TransportError: There is no response.
        """
        _check(path, query)
        target = self._path + path + (b"?" + query if query else b"")
        url = self._url.copy_with(raw_path=target)
        extensions = {"timeout": self._timeouts}
        request = httpx2.Request(method, url, headers=headers, content=body, extensions=extensions)
        try:
            return await self._transport.handle_async_request(request)
        except httpx2.RemoteProtocolError:
            if body is not None or method not in {"GET", "HEAD"}:
                raise
            # The API may close a kept connection in the moment in which it is used.
            return await self._transport.handle_async_request(request)

    async def close(self) -> None:
        """Close all connections."""
        await self._transport.aclose()


def _check(path: bytes, query: bytes) -> None:
    """Make sure that a request leads below the API's URL, whoever reads it on its way.

    Raises:
        HTTPException: It does not, or is none.
    """
    if not _PATH.fullmatch(path):
        raise HTTPException(400, "the path must start with a slash, and its characters be escaped")
    for _ in range(_ESCAPED_TIMES):
        if _DOTS.search(path):
            raise HTTPException(400, "the path has . or .. as a part, or control characters")
        path = unquote_to_bytes(path)
    if not _QUERY.fullmatch(query):
        raise HTTPException(400, "the query holds what has to be escaped")


def _proxy(api: str) -> str | None:
    """Return the proxy of this site for what is outside of it, from the environment as ever."""
    parts = urlsplit(api)
    proxy = None if proxy_bypass(parts.netloc) else getproxies().get(parts.scheme)
    return f"http://{proxy}" if proxy and "://" not in proxy else proxy


def checked_url(name: str, url: str) -> str:
    """Return the URL of a landing page, without a slash at its end.

    Args:
        name: What the URL is given as, for the message.
        url: The URL.

    Raises:
        ConfigurationError: It is none.
    """
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL:
        parsed = httpx2.URL("")
    is_plain = not (parsed.userinfo or parsed.query or parsed.fragment) and url.isascii()
    if parsed.scheme not in DEFAULT_PORTS or not parsed.host or not is_plain:
        raise ConfigurationError(
            f"{name} must start with http:// or https:// and a host, and go on without "
            "credentials, query and fragment"
        )
    path = parsed.raw_path.decode().partition("?")[0].rstrip("/")
    return f"{parsed.scheme}://{parsed.netloc.decode()}{path}"
