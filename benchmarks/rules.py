"""One rule over many items, and its status: counted in requests."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from stac_client import StacClient

from .harness import Goal, Row, counted, seconds
from .items import make_items
from .setting import SOURCE_RSE, requests_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .setting import Setting

_TIMEOUT_S = 600
_MOST_ON_SQLITE = 900  # files; a statement of Rucio's for more is refused


def run(setting: Setting) -> Iterator[Row]:
    """Make a rule over items that have their copies already, so that nothing is transferred."""
    client = setting.lake.client()
    stac = StacClient(client)
    count, assets = setting.size.rule_items, setting.size.assets
    if setting.database == "SQLite":
        count = min(count, _MOST_ON_SQLITE // assets)
    items = list(make_items(setting.new_collection(client), count, assets))
    registration = stac.create_replicas(items, SOURCE_RSE)
    registration.raise_for_failed()
    setting.add_copies(client, (outcome.did for outcome in registration if outcome.did))
    with requests_of(client) as sent:
        started_s = time.perf_counter()
        rules = stac.create_replication_rules(registration, "tier=disk", copies=2)
        took_s = time.perf_counter() - started_s
    what = f"one rule over {count:,} items, {len(registration):,} files"
    yield counted(what, len(sent), "requests", Goal(most=4), f"{took_s:.1f} s")
    rules = stac.wait(rules, timeout_s=_TIMEOUT_S, poll_s=0.5)
    waited_s = time.perf_counter() - started_s
    states = {rule.state for rule in rules}
    with requests_of(client) as sent:
        took_s = seconds(lambda: stac.rule_status(rules))
    yield counted("its status", len(sent), "requests", Goal(most=3), f"{took_s:.2f} s")
    with requests_of(client) as sent:
        took_s = seconds(lambda: stac.rule_status(rules, by_item=True))
    note = f"{took_s:.1f} s; all locks were {'/'.join(states)} after {waited_s:.0f} s"
    yield counted("its status by item and RSE", len(sent), "requests", Goal(most=4), note)
