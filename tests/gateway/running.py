"""A gateway in a thread, for tests."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
import uvicorn

from stac_policy import signing
from stac_policy.gateway import VALID_S, Claim, Key, make_url, read_keys
from stac_rucio.gateway import load, make_app
from stac_rucio.listening import configuration
from stac_testbed.processes import free_ports
from tests.gateway.fronts import ACCESS_KEY, SECRET_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW_S = 4_000_000_000


class Running:
    """A gateway that runs, and one who has its keys."""

    def __init__(self, url: str, keys: list[Key]) -> None:
        self.url = url
        self.keys = keys

    def url_of(self, url: str) -> str:
        """The gateway's URL for a stored one."""
        return make_url(self.url, Claim("def", "STAC", url, NOW_S + VALID_S), self.keys[0])

    def get(self, url: str, method: str = "GET", **options: Any) -> requests.Response:
        """Ask the gateway for a stored URL."""
        return requests.request(method, self.url_of(url), timeout=30, **options)


def write(
    folder: Path,
    origins: dict[str, dict[str, Any]],
    keys: Path | None = None,
    port: int | None = None,
    destinations: dict[str, dict[str, Any]] | None = None,
    **said: Any,
) -> Running:
    """Write the configuration of a gateway that is to run at a port."""
    if keys is None:
        keys = folder / "keys"
        keys.write_text("k" * 40)
        keys.chmod(0o600)
    for name, secret in {"id": ACCESS_KEY, "secret": SECRET_KEY, "token": "t0k3n-of-test"}.items():
        (folder / name).write_text(secret + "\n")
    lines = [f"{name} = {json.dumps(value)}" for name, value in {"keys": str(keys), **said}.items()]
    tables = {f"origins.{json.dumps(prefix)}": entry for prefix, entry in origins.items()}
    for prefix, entry in (destinations or {}).items():
        tables[f"destinations.{json.dumps(prefix)}"] = entry
    for table, entry in tables.items():
        lines += [f"[{table}]"]
        for name, value in {"private": True, **entry}.items():
            if isinstance(value, dict):
                (pair,) = value.items()
                shown = f"{{{pair[0]} = {json.dumps(pair[1])}}}"
            else:
                shown = json.dumps(value)
            lines.append(f"{name} = {shown}")
    (folder / "gateway.toml").write_text("\n".join(lines))
    return Running(f"http://127.0.0.1:{port or free_ports(1)[0]}", read_keys(keys))


@contextmanager
def running(
    folder: Path,
    origins: dict[str, dict[str, Any]],
    keys: Path | None = None,
    port: int | None = None,
    destinations: dict[str, dict[str, Any]] | None = None,
    **said: Any,
) -> Iterator[Running]:
    """Run a gateway with a configuration."""
    gateway = write(folder, origins, keys, port, destinations, **said)
    app = make_app(load(folder / "gateway.toml"))
    server = uvicorn.Server(configuration(app, "127.0.0.1", urlsplit(gateway.url).port or 0))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.01)
    try:
        yield gateway
    finally:
        server.should_exit = True
        thread.join(30)


def presigned(url: str, method: str = "PUT") -> str:
    """A URL of the object store, signed."""
    keys = (ACCESS_KEY, SECRET_KEY, None)
    return signing.s3(method, url, keys, "us-east-1", pays=False, in_query=True).url


def s3(folder: Path, **more: Any) -> dict[str, Any]:
    """An entry for a bucket of S3."""
    keys = {"access_key": "id", "secret_key": "secret"}
    said = {name: {"file": str(folder / file)} for name, file in keys.items()}
    return {"sign": "s3", **said, **more}
