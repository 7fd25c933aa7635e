"""Registration at a Rucio server with TLS and metadata, by accounts of all kinds."""

from __future__ import annotations

import configparser
import os
import socket
import ssl
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
from rucio.client import Client

from stac_client import MetadataWarning, StacClient, State
from tests.items import make_asset, make_item, many_items

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stac_testbed.lake import Lake


IDENTITY = "organizationName=example,commonName=scientist"
SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


@dataclass
class OtherServer:
    """The server, and what its clients need."""

    url: str
    folder: Path
    takes_metadata: Path

    def client(self, tokens: Path, **credentials: Any) -> Any:
        """A Rucio client of the account root at this server, with its tokens in a folder."""

        class OtherClient(Client):  # type: ignore[misc]  # Rucio has no types
            TOKEN_PATH_PREFIX = f"{tokens}/"

        return OtherClient(
            rucio_host=self.url,
            auth_host=self.url,
            account="root",
            ca_cert=str(self.folder / "server.crt"),
            **credentials,
        )


def make_certificate(folder: Path, name: str, *, extension: str) -> None:
    """Make a certificate that signs itself, `NAME.crt` and `NAME.key`."""
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
    command += ["-subj", f"/O=example/CN={name}", "-addext", extension]
    command += ["-keyout", f"{name}.key", "-out", f"{name}.crt"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)  # noqa: S603 - as above
    (folder / f"{name}.key").chmod(0o600)


@pytest.fixture(scope="module")
def server(stac_lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OtherServer]:
    """Another server on the lake's database."""
    folder = tmp_path_factory.mktemp("server")
    make_certificate(folder, "server", extension="subjectAltName=IP:127.0.0.1")
    make_certificate(folder, "scientist", extension="basicConstraints=critical,CA:TRUE")
    config = configparser.RawConfigParser()
    config.read(stac_lake.layout.server_cfg)
    config["metadata"] = {"plugins": "tests.lake.metadata_plugin.Metadata"}
    with (folder / "rucio.cfg").open("w") as file:
        config.write(file)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    made = OtherServer(f"https://127.0.0.1:{port}", folder, folder / "takes-metadata")
    command = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--threads", "4"]
    command += ["--certfile", "server.crt", "--keyfile", "server.key"]
    command += ["--ca-certs", "scientist.crt", "--cert-reqs", str(int(ssl.CERT_OPTIONAL))]
    command += ["tests.lake.other_server:create_app()"]
    environment = {
        **os.environ,
        "RUCIO_CONFIG": str(folder / "rucio.cfg"),
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "TAKES_METADATA": str(made.takes_metadata),
    }
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(  # noqa: S603 - this Python
            command, cwd=folder, env=environment, stdout=log, stderr=log
        )
    try:
        wait_until_ready(made, process)
        yield made
    finally:
        process.terminate()
        process.wait()


def wait_until_ready(server: Any, process: Any) -> None:
    """Wait until the server answers."""
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        try:
            requests.get(f"{server.url}/ping", timeout=60, verify=server.folder / "server.crt")
        except requests.RequestException:
            time.sleep(0.2)
        else:
            return
    pytest.fail((server.folder / "log").read_text())


@pytest.fixture
def x509(server: OtherServer, rucio: Client, tmp_path: Path) -> Any:
    """A Rucio client with a certificate."""
    identities = {each["identity"] for each in rucio.list_identities("root")}
    if IDENTITY not in identities:
        rucio.add_identity("root", IDENTITY, "X509", "scientist@example.org")
    credentials = {
        "client_cert": str(server.folder / "scientist.crt"),
        "client_key": str(server.folder / "scientist.key"),
    }
    return server.client(tmp_path, auth_type="x509", creds=credentials)


def test_x509(x509: Any, collection: str) -> None:
    """An account with a certificate registers as one with a password does."""
    client = StacClient(x509)
    assert client.create_replicas(many_items(collection, 3, 2), "STAC").counts == {
        State.REGISTERED: 6
    }
    rows = client.replication_availability(many_items(collection, 3, 2))
    assert [(row.rse, row.available) for row in rows] == [("STAC", 2)] * 3


def test_a_token_of_an_identity_provider(
    server: OtherServer,
    rucio: Client,
    collection: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An account with a token that it was given registers without any other credentials."""
    token = tmp_path / "token"
    token.write_text(rucio.auth_token)
    monkeypatch.setenv("BEARER_TOKEN_FILE", str(token))
    oidc = server.client(tmp_path, auth_type="oidc", creds={"oidc_scope": "openid"})
    assert StacClient(oidc).create_replicas(many_items(collection, 3, 2), "STAC").counts == {
        State.REGISTERED: 6
    }
    assert token.read_text() == rucio.auth_token


def described(collection: str) -> dict[str, Any]:
    """An item with what metadata is made of."""
    asset = make_asset("https://data.example.org/x.tif") | {"file:checksum": f"1220{SHA256}"}
    url = f"https://stac.example.org/collections/{collection}/items/scene"
    return make_item(collection, "scene", {"x": asset}) | {
        "bbox": [9.5, 46.0, 17, 49.25],
        "links": [{"rel": "self", "href": url}],
    }


def test_metadata(server: OtherServer, x509: Any, collection: str) -> None:
    """Datasets get what their items say, files their sha256; what is there already too."""
    server.takes_metadata.touch()
    client = StacClient(x509)
    item = described(collection)
    assert client.create_replicas([item], "STAC").counts == {State.REGISTERED: 1}
    assert client.create_replicas([item], "STAC", metadata=True).counts == {State.ALREADY_THERE: 1}
    dataset = f"/{collection}/scene"
    assert x509.get_metadata(collection, dataset, plugin="JSON") == {
        "stac_collection": collection,
        "stac_item": "scene",
        "stac_datetime": "2025-06-01T00:00:00Z",
        "stac_bbox": [9.5, 46.0, 17, 49.25],
        "stac_url": f"https://stac.example.org/collections/{collection}/items/scene",
    }
    assert x509.get_metadata(collection, f"{dataset}/x.tif", plugin="JSON") == {"sha256": SHA256}
    found = x509.list_dids(collection, {"stac_datetime": "2025-06-01T00:00:00Z"}, did_type="all")
    assert list(found) == [dataset]


def test_metadata_that_the_server_does_not_take(
    server: OtherServer, x509: Any, collection: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server without a plugin for it is told of once, and all is registered."""
    monkeypatch.setattr("stac_client._registration.REQUEST_DIDS", 10)
    server.takes_metadata.unlink(missing_ok=True)
    asked = []

    def write(entries: Any) -> Any:
        asked.append(len(entries))
        return type(x509).set_dids_metadata_bulk(x509, entries)

    x509.set_dids_metadata_bulk = write
    items = [described(collection), *many_items(collection, 15, 10)]
    with pytest.warns(MetadataWarning, match="No plugin manages") as warned:
        registration = StacClient(x509).create_replicas(items, "STAC", metadata=True)
    assert registration.counts == {State.REGISTERED: 151}
    assert len(warned) == 1
    assert len(asked) <= 4  # of 16 batches: those that were on their way together
