"""`stac-rucio wait`."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import click

from stac_rucio.commands import option, verb
from stac_rucio.exits import ExitCode, Failure, resumable
from stac_rucio.options import takes_output, takes_rucio
from stac_rucio.progress import progress
from stac_rucio.rules import rule_ids, show_rules
from stac_rucio.text import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stac_client import Rule
    from stac_rucio.connection import Connection
    from stac_rucio.output import Output

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
