"""A page of `stac-rucio serve`, beside the same page from the upstream API and one listing."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import requests

from stac_client import StacClient
from stac_testbed.services import rustac_command

from .harness import Goal, Row, side_by_side
from .items import make_items
from .modifier import listed
from .setting import SOURCE_RSE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .setting import Setting

_READY_S = 60


def run(setting: Setting) -> Iterator[Row]:
    """Ask for the same page again and again."""
    size, client = setting.size, setting.lake.client()
    collection = setting.new_collection(client)
    items = list(make_items(collection, size.page, size.assets))
    registration = StacClient(client).create_replicas(items, SOURCE_RSE)
    dids = [outcome.did for outcome in registration if outcome.did]
    setting.add_copies(client, dids)
    entries = [did._asdict() for did in dids]
    path = f"/search?collections={collection}&limit={size.page}"
    for cache_s, goal, what in (
        (0, Goal(most=1.15), "the page and one list_replicas"),
        (3600, Goal(most=1.15), "the same; ours remembers"),
    ):
        with (
            _api(setting, collection, items) as upstream,
            _proxy(setting, upstream, cache_s) as proxy,
            requests.Session() as session,
        ):
            for url in (upstream, proxy):
                _page(session, f"{url}{path}")

            def bare(_: int) -> None:
                _page(session, f"{upstream}{path}")
                listed(client, entries)

            rounds = side_by_side(lambda _: _page(session, f"{proxy}{path}"), bare, size.rounds)
        yield rounds.slower(f"serve a search page of {size.page} items", what, goal)


def _page(session: requests.Session, url: str) -> None:
    answer = session.get(url, timeout=120)
    answer.raise_for_status()
    assert answer.json()["features"]  # noqa: S101 - what is measured is done


@contextmanager
def _api(setting: Setting, collection: str, items: Sequence[object]) -> Iterator[str]:
    file = setting.folder / "items.json"
    file.write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    description = setting.folder / f"{collection}.json"
    description.write_text(
        json.dumps(
            {
                "type": "Collection",
                "stac_version": "1.1.0",
                "id": collection,
                "description": "For benchmarks.",
                "license": "other",
                "links": [],
                "extent": {
                    "spatial": {"bbox": [[-180, -90, 180, 90]]},
                    "temporal": {"interval": [["2025-01-01T00:00:00Z", None]]},
                },
            }
        )
    )
    port = free_port()
    with process(setting, rustac_command(file, [description], port), port) as url:
        yield url


@contextmanager
def _proxy(setting: Setting, upstream: str, cache_s: int) -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.serving", upstream, str(port), str(cache_s)]
    with process(setting, command, port) as url:
        yield url


@contextmanager
def process(setting: Setting, command: Sequence[str], port: int) -> Iterator[str]:
    """A server at a port of the loopback interface; gives its URL."""
    started = subprocess.Popen(
        command,
        cwd=Path(__file__).parent.parent,
        env={**os.environ, **setting.environment()},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(port, started)
        yield f"http://127.0.0.1:{port}"
    finally:
        started.terminate()
        started.wait(timeout=30)


def wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    """Wait until a server listens."""
    deadline_s = time.monotonic() + _READY_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if server.poll() is not None or time.monotonic() > deadline_s:
                raise
            time.sleep(0.05)
        else:
            return


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


def _main(api: str, port: int, cache_s: float) -> None:
    from stac_rucio.serve import make_app, serve

    modifier = StacClient().modifier.with_options(cache_s=cache_s, strict=True)
    serve(make_app(api, modifier), port=port)


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
