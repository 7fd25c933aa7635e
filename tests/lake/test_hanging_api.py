"""Rucio's daemons beside a STAC API that takes connections and never answers."""

from __future__ import annotations

import configparser
import os
import socket
import subprocess
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import requests

from stac_policy.naming import DID, asset_name
from stac_testbed import STORAGE_RSES
from stac_testbed.services import rucio_daemons
from tests.items import many_items
from tests.rses import add_rse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rucio.client import Client

    from stac_client import StacClient
    from stac_testbed import Lake

DISK = next(iter(STORAGE_RSES.values()))
CONTENT = b"no asset of any item"
FILES = 6
LONGEST_S = 120.0
"""The 30 s that a hanging API may hold a process up, and what a copy takes on a busy machine."""


@contextmanager
def hanging_daemons(lake: Lake, folder: Path) -> Iterator[None]:
    """Run daemons whose STAC API hangs, in the place of the lake's."""
    (own,) = (each.find() for each in lake.processes if each.name == "rucio-daemons")
    assert own is not None
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        config = configparser.RawConfigParser()
        config.read(lake.layout.server_cfg)
        config.set("stac", "api", url)
        with (folder / "rucio.cfg").open("w") as file:
            config.write(file)
        service = rucio_daemons(lake.layout)
        environment = {**os.environ, **service.environment, "RUCIO_CONFIG": file.name}
        own.suspend()
        try:
            with (
                (folder / "daemons.log").open("w") as log,
                subprocess.Popen(service.command, env=environment, stderr=log) as process,  # noqa: S603
            ):
                try:
                    yield
                finally:
                    process.terminate()
        finally:
            own.resume()


def pfn_at(rucio: Client, did: DID, rse: str) -> str:
    """The PFN of a file's replica at an RSE."""
    (listed,) = rucio.list_replicas([did._asdict()])
    (pfn,) = listed["rses"][rse]
    return str(pfn)


def test_other_files_are_copied_all_the_same(
    stac_lake: Lake, rucio: Client, client: StacClient, collection: str, tmp_path: Path
) -> None:
    """Files whose URL only the API knows fail, and hold up other files for a while alone."""
    protocol = {"scheme": "http", "port": stac_lake.layout.ports["storage-b"], "prefix": "/hung/"}
    protocol["impl"] = "rucio.rse.protocols.webdav.Default"
    fts = stac_lake.layout.url("transfers")
    add_rse(rucio, "HUNG", protocol, deterministic=False, third_party_copies=True, fts=fts)
    rucio.add_distance(DISK, "HUNG", {"distance": 1})
    rucio.set_local_account_limit("root", "HUNG", -1)
    # With its container the collection is STAC's; its other files are at a storage alone.
    client.create_replicas(many_items(collection, 1, 1), "STAC", containers=True)
    known = {"bytes": len(CONTENT), "adler32": f"{zlib.adler32(CONTENT):08x}"}
    names = [asset_name(collection, f"lost-{number}", "red", "red.tif") for number in range(FILES)]
    files = [{"scope": collection, "name": name, **known} for name in (*names, "plain.dat")]
    rucio.add_replicas(DISK, files)
    plain = DID(collection, "plain.dat")
    path = stac_lake.layout.data("storage-a") / urlsplit(pfn_at(rucio, plain, DISK)).path[1:]
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)

    with hanging_daemons(stac_lake, tmp_path):
        rules = [
            rucio.add_replication_rule([{"scope": collection, "name": name}], 1, "HUNG")[0]
            for name in (*names, "plain.dat")
        ]
        (rule,) = client.wait(rules[-1], timeout_s=LONGEST_S, poll_s=1)
    assert (rule.state, rule.error) == ("OK", None)
    assert requests.get(pfn_at(rucio, plain, "HUNG"), timeout=60).content == CONTENT
    for rule in rules[:-1]:
        rucio.update_replication_rule(rule, {"lifetime": 0})
