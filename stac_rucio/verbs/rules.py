"""`stac-rucio replicate`, `rules`, `status` and `wait`."""

from __future__ import annotations

import json
import sys
from itertools import chain
from typing import TYPE_CHECKING, Any

import click

from stac_rucio.errors import ExitCode, Failure, resumable
from stac_rucio.inputs import is_rule_id
from stac_rucio.options import ACCOUNT, choice, duration, flag, items, number, option, verb
from stac_rucio.output import progress, reading, say, show, write_line
from stac_rucio.verbs.catalogue import in_rucio

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from stac_client._items import ItemDict
    from stac_client._rules import ReplicationRules
    from stac_client._selection import AssetSelection
    from stac_client._status import RuleStatus
    from stac_rucio.inputs import Connection, ItemSource
    from stac_rucio.options import Consent
    from stac_rucio.output import Output

_PLANNED = {
    "rules": "rules",
    "copies": "copies of each file",
    "rses": "at RSEs",
    "files": "files",
    "size_bytes": "size",
    "paid_bytes": "of these paid for by the gateway's account",
    "not_registered": "not registered yet",
    "within_limits": "within the account's limits",
}
_LIFETIME = duration("--lifetime lifetime_s", "Time until the rule ends.")
_RULE = ("id", "state", "rse_expression", "copies")
_RULES = (*_RULE, "locks_ok", "locks_replicating", "locks_stuck", "did", "error", "expires_at")
_MOST_BARS = 10  # for a rule each; of more rules there is one for all
_AVAILABILITY = ("collection", "item", "rse", "available", "coming", "assets")
_STATUS = (
    *("rule_id", "rule_state", "collection", "item", "rse"),
    *("ok", "replicating", "stuck_files", "reason"),
)


@verb(
    "replicate",
    option("--rses", "RSE expression: where copies shall be.", "EXPRESSION", required=True),
    number("--copies", "How many.", default=1),
    _LIFETIME,
    option("--activity", "Activity of the transfers; one of the server's."),
    option("--comment", "Comment stored with the rule."),
    choice("--grouping", "What is kept together at an RSE.", ["DATASET", "ALL", "NONE"], "DATASET"),
    flag("--per-item", "One rule for each item, over all its assets."),
    option(
        "--dataset-scope",
        "Scope of the dataset that holds the files; by default user.ACCOUNT if there is one.",
        "SCOPE",
    ),
)
def replicate(
    *,
    items: ItemSource,
    rses: str,
    assets: AssetSelection,
    dry_run: bool,
    rucio: Connection,
    output: Output,
    **rule: Any,
) -> None:
    r"""Ask Rucio for copies of registered assets.

    One replication rule is made, over one dataset that holds the files of all items; or one
    for each item with --per-item. Asking again gives the same rules; those that would end
    too early are extended.

    Lines: the ids of the rules, which `wait`, `status` and `rules delete` take.

    Examples:
        stac-rucio replicate --api https://stac.example.org/v1 -c alps --rses tier=disk
        stac-rucio replicate items.json --assets red,nir --rses 'tier=disk' --copies 2 \
            --lifetime 30d | stac-rucio wait -
    """
    if rule["per_item"] and (assets is not None or rule["dataset_scope"]):
        raise click.UsageError(
            "--per-item makes rules over whole items: it goes with none of --assets, --role, "
            "--media-type and --dataset-scope"
        )
    if dry_run:
        _show_replication(items, rses, rule, assets, rucio, output)
        return
    resumable("Run it again: a rule that was made by then is found.")
    with reading("replicating", items) as found:
        rules = rucio.stac.create_replication_rules(found, rses, assets=assets, **rule)
    if output.as_json or output.for_people:
        _show_rules(output, rules)
        return
    for made in rules:
        write_line(made.id)


def _show_replication(  # noqa: PLR0917 - as many things are shown
    items: ItemSource,
    rses: str,
    rule: Mapping[str, Any],
    assets: AssetSelection,
    rucio: Connection,
    output: Output,
) -> None:
    """Show what rules would be made, over how many files."""
    from stac_client._new_rules import fits, left_of_limits, require_any
    from stac_client._tables import counted
    from stac_policy.access import Kind

    names = rucio.session.rses(rses)
    if rule["copies"] > len(names):
        text = f"{rule['copies']} copies at {rses}, which is {counted(len(names), 'RSE')}"
        raise Failure(f"{text}: {', '.join(names)}", ExitCode.CONFIGURATION)
    if rule["dataset_scope"]:
        rucio.session.require_scope(rule["dataset_scope"])
    left = rucio.session.ask(
        "asking for the limits of the account", lambda client: left_of_limits(client, rses)
    )
    files = size_bytes = paid_bytes = missing = 0
    datasets = set()
    for asset, file in in_rucio(items, assets, rucio):
        if file is None:
            missing += 1
            continue
        files += 1
        size_bytes += file.size_bytes
        paid_bytes += file.size_bytes if asset.access.kind is Kind.REQUESTER_PAYS else 0
        datasets.add(asset.dataset)
    require_any(files + missing)
    found = {
        "rules": len(datasets) if rule["per_item"] else min(files, 1),
        "copies": rule["copies"],
        "rses": names if output.as_json else ", ".join(names),
        "files": files,
        "size_bytes": size_bytes,
        "paid_bytes": paid_bytes,
        "not_registered": missing,
        "within_limits": fits(
            size_bytes,
            rule["copies"],
            [*left.values()],
            "NONE" if rule["per_item"] else rule["grouping"],
        ),
    }
    output.facts(_PLANNED, found)


def _show_rules(output: Output, rules: ReplicationRules, *, owned: bool = False) -> None:
    """Write rules: for people with fewer columns, and what is long in lines of their own."""
    from stac_client._tables import cell

    rows = rules.to_dicts()
    if not output.for_people:
        output.rows(_RULES, rows)
        return
    for row, rule in zip(rows, rules, strict=True):
        row["files_ok"] = f"{rule.locks_ok:,} of {rule.locks:,}"
        row["locks_stuck"] = rule.locks_stuck or None
    output.rows((*_RULE, "files_ok", "locks_stuck"), rows)
    for rule in rules:
        of = f"of account {rule.account}, over {rule.did}" if owned else ""
        end = f"ends at {cell(rule.expires_at)} UTC" if rule.expires_at else ""
        if told := "; ".join(filter(None, [of, end, rule.error])):
            say(f" rule {rule.id}: {told}")


# Rules are named by their ids, on the command line or on standard input.


def rule_ids(words: Sequence[str]) -> list[str]:
    """Return the ids that a command line names; `-` stands for those on standard input.

    Raises:
        click.UsageError: There are none, or something else is among them.
    """
    from stac_client._rules import not_an_id

    ids: list[str] = []
    for word in words:
        ids += ids_of_lines(sys.stdin.buffer) if word == "-" else [word]
    if text := not_an_id(ids):
        raise click.UsageError(text)
    if not ids and "-" in words:
        raise Failure("no rules: there are none in standard input", ExitCode.CONFIGURATION)
    if not ids:
        raise click.UsageError("no rules: give their ids, or - for standard input")
    return list(dict.fromkeys(ids))


def ids_of_lines(lines: Iterable[bytes]) -> Iterator[str]:
    """Yield the ids of rules as `replicate` prints them: alone, first of a line, or in JSON."""
    for line in lines:
        text = line.decode(errors="replace").strip()
        if text:
            yield _id_in_json(text) or text.split()[0]


def _id_in_json(text: str) -> str | None:
    """The id of a rule as `--json` prints it; items in JSON have ids too, but are no rules."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    is_rule = isinstance(value, dict) and "rse_expression" in value
    return str(value.get("id")) if is_rule else None


_RULE_IDS = click.Argument(["ids"], nargs=-1, metavar="RULE-ID...")


@click.group()
def rules() -> None:
    """List, extend, retry or delete replication rules."""


@verb("list", items(required=False))
def list_rules(
    *, items: ItemSource | None, assets: AssetSelection, rucio: Connection, output: Output
) -> None:
    """List the rules of the account, or those of all accounts over items.

    Lines: id, state, RSE expression, copies, files OK, replicating, stuck, DID, error, end.
    With --json also the account and when they were made.

    Examples:
        stac-rucio rules list
        stac-rucio rules list items.json --assets red
    """
    if items is None:
        _require_all(assets)
    found = rucio.stac.replication_rules(over=items, assets=assets)
    _show_rules(output, found, owned=True)


@verb(
    "extend",
    _RULE_IDS,
    _LIFETIME,
    flag("--for-ever", "Let them have no end."),
    ACCOUNT,
)
def extend(
    *,
    ids: Sequence[str],
    lifetime_s: int | None,
    for_ever: bool,
    rucio: Connection,
    output: Output,
) -> None:
    """Let rules end later, or earlier: the time counts from now.

    Lines: id, state, RSE expression, copies, files OK, replicating, stuck, DID, error, end.

    Examples:
        stac-rucio rules extend 9f86d081884c7d659a2feaa0c55ad015 --lifetime 30d
    """
    if for_ever == (lifetime_s is not None):
        raise click.UsageError("give --lifetime TIME or --for-ever")
    wanted = rule_ids(ids)
    rucio.stac.extend_replication_rules(wanted, lifetime_s)
    _show_rules(output, rucio.stac.replication_rules(wanted))


@verb("retry", _RULE_IDS, ACCOUNT)
def retry(*, ids: Sequence[str], rucio: Connection, output: Output) -> None:
    """Have the stuck files of rules tried again.

    Rucio's judge-repairer does it when it comes by. By itself it tries every 2 hours on the
    first day, every 4 on the second, every 6 on the third, then every 8, for 14 days.
    Rucio's generic permissions let administrators alone ask for more.

    Lines: id, state, RSE expression, copies, files OK, replicating, stuck, DID, error, end.

    Examples:
        stac-rucio rules retry 9f86d081884c7d659a2feaa0c55ad015
    """
    wanted = rule_ids(ids)
    rucio.stac.retry_replication_rules(wanted)
    _show_rules(output, rucio.stac.replication_rules(wanted))


@verb(
    "delete",
    _RULE_IDS,
    flag("--at-once", "Skip Rucio's one-hour grace period."),
    flag("--purge", "Have the copies deleted then, not when their space is needed."),
    ACCOUNT,
)
def delete(
    *,
    ids: Sequence[str],
    rucio: Connection,
    output: Output,
    consent: Consent,
    **options: bool,
) -> None:
    """Delete rules; Rucio may then delete the copies that no other rule wants.

    It does when it needs their space; at once with --purge, and at RSEs with the attribute
    greedyDeletion. With - ids come from standard input, as `replicate` prints them.

    Lines: id, state, RSE expression, copies, files OK, replicating, stuck, DID, error, end
    of the deleted rules.

    Examples:
        stac-rucio rules delete 9f86d081884c7d659a2feaa0c55ad015
        stac-rucio rules delete --yes --at-once - < rules.txt
    """
    from stac_client._tables import counted

    consent.require_answerable()
    found = rucio.stac.replication_rules(rule_ids(ids))
    if consent.dry_run or output.for_people:
        _show_rules(output, found)
    if consent.dry_run:
        return
    consent.confirm(f"Delete {counted(len(found), 'rule')}?")
    resumable("Rules may be left; the same command deletes them.")
    rucio.stac.delete_replication_rules(found, **options)
    if output.for_people:
        click.echo(f"{counted(len(found), 'rule')} deleted")
    else:
        _show_rules(output, found)


def _require_all(assets: AssetSelection) -> None:
    if assets is not None:
        raise click.UsageError(
            "--assets, --role and --media-type are about assets of items, and none are given"
        )


for command in (list_rules, extend, retry, delete):
    rules.add_command(command)


@verb(
    "status",
    items("RULE-ID | ITEMS"),
    flag("--items by_item", "Say it of each item at each RSE: Rucio lists every copy then."),
)
def status(
    *,
    items: ItemSource,
    assets: AssetSelection,
    by_item: bool,
    rucio: Connection,
    output: Output,
) -> None:
    """Show how far rules are, or where the assets of items are.

    Of rules, given by their ids, the lines are: rule, its state, collection and item (empty
    without --items), RSE, files OK, replicating and stuck there, and why they are stuck; with
    --json the names of those that are stuck, and with --items of all that are missing. It ends
    with exit code 6 if one is SUSPENDED or INCOMPLETE. Of items the lines are: collection, item,
    RSE, assets available there, assets on their way, all assets.

    Examples:
        stac-rucio status 9f86d081884c7d659a2feaa0c55ad015
        stac-rucio status --items 9f86d081884c7d659a2feaa0c55ad015
        stac-rucio status --api https://stac.example.org/v1 -c alps --json
        stac-rucio replicate items.json --rses tier=disk | stac-rucio status -
    """
    from stac_client._items import iter_items, read_stream
    from stac_client._tables import counted

    ids: list[str] = []
    found: Iterable[ItemDict] = items
    if [*items.files] == ["-"]:
        begin = sys.stdin.buffer.readline()
        lines = chain([begin], sys.stdin.buffer)
        if is_rule_id(next(ids_of_lines([begin]), "")):
            ids = [*ids_of_lines(lines)]
        else:
            read = read_stream(lines, "standard input").items
            found = iter_items(items.told(read), items.completion)
    elif any(map(is_rule_id, items.files)):
        if not all(map(is_rule_id, items.files)):
            raise click.UsageError("give ids of rules or items, not both")
        ids = [*items.files]
    if ids:
        _require_all(assets)
        _show_status(rucio.stac.rule_status(rule_ids(ids), by_item=by_item), output)
        return
    if by_item:
        raise click.UsageError("--items is for rules; of items it is said in any case")
    availability = rucio.stac.replication_availability(found, assets=assets)
    if output.for_people:
        show(availability)
        return
    rows = zip(availability.to_dicts(), availability, strict=True)
    output.rows(_AVAILABILITY, ({**row, "complete": each.complete} for row, each in rows))
    if absent := sum(not row.rse for row in availability):
        said = f"{counted(absent, 'item')} not registered: `stac-rucio register` does it"
        click.echo(said, err=True)


def _show_status(found: RuleStatus, output: Output) -> None:
    if output.for_people:
        show(found)
    else:
        more = ({"stuck_files": len(each.stuck), "reason": each.reason} for each in found)
        rows = zip(found.to_dicts(), more, strict=True)
        output.rows(_STATUS, (row | counted for row, counted in rows))
    _require_unended({row.rule_id: row.rule_state for row in found})


def _require_unended(states: Mapping[str, str]) -> None:
    from stac_client._rules import ENDED
    from stac_client._tables import counted

    if ended := [state for state in states.values() if state in ENDED]:
        text = f"{len(ended):,} of {counted(len(states), 'rule')} {', '.join(sorted({*ended}))}"
        raise Failure(text, ExitCode.UNFINISHED)


@verb(
    "wait",
    _RULE_IDS,
    duration("--timeout timeout_s", "How long to wait.", least=0.0, default="1d"),
    duration(
        "--poll poll_s", "How long to wait until Rucio is asked again.", least=0.1, default=5.0
    ),
    flag("--through-stuck", "Wait for STUCK rules, too, which Rucio tries to repair for 14 days."),
    ACCOUNT,
)
def wait(*, ids: Sequence[str], rucio: Connection, output: Output, **options: Any) -> None:
    """Wait until rules are OK.

    Then all their copies are where they shall be. With - ids come from standard
    input, as `replicate` prints them. It ends with exit code 6 when the time is
    over, or when all rules that are not OK are STUCK, SUSPENDED, INCOMPLETE (files that
    they were made for are gone) or GONE, so that nobody waits for what may never come.

    Lines: id, state, RSE expression, copies, files OK, replicating, stuck, DID, error, end.

    Examples:
        stac-rucio wait 9f86d081884c7d659a2feaa0c55ad015 --timeout 3600
        stac-rucio replicate items.json --rses tier=disk | stac-rucio wait -
    """
    from stac_client._tables import counted

    wanted = rule_ids(ids)
    resumable("The rules go on without you; the same command waits for them again.")
    with progress() as show:

        def on_update(now: ReplicationRules) -> None:
            if len(now) > _MOST_BARS:
                done, total = sum(rule.locks_ok for rule in now), sum(rule.locks for rule in now)
                show("rules", done, total or None, str(now))
                return
            for rule in now:
                said = f"{rule.locks_ok:,} of {rule.locks:,} files {rule.state}"
                show(f"rule {rule.id[:8]}", rule.locks_ok, rule.locks or None, said)

        latest = rucio.stac.wait(wanted, on_update=on_update, **options)
    _show_rules(output, latest)
    unfinished = [rule for rule in latest if rule.state != "OK"]
    if unfinished:
        states = ", ".join(sorted({rule.state for rule in unfinished}))
        raise Failure(
            f"{len(unfinished):,} of {counted(len(latest), 'rule')} not OK but {states}; "
            f"`stac-rucio status {unfinished[0].id}` says more",
            ExitCode.UNFINISHED,
        )
