"""Rucio's own server and daemons, unmodified, on an SQLite database that bears them.

    RUCIO_CONFIG=…/etc/server.cfg gunicorn "stac_testbed.rucio_server:create_app()"
    RUCIO_CONFIG=…/etc/server.cfg python -m stac_testbed.rucio_server database
    RUCIO_CONFIG=…/etc/server.cfg python -m stac_testbed.rucio_server daemons
    RUCIO_CONFIG=…/etc/server.cfg python -m stac_testbed.rucio_server undertaker reaper

The daemons are threads of one process, which spares the lake the imports and the memory of ten.
Each is called as its `rucio-… --run-once` command would call it, again and again, without the
ten seconds in which it waits for other instances of itself. (Looping by itself, the poller
leaves a transfer that is under way alone for ten minutes.)

Nothing needs to be done soon after nothing has changed for a while: server and daemons write
down, in the file that `CHANGES` names, that they have changed the database, and the daemons
run seldom until they have. What deletes and what judges replicas runs when it is asked for, once.
"""

from __future__ import annotations

import functools
import logging
import os
import signal
import sqlite3
import sys
import threading
import time
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import event, or_
from sqlalchemy.engine import Engine
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.pool import Pool
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import BooleanClauseList

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from flask import Flask

CHANGES = "STAC_TESTBED_CHANGES"
"""Environment variable with the path of a file that grows by a byte with each change."""

_WAIT_S = 60.0
_PAUSE_S = 1.0
_BUSY_S = 15.0
_IDLE_PAUSE_S = 20.0
_REPAIR_S = 60.0
_FILES_PER_JOB = 50
_ALTERNATIVES = 100


def create_app() -> Flask:
    """Return Rucio's own WSGI application."""
    _prepare()
    from rucio.web.rest.main import application

    app: Flask = application
    return app


def make_database() -> None:
    """Create the tables, the base VO and the root account, by Rucio's own functions."""
    from rucio.db.sqla.session import get_engine
    from rucio.db.sqla.util import build_database, create_base_vo, create_root_account

    engine = get_engine()
    if engine.dialect.name == "sqlite":
        # Kept in the file: readers no longer wait for the writer.
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
    build_database()
    create_base_vo()
    create_root_account()


def daemons() -> dict[str, Callable[[], None]]:
    """Return one run of each daemon, by the name of its command."""
    from rucio.core.rule import get_stuck_rules
    from rucio.daemons.abacus import account, collection_replica, rse
    from rucio.daemons.conveyor import finisher, poller, submitter
    from rucio.daemons.judge import cleaner, evaluator, injector, repairer

    # Run once, it would take every stuck rule anew each second, in vain, and change it.
    repairer.get_stuck_rules = lambda **options: get_stuck_rules(**{**options, "delta": _REPAIR_S})
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


def lifecycle_daemons() -> dict[str, Callable[[], None]]:
    """Return one run of each daemon that runs only when it is asked for, by its command's name."""
    from rucio.daemons.badreplicas import minos, minos_temporary_expiration, necromancer
    from rucio.daemons.common import run_daemon
    from rucio.daemons.reaper import reaper
    from rucio.daemons.undertaker import undertaker

    for module in (minos, minos_temporary_expiration, necromancer):
        # They have no option for not waiting for other instances of themselves.
        module.run_daemon = lambda **options: run_daemon(**{**options, "partition_wait_time": 0})
    deletion = {"rses": (), "include_rses": None, "exclude_rses": None}
    return {
        "undertaker": functools.partial(undertaker.undertaker, once=True),
        "necromancer": functools.partial(necromancer.necromancer, bulk=1000, once=True),
        "minos": functools.partial(minos.minos, once=True),
        "minos-temporary-expiration": functools.partial(
            minos_temporary_expiration.minos_tu_expiration, once=True
        ),
        "reaper": functools.partial(reaper.reaper, once=True, chunk_size=5000, **deletion),
    }


def run_once(names: Iterable[str]) -> None:
    """Run daemons that run only when they are asked for, in this order."""
    _prepare_daemons()
    found = lifecycle_daemons()
    for name in names:
        found[name]()


def _prepare_daemons() -> None:
    _prepare()
    from rucio.common.logging import setup_logging

    setup_logging(process_name="stac-testbed-daemons")


def run_daemons() -> None:
    """Run all daemons until the process is told to stop."""
    _prepare_daemons()
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
    changes = Changes()
    ran_s = float("-inf")
    while not stopping.wait(_PAUSE_S):
        if not changes.recent() and time.monotonic() < ran_s + _IDLE_PAUSE_S:
            continue
        ran_s = time.monotonic()
        try:
            daemon()
        except Exception:
            # As in production, where the next run of the command tries again.
            logging.getLogger(__name__).exception("%s failed", threading.current_thread().name)


def _prepare() -> None:
    """Do what must be done before Rucio is imported, which connects to its database."""
    take_turns()
    group_alternatives()
    announce_changes()


class Changes:
    """The changes of a database as the processes that make them announce them."""

    def __init__(self) -> None:
        self._path = os.environ.get(CHANGES)
        self._seen = -1
        self._changed_s = 0.0

    def recent(self) -> bool:
        """Return whether there were changes lately, or nobody announces any."""
        if self._path is None:
            return True
        size = Path(self._path).stat().st_size if Path(self._path).exists() else 0
        if size != self._seen:
            self._seen, self._changed_s = size, time.monotonic()
        return time.monotonic() < self._changed_s + _BUSY_S


def announce_changes() -> None:
    """Announce when a transaction of this process has ended that changed the database.

    That daemons are alive is no change: they write it down with each run.
    """
    path = os.environ.get(CHANGES)
    if path is None:
        return
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(connection: Any, cursor: Any, statement: str, *_: object) -> None:
        verb = statement.lstrip()[:6].upper()
        if verb in {"INSERT", "UPDATE", "DELETE"} and "heartbeats" not in statement.lower():
            connection.info[CHANGES] = connection.info.get(CHANGES) or cursor.rowcount != 0

    def announce(_: object, record: Any) -> None:
        if record.info.pop(CHANGES, False):
            os.write(file, b".")

    event.listen(Engine, "after_cursor_execute", note)
    event.listen(Pool, "checkin", announce)


def take_turns() -> None:
    """Let transactions that write wait for each other instead of failing.

    SQLite has one writer at a time. A transaction that has read before it asks
    to write is refused at once ("database is locked") if another one has
    written meanwhile, however long it would wait. Here it asks with its first
    statement that writes anything, be it to a temporary table as Rucio's do,
    and no select that is not read to its end holds on to what was there before.
    The disk is not waited for meanwhile.
    """
    event.listen(Engine, "do_connect", _read_at_once)
    event.listen(Engine, "connect", _outlive_no_power_cut)
    event.listen(Engine, "checkout", _begin_immediate)


def _read_at_once(dialect: Any, _record: object, _args: object, parameters: Any) -> None:
    if dialect.name == "sqlite":
        parameters.update(factory=_Connection, timeout=_WAIT_S)


def _outlive_no_power_cut(connection: object, *_: object) -> None:
    """Do not wait for the disk with each transaction, which takes longer than all the rest.

    What the processes of a lake have written stays when they are killed. A power cut may take
    the last transactions, but leaves a database that is whole.
    """
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous=NORMAL").close()


def _begin_immediate(connection: object, *_: object) -> None:
    if isinstance(connection, sqlite3.Connection):
        connection.isolation_level = "IMMEDIATE"


def group_alternatives() -> None:
    """Write long conditions so that SQLite takes them: `(a OR b) OR (c OR d)`.

    It nests `a OR b OR c OR d` and refuses what is nested more than 1,000 deep, as the condition
    is by which Rucio looks for transfers that are there already, of 1,000 files at a time. Without
    this, it accepts a rule over so many files, and never makes it.
    """

    def grouped(condition: Any, compiler: Any, **options: Any) -> str:
        clauses = list(condition.clauses)
        if condition.operator is not operators.or_ or len(clauses) <= _ALTERNATIVES:
            return str(compiler.visit_clauselist(condition, **options))
        starts = range(0, len(clauses), _ALTERNATIVES)
        groups = (or_(*clauses[start : start + _ALTERNATIVES]) for start in starts)
        return " OR ".join(f"({compiler.process(group, **options)})" for group in groups)

    compiles(BooleanClauseList, "sqlite")(grouped)


class _Cursor(sqlite3.Cursor):
    """A cursor that has read all rows when `execute` returns."""

    _rows: Iterator[Any] = iter(())

    def execute(self, *args: Any) -> _Cursor:
        super().execute(*args)
        self._rows = iter(super().fetchall())
        return self

    def fetchone(self) -> Any:
        return next(self._rows, None)

    def fetchmany(self, size: int | None = None) -> list[Any]:
        return list(islice(self._rows, self.arraysize if size is None else size))

    def fetchall(self) -> list[Any]:
        return list(self._rows)

    def __next__(self) -> Any:
        return next(self._rows)


class _Connection(sqlite3.Connection):
    def cursor(self, factory: Any = _Cursor) -> Any:
        return super().cursor(factory)


if __name__ == "__main__":
    if sys.argv[1:] == ["database"]:
        make_database()
    elif sys.argv[1:] == ["daemons"]:
        run_daemons()
    else:
        run_once(sys.argv[1:])
