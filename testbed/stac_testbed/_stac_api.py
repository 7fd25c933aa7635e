"""The lake's STAC API: `rustac serve`, and before it what divides the answers to GET into pages.

python -m stac_testbed._stac_api PORT PORT-OF-RUSTAC

rustac answers 500 where it would have to write a list (collections, bbox, sortby, fields) into the
link to a next page. So it is asked for all items, of which a lake has few. What else there is, POST
included, it does by itself.
"""

from __future__ import annotations

import json
import sys
from http import HTTPStatus
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

_ALL = 1_000_000
_PAGE = 10  # as rustac, where nobody says how many
_TIMEOUT_S = 60.0
_PER_CONNECTION = ("connection", "content-length", "date", "transfer-encoding")
_PASSED_ON = {
    "access-control-request-headers", "access-control-request-method", "content-type", "origin",
}  # fmt: skip


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one write for an answer
    rustac: int

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = dict(parse_qsl(url.query))
        limit, skip = query.get("limit", str(_PAGE)), query.get("skip", "0")
        if not url.path.endswith(("/search", "/items")) or not (limit + skip).isdecimal():
            self._answer(*self._ask(self.path))
            return
        everything = urlencode({**query, "limit": _ALL, "skip": 0})
        status, headers, body = self._ask(f"{url.path}?{everything}")
        if status == HTTPStatus.OK:
            start, end = int(skip), int(skip) + int(limit)
            page = json.loads(body)
            more = len(page["features"]) > end
            page["features"] = page["features"][start:end]
            page["numberReturned"] = len(page["features"])
            if more:
                root = next(link["href"] for link in page["links"] if link["rel"] == "root")
                href = f"{root.rstrip('/')}{url.path}?{urlencode({**query, 'skip': end})}"
                kind = {"rel": "next", "type": "application/geo+json", "method": "GET"}
                page["links"].append({"href": href, **kind})
            body = json.dumps(page).encode()
        self._answer(status, headers, body)

    do_HEAD = do_GET  # noqa: N815 - the name that http.server looks for

    def do_OPTIONS(self) -> None:
        self._answer(*self._ask(self.path))

    def do_POST(self) -> None:
        self._answer(*self._ask(self.path, self._body()))

    def _body(self) -> bytes:
        """Read the body of a request, which a proxy may send in chunks."""
        if self.headers.get("transfer-encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("content-length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _ask(self, path: str, body: bytes | None = None) -> tuple[int, Mapping[str, str], bytes]:
        connection = HTTPConnection("127.0.0.1", self.rustac, timeout=_TIMEOUT_S)
        sent = self.headers.items()
        headers = {name: value for name, value in sent if name.lower() in _PASSED_ON}
        method = "GET" if self.command == "HEAD" else self.command
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read()
        except OSError as error:  # it does not run yet, or no more
            return HTTPStatus.BAD_GATEWAY, {"content-type": "text/plain"}, str(error).encode()
        finally:
            connection.close()

    def _answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in _PER_CONNECTION:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


class _Server(ThreadingHTTPServer):
    request_queue_size = 128  # of tests that ask at the same time, too


def main(port: int, rustac: int) -> None:
    """Answer at 127.0.0.1:port, and ask the rustac at another port."""
    _Handler.rustac = rustac
    _Server(("127.0.0.1", port), _Handler).serve_forever()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
