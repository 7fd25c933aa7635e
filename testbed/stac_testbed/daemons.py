"""Rucio's stock daemons, unmodified, as threads of one process.

Each daemon is called as its `rucio-… --run-once` command would call it, again
and again, without the ten seconds in which it waits for other instances of
itself. (Looping by itself, the poller leaves a transfer that is under way
alone for ten minutes.) One process spares the lake the imports and the memory
of ten.

    RUCIO_CONFIG=…/etc/server.cfg python -m stac_testbed.daemons
"""

from __future__ import annotations

import functools
import logging
import signal
import threading
from typing import TYPE_CHECKING

from .sqlite import take_turns

if TYPE_CHECKING:
    from collections.abc import Callable

_PAUSE_S = 1.0
_FILES_PER_JOB = 50


def daemons() -> dict[str, Callable[[], None]]:
    """One run of each daemon, by the name of its command."""
    from rucio.daemons.abacus import account, collection_replica, rse
    from rucio.daemons.conveyor import finisher, poller, submitter
    from rucio.daemons.judge import cleaner, evaluator, injector, repairer

    at_once = {"partition_wait_time": 0}
    return {
        name: functools.partial(function, once=True, **options)
        for name, (function, options) in {
            "conveyor-submitter": (submitter.submitter, {**at_once, "group_bulk": _FILES_PER_JOB}),
            "conveyor-poller": (poller.poller, {**at_once, "older_than": 0}),
            "conveyor-finisher": (finisher.finisher, at_once),
            "judge-evaluator": (evaluator.re_evaluator, {}),
            "judge-injector": (injector.rule_injector, {}),
            "judge-cleaner": (cleaner.rule_cleaner, {}),
            "judge-repairer": (repairer.rule_repairer, {}),
            "abacus-rse": (rse.rse_update, {}),
            "abacus-account": (account.account_update, {}),
            "abacus-collection-replica": (collection_replica.collection_replica_update, {}),
        }.items()
    }


def main() -> None:
    """Run all daemons until the process is told to stop."""
    take_turns()  # Rucio connects to its database as soon as it is imported
    from rucio.common.logging import setup_logging

    setup_logging(process_name="stac-testbed-daemons")
    stopping = threading.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: stopping.set())
    for name, daemon in daemons().items():
        # These threads end with the process; a transaction that is under way is then
        # rolled back, as after any crash.
        threading.Thread(target=_run, args=(daemon, stopping), name=name, daemon=True).start()
    logging.getLogger(__name__).info("daemons started")
    stopping.wait()


def _run(daemon: Callable[[], None], stopping: threading.Event) -> None:
    while not stopping.wait(_PAUSE_S):
        try:
            daemon()
        except Exception:
            # As in production, where the next run of the command tries again.
            logging.getLogger(__name__).exception("%s failed", threading.current_thread().name)


if __name__ == "__main__":
    main()
