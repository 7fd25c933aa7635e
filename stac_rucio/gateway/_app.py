"""The ASGI application of the gateway: what it answers to storages and FTS."""

from __future__ import annotations

import logging
import re
import time
from contextlib import ExitStack
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, Router

from stac_policy import bodies, http
from stac_policy.gateway import Claim, ForbiddenError, read_path
from stac_policy.urls import redact, refusal
from stac_rucio.gateway._meters import Meters
from stac_rucio.gateway._push import Push, RefusedError, read_order, status_of
from stac_rucio.meters import metrics_route

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    import requests
    from starlette.types import Message, Receive, Scope, Send
    from typing_extensions import TypeVarTuple, Unpack

    from stac_rucio.gateway._origins import Gateway, Origin, Quota

    Ts = TypeVarTuple("Ts")

LOG = logging.getLogger("stac_rucio.gateway")
_WAIT_S = 10.0  # for a turn at an origin that answers so many at a time
_STALLED_S = 120.0  # for one who takes no piece of what is passed on
_RETRY_AFTER_S = 30
_PIECE_BYTES = 1 << 20
_KEPT = ("Content-Type", "Accept-Ranges", "ETag", "Last-Modified", "Content-MD5")
_REDIRECTS = 5
_DAVIX = re.compile("davix|gfal2")
_PAGE, _PAGES = "text/html", (".html", ".htm")
_RANGE = re.compile(r"bytes=(?:[0-9]{1,19}-[0-9]{0,19}|-[0-9]{1,19})")


class _UnavailableError(Exception):
    """Why the gateway has no answer of the origin; a later request may get one."""

    retry_after_s = _RETRY_AFTER_S


class _MissingError(Exception):
    """The origin said, to a signed request, that it has no such file."""

    status = HTTPStatus.NOT_FOUND

    def __init__(self, reason: str, **headers: str) -> None:
        super().__init__(reason)
        self.headers = headers


class _RangeError(_MissingError):
    """It said that its file has no byte of a range."""

    status = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE


class _Files:
    """Answers requests for files, each vouched for by a submitter.

    Each has a turn at its origin until its answer is sent, and works in threads only with it:
    so there is a thread for each turn, and no origin takes those of another.
    """

    def __init__(self, gateway: Gateway, meters: Meters) -> None:
        self._gateway, self._meters = gateway, meters
        self._methods = ("GET", "HEAD", *(["COPY"] if gateway.destinations else []))
        places = (*gateway.origins, *gateway.destinations)
        self._turns = {each: anyio.Semaphore(each.at_a_time) for each in places}
        self._threads = anyio.CapacityLimiter(sum(each.at_a_time for each in gateway.origins) or 1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        method = request.method if request.method in self._methods else "-"
        began_s, sent_bytes, problem = time.monotonic(), 0, ""

        async def patient(message: Message) -> None:
            nonlocal sent_bytes
            with anyio.fail_after(_STALLED_S):
                await send(message)
            sent_bytes += len(message.get("body", b""))

        # What the origin gave, and the turn, end with the request, however that ends.
        with ExitStack() as held:
            if method in self._methods:
                claim, response, problem = await self._respond(request, held)
            else:
                allowed = {"Allow": ", ".join(self._methods)}
                claim, response = None, Response(status_code=405, headers=allowed)
            response.headers["Cache-Control"] = "no-store"
            # What has begun can only break off: the server closes the connection.
            try:
                await response(scope, receive, patient)
            except http.FetchError as error:
                problem = f", broke off: {error}"
            except TimeoutError:
                problem = ", broke off: the client takes nothing of it"
            except anyio.get_cancelled_exc_class():
                problem = ", broke off: the gateway ends"
            origin = claim and self._gateway.origin(claim.url)
            asked = (origin.prefix if origin else "", method, response.status_code)
            self._meters.answers[asked] += 1
            LOG.info(
                "%s %s %s %s: %d, %d bytes in %.3f s%s",
                self._gateway.clients.address(request),
                method,
                claim.rse if claim else "-",
                redact(claim.url) if claim else "-",
                response.status_code,
                sent_bytes,
                time.monotonic() - began_s,
                problem,
            )

    async def _respond(
        self, request: Request, held: ExitStack
    ) -> tuple[Claim | None, Response, str]:
        """Return also why there is no file, which FTS tells nobody of most answers."""
        claim, headers = None, {}
        try:
            claim = self._claim(request)
            return claim, await self._answer(request, claim.url, held), ""
        except ForbiddenError as error:
            status, said = HTTPStatus.FORBIDDEN, str(error)
        except _MissingError as error:
            status, said, headers = error.status, str(error), error.headers
        except RefusedError as error:
            status, said = HTTPStatus.BAD_REQUEST, str(error)
        # Nothing else may look like a lost file to FTS: whatever it is, it may pass.
        except Exception as error:  # noqa: BLE001 - a message of a library may hold a credential
            known = isinstance(error, (_UnavailableError, http.FetchError))
            said = str(error) if known else f"the gateway failed: {type(error).__name__}"
            wait_s = getattr(error, "retry_after_s", 0) or _RETRY_AFTER_S
            status, headers = HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": str(int(wait_s))}
        shown = f"{redact(claim.url)}: {said}" if claim else said
        if request.method == "COPY" and status == HTTPStatus.SERVICE_UNAVAILABLE:
            # Of a COPY that begins, FTS tells the reason.
            status, headers, shown = HTTPStatus.ACCEPTED, {}, f"failure: {shown}"
        return claim, PlainTextResponse(f"{shown}\n", status, headers), f": {said}"

    def _claim(self, request: Request) -> Claim:
        clients = self._gateway.clients
        if not clients.may(address := clients.address(request)):
            raise _UnavailableError(f"from {address} nothing is to be had here")
        raw = request.scope.get("raw_path") or request.scope["path"].encode()
        return read_path(raw.decode("ascii", "surrogateescape"), self._gateway.read_keys())

    async def _answer(self, request: Request, url: str, held: ExitStack) -> Response:
        origin = self._gateway.origin(url)
        if origin is None:
            raise _UnavailableError("no origin is configured for it")
        if reason := refusal(url) or origin.refusal(url):
            raise _UnavailableError(reason)
        if wait_s := origin.quota.wait_s():
            spent = _UnavailableError(f"{origin.prefix} has given its bytes of today (UTC)")
            spent.retry_after_s = wait_s
            raise spent
        await self._take_turn(origin, held)
        if request.method == "HEAD":
            return await self._work(_head, held, origin, url)
        if request.method == "COPY":
            order = read_order(request.headers, self._gateway.destinations)
            await self._take_turn(order.to, held)
            answer, headers = await self._work(_open, held, origin, url, "")
            push = Push(order, answer, self._work)
            origin.quota.add(int(headers["Content-Length"]))
            return push
        span = request.headers.get("range", "")
        # Several ranges, or one of a version that the origin may not have any more: all of it.
        is_one = _RANGE.fullmatch(span) and "if-range" not in request.headers
        span = span if is_one else ""
        # Who sends a header of his own would send it to the origin, too; davix would also send HEAD
        # where a GET was redirected to, which no signature covers.
        is_davix = _DAVIX.search(request.headers.get("user-agent", ""))
        is_alone = "authorization" not in request.headers and not is_davix
        redirects = origin.mode == "redirect" and is_alone
        hands_over = origin.mode == "nginx" and self._gateway.clients.is_proxy(request)
        if redirects or hands_over:
            if origin.quota.bytes_a_day:  # the bytes go another way: all of them are counted
                head = await self._work(_head, held, origin, url)
                origin.quota.add(int(head.headers["Content-Length"]))
            if redirects:
                return await self._work(_redirect, held, origin, url)
            return await self._work(_hand_over, origin, url, span)
        answer, headers = await self._work(_open, held, origin, url, span)
        origin.quota.add(int(headers.get("Content-Length", 0)))
        pieces = self._pieces(answer, None if "Content-Length" in headers else origin.quota)
        return StreamingResponse(pieces, answer.status_code, headers=headers)

    async def _take_turn(self, place: Origin, held: ExitStack) -> None:
        turn = self._turns[place]
        self._meters.waiting[place.prefix] += 1
        try:
            with anyio.fail_after(_WAIT_S):
                await turn.acquire()
        except TimeoutError:
            raise _UnavailableError(f"all turns of {place.prefix} are taken") from None
        finally:
            self._meters.waiting[place.prefix] -= 1
        held.callback(turn.release)

    async def _pieces(self, answer: requests.Response, quota: Quota | None) -> AsyncIterator[bytes]:
        pieces = bodies.pieces(answer, _PIECE_BYTES)
        while piece := await self._work(next, pieces, b""):
            if quota:  # as nobody has said how long it is
                quota.add(len(piece))
            yield piece

    async def _work(self, what: Callable[[Unpack[Ts]], http.T], *args: Unpack[Ts]) -> http.T:
        return await anyio.to_thread.run_sync(what, *args, limiter=self._threads)


def _redirect(held: ExitStack, origin: Origin, url: str) -> Response:
    asked = origin.sign("GET", url)
    location = asked.url
    if asked.headers:  # which cannot follow a redirect: the origin gives a URL that it signs
        answer, location = _ask(held, origin, "GET", url, leave=True)
        if not answer.is_redirect:
            _require_file(answer)
        if not location:
            reason = "the origin redirects nowhere; mode = 'stream' passes it on"
            raise _UnavailableError(reason)
    return Response(status_code=HTTPStatus.FOUND, headers={"Location": location})


def _hand_over(origin: Origin, url: str, span: str) -> Response:
    """What nginx is to ask the origin, as etc/nginx-gateway.conf reads it."""
    asked = origin.sign("GET", url)
    headers = {"X-Accel-Redirect": "/.origin", "X-Origin-URL": asked.url, "X-Origin-Range": span}
    headers |= {f"X-Origin-{name}": value for name, value in asked.headers.items()}
    return Response(headers=headers)


def _head(held: ExitStack, origin: Origin, url: str) -> Response:
    answer, _ = _ask(held, origin, "HEAD", url)
    length = http.content_length(answer) if answer.status_code == HTTPStatus.OK else None
    if not length:
        try:
            # Some say of each file that it has no bytes, of which there is no range.
            answer = _file(held, origin, url, "bytes=0-0" if length is None else "")
        except _RangeError:
            answer = _file(held, origin, url)
        length = http.content_length(answer)
        if answer.status_code == HTTPStatus.PARTIAL_CONTENT:
            total = answer.headers.get("Content-Range", "").rpartition("/")[2]
            length = int(total) if re.fullmatch("[0-9]{1,19}", total) else None
    if length is None:
        raise _UnavailableError("the origin does not say how long it is")
    http.require_plain(answer)
    return Response(headers={**_kept(answer), "Content-Length": str(length)})


def _open(
    held: ExitStack, origin: Origin, url: str, span: str
) -> tuple[requests.Response, dict[str, str]]:
    """Return the answer of an origin whose body is to be passed on, and headers to go with it."""
    answer = _file(held, origin, url, span)
    headers = _kept(answer, *(["Content-Range"] if answer.status_code != HTTPStatus.OK else []))
    if (length := http.content_length(answer)) is not None:
        headers["Content-Length"] = str(length)
    return answer, headers


def _file(held: ExitStack, origin: Origin, url: str, span: str = "") -> requests.Response:
    answer, _ = _ask(held, origin, "GET", url, span)
    _require_file(answer, span)
    return answer


def _ask(
    held: ExitStack,
    origin: Origin,
    method: str,
    url: str,
    span: str = "",
    *,
    leave: bool = False,
) -> tuple[requests.Response, str]:
    """Ask an origin, and follow its redirects.

    Returns:
        The answer, or with `leave` the redirect to another host; and the URL of what is to be had
        without a credential.
    """
    asked = origin.sign(method, url)
    url, credential = asked.url, asked.headers
    for _ in range(_REDIRECTS + 1):
        headers = {**credential, **({"Range": span} if span else {})}
        answer = http.answer(origin.session, method, url, headers=headers, timeout=http.TIMEOUT_S)
        held.callback(answer.close)
        if not answer.is_redirect:
            if answer.status_code in http.DENIED:
                origin.forget()
            is_page = answer.ok and answer.headers.get("Content-Type", "").startswith(_PAGE)
            if is_page and (url != asked.url or not urlsplit(url).path.endswith(_PAGES)):
                raise _UnavailableError("the origin gives a page, such as a login")
            return answer, "" if credential else url
        url = origin.led_to(url, answer.headers["Location"])
        if origin.refusal(url):  # a credential goes nowhere else
            if leave and not origin.is_host_of(url):
                return answer, url
            credential = {}
    raise _UnavailableError("the origin redirects as in circles")


def _require_file(answer: requests.Response, span: str = "") -> None:
    """Require the answer of an origin to be that of a file, or of a range of it."""
    if answer.status_code in {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}:
        raise _MissingError(f"the origin answers {status_of(answer)}")
    if span and answer.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        size = re.fullmatch(r"bytes \*/[0-9]{1,19}", answer.headers.get("Content-Range", ""))
        headers = {"Content-Range": size[0]} if size else {}
        raise _RangeError("the file has no byte of this range", **headers)
    start = span[len("bytes=") :].partition("-")[0]
    covered = f"bytes {start}-" if start else "bytes "
    is_part = (
        bool(span)
        and answer.status_code == HTTPStatus.PARTIAL_CONTENT
        and answer.headers.get("Content-Range", "").startswith(covered)
    )
    if answer.status_code != HTTPStatus.OK and not is_part:
        raise _UnavailableError(f"the origin answers {status_of(answer)}")
    http.require_plain(answer)


def _kept(answer: requests.Response, *more: str) -> dict[str, str]:
    found = {name: answer.headers.get(name, "") for name in (*_KEPT, *more)}
    return {name: value for name, value in found.items() if value and value.isprintable()}


def make_app(gateway: Gateway) -> Router:
    """Return the ASGI application of a gateway.

    Besides files there are `/healthz`, which tells its configuration, and `/metrics`.
    """

    async def health(_: Request) -> Response:
        try:
            keys = [key.id for key in gateway.read_keys()]
        except (OSError, ValueError) as error:
            return PlainTextResponse(f"{error}\n", HTTPStatus.SERVICE_UNAVAILABLE)
        return JSONResponse({"configuration": gateway.digest, "keys": keys})

    for library in ("botocore", "urllib3"):  # whose debug logs and warnings hold signed URLs
        logging.getLogger(library).setLevel(logging.ERROR)
    meters = Meters(gateway.origins)

    # Files have no route: a pattern of paths matches no line break, and would answer 404.
    routes = [Route("/healthz", health), metrics_route(meters)]
    return Router(routes, redirect_slashes=False, default=_Files(gateway, meters))
