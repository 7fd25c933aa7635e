"""The API behind: the one server that requests go to, whatever a client asks for."""

from __future__ import annotations

import logging
import math
import re
import time
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes, urlsplit
from urllib.request import getproxies, proxy_bypass

import anyio
import httpx
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse

from stac_client.errors import ConfigurationError
from stac_policy.urls import redact
from stac_rucio.serve._pages import Links, Refusal, split_query

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    Headers = list[tuple[bytes, bytes]]
    from collections.abc import AsyncIterator
    from urllib.parse import SplitResult

    from starlette.types import Message, Receive, Scope, Send

    from stac_rucio.serve._pages import PageMaker, Preference, Root


# Which headers go to the API behind, and which come back from it; pure.


WARNING = b"stac-rucio-warning"

_HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer "
    b"transfer-encoding upgrade expect".split()
)
# Cookies belong to a host, and on loopback to all its ports: those of a notebook server must
# not reach the API behind. What clients say about proxies is for nobody but us to say.
_NOT_SENT = _HOP_BY_HOP | frozenset(
    b"host cookie accept-encoding forwarded x-real-ip content-length".split()
)
_NOT_SENT_PREFIXES = (b"x-forwarded-", b"x-rucio-")
# They speak for the API's host, not for this one; the last two this server says itself.
_NOT_RETURNED = _HOP_BY_HOP | frozenset(
    b"set-cookie strict-transport-security alt-svc clear-site-data date server".split()
)
_OF_THE_BYTES = frozenset(
    b"content-length content-md5 digest content-digest repr-digest accept-ranges".split()
)
_OF_ITEMS_LIFETIME = frozenset(b"etag last-modified expires age cache-control".split())
_KEPT_DIRECTIVES = ("no-store", "private")

_TAKES_GZIP = re.compile(rb"(?:^|,)\s*gzip\s*(?:;\s*q=(?!0(?:\.0*)?\s*(?:,|$))[0-9.]+\s*)?(?:,|$)")
_JSON = re.compile(rb"application/(?:json|[a-z0-9.+-]*\+json)\s*(?:;|$)", re.IGNORECASE)
_NOT_A_PAGE = re.compile(rb"application/vnd\.oai\.openapi", re.IGNORECASE)


def sent(headers: Iterable[tuple[bytes, bytes]], host: bytes) -> Headers:
    """Give the headers for the API behind.

    Args:
        headers: Those of the client, with names in lower case.
        host: The API's host, and its port where it is not the default.
    """
    headers = list(headers)
    dropped = _NOT_SENT | _named_by_connection(headers)
    kept = [
        (name, value)
        for name, value in headers
        if name not in dropped and not name.startswith(_NOT_SENT_PREFIXES)
    ]
    codings = b",".join(value for name, value in headers if name == b"accept-encoding").lower()
    coding = b"gzip" if _TAKES_GZIP.search(codings) else b"identity"
    return [(b"host", host), *kept, (b"accept-encoding", coding)]


def returned(
    headers: Iterable[tuple[bytes, bytes]],
    href: Callable[[str], str],
    link_header: Callable[[str], str],
) -> Headers:
    """Give the headers for the client, of a body that passes as it is.

    Args:
        headers: Those of the API behind.
        href: Rewrites a URL.
        link_header: Rewrites the value of a `Link` header.
    """
    headers = [(name.lower(), value) for name, value in headers]
    dropped = _NOT_RETURNED | _named_by_connection(headers)
    if value_of(headers, b"transfer-encoding"):  # which counts, whatever length is said as well
        dropped |= {b"content-length"}
    rewriting = {b"location": href, b"content-location": href, b"link": link_header}
    kept: Headers = []
    for name, value in headers:
        if name in dropped:
            continue
        rewrite = rewriting.get(name)
        text = value.decode("latin-1")
        kept.append((name, rewrite(text).encode("latin-1") if rewrite else value))
    if not any(name == b"access-control-allow-origin" for name, _ in kept):
        kept.append((b"access-control-allow-origin", b"*"))
        kept.append((b"access-control-expose-headers", b"*"))
    return kept


def of_modified(headers: Headers, *, holds_items: bool) -> Headers:
    """Make the headers of a body that passed into those of the body it became.

    Items change with their replicas, of which the API behind knows nothing: its
    validators and lifetimes do not hold for them. Elsewhere only links have
    changed, so the same tag still tells the same content, though not its bytes.
    """
    dropped = _OF_THE_BYTES | (_OF_ITEMS_LIFETIME if holds_items else frozenset())
    made = [
        (name, _weak(value) if name == b"etag" else value)
        for name, value in headers
        if name not in dropped
    ]
    if holds_items:
        said = b",".join(value for name, value in headers if name == b"cache-control")
        directives = {part.strip().lower() for part in said.decode("latin-1").split(",")}
        kept = [one for one in _KEPT_DIRECTIVES if one in directives]
        made.append((b"cache-control", ", ".join([*kept, "no-cache"]).encode()))
    return made


def with_warning(headers: Headers, warning: str | None) -> Headers:
    """Tell the client, web pages among them, what is missing in a body."""
    if warning is None:
        return headers
    exposed = (b"access-control-expose-headers", WARNING)
    return [*headers, (WARNING, warning.encode()), exposed]


def is_allowed(status: int, headers: Mapping[str, str]) -> bool:
    """Tell whether the API behind itself answers to a web page's question before a request."""
    return status < HTTPStatus.BAD_REQUEST and "access-control-allow-origin" in headers


def allowing(requested: bytes) -> Headers:
    """Give the headers of an answer that lets any web page send a request.

    Args:
        requested: The headers that the page wants to send.
    """
    return [
        (b"access-control-allow-origin", b"*"),
        (b"access-control-allow-methods", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
        (b"access-control-allow-headers", requested or b"*"),
        (b"access-control-max-age", b"600"),
    ]


def value_of(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes:
    """The value of a header, or nothing."""
    return next((value for found, value in headers if found == name), b"")


def may_be_page(content_type: bytes) -> bool:
    """Tell whether a media type is that of a document with links or items."""
    return bool(_JSON.match(content_type)) and not _NOT_A_PAGE.match(content_type)


def _weak(etag: bytes) -> bytes:
    return etag if etag.startswith(b"W/") else b"W/" + etag


def _named_by_connection(headers: Iterable[tuple[bytes, bytes]]) -> frozenset[bytes]:
    values = [value for name, value in headers if name == b"connection"]
    return frozenset(part.strip().lower() for value in values for part in value.split(b","))


# Bodies from the API behind: streamed on as they are, or read up to a limit.


LOG = logging.getLogger("stac_client.serving")


async def read(answer: httpx.Response, max_bytes: int) -> tuple[bytes, AsyncIterator[bytes] | None]:
    """Read a body as it was sent, packed if it was packed.

    Returns:
        The body and None; or what was read of a larger one, and its rest.
    """
    raw = answer.aiter_raw()
    content = bytearray()
    async for chunk in raw:
        content += chunk
        if len(content) > max_bytes:
            return bytes(content), raw
    return bytes(content), None


class PassingResponse(StreamingResponse):
    """An answer that passes byte by byte."""

    def __init__(
        self,
        answer: httpx.Response,
        headers: Headers,
        start: bytes = b"",
        rest: AsyncIterator[bytes] | None = None,
    ) -> None:
        """Make one.

        Args:
            answer: The answer, whose body has not been read.
            headers: The headers for the client.
            start: What has been read of the body all the same.
            rest: The rest of it then.
        """
        super().__init__(self._chunks(start, rest or answer.aiter_raw()), answer.status_code)
        self.raw_headers = headers
        self._answer = answer
        self._broke_off = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; the connection to the API is free again afterwards, whatever happened."""
        try:
            await super().__call__(scope, receive, send)
        except Exception:
            if not self._broke_off:
                raise
            # The server closes a connection whose body has not come to its end, so the client
            # sees that something is missing.
            LOG.warning("the API behind broke off in the middle of an answer")
        finally:
            with anyio.CancelScope(shield=True):
                await self._answer.aclose()

    async def _chunks(self, start: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        if start:
            yield start
        try:
            async for chunk in rest:
                yield chunk
        except httpx.TransportError:
            self._broke_off = True
            raise


# Each request goes to the API behind, and its answer comes back as this server's own.


_REFUSED_METHODS = frozenset({"CONNECT", "TRACE"})
_WITHOUT_BODY = frozenset({204, 205, 206, 304})  # or with a part only, which is no page
_STATUSES = range(200, 600)  # of whole answers; servers refuse to send others


class Gateway:
    """The only endpoint of the application."""

    def __init__(self, upstream: Upstream, pages: PageMaker, root: Root, timeout_s: float) -> None:
        self._upstream = upstream
        self._pages = pages
        self._root = root
        self._timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, and write a line about it."""
        started_s = time.monotonic()
        status = 0

        async def send_and_note(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        request = Request(scope, receive)
        path = _path(scope).decode("latin-1")
        what = f"{request.method} {redact(path) if '@' in path else path!r}"
        response = await self._answer(request, what)
        await response(scope, receive, send_and_note)
        LOG.info("%s: %s in %.3f s", what, status, time.monotonic() - started_s)

    async def _answer(self, request: Request, what: str) -> Response:
        api = redact(self._upstream.url)
        try:
            return await self._response(request)
        except Refusal as refusal:
            return refusal.response()
        except ClientDisconnect:
            return Refusal(400, "the client left before its request was complete").response()
        except (TimeoutError, httpx.TimeoutException) as error:
            LOG.warning("%s: %s does not answer in time (%s)", what, api, type(error).__name__)
            return Refusal(504, "the STAC API behind this one does not answer in time").response()
        except httpx.LocalProtocolError:
            return Refusal(400, "the request can not be passed on").response()
        except httpx.TransportError as error:
            LOG.warning("%s: %s can not be reached (%s)", what, api, type(error).__name__)
            return Refusal(502, "the STAC API behind this one can not be reached").response()

    async def _response(self, request: Request) -> Response:
        if request.method in _REFUSED_METHODS:
            raise Refusal(405, f"{request.method} is not answered here")
        root = self._root.of(request.scope)
        query, preference = split_query(request.scope["query_string"])
        target = self._upstream.target(_path(request.scope), query)
        client_headers: Headers = request.scope["headers"]
        length = value_of(client_headers, b"content-length")
        has_body = length not in {b"", b"0"} or value_of(client_headers, b"transfer-encoding")
        headers = sent(client_headers, self._upstream.host)
        with anyio.fail_after(self._timeout_s) as limit:
            answer = await self._upstream.send(
                request.method, target, headers, request.stream() if has_body else None
            )
            try:
                return await self._made_own(request, answer, root, preference, limit)
            except BaseException:
                with anyio.CancelScope(shield=True):
                    await answer.aclose()
                raise

    async def _made_own(
        self,
        request: Request,
        answer: httpx.Response,
        root: str,
        preference: Preference,
        limit: anyio.CancelScope,
    ) -> Response:
        if answer.status_code not in _STATUSES:
            raise Refusal(502, "the STAC API behind this one answers with no status of HTTP")
        headers = returned(
            answer.headers.raw,
            lambda href: self._upstream.links.href(href, root),
            lambda value: self._upstream.links.header(value, root, preference),
        )
        status = answer.status_code
        requested = value_of(request.scope["headers"], b"access-control-request-headers")
        is_preflight = value_of(request.scope["headers"], b"access-control-request-method")
        if request.method == "OPTIONS" and is_preflight and not is_allowed(status, answer.headers):
            await answer.aclose()
            return _response(204, allowing(requested))
        if not may_be_page(value_of(headers, b"content-type")) or status in _WITHOUT_BODY:
            return PassingResponse(answer, headers)
        if request.method == "HEAD":
            # Whether items would come is not known; what holds for them holds for all.
            return PassingResponse(answer, of_modified(headers, holds_items=True))
        coding = value_of(headers, b"content-encoding").strip().lower()
        if coding not in {b"", b"identity", b"gzip"}:
            return PassingResponse(answer, with_warning(headers, "unmodified: packed otherwise"))
        async with self._pages.places:
            content, rest = await read(answer, self._pages.max_bytes)
            if rest is not None:
                warning = self._pages.too_large
                return PassingResponse(answer, with_warning(headers, warning), content, rest)
            limit.deadline = math.inf  # it is for the API; Rucio has its own
            page = await self._pages.make(content, root, preference, gzipped=coding == b"gzip")
        if page.changed:
            headers = of_modified(headers, holds_items=page.holds_items)
            headers.append((b"content-length", str(len(page.content)).encode()))
        return _response(status, with_warning(headers, page.warning), page.content)


def _response(status: int, headers: Headers, content: bytes = b"") -> Response:
    response = Response(content, status)
    response.raw_headers = headers
    return response


def _path(scope: Scope) -> bytes:
    """The path below this application as the client sent it."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    prefix = str(scope.get("root_path", "")).encode()
    return raw.removeprefix(prefix)


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
