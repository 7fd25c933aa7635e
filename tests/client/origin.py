"""An HTTP origin on the loopback interface whose answers a test writes down beforehand."""

from __future__ import annotations

import http.server
import os
import socket
import struct
import threading
from collections import defaultdict
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import NamedTuple


@dataclass
class Answer:
    """What an origin answers to one request."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str | None] = field(default_factory=dict)
    """Headers, and None for one that is not sent."""
    announced: int | None = None
    """Bytes announced in `Content-Length`, whatever the body; ends with the connection."""
    reset_after: int | None = None
    """Bytes of the body after which the connection is reset; -1 for before the answer."""
    raw: tuple[bytes, bytes] | None = None
    """In place of all the above: what is sent, and what then again and again, without an end."""
    pause_s: float = 0.0
    """Before each of the latter."""


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
        self._answers: dict[tuple[str, str], list[Answer]] = defaultdict(list)

    @property
    def url(self):
        """Its URL, without a path."""
        return f"http://127.0.0.1:{self.server_port}"

    def add(self, path, *answers, head=None):
        """Give these answers to GET, the last one for ever, and one to HEAD; gives the URL.

        Without an answer to HEAD, it is that to GET without its body.
        """
        self._answers["GET", path] = list(answers)
        if head is not None:
            self._answers["HEAD", path] = [head]
        return self.url + path

    def next_answer(self, method, path):
        """Give the next answer to a request."""
        path = path.partition("?")[0]
        answers = self._answers[method, path] or self._answers["GET", path] or [Answer(status=404)]
        return answers.pop(0) if len(answers) > 1 else answers[0]

    @property
    def methods(self):
        """The methods of the requests so far."""
        return [request.method for request in self.seen]


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Origin
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_args):
        """Keep the output of the tests free of requests."""

    def do_GET(self):
        """Answer GET and HEAD as the test wrote it down."""
        self.server.seen.append(Request(self.command, self.path, dict(self.headers)))
        answer = self.server.next_answer(self.command, self.path)
        if answer.raw is not None:
            first, then = answer.raw
            self.send_for_ever(first, then, answer.pause_s)
            return
        if answer.reset_after != -1:
            self.send(answer)
        if answer.reset_after is not None:
            # Lingering for no time at all: the kernel resets the connection.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            os.close(self.connection.detach())
            self.close_connection = True

    def send(self, answer):
        """Send an answer, as far as the test wants it to come."""
        length = len(answer.body) if answer.announced is None else answer.announced
        self.send_response(answer.status)
        for name, value in {"Content-Length": str(length), **answer.headers}.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(answer.body[: answer.reset_after])
        self.wfile.flush()
        self.close_connection = answer.announced is not None

    def send_for_ever(self, first, then, pause_s):
        """Send bytes until nobody reads them any more."""
        self.close_connection = True
        with suppress(ConnectionError):
            self.wfile.write(first)
            while True:
                threading.Event().wait(pause_s)  # whatever a test makes of time.sleep
                self.wfile.write(then)

    do_HEAD = do_GET  # noqa: N815 - http.server's way to name methods


@contextmanager
def running_origin():
    """Run an origin, and close it at the end."""
    with Origin() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
