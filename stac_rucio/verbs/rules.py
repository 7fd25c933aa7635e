"""`stac-rucio replicate`."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from contextlib import suppress
from dataclasses import asdict
from itertools import chain, groupby
from typing import TYPE_CHECKING, Any

import click

from stac_client._items import read_stream
from stac_rucio.errors import ExitCode, Failure, counted, printable, resumable
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
from stac_rucio.output import Column, progress, write_line
from stac_rucio.verbs.admin import confirm, must_be_answerable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from stac_client import Availability, ItemStatus, Rule
    from stac_rucio.options import AssetOptions, Connection, ItemSource
    from stac_rucio.output import Output


# What rules would be made, over what, shown.


_FACTS = (
    Column("rules", "rules", "number"),
    Column("copies", "copies of each file", "number"),
    Column("rses", "at RSEs"),
    Column("files", "files", "number"),
    Column("size_bytes", "size", "bytes"),
    Column("not_registered", "not registered yet", "number"),
)


def show_replication(  # noqa: PLR0917 - as many things are shown
    items: ItemSource,
    rses: str,
    copies: int,
    assets: AssetOptions,
    rucio: Connection,
    output: Output,
    *,
    per_item: bool,
) -> None:
    """Show what rules would be made, over how many files.

    Raises:
        StacRucioError: The RSE expression is wrong, or a server does not answer.
    """
    from stac_client._assets import registrable
    from stac_client._items import iter_items
    from stac_client._rucio import batched, list_files
    from stac_client.errors import rucio_errors

    with rucio_errors(f"asking for the RSEs of {rses}"):
        names = sorted(entry["rse"] for entry in rucio.rucio.list_rses(rses))
    found: dict[str, Any] = {"copies": copies, "rses": ", ".join(names)}
    files = size_bytes = missing = 0
    datasets = set()
    wanted = registrable(iter_items(items.items()), assets.selection, rucio.scope)
    for batch in batched(wanted):
        known = list_files(rucio.rucio, [asset.did for asset in batch], all_states=True)
        files += len(known)
        size_bytes += sum(file.size_bytes for file in known.values())
        missing += len({asset.did for asset in batch} - {*known})
        datasets |= {asset.dataset for asset in batch if asset.did in known}
    found |= {"files": files, "size_bytes": size_bytes, "not_registered": missing}
    found["rules"] = len(datasets) if per_item else min(files, 1)
    if output.as_json:
        output.row(_FACTS, {**found, "rses": names})
    else:
        output.facts(_FACTS, found)


# Rules on the command line: their ids, and how they are shown.


RULES = (
    Column("id", "rule", "id"),
    Column("state", "state", "id"),
    Column("rse_expression", "RSE expression"),
    Column("copies", "copies", "number"),
    Column("locks_ok", "OK", "number"),
    Column("locks_replicating", "replicating", "number"),
    Column("locks_stuck", "stuck", "number"),
    Column("did", "over"),
    Column("error", "error"),
)
"""Columns of rules."""

_FOR_PEOPLE = (
    Column("id", "rule", "id"),
    Column("state", "state", "id"),
    Column("rse_expression", "RSE expression"),
    Column("copies", "copies", "number"),
    Column("files", "files OK", "id"),
    Column("locks_stuck", "stuck", "number"),
)
_ID = re.compile(r"[0-9a-f]{32}")


def is_rule_id(text: str) -> bool:
    """Tell a rule's id from the name of a file."""
    return bool(_ID.fullmatch(text.lower()))


def rule_ids(words: Sequence[str]) -> list[str]:
    """Give the ids that a command line names; `-` stands for those on standard input.

    Raises:
        click.UsageError: There are none, or something else is among them.
    """
    ids: list[str] = []
    for word in words:
        ids += ids_of_lines(sys.stdin.buffer) if word == "-" else [word]
    if wrong := next((word for word in ids if not is_rule_id(word)), None):
        raise click.UsageError(f"{wrong[:80]!r} is not the id of a rule, which has 32 hex digits")
    if not ids:
        raise click.UsageError("no rules: give their ids, or - for standard input")
    return list(dict.fromkeys(ids))


def ids_of_lines(lines: Iterable[bytes]) -> Iterator[str]:
    """Give the ids of rules as `replicate` prints them: alone, first of a line, or in JSON."""
    for line in lines:
        text = line.decode(errors="replace").strip()
        if text:
            yield _id_in_json(text) or text.split()[0]


def _id_in_json(text: str) -> str | None:
    """The id of a rule as `--json` prints it; items in JSON have ids too, but are no rules."""
    try:
        value = json.loads(text)
    except ValueError:
        return None
    is_rule = isinstance(value, dict) and "rse_expression" in value
    return str(value.get("id")) if is_rule else None


def show_rules(output: Output, rules: Iterable[Rule]) -> None:
    """Write rules: for people with fewer columns, and with errors in lines of their own."""
    rows = [*as_rows(rules)]
    if not output.for_people:
        output.rows(RULES, rows)
        return
    for row in rows:
        total = row["locks_ok"] + row["locks_replicating"] + row["locks_stuck"]
        row["files"] = f"{row['locks_ok']:,} of {total:,}"
        row["locks_stuck"] = row["locks_stuck"] or None
    output.rows(_FOR_PEOPLE, rows)
    for row in rows:
        if row["error"]:
            click.echo(printable(f" rule {row['id']}: {row['error']}"))


def as_rows(rules: Iterable[Rule]) -> Iterator[dict[str, Any]]:
    """All fields of rules, as JSON can hold them."""
    for rule in rules:
        yield {**asdict(rule), "did": str(rule.did)}


@verb(
    "replicate",
    "stac-rucio replicate --api https://stac.example.org/v1 -c alps --rses tier=disk",
    "stac-rucio replicate items.json --assets red,nir --rses 'tier=disk' --copies 2 \\\n"
    "    --lifetime 2592000 | stac-rucio wait -",
)
@takes_items()
@option(
    "--rses", required=True, metavar="EXPRESSION", help="RSE expression: where copies shall be."
)
@option("--copies", type=click.IntRange(min=1), default=1, show_default=True, help="How many.")
@option(
    "--lifetime", type=click.IntRange(min=1), metavar="SECONDS", help="Time until the rule ends."
)
@option("--activity", help="Activity of the transfers; one of the server's.")
@option("--comment", help="For people who look at the rule.")
@option(
    "--grouping",
    type=click.Choice(["DATASET", "ALL", "NONE"]),
    default="DATASET",
    show_default=True,
    help="What is kept together at an RSE.",
)
@option("--per-item", is_flag=True, help="One rule for each item, over all its assets.")
@option(
    "--dataset-scope",
    metavar="SCOPE",
    help="Scope of the dataset that holds the files; by default user.ACCOUNT if there is one.",
)
@takes_assets()
@dry_run
@takes_rucio()
@takes_output()
def replicate(  # noqa: PLR0917 - click gives them by name
    items: ItemSource,
    rses: str,
    copies: int,
    lifetime: int | None,
    activity: str | None,
    comment: str | None,
    grouping: str,
    dataset_scope: str | None,
    assets: AssetOptions,
    rucio: Connection,
    output: Output,
    *,
    per_item: bool,
    dry_run: bool,
) -> None:
    """Ask Rucio for copies of registered assets.

    One replication rule is made, over one dataset that holds the files of all items; or one
    for each item with --per-item. Asking again gives the same rules.

    Lines: the ids of the rules, which `wait`, `status` and `rules delete` take.
    """
    if per_item and (assets.selection is not None or dataset_scope):
        raise click.UsageError(
            "--per-item makes rules over whole items: it goes with none of --assets, --role, "
            "--media-type and --dataset-scope"
        )
    if dry_run:
        show_replication(items, rses, copies, assets, rucio, output, per_item=per_item)
        return
    resumable("Run it again: a rule that was made by then is found.")
    with progress() as show:

        def on_read(count: int, total: int | None) -> None:
            show("replicating", count, total, f"{count:,} items read")

        rules = rucio.stac.create_replication_rules(
            items.items(on_read),
            rses,
            assets=assets.selection,
            copies=copies,
            lifetime_s=lifetime,
            activity=activity,
            comment=comment,
            grouping=grouping,
            dataset_scope=dataset_scope,
            per_item=per_item,
        )
    if output.as_json or output.for_people:
        show_rules(output, rules)
        return
    for rule in rules:
        write_line(rule.id)


# `stac-rucio rules delete`.


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

# `stac-rucio status`.


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


# `stac-rucio wait`.


_STOPPED = frozenset({"OK", "STUCK", "SUSPENDED"})


@verb(
    "wait",
    "stac-rucio wait 9f86d081884c7d659a2feaa0c55ad015 --timeout 3600",
    "stac-rucio replicate items.json --rses tier=disk | stac-rucio wait -",
)
@click.argument("rules", nargs=-1, metavar="RULE-ID...")
@option(
    "--timeout",
    type=click.FloatRange(min=0),
    default=86_400.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait.",
)
@option(
    "--poll",
    type=click.FloatRange(min=0.1),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait before asking Rucio again.",
)
@takes_rucio(scope=False)
@takes_output()
def wait(
    rules: Sequence[str], timeout: float, poll: float, rucio: Connection, output: Output
) -> None:
    """Wait until rules are OK.

    Then all their copies are where they shall be. With - ids come from standard
    input, as `replicate` prints them. It ends with exit code 6 when the time is
    over, or when all rules that are not OK are STUCK or SUSPENDED, so that nobody
    waits for what may never come.

    Lines: id, state, RSE expression, copies, files OK, replicating, stuck, DID, error.
    """
    ids = rule_ids(rules)
    resumable("The rules go on without you; the same command waits for them again.")
    latest: Sequence[Rule] = rucio.stac.replication_rules(ids)
    with progress() as show:

        def on_update(now: Sequence[Rule]) -> None:
            nonlocal latest
            latest = now
            for rule in now:
                total = rule.locks_ok + rule.locks_replicating + rule.locks_stuck
                said = f"{rule.locks_ok:,} of {total:,} files {rule.state}"
                show(f"rule {rule.id[:8]}", rule.locks_ok, total or None, said)
            if all(rule.state in _STOPPED for rule in now):
                raise _StoppedError

        with suppress(_StoppedError):
            rucio.stac.wait(latest, timeout_s=timeout, poll_s=poll, on_update=on_update)
    show_rules(output, latest)
    unfinished = [rule for rule in latest if rule.state != "OK"]
    if unfinished:
        states = ", ".join(sorted({rule.state for rule in unfinished}))
        raise Failure(
            f"{len(unfinished):,} of {counted(len(latest), 'rule')} not OK but {states}; "
            f"`stac-rucio status {unfinished[0].id}` says more",
            ExitCode.UNFINISHED,
        )


class _StoppedError(Exception):
    """No rule will change by itself."""
