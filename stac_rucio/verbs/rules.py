"""`stac-rucio rules delete`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from stac_rucio.commands import option, verb
from stac_rucio.confirming import confirm, must_be_answerable
from stac_rucio.exits import resumable
from stac_rucio.options import dry_run, takes_output, takes_rucio, yes
from stac_rucio.rules import rule_ids, show_rules
from stac_rucio.text import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stac_rucio.connection import Connection
    from stac_rucio.output import Output


@click.group()
def rules() -> None:
    """Delete replication rules."""


@verb(
    "delete",
    "stac-rucio rules delete 9f86d081884c7d659a2feaa0c55ad015",
    "stac-rucio rules delete --yes --at-once - < rules.txt",
)
@click.argument("ids", nargs=-1, metavar="RULE-ID...")
@option("--at-once", is_flag=True, help="Do without the hour that Rucio leaves to think again.")
@dry_run
@yes
@takes_rucio(scope=False)
@takes_output()
def delete(
    ids: Sequence[str],
    rucio: Connection,
    output: Output,
    *,
    at_once: bool,
    dry_run: bool,
    yes: bool,
) -> None:
    """Delete rules; Rucio then deletes the copies that no other rule wants.

    With - ids come from standard input, as `replicate` prints them.

    Lines: id, state, RSE expression, copies, files OK, replicating, stuck, DID, error
    of the deleted rules.
    """
    must_be_answerable(yes=yes or dry_run)
    found = rucio.stac.replication_rules(rule_ids(ids))
    if dry_run:
        show_rules(output, found)
        return
    if output.for_people:
        show_rules(output, found)
    confirm(f"Delete {counted(len(found), 'rule')}?", yes=yes)
    resumable("Rules may be left; the same command deletes them.")
    rucio.stac.delete_replication_rules(found, at_once=at_once)
    if output.for_people:
        click.echo(f"{counted(len(found), 'rule')} deleted")
    else:
        show_rules(output, found)


rules.add_command(delete)
