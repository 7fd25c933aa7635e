"""`stac-rucio plan`, `assets`, `register`, `sync` and `deregister`."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from stac_rucio.errors import ExitCode, Failure, resumable
from stac_rucio.options import option, part_of_items, verb
from stac_rucio.output import follow, reading, say, show, write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from stac_client import Outcome
    from stac_client._assets import Asset
    from stac_client._items import ItemDict
    from stac_client._partition import Partition
    from stac_client._registration import Registrar
    from stac_client._rucio import RucioFile
    from stac_client._selection import AssetSelection
    from stac_rucio.inputs import Connection, ItemSource
    from stac_rucio.options import Consent
    from stac_rucio.output import Output, Reading

_PLAN = (
    *("items", "files", "already_there", "files_outdated"),
    *("files_without_size", "files_without_checksum", "files_without_md5"),
    *("size_bytes", "paid_bytes"),
)
_OF_PLANS = ("probe", "alternate_assets")
_ASSETS = (
    *("collection", "item", "key", "selected", "access", "fetchable", "url", "needs", "reason"),
)
_OF_ITEM = ("key", "selected", "access", "url", "needs", "reason")  # where people see it above
_REGISTERED = {"files": "files of the items", "registered": "of these registered there"}


@verb("plan", part_of_items())
def plan(
    *,
    items: ItemSource,
    rse: str,
    assets: AssetSelection,
    probe: str,
    alternate_assets: Sequence[str],
    check: bool,
    rucio: Connection,
    output: Output,
) -> None:
    """Show what `register` would do.

    That is files, bytes, hosts, and what cannot be registered and why. Nothing is
    written or downloaded. Items come from a search (--api), from files
    (item collections, items, NDJSON, stac-geoparquet), or with - from standard
    input.

    Examples:
        stac-rucio plan --api https://stac.example.org/v1 -c alps --rse STAC
        stac-rucio plan --rse STAC --assets red,nir items.ndjson
    """
    resumable("Nothing was written.")
    planning = {"probe": probe, "alternate_assets": alternate_assets, "check": check}
    _show_plan(items, rse, rucio, output, {"assets": assets, **planning})


@verb(
    "assets",
    option("--rse", "The source RSE, where items hold copies in place of originals.", "RSE"),
)
def assets(
    *,
    items: ItemSource,
    rse: str | None,
    assets: AssetSelection,
    alternate_assets: Sequence[str],
    check: bool,
    rucio: Connection,
    output: Output,
) -> None:
    r"""Show which assets are selected, and where from.

    That is how their bytes are got: by which URL, and with what. Nothing is asked but
    what has the items: no Rucio, and no origin. The class of access is open, public
    bucket, signed, requester pays, bearer, API key, login form, folder, or not to be had.

    Lines: collection, item, asset, selected, access, fetchable, URL, needs, reason.

    Examples:
        stac-rucio assets items.ndjson
        stac-rucio assets --api https://stac.example.org/v1 -c alps --max-items 5 --json
    """
    from stac_client._assets import survey
    from stac_client._buckets import Buckets
    from stac_client._selection import Wanted

    items.offline = not check
    named = [*alternate_assets, *filter(None, [rse])]
    keys = Wanted(assets, alternate_assets=named)
    look = partial(
        survey,
        selection=assets,
        scope=rucio.scope,
        source_rse=rse,
        alternate_assets=alternate_assets,
        checked=Buckets().access if check else None,
    )
    for item in keys.of(items):
        found = [*look(item)]
        if output.for_people and found:
            say(f"{found[0].collection}/{found[0].item}", bold=True)
        output.rows(_OF_ITEM if output.for_people else _ASSETS, map(vars, found))
    keys.warn()


@verb("register", part_of_items())
def register(
    *,
    items: ItemSource,
    rse: str,
    assets: AssetSelection,
    registration: Mapping[str, Any],
    rucio: Connection,
    output: Output,
    dry_run: bool,
) -> None:
    r"""Register assets in Rucio at their original URLs.

    They become replicas at the source RSE; no bytes move. Items come from a search
    (--api), from files (item collections, items, NDJSON, stac-geoparquet), or with -
    from standard input. Registering again changes nothing: what is there is
    recognised, and differences are reported as failures.

    Lines: collection, item, asset, state, DID, reason.

    Examples:
        stac-rucio register --api https://stac.example.org/v1 -c alps --rse STAC
        stac-client search https://stac.example.org/v1 -c alps | \
            stac-rucio register - --rse STAC --assets red,nir
        stac-rucio register items.ndjson --rse STAC --dry-run
    """
    if dry_run:
        _show_plan(items, rse, rucio, output, _planning(assets, registration))
        return
    resumable("Run it again with the same items: what is registered already is recognised.")
    # Not `create_replicas`: that holds the outcomes of all assets.
    with tempfile.TemporaryDirectory(prefix="stac-rucio-") as folder:
        journal = Path(folder, "journal")
        _register(items, rse, journal, rucio, output, assets=assets, **registration)


@verb(
    "sync",
    part_of_items(),
    option(
        "--journal",
        "File that remembers what has been done. By default one for each source RSE, source of "
        "items, selection of assets and partition, in ~/.local/state/stac-rucio.",
        type=click.Path(dir_okay=False),
    ),
)
def sync(
    *,
    items: ItemSource,
    rse: str,
    journal: str | None,
    assets: AssetSelection,
    registration: Mapping[str, Any],
    rucio: Connection,
    output: Output,
    dry_run: bool,
) -> None:
    r"""Register a whole catalogue, and later what is new in it.

    Whatever stops it, the same command goes on where it was: what its journal has
    is passed over unless it has changed, and what Rucio has is recognised. Memory
    does not grow with the number of items.

    Lines: collection, item, asset, state, DID, reason.

    Examples:
        stac-rucio sync --api https://stac.example.org/v1 -c alps --rse STAC
        stac-rucio sync --api https://stac.example.org/v1 -c alps --rse STAC \
            --assets red,nir --journal alps.journal
        stac-rucio sync alps.ndjson.gz --rse STAC --partition 3/16
    """
    path = Path(journal) if journal else default_journal(items, rse, assets, rucio)
    if dry_run:
        from stac_client._registration import Registrar

        meant = Registrar(rucio.session, rse, assets, rucio.scope, **registration)
        new = partial(_not_done, journal=path, registrar=meant, part=items.partition)
        planning = _planning(assets, registration)
        _show_plan(items, rse, rucio, output, planning, new if path.exists() else None)
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        said = f"{path.parent}: {error.strerror}; give a --journal"
        raise Failure(said, ExitCode.CONFIGURATION) from error
    click.echo(f"Journal: {path}", err=True)
    resumable(f"The same command goes on where it was; its journal is {path}")
    _register(items, rse, path, rucio, output, assets=assets, **registration)


@verb(
    "deregister",
    option(
        "--bad",
        "Only what Rucio does not call available there. What was declared bad heals when it is "
        "then registered again.",
        is_flag=True,
    ),
)
def deregister(
    *,
    items: ItemSource,
    rse: str,
    assets: AssetSelection,
    bad: bool,
    rucio: Connection,
    output: Output,
    consent: Consent,
) -> None:
    """Unregister assets from one RSE.

    Copies elsewhere stay. Needs an account that is a registrar.

    Lines: collection, item, asset, state, DID, reason.

    Examples:
        stac-rucio deregister --api https://stac.example.org/v1 -c alps --rse STAC --dry-run
        stac-rucio deregister - --rse STAC --yes < items.ndjson
        stac-rucio deregister items.ndjson --rse STAC --bad
    """
    from stac_client._in_rucio import ailment, registered
    from stac_client._tables import counted
    from stac_client._writer import deregister as unregister

    rucio.require_scope()
    if consent.dry_run or not consent.yes:
        consent.require_answerable()
        rucio.session.source_rse(rse, f"deregistering at RSE {rse}")
        counts = {"files": 0, "registered": 0}
        for asset, file in in_rucio(items, assets, rucio):
            counts["files"] += 1
            if file is not None and registered(file, rse):
                counts["registered"] += not bad or ailment(asset.did, file, rse) is not None
        if consent.dry_run or output.for_people:
            output.facts(_REGISTERED, counts)
        if consent.dry_run:
            return
        consent.confirm(f"Deregister {counted(counts['registered'], 'asset')} at {rse}?")
    resumable("The same command goes on: what is not registered any more is skipped.")

    def work(found: Reading) -> Iterator[Outcome]:
        # Not `delete_replicas`: that holds the outcomes of all assets.
        return unregister(rucio.session, found, rse, assets, rucio.scope, only_bad=bad)

    follow("deregistering", items, work, output)


def in_rucio(
    items: ItemSource, assets: AssetSelection, rucio: Connection
) -> Iterator[tuple[Asset, RucioFile | None]]:
    """Yield the assets of items, each with what Rucio knows of it."""
    from stac_client._assets import registrable
    from stac_client._rucio import batched

    for batch in batched(registrable(items, assets, rucio.scope)):
        by_did = {asset.did: asset for asset in batch}
        known = rucio.session.files(by_did)
        yield from ((asset, known.get(did)) for did, asset in by_did.items())


def default_journal(items: ItemSource, rse: str, assets: AssetSelection, rucio: Connection) -> Path:
    """Name a journal from all that it depends on, in the user's folder for such things."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    depends_on = (rucio.session.host, rse, items.name, assets, rucio.scope)
    part = items.partition
    digest = hashlib.sha256(repr(depends_on).encode()).hexdigest()[:8]
    named = "stdin" if "-" in items.files else Path(items.name).name
    place = urlsplit(items.api or "").hostname or named
    readable = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{rse}-{place}").strip("-")[:100]
    of_part = f"-{part.number}-of-{part.count}" if part else ""
    return Path(state, "stac-rucio", f"{readable}-{digest}{of_part}.journal")


def _register(
    items: ItemSource, rse: str, journal: Path, rucio: Connection, output: Output, **options: Any
) -> None:
    rucio.headers = items.origin_headers

    def work(found: Reading) -> Iterator[Outcome]:
        taken = replace(items.partition, is_taken=True)
        return rucio.stac.sync(
            found, rse, journal, partition=taken, on_progress=found.on_progress, **options
        )

    follow("registering", items, work, output)


def _not_done(
    items: Iterable[ItemDict], journal: Path, registrar: Registrar, part: Partition
) -> Iterator[ItemDict]:
    from stac_client._journal import Journal, registration_purpose

    purpose = registration_purpose(registrar.rse, registrar.rucio.host, part)
    with Journal(journal, purpose) as opened:
        yield from registrar.new(items, opened)


def _planning(assets: AssetSelection, registration: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the options of a plan of a registration."""
    return {"assets": assets, **{name: registration[name] for name in _OF_PLANS}}


def _show_plan(  # noqa: PLR0917 - as many things make a plan
    items: ItemSource,
    rse: str,
    rucio: Connection,
    output: Output,
    planning: Mapping[str, Any],
    new: Callable[[Reading], Iterable[ItemDict]] | None = None,
) -> None:
    with reading("planning", items) as found:
        taken = replace(items.partition, is_taken=True)
        plan = rucio.stac.plan(new(found) if new else found, rse, partition=taken, **planning)
    if output.for_people:
        show(plan)
        return
    if output.as_json:
        write_json(vars(plan))
        return
    for name in _PLAN:
        output.row([name], vars(plan), kind=name)
    hosts = ({"host": host, "files": files} for host, files in plan.hosts.most_common())
    output.rows(["host", "files"], hosts, kind="host")
    kinds = ({"access": kind, "files": files} for kind, files in plan.access.most_common())
    output.rows(["access", "files"], kinds, kind="access")
    output.rows(["because"], ({"because": why} for why in plan.no_head.values()), kind="no-head")
    for reason, count in plan.rejected.most_common():
        row = {"assets": count, "reason": reason, "example": plan.examples[reason][0]}
        output.row([*row], row, kind="rejected")
