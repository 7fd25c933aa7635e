"""The ASGI application: each request goes to the upstream API, its answer comes back rewritten."""

from __future__ import annotations

import logging
import re
import secrets
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import unquote

import anyio
import httpx2
from anyio import CapacityLimiter
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from stac_client._replica_source import Memory
from stac_client.errors import ConfigurationError
from stac_policy.urls import DEFAULT_PORTS, is_secret, printable, redact
from stac_rucio.meters import METHODS, metrics_route
from stac_rucio.serve._meters import Meters
from stac_rucio.serve._pages import Links, PageRewriter, split_query
from stac_rucio.serve._upstream import (
    WARNING,
    Upstream,
    checked_url,
    request_headers,
    response_headers,
    rewrite_headers,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from starlette.datastructures import MutableHeaders
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from stac_rucio.serve._pages import AssetURL, Modify

LOG = logging.getLogger("stac_rucio.serve")

_OWN = (b"/healthz", b"/metrics")
"""Paths of this server's own, which are asked for all the time."""
_READS = ("GET", "HEAD", "OPTIONS")
_WRITES = ("PUT", "PATCH", "DELETE")
_STATUSES = range(200, 600)  # of whole answers; servers refuse to send others
_REDIRECTIONS = frozenset({301, 302, 303, 307, 308})
_CODINGS = frozenset({"", "identity", "gzip"})  # that are unpacked
_WITHOUT_PAGE = frozenset({204, 205, 206, 304})
# The media types of documents with links or items.
_PAGE = re.compile(r"(?i)application/(?!vnd\.oai\.openapi)(?:json|[a-z0-9.+-]*\+json)\s*(?:;|$)")
# Of larger pages, so many are in memory at the same time, and as many wait; smaller ones pass.
_LARGE_PAGES = 16
_SMALL_BYTES = 1024**2
_PACKED_TIMES = 8  # as large is a page when it is unpacked
_CORS = "access-control-"
_WAYS = 20_000  # to assets, that are remembered
_PIECE_BYTES = 64 * 1024

# The bytes of an asset, by its item. Keys may have slashes, which some proxies unescape.
_ASSET = re.compile(rb"(/collections/[^/]+/items/[^/]+/?)/assets/(.+)")

_HOST = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_ORIGIN = re.compile(rf"https?://{_HOST.pattern}")
_PORT = re.compile(r":[0-9]*$")
_LOOPBACK = re.compile(r"127(?:\.[0-9]{1,3}){3}|\[?::1\]?|(?:.+\.)?localhost")
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~%-]+)*/?")

_TOO_SLOW = (504, "the upstream STAC API does not answer in time")
_NOT_PASSED = (400, "the request cannot be passed on")
_FAILURES: dict[type[Exception], tuple[int, str]] = {
    TimeoutError: _TOO_SLOW,
    httpx2.TimeoutException: _TOO_SLOW,
    httpx2.TransportError: (502, "the upstream STAC API cannot be reached"),
    httpx2.LocalProtocolError: _NOT_PASSED,
    httpx2.InvalidURL: _NOT_PASSED,
    ClientDisconnect: (400, "the client left before its request was complete"),
}


def make_app(
    api: str,
    modifier: Modify,
    *,
    root_url: str | None = None,
    trust_forwarded: bool = False,
    allow_origins: Sequence[str] = (),
    allow_writes: bool = False,
    timeout_s: float = 60.0,
    rucio_timeout_s: float = 20.0,
    send_timeout_s: float = 5.0,
    max_page_bytes: int = 16 * 1024**2,
    cache_s: float = 30.0,
) -> Starlette:
    """Return a STAC API that is another one with the replicas in its items.

    Args:
        api: URL of the landing page of the upstream API.
        modifier: What adds the replicas. What it raises is told to the client, so
            give one that is strict.
        root_url: This server's URL for links. By default the address it listens on.
        trust_forwarded: Take this server's URL from `Host` and `X-Forwarded-Host`,
            `-Proto` and `-Prefix`. Only where a reverse proxy sets them.
        allow_origins: Origins whose web pages may read answers, such as
            `https://browser.example.org`, or `*` for all, instead of those that the
            upstream API lets. By default it decides.
        allow_writes: Pass on PUT, PATCH, DELETE, and POST to other paths than
            `/search` and `/aggregate`.
        timeout_s: How long the upstream API may take for a page, and how long it may
            be silent within any other answer, in seconds.
        rucio_timeout_s: How long the modifier may take for a page, in seconds; then
            the items go out as they are.
        send_timeout_s: How long a client may take nothing of an answer, in seconds;
            then its connection is closed.
        max_page_bytes: The largest page that is modified, unpacked; a larger one
            goes out as it is.
        cache_s: How long the way to an asset is remembered, for the very same request, in
            seconds; 0 for not at all.

    Raises:
        ConfigurationError: A URL is none of an API, or what is allowed is no origin.
    """
    if wrong := [each for each in allow_origins if not (each == "*" or _is_origin(each))]:
        raise ConfigurationError(
            f"allow_origins has {printable(wrong[0])!r}, which is no origin as browsers send it",
            hint="https://browser.example.org is one (--allow-origin), and * stands for all",
        )
    api = checked_url("the upstream API's URL", api)
    root_url = root_url if root_url is None else checked_url("root_url", root_url)
    upstream = Upstream(api, timeout_s)
    meters = Meters()
    pages = PageRewriter(Links(api), modifier, rucio_timeout_s, max_page_bytes, meters)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            pages.close()
            await upstream.close()

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok"})  # not the API's URL, which may be nobody else's

    gateway = Gateway(
        upstream=upstream,
        api=api,
        ways=Ways(cache_s),
        meters=meters,
        pages=pages,
        own_url=partial(own_url, configured=root_url, trust_forwarded=trust_forwarded),
        timeout_s=timeout_s,
        allow_writes=allow_writes,
        own_cors=bool(allow_origins),
    )
    middleware = [Middleware(Delivery, timeout_s=send_timeout_s, meters=meters)]
    if allow_origins:
        cors = partial(CORSMiddleware, allow_headers=["*"], expose_headers=["*"])
        methods = [*_READS, "POST", *(_WRITES if allow_writes else ())]
        middleware += [Middleware(cors, allow_origins=allow_origins, allow_methods=methods)]
    refuse = partial(_refuse, api=redact(api), meters=meters)
    return Starlette(
        routes=[
            Route("/healthz", health),
            metrics_route(meters),
            Route("/{path:path}", gateway),
        ],
        middleware=middleware,
        exception_handlers=dict.fromkeys([HTTPException, *_FAILURES], refuse),
        lifespan=lifespan,
    )


def _is_origin(text: str) -> bool:
    """Whether it is an origin in the words of a browser: no path, nothing in upper case."""
    scheme, _, host = text.partition("://")
    port = f":{DEFAULT_PORTS.get(scheme)}"
    return bool(_ORIGIN.fullmatch(text)) and text == text.lower() and not host.endswith(port)


def own_url(scope: Scope, configured: str | None, *, trust_forwarded: bool) -> str:
    """Return the URL under which a client reaches this server, without a slash at its end.

    Args:
        scope: The request.
        configured: The URL, where the operator has given it.
        trust_forwarded: Whether a reverse proxy in front sets `Host` and `X-Forwarded-*`.

    Raises:
        HTTPException: Nothing says the URL, or a web page has reached the loopback
            interface by a name of its own, to pass for this server.
    """
    if configured is not None:
        return configured
    scheme, headers = scope["scheme"], Headers(scope=scope)
    host, port = scope.get("server") or (None, None)
    prefix = str(scope.get("root_path", "")).rstrip("/")
    if trust_forwarded and (forwarded := _forwarded(headers, scheme)):
        return forwarded + prefix
    if not host or port is None:
        raise HTTPException(500, "the operator of this server must give its root URL")
    name = _PORT.sub("", headers.get("host", "")).lower() or host
    if _LOOPBACK.fullmatch(host) and not (trust_forwarded or _LOOPBACK.fullmatch(name)):
        raise HTTPException(421, "this server has another name; the operator can give root_url")
    host = f"[{host}]" if ":" in host else host
    port_part = "" if port == DEFAULT_PORTS.get(scheme) else f":{port}"
    return f"{scheme}://{host}{port_part}{prefix}"


def _forwarded(headers: Headers, scheme: str) -> str | None:
    """Return the URL that the reverse proxy says, or None where it is none."""

    def first(name: str, default: str) -> str:
        # Of several proxies, the one farthest in front is named first.
        return headers.get(name, default).split(",")[0].strip()

    host = first("x-forwarded-host", headers.get("host", ""))
    scheme = first("x-forwarded-proto", scheme).lower()
    prefix = first("x-forwarded-prefix", "")
    if not (_HOST.fullmatch(host) and scheme in DEFAULT_PORTS and _PREFIX.fullmatch(prefix)):
        return None
    return f"{scheme}://{host}{prefix.rstrip('/')}"


class Ways:
    """Where assets were within the last seconds, so that each range of one is not looked up anew.

    It is by the whole request to the upstream API, which has the credentials of who asks: with
    others, or none, it is another one, and the API says again who may see the item. Neither these
    nor signed URLs are kept, but digests with a key of this process.
    """

    def __init__(self, cache_s: float) -> None:
        self._cache_s = cache_s
        self._key = secrets.token_bytes(32)
        self._memory = Memory(_WAYS)

    def of(self, *request: object) -> bytes:
        """Return what stands for a request."""
        return blake2b(repr(request).encode(), key=self._key).digest()

    def known(self, way: bytes) -> tuple[AssetURL, MutableHeaders] | None:
        """Return where an asset was, with the headers of its item, if that is known."""
        found, _ = self._memory.recall([way], self._cache_s)
        return found.get(way)

    def keep(self, way: bytes, found: AssetURL, headers: MutableHeaders) -> None:
        """Remember where an asset is, unless that is a secret."""
        if not is_secret(found.url):
            self._memory.keep({way: (found, headers)})


@dataclass(frozen=True)
class Gateway:
    """The only endpoint of the application."""

    upstream: Upstream
    pages: PageRewriter
    own_url: Callable[[Scope], str]
    timeout_s: float
    allow_writes: bool
    api: str
    """URL of the upstream API."""
    ways: Ways
    meters: Meters
    own_cors: bool
    """Whether this server, not the upstream API, lets web pages read answers."""
    places: CapacityLimiter = field(default_factory=partial(CapacityLimiter, _LARGE_PAGES))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        # What an answer holds, a place in memory and a connection, it holds until it is sent.
        async with AsyncExitStack() as held:
            response = await self._response(Request(scope, receive), held)
            await response(scope, receive, send)

    async def _response(self, request: Request, held: AsyncExitStack) -> Response:
        path = _path(request.scope)
        self._require_allowed(request.method, path)
        asset = _ASSET.fullmatch(path)
        if asset and request.method in {"GET", "HEAD"}:
            return await self._asset(request, asset, held)
        if asset and request.method == "OPTIONS":  # of a web page, before it asks
            path = asset[1]
        root = self.own_url(request.scope)
        query, wanted = split_query(request.scope["query_string"])
        has_body = {"content-length", "transfer-encoding"} & set(request.headers)
        body = request.stream() if has_body else None
        sent = request_headers(request.headers)
        with anyio.fail_after(self.timeout_s):
            answer = await self.upstream.send(request.method, path, query, sent, body)
            held.push_async_callback(answer.aclose)
            _require_status(answer)
            headers = self._headers(answer, root, wanted)
            if not _is_page(headers) or answer.status_code in _WITHOUT_PAGE:
                return _streamed(answer, headers, answer.aiter_raw())
            if request.method == "HEAD":
                # Whether items would come is not known; what holds for them holds for all.
                rewrite_headers(headers, holds_items=True)
                return _streamed(answer, headers)
            coding = _coding(headers)
            if coding not in _CODINGS:
                _warn(headers, "unmodified: packed otherwise")
                return _streamed(answer, headers, answer.aiter_raw())
            rest = answer.aiter_raw()
            content = await self._content(rest, coding, held)
        page = await self.pages.rewrite(content, root, wanted, gzipped=coding == "gzip")
        _warn(headers, page.warning)
        if page.content is None:
            return _streamed(answer, headers, content, rest)
        rewrite_headers(headers, holds_items=page.holds_items)
        headers["content-length"] = str(len(page.content))
        return _streamed(answer, headers, page.content)

    async def _asset(
        self, request: Request, asset: re.Match[bytes], held: AsyncExitStack
    ) -> Response:
        """Return the way to an asset, by its item."""
        path, raw_key = asset.groups()
        root = self.own_url(request.scope)
        query, wanted = split_query(request.scope["query_string"])
        sent = request_headers(request.headers, for_item=True)
        way = self.ways.of(path, raw_key, query, wanted, sent)
        if known := self.ways.known(way):
            return self._redirection(*known)
        with anyio.fail_after(self.timeout_s):
            answer = await self.upstream.send("GET", path, query, sent, None)
            held.push_async_callback(answer.aclose)
            _require_status(answer)
            headers = self._headers(answer, root, wanted)
            if answer.status_code != HTTPStatus.OK:
                _require_no_item(headers, answer.status_code, root, raw_key)
                return _streamed(answer, headers, answer.aiter_raw())
            coding = _coding(headers)
            if not _is_page(headers) or coding not in _CODINGS:
                raise HTTPException(502, "the upstream STAC API gives no item that can be read")
            content = await self._content(answer.aiter_raw(), coding, held)
        key = unquote(raw_key.decode("latin-1"))
        place = f"{self.api}{path.decode('latin-1')}"
        found = await self.pages.asset_url(content, place, key, wanted, gzipped=coding == "gzip")
        if not found.warning and "no-store" not in headers.get("cache-control", "").lower():
            self.ways.keep(way, found, headers)
        return self._redirection(found, headers)

    async def _content(
        self, rest: AsyncIterator[bytes], coding: str, held: AsyncExitStack
    ) -> bytearray:
        """Read a body that is not larger than may be rewritten; else what was read to see that."""
        content = bytearray()
        small_bytes = _SMALL_BYTES // (_PACKED_TIMES if coding == "gzip" else 1)
        await _read(rest, content, small_bytes)
        if len(content) > small_bytes:
            if self.places.statistics().tasks_waiting >= _LARGE_PAGES:
                raise HTTPException(503, "too many large pages at a time; ask again later")
            await held.enter_async_context(self.places)
            await _read(rest, content, self.pages.max_bytes)
        return content

    def _redirection(self, found: AssetURL, headers: MutableHeaders) -> Response:
        """Return the way to an asset, which web pages may go if they may read its item."""
        self.meters.redirects["copy" if found.is_copy else "original",] += 1
        kept = {name: value for name, value in headers.items() if name.startswith(_CORS)}
        response = Response(status_code=HTTPStatus.TEMPORARY_REDIRECT, headers=kept)
        # Copies come and go, and the URL may be signed.
        response.headers["cache-control"] = "no-store"
        response.headers["location"] = found.url
        _warn(response.headers, found.warning)
        return response

    def _require_allowed(self, method: str, path: bytes) -> None:
        is_search = method == "POST" and path.rstrip(b"/").endswith((b"/search", b"/aggregate"))
        allowed = method not in {"CONNECT", "TRACE"} if self.allow_writes else method in _READS
        if not (allowed or is_search):
            raise HTTPException(405, f"{method} does not pass here; write through the API itself")

    def _headers(self, answer: httpx2.Response, root: str, wanted: Sequence[str]) -> MutableHeaders:
        href = partial(self.pages.links.href, root=root)
        link = partial(self.pages.links.header, root=root, wanted=wanted)
        leading = partial(self.pages.links.link, root=root, wanted=wanted)
        rewriting = {b"location": leading, b"content-location": href, b"link": link}
        headers = response_headers(answer.headers.raw, rewriting)
        for name in headers.keys() if self.own_cors else ():
            if name.startswith(_CORS):
                del headers[name]
        return headers


def _require_status(answer: httpx2.Response) -> None:
    if answer.status_code not in _STATUSES:
        raise HTTPException(502, "the upstream STAC API answers with no status of HTTP")


def _require_no_item(headers: MutableHeaders, status: int, root: str, key: bytes) -> None:
    """Let a redirection of the API lead on to an asset; errors pass.

    Raises:
        HTTPException: It is neither.
    """
    if status >= HTTPStatus.BAD_REQUEST:
        return
    path, question, query = headers.get("location", "").partition("?")
    if status not in _REDIRECTIONS or not path.startswith(f"{root}/"):
        raise HTTPException(502, "the upstream STAC API gives no item")
    headers["location"] = f"{path}/assets/{key.decode('latin-1')}{question}{query}"


def _is_page(headers: MutableHeaders) -> bool:
    return bool(_PAGE.match(headers.get("content-type", "")))


def _coding(headers: MutableHeaders) -> str:
    return headers.get("content-encoding", "").strip().lower()


async def _read(chunks: AsyncIterator[bytes], content: bytearray, max_bytes: int) -> None:
    """Read a body as it was sent, until it ends or is larger than some bytes."""
    async for chunk in chunks:
        content += chunk
        if len(content) > max_bytes:
            return


def _streamed(
    answer: httpx2.Response,
    headers: MutableHeaders,
    *bodies: bytes | bytearray | AsyncIterator[bytes],
) -> Response:
    """Return a response whose body goes out piece by piece."""

    async def pieces() -> AsyncIterator[bytes]:
        for body in bodies:
            if isinstance(body, (bytes, bytearray)):
                for start in range(0, len(body), _PIECE_BYTES):
                    yield bytes(body[start : start + _PIECE_BYTES])
                continue
            try:
                async for piece in body:
                    yield piece
            except httpx2.TransportError as error:
                raise BrokenOffError("the upstream API broke off within its answer") from error

    response = StreamingResponse(pieces(), answer.status_code)
    response.raw_headers = headers.raw
    return response


def _warn(headers: MutableHeaders, warning: str | None) -> None:
    """Tell the client, web pages among them, what is missing in a body."""
    if warning is not None:
        headers[WARNING] = warning
        headers.append("access-control-expose-headers", WARNING)


class BrokenOffError(Exception):
    """An answer ends before it is whole, which its server shows by closing the connection."""


class Delivery:
    """Middleware that gives each piece of an answer its time, and logs and counts requests."""

    def __init__(self, app: ASGIApp, timeout_s: float, meters: Meters) -> None:
        self._app = app
        self._meters = meters
        self._timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http" or _path(scope) in _OWN:
            await self._app(scope, receive, send)
            return
        started_s = time.monotonic()
        status = 0

        async def deliver(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            try:
                # It comes back when the client has taken most of what was sent before.
                with anyio.fail_after(self._timeout_s):
                    await send(message)
            except TimeoutError:
                raise BrokenOffError("the client takes nothing of its answer") from None

        try:
            await self._app(scope, receive, deliver)
        except BrokenOffError as error:
            LOG.warning("%s: %s", _described(scope), error)
        took_s = time.monotonic() - started_s
        method = scope["method"] if scope["method"] in METHODS else "-"
        self._meters.answers[method, str(status)] += 1
        self._meters.seconds += took_s
        LOG.info("%s: %s in %.3f s", _described(scope), status, took_s)


def _path(scope: Scope) -> bytes:
    """Return the path below this application as the client sent it."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    prefix = str(scope.get("root_path", "")).encode()
    return raw.removeprefix(prefix)


def _described(scope: Scope) -> str:
    """Return what a log may hold of a request."""
    path = _path(scope).decode("latin-1")
    return f"{scope['method']} {redact(path) if '@' in path else path!r}"


async def _refuse(request: Request, error: Exception, *, api: str, meters: Meters) -> Response:
    """Answer what this server itself has to say, in the form of errors of OGC and STAC APIs."""
    if isinstance(error, HTTPException):
        status, description = error.status_code, error.detail
    else:
        kind = next(kind for kind in type(error).__mro__ if kind in _FAILURES)
        status, description = _FAILURES[kind]
    if description == HTTPStatus.NOT_FOUND.phrase:  # no path at all: one for another server
        status, description = 400, "the request needs a path that starts with a slash"
    if status > HTTPStatus.INTERNAL_SERVER_ERROR:
        meters.failures["api",] += status != HTTPStatus.SERVICE_UNAVAILABLE  # which is our own
        what = _described(request.scope)
        LOG.warning("%s: %s (%s, %s)", what, description, api, type(error).__name__)
    code = HTTPStatus(status).phrase.title().replace(" ", "").replace("-", "")
    headers = {"access-control-allow-origin": "*", "cache-control": "no-store"}
    return JSONResponse({"code": code, "description": description}, status, headers)
