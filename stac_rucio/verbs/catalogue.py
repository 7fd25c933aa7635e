"""`stac-rucio register`."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from contextlib import closing
from dataclasses import fields
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from stac_rucio.errors import counted, resumable
from stac_rucio.options import (
    dry_run,
    option,
    source_rse,
    takes_assets,
    takes_items,
    takes_output,
    takes_registration,
    takes_rucio,
    verb,
    yes,
)
from stac_rucio.output import REGISTERED, Column, OutcomeReport, progress, write_json
from stac_rucio.verbs.admin import confirm, must_be_answerable

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from stac_client import Outcome
    from stac_client._items import Item
    from stac_client._results import Progress
    from stac_rucio.options import ItemSource
    from stac_rucio.output import Output, Show

    Work = Callable[[Iterator[Item], Callable[[Progress], None]], Iterator[Outcome]]
    """Takes items and what to call with the progress; gives the outcomes of their assets."""
    from collections.abc import Callable, Iterator, Mapping

    from stac_client import Plan
    from stac_rucio.options import AssetOptions, Connection


# Work through items with a progress bar.


def follow(
    doing: str, items: ItemSource, work: Work, output: Output, columns: Sequence[Column]
) -> None:
    """Report what becomes of the assets of items while it happens.

    Args:
        doing: What is done, for the bar.
        items: The items.
        work: Does it.
        output: Where to.
        columns: The columns of a line for programs.

    Raises:
        Failure: Assets have failed.
    """
    outcomes = OutcomeReport(output, columns)
    with progress() as show:
        bar = _Bar(doing, show)
        # Closed even when interrupted: then what was done is in the journal.
        with closing(_generator(work(items.items(bar.on_read), bar.on_progress))) as done:
            for outcome in done:
                outcomes.add(outcome)
    outcomes.finish()


class _Bar:
    """A bar for the items read, and words for the files dealt with."""

    def __init__(self, doing: str, show: Show) -> None:
        self._doing = doing
        self._show = show
        self._items = 0
        self._total: int | None = None
        self._files = ""

    def on_read(self, count: int, total: int | None) -> None:
        self._items, self._total = count, total
        self._update()

    def on_progress(self, now: Progress) -> None:
        self._files = f", {now}"
        self._update()

    def _update(self) -> None:
        of_all = f" of {self._total:,}" if self._total else ""
        said = f"{self._items:,}{of_all} items read{self._files}"
        self._show(self._doing, self._items, self._total, said)


def _generator(outcomes: Iterator[Outcome]) -> Generator[Outcome, None, None]:
    yield from outcomes


# What a registration would do, shown.


_FACTS = (
    Column("items", "items", "number"),
    Column("files", "files that can be registered", "number"),
    Column("already_there", "of these already there", "number"),
    Column("files_without_size", "without size in their item", "number"),
    Column("files_without_checksum", "without checksum in their item", "number"),
    Column("size_bytes", "size, as far as items say", "bytes"),
)
_HOSTS = (Column("host", "host"), Column("files", "files", "number"))
_REJECTED = (
    Column("assets", "assets"),
    Column("reason", "reason"),
    Column("example", "for example"),
)


def show_plan(
    items: ItemSource, rse: str, assets: AssetOptions, rucio: Connection, output: Output
) -> None:
    """Plan the registration of items, and show the plan.

    Raises:
        StacRucioError: There is no such RSE, or a server does not answer.
    """
    with progress() as show:

        def on_read(count: int, total: int | None) -> None:
            show("planning", count, total, f"{count:,} items read")

        found = rucio.stac.plan(items.items(on_read), rse, assets=assets.selection)
    show_planned(found, output)


def show_planned(plan: Plan, output: Output) -> None:
    """Show a plan."""
    found = {field.name: getattr(plan, field.name) for field in fields(plan)}
    if output.as_json:
        write_json(found)
        return
    output.facts(_FACTS, found)
    hosts = ({"host": host, "files": files} for host, files in plan.hosts.most_common())
    output.rows(_HOSTS, hosts, kind="host")
    for reason, count in plan.rejected.most_common():
        example = plan.examples[reason][0]
        if output.for_people:
            output.explain([(count, "can not be registered", reason, example)])
        else:
            row = {"assets": count, "reason": reason, "example": example}
            output.row(_REJECTED, row, kind="rejected")


# `stac-rucio deregister`.


_FACTS_DEREGISTER = (
    Column("files", "files of the items", "number"),
    Column("registered", "of these registered there", "number"),
)
_BATCH = 1000


@verb(
    "deregister",
    "stac-rucio deregister --api https://stac.example.org/v1 -c alps --rse STAC --dry-run",
    "stac-rucio deregister - --rse STAC --yes < items.ndjson",
)
@takes_items()
@source_rse
@takes_assets()
@dry_run
@yes
@takes_rucio()
@takes_output()
def deregister(
    items: ItemSource,
    rse: str,
    assets: AssetOptions,
    rucio: Connection,
    output: Output,
    *,
    dry_run: bool,
    yes: bool,
) -> None:
    """Take assets out of Rucio again, at one RSE.

    Copies elsewhere stay. Needs an account that is a registrar.

    Lines: collection, item, asset, state, DID, reason.
    """
    if dry_run or not yes:
        must_be_answerable(yes=yes or dry_run)
        found = _registered(items, rse, assets, rucio)
        if dry_run or output.for_people:
            output.facts(_FACTS_DEREGISTER, found)
        if dry_run:
            return
        confirm(f"Deregister {counted(found['registered'], 'asset')} at {rse}?", yes=yes)
    resumable("The same command goes on: what is not registered any more is skipped.")

    def work(found: Iterator[Item], _: object) -> Iterator[Outcome]:
        # In parts, because `delete_replicas` holds the outcomes of all its assets.
        while part := list(islice(found, _BATCH)):
            yield from rucio.stac.delete_replicas(part, rse, assets=selection)
        yield from unseen()

    selection, unseen = assets.watched()
    follow("deregistering", items, work, output, REGISTERED)


def _registered(
    items: ItemSource, rse: str, assets: AssetOptions, rucio: Connection
) -> dict[str, int]:
    """Count what would be taken out."""
    from stac_client._assets import registrable
    from stac_client._items import iter_items
    from stac_client._rucio import list_files
    from stac_client.errors import rucio_errors

    with rucio_errors(f"deregistering at RSE {rse}"):
        rucio.rucio.get_rse(rse)
    counts = {"files": 0, "registered": 0}
    wanted = registrable(iter_items(items.items()), assets.selection, rucio.scope)
    while batch := list(islice(wanted, _BATCH)):
        known = list_files(rucio.rucio, [asset.did for asset in batch], all_states=True)
        counts["files"] += len({asset.did for asset in batch})
        counts["registered"] += sum(rse in file.states for file in known.values())
    return counts


# `stac-rucio plan`.


@verb(
    "plan",
    "stac-rucio plan --api https://stac.example.org/v1 -c alps --rse STAC",
    "stac-rucio plan --rse STAC --assets red,nir items.ndjson",
)
@takes_items()
@source_rse
@takes_assets()
@takes_rucio()
@takes_output()
def plan(
    items: ItemSource, rse: str, assets: AssetOptions, rucio: Connection, output: Output
) -> None:
    """Show what `register` would do.

    That is files, bytes, hosts, and what can not be registered and why. Nothing is
    written or downloaded. Items come from a search (--api), from files
    (item collections, items, NDJSON, stac-geoparquet), or with - from standard
    input.
    """
    resumable("Nothing was written.")
    show_plan(items, rse, assets, rucio, output)


@verb(
    "register",
    "stac-rucio register --api https://stac.example.org/v1 -c alps --rse STAC",
    "stac-client search https://stac.example.org/v1 -c alps | \\\n"
    "    stac-rucio register - --rse STAC --assets red,nir",
    "stac-rucio register items.ndjson --rse STAC --dry-run",
)
@takes_items()
@source_rse
@takes_assets()
@takes_registration()
@dry_run
@takes_rucio()
@takes_output()
def register(  # noqa: PLR0917 - click gives them by name
    items: ItemSource,
    rse: str,
    assets: AssetOptions,
    registration: Mapping[str, Any],
    rucio: Connection,
    output: Output,
    *,
    dry_run: bool,
) -> None:
    """Register assets in Rucio at their original URLs.

    They become replicas at the source RSE; no bytes move. Items come from a search
    (--api), from files (item collections, items, NDJSON, stac-geoparquet), or with -
    from standard input. Registering again changes nothing: what is there is
    recognised, and what differs from it has failed.

    Lines: collection, item, asset, state, DID, reason.
    """
    if dry_run:
        show_plan(items, rse, assets, rucio, output)
        return
    resumable("Run it again with the same items: what is registered already is recognised.")
    selection, unseen = assets.watched()

    def work(found: Iterator[Item], on_progress: Callable[[Progress], None]) -> Iterator[Outcome]:
        # Not `create_replicas`: that holds the outcomes of all assets.
        with tempfile.TemporaryDirectory(prefix="stac-rucio-") as folder:
            journal = Path(folder, "journal")
            yield from rucio.stac.sync(
                found, rse, journal, assets=selection, on_progress=on_progress, **registration
            )
        yield from unseen()

    follow("registering", items, work, output, REGISTERED)


# `stac-rucio sync`.


@verb(
    "sync",
    "stac-rucio sync --api https://stac.example.org/v1 -c alps --rse STAC",
    "stac-rucio sync --api https://stac.example.org/v1 -c alps --rse STAC \\\n"
    "    --assets red,nir --journal alps.journal",
    "zcat alps.ndjson.gz | stac-rucio sync - --rse STAC --journal alps.journal",
)
@takes_items()
@source_rse
@option(
    "--journal",
    type=click.Path(dir_okay=False),
    help="File that remembers what has been done. By default one for each source RSE, "
    "source of items and selection of assets, in ~/.local/state/stac-rucio.",
)
@takes_assets()
@takes_registration()
@dry_run
@takes_rucio()
@takes_output()
def sync(  # noqa: PLR0917 - click gives them by name
    items: ItemSource,
    rse: str,
    journal: str | None,
    assets: AssetOptions,
    registration: Mapping[str, Any],
    rucio: Connection,
    output: Output,
    *,
    dry_run: bool,
) -> None:
    """Register a whole catalogue, and later what is new in it.

    Whatever stops it, the same command goes on where it was: what its journal has
    is passed over unless it has changed, and what Rucio has is recognised. Memory
    does not grow with the number of items.

    Lines: collection, item, asset, state, DID, reason.
    """
    from stac_client.errors import ConfigurationError

    path = Path(journal) if journal else default_journal(items, rse, assets, rucio)
    if dry_run:
        new = _not_done(items, path, rucio, rse) if path.exists() else iter(items)
        show_planned(rucio.stac.plan(new, rse, assets=assets.selection), output)
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"{path.parent}: {error.strerror}; give a --journal") from error
    click.echo(f"Journal: {path}", err=True)
    resumable(f"The same command goes on where it was; its journal is {path}")
    selection, unseen = assets.watched()

    def work(found: Iterator[Item], on_progress: Callable[[Progress], None]) -> Iterator[Outcome]:
        yield from rucio.stac.sync(
            found, rse, path, assets=selection, on_progress=on_progress, **registration
        )
        yield from unseen()

    follow("registering", items, work, output, REGISTERED)


def default_journal(items: ItemSource, rse: str, assets: AssetOptions, rucio: Connection) -> Path:
    """Name a journal from all that it depends on, in the user's folder for such things."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    depends_on = (rucio.rucio.host, rse, items.name, assets, rucio.scope)
    digest = hashlib.sha256(repr(depends_on).encode()).hexdigest()[:8]
    named = "stdin" if items.from_stdin else Path(items.name).name
    place = urlsplit(items.api or "").hostname or named
    readable = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{rse}-{place}").strip("-")[:100]
    return Path(state, "stac-rucio", f"{readable}-{digest}.journal")


def _not_done(items: ItemSource, path: Path, rucio: Connection, rse: str) -> Iterator[Item]:
    from stac_client._journal import Journal, entry_of, registration_purpose

    with Journal(path, registration_purpose(rse, rucio.rucio.host)) as opened:
        for item in items:
            if not opened.has(entry_of(item)):
                yield item
