"""An item that tests do things to, and what is to be seen of it."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import sqlalchemy
from rucio.common.exception import RuleNotFound

from tests.gateway.fronts import SECRET_KEY
from tests.items import make_item
from tests.testbed.support import wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from rucio.client import Client

    from stac_client import Rule, StacClient, State
    from stac_policy.naming import DID
    from stac_testbed import Lake

KEYS = ("red", "nir")


class Scene:
    """An item of a collection of its own, registered, with what a test does to it."""

    def __init__(self, lake: Lake, client: StacClient, rucio: Client, collection: str) -> None:
        self.lake, self.client, self.rucio = lake, client, rucio
        self.originals = lake.layout.data("origin-a") / collection
        self.originals.mkdir()
        self.url = f"{lake.layout.url('origin-a')}/{collection}"
        self.item = make_item(collection, "scene", {})
        self.red, self.nir = self.add(*KEYS)

    def add(self, *keys: str) -> list[DID]:
        """Add assets to the item, and register it."""
        for key in keys:
            (self.originals / f"{key}.tif").write_bytes(self.content(key))
            self.item["assets"][key] = {"href": f"{self.url}/{key}.tif", "roles": ["data"]}
        registration = self.client.create_replicas(self.item, "STAC")
        registration.raise_for_failed()
        return registration.dids

    def content(self, key: str) -> bytes:
        """The bytes of an asset."""
        return key.encode() * 1000

    def replicate(self, rse: str = "DISK-A") -> Rule:
        """Bring a copy of each asset to an RSE."""
        rules = self.client.create_replication_rules(self.item, rse)
        (rule,) = self.client.wait(rules, timeout_s=300, poll_s=0.5)
        assert (rule.state, rule.locks_ok) == ("OK", 2)
        return rule

    def end(self, rule: Rule, *, purge: bool = False) -> None:
        """Delete a rule and wait until Rucio's cleaner has come by."""
        self.client.delete_replication_rules(rule, at_once=True, purge=purge)
        assert wait_for(lambda: self.gone(rule))

    def gone(self, rule: Rule) -> bool:
        """Whether Rucio has a rule no more."""
        try:
            self.rucio.get_replication_rule(rule.id)
        except RuleNotFound:
            return True
        return False

    def copies(self, key: str = "red") -> dict[str, str]:
        """The states of the replicas of an asset."""
        did = self.red if key == "red" else self.nir
        (file,) = self.rucio.list_replicas([did._asdict()], all_states=True)
        states: dict[str, str] = file["states"]
        return states

    def register(self) -> dict[State, int]:
        """Register again."""
        return self.client.create_replicas(self.item, "STAC").counts

    def downloaded(self, folder: Path, rse: str | None = None) -> dict[State, int]:
        """Download everything, and look whether what is there is what shall be."""
        downloads = self.client.download(self.item, folder, rse=rse)
        for outcome in downloads:
            if outcome.path is not None:
                assert outcome.path.read_bytes() == self.content(outcome.key)
        return downloads.counts

    def places(self, key: str = "red") -> set[str]:
        """Where the modifier says that an asset is."""
        item = copy.deepcopy(self.item)
        self.client.modifier.with_options(cache_s=0)(item)
        asset = item["assets"][key]
        return {asset.get("alternate:name", "only in the catalogue"), *asset.get("alternate", ())}


def assert_no_secret(lake: Lake, *more: str) -> None:
    """Require that neither Rucio nor the transfer service keeps a key or a signature."""
    found = []
    engine = sqlalchemy.create_engine(lake.layout.database_url)
    with engine.connect() as connection:
        for table in sqlalchemy.inspect(engine).get_table_names():
            rows = connection.execute(sqlalchemy.text(f'SELECT * FROM "{table}"'))  # noqa: S608
            found += [(table, repr(row)) for row in rows]
    engine.dispose()
    assert {"messages", "requests_history", "sources"} & {table for table, _ in found}
    jobs = lake.layout.data("transfers") / "jobs.sqlite"
    for path in (*lake.layout.logs.iterdir(), *jobs.parent.glob("jobs.sqlite*")):
        found.append((path.name, path.read_bytes().decode("utf-8", "replace")))
    for where, text in found:
        for secret in ("X-Amz-Signature", "X-Amz-Credential", SECRET_KEY, *more):
            assert secret not in text, where
