"""Changes to a Rucio server: shown, confirmed, made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .confirming import confirm, must_be_answerable
from .exits import resumable
from .output import Column
from .text import counted, printable

if TYPE_CHECKING:
    from rucio.client import Client

    from stac_client.setup.changes import Change, Setup

    from .output import Output

_CHANGES = (Column("change", "change"),)


def make_changes(setup: Setup, client: Client, output: Output, *, dry_run: bool, yes: bool) -> None:
    """Show changes, ask, and make them.

    Raises:
        StacRucioError: One was refused; those before it have been made.
        Failure: Somebody said no.
    """
    must_be_answerable(yes=yes or dry_run or not setup.changes)
    for note in setup.notes:
        click.echo(f"Note: {printable(note)}", err=True)
    for change in setup.changes if dry_run or output.for_people else ():
        _show(change, output)
    if dry_run or not setup.changes:
        if output.for_people and not setup.changes:
            click.echo("All is as it should be: there is nothing to change.")
        return
    confirm(f"Make {counted(len(setup.changes), 'change')}?", yes=yes)
    resumable("The same command does what is left.")
    for change in setup.apply(client):
        _show(change, output, "done: ")


def _show(change: Change, output: Output, how: str = "to do: ") -> None:
    if output.for_people:
        click.echo(f"{how}{printable(change.text)}")
    else:
        output.row(_CHANGES, {"change": change.text})
