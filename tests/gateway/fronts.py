"""Object stores that refuse what real ones refuse, in front of servers that do not."""

from __future__ import annotations

import http.server
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import requests

from stac_testbed.processes import free_ports
from tests.threads import serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ACCESS_KEY, SECRET_KEY = "AKIDEXAMPLE", "wJalrXUtnFEMI-K7MDENG-bPxRfiCYEXAMPLEKEY"
SESSION_TOKEN, REGION = "FwoGZXIvYXdzEXAMPLE/+==", "eu-central-1"


class Refusal(NamedTuple):
    """How a store refuses a request."""

    status: int
    code: str = ""
    headers: tuple[tuple[str, str], ...] = ()


def aws(path: str, headers: dict[str, str]) -> Refusal | None:
    """AWS refuses requests signed twice, and those to a bucket that nobody promises to pay for."""
    query = parse_qs(urlsplit(path).query)
    if "X-Amz-Signature" in query and "authorization" in headers:
        return Refusal(400)
    payer = query.get("x-amz-request-payer", [headers.get("x-amz-request-payer")])
    return None if payer == ["requester"] else Refusal(403)


def aws_by_role(path: str, headers: dict[str, str]) -> Refusal | None:
    """AWS refuses another region than the bucket's, and keys of a role without their token."""
    query = parse_qs(urlsplit(path).query)
    scope = query.get("X-Amz-Credential", [headers.get("authorization", "")])[0]
    if f"/{REGION}/s3/aws4_request" not in scope:
        return Refusal(400, "AuthorizationHeaderMalformed", (("x-amz-bucket-region", REGION),))
    token = query.get("X-Amz-Security-Token", [headers.get("x-amz-security-token")])
    return None if token == [SESSION_TOKEN] else Refusal(400, "InvalidToken")


def cdse(path: str, _headers: dict[str, str]) -> Refusal | None:
    """The Copernicus Data Space Ecosystem refuses signatures in the query."""
    return Refusal(403) if "X-Amz-Signature" in path else None


class Front(http.server.ThreadingHTTPServer):
    """Passes requests on that it does not refuse, and remembers all."""

    daemon_threads = True

    def __init__(
        self, upstream: str, refuse: Callable[[str, dict[str, str]], Refusal | None], port: int
    ) -> None:
        """Take a port, or with 0 a free one."""
        super().__init__(("127.0.0.1", port), _Handler)
        self.upstream, self.refuse = upstream, refuse
        self.seen: list[tuple[str, str, dict[str, str]]] = []

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Front
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: Any) -> None:
        """Keep the output of tests free of requests."""

    def do_GET(self) -> None:
        """Answer GET and HEAD."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.seen.append((self.command, self.path, headers))
        refusal = self.server.refuse(self.path, headers)
        if refusal is not None:
            self._refuse(refusal)
            return
        # The host stays the front's: signatures cover it.
        answer = requests.request(
            self.command,
            self.server.upstream + self.path,
            headers=dict(self.headers.items()),
            allow_redirects=False,
            timeout=30,
        )
        self.send_response(answer.status_code)
        for name in ("Content-Type", "Content-Range", "ETag"):
            if name in answer.headers:
                self.send_header(name, answer.headers[name])
        self.send_header("Content-Length", answer.headers.get("Content-Length", "0"))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(answer.content)

    def _refuse(self, refusal: Refusal) -> None:
        body = f"<Error><Code>{refusal.code}</Code></Error>".encode() if refusal.code else b""
        self.send_response(refusal.status)
        for name, value in refusal.headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815 - http.server's way to name methods


@contextmanager
def front(
    upstream: str, refuse: Callable[[str, dict[str, str]], Refusal | None], port: int = 0
) -> Iterator[Front]:
    """Run a front in a thread."""
    server = Front(upstream, refuse, port)
    with serving(server):
        yield server


@contextmanager
def object_store(
    folder: Path, objects: dict[str, bytes], port: int | None = None, tls: Path | None = None
) -> Iterator[str]:
    """Run an S3 server that takes signed requests alone, and give its URL.

    Args:
        folder: Where its buckets are.
        objects: What is in them in the beginning.
        port: Where it listens; by default where there is nobody.
        tls: Its key and certificate; by default it has no TLS.
    """
    for name, content in objects.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    port = port or free_ports(1)[0]
    secure = ("--ssl-certfile", tls) if tls else ()
    command = (
        *(sys.executable, "-m", "uvicorn", "--factory", "nanio.app:build_app"),
        *("--host", "127.0.0.1", "--port", str(port), "--log-level", "warning"),
        *map(str, secure),
    )
    own = {
        "NANIO_ACCESS_KEY": ACCESS_KEY,
        "NANIO_SECRET_KEY": SECRET_KEY,
        "NANIO_DATA_DIR": str(folder),
    }
    with subprocess.Popen(command, env={**os.environ, **own}) as process:  # noqa: S603 - of tests
        url = f"http{'s' if tls else ''}://127.0.0.1:{port}"
        deadline_s = time.monotonic() + 60
        while True:
            try:
                requests.get(url, timeout=30)
                break
            except requests.ConnectionError:
                assert process.poll() is None
                assert time.monotonic() < deadline_s
                time.sleep(0.1)
        try:
            yield url
        finally:
            process.terminate()
