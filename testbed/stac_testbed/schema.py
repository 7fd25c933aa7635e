"""The lake's own schema in a PostgreSQL database, where its Rucio server keeps everything.

The schema is the first and only one that the server's connections search, so
that Rucio's tables, types and temporary tables touch no other. A comment marks
it as a lake's: nothing but a schema with this comment is ever dropped.
"""

from __future__ import annotations

import secrets
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .errors import TestbedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection
    from sqlalchemy.engine import URL

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


def check(database: str) -> None:
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
