"""An HTTP origin that does to its files what happens in the world."""

from __future__ import annotations

import gzip
import http.server
import ssl
import threading
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from stac_testbed._tls import make_certificates
from tests.threads import serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


LOGIN_PAGE = b"<html><form>log in</form></html>"
SIGNATURE = "sig=s3cr3t%2B/&se=2030"


@dataclass
class Origin:
    """An HTTP server full of surprises; its paths say what they do with a file."""

    url: str
    tls_url: str
    """Where it answers with a certificate that nobody knows."""
    files: dict[str, bytes] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)

    def add(self, name: str, content: bytes) -> str:
        """Serve a file and return its plain URL."""
        self.files[name] = content
        return f"{self.url}/plain/{name}"

    def gets(self, path: str) -> int:
        """Count the GET requests for a path, with its query."""
        return self.seen.count(f"GET {path}")


class _Server(http.server.ThreadingHTTPServer):
    origin: Origin


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def log_message(self, *_args: Any) -> None:
        """Keep the output of the tests free of requests."""

    def _answer(
        self, status: int, body: Any = b"", length: int | None = None, **headers: Any
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Transfer_Encoding" not in headers:
            self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self) -> None:
        """Answer GET and HEAD in the way that the first part of the path names."""
        origin = self.server.origin
        origin.seen.append(f"{self.command} {self.path}")
        _, how, name = urlsplit(self.path).path.split("/", 2)
        body = origin.files.get(name)
        if body is None:
            self._answer(404)
        else:
            getattr(self, f"_{how.replace('-', '_')}")(body)

    do_HEAD = do_GET  # noqa: N815 - http.server's way to name methods

    def _plain(self, body: Any) -> None:
        self._answer(200, body)

    def _tls(self, _body: Any) -> None:
        self._answer(302, Location=f"{self.server.origin.tls_url}/plain/{self.path[5:]}")

    def _nohead403(self, body: Any) -> None:
        self._answer(*((403,) if self.command == "HEAD" else (200, body)))

    def _nolength(self, body: Any) -> None:
        self.close_connection = True
        self.send_response(200)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def _headzero(self, body: Any) -> None:
        self._answer(200, body, length=0 if self.command == "HEAD" else None)

    def _gzip(self, body: Any) -> None:
        if "gzip" in self.headers.get("Accept-Encoding", ""):
            self._gzipalways(body)
        else:
            self._answer(200, body)

    def _gzipalways(self, body: Any) -> None:
        self._answer(200, gzip.compress(body, mtime=0), Content_Encoding="gzip")

    def _login(self, _body: Any) -> None:
        self._answer(200, LOGIN_PAGE, Content_Type="text/html")

    def _tologin(self, _body: Any) -> None:
        self._answer(302, Location=self.path.replace("tologin", "login"))

    def _headoklogin(self, body: Any) -> None:
        self._answer(200, body if self.command == "HEAD" else LOGIN_PAGE)

    def _headok403(self, body: Any) -> None:
        self._answer(*((200, body) if self.command == "HEAD" else (403,)))

    def _headok503(self, body: Any) -> None:
        self._answer(*((200, body) if self.command == "HEAD" else (503,)))

    def _half(self, body: Any) -> None:
        self._answer(200, body if self.command == "HEAD" else body[: len(body) // 2])

    def _gone(self, _body: Any) -> None:
        self._answer(410)

    def _busy(self, _body: Any) -> None:
        self._answer(429)

    def _redirect(self, _body: Any) -> None:
        name = self.path.split("/", 2)[2]
        self._answer(307, Location=f"/signed/{name}?{SIGNATURE}")

    def _signed(self, body: Any) -> None:
        if urlsplit(self.path).query == SIGNATURE:
            self._answer(200, body)
        else:
            self._answer(403, b"<error>")

    def _broken(self, _body: Any) -> None:
        self._answer(503)

    def _nohead(self, body: Any) -> None:
        self._answer(*((405,) if self.command == "HEAD" else (200, body)))

    def _chunked(self, body: Any) -> None:
        chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        self._answer(200, chunks, Transfer_Encoding="chunked")

    def _chunk_cut(self, body: Any) -> None:
        self._answer(200, b"%x\r\n%s" % (len(body), body[:-9]), Transfer_Encoding="chunked")
        self.close_connection = True

    def _cut(self, body: Any) -> None:
        self._answer(200, body[: len(body) // 2], length=len(body))
        self.close_connection = True

    def _cut_once(self, body: Any) -> None:
        if self.server.origin.gets(self.path) == 1:
            self._cut(body)
        else:
            self._answer(200, body)

    def _silent(self, body: Any) -> None:
        if self.command == "HEAD":
            self._answer(200, body)
        self.close_connection = True

    def _slow(self, body: Any) -> None:
        self._answer(200, body[: len(body) // 2], length=len(body))
        if self.command == "GET":
            self.server.origin.gate.wait(20)
            self.wfile.write(body[len(body) // 2 :])

    def _endless(self, body: Any) -> None:
        """Send more and more until the client hangs up."""
        self._answer(200, body, length=1 << 40)
        if self.command == "GET":
            self.close_connection = True
            try:
                while not self.server.origin.gate.wait(0.01):
                    self.wfile.write(body)
            except ConnectionError:
                self.server.origin.seen.append(f"HUNG UP {self.path}")

    def do_COPY(self) -> None:
        """Promise a copy and fall silent, as a storage that is restarted does."""
        self._answer(201, b"b\r\nPerf Marker\r\n0\r\n\r\n", Transfer_Encoding="chunked")

    def do_PUT(self) -> None:
        """Take everything, but keep only what will be served in chunks, without a size."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        _, how, name = self.path.split("/", 2)
        if how == "chunked":
            self.server.origin.files[name] = body
        self._answer(201 if how == "chunked" else 507)

    def do_MKCOL(self) -> None:
        """Refuse to make folders, as a storage does that is just making the same one."""
        self._answer(500)

    def do_PROPFIND(self) -> None:
        """Have every folder but those whose name is ``never``."""
        missing = self.path.endswith("/never")
        self._answer(404 if missing else 207, b"<D:multistatus><D:collection/></D:multistatus>")

    def do_DELETE(self) -> None:
        """Have nothing to delete."""
        self._answer(404)


@contextmanager
def running_origin(folder: Path) -> Iterator[Origin]:
    """Run an origin in two threads, one with TLS and a certificate that nobody knows."""
    make_certificates(folder, folder, "origin")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(folder / "origin.pem")
    servers = [_Server(("127.0.0.1", 0), _Handler) for _ in range(2)]
    servers[1].socket = tls.wrap_socket(servers[1].socket, server_side=True)
    http, https = (server.server_port for server in servers)
    origin = Origin(f"http://127.0.0.1:{http}", f"https://127.0.0.1:{https}")
    with ExitStack() as running:
        for server in servers:
            server.origin = origin
            running.enter_context(serving(server))
        running.callback(origin.gate.set)
        yield origin
