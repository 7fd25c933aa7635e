"""The test bed on the command line: `python -m stac_testbed`."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rasterio.errors import RasterioIOError
from requests import RequestException
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rucio.common.exception import RucioException

from stac_client import StacRucioError

from . import TestbedError, xrootd
from . import lake as lakes
from .layout import ACCOUNTS, FOLDER
from .services import LIFECYCLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import FrameType

    from rich.progress import TaskID

    from stac_client import Rule

    from .lake import Lake

_DEFAULT_FOLDER = Path(".lake")

_folder_option = click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=_DEFAULT_FOLDER,
    show_default=True,
    envvar=FOLDER,
    show_envvar=True,
    help="Folder that holds all state and logs of the lake.",
)
_account_option = click.option(
    "--account",
    type=click.Choice(ACCOUNTS),
    default="root",
    show_default=True,
    help="Rucio account: an administrator, an ordinary user, or who may register assets.",
)
_database_option = click.option(
    "--database",
    metavar="URL",
    help="Keep Rucio's data in a schema of a PostgreSQL database, postgresql://USER:PASSWORD@"
    "HOST:PORT/DATABASE, or in a PostgreSQL server of the lake's own: postgresql. "
    "By default it is an SQLite file.",
)
_storage_option = click.option(
    "--storage",
    type=click.Choice([xrootd.NAME]),
    help="Have XRootD as the first storage in place of the lake's own WebDAV server.",
)


@click.group()
def main() -> None:
    """A whole Rucio data lake on this machine, for trying and testing."""
    _prepare()


def _prepare() -> None:
    """Prepare this process for a lake; for commands that are used without the group, too."""
    lakes.bypass_proxies()
    signal.signal(signal.SIGTERM, _exit)


@main.command()
@_folder_option
@_database_option
@_storage_option
@click.option("--gateway", is_flag=True, help="Add a private bucket, and a gateway with its keys.")
def up(folder: Path, database: str | None, storage: str | None, *, gateway: bool) -> None:
    """Make a lake and start it, or start one that was stopped."""
    console = Console()
    with _one_line_errors():
        with console.status("starting") as status:
            lake = lakes.start(
                folder, database=database, storage=storage, gateway=gateway, report=status.update
            )
        lake.keep()
        console.print(_table(lake))
        console.print(_usage(folder), highlight=False, soft_wrap=True)


@main.command()
@_folder_option
def status(folder: Path) -> None:
    """Show the services of a lake; exit code 1 if one does not run."""
    with _one_line_errors():
        lake = lakes.load(folder)
    Console().print(_table(lake))
    if not lake.is_running:
        sys.exit(1)


@main.command()
@_folder_option
@_account_option
def env(folder: Path, account: str) -> None:
    """Print shell commands with which Rucio's commands find the lake.

    Example: eval "$(stac-rucio testbed env)" && rucio whoami
    """
    with _one_line_errors():
        for name, value in lakes.load(folder).environment(account).items():
            click.echo(f"export {name}='{value}'")


@main.command()
@_folder_option
@click.option("--lines", default=20, show_default=True, help="How many of the last lines.")
@click.argument("services", nargs=-1)
def logs(folder: Path, lines: int, services: Sequence[str]) -> None:
    """Print the end of the logs of all or some services."""
    with _one_line_errors():
        lake = lakes.load(folder)
        found = {log: log.name.split(".")[0] for log in sorted(lake.layout.logs.glob("*.log"))}
        known = sorted({*found.values()})
        if unknown := sorted({*services} - {*known}):
            raise TestbedError(f"there is no log of {unknown[0]}, but of {', '.join(known)}")
        for log, service in found.items():
            if not services or service in services:
                click.secho(f"==> {log} <==", bold=True)
                click.echo("\n".join(log.read_text(errors="replace").splitlines()[-lines:]))


@main.command()
@_folder_option
@click.argument(
    "daemons", nargs=-1, required=True, metavar="DAEMON...", type=click.Choice(LIFECYCLE)
)
def run(folder: Path, daemons: Sequence[str]) -> None:
    """Run daemons that a lake does not run by itself, once, in this order.

    They delete what is no longer wanted, and judge replicas.

    Example: stac-rucio testbed run necromancer reaper
    """
    with _one_line_errors():
        lakes.load(folder).run(*daemons)


@main.command()
@_folder_option
@click.option("--remove", is_flag=True, help="Remove all that the lake has made.")
def down(folder: Path, *, remove: bool) -> None:
    """Stop a lake; its folder and database stay unless they shall be removed."""
    with _one_line_errors():
        lake = lakes.load(folder)
        lake.stop()
        if remove:
            lake.remove()


@main.command()
@click.option("--api", help="STAC API to search; by default the lake's own.")
@click.option("--collection", "collections", multiple=True, help="Collection to search.")
@click.option("--assets", default="red,nir,vv,vh,thumbnail", show_default=True, help="Asset keys.")
@click.option("--max-items", type=click.IntRange(min=1), help="The most items to take.")
@_database_option
@_storage_option
@click.option("--keep", is_flag=True, help="Leave the lake running.")
def demo(
    *,
    api: str | None,
    collections: Sequence[str],
    assets: str,
    max_items: int | None,
    database: str | None,
    storage: str | None,
    keep: bool,
) -> None:
    """Register a STAC search in Rucio, replicate it, and find the copies again."""
    from .demo import Search, journey

    _prepare()  # `stac-rucio demo` comes here directly
    console = Console()
    folder = Path(tempfile.mkdtemp(prefix="stac-rucio-demo-"))
    os.environ["RUCIO_CONFIG"] = str(folder / "etc" / "root.cfg")  # not that of another Rucio
    gateway = sys.version_info >= (3, 11)  # which it needs
    with _one_line_errors(f"logs are in {folder / 'logs'}"):
        with console.status("starting the lake") as status:
            lake = lakes.start(
                folder, database=database, storage=storage, gateway=gateway, report=status.update
            )
        try:
            console.print(_table(lake))
            search = Search(
                api=api or lake.stac_url,
                collections=collections or lake.collections,
                assets=[key.strip() for key in assets.split(",")],
                max_items=max_items,
            )
            with _following(console) as follow:
                journey(lake, search, _numbered(console), follow)
        except BaseException:
            lake.stop()
            raise
    if keep:
        lake.keep()
        console.print(_usage(folder), highlight=False, soft_wrap=True)
    else:
        lake.stop()
        lake.remove()


def _table(lake: Lake) -> Table:
    table = Table("service", "URL", "process", "state")
    for process in lake.processes:
        url = lake.layout.url(process.name) if process.name in lake.layout.ports else ""
        state = "[green]running" if process.find() else "[red]down"
        table.add_row(process.name, url, str(process.pid), state)
    return table


def _usage(folder: Path) -> str:
    testbed = f"{Path(sys.executable).parent / 'stac-rucio'} testbed"
    activate = Path(sys.prefix) / "bin" / "activate"  # which a system's Python has not
    first = f". {activate} && " if activate.exists() else ""
    return (
        f'use it:   {first}eval "$({testbed} env --folder {folder})" && rucio whoami\n'
        "go on:    docs/tutorial.md, from step 2\n"
        f"look at:  {testbed} status --folder {folder}\n"
        f"stop it:  {testbed} down --remove --folder {folder}"
    )


def _numbered(console: Console) -> Callable[[str], None]:
    numbers = count(1)
    return lambda text: console.print(f"[green]{next(numbers)}[/] {text}", highlight=False)


@contextmanager
def _following(console: Console) -> Iterator[Callable[[Sequence[Rule]], None]]:
    """A progress bar for each rule on a terminal, and a line for each change elsewhere."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress:
        tasks: dict[str, TaskID] = {}
        shown: dict[str, str] = {}

        def follow(rules: Sequence[Rule]) -> None:
            for rule in rules:
                total = rule.locks_ok + rule.locks_replicating + rule.locks_stuck
                text = f"  rule {rule.id[:8]} {rule.state}"
                if rule.id not in tasks:
                    tasks[rule.id] = progress.add_task(text, total=total)
                progress.update(
                    tasks[rule.id], description=text, completed=rule.locks_ok, total=total
                )
                line = f"{text}: {rule.locks_ok} of {total} copies are there"
                if not console.is_terminal and shown.get(rule.id) != line:
                    shown[rule.id] = line
                    console.print(line, highlight=False)

        yield follow


@contextmanager
def _one_line_errors(hint: str = "") -> Iterator[None]:
    """End with exit code 1 and one line that says why; what is unexpected shows itself whole."""
    try:
        yield
    except (
        RasterioIOError,
        RequestException,
        RucioException,
        StacRucioError,
        TestbedError,
    ) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise click.ClickException(f"{reason} ({hint})" if hint else reason) from error


def _exit(signum: int, _: FrameType | None) -> None:
    sys.exit(128 + signum)  # runs what stops the lake


if __name__ == "__main__":
    main()
