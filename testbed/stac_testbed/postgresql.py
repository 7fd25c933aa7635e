"""A PostgreSQL server of the lake's own, out of the machine's package `postgresql`.

It listens on the loopback interface only, asks for a password, and does not
wait for the disk: what it holds may be lost in a crash of the machine.
"""

from __future__ import annotations

import re
import secrets
import shutil
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from .errors import TestbedError
from .processes import Service
from .users import as_user, folder_for, user_for

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


@dataclass(frozen=True)
class Cluster:
    """A PostgreSQL server's files, port and password."""

    folder: str
    """Holds nothing else; it is removed with the lake."""
    port: int
    password: str = field(repr=False)

    @classmethod
    def plan(cls, folder: Path, port: int) -> Cluster:
        """Decide where a new server shall be; nothing is made yet.

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

    def make(self) -> None:
        """Make its files.

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
        result = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            cwd=folder,
        )
        password_file.unlink()
        if result.returncode:
            lines = result.stderr.strip().splitlines() or ["no output"]
            raise TestbedError(f"the PostgreSQL server's files could not be made: {lines[-1]}")

    def remove(self) -> None:
        """Remove its files; it must have been stopped."""
        shutil.rmtree(self.folder, ignore_errors=True)


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


def _user() -> str | None:
    return user_for("PostgreSQL", "postgres")
