"""An HTTP proxy on the loopback interface that fails when and how it is told to."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import json
import os
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

ALWAYS = 1_000_000
HOLD_S = 13.0  # what never ends is held open for so long: longer than clients here wait
_SLOW_S = 1.0
_UPSTREAM_S = 150.0
_OF_A_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "content-length", "server"}

_LOCKED = (
    "Database exception.\nDetails: (sqlite3.OperationalError) database is locked\n"
    "[SQL: INSERT INTO replicas (rse_id) VALUES (?)]"
)


class Answer(NamedTuple):
    """What a proxy answers by itself."""

    status: int
    headers: dict[str, str]
    body: bytes


def _of_rucio(status: int, error: str, message: str) -> Answer:
    body = json.dumps({"ExceptionClass": error, "ExceptionMessage": message}).encode()
    headers = {"Content-Type": "application/octet-stream", "ExceptionClass": error}
    return Answer(status, headers, body)


ANSWERS = {
    "500": Answer(500, {"Content-Type": "text/html"}, b"<h1>Internal Server Error</h1>"),
    "502": Answer(502, {"Content-Type": "text/html"}, b"<h1>Bad Gateway</h1>"),
    "503": Answer(503, {"Retry-After": "1"}, b"busy"),
    "504": Answer(504, {"Content-Type": "text/html"}, b"<h1>Gateway Timeout</h1>"),
    "429": Answer(429, {"Retry-After": "1"}, b"slow down"),
    "gone": Answer(410, {}, b""),
    "refused": Answer(403, {"Content-Type": "application/json"}, b'{"http_message": "no"}'),
    "lost": Answer(404, {"Content-Type": "application/json"}, b'{"http_message": "no such job"}'),
    "full": Answer(507, {}, b"Insufficient Storage"),
    "locked": _of_rucio(500, "DatabaseException", _LOCKED),
    "expired": _of_rucio(
        401, "CannotAuthenticate", "Cannot authenticate with given credentials: token has expired"
    ),
}
"""Kinds of faults in which the server is not asked, with what is answered instead."""


class Request(NamedTuple):
    """A request on its way."""

    method: str
    path: str
    body: bytes


@dataclass
class Strike:
    """Which requests are struck by which fault."""

    kind: str
    nth: int = 1
    """The first of the matching requests that is struck, from 1 on."""
    times: int = 1
    """How many in a row."""
    matches: Callable[[Request], bool] = lambda _: True
    act: Callable[[], None] = lambda: None
    """For `act-before`, `act-after` and `act-meanwhile`."""
    seen: int = 0
    struck: list[str] = field(default_factory=list)
    """The requests that were."""
    meanwhile: list[threading.Thread] = field(default_factory=list)
    """Where an `act-meanwhile` is done."""


class Proxy(http.server.ThreadingHTTPServer):
    """Passes requests to one server, but for those that a strike is for."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, upstream: Any) -> None:
        """Take a free port in front of a base URL."""
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = upstream
        self.url = f"http://127.0.0.1:{self.server_port}"
        self._strikes: list[Strike] = []
        self._lock = threading.Lock()
        thread = threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )
        thread.start()

    def arm(self, strike: Strike) -> None:
        """Let a strike lie in wait."""
        with self._lock:
            self._strikes.append(strike)

    def disarm(self, strike: Strike) -> None:
        """Take it away."""
        with self._lock:
            if strike in self._strikes:
                self._strikes.remove(strike)

    def struck_by(self, request: Request) -> Strike | None:
        """Give the strike that hits a request, if any."""
        with self._lock:
            for strike in self._strikes:
                if strike.matches(request):
                    strike.seen += 1
                    if strike.nth <= strike.seen < strike.nth + strike.times:
                        strike.struck.append(f"{request.method} {request.path[:80]}")
                        return strike
        return None

    def handle_error(self, *_: Any) -> None:
        """Clients that hang up are what this is for."""

    def close(self) -> None:
        """End it."""
        self.shutdown()
        self.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Proxy
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: Any) -> None:
        """Keep the output free of requests."""

    def __getattr__(self, name: Any) -> Any:
        if name.startswith("do_"):
            return self._pass
        raise AttributeError(name)

    def _pass(self) -> None:
        self.received = self._body()
        strike = self.server.struck_by(Request(self.command, self.path, self.received))
        kind = strike.kind if strike else ""
        if kind in ANSWERS:
            self._send(ANSWERS[kind])
        elif kind == "reset-before":
            self._reset()
        elif kind == "never":
            time.sleep(HOLD_S)
            self._reset()
        else:
            self._ask(kind, strike)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _ask(self, kind: Any, strike: Any) -> None:
        self._before(kind, strike)
        try:
            answer = self._forward()
        except (OSError, http.client.HTTPException):
            self._reset()
            return
        if kind == "act-after":
            strike.act()
        if kind == "reset-after":
            self._reset()
        elif kind in ("half", "half-chunked", "half-closed", "endless"):
            self._send_part(answer, kind)
        elif kind == "changed":
            self._send(answer._replace(body=_spoiled(answer.body)))
        elif kind == "shorter":
            self._send(answer._replace(body=answer.body[:-1]))
        elif kind == "wrong-digest":
            headers = {k: v for k, v in answer.headers.items() if k.lower() != "digest"}
            self._send(answer._replace(headers={**headers, "Digest": "adler32=00000bad"}))
        else:
            self._send(answer)

    def _before(self, kind: Any, strike: Any) -> None:
        if kind == "act-before":
            strike.act()
        elif kind == "act-meanwhile":
            strike.meanwhile.append(threading.Thread(target=strike.act))
            strike.meanwhile[-1].start()
        elif kind == "slow":
            time.sleep(_SLOW_S)
        elif kind == "spoiled-request":
            self.received = _spoiled(self.received)

    def _forward(self) -> Answer:
        host = urlsplit(self.server.upstream).netloc
        connection = http.client.HTTPConnection(host, timeout=_UPSTREAM_S)
        try:
            connection.putrequest(
                self.command, self.path, skip_host=True, skip_accept_encoding=True
            )
            for name, value in self.headers.items():
                if name.lower() not in _OF_A_CONNECTION:
                    connection.putheader(name, value)
            if self.received or "Content-Length" in self.headers:
                connection.putheader("Content-Length", str(len(self.received)))
            connection.endheaders(self.received or None)
            response = connection.getresponse()
            headers = {
                name: value
                for name, value in response.getheaders()
                if name.lower() not in _OF_A_CONNECTION
            }
            if self.command == "HEAD":
                self.head_length = response.getheader("Content-Length")
            body = response.read()
            if "json" in headers.get("Content-Type", headers.get("content-type", "")):
                # The links of a STAC API lead through the proxy too.
                body = body.replace(self.server.upstream.encode() + b"/", self._own() + b"/")
            return Answer(response.status, headers, body)
        finally:
            connection.close()

    def _own(self) -> bytes:
        # Rucio's answers hold PFNs of others, never the server's own URL.
        return self.server.url.encode()

    def _send(self, answer: Answer) -> None:
        self._send_head(answer, len(answer.body))
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def _send_head(self, answer: Answer, length: int | None) -> None:
        self.send_response_only(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if self.command == "HEAD":
            length = getattr(self, "head_length", None)
        if length is not None and answer.status != http.HTTPStatus.NO_CONTENT:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def _send_part(self, answer: Answer, kind: str) -> None:
        """Send half a body that looks whole to no careful client, or a whole one without an end."""
        half = _half(answer.body)
        self.close_connection = True
        if kind == "half":
            self._send_head(answer, len(answer.body))
            self.wfile.write(half)
        elif kind == "half-closed":
            self._send_head(
                answer._replace(headers={**answer.headers, "Connection": "close"}), None
            )
            self.wfile.write(half)
        else:
            headers = {**answer.headers, "Transfer-Encoding": "chunked"}
            self._send_head(answer._replace(headers=headers), None)
            body = answer.body if kind == "endless" else half
            if body:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(body), body))
        self.wfile.flush()
        if kind == "endless":
            time.sleep(HOLD_S)

    def _reset(self) -> None:
        # Lingering for no time at all: the kernel resets the connection.
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            os.close(self.connection.detach())


def _half(body: bytes) -> bytes:
    """About half of a body; never whole lines, which nobody could tell from a whole body."""
    half = body[: len(body) // 2].rstrip(b"\n")
    return half[:-1] if body[len(half) : len(half) + 1] == b"\n" else half


def _spoiled(body: bytes) -> bytes:
    """The same number of other bytes."""
    return bytes([body[0] ^ 1]) + body[1:] if body else body
