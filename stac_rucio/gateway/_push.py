"""COPY: files sent to storages that cannot fetch, such as S3 and plain WebDAV.

As WLCG's third-party copies over HTTP have it, FTS asks the source to send a file to the URL in
`Destination`. It is told how that goes while it does, and in the last line how it went. What FTS
sends with it says nothing of checksums: those of the origin, or of who asks, are compared.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import chain
from typing import TYPE_CHECKING

import anyio
from starlette.responses import Response

from stac_client._checksums import Digester, digests_of
from stac_policy import bodies, http
from stac_policy.urls import is_url, redact

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping

    import requests
    from starlette.types import Receive, Scope, Send

    from stac_rucio.gateway._origins import Destination

LOG = logging.getLogger("stac_rucio.gateway")
SIGNED_PUT_BYTES = 5 << 30
"""What S3 takes by one presigned PUT."""
_MARKER_S = 5.0
_PIECE_S = 60.0  # for a connection, and for each piece
_ANSWER_S = 30.0  # for the answer to the last, and as long as a storage may take to look at it all:
_DIGESTED_BYTES = 1 << 26  # a second
_ERROR_BYTES = 1 << 14
_SCHEMES = {"davs": "https", "dav": "http"}
_DONE = {HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.NO_CONTENT}
_SIGNATURE = re.compile("[?&](?:X-Amz-)?Signature=")
_STORES_ERROR = re.compile(rb"<Code>(\w{1,60})</Code>")


class RefusedError(Exception):
    """A COPY that the gateway is not for; nothing has been sent."""


@dataclass(frozen=True)
class Order:
    """What a COPY asks for."""

    to: Destination
    url: str = field(repr=False)
    """Where the file goes: often one that is signed."""
    headers: Mapping[str, str] = field(repr=False)
    """What has to go with it, such as a token."""
    given: Mapping[str, str] = field(repr=False)
    """The headers of the COPY."""

    @property
    def is_signed(self) -> bool:
        """Whether it has a signature of S3, by which nothing but one PUT can be done."""
        return bool(_SIGNATURE.search(self.url))


def read_order(headers: Mapping[str, str], destinations: Iterable[Destination]) -> Order:
    """Return what the headers of a COPY ask for.

    Raises:
        RefusedError: The operator names no such destination, or it is none.
    """
    scheme, _, rest = headers.get("Destination", "").partition("://")
    url = f"{_SCHEMES.get(scheme.lower(), scheme.lower())}://{rest}"
    if not is_url(url):
        raise RefusedError("COPY needs a Destination that is a URL")
    try:
        to = next((each for each in destinations if not each.refusal(url)), None)
    except ValueError:
        to = None
    if to is None:
        raise RefusedError(f"the gateway has no entry to send files to {redact(url)}")
    more = {}
    if token := headers.get("TransferHeaderAuthorization"):
        more["Authorization"] = token
    if headers.get("Overwrite", "T").upper() == "F":
        more["If-None-Match"] = "*"
    return Order(to, url, more, headers)


class _Body:
    """The bytes of a file, the last of which come when the checksums are right."""

    def __init__(self, answer: requests.Response, size_bytes: int, order: Order) -> None:
        self._size_bytes = size_bytes
        expected = digests_of(order.given) | digests_of(answer.headers)
        self._rest = _checked(answer, Digester(expected, md5=False))
        self._first = b""
        self.stop = threading.Event()
        self.sent_bytes = 0

    def begin(self) -> bool:
        """Get the first bytes, before which nobody needs to be asked; return whether there are."""
        self._first = next(self._rest, b"")
        self._require_interest()
        return bool(self._first)

    def __len__(self) -> int:  # by which requests sends Content-Length
        return self._size_bytes

    def __iter__(self) -> Iterator[bytes]:
        for piece in chain((self._first,), self._rest):
            yield piece
            self.sent_bytes += len(piece)
            self._require_interest()

    def _require_interest(self) -> None:
        if self.stop.is_set():
            raise http.PassingError("nobody waits for it any more")


def _checked(answer: requests.Response, digester: Digester) -> Iterator[bytes]:
    last = b""
    for piece in bodies.pieces(answer):
        if last:
            yield last
        digester.update(piece)
        last = piece
    if wrong := digester.contradiction():
        raise http.PassingError(f"the origin gave bytes with another {wrong} than it has to be")
    yield last


class Push(Response):
    """The answer to a COPY, while which the file is sent."""

    def __init__(
        self,
        order: Order,
        answer: requests.Response,
        work: Callable[[Callable[[], str]], Awaitable[str]],
    ) -> None:
        """Begin nothing yet.

        Args:
            order: What is asked for.
            answer: That of the origin, of which nothing has been read.
            work: Runs something in a thread.

        Raises:
            FetchError: The file is too large for its destination, or of no known size.
        """
        super().__init__(status_code=HTTPStatus.ACCEPTED, media_type="text/perf-marker-stream")
        del self.headers["Content-Length"]
        size_bytes = http.content_length(answer)
        if size_bytes is None:
            raise http.FetchError("the origin does not say how long the file is")
        if order.is_signed and size_bytes > SIGNED_PUT_BYTES:
            raise http.FetchError(
                f"it has {size_bytes:,} bytes, and one signed PUT takes {SIGNED_PUT_BYTES:,}"
            )
        self._order, self._work, self._source = order, work, redact(answer.url)
        self._sending = _Body(answer, size_bytes, order)

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        """Send the file, and tell how."""
        start = {"type": "http.response.start", "status": self.status_code}
        await send({**start, "headers": self.raw_headers})
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._watch, receive)
            tasks.start_soon(self._mark, send)
            problem = await self._work(self._put)
            tasks.cancel_scope.cancel()
        sent, url = self._sending.sent_bytes, redact(self._order.url)
        LOG.info("%s to %s: sent %d bytes %s", self._source, url, sent, problem)
        verdict = f"failure: {url}: {problem}" if problem else "success: Created"
        body = _marker(sent) + f"{verdict}\n".encode()
        await send({"type": "http.response.body", "body": body})

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._sending.stop.set()

    async def _mark(self, send: Send) -> None:
        try:
            with suppress(OSError):  # of a client that takes nothing
                while True:
                    body = _marker(self._sending.sent_bytes)
                    await send({"type": "http.response.body", "body": body, "more_body": True})
                    await anyio.sleep(_MARKER_S)
        finally:
            self._sending.stop.set()

    def _put(self) -> str:
        """Send the file, and return why that failed, or nothing."""
        try:
            body = self._sending if self._sending.begin() else b""
            answer_s = _ANSWER_S + len(self._sending) // _DIGESTED_BYTES
            with self._ask("PUT", answer_s, body) as answer:
                return "" if answer.status_code in _DONE else status_of(answer)
        except Exception as error:  # noqa: BLE001 - a message of a library may hold a signature
            # S3 keeps no part of a file; other servers may, unless what is there is not of here.
            may_stay = not self._order.is_signed and "If-None-Match" not in self._order.headers
            if may_stay and self._sending.sent_bytes:
                with suppress(http.FetchError):
                    self._ask("DELETE", _ANSWER_S).close()
            known = isinstance(error, http.FetchError)
            return str(error) if known else f"the gateway failed: {type(error).__name__}"

    def _ask(
        self, method: str, answer_s: float, body: _Body | bytes | None = None
    ) -> requests.Response:
        order, session = self._order, self._order.to.session
        options = {"headers": order.headers, "timeout": (_PIECE_S, answer_s)}
        return http.answer(session, method, order.url, data=body, **options)


def status_of(answer: requests.Response) -> str:
    """Return the status of an answer, with the code of the error that a store gives.

    AWS names the region of a bucket that is asked for in another one, also to HEAD.
    """
    found = None
    with suppress(http.FetchError):
        until_s = time.monotonic() + _ANSWER_S
        found = _STORES_ERROR.search(bodies.read_body(answer, _ERROR_BYTES, until_s))
    said = f"HTTP {answer.status_code}" + (f" {found[1].decode()}" if found else "")
    region = re.fullmatch(r"[a-z0-9-]{1,30}", answer.headers.get("x-amz-bucket-region", ""))
    if region and answer.status_code in {HTTPStatus.MOVED_PERMANENTLY, HTTPStatus.BAD_REQUEST}:
        said += f", and that the bucket is in region {region[0]}"
    return said


def _marker(sent_bytes: int) -> bytes:
    return (
        f"Perf Marker\n\tTimestamp: {int(time.time())}\n\tStripe Index: 0\n"
        f"\tStripe Bytes Transferred: {sent_bytes}\n\tTotal Stripe Count: 1\nEnd\n"
    ).encode()
