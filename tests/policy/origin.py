"""An HTTP origin whose answers a test writes down beforehand."""

from __future__ import annotations

import http.server
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Request(NamedTuple):
    """A request that the origin got."""

    method: str
    path: str
    headers: dict[str, str]


class Origin(http.server.ThreadingHTTPServer):
    """An origin on the loopback interface that remembers its requests."""

    daemon_threads = True

    def __init__(self):
        """Take a free port."""
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seen: list[Request] = []
        self.gate = threading.Event()
        self.sent = 0  # bytes of an answer without an end
        self._files: dict[str, tuple[bytes, str | None, Iterator[Callable[..., None]]]] = {}

    @property
    def url(self):
        """Its URL, without a path."""
        return f"http://127.0.0.1:{self.server_port}"

    def add(self, path, content, *answers, etag: str | None = '"1"'):
        """Serve content, after the answers to the first requests, and give its URL."""
        self._files[path] = (content, etag, iter(answers))
        return self.url + path

    def of(self, path):
        """Give content, ETag and answer to a request."""
        content, etag, answers = self._files.get(path, (b"", None, iter([status(404)])))
        return content, etag, next(answers, whole_or_part)

    def requests_of(self, path):
        """Give the requests of a path so far."""
        return [request for request in self.seen if request.path == path]


@contextmanager
def running_origin():
    """Run an origin, and close it at the end."""
    with Origin() as origin:
        thread = threading.Thread(target=origin.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield origin
        finally:
            origin.gate.set()
            origin.shutdown()
            thread.join()


def ranges(origin, path="/f"):
    """Give what each request of a file asked for."""
    return [request.headers.get("Range") for request in origin.requests_of(path)]


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Origin
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_args):
        """Keep the output of the tests free of requests."""

    def answer(self, code, body=b"", length=None, **headers):
        """Send a response; a shorter body than announced ends with the connection."""
        length = len(body) if length is None else length
        self.send_response(code)
        self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
            self.wfile.flush()
        self.close_connection = length != len(body)

    def do_GET(self):
        """Answer GET and HEAD as the test wrote it down."""
        self.server.seen.append(Request(self.command, self.path, dict(self.headers)))
        content, etag, answer = self.server.of(self.path)
        answer(self, content, etag)

    do_HEAD = do_GET  # noqa: N815 - http.server's way to name methods


# Answers: functions of the handler, the content and its ETag.


def whole_or_part(handler, content, etag):
    """Answer as a good origin does, ranges of an unchanged file included."""
    tags = {"ETag": etag} if etag else {}
    wanted = handler.headers.get("Range")
    if not wanted or handler.headers.get("If-Range", etag) != etag:
        handler.answer(200, content, **tags)
        return
    start = int(wanted.removeprefix("bytes=").removesuffix("-"))
    covered = f"bytes {start}-{len(content) - 1}/{len(content)}"
    handler.answer(206, content[start:], Content_Range=covered, **tags)


def whole(handler, content, etag):
    """Answer with the whole file whatever is asked for."""
    handler.answer(200, content, ETag=etag)


def status(code, body=b"no", **headers):
    """Answer with a status."""
    return lambda handler, _content, _etag: handler.answer(code, body, **headers)


def redirect(url, code=302):
    """Answer with a redirect."""
    return status(code, b"elsewhere", Location=url)


def cut(size, content=None, **headers):
    """Announce the file, send its first bytes and hang up."""

    def answer(handler, current, etag):
        body = current if content is None else content
        handler.answer(200, body[:size], len(body), **({"ETag": etag} if etag else {}) | headers)

    return answer


def stall(size):
    """Send the first bytes and nothing more until the origin's gate opens."""

    def answer(handler, content, etag):
        handler.answer(200, content[:size], len(content), ETag=etag)
        handler.server.gate.wait(10)

    return answer


def part(start, etag, content=None):
    """Answer with a part that begins at `start`, whatever is asked for."""

    def answer(handler, current, _etag):
        body = current if content is None else content
        covered = f"bytes {start}-{len(body) - 1}/{len(body)}"
        handler.answer(206, body[start:], Content_Range=covered, ETag=etag)

    return answer


def chunked(handler, content, _etag):
    """Answer in chunks, without a length."""
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    for start in range(0, len(content), 1000):
        piece = content[start : start + 1000]
        handler.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
    handler.wfile.write(b"0\r\n\r\n")


def chunks_cut(handler, content, _etag):
    """Answer in chunks and hang up within one."""
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b"%x\r\n%b" % (len(content), content[: len(content) // 2]))
    handler.wfile.flush()
    handler.close_connection = True


def until_closed(handler, content, _etag):
    """Answer without a length; the end of the connection is the end of the file."""
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(content)
    handler.close_connection = True
