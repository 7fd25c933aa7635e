"""Each request goes to the API behind, and its answer comes back as this server's own."""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING

import anyio
import httpx
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from stac_policy.urls import redact

from .headers import (
    allowing,
    is_allowed,
    may_be_page,
    of_modified,
    returned,
    sent,
    value_of,
    with_warning,
)
from .passing import PassingResponse, read
from .preference import split_query
from .refusals import Refusal

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

    from .headers import Headers
    from .pages import PageMaker
    from .preference import Preference
    from .roots import Root
    from .upstream import Upstream

LOG = logging.getLogger("stac_client.serving")

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
