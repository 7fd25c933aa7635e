"""The ASGI application of the gateway: what it answers to storages and FTS."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import ExitStack
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import unquote, urljoin, urlsplit

import anyio.to_thread
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import iterate_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from stac_policy import http
from stac_policy.gateway import Claim, ForbiddenError, read_path
from stac_policy.urls import is_allowed, redact, refusal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import requests
    from starlette.types import Receive, Scope, Send

    from stac_rucio.gateway._origins import Gateway, Origin
    from stac_rucio.gateway._origins import Request as Asked

LOG = logging.getLogger("stac_rucio.gateway")
_WAIT_S = 10.0  # for a turn at an origin that answers so many at a time
_RETRY_AFTER_S = "30"
_PIECE_BYTES = 1 << 20
_KEPT = ("Content-Type", "Content-Range", "Accept-Ranges", "ETag", "Last-Modified", "Content-MD5")
_REDIRECTS = 5


class _UnavailableError(Exception):
    """Why the gateway has no answer of the origin; a later request may get one."""


class _MissingError(Exception):
    """The origin said, to a signed request, that it has no such file."""


class _Files:
    """Answers requests for files, each vouched for by a submitter."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._turns = {each.prefix: threading.Semaphore(each.at_a_time) for each in gateway.origins}
        self._sessions = {private: http.make_session() for private in (False, True)}
        for scheme in ("http://", "https://"):
            self._sessions[False].mount(scheme, http.GlobalAdapter())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        began_s, claim = time.monotonic(), None
        try:
            raw = scope.get("raw_path") or scope["path"].encode()
            claim = read_path(raw.decode("ascii", "surrogateescape"), self._gateway.read_keys())
            response = await self._answer(request, claim)
        except ForbiddenError as error:
            response = PlainTextResponse(f"{error}\n", HTTPStatus.FORBIDDEN)
        except _MissingError as error:
            response = PlainTextResponse(f"{error}\n", HTTPStatus.NOT_FOUND)
        # Nothing else may look like a lost file to FTS: whatever it is, it may pass.
        except Exception as error:  # noqa: BLE001 - a message of a library may hold a credential
            known = isinstance(error, (_UnavailableError, http.FetchError))
            reason = str(error) if known else f"the gateway failed: {type(error).__name__}"
            headers = {"Retry-After": _RETRY_AFTER_S}
            response = PlainTextResponse(
                f"{reason}\n", HTTPStatus.SERVICE_UNAVAILABLE, headers=headers
            )
        response.headers["Cache-Control"] = "no-store"
        LOG.info(
            "%s %s %s %s: %d in %.3f s",
            request.client.host if request.client else "-",
            request.method,
            claim.rse if claim else "-",
            redact(claim.url) if claim else "-",
            response.status_code,
            time.monotonic() - began_s,
        )
        await response(scope, receive, send)

    async def _answer(self, request: Request, claim: Claim) -> Response:
        origin = self._gateway.origin(claim.url)
        if origin is None:
            raise _UnavailableError(f"{redact(claim.url)}: no origin is configured for it")
        if reason := refusal(claim.url) or _climbs(claim.url):
            raise _UnavailableError(f"{redact(claim.url)}: {reason}")
        if request.method == "HEAD":
            return await anyio.to_thread.run_sync(self._head, origin, claim.url)
        # Who sends a header of his own would send it to the origin, too.
        if origin.redirects and "authorization" not in request.headers:
            return await anyio.to_thread.run_sync(self._redirect, origin, claim.url)
        span = request.headers.get("range")
        return await anyio.to_thread.run_sync(self._pass_on, origin, claim.url, span)

    def _redirect(self, origin: Origin, url: str) -> Response:
        asked = origin.sign("GET", url)
        if asked.headers:  # which cannot follow a redirect: the origin gives a URL that it signs
            with ExitStack() as stack:
                answer = self._ask(stack, origin, "GET", asked, follow=False)
                location = urljoin(url, answer.headers.get("Location", ""))
            if not answer.is_redirect:
                raise _UnavailableError(
                    f"{redact(url)}: the origin redirects nowhere; mode = 'stream' passes it on"
                )
            _require_host(origin, location)
            return Response(status_code=HTTPStatus.FOUND, headers={"Location": location})
        return Response(status_code=HTTPStatus.FOUND, headers={"Location": asked.url})

    def _head(self, origin: Origin, url: str) -> Response:
        with ExitStack() as stack:
            answer = self._ask(stack, origin, "HEAD", origin.sign("HEAD", url), may_refuse=True)
            length = answer.headers.get("Content-Length")
            if not answer.ok or length is None:
                answer = self._ask(stack, origin, "GET", origin.sign("GET", url), "bytes=0-0")
                total = answer.headers.get("Content-Range", "").rpartition("/")[2]
                length = total or answer.headers.get("Content-Length")
        if length is None or not length.isdigit():
            raise _UnavailableError(f"{redact(url)}: the origin does not say how long it is")
        return Response(headers={**_kept(answer), "Content-Length": length})

    def _pass_on(self, origin: Origin, url: str, span: str | None) -> Response:
        stack = ExitStack()
        try:
            answer = self._ask(stack, origin, "GET", origin.sign("GET", url), span)
            headers = _kept(answer)
            if (length := answer.headers.get("Content-Length", "")).isdigit():
                headers["Content-Length"] = length
        except BaseException:
            stack.close()
            raise

        def body() -> Iterator[bytes]:
            with stack:
                yield from http.pieces(answer, _PIECE_BYTES)

        pieces = iterate_in_threadpool(body())
        return StreamingResponse(pieces, answer.status_code, headers=headers)

    def _ask(
        self,
        stack: ExitStack,
        origin: Origin,
        method: str,
        asked: Asked,
        span: str | None = None,
        *,
        follow: bool = True,
        may_refuse: bool = False,
    ) -> requests.Response:
        """Ask an origin, in its turn; the answer and the turn end with the stack."""
        turn = self._turns[origin.prefix]
        if not turn.acquire(timeout=_WAIT_S):
            raise _UnavailableError(f"{origin.prefix}: all its turns are taken")
        stack.callback(turn.release)
        session = self._sessions[origin.is_private]
        url, headers = asked.url, {**asked.headers, **({"Range": span} if span else {})}
        for _ in range(_REDIRECTS if follow else 1):
            _require_host(origin, url)
            answer = stack.enter_context(
                http.answer(session, method, url, headers=headers, timeout=http.TIMEOUT_S)
            )
            if not follow or not answer.is_redirect:
                break
            url = urljoin(url, answer.headers["Location"])
            if urlsplit(url).netloc != urlsplit(asked.url).netloc:
                headers = {"Range": span} if span else {}  # a credential goes to no other host
        _require_file(answer, may_refuse=may_refuse, follow=follow)
        return answer


def _require_host(origin: Origin, url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not is_allowed(parts, origin.hosts):
        raise _UnavailableError(f"{redact(url)}: its origin's entry does not lead there")


def _require_file(answer: requests.Response, *, may_refuse: bool, follow: bool) -> None:
    """Require the answer of an origin to be that of a file."""
    if answer.ok or (answer.is_redirect and not follow):
        encoding = answer.headers.get("Content-Encoding", "identity")
        if encoding not in {"identity", ""}:
            raise _UnavailableError(f"{redact(answer.url)}: it comes encoded ({encoding[:20]})")
        return
    missing = answer.status_code in {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}
    if missing and answer.request.method == "GET":
        raise _MissingError(f"{redact(answer.url)}: HTTP {answer.status_code}")
    if not may_refuse:
        raise _UnavailableError(f"{redact(answer.url)}: the origin answers {answer.status_code}")


def _climbs(url: str) -> str:
    segments = unquote(urlsplit(url).path).split("/")
    return "" if {".", ".."}.isdisjoint(segments) else "its path has `.` or `..`"


def _kept(answer: requests.Response) -> dict[str, str]:
    found: Mapping[str, str] = answer.headers
    return {name: found[name] for name in _KEPT if name in found}


def make_app(gateway: Gateway) -> Starlette:
    """Return the ASGI application of a gateway; `/healthz` tells which configuration it has."""

    def health(_: Request) -> Response:
        keys = [key.id for key in gateway.read_keys()]
        return JSONResponse({"configuration": gateway.digest, "keys": keys})

    for library in ("botocore", "urllib3"):  # whose debug logs hold signatures and tokens
        logging.getLogger(library).setLevel(logging.WARNING)
    files = _Files(gateway)
    return Starlette(
        routes=[
            Route("/healthz", health),
            Route("/{path:path}", files, methods=["GET", "HEAD"]),
        ]
    )


def serve(app: Starlette, host: str = "127.0.0.1", port: int = 8090) -> None:
    """Run a gateway until it is interrupted; any number may run behind a balancer."""
    uvicorn.run(app, host=host, port=port, access_log=False, log_level="warning")
