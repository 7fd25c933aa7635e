"""`stac-rucio admin`: what an administrator of a Rucio sets up and checks."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import click

from stac_rucio.errors import Failure, resumable
from stac_rucio.options import ACCOUNT, flag, items, number, option, verb
from stac_rucio.output import say, show

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from stac_client._selection import AssetSelection
    from stac_client.admin import CatalogueSummary, Change, Check, Setup
    from stac_rucio.inputs import Connection, ItemSource
    from stac_rucio.options import Consent
    from stac_rucio.output import Output

_FINDING = ("level", "code", "what", "why", "fix")
_INDENT = 9
_COLOURS = {"ok": "green", "warning": "yellow", "error": "red"}


# Changes to a Rucio server: shown, confirmed, made.


def _make_changes(setup: Setup, rucio: Connection, output: Output, consent: Consent) -> None:
    """Show changes, ask, and make them.

    Raises:
        StacRucioError: One was refused; those before it have been made.
        Failure: Somebody said no.
    """
    from stac_client._tables import counted

    def show(changes: Iterable[Change], how: str) -> None:
        for change in changes:
            if output.for_people:
                say(f"{how}: {change.text}")
            else:
                output.row(["change"], {"change": change.text})

    for note in setup.notes:
        say(f"Note: {note}", err=True)
    if not setup.changes:
        if output.for_people:
            click.echo("Nothing to change.")
        return
    consent.require_answerable()
    if consent.dry_run or output.for_people:
        show(setup.changes, "to do")
    if consent.dry_run:
        return
    consent.confirm(f"Make {counted(len(setup.changes), 'change')}?")
    resumable("The same command does what is left.")
    show(setup.apply(rucio.session), "done")


_RSE = click.Argument(["rse"])
_ITEMS = items(required=False)
_OWNER = option("--owner", "Owner of new scopes; by default the account.", "ACCOUNT")
_SAMPLE = number("--sample", "How many of the items to look at.", default=100)


def _destinations(**attributes: Any) -> click.Option:
    text = "RSE expression of the RSEs that shall receive copies."
    return option("--destinations", text, "EXPRESSION", **attributes)


def _summarise(
    items: ItemSource | None, sample: int, assets: AssetSelection, rucio: Connection
) -> CatalogueSummary | None:
    from stac_client import summarise_catalogue

    if items is None:
        return None
    return summarise_catalogue(items, sample=sample, assets=assets, scope=rucio.scope)


@verb(
    "setup-rse",
    _RSE,
    _ITEMS,
    _destinations(required=True),
    option("--fts", "FTS server that moves the files; by default the destinations'.", "URL"),
    flag("--gateway", "Transfers go through a credential gateway where they need it."),
    _OWNER,
    _SAMPLE,
)
def setup_rse(
    *,
    rse: str,
    items: ItemSource | None,
    sample: int,
    assets: AssetSelection,
    rucio: Connection,
    output: Output,
    consent: Consent,
    **options: Any,
) -> None:
    r"""Set up the source RSE, with all that replication from it needs.

    Shows what is missing, asks, and adds it: the RSE, its protocols, attributes and
    distances; and where items of the catalogue are given, the scopes of their
    collections. What is there stays; run again, it does what is left.

    Lines: the changes.

    Examples:
        stac-rucio admin setup-rse STAC --destinations tier=disk --dry-run
        stac-rucio admin setup-rse STAC --destinations tier=disk --yes \
            --api https://stac.example.org/v1 -c alps --fts https://fts.example.org:8446
    """
    from stac_client import plan_setup

    found = _summarise(items, sample, assets, rucio)
    setup = plan_setup(rucio.session, rse, catalogue=found, **options)
    _make_changes(setup, rucio, output, consent)
    if output.for_people and found is not None and items is not None:
        found = found.with_gateway() if options["gateway"] else found
        lines = found.server_options(api=items.api or "", scope=rucio.scope)
        click.echo("\nThe rucio.cfg of the server and its daemons should have:\n")
        click.echo("\n".join(f"    {line}".rstrip() for line in lines.splitlines()))


@verb("doctor", _RSE, _ITEMS, _destinations(default=""), _SAMPLE)
def doctor(
    *,
    rse: str,
    items: ItemSource | None,
    destinations: str,
    sample: int,
    assets: AssetSelection,
    rucio: Connection,
    output: Output,
) -> None:
    r"""Find what keeps STAC assets from being registered, replicated or found.

    Checks the server, the account, the policy package, the source RSE and the
    destinations; and where items of the catalogue are given, scopes, hosts and one
    real resolution. Changes nothing. Exit code 1 if there are errors; warnings are
    none.

    Lines: level, code, what, why, fix.

    Examples:
        stac-rucio admin doctor STAC --destinations tier=disk
        stac-rucio admin doctor STAC --destinations tier=disk \
            --api https://stac.example.org/v1 -c alps --max-items 20
    """
    from stac_client._rse_checks import DESTINATIONS
    from stac_client._tables import counted
    from stac_client.admin import examine

    found = examine(
        *(rucio.connect, rse),
        destinations=destinations,
        catalogue=_summarise(items, sample, assets, rucio),
        account=rucio.account,
    )
    errors = 0
    for check in found:
        level = check.level.value
        command = check.command.replace(DESTINATIONS, shlex.quote(destinations or DESTINATIONS))
        errors += level == "error"
        if output.for_people:
            _show_check(check, level, command)
        else:
            row = {name: getattr(check, name) for name in ("code", "what", "why")}
            output.row(_FINDING, {"level": level, **row, "fix": command})
    if errors:
        raise Failure(f"{counted(errors, 'error')} found")


def _show_check(check: Check, level: str, command: str) -> None:
    from rich.table import Table
    from rich.text import Text

    from stac_policy.urls import printable

    shown = Table.grid("", "")
    shown.columns[0].width = _INDENT
    shown.add_row(Text(level, _COLOURS[level]), Text(printable(check.what)))
    if check.why:
        shown.add_row("", Text(printable(check.why), "dim"))
    show(shown)
    for line in command.splitlines():
        # Not broken into lines: it is to be pasted.
        say(f"{' ' * _INDENT}{line}", fg="cyan")


@verb(
    "scope",
    click.Argument(["collections"], nargs=-1, metavar="[COLLECTION]..."),
    option("--api", "All collections of a STAC API.", "URL"),
    _OWNER,
    ACCOUNT,
)
def scope(
    *,
    collections: Sequence[str],
    api: str | None,
    owner: str | None,
    rucio: Connection,
    output: Output,
    consent: Consent,
) -> None:
    """Add the scopes that collections need; what is there stays.

    Lines: the changes.

    Examples:
        stac-rucio admin scope sentinel-2-l2a landsat-c2-l2
        stac-rucio admin scope --api https://stac.example.org/v1 --dry-run
    """
    from stac_client.admin import plan_scopes
    from stac_policy.naming import collection_scope

    if bool(collections) == bool(api):
        raise click.UsageError("give the ids of collections, or --api URL for all of an API")
    ids = collections or _collections(str(api))
    try:
        scopes = {name: collection_scope(name) for name in ids}
    except ValueError as error:
        raise Failure(str(error)) from error
    setup = plan_scopes(rucio.session, scopes, owner=owner)
    _make_changes(setup, rucio, output, consent)


def _collections(api: str) -> list[str]:
    from stac_client._stac_api import open_api, stac_errors

    with stac_errors(api):
        return [collection.id for collection in open_api(api).get_collections()]


@click.group()
def admin() -> None:
    """Set up a Rucio server for STAC assets, and check it."""


for command in (setup_rse, doctor, scope):
    admin.add_command(command)
