"""A database that Rucio 38 or an earlier one has made: its priorities are never NULL."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from rucio.version import current_version

from stac_client import ConfigurationError, StacClient, State, plan_setup
from stac_client.admin import examine
from stac_testbed import STORAGE_RSES
from stac_testbed.lake import running
from tests.items import many_items

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rucio.client import Client

    from stac_testbed.lake import Lake

NULL_DISABLES = int(current_version()) >= 39


def rebuild(lake: Lake, constraint: str) -> None:
    """Let the priorities of protocols have a constraint, as an ALTER does that SQLite has not."""
    with closing(sqlite3.connect(lake.layout.folder / "rucio.db", timeout=60)) as database:
        (sql,) = database.execute(
            "SELECT sql FROM sqlite_master WHERE name = 'rse_protocols'"
        ).fetchone()
        priority = r"\b(\w+_lan|\w+_wan|third_party_copy_\w+) INTEGER( NOT NULL)?"
        columns = [row[1] for row in database.execute("PRAGMA table_info(rse_protocols)")]
        values = ", ".join(
            f"coalesce({name}, 0)" if re.match(priority, f"{name} INTEGER") else name
            for name in columns
        )
        made = re.sub(priority, lambda column: f"{column[1]} INTEGER {constraint}", sql)
        database.executescript(
            f"""
            PRAGMA foreign_keys = OFF;
            BEGIN;
            ALTER TABLE rse_protocols RENAME TO before;
            {made};
            INSERT INTO rse_protocols SELECT {values} FROM before;
            DROP TABLE before;
            COMMIT;
            """  # noqa: S608 - of this table's own columns
        )


@pytest.fixture
def upgraded(tmp_path: Path) -> Iterator[Lake]:
    """A lake whose database forbids NULL, with the priorities that Rucio 38 wrote."""
    with running(tmp_path / "lake") as lake:
        rebuild(lake, "NOT NULL")
        yield lake


def codes(rucio: Client) -> set[str]:
    """What the doctor finds wrong with the source RSE of the lake."""
    return {check.code for check in examine(rucio, "STAC") if check.why}


def test_an_upgraded_database(upgraded: Lake) -> None:
    """Setting up says what the database needs and leaves no half of an RSE; then all is well."""
    rucio = upgraded.client()
    items = many_items("upgraded", 2, 2)
    rucio.add_scope("root", "upgraded")
    registered = StacClient(rucio).create_replicas(items, "STAC")
    registered.raise_for_failed()
    off = {"priority-unwanted", "priority-delete", "priority-third-party-copy-write"}
    assert codes(rucio) == (off if NULL_DISABLES else set())
    if NULL_DISABLES:
        rses = [rse["rse"] for rse in rucio.list_rses()]
        for rse in ("STAC", "NEW"):
            with pytest.raises(ConfigurationError, match="run there: ALTER TABLE rse_protocols"):
                list(plan_setup(rucio, rse, destinations="tier=disk").apply(rucio))
        assert [rse["rse"] for rse in rucio.list_rses()] == rses
        rebuild(upgraded, "")
    for rse in ("STAC", "NEW"):
        list(plan_setup(rucio, rse, destinations="tier=disk").apply(rucio))
    assert codes(rucio) == set()
    again = StacClient(rucio).create_replicas(items, "STAC")
    assert again.counts == {State.ALREADY_THERE: 4}
    again = StacClient(rucio).create_replicas(items, "NEW")
    assert again.counts == {State.REGISTERED: 4}
    for disk in STORAGE_RSES.values():
        schemes = [protocol["scheme"] for protocol in rucio.get_rse(disk)["protocols"]]
        assert sorted(schemes) == ["http", "https"]
