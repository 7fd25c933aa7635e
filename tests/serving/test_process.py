"""The served API as a process: what it writes, and how it ends."""

from __future__ import annotations

import gzip
import json
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .conftest import page_of
from .proxy import Proxy
from .test_faults import clients_that_do_not_read

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.serving.upstream import Upstream


HIDDEN = "s3cr3t-t0ken"
PROGRAM = """
import logging, sys
from stac_rucio.serve import make_app, serve
logging.basicConfig(level=logging.DEBUG)
serve(make_app(sys.argv[1], lambda page: None, send_timeout_s=2), port=0)
"""


@pytest.fixture
def process(
    upstream: Upstream,
) -> Iterator[tuple[subprocess.Popen[str], Proxy, list[str], threading.Thread]]:
    """A process that serves, and the lines that it writes."""
    running = subprocess.Popen(  # noqa: S603 - a program of this test
        [sys.executable, "-c", PROGRAM, upstream.url], stderr=subprocess.PIPE, text=True
    )
    errors = running.stderr
    assert errors is not None
    lines: list[str] = []
    for line in errors:
        lines.append(line)
        if found := re.search(r"running on (http://\S+)", line):
            break
    assert found is not None
    reader = threading.Thread(target=lambda: lines.extend(errors))
    reader.start()
    yield running, Proxy(found[1]), lines, reader
    running.kill()
    running.wait()
    reader.join()
    errors.close()


def test_secrets_and_the_end(
    upstream: Upstream, process: tuple[subprocess.Popen[str], Proxy, list[str], threading.Thread]
) -> None:
    """Each request is logged without its query and headers, and SIGTERM ends all in order."""
    running, proxy, lines, reader = process
    headers = {"X-Token": HIDDEN, "Set-Cookie": HIDDEN, "Content-Type": "application/json"}
    upstream.add("/search", json.dumps(page_of(upstream.url)).encode(), headers)
    authorization = {"Authorization": f"Bearer {HIDDEN}"}
    assert proxy.ask(f"/search?token={HIDDEN}", headers=authorization).status == 200
    assert upstream.seen[-1].header("authorization") == f"Bearer {HIDDEN}"
    running.send_signal(signal.SIGTERM)
    assert running.wait(20) == 0 or -running.returncode == signal.SIGTERM
    reader.join()
    written = "".join(lines)
    assert "GET '/search': 200 in " in written
    assert HIDDEN not in written
    assert "Traceback" not in written
    assert "Application shutdown complete" in written


def peak_bytes(pid: int) -> int:
    """The most memory that a process has had so far."""
    (found,) = re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found) * 1024


def test_memory(
    upstream: Upstream, process: tuple[subprocess.Popen[str], Proxy, list[str], threading.Thread]
) -> None:
    """Bombs, pages without a bottom and pages of tiny values do not fill the memory."""
    running, proxy, _, _ = process
    small = b'{"links": []}'
    size = 16 * 1024**2 - 100
    dense = b'{"type": "FeatureCollection", "features": [' + b"1E9," * (size // 4) + b"1]}"
    bomb = gzip.compress(b" " * 64 * 1024**2, 1) * 16
    bodies = {"small": small, "dense": dense, "deep": b"[" * size, "bomb": bomb}
    for name, body in bodies.items():
        coding = {"Content-Encoding": "gzip"} if name == "bomb" else {}
        upstream.add(f"/{name}", body, {"Content-Type": "application/geo+json", **coding})
    assert proxy.ask("/small").body == small
    before = peak_bytes(running.pid)
    for name in ("dense", "deep", "bomb"):
        got = proxy.ask(f"/{name}")
        assert got.body == bodies[name]
        assert got.header("stac-rucio-warning").startswith("unmodified: ")
    assert proxy.ask("/small").body == small
    assert peak_bytes(running.pid) - before < 10 * size


def test_memory_of_unread_pages(
    upstream: Upstream, process: tuple[subprocess.Popen[str], Proxy, list[str], threading.Thread]
) -> None:
    """Clients that do not read what they asked for do not fill the memory."""
    running, proxy, _, _ = process
    size = 8 * 1024**2
    page = page_of(upstream.url, padding="x" * size)
    upstream.add("/small", page_of(upstream.url), {"Content-Type": "application/geo+json"})
    upstream.add("/large", page, {"Content-Type": "application/geo+json"})
    assert proxy.ask("/large").status == 200
    before = peak_bytes(running.pid)
    with clients_that_do_not_read(proxy.url, "/large", 100):
        for _ in range(5):
            assert proxy.ask("/small").status == 200
            time.sleep(1)
    # Some 60 with the memory in which they are made, and 190 without any bound.
    assert peak_bytes(running.pid) - before < 120 * size


def test_import_costs_nothing() -> None:
    """`import stac_client` brings in nothing that only serving needs."""
    code = "import sys, stac_client; print(*{'httpx2', 'starlette', 'uvicorn'} & set(sys.modules))"
    result = subprocess.run(  # noqa: S603 - a program of this test
        [sys.executable, "-c", code], capture_output=True, check=True, text=True
    )
    assert result.stdout.strip() == ""
