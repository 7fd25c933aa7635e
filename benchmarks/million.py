"""A million assets: what each step costs, and what is asked of the whole at its first and last.

Everything lies in one folder: the lake, the items, the journal, and what was measured, so
that the same command goes on after whatever has stopped it. Where there is no time to
register all, `--registered` registers the last ones of each step, and copies the others,
in the database, from some that were registered first. Each figure is processor time
besides elapsed time, and tells what a yardstick took meanwhile: other work on the machine
makes both longer.
"""

from __future__ import annotations

import json
import os
import random
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from configparser import RawConfigParser
from contextlib import contextmanager, nullcontext, suppress
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from psutil import NoSuchProcess

from stac_client import StacClient
from stac_policy.naming import DID, asset_name
from stac_testbed.lake import bypass_proxies, load, running
from stac_testbed.processes import free_ports

from . import machine
from .database import sizes
from .items import make_items
from .million_report import write_report
from .setting import COPY_RSES, SOURCE_RSE, add_copies, busy_s, peak_mb, processes_of
from .yardstick import Yardstick

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Engine

    from stac_testbed import Lake

    Figures = dict[str, Any]

COLLECTION = "million"
_PARQUET = f"{COLLECTION}-parquet"
_PER_ITEM = 10  # assets
_BATCH = 1000  # DIDs in a request; of what was declared or is asked for at once
_NEW_FROM = 5_000_000  # number of the first item of those that come in between
_NEW_OF = 1000  # one in so many
_PAGES = 10
_WARM = 4  # pages; each thread of the server composes a statement once
_RULE_TIMEOUT_S = 3000
_SERVICES = {"server_s": "rucio-server", "postgresql_s": "postgresql", "daemons_s": "rucio-daemons"}
_LOOK_S = 0.2
_ADDS = "POST /replicas"
_STOPPED = "stopped"  # as the time of a stage was over
_NAMES = {"name", "child_name", "path"}
_NUMBER = "substring({0} from '_32TPS_(\\d{{7}})_')::int"
_MOVED = (
    "regexp_replace({0}, '_32TPS_\\d{{7}}_', "
    f"'_32TPS_' || lpad(({_NUMBER} + moved)::text, 7, '0') || '_', 'g')"
)
_STATEMENTS = """
    SELECT calls, total_exec_time / 1000, rows, left(query, 300) FROM public.pg_stat_statements
    ORDER BY total_exec_time DESC LIMIT 12
    """
_COUNTS = """
    SELECT count(*), sum(files), count(*) FILTER (WHERE files <> %(each)s),
           (SELECT count(*) FROM dids WHERE scope = %(scope)s AND did_type = 'F'),
           (SELECT count(*) FROM replicas WHERE scope = %(scope)s
            AND rse_id = (SELECT id FROM rses WHERE rse = %(rse)s))
    FROM (SELECT count(child_name) AS files FROM dids LEFT JOIN contents
          ON contents.scope = dids.scope AND contents.name = dids.name
          WHERE dids.scope = %(scope)s AND dids.did_type = 'D'
          AND dids.name NOT LIKE %(selections)s
          GROUP BY dids.name) AS datasets
    """


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--assets", default=1_000_000, show_default=True)
@click.option("--step", default=100_000, show_default=True, help="As in the runs before.")
@click.option("--registered", type=int, help="Of a step, and divides it; by default all are.")
@click.option("--rule-files", default=100_000, show_default=True, help="A step's, at most.")
@click.option("--parquet/--no-parquet", default=True, help="A step from stac-geoparquet at last.")
@click.option("--kill-at", type=int, help="SIGKILL half-way through this step; by default half.")
@click.option("--minutes", default=40.0, show_default=True, help="How long a stage may take.")
@click.option(
    "--memcached/--no-memcached", default=True, help="Which Rucio asks first, as at most sites."
)
def main(
    *,
    folder: Path,
    assets: int,
    step: int,
    registered: int | None,
    rule_files: int,
    parquet: bool,
    kill_at: int | None,
    minutes: float,
    memcached: bool,
) -> None:
    """Register a million assets in a lake that is kept in FOLDER, or go on with it."""
    bypass_proxies()
    folder.mkdir(parents=True, exist_ok=True)
    where = folder / "lake"
    if not where.exists():
        with running(where, database="postgresql") as lake:
            _prepare(lake)
    cache = _memcached(load(where).layout.server_cfg) if memcached else nullcontext()
    with cache, running(where) as lake:
        million = _Million(folder, lake, (step, registered or step), rule_files)
        million.deadline_s = time.monotonic() + minutes * 60
        try:
            million.run(assets // step, kill_at or assets // step // 2 + 1)
            if parquet:
                million.run_parquet()
        except _TimeOverError:
            click.echo("the time of this stage is over; the same command goes on")
        finally:
            write_report(million.figures, folder)


@contextmanager
def _memcached(server_cfg: Path) -> Iterator[None]:
    """Run a memcached for a lake's Rucio, which without asks its database the same all the time."""
    (port,) = free_ports(1)
    config = RawConfigParser()
    config.read(server_cfg, encoding="utf-8")
    config["cache"]["url"] = f"127.0.0.1:{port}"
    with server_cfg.open("w", encoding="utf-8") as file:
        config.write(file)
    command = ("memcached", "-u", "nobody", "-l", "127.0.0.1", "-p", str(port), "-U", "0")
    with subprocess.Popen(command) as process:
        try:
            yield
        finally:
            process.terminate()


class _TimeOverError(Exception):
    """A stage has taken as long as it may."""


class _Million:
    """What was measured, in a file of the folder, and what measures the rest."""

    deadline_s = float("inf")

    def __init__(self, folder: Path, lake: Lake, sizes: tuple[int, int], rule_files: int) -> None:
        from sqlalchemy import create_engine

        self._folder, self._lake = folder, lake
        self._step, self._registered = sizes
        self._rule_items = min(rule_files, self._step) // _PER_ITEM
        self._client = lake.client()
        self._stac = StacClient(self._client)
        self._engine: Engine = create_engine(lake.layout.database_url, isolation_level="AUTOCOMMIT")
        self._file = folder / "figures.json"
        self._journal = folder / "journal"
        self._access_log = lake.layout.access_log("rucio-server")
        self._read_from = 0
        self.figures: Figures = (
            json.loads(self._file.read_text(encoding="utf-8"))
            if self._file.exists()
            else {"step": self._step, "registered": self._registered, "steps": [], "questions": {}}
        )
        if (self.figures["step"], self.figures["registered"]) != sizes:
            raise click.UsageError(f"{folder} was begun with another --step or --registered")

    def run(self, steps: int, kill_at: int) -> None:
        """Take all steps, and ask the questions after the first and the last."""
        if self._registered < self._step:
            file = self._write("template", self._registered // _PER_ITEM, 0)
            self._once(self.figures, "template", lambda: self._whole([file]))
        for number in range(1, steps + 1):
            if number > len(self.figures["steps"]):
                self.figures["steps"].append({"runs": []})
            figures = self.figures["steps"][number - 1]
            if "tables" not in figures:
                self._register(number, figures, kill=number == kill_at)
            if number in {1, steps} and number == len(self.figures["steps"]):
                self._ask(number, self.figures["questions"].setdefault(str(number), {}))

    def run_parquet(self) -> None:
        """Register as many as of a step from stac-geoparquet, in a collection of their own."""
        self._once(self.figures, "parquet", self._parquet)

    def _register(self, number: int, figures: Figures, *, kill: bool) -> None:
        file = self._items_file(number)
        runs = figures["runs"]
        self._once(figures, "copied in the database", lambda: self._copy(number))
        killing = kill and not any("killed" in run["ended"] for run in runs)
        while not any(run["ended"] == "whole" for run in runs):
            half = self._registered / _BATCH / 2
            runs.append({"ended": "without figures"})
            self._save()
            runs[-1] = self._sync([file], kill_after=half if killing else None)
            killing = killing and "killed" not in runs[-1]["ended"]
            self._save()
            if runs[-1]["ended"] == _STOPPED:
                raise _TimeOverError
        figures["counts"] = self._count()
        figures["statements"] = self._statements()
        figures["tables"] = {name: [*row] for name, row in sizes(self._engine).items() if row[2]}
        self._save()
        click.echo(f"{number * self._step:,}: {figures['counts']}")

    def _ask(self, number: int, figures: Figures) -> None:
        last = self._items_file(number)
        sampled = self._registered < self._step
        files = [last] if sampled else [*map(self._items_file, range(1, number + 1))]
        new = len(files) * self._registered // _NEW_OF // _PER_ITEM
        first_new = _NEW_FROM + number * self._step // _PER_ITEM
        with_new = [*files, self._write(f"new-{number}", max(new, 1), first_new)]
        self._once(figures, "pages", self._pages)
        self._once(figures, "sync, nothing new", lambda: self._whole(files))
        self._once(figures, "sync, 0.1 % new", lambda: self._whole(with_new))
        some = [*self._items(self._first(number), _BATCH // _PER_ITEM)]
        registrar = StacClient(self._lake.client("registrar"))  # who may delete, as root may not

        def delete() -> None:
            registrar.delete_replicas(some, SOURCE_RSE).raise_for_failed()

        def register() -> None:
            self._stac.create_replicas(some, SOURCE_RSE).raise_for_failed()

        self._once(figures, "delete_replicas", lambda: self._measured(delete))
        self._once(figures, "counts without them", self._count)
        self._once(figures, "registered again", lambda: self._measured(register))
        self._once(figures, "counts", self._count)
        rule = f"rule over {self._rule_items * _PER_ITEM:,} files"
        self._once(
            figures, f"{rule}: copies declared", lambda: self._measured(self._copies(number))
        )
        self._once(figures, f"{rule}: made", partial(self._rule, number))
        rules = figures[f"{rule}: made"]["ids"]
        wait = partial(self._stac.wait, rules, timeout_s=_RULE_TIMEOUT_S, poll_s=2)
        self._once(figures, f"{rule}: until OK", lambda: self._measured(wait))
        status = partial(self._stac.rule_status, rules)
        self._once(figures, f"{rule}: status", lambda: self._measured(status, times=5))
        self._once(figures, f"{rule}: said", lambda: [str(each) for each in status()])
        self._once(figures, "statements", self._statements)

    def _once(self, figures: Figures, name: str, measure: Callable[[], Any]) -> None:
        """Measure what is not measured yet, and keep it."""
        if name in figures:
            return
        if time.monotonic() > self.deadline_s:
            raise _TimeOverError
        figures[name] = measure()
        self._save()
        click.echo(f"{name}: {figures[name]}")

    def _whole(self, files: list[Path]) -> Figures:
        figures = self._sync(files)
        if figures["ended"] == _STOPPED:
            raise _TimeOverError
        return figures

    def _sync(self, files: list[Path], kill_after: float | None = None) -> Figures:
        """Run `stac-rucio sync` as users do, and perhaps kill it after so many batches."""
        journal, log = self._journal, self._folder / "sync.log"
        command = (
            *(sys.executable, "-m", "stac_rucio", "sync", *map(str, files)),
            *("--rse", SOURCE_RSE, "--journal", str(journal)),
        )
        ended, peak = "whole", 0.0
        with Yardstick() as yardstick, log.open("wb") as out, self._measuring() as figures:
            environment = {**os.environ, **self._lake.environment()}
            process = subprocess.Popen(command, env=environment, stdout=out)
            while not (waited := os.wait4(process.pid, os.WNOHANG))[0]:
                peak = max(peak, _peak_mb(process.pid))
                if kill_after is not None and self._requests()[_ADDS] >= kill_after:
                    process.kill()
                    ended, kill_after = f"killed with {_in_journal(journal):,} items done", None
                elif time.monotonic() > self.deadline_s and ended == "whole":
                    process.terminate()
                    ended = _STOPPED
                time.sleep(_LOOK_S)
            process.returncode = os.waitstatus_to_exitcode(waited[1])
            usage = waited[2]
            figures["client_s"] = usage.ru_utime + usage.ru_stime
        figures |= {"client_mb": peak, "ended": ended, "states": _states(log)}
        figures["yardstick_s"] = yardstick.work_s
        if ended == "whole" and process.returncode:
            raise click.ClickException(f"sync ended with {process.returncode}: see {log}")
        return figures

    def _pages(self) -> Figures:
        """Annotate pages of 1,000 assets from anywhere among all."""
        last = len(self.figures["steps"]) * self._step - _BATCH
        starts = range(0, last + 1, _BATCH)
        chosen = random.Random(last).sample(starts, min(_PAGES, len(starts)))  # noqa: S311 - no secret
        pages = [[*self._items(first // _PER_ITEM, _BATCH // _PER_ITEM)] for first in chosen]
        modifier = self._stac.modifier.with_options(cache_s=0, strict=True, timeout_s=None)
        for _ in range(_WARM):
            modifier({"type": "FeatureCollection", "features": deepcopy(pages[0])})
        left = iter(pages)
        return self._measured(
            lambda: modifier({"type": "FeatureCollection", "features": next(left)}),
            times=len(pages),
        )

    def _parquet(self) -> Figures:
        import stac_geoparquet.arrow

        file = self._folder / f"{_PARQUET}.parquet"
        items = make_items(_PARQUET, self._registered // _PER_ITEM, _PER_ITEM)
        table = stac_geoparquet.arrow.parse_stac_items_to_arrow(items)
        stac_geoparquet.arrow.to_parquet(table, file)
        return {**self._whole([file]), "counts": self._count(_PARQUET)}

    def _copies(self, number: int) -> Callable[[], None]:
        """What says that the files of a step have a copy."""
        items = self._items(self._first(number), self._rule_items)
        dids = [
            DID(item["collection"], asset_name(item["collection"], item["id"], key, asset["href"]))
            for item in items
            for key, asset in item["assets"].items()
        ]
        return lambda: add_copies(self._client, dids, COPY_RSES[:1], _BATCH)

    def _rule(self, number: int) -> Figures:
        first, ids = self._first(number), list[str]()

        def make() -> None:
            made = self._stac.create_replication_rules(
                self._items(first, self._rule_items), COPY_RSES[0]
            )
            ids.extend(rule.id for rule in made)

        return {**self._measured(make), "ids": ids}

    def _measured(self, function: Callable[[], object], times: int = 1) -> Figures:
        """Call a function of this process, some times; figures are those of all together."""
        with self._measuring() as figures:
            begun_s = time.process_time()
            for _ in range(times):
                function()
            figures["client_s"] = time.process_time() - begun_s
        with Yardstick() as yardstick:
            time.sleep(2)
        return {**figures, "times": times, "yardstick_s": yardstick.work_s}

    @contextmanager
    def _measuring(self) -> Iterator[Figures]:
        """Measure what servers do while the block runs, which adds what the client does."""
        figures: Figures = {}
        self._read_from = self._access_log.stat().st_size
        before = {name: busy_s(self._lake, service) for name, service in _SERVICES.items()}
        begun_s = time.perf_counter()
        yield figures
        figures["seconds"] = time.perf_counter() - begun_s
        for name, service in _SERVICES.items():
            figures[name] = busy_s(self._lake, service) - before[name]
        figures["requests"] = dict(self._requests().most_common())
        figures["server_mb"] = _held_mb(self._lake, "rucio-server")
        figures["postgresql_mb"] = _held_mb(self._lake, "postgresql")
        figures["load"] = os.getloadavg()[0]
        self.figures["machine"] = machine.describe()

    def _requests(self) -> Counter[str]:
        """The requests since what is measured has begun."""
        with self._access_log.open(encoding="utf-8") as lines:
            lines.seek(self._read_from)
            return Counter(_request(line) for line in lines)

    def _count(self, scope: str = COLLECTION) -> Figures:
        """Count in the database what is registered: nothing may be lost or twice."""
        values = {
            "scope": scope, "rse": SOURCE_RSE, "each": _PER_ITEM, "selections": "stac-selection-%"
        }  # fmt: skip
        with self._engine.connect() as connection:
            (row,) = connection.exec_driver_sql(_COUNTS, values)
        names = ("datasets", "attached", "datasets not of ten", "files", "replicas")
        return {name: int(value or 0) for name, value in zip(names, row, strict=True)}

    def _statements(self) -> list[list[Any]]:
        """The statements that have taken longest since they were asked for last, in seconds."""
        with self._engine.connect() as connection:
            found = connection.exec_driver_sql(
                "SELECT 1 FROM pg_extension WHERE extname = 'pg_stat_statements'"
            ).first()
            if found is None:
                return []
            rows = [[*row] for row in connection.exec_driver_sql(_STATEMENTS)]
            connection.exec_driver_sql("SELECT public.pg_stat_statements_reset()")
            return rows

    def _first(self, number: int) -> int:
        """The number of the first item of a step."""
        return (number - 1) * self._step // _PER_ITEM

    def _first_registered(self, number: int) -> int:
        return (number * self._step - self._registered) // _PER_ITEM

    def _copy(self, number: int) -> float:
        """Copy the rows of the first items to all of a step that are not registered."""
        begun_s, items = time.perf_counter(), self._registered // _PER_ITEM
        first = max(self._first(number), items)  # the first themselves are there
        if first >= self._first_registered(number):
            return 0.0
        values = {"scope": COLLECTION, "items": items, "first": first,
                  "last": self._first_registered(number) - items}  # fmt: skip
        with self._engine.connect() as connection:
            # As Rucio leaves them: what they refer to is copied, too.
            connection.exec_driver_sql("SET session_replication_role = replica")
            for table in ("dids", "contents", "replicas"):
                columns = connection.exec_driver_sql(
                    "SELECT column_name FROM information_schema.columns "
                    "WHERE table_name = %(table)s AND table_schema = current_schema()",
                    {"table": table},
                ).scalars()
                taken = {name: _MOVED.format(name) if name in _NAMES else name for name in columns}
                connection.exec_driver_sql(
                    f"INSERT INTO {table} ({', '.join(taken)}) SELECT {', '.join(taken.values())} "  # noqa: S608 - ours
                    f"FROM {table}, generate_series(%(first)s::int, %(last)s, %(items)s) AS moved "
                    "WHERE scope = %(scope)s "
                    f"AND {_NUMBER.format('name')} < %(items)s ORDER BY moved "
                    "ON CONFLICT DO NOTHING",
                    values,
                )
            connection.exec_driver_sql("VACUUM ANALYZE")
        self._statements()  # what follows is told without these
        return time.perf_counter() - begun_s

    def _items(self, first: int, count: int) -> Iterator[Figures]:
        return make_items(COLLECTION, count, _PER_ITEM, first)

    def _items_file(self, number: int) -> Path:
        return self._write(
            f"step-{number:02}", self._registered // _PER_ITEM, self._first_registered(number)
        )

    def _write(self, name: str, count: int, first: int) -> Path:
        file = self._folder / f"{name}.ndjson"
        if not file.exists():
            partly = file.with_suffix(".part")
            with partly.open("w", encoding="utf-8") as lines:
                lines.writelines(json.dumps(item) + "\n" for item in self._items(first, count))
            partly.rename(file)
        return file

    def _save(self) -> None:
        partly = self._file.with_suffix(".part")
        partly.write_text(json.dumps(self.figures, indent=1), encoding="utf-8")
        partly.rename(self._file)


def _prepare(lake: Lake) -> None:
    """Make scopes, and let PostgreSQL tell from its next start on what its statements take."""
    from sqlalchemy import create_engine

    for scope in (COLLECTION, _PARQUET):
        lake.client().add_scope("root", scope)
    engine = create_engine(lake.layout.database_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        name = "pg_stat_statements"
        if connection.exec_driver_sql(
            "SELECT 1 FROM pg_available_extensions WHERE name = %(name)s", {"name": name}
        ).first():
            connection.exec_driver_sql(f"CREATE EXTENSION {name} SCHEMA public")
            connection.exec_driver_sql(f"ALTER SYSTEM SET shared_preload_libraries = {name}")
    engine.dispose()


def _in_journal(journal: Path) -> int:
    with sqlite3.connect(journal) as database:
        return int(database.execute("SELECT count(*) FROM items").fetchone()[0])


def _states(log: Path) -> dict[str, int]:
    """How many assets ended in which state."""
    with log.open(encoding="utf-8") as lines:
        return dict(Counter(fields[3] for fields in (line.split("\t") for line in lines)))


def _request(line: str) -> str:
    """The method and the first words of the path of a line of the access log."""
    method, _, path = line.partition('"')[2].partition(" ")
    return f"{method} {'/'.join(path.split(' ')[0].split('?')[0].split('/')[:3])}"


def _held_mb(lake: Lake, service: str) -> float:
    """The memory of a service; what its processes share is counted once."""
    held = 0
    for process in processes_of(lake, service):
        with suppress(NoSuchProcess):  # a connection may just have ended
            held += process.memory_full_info().pss
    return held / 2**20


def _peak_mb(process: int) -> float:
    try:
        return peak_mb(process)
    except (NoSuchProcess, OSError, RuntimeError):  # it has just ended
        return 0.0


if __name__ == "__main__":
    main()
