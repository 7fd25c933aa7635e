"""A server on the loopback interface in the place of an API, as odd as a test wants it."""

from __future__ import annotations

import http.server
import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.threads import serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Seen(NamedTuple):
    """A request that came to the upstream API."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: Any) -> str | None:
        """The value of a header, or None."""
        return next((value for found, value in self.headers if found.lower() == name), None)


class Upstream(http.server.ThreadingHTTPServer):
    """Answers as it was told, and remembers what it was asked."""

    daemon_threads = True
    request_queue_size = 128  # the backlog

    def __init__(self) -> None:
        """Take a free port."""
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seen: list[Seen] = []
        self.answers: dict[str, Callable[[Any], object]] = {}
        self.default: Callable[[Any], object] | None = None

    @property
    def url(self) -> str:
        """URL of the API, which is not at the root of its host."""
        return f"http://127.0.0.1:{self.server_port}/v1"

    def add(
        self, path: Any, body: Any = b"", headers: Any = (), status: Any = 200, act: Any = None
    ) -> None:
        """Answer a path below the API's URL; `act` is given the handler to do so itself."""
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
            headers = {"Content-Type": "application/json", **dict(headers)}
        headers = headers.items() if isinstance(headers, dict) else headers
        self.answers[f"/v1{path}"] = act or (lambda handler: handler.give(body, headers, status))

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Connections that break are what some tests are about."""


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Upstream
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def answer(self) -> None:
        length = int(self.headers.get("content-length", 0))
        body = self.rfile.read(length) if length else b""
        if self.headers.get("transfer-encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        self.server.seen.append(Seen(self.command, self.path, self.headers.items(), body))
        act = self.server.answers.get(self.path.split("?")[0], self.server.default)
        if act is None:
            self.give(b"nothing here", [("Content-Type", "text/plain")], 404)
        else:
            act(self)

    def __getattr__(self, name: Any) -> Callable[..., Any]:
        """Answer every method alike."""
        if name.startswith("do_"):
            return self.answer
        raise AttributeError(name)

    def give(
        self, body: bytes, headers: list[Any] | tuple[Any, ...] = (), status: int = 200
    ) -> None:
        """Send an answer with its length."""
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        if status not in {204, 304}:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Keep the output of the tests clean."""


@contextmanager
def running_upstream() -> Iterator[Upstream]:
    """A server that is there, and then no more."""
    server = Upstream()
    with serving(server):
        yield server
