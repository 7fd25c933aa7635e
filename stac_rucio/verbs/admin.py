"""`stac-rucio admin`: what an administrator of a Rucio sets up and checks."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from stac_policy.urls import printable
from stac_rucio.errors import Failure, counted, resumable, stac_errors
from stac_rucio.options import (
    dry_run,
    option,
    takes_assets,
    takes_items,
    takes_output,
    takes_rucio,
    verb,
    yes,
)
from stac_rucio.output import Column

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rucio.client import Client

    from stac_client.admin import CatalogueSummary, Change, Setup
    from stac_rucio.options import AssetOptions, Connection, ItemSource
    from stac_rucio.output import Output


# Questions before something is deleted.


def must_be_answerable(*, yes: bool) -> None:
    """Check that questions can be answered.

    Args:
        yes: Whether they were on the command line already.

    Raises:
        click.UsageError: Nobody can be asked.
    """
    if not yes and not sys.stdin.isatty():
        raise click.UsageError("refusing to change anything without a terminal; pass --yes")


def confirm(question: str, *, yes: bool) -> None:
    """Go on only if somebody says so.

    Args:
        question: What to ask.
        yes: Whether that was said on the command line already.

    Raises:
        click.UsageError: Nobody can be asked.
        Failure: They said no.
    """
    must_be_answerable(yes=yes)
    if not yes and not click.confirm(question, err=True):
        raise Failure("nothing was changed")


# Changes to a Rucio server: shown, confirmed, made.


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
            click.echo("Nothing to change.")
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


# `stac-rucio admin setup-rse`.


sample = option(
    "--sample",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="How many of the items to look at.",
)


def _summarise(
    items: ItemSource | None, sample: int, assets: AssetOptions, rucio: Connection
) -> CatalogueSummary | None:
    from stac_client import summarise_catalogue

    if items is None:
        return None
    return summarise_catalogue(
        items.items(), sample=sample, assets=assets.selection, scope=rucio.scope
    )


@verb(
    "setup-rse",
    "stac-rucio admin setup-rse STAC --destinations tier=disk --dry-run",
    "stac-rucio admin setup-rse STAC --destinations tier=disk --yes \\\n"
    "    --api https://stac.example.org/v1 -c alps --fts https://fts.example.org:8446",
)
@click.argument("rse")
@takes_items(required=False)
@option(
    "--destinations",
    required=True,
    metavar="EXPRESSION",
    help="RSE expression of the RSEs that shall receive copies.",
)
@option(
    "--fts", metavar="URL", help="FTS server that moves the files; by default the destinations'."
)
@option("--owner", metavar="ACCOUNT", help="Owner of new scopes; by default the account.")
@sample
@takes_assets()
@dry_run
@yes
@takes_rucio()
@takes_output()
def setup_rse(  # noqa: PLR0917 - click gives them by name
    rse: str,
    items: ItemSource | None,
    destinations: str,
    fts: str | None,
    owner: str | None,
    sample: int,
    assets: AssetOptions,
    rucio: Connection,
    output: Output,
    *,
    dry_run: bool,
    yes: bool,
) -> None:
    """Set up the source RSE, with all that replication from it needs.

    Shows what is missing, asks, and adds it: the RSE, its protocols, attributes and
    distances; and where items of the catalogue are given, the scopes of their
    collections. What is there stays; run again, it does what is left.

    Lines: the changes.
    """
    from stac_client import plan_setup

    found = _summarise(items, sample, assets, rucio)
    setup = plan_setup(
        rucio.rucio, rse, destinations=destinations, fts=fts, catalogue=found, owner=owner
    )
    make_changes(setup, rucio.rucio, output, dry_run=dry_run, yes=yes)
    if output.for_people and found is not None and items is not None:
        options = found.server_options(api=items.api or "", scope=rucio.scope)
        click.echo("\nThe rucio.cfg of the server and its daemons should have:\n")
        click.echo("\n".join(f"    {line}".rstrip() for line in options.splitlines()))


# `stac-rucio admin doctor`.


_FINDINGS = (
    Column("level", "level"),
    Column("code", "code"),
    Column("what", "what"),
    Column("why", "why"),
    Column("fix", "fix"),
)
_LEVEL_WIDTH = 8
_COLOURS = {"ok": "green", "warning": "yellow", "error": "red"}


@verb(
    "doctor",
    "stac-rucio admin doctor STAC --destinations tier=disk",
    "stac-rucio admin doctor STAC --destinations tier=disk \\\n"
    "    --api https://stac.example.org/v1 -c alps --max-items 20",
)
@click.argument("rse")
@takes_items(required=False)
@option(
    "--destinations",
    default="",
    metavar="EXPRESSION",
    help="RSE expression of the RSEs that shall receive copies.",
)
@sample
@takes_assets()
@takes_rucio()
@takes_output()
def doctor(  # noqa: PLR0917 - click gives them by name
    rse: str,
    items: ItemSource | None,
    destinations: str,
    sample: int,
    assets: AssetOptions,
    rucio: Connection,
    output: Output,
) -> None:
    """Find what keeps STAC assets from being registered, replicated or found.

    Checks the server, the account, the policy package, the source RSE and the
    destinations; and where items of the catalogue are given, scopes, hosts and one
    real resolution. Changes nothing. Exit code 1 if there are errors; warnings are
    none.

    Lines: level, code, what, why, fix.
    """
    from stac_client.admin import examine

    found = _summarise(items, sample, assets, rucio)
    errors = 0
    for check in examine(rucio.connect, rse, destinations=destinations, catalogue=found):
        row = {"level": check.level.value, "fix": check.command}
        row |= {name: getattr(check, name) for name in ("code", "what", "why")}
        errors += row["level"] == "error"
        if output.for_people:
            _show_check(**row)
        else:
            output.row(_FINDINGS, row)
    if errors:
        raise Failure(f"{counted(errors, 'error')} found")


def _show_check(*, level: str, what: str, why: str, fix: str, **_: str) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    table = Table.grid(padding=(0, 1))
    table.add_column(width=_LEVEL_WIDTH)
    table.add_column(overflow="fold")
    table.add_row(Text(level, style=_COLOURS[level]), Text(printable(what)))
    if why:
        table.add_row("", Text(printable(why), style="dim"))
    console.print(table)
    for line in fix.splitlines():
        # Not broken into lines: it is to be pasted.
        text = f"{' ' * (_LEVEL_WIDTH + 1)}{printable(line)}"
        console.print(Text(text, style="cyan"), soft_wrap=True)


# `stac-rucio admin scope`.


@verb(
    "scope",
    "stac-rucio admin scope sentinel-2-l2a landsat-c2-l2",
    "stac-rucio admin scope --api https://stac.example.org/v1 --dry-run",
)
@click.argument("collections", nargs=-1, metavar="[COLLECTION]...")
@option("--api", metavar="URL", help="All collections of a STAC API.")
@option("--owner", metavar="ACCOUNT", help="Owner of new scopes; by default the account.")
@dry_run
@yes
@takes_rucio(scope=False)
@takes_output()
def scope(
    collections: Sequence[str],
    api: str | None,
    owner: str | None,
    rucio: Connection,
    output: Output,
    *,
    dry_run: bool,
    yes: bool,
) -> None:
    """Add the scopes that collections need; what is there stays.

    Lines: the changes.
    """
    from stac_client.admin import plan_scopes
    from stac_policy.naming import collection_scope

    if bool(collections) == bool(api):
        raise click.UsageError("give the ids of collections, or --api URL for all of an API")
    ids = collections or list(_collections(str(api)))
    try:
        scopes = {name: collection_scope(name) for name in ids}
    except ValueError as error:
        raise Failure(str(error)) from error
    setup = plan_scopes(rucio.rucio, scopes, owner=owner)
    make_changes(setup, rucio.rucio, output, dry_run=dry_run, yes=yes)


def _collections(api: str) -> Iterator[str]:
    from pystac_client import Client

    with stac_errors(api):
        for collection in Client.open(api, timeout=60).get_collections():
            yield collection.id


@click.group()
def admin() -> None:
    """Set up a Rucio server for STAC assets, and check it."""


for command in (setup_rse, doctor, scope):
    admin.add_command(command)
