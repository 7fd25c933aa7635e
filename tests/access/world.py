"""What a cell of the table is tried with: an account, and things made for it alone."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rucio.common.exception import DataIdentifierNotFound, RSENotFound, RucioException

from stac_testbed import STORAGE_RSES

if TYPE_CHECKING:
    from rucio.client import Client

    from stac_testbed import Lake

ACCOUNTS = {
    "alice": "user",
    "registrar": "registrar",
    "operator": "administrator",
    "root": "root",
}
"""The lake's accounts, and what the table calls them. `operator` has the attribute `admin`."""

SOURCE = "STAC"
DISK = next(iter(STORAGE_RSES.values()))
_UNLIMITED = -1
_numbers = itertools.count(1)

Attempt = tuple[Callable[[], object], Callable[[], bool]]
"""What an account tries, and whether the server then shows it."""

File = dict[str, Any]


@dataclass(frozen=True)
class Cell:
    """An account, and names that no other cell uses."""

    account: str
    client: Client
    root: Client
    collection: str
    """A collection whose scope is root's."""
    host: str
    """Where URLs of its assets lead; nobody fetches them."""

    @property
    def other(self) -> str:
        """An account that is not this one."""
        return "registrar" if self.account == "alice" else "alice"

    @property
    def item(self) -> str:
        """Name of an item of the collection."""
        return f"/{self.collection}/item"

    def file(self, scope: str | None = None, name: str | None = None, query: str = "") -> File:
        """A file with a URL, as `add_replicas` takes it; by default an asset."""
        name = name or f"{self.item}/red.tif"
        return {
            "scope": scope or self.collection,
            "name": name,
            "bytes": 2_000_000,  # more than [stac] auto_approve_bytes of the lake
            "adler32": "0000000a",
            "pfn": f"https://{self.host}/{self.collection}/red.tif{query}",
        }

    def registered(self) -> File:
        """An asset that root has registered at the source RSE."""
        file = self.file()
        self.root.add_replicas(SOURCE, [file])
        return file

    def dataset(self, scope: str | None = None, name: str | None = None) -> dict[str, str]:
        """A dataset that root has made; by default that of an item."""
        did = {"scope": scope or self.collection, "name": name or self.item}
        self.root.add_dataset(**did)
        return did

    def item_with_asset(self) -> dict[str, str]:
        """The dataset of an item with its registered asset, made by root."""
        file, did = self.registered(), self.dataset()
        self.root.attach_dids(**did, dids=[did_of(file)])
        return did

    def rule(self, owner: str, **options: Any) -> str:
        """A rule of an account over an item of its own, which root has made."""
        did = self.item_with_asset()
        (rule,) = self.root.add_replication_rule([did], 1, DISK, account=owner, **options)
        return str(rule)

    # What the server shows afterwards, asked by root.

    def has_did(self, did: dict[str, Any]) -> bool:
        """Whether there is such a DID."""
        try:
            self.root.get_did(did["scope"], did["name"])
        except DataIdentifierNotFound:
            return False
        return True

    def has_replica(self, rse: str, file: File) -> bool:
        """Whether a file has a replica at an RSE."""
        if not self.has_did(file):
            return False
        (found,) = self.root.list_replicas([did_of(file)], all_states=True, sort="random")
        return rse in found["rses"]

    def content(self, did: dict[str, str]) -> list[str]:
        """Names in a dataset."""
        return [child["name"] for child in self.root.list_content(**did)]

    def rules(self, did: dict[str, str]) -> list[dict[str, Any]]:
        """The rules over a DID."""
        return list(self.root.list_did_rules(**did))

    def has_rse(self, rse: str) -> bool:
        """Whether there is such an RSE."""
        try:
            self.root.get_rse(rse)
        except RSENotFound:
            return False
        return True


def did_of(file: File) -> dict[str, str]:
    """The DID alone."""
    return {"scope": file["scope"], "name": file["name"]}


class World:
    """A lake with the accounts of the table."""

    def __init__(self, lake: Lake) -> None:
        """Make the account and the scopes that the lake lacks."""
        self._root = lake.client()
        password = secrets.token_urlsafe(16)
        self._add_operator(password)
        self._root.add_scope("root", "user.root")
        # Of a class that keeps its token in the lake's folder.
        operator = type(self._root)(
            rucio_host=lake.rucio_url,
            auth_host=lake.rucio_url,
            account="operator",
            auth_type="userpass",
            creds={"username": "operator", "password": password},
        )
        lakes = {account: lake.client(account) for account in ("alice", "registrar")}
        self.clients = {"root": self._root, "operator": operator, **lakes}
        known = {account: rucio.whoami()["account"] for account, rucio in self.clients.items()}
        assert known == {account: account for account in self.clients}

    def _add_operator(self, password: str) -> None:
        self._root.add_account("operator", "USER", "operator@localhost")
        self._root.add_identity(
            account="operator",
            identity="operator",
            authtype="USERPASS",
            email="operator@localhost",
            password=password,
            default=True,
        )
        self._root.add_account_attribute("operator", "admin", "true")
        self._root.add_scope("operator", "user.operator")
        for rse in STORAGE_RSES.values():
            self._root.set_local_account_limit("operator", rse, _UNLIMITED)

    def cell(self, account: str) -> Cell:
        """A cell for an account, with a collection and its scope."""
        collection = f"access-{next(_numbers)}"
        self._root.add_scope("root", collection)
        return Cell(account, self.clients[account], self._root, collection, "data.example.org")


def refusal_of(attempt: Callable[[], object]) -> RucioException | None:
    """Try something, and give the error with which the server refuses it."""
    try:
        attempt()
    except RucioException as error:
        return error
    return None
