"""The credential gateway: redirects of one core, and what streaming takes longer and holds."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import requests
from psutil import Process

from stac_policy.gateway import VALID_S, Claim, make_url, read_keys

from .harness import Goal, Row, counted, side_by_side
from .lookups import get, slow_origin
from .serving import free_port, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .setting import Setting

_BUCKET = "https://bench.s3.eu-central-1.amazonaws.com/"
_CLIENTS = 8
_LINE_MB_S = 125


def run(setting: Setting) -> Iterator[Row]:
    """Ask one gateway for redirects, and for a file of an origin with 1 Gbit/s."""
    size = setting.size
    size_bytes = size.file_mb << 20
    with slow_origin(size_bytes) as origin, _running(setting.folder, origin) as gateway:
        path = f"{'level-2/2025/' * 8}LC09_L2SP_044034_20250101_SR_B4.TIF"
        url = gateway.url_of(f"{_BUCKET}{path}")
        count = max(size.calls, 400)  # processor time comes in hundredths of a second
        _redirects(url, _CLIENTS)  # what is read once is read
        before_s, elapsed_s = gateway.processor_s(), time.perf_counter()
        _redirects(url, count)
        elapsed_s = time.perf_counter() - elapsed_s
        rate = count / (gateway.processor_s() - before_s)
        note = f"each signed and logged; {count / elapsed_s:,.0f} a second by the clock"
        what = "gateway: redirects to S3"
        yield counted(what, rate, "a second of one core", Goal(least=500), note)
        before_mb = gateway.most_mb()
        with requests.Session() as session:
            rounds = side_by_side(
                lambda _: get(session, gateway.url_of(origin)),
                lambda _: get(session, origin),
                min(size.rounds, 3),
            )
        what = f"gateway: a stream of {size.file_mb} MB from an origin of {_LINE_MB_S} MB/s"
        yield rounds.slower(what, "bare streamed GET", Goal(most=1.15))
        more_mb = gateway.most_mb() - before_mb
        yield counted("the same: memory", more_mb, "MB more", Goal(most=50))


class _Gateway:
    def __init__(self, keys: Path, port: int, process: Process) -> None:
        self._key = read_keys(keys)[0]
        self.port = port
        self._process = process

    def url_of(self, url: str) -> str:
        claim = Claim("def", "STAC", url, int(time.time()) + VALID_S)
        return make_url(f"http://127.0.0.1:{self.port}", claim, self._key)

    def processor_s(self) -> float:
        """How long its process has computed."""
        times = self._process.cpu_times()
        return float(times.user + times.system)

    def most_mb(self) -> float:
        """The most memory that it has had."""
        with open(f"/proc/{self._process.pid}/status", encoding="ascii") as file:  # noqa: PTH123
            (line,) = [line for line in file if line.startswith("VmHWM:")]
        return int(line.split()[1]) / 1024


@contextmanager
def _running(folder: Path, origin: str) -> Iterator[_Gateway]:
    secrets = {name: folder / f"gateway.{name}" for name in ("keys", "access_key", "secret_key")}
    for path in secrets.values():
        path.write_text("x" * 40)
        path.chmod(0o600)
    keys = secrets.pop("keys")
    signed = "".join(f"{name} = {{file = {json.dumps(str(at))}}}\n" for name, at in secrets.items())
    prefix = origin.rpartition("/")[0] + "/"
    configuration = folder / "gateway.toml"
    configuration.write_text(
        f"keys = {json.dumps(str(keys))}\n"
        f"[origins.{json.dumps(_BUCKET)}]\nsign = 's3'\nregion = 'eu-central-1'\n"
        f"requester_pays = true\n{signed}"
        f"[origins.{json.dumps(prefix)}]\nmode = 'stream'\nprivate = true\n"
    )
    port = free_port()
    command = [sys.executable, "-m", "stac_rucio", "gateway", str(configuration)]
    with (folder / "gateway.log").open("w") as log:
        process = subprocess.Popen([*command, "--port", str(port)], stdout=log, stderr=log)
    try:
        wait_for(port, process)
        yield _Gateway(keys, port, Process(process.pid))
    finally:
        process.terminate()
        process.wait(timeout=30)


def _redirects(url: str, count: int) -> None:
    """Ask for redirects, by clients that keep their connections."""
    parts = urlsplit(url)

    def ask(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", parts.port or 0, timeout=60)
        for _ in range(number):
            connection.request("GET", parts.path)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == http.HTTPStatus.FOUND  # noqa: S101 - what is measured is done
        connection.close()

    with ThreadPoolExecutor(_CLIENTS) as threads:
        list(threads.map(ask, [count // _CLIENTS] * _CLIENTS))
