"""Where everything of a lake is: one folder for all files, ports of the loopback interface."""

from __future__ import annotations

import getpass
import json
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path

from . import TestbedError, postgresql, xrootd
from ._tls import TRUSTED
from .postgresql import Cluster, Schema
from .processes import free_ports
from .xrootd import XRootD

ORIGINS = ("origin-a", "origin-b")
"""The second has a certificate, and its URLs are https."""
STORAGES = ("storage-a", "storage-b")
OBJECT_STORE = "object-store"
BUCKET = "alpine-public"
"""A public bucket of the object store, `s3://alpine-public` for who knows the lake's table."""
GATEWAY, PRIVATE_STORE = "gateway", "private-store"
"""A credential gateway and what it has keys of, which a lake runs if it is asked to."""
PRIVATE_BUCKET = "alpine-private"
SIGNED_STORE = "signed-store"
"""Another such store, with TLS, as Rucio wants it for URLs that it signs itself."""
SIGNED_BUCKET = "alpine-signed"
SERVICES = ("rucio-server", "transfers", "stac-api", *ORIGINS, *STORAGES, OBJECT_STORE)
ACCOUNTS = ("root", "alice", "registrar")
"""The administrator, an ordinary user, and an account that may register STAC assets."""

WITH_TLS = (ORIGINS[1], *STORAGES)
"""Services that have a certificate; the storages speak HTTP, too."""
USER = "user"
"""Who has the certificate that users of storages show."""

STORAGE_PREFIX = "/rucio/"
"""The folder of a storage that is Rucio's."""

SOURCE_RSE = "STAC"
STORAGE_RSES = dict(zip(STORAGES, ("DISK-A", "DISK-B"), strict=True))
STORAGE_EXPRESSION = "tier=disk"
"""RSE expression of all storages."""

FOLDER = "STAC_LAKE"
"""The environment variable that leads commands of the test bed to a lake."""

_FILE = "lake.json"


@dataclass(frozen=True)
class Layout:
    """Folders, ports and passwords of a lake, kept in its `lake.json`."""

    folder: Path
    ports: dict[str, int]
    passwords: dict[str, str] = field(repr=False)
    schema: Schema | None = None
    """Where the Rucio server keeps its data on PostgreSQL; without one, it is on SQLite."""
    cluster: Cluster | None = None
    """The PostgreSQL server that is the lake's own."""
    xrootd: XRootD | None = None
    """The XRootD server in the first storage's place."""

    @classmethod
    def create(
        cls, folder: Path, *, database: str | None = None, storage: str | None = None
    ) -> Layout:
        """Lay out a new lake in a folder that is new or empty.

        Args:
            folder: Holds everything but what servers that refuse to run as root keep.
            database: URL of a PostgreSQL database, or `postgresql` for a server of the
                lake's own, or None for SQLite.
            storage: `xrootd` for XRootD as the first storage, or None.

        Raises:
            TestbedError: The folder holds something, or there is no such database, or
                what shall be used is not on this machine.
        """
        folder = folder.resolve()
        if folder.exists() and any(folder.iterdir()):
            raise TestbedError(
                f"{folder} is not empty; choose another folder, or stop its lake with "
                f"`stac-rucio testbed down --folder {folder}` and remove it"
            )
        named = (*SERVICES, "rustac", GATEWAY, PRIVATE_STORE, SIGNED_STORE)
        database_port, *others = free_ports(1 + len(named))
        ports = dict(zip(named, others, strict=True))
        passwords = {account: secrets.token_urlsafe(16) for account in ACCOUNTS}
        cluster = None
        if database == postgresql.NAME:
            cluster = Cluster.plan(folder / "postgresql", database_port)
        schema = Schema(cluster.url if cluster else database) if database else None
        port = ports[STORAGES[0]]
        server = XRootD.plan(folder / "xrootd", port) if storage == xrootd.NAME else None
        layout = cls(folder, ports, passwords, schema, cluster, server)
        for path in (layout.etc, layout.tls, layout.logs, layout.tokens, layout.catalogue):
            path.mkdir(parents=True)
        for name in (*ORIGINS, *STORAGES, f"{OBJECT_STORE}/{BUCKET}", "transfers"):
            (folder / "data" / name).mkdir(parents=True)
        file = folder / _FILE
        file.touch(mode=0o600)  # passwords are in it
        file.write_text(json.dumps(asdict(layout) | {"folder": str(folder)}, indent=2))
        return layout

    @staticmethod
    def is_in(folder: Path) -> bool:
        """Return whether a lake lies in a folder."""
        return (folder / _FILE).exists()

    @classmethod
    def load(cls, folder: Path) -> Layout:
        """Return the layout of the lake that lies in a folder.

        Raises:
            TestbedError: There is none.
        """
        file = folder.resolve() / _FILE
        if not file.exists():
            raise TestbedError(
                f"there is no lake in {folder}; make one with "
                f"`stac-rucio testbed up --folder {folder}`"
            )
        content = json.loads(file.read_text())
        schema, cluster, server = map(content.get, ("schema", "cluster", "xrootd"))
        return cls(
            Path(content["folder"]),
            content["ports"],
            content["passwords"],
            Schema(**schema) if schema else None,
            Cluster(**cluster) if cluster else None,
            XRootD(**server) if server else None,
        )

    @property
    def etc(self) -> Path:
        """Configuration of the Rucio server and its clients."""
        return self.folder / "etc"

    @property
    def logs(self) -> Path:
        """Output and access logs of every service."""
        return self.folder / "logs"

    @property
    def tokens(self) -> Path:
        """Tokens of Rucio's clients."""
        return self.folder / "tokens"

    @property
    def catalogue(self) -> Path:
        """Items and collections that the STAC API serves."""
        return self.folder / "catalogue"

    @property
    def items_file(self) -> Path:
        """The items that the STAC API serves."""
        return self.catalogue / "items.json"

    @property
    def collection_files(self) -> list[Path]:
        """The collections that the STAC API serves, each in a file named for its id."""
        return sorted(path for path in self.catalogue.glob("*.json") if path != self.items_file)

    @property
    def complete_file(self) -> Path:
        """Exists as soon as the lake has been set up."""
        return self.folder / "complete"

    @property
    def processes_file(self) -> Path:
        """The running processes of the lake."""
        return self.folder / "processes.json"

    @property
    def server_cfg(self) -> Path:
        """The rucio.cfg of the server and its daemons."""
        return self.etc / "server.cfg"

    @property
    def gateway_keys(self) -> Path:
        """The keys that a credential gateway shares with the lake's daemons."""
        return self.etc / "gateway.keys"

    @property
    def gateway_file(self) -> Path:
        """The configuration of the gateway, of a lake that runs one."""
        return self.etc / "gateway.toml"

    @property
    def origins_file(self) -> Path:
        """The lake's rows of the table of origins, which its server and clients read."""
        return self.etc / "origins.tsv"

    @property
    def tls(self) -> Path:
        """Certificates and keys, of servers in files of their names, and who is trusted."""
        return self.etc / "tls"

    @property
    def trust(self) -> dict[str, str]:
        """Environment variables for clients of origins and storages over HTTPS.

        Rucio's WebDAV authenticates with a certificate; everybody else verifies the servers'.
        """
        of_gdal = "GDAL_CURL_CA_BUNDLE"  # which rasterio sets when it is imported
        names = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", of_gdal)
        return {
            "X509_USER_PROXY": str(self.tls / f"{USER}.pem"),
            **dict.fromkeys(names, str(self.tls / TRUSTED)),
        }

    @property
    def database_url(self) -> str:
        """The database of the Rucio server, with the password that it asks for."""
        if self.schema is not None:
            return self.schema.url
        # writers wait up to 60 s for each other
        return f"sqlite:///{self.folder / 'rucio.db'}?timeout=60"

    def token_file(self, account: str) -> Path:
        """Where clients of an account keep their token, each user of the machine one of its own."""
        return self.tokens / f"{getpass.getuser()}-{account}"

    def client_cfg(self, account: str) -> Path:
        """The rucio.cfg of an account's clients."""
        return self.etc / f"{account}.cfg"

    def data(self, service: str) -> Path:
        """The folder that an origin or a storage serves, or that the transfer service keeps."""
        if self.xrootd is not None and service == STORAGES[0]:
            return self.xrootd.data
        return self.folder / "data" / service

    def url(self, service: str) -> str:
        """The base URL of a service, without a slash at its end."""
        scheme = "https" if service == ORIGINS[1] else "http"
        return f"{scheme}://127.0.0.1:{self.ports[service]}"

    def access_log(self, service: str) -> Path:
        """The log of requests that a service has answered."""
        return self.logs / f"{service}.access.log"
