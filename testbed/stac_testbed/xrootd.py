"""XRootD as a storage, out of the machine's package `xrootd-server`: HTTP, third-party copy.

It needs no login, like the other storages of a lake. It listens on all interfaces and can
not be told otherwise, so it is started only where the loopback is all there is.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import psutil

from . import TestbedError
from ._tls import AUTHORITY
from .processes import OwnServer, Service, as_user, folder_for, user_for

NAME = "xrootd"
"""What asks for it in place of the lake's own storage."""

_ADDRESS = "127.0.0.1"
# Third-party copy is not loaded without TLS, nor without certificates to trust. Requests by plain
# HTTP are answered at the same port.
_CONFIGURATION = """\
all.role server
all.adminpath {folder}/admin
all.pidpath {folder}/admin
all.export {export}
oss.localroot {folder}/data
xrd.port {port}
xrd.allow host {address}
xrd.network nodnr
xrd.protocol http:{port} libXrdHttp.so
xrd.tls {folder}/{certificate} {folder}/{certificate}
xrd.tlsca certfile {folder}/{authority}
xrootd.chksum max 2 adler32 md5
http.exthandler xrdtpc libXrdHttpTPC.so
tpc.trace info
"""


@dataclass(frozen=True)
class XRootD(OwnServer):
    """An XRootD server of a lake's own."""

    @classmethod
    def plan(cls, folder: Path, port: int) -> XRootD:
        """Return a new server; nothing of it is made yet.

        Args:
            folder: Where its files go, unless this is root: XRootD then runs as the user
                xrootd, and they go to this user's home folder.
            port: TCP port that it serves HTTP on.

        Raises:
            TestbedError: There is no XRootD on this machine, or no user for it, or
                others could reach it.
        """
        _program()
        _refuse_company()
        return cls(str(folder_for(_user(), folder)), port)

    @property
    def data(self) -> Path:
        """What it serves at `/`."""
        return Path(self.folder) / "data"

    def service(self, name: str, export: str) -> Service:
        """Return its process.

        Args:
            name: Of the service.
            export: The folder below `/` that it lets be used, with slashes around it.

        Raises:
            TestbedError: Others could reach it.
        """
        _refuse_company()
        return Service(
            name,
            (*as_user(_user()), _program(), "-I", "v4", "-c", f"{self.folder}/xrootd.cfg"),
            url=f"http://{_ADDRESS}:{self.port}{export}",
            folder=Path(self.folder),
        )

    def make(self, export: str, tls: Path, name: str) -> None:
        """Make its files.

        Args:
            export: The folder below `/` that it lets be used, with slashes around it.
            tls: Folder with the lake's certificates.
            name: Of the service.
        """
        folder, user = Path(self.folder), _user()
        folder.mkdir(mode=0o700)
        (folder / "admin").mkdir()
        (self.data / export.strip("/")).mkdir(parents=True)
        files = {"certificate": f"{name}.pem", "authority": AUTHORITY}
        (folder / "xrootd.cfg").write_text(
            _CONFIGURATION.format(
                folder=folder, port=self.port, address=_ADDRESS, export=export.rstrip("/"), **files
            )
        )
        for file in files.values():
            shutil.copy(tls / file, folder)
        if user is not None:
            for path in (folder, *folder.rglob("*")):
                shutil.chown(path, user)


def _program() -> str:
    found = shutil.which("xrootd", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    if found is None:
        raise TestbedError(
            "there is no XRootD server on this machine to be a storage of the lake; "
            "install it (on Debian: apt install xrootd-server)"
        )
    return found


def _refuse_company() -> None:
    others = [name for name, state in psutil.net_if_stats().items() if state.isup and name != "lo"]
    if others:
        raise TestbedError(
            f"XRootD would listen on {', '.join(sorted(others))} too, where others reach it; run "
            "the lake in a network of its own: "
            "unshare --net sh -c 'ip link set lo up && stac-rucio testbed …'"
        )


def _user() -> str | None:
    return user_for("XRootD", "xrootd")
