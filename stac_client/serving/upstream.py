"""The API behind: the one server that requests go to, whatever a client asks for."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

from stac_client.errors import ConfigurationError

from .links import Links
from .refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from urllib.parse import SplitResult

    from .headers import Headers

_CONNECT_TIMEOUT_S = 10.0
_LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=5.0)
_TARGET = re.compile(rb"/[\x21-\x7e]*")
_SEPARATOR = re.compile(rb"[/\\]")
_ESCAPED_TIMES = 5  # how often a path is unescaped to see whether dots come out
_REPEATABLE = frozenset({"GET", "HEAD"})


class Upstream:
    """Sends requests to one API, and follows nothing that it answers."""

    def __init__(self, api: str, timeout_s: float) -> None:
        """Make one; it connects with the first request.

        Args:
            api: URL of the API.
            timeout_s: How long it may be silent, in seconds.

        Raises:
            ConfigurationError: The URL is none of an API.
        """
        parts = _parts(api)
        self.url = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        """The API's URL without a slash at its end."""
        self.links = Links(self.url)
        """Rewrites links below that URL."""
        self._path = parts.path.rstrip("/").encode("ascii")
        self._origin = httpx.URL(f"{parts.scheme}://{parts.netloc}/")
        self.host = self._origin.netloc
        """Its host, and its port where it is not the default."""
        connect_s = min(timeout_s, _CONNECT_TIMEOUT_S)
        self._timeouts = httpx.Timeout(timeout_s, connect=connect_s, pool=connect_s).as_dict()
        # At DEBUG it writes whole headers of answers, with whatever tokens are in them.
        logger = logging.getLogger("httpcore")
        logger.setLevel(max(logger.level, logging.INFO))
        # Not a client of httpx: that keeps cookies, one user's for the next, and logs whole
        # URLs. A transport only sends.
        self._transport = httpx.AsyncHTTPTransport(limits=_LIMITS, proxy=_proxy_for(parts))

    def target(self, path: bytes, query: bytes) -> bytes:
        """Give the request target for a path of this server, byte for byte.

        Raises:
            Refusal: The path could lead elsewhere than below the API's URL, or is none.
        """
        if not _TARGET.fullmatch(path):
            raise Refusal(400, "the request needs a path that starts with a slash")
        unescaped = path
        for _ in range(_ESCAPED_TIMES):
            if {b".", b".."} & set(_SEPARATOR.split(unescaped)):
                raise Refusal(400, "the path holds . or .. as a part")
            unescaped = unquote_to_bytes(unescaped)
        target = self._path + path
        if query and not _TARGET.fullmatch(b"/" + query):
            raise Refusal(400, "the query holds what has to be escaped")
        return target + b"?" + query if query else target

    async def send(
        self, method: str, target: bytes, headers: Headers, body: AsyncIterator[bytes] | None
    ) -> httpx.Response:
        """Send a request and give the response, its body still to be read.

        Raises:
            httpx.TransportError: There is none.
        """
        for may_repeat in (body is None and method in _REPEATABLE, False):
            request = httpx.Request(
                method,
                self._origin,
                headers=headers,
                content=body,
                extensions={"target": target, "timeout": self._timeouts},
            )
            try:
                return await self._transport.handle_async_request(request)
            except httpx.RemoteProtocolError:
                # The API may close a kept connection in the moment in which it is used.
                if not may_repeat:
                    raise
        raise AssertionError

    async def close(self) -> None:
        """Close all connections."""
        await self._transport.aclose()


def _proxy_for(parts: SplitResult) -> str | None:
    """The proxy of this site for what is outside of it, from the environment as ever."""
    proxy = None if proxy_bypass(parts.netloc) else getproxies().get(parts.scheme)
    return f"http://{proxy}" if proxy and "://" not in proxy else proxy


def _parts(api: str) -> SplitResult:
    try:
        parts = urlsplit(api)
        parts.port  # noqa: B018 - raises where it is no number
    except ValueError as error:
        raise ConfigurationError("the API's URL can not be parsed") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigurationError("the API's URL must start with http:// or https:// and a host")
    if "@" in parts.netloc:
        raise ConfigurationError(
            "the API's URL carries credentials; clients send theirs with each request"
        )
    if parts.query or parts.fragment or not api.isascii():
        raise ConfigurationError(
            "the API's URL must be that of its landing page, without query and fragment"
        )
    return parts
