"""The application on a port, and requests to it that no library tidies up."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import uvicorn

from stac_rucio.listening import configuration
from stac_rucio.serve import make_app

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Got:
    """What came back."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """The value of a header, which is there at most once, or None."""
        values = [value for found, value in self.headers if found.lower() == name]
        assert len(values) <= 1, f"{name} is there {len(values)} times"
        return values[0] if values else None

    def json(self) -> Any:
        """The body, which is JSON."""
        return json.loads(self.body)


@dataclass
class Proxy:
    """A running application."""

    url: str

    def ask(
        self,
        target: Any,
        method: Any = "GET",
        headers: Any = (),
        body: Any = None,
        *,
        length: Any = True,
        host: Any = True,
    ) -> Any:
        """Send a request whose target stays as it is."""
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=20)
        try:
            connection.putrequest(method, target, skip_host=not host, skip_accept_encoding=True)
            headers = headers.items() if isinstance(headers, dict) else headers
            for name, value in headers:
                connection.putheader(name, value)
            if body is not None and length:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            response = connection.getresponse()
            return Got(response.status, response.getheaders(), response.read())
        finally:
            connection.close()


@contextmanager
def running_proxy(api: Any, modifier: Any, **options: Any) -> Iterator[Proxy]:
    """The application, served as `serve` does it, but in a thread."""
    app = make_app(api, modifier, **options)
    config = configuration(app, "127.0.0.1", 0)
    listening = socket.create_server(("127.0.0.1", 0))
    # Little waits in the kernel, so that clients that do not read are felt early.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield Proxy(f"http://127.0.0.1:{listening.getsockname()[1]}")
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


class Untouched:
    """A modifier that leaves pages as they are."""

    def with_options(self, *, prefer: Any) -> Untouched:  # noqa: ARG002 - none is preferred to another
        """Return itself."""
        return self

    def __call__(self, page: Any, /) -> None:
        """Leave a page alone."""

    def public_copy(self, item: Any, key: Any) -> str | None:  # noqa: ARG002 - it has none of any
        """Know no copy."""
        return None


class Marking(Untouched):
    """A modifier that writes into each asset what was preferred, without any Rucio."""

    def __init__(self, preferred: Any = ()) -> None:
        """Mark with these."""
        self.preferred = list(preferred)

    def with_options(self, *, prefer: Any) -> Marking:
        """Return a modifier that prefers these."""
        return Marking(prefer)

    def __call__(self, page: Any, /) -> None:
        """Modify."""
        for item in page.get("features", [page]):
            for asset in item["assets"].values():
                asset["marked"] = self.preferred

    def public_copy(self, item: Any, key: Any) -> str | None:  # noqa: ARG002
        """Return a URL with what was preferred, which nothing need be."""
        return f"https://copies.example.org/{'+'.join(self.preferred)}" if self.preferred else None
