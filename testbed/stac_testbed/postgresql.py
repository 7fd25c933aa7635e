"""PostgreSQL in SQLite's place: a schema of a lake's own, on a server that may be its own too.

The schema is the first and only one that the Rucio server's connections search, so that
Rucio's tables, types and temporary tables touch no other. A comment marks it as a lake's:
nothing but a schema with this comment is ever dropped.

The lake's own server comes out of the machine's package `postgresql`. It listens on the
loopback interface only, asks for a password, and does not wait for the disk: what it holds
may be lost in a crash of the machine.
"""

from __future__ import annotations

import re
import secrets
import shutil
import signal
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from . import TestbedError
from .processes import OwnServer, Service, as_user, folder_for, run, user_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection
    from sqlalchemy.engine import URL

NAME = "postgresql"
"""Its name among the lake's services, and what asks for it in place of a URL."""

_ADMINISTRATOR = "stac_lake"
_DEBIAN = Path("/usr/lib/postgresql")
_CONNECTIONS = 100
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": str(_CONNECTIONS),
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}
_DRIVER = "postgresql+psycopg"  # psycopg 3, Rucio's
_COMMENT = "the Rucio of a lake made by stac_testbed; it can be dropped with its tables"
_CONNECT_TIMEOUT_S = 10
_RETRY_S = 0.1
_RUCIOS = """
    SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relname IN ('dids', 'rses', 'rules') AND c.relkind IN ('r', 'p')
      AND obj_description(n.oid, 'pg_namespace') IS DISTINCT FROM %(comment)s
    GROUP BY n.nspname HAVING count(*) = 3
    """
_COMMENT_OF = """
    SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = %(schema)s
    """


@dataclass(frozen=True)
class Cluster(OwnServer):
    """A PostgreSQL server of a lake's own, and its administrator's password."""

    password: str = field(repr=False)

    @classmethod
    def plan(cls, folder: Path, port: int) -> Cluster:
        """Return a new server; nothing of it is made yet.

        Args:
            folder: Where its files go, unless this is root: PostgreSQL then runs as the
                user postgres, and they go to this user's home folder.
            port: TCP port of the loopback interface.

        Raises:
            TestbedError: There is no PostgreSQL on this machine, or no user for it.
        """
        find_programs()
        return cls(str(folder_for(_user(), folder)), port, secrets.token_urlsafe(16))

    @property
    def url(self) -> str:
        """URL of its database, with the password."""
        return f"postgresql://{_ADMINISTRATOR}:{self.password}@127.0.0.1:{self.port}/postgres"

    @property
    def service(self) -> Service:
        """The process that serves it."""
        settings = {**_SETTINGS, "port": str(self.port)}
        return Service(
            NAME,
            (
                *as_user(_user()),
                str(find_programs() / "postgres"),
                *("-D", str(self._data)),
                *(word for setting in settings.items() for word in ("-c", "=".join(setting))),
            ),
            folder=Path(self.folder),
            stop_signal=signal.SIGINT,  # SIGTERM would let it wait for all who are connected
        )

    @property
    def _data(self) -> Path:
        return Path(self.folder) / "data"

    def make(self, logs: Path) -> None:
        """Make its files, with a log in the folder `logs`.

        Raises:
            TestbedError: PostgreSQL fails to.
        """
        folder, user = Path(self.folder), _user()
        folder.mkdir(mode=0o700)
        password_file = folder / "password"  # the only way to tell initdb that ps does not show
        password_file.touch(mode=0o600)
        password_file.write_text(self.password)
        if user is not None:
            shutil.chown(folder, user)
            shutil.chown(password_file, user)
        command = (
            *as_user(_user()),
            str(find_programs() / "initdb"),
            *("-D", str(self._data), "--username", _ADMINISTRATOR, "--auth", "scram-sha-256"),
            *("--pwfile", str(password_file), "--encoding", "UTF8", "--locale", "C", "--no-sync"),
        )
        try:
            run(Service("initdb", command, folder=folder), logs)
        finally:
            password_file.unlink()


def find_programs() -> Path:
    """Find the folder of PostgreSQL's programs, of the newest version that is installed.

    Raises:
        TestbedError: There is none.
    """
    versions = [path for path in _DEBIAN.glob("*/bin") if (path / "initdb").exists()]
    if versions:
        return max(versions, key=lambda path: int(re.sub(r"\D", "", path.parent.name) or 0))
    found = shutil.which("initdb")
    if found is None:
        raise TestbedError(
            "there is no PostgreSQL server on this machine to start one of the lake's own; "
            "install it (on Debian: apt install postgresql) or give the URL of a database"
        )
    return Path(found).resolve().parent


@dataclass(frozen=True)
class Schema:
    """A schema that a lake has for itself."""

    database: str = field(repr=False)
    """URL of its database; with a password, as a rule."""
    name: str = field(default_factory=lambda: f"stac_lake_{secrets.token_hex(4)}")

    @property
    def url(self) -> str:
        """The URL with which Rucio works in the schema; it holds the password.

        Raises:
            TestbedError: The database is not given as a URL of PostgreSQL.
        """
        url = _parse(self.database)
        options = url.query.get("options", ())
        given = [options] if isinstance(options, str) else [*options]
        searched = " ".join([*given, f"-csearch_path={self.name}"])
        return url.update_query_dict({"options": searched}).render_as_string(hide_password=False)

    def wait(self, timeout_s: float) -> None:
        """Wait until its database answers, which may be starting.

        Raises:
            TestbedError: It does not within `timeout_s` seconds.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                with _connection(self.database):
                    return
            except TestbedError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_RETRY_S)

    def create(self) -> None:
        """Make it.

        Raises:
            TestbedError: The database does not answer, or its user may not make a schema.
        """
        with _connection(self.database) as connection:
            connection.exec_driver_sql(f'CREATE SCHEMA "{self.name}"')
            connection.exec_driver_sql(f"COMMENT ON SCHEMA \"{self.name}\" IS '{_COMMENT}'")

    def drop(self) -> None:
        """Drop it with all that is in it; that it is gone already is no error.

        Raises:
            TestbedError: The database does not answer, or the schema is not a lake's.
        """
        with _connection(self.database) as connection:
            found = connection.exec_driver_sql(_COMMENT_OF, {"schema": self.name}).all()
            if not found:
                return
            if found[0][0] != _COMMENT:
                raise TestbedError(
                    f"the schema {self.name} in {_name(_parse(self.database))} is not marked as "
                    "a lake's; look what it is, and drop it yourself"
                )
            connection.exec_driver_sql(f'DROP SCHEMA "{self.name}" CASCADE')


def check_database(database: str) -> None:
    """Make sure that a lake may be made in a database, changing nothing.

    Raises:
        TestbedError: It is no URL of a PostgreSQL database, the database does not
            answer, or it holds a Rucio that is not a lake's.
    """
    with _connection(database) as connection:
        rucios = connection.exec_driver_sql(_RUCIOS, {"comment": _COMMENT}).scalars().all()
    if rucios:
        raise TestbedError(
            f"{_name(_parse(database))} holds a Rucio already, in the schema "
            f"{', '.join(rucios)}; a lake is not made beside it: give it a database of its own"
        )


def _parse(database: str) -> URL:
    """Read a URL without ever repeating it: a password may be anywhere in a mistyped one."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    wanted = "give the database as postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
    if database.count("@") > 1:
        raise TestbedError(f"{wanted}, with every @ inside of USER or PASSWORD as %40")
    try:
        url = make_url(database)
    except (ArgumentError, ValueError):
        raise TestbedError(wanted) from None
    if url.get_backend_name() != "postgresql":
        raise TestbedError(f"{wanted}; only PostgreSQL can stand in for the lake's own SQLite")
    return url.set(drivername=_DRIVER)


def _name(url: URL) -> str:
    return f"the database {url.database or url.username} at {url.host or 'this machine'}"


@contextmanager
def _connection(database: str) -> Iterator[Connection]:
    """Open a transaction; what goes wrong names the database, and never the password."""
    from sqlalchemy import NullPool, create_engine
    from sqlalchemy.exc import DBAPIError

    url = _parse(database)
    engine = create_engine(
        url, poolclass=NullPool, connect_args={"connect_timeout": _CONNECT_TIMEOUT_S}
    )
    try:
        with engine.begin() as connection:
            yield connection
    except DBAPIError as error:
        reason = " ".join(str(error.orig).split())
        raise TestbedError(f"{_name(url)} refuses: {reason}") from error
    finally:
        engine.dispose()


def _user() -> str | None:
    return user_for("PostgreSQL", "postgres")
