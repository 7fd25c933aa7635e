"""A real Rucio server with three VOs: `eoc` has the policy package, `met` and `def` have none."""

from __future__ import annotations

import configparser
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import requests
from rucio.client import Client

from stac_testbed import configuration, processes, services
from stac_testbed.layout import Layout

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


OURS, OTHER, BASE = VOS = ("eoc", "met", "def")
POLICY = {f"package-{OURS}": "stac_policy"}
SCOPE = "c"
SOURCE_RSE = "STAC"
DISK = "DISK"

_ATTRIBUTES = {"alice": None, "registrar": "stac_registrar", "manager": "admin"}


@dataclass(frozen=True)
class Server:
    """The running server."""

    layout: Layout

    def client(self, vo: str, account: str = "root", url: str = "") -> Any:
        """Make a client of an account: `root`, `alice`, `registrar` or `manager`, an admin.

        Args:
            vo: Its VO.
            account: The account.
            url: Another server on the same database.
        """
        if vo == BASE:
            account = identity = "super_root"
        else:
            identity = f"{account}@{vo}"
        tokens = f"{self.layout.tokens}/"

        class ServerClient(Client):  # type: ignore[misc]  # Rucio has no types
            """Keeps its tokens with the server, where no other server's overwrite them."""

            TOKEN_PATH_PREFIX = tokens

        return ServerClient(
            rucio_host=url or self.url,
            auth_host=url or self.url,
            account=account,
            auth_type="userpass",
            creds={"username": identity, "password": "password"},
            vo=vo,
        )

    @property
    def url(self) -> str:
        """URL of the server."""
        return self.layout.url("rucio-server")

    def sections(self, **changed: Any) -> dict[Any, Any]:
        """Give the sections of the rucio.cfg of the server, some of them changed."""
        return {
            "common": {"multi_vo": "True", "logdir": str(self.layout.logs)},
            "database": {"default": self.layout.database_url},
            # Rucio gives this password to every new VO's root too.
            "bootstrap": {"userpass_identity": "super_root", "userpass_pwd": "password"},
            "cache": {"url": "127.0.0.1:9"},  # nothing listens there
            "api": {"endpoints_add": "vos"},
            "alembic": {"cfg": str(self.layout.etc / "alembic.ini")},
            "policy": POLICY,
            **changed,
        }

    def write_cfg(self, path: Path, **changed: Any) -> Path:
        """Write the rucio.cfg of the server, with some of its sections changed."""
        parser = configparser.ConfigParser()
        parser.read_dict(self.sections(**changed))
        with path.open("w") as file:
            parser.write(file)
        return path


@contextmanager
def running_server(folder: Path) -> Iterator[Server]:
    """Make a server in a folder, its VOs and what is in them, and run it."""
    server = Server(Layout.create(folder))
    layout = server.layout
    configuration.write_server(layout)  # for its alembic.ini
    server.write_cfg(layout.server_cfg)
    processes.run(services.database(layout), layout.logs)
    service = services.rucio_server(layout)
    process = processes.start(service, layout.logs)
    try:
        processes.wait_until_ready(service, process, layout.logs, timeout_s=60)
        super_root = server.client(BASE)
        for vo in (OURS, OTHER):
            assert add_vo(super_root, vo) is None
            _fill(server.client(vo), vo)
        yield server
    finally:
        processes.stop([process])


def refusal_of(client: Any, method: Any, path: Any, **content: Any) -> str | None:
    """Send a request for which Rucio's client has no method: the name of its error, or None."""
    headers = {"X-Rucio-Auth-Token": client.auth_token}
    url = f"{client.host}{path}"
    response = requests.request(method, url, headers=headers, json=content, timeout=60)
    return None if response.ok else response.headers["ExceptionClass"]


def add_vo(client: Any, vo: str) -> str | None:
    """Add a VO: the name of the error, or None."""
    return refusal_of(client, "POST", f"/vos/{vo}", description=vo, email=f"{vo}@localhost")


def _fill(root: Any, vo: str) -> None:
    """Make the accounts, the scope and the RSEs of a VO, the same in each."""
    for account, attribute in _ATTRIBUTES.items():
        email = f"{account}@{vo}"
        root.add_account(account, "USER", email)
        root.add_identity(account, email, "USERPASS", email, password="password")  # noqa: S106 - of a test
        if attribute:
            root.add_account_attribute(account, attribute, "yes")
    root.add_scope("root", SCOPE)
    _add_rse(root, SOURCE_RSE, "https", "stac_policy.protocol.Default", deterministic=False)
    root.update_rse(SOURCE_RSE, {"availability_write": False})
    _add_rse(root, DISK, "davs", "rucio.rse.protocols.webdav.Default", deterministic=True)
    root.set_local_account_limit("alice", DISK, -1)


def _add_rse(root: Any, rse: str, scheme: str, impl: str, *, deterministic: bool) -> None:
    root.add_rse(rse, deterministic=deterministic)
    on = {"read": 1, "write": 1, "delete": 1}
    protocol = {"scheme": scheme, "hostname": "localhost", "port": 443, "prefix": "/", "impl": impl}
    root.add_protocol(rse, protocol | {"domains": {"lan": on, "wan": on}})


def name_of(label: Any) -> str:
    """The name of an asset."""
    return f"/{SCOPE}/item/{label}.tif"


def replica(label: str, url: str | None = None) -> dict[Any, Any]:
    """A replica as Rucio's client takes it."""
    file = {"scope": SCOPE, "name": name_of(label), "bytes": 1, "adler32": "00000001"}
    return file | ({"pfn": url} if url else {})
