"""`stac-rucio admin doctor`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from stac_rucio.commands import option, verb
from stac_rucio.exits import Failure
from stac_rucio.options import takes_assets, takes_output, takes_rucio
from stac_rucio.output import Column
from stac_rucio.search import takes_items
from stac_rucio.text import counted, printable

from .setup_rse import sample

if TYPE_CHECKING:
    from stac_client.doctor import Finding
    from stac_rucio.assets import AssetOptions
    from stac_rucio.connection import Connection
    from stac_rucio.output import Output
    from stac_rucio.source import ItemSource

_FINDINGS = (
    Column("level", "level"),
    Column("code", "code"),
    Column("what", "what"),
    Column("why", "why"),
    Column("mend", "mend"),
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

    Lines: level, code, what, why, mend.
    """
    from stac_client import survey
    from stac_client.doctor import examine

    found = None
    if items is not None:
        found = survey(items.items(), sample=sample, assets=assets.selection, scope=rucio.scope)
    errors = 0
    for finding in examine(rucio.connect, rse, destinations=destinations, survey=found):
        level = finding.level.value
        errors += level == "error"
        if output.for_people:
            _show(finding, level)
        else:
            output.row(_FINDINGS, {**asdict(finding), "level": level})
    if errors:
        raise Failure(f"{counted(errors, 'error')} found")


def _show(finding: Finding, level: str) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    table = Table.grid(padding=(0, 1))
    table.add_column(width=_LEVEL_WIDTH)
    table.add_column(overflow="fold")
    table.add_row(Text(level, style=_COLOURS[level]), Text(printable(finding.what)))
    if finding.why:
        table.add_row("", Text(printable(finding.why), style="dim"))
    console.print(table)
    for line in finding.mend.splitlines():
        # Not broken into lines: it is to be pasted.
        mend = f"{' ' * (_LEVEL_WIDTH + 1)}{printable(line)}"
        console.print(Text(mend, style="cyan"), soft_wrap=True)
