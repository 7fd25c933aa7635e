"""`stac-rucio status`."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import asdict
from itertools import chain, groupby
from typing import TYPE_CHECKING, Any

import click

from stac_rucio.commands import verb
from stac_rucio.options import takes_assets, takes_output, takes_rucio
from stac_rucio.output import Column
from stac_rucio.rules import ids_of_lines, is_rule_id, rule_ids
from stac_rucio.search import takes_items
from stac_rucio.streams import read_stream
from stac_rucio.text import counted, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from stac_client import Availability, ItemStatus
    from stac_rucio.assets import AssetOptions
    from stac_rucio.connection import Connection
    from stac_rucio.output import Output
    from stac_rucio.source import ItemSource

_AVAILABILITY = (
    Column("collection", "collection"),
    Column("item", "item"),
    Column("rse", "RSE", "id"),
    Column("available", "available", "number"),
    Column("coming", "coming", "number"),
    Column("assets", "assets", "number"),
)
_OF_RULE = (
    *_AVAILABILITY[:3],
    Column("ok", "OK", "number"),
    Column("replicating", "replicating", "number"),
    Column("stuck_files", "stuck", "number"),
)
_STATUS = (
    Column("rule_id", "rule", "id"),
    Column("rule_state", "state", "id"),
    *_OF_RULE,
    Column("reason", "reason"),
)


@verb(
    "status",
    "stac-rucio status 9f86d081884c7d659a2feaa0c55ad015",
    "stac-rucio status --api https://stac.example.org/v1 -c alps --json",
    "stac-rucio replicate items.json --rses tier=disk | stac-rucio status -",
)
@takes_items("RULE-ID | ITEMS")
@takes_assets()
@takes_rucio()
@takes_output()
def status(items: ItemSource, assets: AssetOptions, rucio: Connection, output: Output) -> None:
    """Show how far rules are, or where the assets of items are.

    Of rules, given by their ids, the lines are: rule, its state, collection, item,
    RSE, files OK, replicating and stuck there, and why they are stuck. Of items the
    lines are: collection, item, RSE, assets available there, assets on their way,
    all assets.
    """
    if items.files and all(map(is_rule_id, items.files)):
        _of_rules(rule_ids(items.files), rucio, output)
    elif items.files == ("-",):
        stdin = sys.stdin.buffer
        begin = stdin.readline()
        if is_rule_id(next(ids_of_lines([begin]), "")):
            _of_rules(rule_ids([*ids_of_lines(chain([begin], stdin))]), rucio, output)
        else:
            found = read_stream(stdin, "standard input", begin)
            _of_items(found.items, assets, rucio, output)
    else:
        _of_items(items, assets, rucio, output)


def _of_items(items: Any, assets: AssetOptions, rucio: Connection, output: Output) -> None:
    found = rucio.stac.replication_availability(items, assets=assets.selection)
    output.rows(_AVAILABILITY, _availability_rows(found))


def _of_rules(ids: Sequence[str], rucio: Connection, output: Output) -> None:
    found = rucio.stac.rule_status(rucio.stac.replication_rules(ids))
    if output.for_people:
        _show_status(found, output)
    else:
        output.rows(_STATUS, _status_rows(found))


def _show_status(found: Sequence[ItemStatus], output: Output) -> None:
    """A table for each rule, and then why files are stuck."""
    for rule_id, of_rule in groupby(found, lambda row: (row.rule_id, row.rule_state)):
        rows = list(of_rule)
        click.echo(" rule {} {}".format(*rule_id))
        output.rows(_OF_RULE, _status_rows(rows))
        stuck = Counter((file.rse, file.reason) for row in rows for file in row.stuck)
        for (rse, reason), count in stuck.most_common():
            said = f" {counted(count, 'file')} stuck on the way to {rse}: {reason}"
            click.echo(printable(said))


def _availability_rows(found: Iterable[Availability]) -> Iterator[dict[str, Any]]:
    for row in found:
        yield {**asdict(row), "complete": row.complete}


def _status_rows(found: Iterable[ItemStatus]) -> Iterator[dict[str, Any]]:
    for row in found:
        stuck = [{**asdict(file), "did": str(file.did)} for file in row.stuck]
        reasons = dict.fromkeys(file.reason for file in row.stuck)
        yield {
            **asdict(row),
            "stuck": stuck,
            "stuck_files": len(stuck),
            "reason": "; ".join(reasons) or None,
        }
