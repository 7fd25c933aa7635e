"""An HTTP server on the loopback interface that answers as a test wrote it down beforehand."""

from __future__ import annotations

import http.server
import os
import socket
import ssl
import struct
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.threads import serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Request(NamedTuple):
    """A request that the origin got."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""


class Origin(http.server.ThreadingHTTPServer):
    """A server that remembers its requests."""

    daemon_threads = True

    def __init__(self, certificate: Path | None = None) -> None:
        """Take a free port; with TLS, if there is a file with a key and its certificate."""
        super().__init__(("127.0.0.1", 0), _Handler)
        self.scheme = "https" if certificate else "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.seen: list[Request] = []
        self.sent = 0
        """How many bytes went out of `raw`."""
        self.gate = threading.Event()
        """What an answer may wait for; open at the end of a test."""
        self._files: dict[str, tuple[Any, ...]] = {}

    @property
    def url(self) -> str:
        """Its URL, without a path."""
        return f"{self.scheme}://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Connections that break are what some tests are about."""

    def add(
        self, path: Any, content: Any, *answers: Any, etag: Any = '"1"', head: Any = None
    ) -> Any:
        """Serve a file, and give its URL.

        Args:
            path: Path of the URL, with its query if that matters.
            content: Its content; or the first of the answers, of which the last is for ever.
            *answers: To the first requests: functions of the handler, the content and its ETag.
            etag: The ETag, or None.
            head: The answer to HEAD; by default that of GET without its body.
        """
        if callable(content):
            *before, ever = content, *answers
            content = b""
        else:
            before, ever = [*answers], whole_or_part
        self._files[path] = (content, etag, iter(before), ever, head)
        return self.url + path

    def of(self, method: str, path: str) -> tuple[Any, Any, Any]:
        """Return content, ETag and answer to a request."""
        found = self._files.get(path) or self._files.get(path.partition("?")[0])
        content, etag, answers, ever, head = found or (b"", None, iter(()), status(404), None)
        if method == "HEAD" and head is not None:
            return content, etag, head
        return content, etag, next(answers, ever)

    @property
    def methods(self) -> list[Any]:
        """The methods of the requests so far."""
        return [request.method for request in self.seen]

    def requests_of(self, path: str) -> list[Any]:
        """Return the requests of a path so far."""
        return [request for request in self.seen if request.path == path]


@contextmanager
def running_origin(certificate: Path | None = None) -> Iterator[Origin]:
    """Run an origin, with TLS if it has a certificate, and close it at the end."""
    origin = Origin(certificate)
    with serving(origin):
        try:
            yield origin
        finally:
            origin.gate.set()


def ranges(origin: Origin, path: str = "/f") -> list[Any]:
    """Return what each request of a file asked for."""
    return [request.headers.get("Range") for request in origin.requests_of(path)]


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Origin
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_args: Any) -> None:
        """Keep the output of the tests free of requests."""

    def __getattr__(self, name: Any) -> Callable[..., Any]:
        """Answer every method alike."""
        if name.startswith("do_"):
            return self.respond
        raise AttributeError(name)

    def respond(self) -> None:
        """Answer as the test wrote it down."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append(Request(self.command, self.path, dict(self.headers), body))
        content, etag, answer = self.server.of(self.command, self.path)
        with suppress(ConnectionError):
            answer(self, content, etag)

    def answer(self, code: Any, body: bytes = b"", length: Any = None, **headers: Any) -> None:
        """Send a response; a shorter body than announced ends with the connection."""
        length = len(body) if length is None else length
        self.head(code, Content_Length=str(length), **headers)
        if self.command != "HEAD":
            self.wfile.write(body)
            self.wfile.flush()
        self.close_connection = length != len(body)

    def head(self, code: Any, **headers: Any) -> None:
        """Send the status and headers; those that are None are left out."""
        self.send_response(code)
        for name, value in headers.items():
            if value is not None:
                self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def reset(self) -> None:
        """Reset the connection: the kernel does, if it lingers for no time at all."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())
        self.close_connection = True


# Answers: functions of the handler, the content and its ETag.


@dataclass
class Answer:
    """The same answer to each request."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str | None] = field(default_factory=dict)
    """Headers, and None for one that is not sent."""
    announced: int | None = None
    """Bytes announced in `Content-Length`, whatever the body; ends with the connection."""
    reset_after: int | None = None
    """Bytes of the body after which the connection is reset; -1 for before the answer."""

    def __call__(self, handler: Any, *_: Any) -> None:
        """Send it, as far as the test wants it to come."""
        if self.reset_after != -1:
            length = len(self.body) if self.announced is None else self.announced
            handler.head(self.status, **{"Content-Length": str(length)} | self.headers)
            if handler.command == "GET":
                handler.wfile.write(self.body[: self.reset_after])
            handler.wfile.flush()
            handler.close_connection = self.announced is not None
        if self.reset_after is not None:
            handler.reset()


def raw(*parts: Any, pause_s: float = 0.0, most: Any = 1 << 25) -> Callable[..., Any]:
    """Answer with bytes as they are until the other side hangs up; the last of them for ever."""

    def answer(handler: Any, *_: Any) -> None:
        handler.close_connection = True
        handler.server.sent = 0
        for part in parts[:-1]:
            handler.server.sent += handler.wfile.write(part)
        while handler.server.sent <= most and not handler.server.gate.wait(pause_s):
            handler.server.sent += handler.wfile.write(parts[-1])

    return answer


def whole_or_part(handler: Any, content: Any, etag: Any) -> None:
    """Answer as a good origin does, ranges of an unchanged file included."""
    wanted = handler.headers.get("Range")
    if not wanted or handler.headers.get("If-Range", etag) != etag:
        handler.answer(200, content, ETag=etag)
        return
    first, _, last = wanted.removeprefix("bytes=").partition("-")
    start, end = int(first), int(last) + 1 if last else len(content)
    if start >= len(content):
        handler.answer(416, Content_Range=f"bytes */{len(content)}")
        return
    covered = f"bytes {start}-{end - 1}/{len(content)}"
    handler.answer(206, content[start:end], Content_Range=covered, ETag=etag)


def whole(handler: Any, content: Any, etag: Any) -> None:
    """Answer with the whole file whatever is asked for."""
    handler.answer(200, content, ETag=etag)


def status(code: Any, body: bytes = b"no", **headers: Any) -> Callable[..., Any]:
    """Answer with a status."""
    return lambda handler, _content, _etag: handler.answer(code, body, **headers)


def redirect(url: Any, code: int = 302) -> Callable[..., Any]:
    """Answer with a redirect."""
    return status(code, b"elsewhere", Location=url)


def cut(size: int, content: bytes | None = None, **headers: Any) -> Callable[..., Any]:
    """Announce the file, send its first bytes and hang up."""

    def answer(handler: Any, current: Any, etag: Any) -> None:
        body = current if content is None else content
        handler.answer(200, body[:size], len(body), **{"ETag": etag} | headers)

    return answer


def rest_cut(size: int) -> Callable[..., Any]:
    """Announce the rest of a file, send its first bytes and hang up."""

    def answer(handler: Any, content: Any, etag: Any) -> None:
        start = int(handler.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        covered = f"bytes {start}-{len(content) - 1}/{len(content)}"
        rest = content[start:]
        handler.answer(206, rest[:size], len(rest), Content_Range=covered, ETag=etag)

    return answer


def stall(size: int) -> Callable[..., Any]:
    """Send the first bytes and nothing more until the origin's gate opens."""

    def answer(handler: Any, content: Any, etag: Any) -> None:
        handler.answer(200, content[:size], len(content), ETag=etag)
        handler.server.gate.wait(10)

    return answer


def part(start: int, etag: str, content: bytes | None = None) -> Callable[..., Any]:
    """Answer with a part that begins at `start`, whatever is asked for."""

    def answer(handler: Any, current: Any, _etag: Any) -> None:
        body = current if content is None else content
        covered = f"bytes {start}-{len(body) - 1}/{len(body)}"
        handler.answer(206, body[start:], Content_Range=covered, ETag=etag)

    return answer


def chunks(body: bytes | None = None, **headers: Any) -> Callable[..., Any]:
    """Answer in chunks, whatever length headers say."""

    def answer(handler: Any, current: Any, _etag: Any) -> None:
        content = current if body is None else body
        handler.head(200, Transfer_Encoding="chunked", **headers)
        for start in range(0, len(content), 1000):
            piece = content[start : start + 1000]
            handler.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        handler.wfile.write(b"0\r\n\r\n")

    return answer


chunked = chunks()


def chunks_cut(handler: Any, content: Any, _etag: Any) -> None:
    """Answer in chunks and hang up within one."""
    handler.head(200, Transfer_Encoding="chunked")
    handler.wfile.write(b"%x\r\n%b" % (len(content), content[: len(content) // 2]))
    handler.wfile.flush()
    handler.close_connection = True


def until_closed(handler: Any, content: Any, _etag: Any) -> None:
    """Answer without a length; the end of the connection is the end of the file."""
    handler.head(200)
    handler.wfile.write(content)
    handler.close_connection = True
