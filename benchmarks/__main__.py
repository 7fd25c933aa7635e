"""`python -m benchmarks`."""

from __future__ import annotations

import json
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from stac_testbed.lake import bypass_proxies, running

from . import compare, machine, report
from .setting import Setting
from .sizes import SIZES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from stac_testbed import Lake

    from .harness import Row

WITH_LAKE = (
    "registration",
    "modifier",
    "rules",
    "planning",
    "lookups",
    "downloads",
    "policy",
    "serving",
    "database",
    "growth",
)
WITHOUT_LAKE = ("names", "startup", "streams", "clients", "gateway")


@click.command()
@click.argument("names", nargs=-1, type=click.Choice([*WITH_LAKE, *WITHOUT_LAKE]))
@click.option(
    "--database",
    "databases",
    multiple=True,
    type=click.Choice(["sqlite", "postgresql"]),
    help="Database of the Rucio server; by default both, where a PostgreSQL can be started.",
)
@click.option("--size", type=click.Choice([*SIZES]), default="small", show_default=True)
@click.option("--json", "file", type=click.Path(dir_okay=False, path_type=Path))
def main(names: Sequence[str], databases: Sequence[str], size: str, file: Path | None) -> None:
    """Measure stac-rucio beside the bare Rucio client; by default all of it.

    `compare A B` compares two commits instead.
    """
    bypass_proxies()
    console = Console()
    chosen = names or (*WITHOUT_LAKE, *WITH_LAKE)
    found = databases or ("sqlite", *(["postgresql"] if machine.has_postgresql() else []))
    figures: list[tuple[str, Row]] = []
    for database, row in _measure(chosen, found, size, console):
        figures.append((database, row))
        console.print(f"{database:11} {row.measured}: {report.number(row.value)} {row.unit}"
                      f" {row.verdict} {row.note}", highlight=False)  # fmt: skip
        if file is not None:
            content = {
                "size": size,
                "machine": machine.describe(),
                "figures": report.as_json(figures),
            }
            file.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
    console.print(report.table(figures))
    console.print(machine.describe())


def _measure(
    names: Sequence[str], databases: Sequence[str], size: str, console: Console
) -> Iterator[tuple[str, Row]]:
    with tempfile.TemporaryDirectory(prefix="stac-rucio-bench-") as folder:
        alone = Setting(SIZES[size], Path(folder))
        for name in names:
            if name in WITHOUT_LAKE:
                for row in benchmark(name, alone):
                    yield "", row
        in_lake = [name for name in names if name in WITH_LAKE]
        for database in databases if in_lake else ():
            wanted = None if database == "sqlite" else database
            made: Lake | None = None
            try:
                with (
                    console.status(f"{size}, on {database}"),
                    running(Path(folder) / database, database=wanted) as lake,
                ):
                    made = lake
                    setting = Setting(SIZES[size], Path(folder), lake)
                    for name in in_lake:
                        for row in benchmark(name, setting):
                            yield setting.database, row
            finally:
                if made is not None:
                    made.remove()


def benchmark(name: str, setting: Setting) -> Iterator[Row]:
    """Give the figures of a benchmark."""
    yield from import_module(f"benchmarks.{name}").run(setting)


if __name__ == "__main__":
    if sys.argv[1:2] == ["compare"]:
        compare.main(sys.argv[2:], prog_name="python -m benchmarks compare")
    main()
