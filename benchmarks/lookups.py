"""Sizes and checksums by download, of a large file and of small ones, beside the bare download."""

from __future__ import annotations

import os
import time
import zlib
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from statistics import median
from threading import Thread
from typing import TYPE_CHECKING

import requests

from stac_client._assets import Asset, select_assets
from stac_client._lookup import Probe, lookups
from stac_client._results import Tally
from stac_testbed.layout import ORIGINS

from .harness import Goal, Rounds, Row, side_by_side
from .items import make_items

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from .setting import Setting

_CHUNK_BYTES = 1 << 20
_BLOCK_BYTES = 1 << 17
_SMALL_BYTES = 100 << 10
LINE_BYTES_S = 125_000_000


def run(setting: Setting) -> Iterator[Row]:
    """Look up files at one of the lake's origins, and one at an origin that is not so near."""
    size, layout = setting.size, setting.lake.layout
    size_bytes = size.file_mb << 20
    path = layout.data(ORIGINS[0]) / "lookups.bin"
    url = f"{layout.url(ORIGINS[0])}/{path.name}"
    what = f"size and adler32 of a {size.file_mb} MB file by download"
    goal = Goal(most=1.1)
    write(path, size_bytes)
    rounds = _look_up(url, size_bytes, size.rounds)
    rate = size.file_mb / median(rounds.against_s)
    note = f"loopback, {rate:,.0f} MB/s bare; the origin shares the cores"
    yield rounds.slower(what, "bare streamed GET", Goal(most=1.7), note)
    rounds = _look_up(url, size_bytes, size.rounds, clock=time.process_time)
    yield rounds.slower("the same: processor time of the client", "bare streamed GET")
    with slow_origin(size_bytes) as slow:
        rounds = _look_up(slow, size_bytes, min(size.rounds, 3))
    rate = size.file_mb / median(rounds.against_s)
    note = f"from an origin that sends {rate:,.0f} MB/s"
    yield rounds.slower(what, "bare streamed GET", goal, note)
    write(path, _SMALL_BYTES)
    rounds = _look_up(url, _SMALL_BYTES, size.rounds, files=size.singles)
    path.unlink()
    what = f"size and adler32 of {size.singles} files of {_SMALL_BYTES >> 10} KiB by download"
    yield rounds.slower(what, "bare HEAD and GET")


def write(path: Path, size_bytes: int) -> int:
    """Write a file, and return its adler32."""
    adler32 = 1
    with path.open("wb") as file:
        for start in range(0, size_bytes, _CHUNK_BYTES):
            chunk = os.urandom(min(_CHUNK_BYTES, size_bytes - start))
            file.write(chunk)
            adler32 = zlib.adler32(chunk, adler32)
    return adler32


def _look_up(
    url: str,
    size_bytes: int,
    rounds: int,
    *,
    files: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> Rounds:
    """Look a file up, as often as there shall be files, one after the other."""
    asset = _asset(url)
    with lookups(Probe.DOWNLOAD) as looking_up, requests.Session() as bare:
        get(bare, url)  # the file is in the system's cache now

        def look_up(_: int) -> None:
            for _file in range(files):
                found = looking_up.look_up(asset, Tally().expect())
                assert found.size_bytes == size_bytes  # noqa: S101 - what is measured is done

        def bare_get(_: int) -> None:
            for _file in range(files):
                if files > 1:  # beside a large file a HEAD is nothing
                    bare.head(url, timeout=60)
                get(bare, url)

        return side_by_side(look_up, bare_get, rounds, clock)


@contextmanager
def slow_origin(size_bytes: int) -> Iterator[str]:
    """An origin at the end of a line of 1 Gbit/s."""
    block = os.urandom(_BLOCK_BYTES)

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(size_bytes))
            self.end_headers()

        def do_GET(self) -> None:
            self.do_HEAD()
            started_s = time.perf_counter()
            for sent_bytes in range(0, size_bytes, _BLOCK_BYTES):
                ahead_s = sent_bytes / LINE_BYTES_S - (time.perf_counter() - started_s)
                time.sleep(max(ahead_s, 0))
                self.wfile.write(block)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/large.bin"
        finally:
            server.shutdown()
            thread.join()


def _asset(url: str) -> Asset:
    (item,) = make_items("bench-lookups", 1, 1)
    item["assets"] = {"large": {"href": url, "roles": ["data"]}}
    (asset,) = select_assets(item)
    assert isinstance(asset, Asset)  # noqa: S101 - it is no outcome
    return asset


def get(session: requests.Session, url: str) -> None:
    """Get a file, and keep nothing of it."""
    with session.get(url, stream=True, timeout=60) as response:
        for _ in response.raw.stream(_CHUNK_BYTES, decode_content=False):
            pass
