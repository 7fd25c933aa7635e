"""The served API as a process: what it writes, and how it ends."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading

import pytest

from .conftest import page_of
from .front import Front

HIDDEN = "s3cr3t-t0ken"
PROGRAM = """
import logging, sys
from stac_client.serving import make_app, serve
logging.basicConfig(level=logging.DEBUG)
serve(make_app(sys.argv[1], lambda page: None), port=0)
"""


@pytest.fixture
def process(behind):
    """A process that serves, and the lines that it writes."""
    running = subprocess.Popen(  # noqa: S603 - a program of this test
        [sys.executable, "-c", PROGRAM, behind.url], stderr=subprocess.PIPE, text=True
    )
    lines = []
    for line in running.stderr:
        lines.append(line)
        if found := re.search(r"running on (http://\S+)", line):
            break
    reader = threading.Thread(target=lambda: lines.extend(running.stderr))
    reader.start()
    yield running, Front(found[1]), lines, reader
    running.kill()
    running.wait()
    reader.join()
    running.stderr.close()


def test_secrets_and_the_end(behind, process):
    """Each request is logged without its query and headers, and SIGTERM ends all in order."""
    running, front, lines, reader = process
    headers = {"X-Token": HIDDEN, "Set-Cookie": HIDDEN, "Content-Type": "application/json"}
    behind.add("/search", json.dumps(page_of(behind.url)).encode(), headers)
    authorization = {"Authorization": f"Bearer {HIDDEN}"}
    assert front.ask(f"/search?token={HIDDEN}", headers=authorization).status == 200
    assert behind.seen[-1].header("authorization") == f"Bearer {HIDDEN}"
    running.send_signal(signal.SIGTERM)
    assert running.wait(20) == 0 or -running.returncode == signal.SIGTERM
    reader.join()
    written = "".join(lines)
    assert "GET '/search': 200 in " in written
    assert HIDDEN not in written
    assert "Traceback" not in written
    assert "Application shutdown complete" in written


def test_import_costs_nothing():
    """`import stac_client` brings in nothing that only serving needs."""
    code = "import sys, stac_client; print(*{'httpx', 'starlette', 'uvicorn'} & set(sys.modules))"
    result = subprocess.run(  # noqa: S603 - a program of this test
        [sys.executable, "-c", code], capture_output=True, check=True, text=True
    )
    assert result.stdout.strip() == ""
