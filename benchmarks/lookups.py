"""Size and checksum of a large file by one download, beside the bare download."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from statistics import median
from threading import Thread
from typing import TYPE_CHECKING

import requests

from stac_client.catalogue.assets import Asset, select_assets
from stac_client.lookups.lookup import LearnFrom, complete, make_session
from stac_testbed.layout import ORIGINS

from .harness import Goal, Rounds, Row, side_by_side
from .items import make_items

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .setting import Setting

_CHUNK_BYTES = 1 << 20
_BLOCK_BYTES = 1 << 17
_LINE_BYTES_S = 125_000_000


def run(setting: Setting) -> Iterator[Row]:
    """Look up a file at one of the lake's origins, and at one that is not so near."""
    size_bytes = setting.size.file_mb << 20
    layout = setting.lake.layout
    path = layout.data(ORIGINS[0]) / "large.bin"
    with path.open("wb") as file:
        for _ in range(setting.size.file_mb):
            file.write(os.urandom(_CHUNK_BYTES))
    url = f"{layout.url(ORIGINS[0])}/large.bin"
    rounds = _look_up(url, size_bytes, setting.size.rounds)
    path.unlink()
    rate = setting.size.file_mb / median(rounds.against_s)
    what = f"size and adler32 of a {setting.size.file_mb} MB file by download"
    goal = Goal(most=1.1)
    note = f"loopback, {rate:,.0f} MB/s bare; the origin shares the cores"
    yield rounds.slower(what, "bare streamed GET", goal, note)
    with _slow_origin(size_bytes) as slow:
        rounds = _look_up(slow, size_bytes, min(setting.size.rounds, 3))
    rate = setting.size.file_mb / median(rounds.against_s)
    note = f"from an origin that sends {rate:,.0f} MB/s"
    yield rounds.slower(what, "bare streamed GET", goal, note)


def _look_up(url: str, size_bytes: int, rounds: int) -> Rounds:
    asset = _asset(url)
    with make_session(4) as session, requests.Session() as bare:
        _get(bare, url)  # the file is in the system's cache now

        def look_up(_: int) -> None:
            found = complete(asset, LearnFrom.DOWNLOAD, session)
            assert found.size_bytes == size_bytes  # noqa: S101 - what is measured is done

        return side_by_side(look_up, lambda _: _get(bare, url), rounds)


@contextmanager
def _slow_origin(size_bytes: int) -> Iterator[str]:
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
                ahead_s = sent_bytes / _LINE_BYTES_S - (time.perf_counter() - started_s)
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


def _get(session: requests.Session, url: str) -> None:
    with session.get(url, stream=True, timeout=60) as response:
        for _ in response.raw.stream(_CHUNK_BYTES, decode_content=False):
            pass
